"""The states of one gateway port, each with its data, and the table of what leads where.

A port is in exactly one of them. Gates are opened and closed by the shell and confirmed by the
switch before a state says so: while an answer is awaited, that is a state of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from weave_ryu.errors import LocalProtocolError
from weave_ryu.gateway.handover import Entering, Leaving
from weave_ryu.gateway.role import State
from weave_ryu.names import PeerName

LONG_AGO = float("-inf")
NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class Blocked:
    """The switch is not connected: nothing can be done.

    Args:
        may_pass_until: permits of before have run out by then (monotonic seconds); until that the
            port counts as one that forwards.
    """

    may_pass_until: float = LONG_AGO
    shown: ClassVar[State] = State.BLOCKED
    due_at: ClassVar[float] = NEVER


@dataclass(frozen=True, slots=True)
class Fault:
    """The segment's link is down: nothing passes a dead link.

    Args:
        may_pass_until: as in `Blocked`, should the link come back before the switch has confirmed
            that it has closed.
    """

    may_pass_until: float = LONG_AGO
    shown: ClassVar[State] = State.FAULT
    due_at: ClassVar[float] = NEVER


@dataclass(frozen=True, slots=True)
class Resetting:
    """The switch is to close, whatever it let pass before; see `Blocked` for `may_pass_until`.

    Args:
        due_at: when it is told again; never while its answer is awaited.
    """

    may_pass_until: float = LONG_AGO
    due_at: float = NEVER
    shown: ClassVar[State] = State.BLOCKED


@dataclass(frozen=True, slots=True)
class Listening:
    """Closed; finds out who else is a gateway of the segment, since `since`."""

    since: float
    shown: ClassVar[State] = State.ARMING
    due_at: ClassVar[float] = NEVER


@dataclass(frozen=True, slots=True)
class Standby:
    """Closed, by decision."""

    shown: ClassVar[State] = State.STANDBY
    due_at: ClassVar[float] = NEVER


@dataclass(frozen=True, slots=True)
class Requesting:
    """Closed; asks the gateway that forwards for the role.

    Args:
        until: it is given up then (monotonic seconds).
        ask_at: when it asks next.
        preempts: by its priority, and not because an operator waits for it.
    """

    until: float
    ask_at: float
    preempts: bool = False
    shown: ClassVar[State] = State.STANDBY
    due_at: ClassVar[float] = NEVER


@dataclass(frozen=True, slots=True)
class Opening:
    """The switch is to open: from now on it may. Shown as what it was."""

    epoch: int
    why: str
    shown: State
    due_at: ClassVar[float] = NEVER


@dataclass(frozen=True, slots=True)
class Active:
    """Forwards."""

    shown: ClassVar[State] = State.ACTIVE
    due_at: ClassVar[float] = NEVER


@dataclass(frozen=True, slots=True)
class Closing:
    """The switch is to close: until it has, it may pass frames. Shown as what it was."""

    why: str
    shown: State
    due_at: ClassVar[float] = NEVER


@dataclass(frozen=True, slots=True)
class Draining:
    """Has handed over to `to`, and lets in what is still sent to it, until `due_at`."""

    to: PeerName
    why: str
    due_at: float
    shown: ClassVar[State] = State.DRAINING


PortState = (
    Blocked
    | Fault
    | Resetting
    | Listening
    | Standby
    | Requesting
    | Opening
    | Active
    | Closing
    | Entering
    | Leaving
    | Draining
)

STATES: tuple[type[PortState], ...] = (
    Blocked,
    Fault,
    Resetting,
    Listening,
    Standby,
    Requesting,
    Opening,
    Active,
    Closing,
    Entering,
    Leaving,
    Draining,
)


class Input(Enum):
    """What happens to a gateway port; the value is the default reason."""

    SWITCH_LOST = "the switch is not connected"
    LINK_LOST = "the segment's link went down"
    LATE = "the permit ran out before it was renewed"
    UNCONFIRMED = "the switch did not confirm"
    READY = "switch and link are there"
    LISTENS = "switch and link are ready"
    STANDS_BY = "switch and link are ready, role standby"
    PASSED_OVER = "another gateway forwards or comes first"
    ASKS = "asks who forwards for the role"
    ENDS_ASKING = "asks for the role no more"
    OPENS = "the way is free"
    OPENED = "the switch has opened the port"
    RESIGNS = "it is to close"
    CLOSED = "the switch has closed the port"
    INVITED = "the gateway that forwards hands over"
    HANDS_OVER = "another gateway is to forward"
    GIVEN_UP = "the hand-over came to nothing"
    HANDED_OVER = "the successor has been told to open"
    DRAINED = "nothing more is sent to it"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a port's history.

    Args:
        at: monotonic seconds.
        state: entered.
        epoch: the port's epoch then.
        reason: who or what, in a clause.
        seen: other gateways of the segment and their states then.
        happened: what led to the state; None for the first line.
    """

    at: float
    state: State
    epoch: int
    reason: str
    seen: tuple[tuple[str, str], ...] = ()
    happened: Input | None = None


