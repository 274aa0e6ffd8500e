"""What the captures of one cell of the matrix show, held against what was promised."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from weave_ryu.lab.faults import ACTIVE, HEAL_S, Promise, Scene
from weave_ryu.lab.report import Check
from weave_ryu.lab.traffic import Stream, Traffic

RATE_PER_S: Final = 200
BROADCAST_RATE_PER_S: Final = 100
BLIP_MS: Final = 500.0
"""Longest silence of what has healed."""


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


@dataclass(frozen=True, slots=True)
class Judge:
    """Adds checks to a cell.

    Attributes:
        cell: gets the figures and the checks.
        scene: who was struck.
        traffic: with the captures at all stations and at the segment's ports to the gateways.
        flows: what was sent.
        promise: what must hold.
        times: when it was.
    """

    cell: Cell
    scene: Scene
    traffic: Traffic
    flows: list[Flow]
    promise: Promise
    times: Times

    def all(self) -> None:
        """Everything that can be said when the traffic has ended."""
        for flow in self.flows:
            self._silences(flow)
            self._losses(flow)
        self._loops()
        self._doubles()
        self._gates()

    def _silences(self, flow: Flow) -> None:
        cell, times = self.cell, self.times
        stream, receiver = flow.stream, flow.receiver
        gap_ms = self._gap_ms(flow)
        if flow.crosses and not flow.to_silent and gap_ms > cell.gap_ms:
            cell.gap_ms, cell.worst_flow = gap_ms, flow.name
        whole_at = times.ended + int(HEAL_S * 1e9)
        healed_ms = self.traffic.gap_ms(stream, receiver, whole_at, times.stopped)
        cell.check(
            "no_blackhole",
            f"{flow.name}: longest silence once healed",
            f"{healed_ms:.0f} ms",
            f"≤ {BLIP_MS:.0f} ms",
            healed_ms <= BLIP_MS,
        )

    def _losses(self, flow: Flow) -> None:
        """What was lost, or where a take-over may cost something, for how long nothing came."""
        cell, promise = self.cell, self.promise
        delivery = self.traffic.delivery(flow.stream, flow.receiver)
        if flow.at_victim and (promise.severed or (flow.crosses and promise.severed_segment)):
            return
        if flow.crosses and promise.takes_over_s:
            if not (flow.to_silent and promise.splits):
                gap_ms, bound_ms = self._gap_ms(flow), promise.takes_over_s * 1000
                cell.check(
                    "available",
                    f"{flow.name}: longest silence",
                    f"{gap_ms:.0f} ms",
                    f"≤ {bound_ms:.0f} ms",
                    gap_ms <= bound_ms,
                )
            return
        # Twice the share: of some 1,000 frames that is far beyond chance.
        passes = flow.at_victim or (flow.crosses and cell.role == ACTIVE)
        may_lose = int(2 * promise.lost_share * flow.stream.sent) if passes else 0
        if not flow.crosses:
            cell.lost_inside += max(0, delivery.lost - may_lose)
        cell.check(
            "available" if flow.crosses else "hitless",
            f"{flow.name}: frames lost, of {delivery.sent}",
            str(delivery.lost),
            f"≤ {may_lose}",
            delivery.lost <= may_lose,
        )

    def _loops(self) -> None:
        streams = [flow.stream for flow in self.flows]
        back = sum(self.traffic.delivery(one, one.source).copies for one in streams)
        back += sum(
            self.traffic.delivery(one, entrance).copies
            for one in streams
            if one.source in self._hosts
            for entrance in self._entrances
        )
        self.cell.check("no_loop", "frames back where they came from", str(back), "0", back == 0)

    def _doubles(self) -> None:
        """Copies across the gateways are due to two that forward; others have no excuse."""
        cell, gateways = self.cell, len(self._entrances)
        doubled_ms = 0.0
        for flow in self.flows:
            stream = flow.stream
            rate = BROADCAST_RATE_PER_S if stream.is_broadcast else RATE_PER_S
            others = [name for name in self.traffic.stations if name != stream.source]
            for place in others if stream.is_broadcast else [flow.receiver]:
                delivery = self.traffic.delivery(stream, place)
                cell.most_copies = max(cell.most_copies, delivery.most_copies)
                if (stream.source in self._hosts) != (place in self._hosts):
                    doubled_ms = max(doubled_ms, delivery.duplicated / rate * 1000)
                    continue
                cell.check(
                    "exactly_once",
                    f"{flow.name}: copies beyond the first at {place}",
                    str(delivery.duplicated),
                    "0",
                    delivery.duplicated == 0,
                )
            if stream.is_broadcast and stream.source not in self._hosts:
                both = self.traffic.came_by_several(stream, self._entrances)
                doubled_ms = max(doubled_ms, both / rate * 1000)
        cell.doubled_ms = doubled_ms
        bound_ms = self.promise.doubles_s * 1000
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
            f"≤ {gateways}",
            cell.most_copies <= gateways,
        )

    def _gates(self) -> None:
        """What passes the port of who should be closed."""
        streams = [flow.stream for flow in self.flows]
        promise, struck = self.promise, self.times.struck
        if promise.closes_s:
            entrance = f"{self.scene.victim.nick_name}/in"
            passed = [at for one in streams for at in self.traffic.arrivals(one, entrance)]
            closed_s = (max([struck, *passed]) - struck) / 1e9
            self.cell.check(
                "fail_closed",
                "last frame out of its gateway port, after",
                f"{closed_s:.2f} s",
                f"≤ {promise.closes_s:.2f} s",
                closed_s <= promise.closes_s,
            )
        if not promise.takes_over_s:
            entrance = f"{self.scene.standby.nick_name}/in"
            out = sum(self.traffic.delivery(one, entrance).copies for one in streams)
            situation = "frames out of the standby port"
            self.cell.check("standby_silent", situation, str(out), "0", out == 0)

    @property
    def _hosts(self) -> set[str]:
        return set(self.scene.lab.hosts)

    @property
    def _entrances(self) -> list[str]:
        """Where frames enter the segment from the gateways."""
        return [f"{name}/in" for name in self.scene.lab.topology.segments[0].gateways]

    def _gap_ms(self, flow: Flow) -> float:
        """The longest silence, less what the sender itself paused."""
        times = self.times
        gap_ms = self.traffic.gap_ms(flow.stream, flow.receiver, times.struck, times.stopped)
        return max(0.0, gap_ms - flow.stream.longest_pause_ns / 1e6)
