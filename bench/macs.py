"""How much the number of MACs costs: memory of the switch, reading, forgetting, announcing."""

from __future__ import annotations

import json
import time

from bench.plain import ping
from bench.plan import Benchmark, Plan, Target
from bench.processes import cpu_s, resident_mib
from bench.rates import percentile
from bench.sheet import Sheet
from bench.stand import Solo, result_of, start_inside
from weave_ryu.errors import LabError
from weave_ryu.names import ShortId
from weave_ryu.pipeline import render
from weave_ryu.pipeline import tables as t
from weave_ryu.pipeline.cookies import Kind, subject_cookie
from weave_ryu.pipeline.parts import learn_mac, learn_origin
from weave_ryu.pipeline.state import ForwardingState, LocalPort

SIZES = (1_000, 10_000, 100_000)
TEACHER = 5
"""Short id of the peer behind which the MACs are."""
WORKER_TIMEOUT_S = 300.0


def learnt_lines(number: int) -> list[str]:
    """The flows that the switch makes of its own when it learns so many MACs behind one peer."""
    cookie = subject_cookie(Kind.LEARNT_PEER, TEACHER)
    known = learn_mac(cookie, t.KNOWN_PEER, t.DST_PEER, TEACHER)
    origin = learn_origin(cookie, t.ORIGIN_MESH)
    macs = [_mac(value) for value in range(number)]
    return [render.learnt_text(learn, mac) for mac in macs for learn in (known, origin)]


def measure(plan: Plan) -> Sheet:
    """Each number of MACs in a switch of its own, so that memory starts from the same."""
    sheet = Sheet()
    sizes = SIZES[:2] if plan.is_quick else SIZES
    for _ in range(1 if plan.is_quick else 2):
        for number in sizes:
            plan.tell(f"{number} MACs")
            with Solo("wrbmacs", 2) as stand:
                _one(plan, sheet, stand, number)
    return sheet


def _one(plan: Plan, sheet: Sheet, stand: Solo, number: int) -> None:
    case = f"{number:,} MACs"
    if stand.ovs.vswitchd is None:
        raise LabError("the switch does not run")
    pid = stand.ovs.vswitchd.pid
    ports = tuple(LocalPort(number, f"p{number}") for number in (1, 2))
    stand.add_pipeline(ForwardingState(ShortId(1), local_ports=ports))
    before = resident_mib(pid)
    stand.add_flows(learnt_lines(number), instead=False)
    sheet.add(case, "memory of ovs-vswitchd for them", "MiB", resident_mib(pid) - before)
    _beside(plan, sheet, stand, case, pid)
    worker = start_inside(
        stand.ovs.namespace, "bench.worker", "macs", str(stand.ovs.rundir), str(number)
    )
    found = json.loads(result_of(worker, WORKER_TIMEOUT_S))
    if found["known"] != number or found["left"]:
        raise LabError(
            f"{number} MACs were to be forgotten",
            f"{found['known']} were known before, {found['left']} afterwards",
        )
    sheet.add(case, "forget all with one message, confirmed", "ms", found["forget_ms"])
    for key, metric, unit in (
        ("read_ms", "sync: read all from the switch", "ms"),
        ("tell_ms", "sync: encode them for the standby", "ms"),
        ("told_kb", "sync: size of what is told", "kB"),
        ("take_ms", "sync: take them in at the standby", "ms"),
        ("memory_mib", "memory of the daemon for all this", "MiB"),
        ("announce_ms", "announce all once (at most 5,000 a second)", "ms"),
    ):
        sheet.add(case, metric, unit, found[key])


def _beside(plan: Plan, sheet: Sheet, stand: Solo, case: str, pid: int) -> None:
    """What it costs a switch to hold them, and whom else."""
    started, before_s = time.monotonic(), cpu_s(pid)
    time.sleep(plan.seconds)
    share = (cpu_s(pid) - before_s) / (time.monotonic() - started) * 100
    sheet.add(case, "ovs-vswitchd at rest, processor time", "% of a core", share)
    found = ping(stand.containers[0], "10.32.0.2", 200 if plan.is_quick else 1000, 0.002)
    for percent, what in ((50, "median"), (99, "99 %"), (100, "longest")):
        metric = f"round trip between two others, {what}"
        sheet.add(case, metric, "ms", percentile(found, percent))


def _mac(value: int) -> str:
    text = f"02{value:010x}"
    return ":".join(text[place : place + 2] for place in range(0, 12, 2))


BENCHMARK = Benchmark(
    "macs",
    "Cost of many MACs",
    "It gives one real Open vSwitch the flows of 1,000 to 100,000 MACs, all learnt behind one "
    "peer; each is two flows, and two containers beside them ping each other. The daemon's "
    "own code then reads them, as an active gateway does for its standby, tells them in one "
    "gossip message, half of them on each side, forgets them with one message that selects by "
    "cookie, and announces as many. Forgetting is what a failover waits for; announcing is "
    "held to 5,000 frames a second on purpose, so its time grows with the number.",
    measure,
    (
        Target(
            "forgetting 100,000 MACs with one message",
            1000,
            "ms",
            "100,000 MACs",
            "forget all with one message, confirmed",
        ),
    ),
)
