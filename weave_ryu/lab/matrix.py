"""Every fault against every role, under traffic; what the captures show is held against promises.

Times are the kernel's, at the receivers and at the segment's ports to the gateways.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, Final

from weave_ryu.errors import LabError
from weave_ryu.lab import lab as labs
from weave_ryu.lab import memory, topology
from weave_ryu.lab.failover import Bench
from weave_ryu.lab.faults import ACTIVE, FAULTS, HEAL_S, PEER, Fault, Scene
from weave_ryu.lab.lab import Lab, Progress
from weave_ryu.lab.report import Check, print_table
from weave_ryu.lab.stations import stations, taps
from weave_ryu.lab.traffic import Stream, Traffic
from weave_ryu.lab.verdicts import BROADCAST_RATE_PER_S, RATE_PER_S, Cell, Flow, Judge, Times

BURST_FRAMES: Final = 30
LEAD_S: Final = 0.6
WATCH_S: Final = HEAL_S + 1.5
"""How long traffic goes on after the end of a fault."""
DISK_MIB: Final = 32
PEERS: Final = ("W", "X", "Y", "A", "B")


class Matrix:
    """Runs cells on a lab with two gateways in role auto."""

    def __init__(self, lab: Lab, tell: Progress) -> None:
        self._lab = lab
        self._bench = Bench(lab, tell)
        first, self._speaker, self._silent = sorted(lab.containers)[:3]
        self._victims_own = first
        self._host, self._silent_host = sorted(lab.hosts)[:2]

    def run(self, fault: Fault, role: str) -> Cell:
        """One cell; the lab is whole again afterwards.

        Raises:
            LabError: the fault could not be made, or captures missed frames.
        """
        active, standby = self._bench.wait_ready()
        plain = self._lab.peer(self._lab.containers[self._victims_own].place)
        victim = {ACTIVE: active, PEER: plain}.get(role, standby)
        scene = Scene(self._lab, role, victim, active, standby)
        cell = Cell(fault.name, role, victim.nick_name)
        with Traffic(stations(self._lab), taps(self._lab)) as traffic:
            flows = self._start(traffic, role)
            struck = time.time_ns()
            repair = fault.strike(scene)
            try:
                time.sleep(fault.lasts_s)
            finally:
                ended = time.time_ns()
                repair()
            time.sleep(WATCH_S)
            times = Times(struck, ended, time.time_ns())
            traffic.stop()
            traffic.settle()
            Judge(cell, scene, traffic, flows, fault.promises[role], times).all()
            self._judge_rest(cell, traffic)
            missed = traffic.missed_by_captures()
        if missed:
            raise LabError(f"the captures missed {missed} frames", "the machine is too busy")
        return cell

    def _start(self, traffic: Traffic, role: str) -> list[Flow]:
        """Every station speaks once; then streams run, but for the silent ones."""
        own, speaker, host = self._victims_own, self._speaker, self._host
        ends = [(own, host), (host, own), (speaker, host), (host, speaker)]
        ends += [(own, speaker), (speaker, own), (speaker, self._silent)]
        ends += [(speaker, self._silent_host), (host, self._silent)]
        flows = [self._flow(traffic.stream(*pair), pair[1], role) for pair in ends]
        floods = [traffic.stream(name) for name in (own, speaker, host)]
        receivers = {own: speaker, speaker: self._silent, host: speaker}
        flows += [self._flow(one, receivers[one.source], role) for one in floods]
        for name in traffic.stations:
            traffic.send([traffic.stream(name)], 2, 50)
        traffic.start([one.stream for one in flows if not one.stream.is_broadcast], RATE_PER_S)
        traffic.start(floods, BROADCAST_RATE_PER_S)
        time.sleep(LEAD_S)
        return flows

    def _flow(self, stream: Stream, receiver: str, role: str) -> Flow:
        ends = {stream.source, receiver}
        return Flow(
            stream,
            receiver,
            at_victim=role == PEER and self._victims_own in ends,
            crosses=bool(ends & set(self._lab.hosts)),
            to_silent=receiver in {self._silent, self._silent_host},
        )

    def _judge_rest(self, cell: Cell, traffic: Traffic) -> None:
        """The lab comes to rest: one forwards, the other could, everything comes exactly once."""
        try:
            self._bench.wait_ready()
        except LabError as error:
            cell.check("available", "the lab comes to rest", str(error), "at rest", False)
            return
        names = [self._victims_own, self._speaker, self._host]
        streams = [traffic.stream(name) for name in names]
        traffic.send(streams, BURST_FRAMES, BROADCAST_RATE_PER_S)
        traffic.settle()
        wrong = [
            f"{stream.source}→{place}: {delivery.arrived} of {delivery.sent}, "
            f"{delivery.duplicated} more"
            for stream in streams
            for place in traffic.stations
            if place != stream.source and not (delivery := traffic.delivery(stream, place)).is_exact
        ]
        cell.check(
            "exactly_once",
            f"{BURST_FRAMES} broadcasts each of {', '.join(names)} afterwards",
            "; ".join(wrong) or "everywhere once",
            "everywhere once",
            not wrong,
        )


def options(prefix: str, datapath_type: str = "auto") -> labs.Options:
    """The lab of the matrix: gateways A and B in role auto, disks of their own for all."""
    shape = topology.build(PEERS)
    return labs.Options(
        prefix=prefix,
        topology=shape,
        roles=dict.fromkeys(shape.gateways(), "auto"),
        datapath_type=datapath_type,
        disk_mib=DISK_MIB,
    )


def cells(faults: Iterable[str], roles: Iterable[str]) -> list[tuple[str, str]]:
    """The pairs of fault and role that can be."""
    wanted = list(roles)
    return [(name, role) for name in faults for role in wanted if role in FAULTS[name].promises]


def run(
    options: labs.Options, pairs: list[tuple[str, str]], tell: Progress, *, as_json: bool
) -> int:
    """Run cells on a new lab and print what was found.

    Args:
        options: the lab; its gateways should be in role auto, its peers on disks of their own.
        pairs: of `FAULTS` and roles.
        tell: told what is going on.
        as_json: print one JSON document instead of a table.

    Returns:
        0, or 1 if an invariant was violated.
    """
    skipped = [] if memory.is_available() else [pair for pair in pairs if pair[0] == "oom"]
    for name, role in skipped:
        tell(f"{name} on {role}: not possible here, there is no memory cgroup")
    found: list[Cell] = []
    lab = labs.up(options, tell)
    try:
        matrix = Matrix(lab, tell)
        pending = [pair for pair in pairs if pair not in skipped]
        for number, (name, role) in enumerate(pending, 1):
            cell = matrix.run(FAULTS[name], role)
            found.append(cell)
            tell(f"{number}/{len(pending)} {_line(cell)}")
            for check in cell.violated:
                tell(f"  VIOLATED {check.invariant}: {_text(check)}")
    finally:
        with contextlib.suppress(LabError):
            lab.down()
    status = show(found, skipped, as_json=as_json)
    checks = sum(len(cell.checks) for cell in found)
    tell(
        f"{len(found)} cells, {checks} checks, {sum(len(cell.violated) for cell in found)} violated"
    )
    return status


def show(found: list[Cell], skipped: list[tuple[str, str]], *, as_json: bool = False) -> int:
    """Print what was found.

    Args:
        found: the cells that were run.
        skipped: pairs of fault and role that cannot be made here.
        as_json: one JSON document instead of a table.

    Returns:
        0, or 1 if an invariant was violated.
    """
    if as_json:
        print(json.dumps(_document(found, skipped), indent=1, ensure_ascii=False))
    else:
        _print(found)
        for check in (check for cell in found for check in cell.violated):
            print(f"VIOLATED {check.invariant}: {_text(check)}")
    return 1 if any(cell.violated for cell in found) else 0


def _text(check: Check) -> str:
    return f"{check.situation}: {check.measured} (bound: {check.bound})"


def _line(cell: Cell) -> str:
    return (
        f"{cell.fault} on {cell.role} ({cell.victim}): gap {cell.gap_ms:.0f} ms, "
        f"lost inside {cell.lost_inside}, doubled {cell.doubled_ms:.0f} ms, "
        f"{len(cell.violated)} of {len(cell.checks)} checks violated"
    )


def _document(found: list[Cell], skipped: list[tuple[str, str]]) -> dict[str, Any]:
    return {
        "ok": not any(cell.violated for cell in found),
        "cells": [
            asdict(cell) | {"violated": sorted({check.invariant for check in cell.violated})}
            for cell in found
        ],
        "skipped": [{"fault": name, "role": role} for name, role in skipped],
    }


def _print(found: list[Cell]) -> None:
    columns = (
        "fault", "role", "longest gap across the gateways", "lost between containers",
        "doubled for", "copies", "",
    )  # fmt: skip
    rows = [
        (
            cell.fault,
            f"{cell.role} ({cell.victim})",
            f"{cell.gap_ms:.0f} ms",
            str(cell.lost_inside),
            f"{cell.doubled_ms:.0f} ms",
            str(cell.most_copies),
            "VIOLATED" if cell.violated else "ok",
        )
        for cell in found
    ]
    print_table("Faults: what the captures show", columns, rows)
