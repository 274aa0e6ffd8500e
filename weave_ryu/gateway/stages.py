"""What is under way at a gateway port: a gate not confirmed yet, either side of a hand-over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from weave_ryu.gate import Gate
from weave_ryu.gateway import pace
from weave_ryu.names import PeerName


@dataclass(slots=True)
class Pending:
    """A gate that the switch has not confirmed yet, and what follows when it has."""

    token: int
    gate: Gate
    then: Callable[[float], None]


@dataclass(slots=True)
class Leaving:
    """The old side of a hand-over."""

    to: PeerName
    epoch: int
    why: str
    must_close: bool
    until: float
    is_prepared: bool = False
    """The successor has been told all MACs, and asked to open for known unicast."""
    settled_at: float | None = None
    """When broadcasts are to change hands."""
    closed_at: float | None = None
    """When the switch confirmed that it takes no broadcasts any more."""
    handed_at: float | None = None
    """When the successor was told that they are its."""

    @property
    def due_at(self) -> float:
        """When the next step is due; before the other side has answered: when to give it up."""
        if self.handed_at is not None:
            return self.handed_at + pace.TAKEN_S
        if self.closed_at is not None:
            return self.closed_at + pace.SWEEP_S
        return self.until if self.settled_at is None else self.settled_at


@dataclass(slots=True)
class Entering:
    """The new side of a hand-over."""

    from_: PeerName
    epoch: int
    until: float
    announces_at: float | None = None
    """When its switch surely passes known unicast, so that it may draw the traffic."""
    watches_at: float | None = None
    """When it begins to watch which broadcasts the other passes."""

    @property
    def due_at(self) -> float:
        """When the next step is due; until then the other side acts, or it is given up."""
        steps = (self.announces_at, self.watches_at, self.until)
        return min(at for at in steps if at is not None)
