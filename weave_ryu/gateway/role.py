"""The state of one gateway port: which input leads where, and what must be done about it.

Opening and closing are done by the shell, and confirmed by the switch, before the machine is told:
the machine's state never says more than the switch has acknowledged.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from weave_ryu.errors import LocalProtocolError


class Role(enum.StrEnum):
    """What the operator asked for."""

    ACTIVE = "active"
    STANDBY = "standby"
    AUTO = "auto"


class State(enum.StrEnum):
    """What the gateway port does."""

    BLOCKED = "blocked"
    """Nothing passes; the switch or the link is not ready yet."""
    STANDBY = "standby"
    """Nothing passes, by decision; the peer is a full member of the mesh."""
    ARMING = "arming"
    """Nothing passes yet; looks whether another gateway forwards before it opens."""
    ACTIVE = "active"
    """Frames pass in both directions."""
    DRAINING = "draining"
    """Hands over to another gateway."""
    FAULT = "fault"
    """Nothing passes: the segment's link is down."""


class Input(enum.Enum):
    """What happens to a gateway port."""

    READY_TO_ARM = "switch and link are ready, role active"
    READY_TO_STAND_BY = "switch and link are ready, role standby"
    ARMED = "nobody else forwards"
    SUPERSEDED = "another gateway forwards with a higher epoch"
    ACTIVATED = "the operator asked for active, and the switch has opened the port"
    DEACTIVATED = "the operator asked for standby, and the switch has closed the port"
    LATE = "the permit ran out before it was renewed"
    LINK_LOST = "the segment's link went down"
    SWITCH_LOST = "the switch is not connected"


@dataclass(frozen=True, slots=True)
class Transition:
    """Where an input leads, and why in a clause."""

    to: State
    note: str


_LOST = {
    (state, Input.SWITCH_LOST): Transition(
        State.BLOCKED, "without its switch nothing is known of the port"
    )
    for state in State
}
_LINK = {
    (state, Input.LINK_LOST): Transition(State.FAULT, "no segment behind the port")
    for state in State
}

TRANSITIONS: Mapping[tuple[State, Input], Transition] = {
    **_LOST,
    **_LINK,
    (State.BLOCKED, Input.READY_TO_ARM): Transition(State.ARMING, "never come up forwarding"),
    (State.BLOCKED, Input.READY_TO_STAND_BY): Transition(State.STANDBY, "as asked"),
    (State.FAULT, Input.READY_TO_ARM): Transition(State.ARMING, "the link is back"),
    (State.FAULT, Input.READY_TO_STAND_BY): Transition(State.STANDBY, "the link is back"),
    (State.ARMING, Input.ARMED): Transition(State.ACTIVE, "the way is free"),
    (State.ARMING, Input.SUPERSEDED): Transition(State.STANDBY, "somebody else took over"),
    (State.ARMING, Input.ACTIVATED): Transition(State.ACTIVE, "the operator insists"),
    (State.ARMING, Input.DEACTIVATED): Transition(State.STANDBY, "as asked"),
    (State.STANDBY, Input.ACTIVATED): Transition(State.ACTIVE, "as asked"),
    (State.STANDBY, Input.DEACTIVATED): Transition(State.STANDBY, "it was"),
    (State.ACTIVE, Input.ACTIVATED): Transition(State.ACTIVE, "it was"),
    (State.ACTIVE, Input.DEACTIVATED): Transition(State.STANDBY, "as asked"),
    (State.ACTIVE, Input.LATE): Transition(State.ARMING, "block first, ask later"),
    (State.BLOCKED, Input.DEACTIVATED): Transition(State.BLOCKED, "stays closed"),
    (State.FAULT, Input.DEACTIVATED): Transition(State.FAULT, "stays closed"),
}
"""Anything not in this map is a bug of the caller."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a port's history. `at` is seconds since 1970."""

    at: float
    state: State
    epoch: int
    reason: str


class PortRole:
    """State, reason and history of one gateway port.

    Args:
        port: its name.
        segment: the segment behind it.
        role: what was asked for at the start.
        at: seconds since 1970.
    """

    HISTORY_LENGTH = 100

    def __init__(self, port: str, segment: str, role: Role, at: float) -> None:
        self.port = port
        self.segment = segment
        self.role = role
        self.epoch = 0
        self.history: deque[Entry] = deque(maxlen=self.HISTORY_LENGTH)
        self._enter(State.BLOCKED, "starts closed", at)

    @property
    def state(self) -> State:
        """What the port does now."""
        return self.history[-1].state

    @property
    def since(self) -> float:
        """When it came into this state, seconds since 1970."""
        return self.history[-1].at

    @property
    def reason(self) -> str:
        """Why it is in this state."""
        return self.history[-1].reason

    def apply(self, happened: Input, at: float, cause: str = "") -> bool:
        """Take one input.

        Args:
            happened: the input.
            at: seconds since 1970.
            cause: who or what, for the reason.

        Returns:
            True if the state changed.

        Raises:
            LocalProtocolError: this cannot happen in this state.
        """
        transition = TRANSITIONS.get((self.state, happened))
        if transition is None:
            raise LocalProtocolError(f"{self.port}: {happened.name} in state {self.state}")
        if transition.to == self.state:
            return False
        self._enter(transition.to, cause or f"{happened.value}: {transition.note}", at)
        return True

    def can(self, happened: Input) -> bool:
        """True if `apply` would accept the input now."""
        return (self.state, happened) in TRANSITIONS

    def _enter(self, state: State, reason: str, at: float) -> None:
        self.history.append(Entry(at, state, self.epoch, reason))
