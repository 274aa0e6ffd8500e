"""Segments as peers of the mesh: who they are, and which gateway they are connected to. Sans-IO.

A segment has an entry like any peer, but neither a host nor a socket: the gateway that forwards
writes it. Its one connection leads to that gateway, whose own entry has the mirror of it. Neither
carries an address, so that nobody dials it. A fail-over moves this one edge of the topology.

In a planned hand-over the edge moves before the segment's broadcasts do. Until then the successor
writes the connection as outbound, which means nothing for a peer without a host; routers of Weave
take no notice.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

from weave_ryu.mesh.peers import MAX_VERSION, Connection, Peer, Peers, connections_by_name
from weave_ryu.names import MAX_SHORT_ID, PeerName, PeerUID, ShortId

TAG_BITS, COUNTER_BITS = 20, 12
"""A segment's version, from the low bits up: a tag of the gateway that wrote it, so that no two
write the same one; a counter of changes within an epoch; the epoch."""

MAX_EPOCH = MAX_VERSION >> COUNTER_BITS + TAG_BITS
"""Higher ones are lies, and count as this."""

_LOCAL, _GROUP = 0x02 << 40, 0x01 << 40


@dataclass(frozen=True, slots=True)
class Segment:
    """Who a segment is in the mesh: the same for each of its gateways.

    Args:
        name: a locally administered unicast MAC.
        nick_name: the segment's name.
        uid: always the same; which entry is newer, the version says.
        short_id: that it has unless another peer has it.
    """

    name: PeerName
    nick_name: str
    uid: PeerUID
    short_id: ShortId


@lru_cache(maxsize=256)
def identity_of(segment: str, password: bytes | None) -> Segment:
    """Identity of a segment.

    Args:
        segment: its name.
        password: of the mesh. The peer name is shown to whoever may look, and must not make the
            password cheap to guess: hence scrypt (RFC 7914), some 50 ms.
    """
    seed = hashlib.scrypt(
        password or b"", salt=b"weave-ryu segment " + segment.encode(), n=1 << 14, r=8, p=1,
        dklen=16,
    )  # fmt: skip
    name = PeerName((int.from_bytes(seed[:6], "big") | _LOCAL) & ~_GROUP)
    uid = PeerUID(int.from_bytes(seed[6:14], "big") or 1)
    return Segment(name, segment, uid, ShortId(int.from_bytes(seed[14:], "big") & MAX_SHORT_ID))


def is_arriving(peer: Peer) -> bool:
    """Whether a segment's broadcasts still come by the gateway that it was connected to before."""
    return peer.owner is not None and any(line.outbound for line in peer.connections.values())


def edges_of(peer: Peer | None) -> frozenset[PeerName]:
    """The far ends of an entry's connections that lead to a segment, or from it."""
    lines = () if peer is None else peer.connections.values()
    return frozenset(line.remote for line in lines if not line.remote_tcp_addr)


def epoch_of(version: int) -> int:
    """The epoch in which a segment's entry was written."""
    return version >> COUNTER_BITS + TAG_BITS


@dataclass(frozen=True, slots=True)
class _Claim:
    segment: Segment
    epoch: int
    arriving: bool


class Claims:
    """The segments that this peer forwards for, in the table of peers.

    A claim of a higher epoch comes first; of two with the same epoch, which a mesh that was cut may
    have, the one that has the higher version already. Which of two gateways must close is decided
    elsewhere: this only sees to it that meanwhile all peers believe the same one.

    Args:
        peers: the table.
    """

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._tag = zlib.crc32(peers.own.name.to_bytes6()) & (1 << TAG_BITS) - 1
        self._claimed: dict[PeerName, _Claim] = {}
        self.is_gateway: Callable[[PeerName, PeerName], bool] = lambda _segment, _peer: True
        """Whether a peer is a gateway of a segment, as far as whoever uses this knows."""

    def __contains__(self, name: PeerName) -> bool:
        """Whether this peer forwards for the segment of that name."""
        return name in self._claimed

    def add(self, segment: Segment, epoch: int, *, arriving: bool = False) -> None:
        """Claim a segment, or claim it in another way; `settle` does it.

        Args:
            segment: that this peer forwards for.
            epoch: with which it does.
            arriving: its broadcasts still come by the gateway of before.
        """
        self._claimed[segment.name] = _Claim(segment, min(epoch, MAX_EPOCH), arriving)

    def drop(self, name: PeerName) -> bool:
        """Claim it no more; True if the own entry has changed by that."""
        self._claimed.pop(name, None)
        return self._disconnect(name)

    def settle(self) -> set[PeerName]:
        """Make the table say what is claimed, as far as no better claim is known.

        Returns:
            The entries that have changed: they are to be told at once.
        """
        before = {name: self._peers.get(name) for name in (*self._claimed, self._peers.own.name)}
        # By name, as a lower one keeps its short id: the higher ones then see which are taken.
        for name, claim in sorted(self._claimed.items()):
            if self._is_outranked(name, claim.epoch):
                # Not two-homed for a moment: no gossip may be sent through a segment.
                self._disconnect(name)
            else:
                self._hold(claim)
        return {name for name, peer in before.items() if self._peers.get(name) is not peer}

    def _is_outranked(self, name: PeerName, epoch: int) -> bool:
        """Another gateway claims it, and its claim comes first."""
        known = self._peers.get(name)
        rival = None if known is None else known.owner
        entry = None if rival is None else self._peers.get(rival)
        if known is None or entry is None or name not in entry.connections:
            return False  # nobody's, or of one that has gone or has withdrawn it
        if not self.is_gateway(name, entry.name):
            return False
        return rival != self._peers.own.name and epoch <= epoch_of(known.version) <= MAX_EPOCH

    def _hold(self, claim: _Claim) -> None:
        peers, segment, name = self._peers, claim.segment, claim.segment.name
        known = peers.get(name)
        wanted = segment.short_id
        if known is not None and known.short_id is not None:
            wanted = known.short_id
        line = Connection(peers.own.name, "", outbound=claim.arriving, established=True)
        entry = Peer(
            name,
            segment.nick_name,
            segment.uid,
            0 if known is None else known.version,
            peers.free_short_id(name, wanted),
            connections_by_name([line]),
        )
        if entry != known or epoch_of(known.version) < claim.epoch:
            peers.put(replace(entry, version=self._next_version(known, claim.epoch)))
        if name not in peers.own.connections:
            peers.add_own_connection(Connection(name, "", outbound=False, established=True))

    def _next_version(self, known: Peer | None, epoch: int) -> int:
        is_sane = known is not None and epoch_of(known.version) <= MAX_EPOCH
        count = (known.version >> TAG_BITS) + 1 if known is not None and is_sane else 0
        return max(count, epoch << COUNTER_BITS) << TAG_BITS | self._tag

    def _disconnect(self, name: PeerName) -> bool:
        if name not in self._peers.own.connections:
            return False
        self._peers.delete_own_connection(name)
        return True
