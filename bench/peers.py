"""How much the number of peers costs: one switch's flows, and one daemon's computing."""

from __future__ import annotations

import json
import subprocess
import sys

from bench.plan import Benchmark, Plan, Target
from bench.sheet import Sheet
from bench.stand import ROOT, Solo, result_of, start_inside
from weave_ryu.errors import LabError

SIZES = (10, 100, 1000)
WORKER_TIMEOUT_S = 300.0
COMPUTED = {
    "routes_ms": "routes after one change",
    "same_ms": "topology update without news",
    "changed_ms": "topology update with one change",
}


def measure(plan: Plan) -> Sheet:
    """Peers into a real switch, and into the routing tables of one daemon."""
    sheet = Sheet()
    with Solo("wrbpeers") as stand:
        for shape in ("sparse", "full"):
            for number in SIZES[:2] if plan.is_quick else SIZES:
                case = f"{number:,} peers, {shape} mesh"
                plan.tell(case)
                _into_switch(plan, sheet, stand, number, shape)
                _computing(plan, sheet, number, shape)
    return sheet


def _into_switch(plan: Plan, sheet: Sheet, stand: Solo, number: int, shape: str) -> None:
    rundir = str(stand.ovs.rundir)
    # A change of the largest full mesh takes seconds.
    repeats = str(min(plan.repeats, 2) if number == SIZES[-1] else plan.repeats)
    worker = start_inside(
        stand.ovs.namespace, "bench.worker", "peers", rundir, str(number), shape, repeats
    )
    found = json.loads(result_of(worker, WORKER_TIMEOUT_S))
    case = f"{number:,} peers, {shape} mesh"
    sheet.add(case, "flows", "flows", found["flows"])
    for key, metric, unit in (
        ("install_ms", "all flows into an empty switch, one bundle", "ms"),
        ("lose_ms", "neighbour lost: from the topology to the switch", "ms"),
        ("changes", "neighbour lost: flows changed", "flows"),
        ("far_ms", "far connection lost: from the topology to the switch", "ms"),
    ):
        for value in found[key]:
            sheet.add(case, metric, unit, value)


def _computing(plan: Plan, sheet: Sheet, number: int, shape: str) -> None:
    case = f"{number:,} peers, {shape} mesh"
    for _ in range(1 if plan.is_quick else 3):
        command = [sys.executable, "-m", "tests.scale", "--one", "alone", shape, str(number)]
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
        )
        if done.returncode != 0:
            raise LabError("tests.scale failed", done.stderr.strip()[-400:])
        found = json.loads(done.stdout)
        for key, metric in COMPUTED.items():
            sheet.add(case, f"{metric}, processor time", "ms", found[key])
        sheet.add(case, "memory of table and routes", "MB", found["memory_mb"])


def _targets() -> tuple[Target, ...]:
    found = []
    for shape in ("sparse", "full"):
        case = f"1,000 peers, {shape} mesh"
        found += [
            Target(
                f"routes for 1,000 peers ({shape})",
                50,
                "ms",
                case,
                "routes after one change, processor time",
            ),
            Target(
                f"unchanged update of 1,000 peers ({shape})",
                5,
                "ms",
                case,
                "topology update without news, processor time",
            ),
            Target(
                f"changed topology of 1,000 peers in the switch ({shape})",
                1000,
                "ms",
                case,
                "neighbour lost: from the topology to the switch",
            ),
        ]
    return tuple(found)


BENCHMARK = Benchmark(
    "peers",
    "Cost of many peers",
    "It puts meshes of 10 to 1,000 peers into one real Open vSwitch with the daemon's own "
    "code, and into the routing tables of one daemon. In the sparse mesh a peer has 6 "
    "connections, in the full one it has all; the neighbour that is lost is the one with the "
    "most connections, so that many routes change. Times into the switch run from the changed "
    "topology to the switch's confirmation; processor times are medians of 5 in a process of "
    "their own.",
    measure,
    _targets(),
)
