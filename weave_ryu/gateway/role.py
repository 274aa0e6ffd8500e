"""The states of one gateway port, and the table of what leads from one to the other.

Gates are opened and closed by the shell and confirmed by the switch before the state is left: a
state never says more than the switch has acknowledged.
"""

from __future__ import annotations

import enum
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
    """Nothing passes; the switch is not ready yet."""
    STANDBY = "standby"
    """Nothing passes, by decision; the peer is a full member of the mesh."""
    ARMING = "arming"
    """Nothing but known unicast passes, if that: looks who else forwards, or takes over."""
    ACTIVE = "active"
    """Frames pass in both directions."""
    DRAINING = "draining"
    """Has handed over; still lets in what switches send to it for a moment."""
    FAULT = "fault"
    """Nothing passes: the segment's link is down."""


class Input(enum.Enum):
    """What happens to a gateway port; the value is the default reason."""

    READY_TO_ARM = "switch and link are ready"
    READY_TO_STAND_BY = "switch and link are ready, role standby"
    OPENED = "the switch has opened the port"
    CLOSED = "the switch has closed the port"
    PASSED_OVER = "another gateway forwards or comes first"
    TAKING_OVER = "the gateway that forwards hands over"
    GIVEN_UP = "the hand-over came to nothing"
    HANDED_OVER = "the successor has opened"
    LATE = "the permit ran out before it was renewed"
    LINK_LOST = "the segment's link went down"
    SWITCH_LOST = "the switch is not connected"


@dataclass(frozen=True, slots=True)
class Transition:
    """Where an input leads, and a note for the diagram."""

    to: State
    note: str


def _from_all(happened: Input, to: State, note: str) -> dict[tuple[State, Input], Transition]:
    return {(state, happened): Transition(to, note) for state in State}


TRANSITIONS: Mapping[tuple[State, Input], Transition] = {
    **_from_all(Input.SWITCH_LOST, State.BLOCKED, "nothing is known of the port"),
    **_from_all(Input.LINK_LOST, State.FAULT, "no segment behind the port"),
    (State.BLOCKED, Input.READY_TO_ARM): Transition(State.ARMING, "never comes up forwarding"),
    (State.BLOCKED, Input.READY_TO_STAND_BY): Transition(State.STANDBY, "as asked"),
    (State.FAULT, Input.READY_TO_ARM): Transition(State.ARMING, "the link is back"),
    (State.FAULT, Input.READY_TO_STAND_BY): Transition(State.STANDBY, "the link is back"),
    (State.ARMING, Input.OPENED): Transition(State.ACTIVE, "the way is free"),
    (State.ARMING, Input.PASSED_OVER): Transition(State.STANDBY, "somebody else forwards"),
    (State.ARMING, Input.CLOSED): Transition(State.STANDBY, "as asked"),
    (State.ARMING, Input.GIVEN_UP): Transition(State.STANDBY, "try again later"),
    (State.STANDBY, Input.OPENED): Transition(State.ACTIVE, "takes over"),
    (State.STANDBY, Input.CLOSED): Transition(State.STANDBY, "it was"),
    (State.STANDBY, Input.TAKING_OVER): Transition(State.ARMING, "planned hand-over"),
    (State.ACTIVE, Input.OPENED): Transition(State.ACTIVE, "it was"),
    (State.ACTIVE, Input.CLOSED): Transition(State.STANDBY, "resigns"),
    (State.ACTIVE, Input.LATE): Transition(State.ARMING, "blocks first, asks later"),
    (State.ACTIVE, Input.HANDED_OVER): Transition(State.DRAINING, "planned hand-over"),
    (State.DRAINING, Input.CLOSED): Transition(State.STANDBY, "drained"),
    (State.DRAINING, Input.LATE): Transition(State.STANDBY, "drained"),
    (State.ARMING, Input.LATE): Transition(State.ARMING, "starts to listen again"),
}
"""Anything not in this map is a bug of the caller."""


def follow(state: State, happened: Input) -> State:
    """The next state.

    Raises:
        LocalProtocolError: this cannot happen in this state.
    """
    transition = TRANSITIONS.get((state, happened))
    if transition is None:
        raise LocalProtocolError(f"{happened.name} in state {state}")
    return transition.to


def mermaid() -> str:
    """The state diagram, for the documentation."""
    lines = ["stateDiagram-v2", "    [*] --> blocked"]
    for (state, happened), transition in TRANSITIONS.items():
        if state is not transition.to and happened not in (Input.SWITCH_LOST, Input.LINK_LOST):
            lines.append(f"    {state} --> {transition.to}: {happened.name.lower()}")
    lines.append("    note right of blocked: from anywhere, when the switch is lost")
    lines.append("    note right of fault: from anywhere, when the link is lost")
    return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a port's history.

    Args:
        at: monotonic seconds.
        state: entered.
        epoch: the port's epoch then.
        reason: who or what, in a clause.
        seen: other gateways of the segment and their states then.
    """

    at: float
    state: State
    epoch: int
    reason: str
    seen: tuple[tuple[str, str], ...] = ()
