"""Two hosts with one peer name, such as a virtual machine and its clone: who lives keeps it.

Weave notices it only where the two meet. A third router takes the second one for the first one
restarted, and connection UIDs decide which of the two it drops, again and again
(mesh/connection.go). Here the newcomer is refused as long as the other one lives, and both are told
on a gossip channel of our own: a Weave router ignores what it does not know.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from weave_ryu.errors import RemoteProtocolError
from weave_ryu.mesh import events
from weave_ryu.mesh.config import ConnectionId
from weave_ryu.mesh.connection import Link
from weave_ryu.mesh.core import Core, Neighbour
from weave_ryu.mesh.features import Features
from weave_ryu.mesh.messages import Tag, UnicastGossip, encode_unicast
from weave_ryu.mesh.overlay import SLOW_HEARTBEAT_S
from weave_ryu.names import PeerName, PeerUID

CHANNEL = "namesake"

SILENT_S = 31.0
"""Who lives has told something by TCP within its heartbeat of 30 s."""
SILENT_OVERLAY_S = 2 * SLOW_HEARTBEAT_S + 1.0
"""The same, if heartbeats of the overlay come: two of them."""
CONTEST_S = 60.0
"""So long a name that somebody else wants is kept for one whose connection has just ended."""
TELL_EVERY_S = 60.0
SHOWN_S = 900.0
"""A newcomer tries again within 540 s at the latest."""

MAX_NOTICE_BYTES = 2048
MAX_WORD = 256
MAX_NOTES = 16


@dataclass(frozen=True, slots=True)
class Notice:
    """Two hosts have one name.

    Attributes:
        holder: address of the one that keeps it.
        newcomer: address of the one that is refused.
        refused: it is we who are refused.
    """

    name: PeerName
    holder: str
    holder_nick_name: str
    newcomer: str
    newcomer_nick_name: str
    refused: bool

    def __str__(self) -> str:
        return (
            f"two hosts have the peer name {self.name}: {self.holder_nick_name!r} at {self.holder} "
            f"keeps it, {self.newcomer_nick_name!r} at {self.newcomer} is refused; "
            "give one of them another name"
        )


def encode_notice(notice: Notice) -> bytes:
    """As it goes on the channel."""
    words = (
        notice.holder,
        notice.holder_nick_name[:MAX_WORD],
        notice.newcomer,
        notice.newcomer_nick_name[:MAX_WORD],
    )
    return json.dumps({"refused": notice.refused, "hosts": words}).encode()


def decode_notice(name: PeerName, payload: bytes) -> Notice:
    """Read one.

    Raises:
        RemoteProtocolError: it is none.
    """
    if len(payload) > MAX_NOTICE_BYTES:
        raise RemoteProtocolError("bad-notice", f"{len(payload)} bytes about namesakes")
    try:
        found = json.loads(payload)
        refused, hosts = found["refused"], found["hosts"]
        holder, holder_nick_name, newcomer, newcomer_nick_name = hosts
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise RemoteProtocolError("bad-notice", "it says nothing about namesakes") from error
    words = (holder, holder_nick_name, newcomer, newcomer_nick_name)
    if type(refused) is not bool or not all(type(w) is str and len(w) <= MAX_WORD for w in words):
        raise RemoteProtocolError("bad-notice", "it says nothing about namesakes")
    return Notice(name, *words, refused)


@dataclass(slots=True)
class _Place:
    """Where a name was last a neighbour of ours.

    Attributes:
        left_at: when its connection ended; None while there is one.
        is_wanted: somebody else was refused it.
    """

    uid: PeerUID
    host: str
    left_at: float | None = None
    is_wanted: bool = False

    def is_kept(self, uid: PeerUID, now: float) -> bool:
        """It has just left, and may come back: who was refused before does not slip in."""
        has_left = self.left_at is not None and now - self.left_at < CONTEST_S
        return self.is_wanted and has_left and uid != self.uid


class Namesakes:
    """Finds them, and keeps what was told about them."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._places: dict[PeerName, _Place] = {}
        self._told_at: dict[tuple[PeerName, str], float] = {}
        self._notes: dict[tuple[str, str, bool], tuple[float, Notice]] = {}

    # What is known.

    @property
    def is_refused(self) -> bool:
        """Our name is another's, they say; nobody who would know has taken us since."""
        return any(notice.refused for _, notice in self._notes.values())

    def notices(self, now: float) -> list[Notice]:
        """About our own name; those about others are some minutes old at most."""
        return [n for at, n in self._notes.values() if n.refused or now - at < SHOWN_S]

    def joined(self, one: Neighbour, features: Features) -> None:
        """A neighbour lives there."""
        self._places[features.name] = _Place(features.uid, one.machine.link.remote[0])
        if len(self._places) > 2 * len(self._core.peers):
            known = self._core.peers.names
            self._places = {n: p for n, p in self._places.items() if n in known}

    def left(self, name: PeerName, now: float) -> None:
        """It is no neighbour any more."""
        if name in self._places:
            self._places[name].left_at = now

    # Third parties: two others have one name.

    def is_silent(self, rival: Neighbour, now: float) -> bool:
        """It should have been heard since."""
        last, overlay = rival.machine.heard_at, rival.overlay
        if overlay is None or not overlay.works or overlay.heard_at is None:
            return now - last > SILENT_S
        return now - max(last, overlay.heard_at) > SILENT_OVERLAY_S

    def notice(
        self, features: Features, link: Link, rival: Neighbour | None, now: float
    ) -> Notice | None:
        """Why a candidate is not the one that we know by its name; None if it may well be."""
        known = self._core.peers.get(features.name)
        holder = self._holder(features, link.remote[0], rival, now)
        if holder is None:
            return None
        return Notice(
            features.name,
            holder,
            "" if known is None else known.nick_name,
            link.remote[0],
            features.nick_name,
            refused=True,
        )

    def _holder(
        self, features: Features, host: str, rival: Neighbour | None, now: float
    ) -> str | None:
        """Where the name lives, if that is another host."""
        place = self._places.get(features.name)
        if place is not None and place.host == host:
            return None  # the same machine: it was restarted
        if rival is not None:
            remote = rival.machine.remote_features
            if remote is None or remote.uid == features.uid or rival.machine.link.remote[0] == host:
                return None
            if place is not None:
                place.is_wanted = True
            return rival.machine.link.remote[0]
        if place is not None and place.is_kept(features.uid, now):
            return place.host
        return self._told_of(features, host)

    def _told_of(self, features: Features, host: str) -> str | None:
        """Where others are connected to it."""
        known = self._core.peers.get(features.name)
        if known is None or known.is_placeholder or known.uid == features.uid:
            return None
        seen = []
        for far, own_line in known.connections.items():
            peer = self._core.peers.get(far)
            line = None if peer is None else peer.connections.get(features.name)
            if line is not None and line.remote_tcp_addr and own_line.established:
                seen.append(line.remote_tcp_addr.rpartition(":")[0])
        return min(seen) if seen and host not in seen else None

    def tell(self, one: Neighbour, notice: Notice, now: float) -> None:
        """Tell the one that is refused, whose connection is about to end, and the other one."""
        one.machine.add(now)
        one.machine.send(Tag.GOSSIP_UNICAST, self._message(notice))
        key = notice.name, notice.newcomer
        self._told_at = {k: at for k, at in self._told_at.items() if now - at < TELL_EVERY_S}
        if key not in self._told_at:
            self._told_at[key] = now
            kept = Notice(
                notice.name,
                notice.holder,
                notice.holder_nick_name,
                notice.newcomer,
                notice.newcomer_nick_name,
                refused=False,
            )
            self._pass_on(notice.name, self._message(kept))

    def _pass_on(self, name: PeerName, message: bytes) -> None:
        """To a neighbour directly: the routes may not know it yet."""
        rival = self._core.neighbours.get(self._core.by_peer.get(name, ConnectionId(-1)))
        if rival is None:
            self._core.gossiper.pass_to(name, message)
        else:
            rival.machine.send(Tag.GOSSIP_UNICAST, message)
            self._core.touched.add(rival.connection)

    def _message(self, notice: Notice) -> bytes:
        own = self._core.name
        return encode_unicast(UnicastGossip(CHANNEL, own, notice.name, encode_notice(notice)))

    # Our own name.

    def met(self, one: Neighbour, features: Features, now: float) -> None:
        """A peer with our name has shaken hands with us: the one that began later gives way."""
        own, link = one.machine.own_features, one.machine.link
        here, there = link.local[0], link.remote[0]
        if own is None or features.uid == own.uid:
            return
        if own.uptime_ms is None or features.uptime_ms is None:
            # A Weave router, which says nothing of it.
            refused = link.outbound and not self._core.by_peer
        else:
            refused = (own.uptime_ms, own.uid) < (features.uptime_ms, features.uid)
        ours, theirs = (here, own.nick_name), (there, features.nick_name)
        holder, newcomer = (theirs, ours) if refused else (ours, theirs)
        self._note(Notice(own.name, *holder, *newcomer, refused), now)

    def told(self, one: Neighbour, source: PeerName, payload: bytes, now: float) -> None:
        """A message on the channel, to us.

        Raises:
            RemoteProtocolError: a neighbour refuses us; or it cannot be read.
        """
        notice = decode_notice(self._core.name, payload)
        if notice.refused and source != one.peer:
            return  # only who speaks to us itself can refuse us
        self._note(notice, now)
        if notice.refused:
            raise RemoteProtocolError("name-taken", str(notice))

    def vouched(self) -> None:
        """Somebody who looks after names has taken us: ours is free now."""
        if self.is_refused:
            self._notes = {k: note for k, note in self._notes.items() if not note[1].refused}
            self._core.events.append(events.NameFree())

    def _note(self, notice: Notice, now: float) -> None:
        """Several may tell the same."""
        key = notice.holder, notice.newcomer, notice.refused
        known_at, _ = self._notes.pop(key, (float("-inf"), notice))
        self._notes[key] = now, notice
        while len(self._notes) > MAX_NOTES:
            del self._notes[next(iter(self._notes))]
        if now - known_at >= SHOWN_S:
            self._core.events.append(events.NameTaken(str(notice), notice.refused))
