"""What a running daemon uses, and how long one waits for the lab and for a command."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from bench import processes
from bench.plan import Benchmark, Plan, Target
from bench.sheet import Sheet
from weave_ryu import namespaces
from weave_ryu.errors import LabError
from weave_ryu.lab import lab as labs
from weave_ryu.lab.lab import Lab
from weave_ryu.lab.peer import LabPeer

PREFIX = "wrblife"
IDLE, MEMORY = "idle processor time", "resident memory"
PEER = "daemon of a peer"
ACTIVE = "daemon of the active gateway"
STANDBY = "daemon of the standby gateway"
CASE = "lab of 6 peers, 2 of them gateways"


def measure(plan: Plan) -> Sheet:
    """A lab with the default topology, in which nothing happens."""
    sheet = Sheet()
    for _ in range(1 if plan.is_quick else 2):
        started = time.monotonic()
        lab = labs.up(labs.Options(prefix=PREFIX, roles={"A": "auto", "B": "auto"}), plan.tell)
        try:
            sheet.add(CASE, "lab start", "s", time.monotonic() - started)
            _idle(plan, sheet, lab)
            _status(plan, sheet, lab)
        finally:
            lab.down()
    return sheet


def _idle(plan: Plan, sheet: Sheet, lab: Lab) -> None:
    # What comes with the start is over by then.
    time.sleep(2 if plan.is_quick else 10)
    watch_s = 3.0 if plan.is_quick else 30.0
    pids = {}
    for name, peer in lab.peers.items():
        vswitchd = peer.switch.vswitchd
        if peer.daemon.process is None or vswitchd is None:
            raise LabError(f"{name} does not run")
        pids[_kind(peer), name] = peer.daemon.process.pid
        pids["ovs-vswitchd", name] = vswitchd.pid
    before = {key: processes.cpu_s(pid) for key, pid in pids.items()}
    started = time.monotonic()
    time.sleep(watch_s)
    took_s = time.monotonic() - started
    for key, pid in pids.items():
        share = (processes.cpu_s(pid) - before[key]) / took_s * 100
        sheet.add(key[0], IDLE, "% of a core", share)
        sheet.add(key[0], MEMORY, "MiB", processes.resident_mib(pid))


def _kind(peer: LabPeer) -> str:
    if peer.segment is None:
        return PEER
    return ACTIVE if peer.gateway_state()["state"] == "active" else STANDBY


def _status(plan: Plan, sheet: Sheet, lab: Lab) -> None:
    gateway = lab.peer(lab.topology.gateways()[0])
    command = [sys.executable, "-m", "weave_ryu", "status"]

    def ask() -> None:
        started = time.perf_counter()
        done = subprocess.run(
            command,
            env={**os.environ, **gateway.switch.environment},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        took_ms = (time.perf_counter() - started) * 1000
        if done.returncode != 0:
            raise LabError("`weave-ryu status` failed", done.stderr.strip())
        sheet.add("weave-ryu status", "from start to end", "ms", took_ms)

    for _ in range(plan.repeats * 2):
        namespaces.run_inside(gateway.netns, ask)


BENCHMARK = Benchmark(
    "life",
    "An idle daemon, the lab's start, a command",
    "It starts the lab of the tutorial and lets it rest, with both gateways in an election. "
    "Processor time and memory are read from /proc for each process, the first ten seconds "
    "left out; a command's time runs from its start to its end, its Python included. Median "
    "and spread are over all processes of a kind and all labs.",
    measure,
    (
        *(Target(f"idle {who}", 1, "% of a core", who, IDLE) for who in (PEER, ACTIVE, STANDBY)),
        *(Target(f"memory, {who}", 120, "MiB", who, MEMORY) for who in (PEER, ACTIVE)),
        Target("`weave-ryu status`", 300, "ms", "weave-ryu status", "from start to end"),
    ),
)
