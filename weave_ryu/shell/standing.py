"""What can be said now of each gateway port of a segment. Sans-IO.

A record is the last word of a gateway's daemon, and stays when that daemon has died. `weigh` puts
it beside the signs of life: whoever shows gateways to people shows its answer, never the record.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, replace

from weave_ryu.gateway.detection import Judgement, Verdict
from weave_ryu.gateway.records import PortRecord
from weave_ryu.gateway.role import State

SERVING = (State.ACTIVE, State.DRAINING)


class Lost(enum.StrEnum):
    """What is believed of a port instead of the state that it told last."""

    FADING = "fading"
    """It may forward until its permits run out in its switch; nobody keeps them alive."""
    SILENT = "silent"
    """Nothing is heard of its daemon, and its permits have run out."""
    DEAD = "dead"
    """Its host or its switch is dead."""
    AWAY = "away"
    """Its daemon has left the mesh."""
    REPLACED = "replaced"
    """It said that it forwards, and another has taken over since."""


_WORDS = {
    State.ACTIVE: "forwards",
    State.STANDBY: "stands by",
    State.ARMING: "arms",
    State.DRAINING: "hands over",
    State.BLOCKED: "is blocked",
    State.FAULT: "has a fault",
}

NAMED = 3
"""With more that could take over, the headline counts them."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a gateway port.

    Args:
        label: nick name of its peer, and its name.
        told: the last word of its daemon.
        is_own: it is this peer's.
        is_certain: of an own port: the switch has confirmed what is told.
        judgement: of its signs of life; None if its leases do not come here, for only gateways of
            the same segment get them.
        silent_s: since it was heard.
        away_s: since it left the mesh; None if it is there.
    """

    label: str
    told: PortRecord
    is_own: bool = False
    is_certain: bool = True
    judgement: Judgement | None = None
    silent_s: float = 0.0
    away_s: float | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """What is believed of a gateway port.

    Args:
        seen: what it follows from.
        believed: its state, or one of `Lost`.
        words: the same in words, after its label.
        why: the reason for that, for humans.
        is_alive: its daemon is heard; None if that cannot be known here.
    """

    seen: Seen
    believed: str
    words: str
    why: str
    is_alive: bool | None

    @property
    def forwards(self) -> bool:
        """It forwards, as far as anybody knows."""
        return self.believed == State.ACTIVE

    @property
    def could(self) -> bool:
        """It could take over."""
        return self.believed == State.STANDBY and self.seen.told.ready


@dataclass(frozen=True, slots=True)
class Headline:
    """Who forwards, who could, and how good that is: ``good``, ``warn`` or ``bad``."""

    who: str
    could: str
    tone: str


def weigh(seen: Sequence[Seen], give_up_s: float) -> list[Standing]:
    """What is believed of all gateway ports of one segment, in the same order.

    Args:
        seen: all that are known.
        give_up_s: how long a port goes on forwarding without its daemon, at most.
    """
    newest = max(seen, key=lambda one: one.told.epoch, default=None)
    found = [_replaced(one, newest) or _standing(one, give_up_s) for one in seen]
    return [_with_successor(one, found) for one in found]


def headline(standings: Sequence[Standing]) -> Headline:
    """Who forwards on a segment, and whether somebody else could."""
    active = [one.seen.label for one in standings if one.forwards]
    unsure = [one for one in standings if one.believed == Lost.FADING]
    leaving = [one for one in standings if one.believed == State.DRAINING]
    ready = [one.seen.label for one in standings if one.could]
    tone = "bad"
    if len(active) > 1:
        who = f"{len(active)} FORWARD: {', '.join(active)}"
    elif active:
        who, tone = f"{active[0]} forwards", "good"
    elif unsure or leaving:
        who, tone = "", "warn"
    else:
        who = "NOBODY FORWARDS"
    doubts = [f"{one.seen.label}: {one.words}" for one in unsure]
    doubts += [f"{one.seen.label} {one.words}" for one in leaving if not active]
    who = "; ".join(filter(None, [who, *doubts]))
    if len(ready) > NAMED:
        return Headline(who, f"{len(ready)} could take over", tone)
    if ready:
        return Headline(who, f"{', '.join(ready)} could take over", tone)
    return Headline(who, f"nobody {'else ' if active else ''}could take over", tone)


def _replaced(one: Seen, newest: Seen | None) -> Standing | None:
    """Who gets no leases hears of a crash only what the successor tells: its epoch is higher."""
    is_hearsay = one.judgement is None and not one.is_own and one.away_s is None
    told = one.told
    if newest is None or not (is_hearsay and told.is_active and told.epoch < newest.told.epoch):
        return None
    if told.forced and newest.told.forced and newest.told.is_active:
        return None  # neither yields
    words = f"forwarded until {newest.label} took over"
    why = f"{newest.label} took over: {newest.told.reason}"
    return Standing(one, Lost.REPLACED, words, why, None)


def _standing(one: Seen, give_up_s: float) -> Standing:
    if one.is_own:
        return _own(one)
    if one.away_s is not None:
        return _away(one, give_up_s)
    judged, told = one.judgement, one.told
    words = _WORDS[State(told.state)] if told.state in _STATES else told.state
    if judged is None or judged.verdict is Verdict.ALIVE:
        return Standing(one, told.state, words, told.reason, None if judged is None else True)
    if judged.verdict is Verdict.ELSEWHERE:
        words = f"{words}, heard on the segment, not through the mesh"
        return Standing(one, told.state, words, f"{words}: {told.reason}", True)
    silent = f"its daemon is silent for {age(one.silent_s)}"
    if told.state in SERVING and (judged.vacant_in_s or 0.0) > 0.0:
        words = f"{silent}, may forward until its permits run out"
        return Standing(one, Lost.FADING, words, words, False)
    if judged.verdict is Verdict.HOST_DEAD:
        words = f"its host or switch is dead, silent for {age(one.silent_s)}"
        return Standing(one, Lost.DEAD, words, words, False)
    known = "its switch lives" if judged.verdict is Verdict.DAEMON_SILENT else str(judged.verdict)
    words = f"{silent}, {known.removeprefix('silent, ')}"
    return Standing(one, Lost.SILENT, words, words, False)


_STATES = frozenset(map(str, State))


def _own(one: Seen) -> Standing:
    told = one.told
    if one.is_certain or not told.is_active:
        return Standing(one, told.state, _WORDS[State(told.state)], told.reason, True)
    words = "may forward: its switch has not confirmed that it is closed"
    return Standing(one, Lost.FADING, words, f"{words}: {told.reason}", True)


def _away(one: Seen, give_up_s: float) -> Standing:
    left_s = one.away_s or 0.0
    words = f"its daemon has left the mesh {age(left_s)} ago"
    judged = one.judgement
    if judged is not None and judged.verdict is Verdict.HOST_DEAD:
        words = f"its host or switch is dead, {words}"
        return Standing(one, Lost.DEAD, words, words, False)
    may_last = left_s < give_up_s
    if judged is not None and judged.vacant_in_s is not None:
        may_last = judged.vacant_in_s > 0.0
    if one.told.state in SERVING and may_last:
        words = f"{words}, may forward until its permits run out"
        return Standing(one, Lost.FADING, words, words, False)
    return Standing(one, Lost.AWAY, words, words, False)


def _with_successor(one: Standing, all_: Sequence[Standing]) -> Standing:
    """Tell of one that is lost who came after it."""
    told = one.seen.told
    if one.believed in _STATES or one.believed == Lost.REPLACED or told.state not in SERVING:
        return one
    for other in all_:
        if other.forwards and other.seen.told.epoch > told.epoch:
            return replace(one, why=f"{one.why}; {other.seen.label} took over")
    return one


def age(seconds: float) -> str:
    """How long something lasts, as exactly as it matters."""
    if seconds < 3.0:
        return f"{seconds:.1f} s"
    if seconds < 120.0:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200.0 else f"{seconds / 3600:.0f} h"
