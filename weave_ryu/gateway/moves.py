"""MACs that are at two places: has a station moved, or does the segment return its frames? Sans-IO.

A frame that comes from a segment in the name of a MAC of the mesh is one or the other. The gateway
asks the peer that has the MAC when it has spoken there last. If it was before, all peers forget it,
and the gateway makes it known behind the segment. If it was about then, the frame was a copy, or
two stations have one address: nothing changes, and the conflict is shown.

A MAC may also be known behind another segment. Then the gateway that forwards for that one is asked
when it has spoken there last.

Every peer runs one of these. Peers that do not know the channel, such as routers of Weave, do not
answer: their MACs stay theirs, as long as their entries live.

Of some MACs a gateway knows only by hearsay that they are in the mesh. Then all are asked; if
nobody has it, or has heard it lately, the hearsay is out of date.
"""

from __future__ import annotations

import enum
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from weave_ryu.errors import RemoteProtocolError
from weave_ryu.gateway.movemessages import Answer, Ask, HasMoved, Message, decode, encode
from weave_ryu.names import PeerName

LAG_S = 0.6
"""Open vSwitch says so late at most what it has learnt of a frame that took a cached way
(``max-revalidator``, 500 ms): before that, silence proves nothing."""

MARGIN_S = 0.2
"""A station that has spoken at its old place so long before it was seen on the segment has not
moved: so long its frame may have needed. Longer would make moves slow, as the switch tells ages in
whole seconds."""

ANSWER_S = 2.0
AGAIN_S = 0.3
"""After an answer the same MAC is not asked about for so long."""

SHOWN_S = 60.0
"""A conflict counts as over when nothing was seen of it for so long."""

MAX_ASKED = 64
MAX_CONFLICTS = 1024

_Key = tuple[str, str]
"""A segment, and a MAC."""


@dataclass(frozen=True, slots=True)
class Send:
    """A message on the channel, to one peer or to all."""

    to: PeerName | None
    payload: bytes


@dataclass(frozen=True, slots=True)
class Ages:
    """Since when a switch has learnt a MAC last, in seconds; None: it does not know it so.

    Args:
        here: where it was asked about: at a container's port, or behind another segment.
        heard: behind another peer.
        behind: behind the segment in question.
    """

    here: float | None = None
    heard: float | None = None
    behind: float | None = None


class Why(enum.Enum):
    """Why a switch is looked into."""

    HOLDER = enum.auto()
    """This peer is known to have the MAC."""
    ANYBODY = enum.auto()
    """It is not known who has it."""
    DOUBT = enum.auto()
    """This gateway is told by another that the MAC is in the mesh; it may be behind its segment."""


@dataclass(frozen=True, slots=True)
class Look:
    """Look, after `LAG_S`, when the own switch has learnt a MAC last; answer with `looked`.

    Args:
        by: who asks.
        segment: where the MAC was seen.
        mac: 12 hex digits.
        number: of the question.
        why: decides what is answered.
        behind: the segment behind which the MAC is known; empty: it is at a container's port.
    """

    by: PeerName
    segment: str
    mac: str
    number: int
    why: Why
    behind: str = ""


@dataclass(frozen=True, slots=True)
class Forget:
    """Forget where a MAC was (12 hex digits), in the mesh or behind other segments."""

    segment: str
    mac: str


@dataclass(frozen=True, slots=True)
class Deny:
    """A MAC that this switch has learnt behind a segment is in the mesh: learn that instead."""

    mac: str


@dataclass(frozen=True, slots=True)
class Settle:
    """Make a MAC known behind a segment that this peer forwards for, here and at all peers."""

    segment: str
    mac: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """A MAC that speaks on a segment and, as far as is known, at a peer.

    Args:
        segment: where it was seen.
        mac: 12 hex digits.
        holder: the peer that has it; None if that is not known.
        since: monotonic seconds.
        last: when it was seen last.
        is_denied: the holder has said that it speaks there; else nobody has answered.
        frames: how many were seen, of those that the switch has shown.
    """

    segment: str
    mac: str
    holder: PeerName | None
    since: float
    last: float
    is_denied: bool
    frames: int = 1


@dataclass(frozen=True, slots=True)
class Told:
    """A conflict is new, or another than before: log it."""

    conflict: Conflict


