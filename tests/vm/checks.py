"""What is checked in the machine, on the kernel datapath.

Bounds are those that hold on any machine: time limits of the harness are stretched on a slow one,
what the product promises is not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tests.vm.fence import CONTROL
from tests.vm.machine import Ended
from weave_ryu.lab.faults import CLOSE_S

PASSED, FAILED = "passed", "FAILED"

DATAPATH = ("--datapath-type", "system")
PEERS = ("--peers", "W,X,A,B")
"""Of the demo and of failovers: each daemon more takes half a minute to start."""

FAILOVER_BOUNDS_MS = {
    # As in tests/netns/test_failover.py.
    "host": 2500,
    "kill": 4000,
    "stop": 4000,
    "carrier": 2500,
    "term": 2500,
    "drain": 1500,
    "activate": 1500,
}

LEAST_RATIO = 0.8
"""Of TCP throughput to that of a plain bridge, where an emulated processor does all the work."""

KEEPS_THE_ROLE = {
    # A switch that runs does not notice for seconds, and forwards as it should meanwhile.
    "ovsdb-server stopped",
}


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    check: str
    result: str
    measured: str
    seconds: float | None = None

    @property
    def is_good(self) -> bool:
        return self.result == PASSED


@dataclass(frozen=True)
class Check:
    """A command in the machine, and what its output means."""

    name: str
    argv: tuple[str, ...]
    judge: Callable[[Ended], list[Row]]
    timeout_s: float = 2400.0


def judged(name: str, holds: bool, measured: str) -> Row:
    """A row."""
    return Row(name, PASSED if holds else FAILED, measured)


def documents(ended: Ended) -> Iterable[dict]:
    """The JSON objects of the output, among lines of progress: on one line each, or indented."""
    decoder = json.JSONDecoder()
    text, at = ended.output, 0
    while (at := text.find("{", at)) >= 0:
        if at and text[at - 1] != "\n":
            at += 1
            continue
        try:
            document, at = decoder.raw_decode(text, at)
        except ValueError:
            at += 1
            continue
        yield document


def nothing(name: str, ended: Ended) -> list[Row]:
    """The row of a command that did not come to a result."""
    how = "its time was up" if ended.status is None else f"exit status {ended.status}"
    return [Row(name, FAILED, f"{how}: {ended.last_line}"[:100])]


def judge_demo(ended: Ended) -> list[Row]:
    for document in documents(ended):
        checks = document["checks"]
        wrong = [check for check in checks if not check["ok"]]
        measured = f"{len(checks) - len(wrong)} of {len(checks)} checks hold"
        rows = [judged("demo", not wrong, measured)]
        rows += [
            Row(f"demo: {one['invariant']}", FAILED, f"{one['situation']}: {one['measured']}")
            for one in wrong
        ]
        return rows
    return nothing("demo", ended)


def judge_tests(name: str) -> Callable[[Ended], list[Row]]:
    def judge(ended: Ended) -> list[Row]:
        if ended.status is None or " in " not in ended.last_line:
            return nothing(name, ended)
        failed = [line for line in ended.output.splitlines() if line.startswith("FAILED ")]
        rows = [judged(name, ended.status == 0, ended.last_line.strip("= "))]
        return rows + [
            Row(f"{name}: {line.split('::')[-1]}"[:70], FAILED, "see the log") for line in failed
        ]

    return judge


def judge_failover(ended: Ended) -> list[Row]:
    rows = []
    for document in documents(ended):
        for run in document["runs"]:
            bound_ms = FAILOVER_BOUNDS_MS[run["event"]]
            gap_ms = max(run["gaps_ms"].values())
            measured = (
                f"longest gap {gap_ms:.0f} ms of {bound_ms}, lost {sum(run['lost'].values())}, "
                f"duplicates {run['duplicates']}, loops {run['loops']}"
            )
            holds = gap_ms <= bound_ms and run["loops"] == 0
            rows.append(judged(f"failover: {run['event']}", holds, measured))
    return rows or nothing("failover", ended)


def judge_fence(ended: Ended) -> list[Row]:
    rows = []
    for found in documents(ended):
        passed = f"{found['out']} frames out of it, {found['let_in']} let in"
        how = "open to the end" if found["is_open"] else "the last"
        opened_s = found["opened_s"]
        opened = "the other never opened" if opened_s is None else f"the other at {opened_s:.2f} s"
        doubled = (
            f"then {found['after']} out and {found['after_in']} in, {found['by_both']} by both"
        )
        doubled += f", {found['duplicates']} duplicates"
        measured = f"{passed}, {how} after {found['last_s']:.2f} s; {opened}; {doubled}"
        wrong = (found["after"], found["after_in"], found["by_both"], found["duplicates"])
        closes = not found["is_open"] and found["last_s"] <= CLOSE_S and opened_s is not None
        holds = not any(wrong) and (closes or found["case"] in KEEPS_THE_ROLE)
        if found["case"] == CONTROL:
            holds = all(wrong) and found["is_open"]
        rows.append(judged(f"fence: {found['case']}", holds, measured))
    if ended.status != 0 or not rows:
        rows += nothing("fence", ended)
    return rows


def judge_offload(ended: Ended) -> list[Row]:
    rows = []
    for found in documents(ended):
        if "told_mtu" in found:
            rows.append(judge_narrow(found))
            continue
        measured = (
            f"{found['ours_mbit_s']:.0f} Mbit/s, NORMAL {found['normal_mbit_s']:.0f}: "
            f"ratio {found['ratio']:.2f}"
        )
        rows.append(judged(f"tcp: {found['way']}", found["ratio"] >= LEAST_RATIO, measured))
    if ended.status != 0 or not rows:
        rows += nothing("tcp", ended)
    return rows


def judge_narrow(found: dict) -> Row:
    """The sender is told what fits, nothing is learnt from that, and TCP goes on."""
    is_told = found["told_mtu"] == found["expected_mtu"]
    measured = f"told {found['told_mtu']}, TCP {found['tcp_mbit_s']:.0f} Mbit/s"
    if found["moved"]:
        measured += f", moved: {found['moved']}"
    holds = is_told and not found["moved"] and found["tcp_mbit_s"] > 0
    return judged(f"mtu: a sender is told {found['expected_mtu']}", holds, measured)


def judge_lag(ended: Ended) -> list[Row]:
    rows = []
    for found in documents(ended):
        measured = "{least_s:.3f} to {most_s:.3f} s, median {median_s:.3f}, 95 % {p95_s:.3f}"
        measured += "; counted on: {bound_s} ({samples} times, {flows} flows)"
        holds = found["most_s"] <= found["bound_s"]
        rows.append(judged(f"lag: {found['what']}", holds, measured.format(**found)))
    if ended.status != 0 or not rows:
        rows += nothing("lag", ended)
    return rows


def pytest_of(*arguments: str) -> tuple[str, ...]:
    # Nothing is known here of mypy's or the browser's plug-ins, and no cache is kept.
    command = ("python3", "-m", "pytest", "-p", "no:cacheprovider", "-m", "netns", "-q", "-rf")
    return (*command, "--no-header", *arguments)


def weave_ryu(*arguments: str) -> tuple[str, ...]:
    return ("python3", "-m", "weave_ryu", *arguments)


def _events() -> list[str]:
    return [word for name in FAILOVER_BOUNDS_MS for word in ("--event", name)]


CHECKS = {
    check.name: check
    for check in (
        Check("demo", weave_ryu("lab", "demo", *DATAPATH, *PEERS, "--json"), judge_demo),
        Check(
            "traffic",
            pytest_of("tests/netns/test_acceptance_traffic.py"),
            judge_tests("acceptance: traffic"),
        ),
        Check(
            "failures",
            pytest_of("tests/netns/test_acceptance_failures.py"),
            judge_tests("acceptance: failures"),
        ),
        Check(
            "failover",
            weave_ryu("lab", "failover", *DATAPATH, *PEERS, "--runs", "1", "--json", *_events()),
            judge_failover,
        ),
        Check("tcp", ("python3", "-m", "tests.vm.offload"), judge_offload),
        Check("lag", ("python3", "-m", "tests.vm.lag", *DATAPATH), judge_lag),
        Check("fence", ("python3", "-m", "tests.vm.fence", *DATAPATH), judge_fence),
    )
}
