"""MACs that are at two places: has a station moved, or does the segment return its frames? Sans-IO.

A frame that comes from a segment in the name of a MAC of the mesh is one or the other. The gateway
asks the peer that has the MAC whether it has just spoken there. If not, that peer forgets it, all
others do when they are told, and the gateway makes it known behind the segment. If so, the frame
was a copy, or two stations have one address: nothing changes, and the conflict is shown.

Every peer runs one of these. Peers that do not know the channel, such as routers of Weave, do not
answer: their MACs stay theirs, as long as their entries live.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from weave_ryu.errors import RemoteProtocolError
from weave_ryu.gateway.records import SEGMENT_PATTERN
from weave_ryu.names import PeerName

CHANNEL = "moves"
MAX_PAYLOAD_BYTES = 1024

LAG_S = 0.6
"""Open vSwitch says so late at most what it has learnt of a frame that took a cached way
(``max-revalidator``, 500 ms): before that, silence proves nothing."""

RECENT_S = 1.0
"""A station that has spoken at its old place within this time has not moved."""

ANSWER_S = 2.0
AGAIN_S = 0.3
"""After an answer the same MAC is not asked about for so long."""

SHOWN_S = 60.0
"""A conflict counts as over when nothing was seen of it for so long."""

MAX_ASKED = 64
MAX_CONFLICTS = 1024

_MAC_HEX = re.compile(r"[0-9a-f]{12}")
_MAX_NUMBER = 1 << 53


@dataclass(frozen=True, slots=True)
class Send:
    """A message on the channel, to one peer or to all."""

    to: PeerName | None
    payload: bytes


@dataclass(frozen=True, slots=True)
class Look:
    """Look, after `LAG_S`, when the own switch has learnt a MAC last; answer with `looked`."""

    by: PeerName
    segment: str
    mac: str
    number: int
    is_holder: bool
    """It is asked because this peer is known to have it; else whoever has it."""


@dataclass(frozen=True, slots=True)
class Forget:
    """Forget where a MAC of the mesh was (12 hex digits)."""

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
    """A MAC was moved from a peer to a segment: log it, count it."""

    segment: str
    mac: str
    holder: PeerName


Command = Send | Look | Forget | Deny | Settle | Told | Moved


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question that is open."""

    number: int
    holder: PeerName | None
    until: float
    is_doubt: bool


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
        self._asked: dict[tuple[str, str], _Asked] = {}
        self._rest: dict[tuple[str, str], float] = {}
        self._conflicts: dict[tuple[str, str], Conflict] = {}
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
        self,
        segment: str,
        mac: str,
        holder: PeerName | None,
        now: float,
        *,
        is_doubt: bool = False,
    ) -> None:
        """A frame came from a segment in the name of a MAC of the mesh.

        Args:
            segment: that this peer forwards for.
            mac: 12 hex digits.
            holder: the peer that is known to have it; None: it is not known which.
            now: monotonic seconds.
            is_doubt: it was learnt behind the segment, and another gateway has it in the mesh;
                that may be old news, so that it says nothing if nobody answers.
        """
        key = segment, mac
        known = self._conflicts.get(key)
        if known is not None:
            self._conflicts[key] = replace(known, last=now, frames=known.frames + 1)
        if key in self._asked or self._rest.get(key, now) > now or len(self._asked) >= MAX_ASKED:
            return
        number = next(self._numbers)
        self._asked[key] = _Asked(number, holder, now + ANSWER_S, is_doubt)
        if holder == self._own:
            self._commands.append(Look(self._own, segment, mac, number, True))
        else:
            is_known = holder is not None
            self._send(holder, ask=number, segment=segment, mac=mac, holder=is_known)
            if not is_known:
                self._commands.append(Look(self._own, segment, mac, number, False))

    def received(self, source: PeerName, payload: bytes, now: float) -> None:
        """A message on the channel.

        Raises:
            RemoteProtocolError: it is malformed, or not for that peer to say; nothing was done.
        """
        document = _decode(payload)
        segment, mac = _text(document, "segment", SEGMENT_PATTERN), _text(document, "mac", _MAC_HEX)
        if "moved" in document:
            if not self._is_gateway(source, segment):
                raise RemoteProtocolError("moves", f"{source} does not forward for {segment}")
            self._commands.append(Forget(mac))
        elif "ask" in document:
            number, is_holder = _number(document, "ask"), _flag(document, "holder")
            self._commands.append(Look(source, segment, mac, number, is_holder))
        elif "answer" in document:
            number, spoke = _number(document, "answer"), _flag(document, "spoke")
            self._answered(source, segment, mac, number, spoke, now)

    def looked(self, look: Look, age_s: float | None, now: float) -> None:
        """The answer to `Look`.

        Args:
            look: what was asked.
            age_s: seconds since the MAC was learnt last at a container's port of this peer; None:
                it is not known there.
            now: monotonic seconds.
        """
        if age_s is None and not look.is_holder:
            return  # whoever has it answers
        spoke = age_s is not None and age_s < RECENT_S
        if not spoke:
            self._commands.append(Forget(look.mac))
        if look.by == self._own:
            self._answered(self._own, look.segment, look.mac, look.number, spoke, now)
        else:
            self._send(look.by, answer=look.number, segment=look.segment, mac=look.mac, spoke=spoke)

    def handle_timer(self, now: float) -> None:
        """Time has passed: whoever has not answered will not."""
        for key, asked in [(k, a) for k, a in self._asked.items() if a.until <= now]:
            del self._asked[key]
            self._rest[key] = now + AGAIN_S
            if not asked.is_doubt:
                self._note(key, asked.holder, False, now)
        self._end_old(now)

    # Small things.

    def _answered(
        self, source: PeerName, segment: str, mac: str, number: int, spoke: bool, now: float
    ) -> None:
        key = segment, mac
        asked = self._asked.get(key)
        if asked is None or asked.number != number or asked.holder not in (None, source):
            return
        if spoke:
            del self._asked[key]
            self._note(key, source, True, now)
            if asked.is_doubt:
                self._commands.append(Deny(mac))
            return
        del self._asked[key]
        self._conflicts.pop(key, None)
        self._send(None, moved=True, segment=segment, mac=mac)
        self._commands += [Forget(mac), Settle(segment, mac), Moved(segment, mac, source)]

    def _note(
        self, key: tuple[str, str], holder: PeerName | None, is_denied: bool, now: float
    ) -> None:
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

    def _send(self, to: PeerName | None, **document: object) -> None:
        self._commands.append(Send(to, json.dumps(document, separators=(",", ":")).encode()))


def _decode(payload: bytes) -> dict[str, Any]:
    try:
        document = json.loads(payload) if len(payload) <= MAX_PAYLOAD_BYTES else None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise RemoteProtocolError("moves", "not a JSON object of at most 1 KiB")
    return document


def _text(document: dict[str, Any], key: str, pattern: re.Pattern[str]) -> str:
    value = document.get(key)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise RemoteProtocolError("moves", f"{key} {str(value)[:64]!r} is not of the right form")
    return value


def _flag(document: dict[str, Any], key: str) -> bool:
    value = document.get(key)
    if not isinstance(value, bool):
        raise RemoteProtocolError("moves", f"{key} is missing or not a truth value")
    return value


def _number(document: dict[str, Any], key: str) -> int:
    value = document[key]
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < _MAX_NUMBER:
        raise RemoteProtocolError("moves", f"{key} {str(value)[:64]!r} is not a number")
    return value
