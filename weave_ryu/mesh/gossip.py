"""What waits to be told to one neighbour, and channels that are only passed on (mesh/gossip.go)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from weave_ryu.mesh.messages import Gossip, Tag, encode_gossip
from weave_ryu.mesh.peers import MAX_PEERS, Peer, Peers
from weave_ryu.mesh.topology import encode_update
from weave_ryu.names import PeerName

TOPOLOGY = "topology"
GOSSIP_INTERVAL_S = 30.0
MAX_QUEUED_BYTES = 32 * 1024 * 1024
MAX_REMEMBERED = 4096

_MAX_UPDATE_BYTES = 8 * 1024 * 1024
_PEER_BYTES = 128
_CONNECTION_BYTES = 32
_PAYLOAD_OVERHEAD_BYTES = 4096


class GossipData(Protocol):
    """Something to tell that can be merged with more of it while it waits."""

    def merge(self, other: GossipData) -> GossipData:
        """Both in one."""

    def encode(self) -> list[bytes]:
        """The payloads, made at the time of sending."""

    @property
    def held_bytes(self) -> int:
        """How much memory waits."""


@dataclass(frozen=True, slots=True)
class TopologyData:
    """Names whose entries are told as they are when they are sent (mesh/peers.go)."""

    peers: Peers
    names: frozenset[PeerName]

    def merge(self, other: GossipData) -> GossipData:
        """The names of both."""
        more = other.names if isinstance(other, TopologyData) else frozenset()
        return TopologyData(self.peers, self.names | more)

    def encode(self) -> list[bytes]:
        """One payload, or several if one would be over the limit of a message."""
        parts = _split(self.peers.select(self.names))
        return [encode_update(part, self.peers.encoded) for part in parts]

    @property
    def held_bytes(self) -> int:
        """Bounded by the number of peers."""
        return 0


@dataclass(frozen=True, slots=True)
class PayloadData:
    """Opaque payloads, and the complete state of a channel if a provider is given."""

    payloads: tuple[bytes, ...] = ()
    complete: Callable[[], bytes] | None = None

    def merge(self, other: GossipData) -> GossipData:
        """First what came first; a complete state is told once."""
        if not isinstance(other, PayloadData):
            return self
        return PayloadData(self.payloads + other.payloads, other.complete or self.complete)

    def encode(self) -> list[bytes]:
        """Each payload is a message of its own."""
        state = self.complete() if self.complete is not None else b""
        return [*self.payloads, *([state] if state else [])]

    @property
    def held_bytes(self) -> int:
        """Of the payloads, with something for each, so that many small ones are bounded too."""
        return sum(len(payload) + _PAYLOAD_OVERHEAD_BYTES for payload in self.payloads)


def _split(peers: list[Peer]) -> list[list[Peer]]:
    """Parts of which each fits into one message; one (maybe empty) part in nearly all cases."""
    parts: list[list[Peer]] = [[]]
    room = _MAX_UPDATE_BYTES
    for peer in peers:
        # A character has up to four bytes.
        lines = peer.connections.values()
        texts = len(peer.nick_name) + sum(len(line.remote_tcp_addr) for line in lines)
        room -= _PEER_BYTES + _CONNECTION_BYTES * len(lines) + 4 * texts
        if (room < 0 or len(parts[-1]) >= MAX_PEERS) and parts[-1]:
            parts.append([])
            room = _MAX_UPDATE_BYTES
        parts[-1].append(peer)
    return parts


class GossipQueue:
    """What one neighbour has still to be told: one item per channel, one per channel and source.

    While the connection cannot take more, new gossip is merged into the items that wait.
    """

    def __init__(self, own_name: PeerName) -> None:
        self._own_name = own_name
        self._pending: dict[str, GossipData] = {}
        self._broadcasts: dict[tuple[str, PeerName], GossipData] = {}
        self._unicasts: list[bytes] = []
        self.blocked = False

    @property
    def is_empty(self) -> bool:
        """Nothing waits."""
        return not (self._pending or self._broadcasts or self._unicasts)

    @property
    def held_bytes(self) -> int:
        """How much memory waits."""
        items: Iterable[GossipData] = (*self._pending.values(), *self._broadcasts.values())
        unicasts = sum(len(body) + _PAYLOAD_OVERHEAD_BYTES for body in self._unicasts)
        return sum(item.held_bytes for item in items) + unicasts

    def add_neighbour(self, channel: str, news: GossipData) -> None:
        """Tag 4."""
        before = self._pending.get(channel)
        self._pending[channel] = news if before is None else before.merge(news)

    def add_broadcast(self, channel: str, source: PeerName, news: GossipData) -> None:
        """Tag 6."""
        before = self._broadcasts.get((channel, source))
        self._broadcasts[channel, source] = news if before is None else before.merge(news)

    def add_unicast(self, body: bytes) -> None:
        """Tag 5, encoded already: it is passed on as it came."""
        self._unicasts.append(body)

    def drain(self) -> list[tuple[Tag, bytes]]:
        """Tags and bodies in the order in which they must go; nothing while blocked."""
        if self.blocked:
            return []
        messages = [(Tag.GOSSIP_UNICAST, body) for body in self._unicasts]
        for channel in sorted(self._pending):
            for payload in self._pending[channel].encode():
                body = encode_gossip(Gossip(channel, self._own_name, payload))
                messages.append((Tag.GOSSIP, body))
        for channel, source in sorted(self._broadcasts):
            for payload in self._broadcasts[channel, source].encode():
                body = encode_gossip(Gossip(channel, source, payload))
                messages.append((Tag.GOSSIP_BROADCAST, body))
        self._pending.clear()
        self._broadcasts.clear()
        self._unicasts.clear()
        return messages


class SurrogateMemory:
    """Which neighbour gossip a surrogate channel has passed on (mesh/surrogate_gossiper.go)."""

    def __init__(self) -> None:
        self._seen: dict[bytes, float] = {}
        self._news_at = -math.inf

    def is_idle(self, now: float) -> bool:
        """Nothing that it remembers matters any more."""
        return now - self._news_at > GOSSIP_INTERVAL_S

    def is_news(self, payload: bytes, now: float) -> bool:
        """False if the same bytes came within the last interval.

        As in the original, old entries go only when something new comes. Hashes are kept, not
        bytes, so that a neighbour cannot make us keep its messages.
        """
        digest = hashlib.sha256(payload).digest()
        if digest in self._seen:
            return False
        fresh = {key: at for key, at in self._seen.items() if at > now - GOSSIP_INTERVAL_S}
        if len(fresh) >= MAX_REMEMBERED:
            del fresh[next(iter(fresh))]
        self._seen = fresh | {digest: now}
        self._news_at = now
        return True