@dataclass(frozen=True, slots=True)
class Transition:
    """Where an input leads, and a note for whoever reads the table."""

    to: type[PortState]
    note: str


def _from(
    states: tuple[type[PortState], ...], happened: Input, to: type[PortState], note: str
) -> dict[tuple[type[PortState], Input], Transition]:
    return {(state, happened): Transition(to, note) for state in states}


CLOSED_STATES = (Listening, Standby, Requesting)
"""The switch has confirmed that nothing passes, and the port may look for work."""
AWAITING = (Resetting, Opening, Closing, Entering, Leaving)
"""It has told the switch to change its gate, or may have."""
PERMITTED = (Active, Entering, Leaving, Draining)
"""Permits live in the switch, and are renewed."""

TRANSITIONS: Mapping[tuple[type[PortState], Input], Transition] = {
    **_from(STATES, Input.SWITCH_LOST, Blocked, "nothing is known of the port"),
    **_from(STATES, Input.LINK_LOST, Fault, "no segment behind the port"),
    **_from(PERMITTED, Input.LATE, Resetting, "blocks first, asks later"),
    **_from(AWAITING, Input.UNCONFIRMED, Resetting, "what passes is not known"),
    **_from((Blocked, Fault), Input.READY, Resetting, "never comes up forwarding"),
    (Resetting, Input.LISTENS): Transition(Listening, "looks who else forwards"),
    (Resetting, Input.STANDS_BY): Transition(Standby, "as asked"),
    (Listening, Input.PASSED_OVER): Transition(Standby, "somebody else forwards"),
    **_from((Listening, Standby), Input.ASKS, Requesting, "who forwards hands over"),
    (Requesting, Input.ENDS_ASKING): Transition(Standby, "it was"),
    **_from(CLOSED_STATES, Input.OPENS, Opening, "nobody else forwards, or it is forced"),
    (Opening, Input.OPENED): Transition(Active, "a promotion"),
    **_from(CLOSED_STATES, Input.INVITED, Entering, "a planned hand-over"),
    (Entering, Input.OPENED): Transition(Active, "a planned hand-over"),
    (Entering, Input.GIVEN_UP): Transition(Closing, "somebody else goes on"),
    (Active, Input.RESIGNS): Transition(Closing, "nobody takes over, or somebody has"),
    (Active, Input.HANDS_OVER): Transition(Leaving, "a planned hand-over"),
    (Leaving, Input.GIVEN_UP): Transition(Active, "goes on"),
    (Leaving, Input.RESIGNS): Transition(Closing, "it has to close all the same"),
    (Leaving, Input.HANDED_OVER): Transition(Draining, "frames are on their way to it"),
    (Draining, Input.DRAINED): Transition(Closing, "all know the successor"),
    (Closing, Input.CLOSED): Transition(Standby, "it stands by"),
}
"""Anything not in this map is a bug of the caller."""


def follow(state: PortState, happened: Input) -> type[PortState]:
    """The next state.

    Raises:
        LocalProtocolError: this cannot happen in this state.
    """
    transition = TRANSITIONS.get((type(state), happened))
    if transition is None:
        raise LocalProtocolError(f"{happened.name} in state {name_of(type(state))}")
    return transition.to


def told(state: PortState, now: float) -> State:
    """The state as other gateways are told.

    A port that may be open counts as active: its switch was told to open, or was lost while open,
    and its permits have not run out yet.
    """
    match state:
        case Blocked(until) | Resetting(until, _) if now < until:
            return State.ACTIVE
        case Opening():
            return State.ACTIVE
        case Leaving(is_told=True):
            return State.DRAINING
    return state.shown


def name_of(state: type[PortState]) -> str:
    """Of a state, as in the diagram."""
    return state.__name__.lower()


def mermaid() -> str:
    """The state diagram, for the documentation."""
    lines = ["stateDiagram-v2", "    [*] --> blocked"]
    for (state, happened), transition in TRANSITIONS.items():
        if happened not in (Input.SWITCH_LOST, Input.LINK_LOST) and state is not transition.to:
            way = f"{name_of(state)} --> {name_of(transition.to)}"
            lines.append(f"    {way}: {happened.name.lower()}")
    lines.append("    note right of blocked: from anywhere, when the switch is lost")
    lines.append("    note right of fault: from anywhere, when the link is lost")
    return "\n".join(lines)