@dataclass(frozen=True, slots=True)
class Moved:
    """A MAC was moved from a peer to a segment: log it, count it.

    `holder` is None if nobody had it any more.
    """

    segment: str
    mac: str
    holder: PeerName | None


Command = Send | Look | Forget | Deny | Settle | Told | Moved


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question that is open.

    Args:
        number: tells it from others about the same MAC.
        holder: who is asked; None: all.
        behind: the segment behind which the MAC is known; empty: it is none.
        seen_at: when the MAC was seen on the segment last.
        until: when it is answered, or nobody will answer.
        is_doubt: its sighting may be as old as what others say.
        heard_at: when it was heard last behind a peer, as far as anybody says.
    """

    number: int
    holder: PeerName | None
    seen_at: float
    until: float
    behind: str = ""
    is_doubt: bool = False
    heard_at: float = -math.inf

    def is_later(self, spoke_at: float) -> bool:
        """Whether the MAC has spoken in the mesh since it was seen on the segment, or just then."""
        return spoke_at > self.seen_at - MARGIN_S


class Moves:
    """See the module's docstring. Inputs queue commands; `poll_commands` drains them.

    Args:
        own: this peer.
        is_gateway: whether a peer forwards for a segment, as far as is known.
    """

    def __init__(self, own: PeerName, is_gateway: Callable[[PeerName, str], bool]) -> None:
        self._own = own
        self._is_gateway = is_gateway
        self._numbers = itertools.count(1)
        self._asked: dict[_Key, _Asked] = {}
        self._rest: dict[_Key, float] = {}
        self._conflicts: dict[_Key, Conflict] = {}
        self._commands: list[Command] = []

    def poll_commands(self) -> list[Command]:
        """What is to be done, in this order."""
        commands, self._commands = self._commands, []
        return commands

    def conflicts(self, now: float) -> list[Conflict]:
        """MACs that are at two places, sorted."""
        self._end_old(now)
        return [self._conflicts[key] for key in sorted(self._conflicts)]

    def is_asked(self, mac: str) -> bool:
        """Whether a question about a MAC is open."""
        return any(about == mac for _, about in self._asked)

    def deadline(self) -> float | None:
        """When `handle_timer` is due; None while no question is open."""
        return min((asked.until for asked in self._asked.values()), default=None)

    # Inputs.

    def returned(
        self, segment: str, mac: str, holder: PeerName | None, now: float, behind: str = ""
    ) -> None:
        """A frame came from a segment in the name of a MAC of the mesh, or of another segment.

        Args:
            segment: that this peer forwards for.
            mac: 12 hex digits.
            holder: the peer that is known to have it; None: it is not known which.
            now: monotonic seconds.
            behind: the other segment, for which the holder forwards; empty: the holder has it
                at a container's port.
        """
        key = segment, mac
        known = self._conflicts.get(key)
        if known is not None:
            self._conflicts[key] = replace(known, last=now, frames=known.frames + 1)
        if self._may_ask(key, now):
            asked = _Asked(next(self._numbers), holder, now, now + ANSWER_S, behind)
            self._ask(key, asked)

    def doubted(self, segment: str, mac: str, now: float) -> None:
        """Another gateway has a MAC in the mesh that was learnt behind the segment here.

        Either may be old news.

        Args:
            segment: that this peer forwards for.
            mac: 12 hex digits.
            now: monotonic seconds.
        """
        key = segment, mac
        if self._may_ask(key, now):
            number = next(self._numbers)
            until = now + LAG_S + ANSWER_S
            self._asked[key] = _Asked(number, None, now, until, is_doubt=True)
            self._commands.append(Look(self._own, segment, mac, number, Why.DOUBT))

    def received(self, source: PeerName, payload: bytes, now: float) -> None:
        """A message on the channel.

        Raises:
            RemoteProtocolError: it is malformed, or not for that peer to say; nothing was done.
        """
        match decode(payload):
            case HasMoved(segment, mac):
                if not self._is_gateway(source, segment):
                    raise RemoteProtocolError("moves", f"{source} does not forward for {segment}")
                self._commands.append(Forget(segment, mac))
            case Ask(segment, mac, number, is_holder, behind):
                why = Why.HOLDER if is_holder else Why.ANYBODY
                self._commands.append(Look(source, segment, mac, number, why, behind))
            case Answer() as answer:
                self._answered(source, answer, now)

    def looked(self, look: Look, ages: Ages, now: float) -> None:
        """The answer to `Look`."""
        if look.why is Why.DOUBT:
            self._doubt_stands(look, ages, now)
            return
        is_here = ages.here is not None or look.why is Why.HOLDER
        age_s = ages.here if is_here else ages.heard
        if age_s is None and not is_here:
            return  # whoever has it answers
        answer = Answer(look.segment, look.mac, look.number, age_s, is_here)
        if look.by == self._own:
            self._answered(self._own, answer, now)
        else:
            self._send(look.by, answer)

    def handle_timer(self, now: float) -> None:
        """Time has passed: whoever has not answered will not."""
        for key, asked in [(k, a) for k, a in self._asked.items() if a.until <= now]:
            del self._asked[key]
            self._rest[key] = now + AGAIN_S
            is_heard = asked.is_later(asked.heard_at)
            if asked.is_doubt and is_heard:
                self._commands.append(Deny(key[1]))
            elif asked.holder is not None or is_heard:
                self._note(key, asked.holder, False, now)
            elif not asked.is_doubt:
                self._move(key, None)
        self._end_old(now)

    # Small things.

    def _may_ask(self, key: _Key, now: float) -> bool:
        is_resting = self._rest.get(key, now) > now
        return not is_resting and key not in self._asked and len(self._asked) < MAX_ASKED

    def _ask(self, key: _Key, asked: _Asked) -> None:
        self._asked[key] = asked
        if asked.holder == self._own:
            self._commands.append(Look(self._own, *key, asked.number, Why.HOLDER, asked.behind))
        else:
            is_holder = asked.holder is not None
            behind = asked.behind if is_holder else ""
            self._send(asked.holder, Ask(*key, asked.number, is_holder, behind))
            if asked.holder is None:
                self._commands.append(Look(self._own, *key, asked.number, Why.ANYBODY))

    def _doubt_stands(self, look: Look, ages: Ages, now: float) -> None:
        """Its own switch says what it has learnt last: in the mesh, or behind the segment."""
        key = look.segment, look.mac
        asked = self._asked.get(key)
        if asked is None or asked.number != look.number:
            return
        del self._asked[key]
        if ages.behind is not None and ages.here is None and ages.heard is None:
            self._ask(key, replace(asked, seen_at=now - ages.behind, until=now + ANSWER_S))

    def _answered(self, source: PeerName, answer: Answer, now: float) -> None:
        key = answer.segment, answer.mac
        asked = self._asked.get(key)
        if asked is None or asked.number != answer.number or asked.holder not in (None, source):
            return
        # The answer was under way as well: no later than this.
        spoke_at = -math.inf if answer.age_s is None else now - answer.age_s
        if not answer.is_here:
            self._asked[key] = replace(asked, heard_at=max(asked.heard_at, spoke_at))
            return
        del self._asked[key]
        if not asked.is_later(spoke_at):
            self._move(key, source)
            return
        self._note(key, source, True, now)
        if asked.is_doubt:
            self._commands.append(Deny(key[1]))

    def _move(self, key: _Key, holder: PeerName | None) -> None:
        if not self._is_gateway(self._own, key[0]):
            return  # it has handed over meanwhile
        self._conflicts.pop(key, None)
        self._send(None, HasMoved(*key))
        self._commands += [Forget(*key), Settle(*key), Moved(*key, holder)]

    def _note(self, key: _Key, holder: PeerName | None, is_denied: bool, now: float) -> None:
        self._rest[key] = now + AGAIN_S
        known = self._conflicts.get(key)
        if known is None and len(self._conflicts) >= MAX_CONFLICTS:
            return
        if known is None:
            found = Conflict(*key, holder, now, now, is_denied)
        else:
            found = replace(known, holder=holder, is_denied=is_denied)
        self._conflicts[key] = found
        if known is None or (known.holder, known.is_denied) != (holder, is_denied):
            self._commands.append(Told(found))

    def _end_old(self, now: float) -> None:
        self._rest = {key: until for key, until in self._rest.items() if until > now}
        over = [key for key, c in self._conflicts.items() if now - c.last > SHOWN_S]
        for key in over:
            del self._conflicts[key]

    def _send(self, to: PeerName | None, message: Message) -> None:
        self._commands.append(Send(to, encode(message)))
