"""Every fault against every role, under traffic; what the captures show is held against promises.

Times are the kernel's, at the receivers and at the segment's ports to the gateways.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from weave_ryu.errors import LabError
from weave_ryu.lab import lab as labs
from weave_ryu.lab import memory, topology
from weave_ryu.lab.demo import stations, taps
from weave_ryu.lab.failover import Bench
from weave_ryu.lab.faults import ACTIVE, FAULTS, HEAL_S, PEER, Fault, Promise, Scene
from weave_ryu.lab.lab import Lab, Progress
from weave_ryu.lab.report import Check, print_table
from weave_ryu.lab.traffic import Stream, Traffic

RATE_PER_S: Final = 200
BROADCAST_RATE_PER_S: Final = 100
BURST_FRAMES: Final = 30
LEAD_S: Final = 0.6
WATCH_S: Final = HEAL_S + 1.5
"""How long traffic goes on after the end of a fault."""
BLIP_MS: Final = 500.0
"""Longest silence of what has healed."""
DISK_MIB: Final = 32
PEERS: Final = ("W", "X", "Y", "A", "B")


@dataclass(frozen=True, slots=True)
class Flow:
    """A stream and its one receiver that counts.

    Attributes:
        at_victim: an end is at the struck plain peer.
        crosses: it passes the gateways.
        to_silent: the receiver never sends.
    """

    stream: Stream
    receiver: str
    at_victim: bool
    crosses: bool
    to_silent: bool

    @property
    def name(self) -> str:
        """Who speaks to whom."""
        kind = " (to all)" if self.stream.is_broadcast else ""
        return f"{self.stream.source}→{self.receiver}{kind}"


@dataclass(slots=True)
class Cell:
    """One fault against one role: the figures and the checks."""

    fault: str
    role: str
    victim: str
    gap_ms: float = 0.0
    worst_flow: str = ""
    lost_inside: int = 0
    doubled_ms: float = 0.0
    most_copies: int = 0
    checks: list[Check] = field(default_factory=list)

    @property
    def violated(self) -> list[Check]:
        """The checks that failed."""
        return [check for check in self.checks if not check.ok]

    def check(self, invariant: str, situation: str, measured: str, bound: str, ok: bool) -> None:
        """Add a check."""
        where = f"{self.fault} on {self.role} ({self.victim}): {situation}"
        self.checks.append(Check(invariant, where, measured, bound, ok))


@dataclass(frozen=True, slots=True)
class Times:
    """When things happened, in nanoseconds of the system's clock."""

    struck: int
    ended: int
    stopped: int


