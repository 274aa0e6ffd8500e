"""What a gateway port is configured with, and what it sees of its peer and of the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from weave_ryu.errors import WeaveRyuError
from weave_ryu.gateway.detection import Judgement
from weave_ryu.gateway.election import Candidate
from weave_ryu.gateway.records import OUTLIVED_BELOW, PortRecord
from weave_ryu.gateway.role import Role
from weave_ryu.gateway.timers import Timers
from weave_ryu.names import PeerName


class NotReadyError(WeaveRyuError):
    """A role cannot be taken now."""


@dataclass(frozen=True, slots=True)
class PortSpec:
    """What is configured; see `config.GatewaySpec`."""

    port: str
    segment: str
    role: Role
    priority: int = 100
    preempt: bool = False
    preempt_delay_s: float = 10.0
    hello: bool = False


@dataclass(frozen=True, slots=True)
class Other:
    """Another gateway of the segment, as judged now."""

    name: PeerName
    record: PortRecord
    judgement: Judgement
    is_fresh: bool

    @property
    def candidate(self) -> Candidate:
        """It, in an election."""
        record = self.record
        is_asked = record.role == Role.ACTIVE and record.word < OUTLIVED_BELOW
        return Candidate(self.name, record.priority, record.damped, record.word if is_asked else 0)

    @property
    def insists(self) -> bool:
        """It forwards by an operator's force, and is not believed to be dead."""
        is_alive = self.is_fresh and self.judgement.vacant_in_s is None
        return is_alive and self.record.is_active and self.record.forced


class Surroundings(Protocol):
    """What a port sees of its peer and of the other gateways."""

    @property
    def timers(self) -> Timers:
        """All times."""

    @property
    def own(self) -> PeerName:
        """This peer."""

    @property
    def is_switch_up(self) -> bool:
        """The switch is connected and holds its flows."""

    @property
    def peer_count(self) -> int:
        """Neighbours with an established connection."""

    def has_carrier(self, port: str) -> bool:
        """The link is a port of the bridge, is up, and nothing else keeps the port closed."""

    def trouble(self, port: str) -> str:
        """What keeps the port closed, if it is not that its link is down; else empty."""

    def epoch(self, segment: str) -> int:
        """The highest epoch heard of."""

    def gateways(self, segment: str) -> tuple[PeerName, ...]:
        """The other gateways of a segment, sorted."""

    def others(self, segment: str, now: float) -> list[Other]:
        """The other gateways of a segment, sorted by name."""

    def elsewhere(self, segment: str, now: float) -> tuple[PeerName, ...]:
        """Gateways that say on the segment that they forward, but are not in this mesh."""

    def macs_to_prime(self, port: str) -> frozenset[str]:
        """MACs of the mesh that the switch is to know of before the port opens."""

    def is_peer(self, segment: str) -> bool:
        """All gateways of a segment know that it is a peer of the mesh."""

    def announce(self, port: str) -> None:
        """Tell the segment all MACs of the mesh."""

    def publish(self) -> None:
        """Tell everybody this peer's record."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What would happen next.

    Args:
        at: when this port would open, monotonic seconds; None = not as things are.
        why: in a clause.
        head_start_s: how much of the wait is for better candidates to come first.
    """

    at: float | None
    why: str
    head_start_s: float = 0.0