class Matrix:
    """Runs cells on a lab with two gateways in role auto."""

    def __init__(self, lab: Lab, tell: Progress) -> None:
        self._lab = lab
        self._tell = tell
        self._bench = Bench(lab, tell)
        first, self._speaker, self._silent = sorted(lab.containers)[:3]
        self._victims_own = first
        self._host, self._silent_host = sorted(lab.hosts)[:2]
        self._gateways = [peer.nick_name for peer in self._bench.gateways]

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
            self._judge(cell, traffic, flows, fault.promises[role], times)
            self._judge_gates(cell, traffic, flows, scene, fault.promises[role], times)
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

    # --- verdicts ---

    def _judge(
        self, cell: Cell, traffic: Traffic, flows: list[Flow], promise: Promise, times: Times
    ) -> None:
        """Each flow against what it was promised."""
        for flow in flows:
            stream = flow.stream
            delivery = traffic.delivery(stream, flow.receiver)
            gap_ms = traffic.gap_ms(stream, flow.receiver, times.struck, times.stopped)
            gap_ms = max(0.0, gap_ms - stream.longest_pause_ns / 1e6)
            if flow.crosses and not flow.to_silent and gap_ms > cell.gap_ms:
                cell.gap_ms, cell.worst_flow = gap_ms, flow.name
            healed_ms = traffic.gap_ms(
                stream, flow.receiver, times.ended + int(HEAL_S * 1e9), times.stopped
            )
            cell.check(
                "no_blackhole",
                f"{flow.name}: longest silence once healed",
                f"{healed_ms:.0f} ms",
                f"≤ {BLIP_MS:.0f} ms",
                healed_ms <= BLIP_MS,
            )
            is_struck = flow.at_victim and (
                promise.severed or (flow.crosses and promise.severed_segment)
            )
            if is_struck:
                continue
            if flow.crosses and promise.takes_over_s:
                if not (flow.to_silent and promise.splits):
                    bound_ms = promise.takes_over_s * 1000
                    cell.check(
                        "available",
                        f"{flow.name}: longest silence",
                        f"{gap_ms:.0f} ms",
                        f"≤ {bound_ms:.0f} ms",
                        gap_ms <= bound_ms,
                    )
                continue
            # Twice the share: of some 1,000 frames that is far beyond chance.
            passes = flow.at_victim or (flow.crosses and cell.role == ACTIVE)
            may_lose = int(2 * promise.lost_share * stream.sent) if passes else 0
            if not flow.crosses:
                cell.lost_inside += max(0, delivery.lost - may_lose)
            cell.check(
                "available" if flow.crosses else "hitless",
                f"{flow.name}: frames lost, of {delivery.sent}",
                str(delivery.lost),
                f"≤ {may_lose}",
                delivery.lost <= may_lose,
            )

    def _judge_gates(
        self,
        cell: Cell,
        traffic: Traffic,
        flows: list[Flow],
        scene: Scene,
        promise: Promise,
        times: Times,
    ) -> None:
        """Loops, doubled frames, and what passes the port of who should be closed."""
        streams = [flow.stream for flow in flows]
        entrances = [f"{name}/in" for name in self._gateways]
        back = sum(traffic.delivery(one, one.source).copies for one in streams)
        back += sum(
            traffic.delivery(one, entrance).copies
            for one in streams
            if one.source in self._lab.hosts
            for entrance in entrances
        )
        cell.check("no_loop", "frames back where they came from", str(back), "0", back == 0)
        doubled_ms = 0.0
        for flow in flows:
            stream = flow.stream
            is_flood = stream.is_broadcast
            places = [name for name in traffic.stations if name != stream.source]
            for place in places if is_flood else [flow.receiver]:
                delivery = traffic.delivery(stream, place)
                cell.most_copies = max(cell.most_copies, delivery.most_copies)
                crosses = (stream.source in self._lab.hosts) != (place in self._lab.hosts)
                if not crosses:
                    cell.check(
                        "exactly_once",
                        f"{flow.name}: copies beyond the first at {place}",
                        str(delivery.duplicated),
                        "0",
                        delivery.duplicated == 0,
                    )
                else:
                    rate = BROADCAST_RATE_PER_S if is_flood else RATE_PER_S
                    doubled_ms = max(doubled_ms, delivery.duplicated / rate * 1000)
            if is_flood and stream.source not in self._lab.hosts:
                both = traffic.came_by_several(stream, entrances)
                doubled_ms = max(doubled_ms, both / BROADCAST_RATE_PER_S * 1000)
        cell.doubled_ms = doubled_ms
        bound_ms = promise.doubles_s * 1000
        cell.check(
            "one_forwarder",
            "time for which frames were doubled",
            f"{doubled_ms:.0f} ms",
            f"≤ {bound_ms:.0f} ms",
            doubled_ms <= bound_ms,
        )
        cell.check(
            "no_loop",
            "copies of one frame at one receiver",
            str(cell.most_copies),
            f"≤ {len(self._gateways)}",
            cell.most_copies <= len(self._gateways),
        )
        if promise.closes_s:
            entrance = f"{scene.victim.nick_name}/in"
            passed = [at for one in streams for at in traffic.arrivals(one, entrance)]
            closed_s = (max([times.struck, *passed]) - times.struck) / 1e9
            cell.check(
                "fail_closed",
                "last frame out of its gateway port, after",
                f"{closed_s:.2f} s",
                f"≤ {promise.closes_s:.2f} s",
                closed_s <= promise.closes_s,
            )
        if not promise.takes_over_s:
            entrance = f"{scene.standby.nick_name}/in"
            out = sum(traffic.delivery(one, entrance).copies for one in streams)
            cell.check("standby_silent", "frames out of the standby port", str(out), "0", out == 0)

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


def options(prefix: str) -> labs.Options:
    """The lab of the matrix: gateways A and B in role auto, disks of their own for all."""
    shape = topology.build(PEERS)
    return labs.Options(
        prefix=prefix,
        topology=shape,
        roles=dict.fromkeys(shape.gateways(), "auto"),
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
