"""Brings gossip to the right neighbours (mesh/gossip_channel.go, gossip.go)."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from weave_ryu.mesh.config import ConnectionId
from weave_ryu.mesh.gossip import (
    MAX_QUEUED_BYTES,
    GossipData,
    GossipQueue,
    PayloadData,
    SurrogateMemory,
)
from weave_ryu.mesh.messages import Tag
from weave_ryu.mesh.routing import RoutingTables
from weave_ryu.names import UNKNOWN_PEER, PeerName

MAX_SURROGATES = 16
"""Channels we do not know but relay; a neighbour may name any number of them."""

DETOURS = 2
"""How many neighbours are tried around the direct way."""

WEAVE_CHANNELS = frozenset({"IPallocation", "nameserver"})
"""These always have a place, whoever uses up the others."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """Gossip that waits for the routes to be computed.

    Attributes:
        source: original source of a broadcast; None for random neighbours.
        exclude: neighbour that it came from.
    """

    channel: str
    news: GossipData
    source: PeerName | None
    exclude: PeerName | None


class Gossiper:
    """One queue per neighbour, and what is waiting to be put into them."""

    def __init__(self, own_name: PeerName, tables: RoutingTables, rng: random.Random) -> None:
        self._own_name = own_name
        self._tables = tables
        self._rng = rng
        self._queues: dict[PeerName, tuple[ConnectionId, GossipQueue]] = {}
        self._told: set[PeerName] = set()
        """Those of whose queues something may wait."""
        self._waiting: list[_Waiting] = []
        self._providers: dict[str, Callable[[], bytes]] = {}
        self._registered: set[str] = set()
        self._surrogates: dict[str, SurrogateMemory] = {}

    # Channels.

    def register(self, channel: str) -> None:
        """Gossip on it is for us."""
        self._registered.add(channel)
        self._surrogates.pop(channel, None)

    def is_registered(self, channel: str) -> bool:
        """True if gossip on it is for us."""
        return channel in self._registered

    def set_provider(self, channel: str, provider: Callable[[], bytes]) -> None:
        """What a channel's complete state is."""
        self._providers[channel] = provider

    def complete_states(self) -> list[tuple[str, GossipData]]:
        """Of all channels that have one, by name."""
        return [
            (channel, PayloadData(complete=self._providers[channel]))
            for channel in sorted(self._providers)
        ]

    def surrogate(self, channel: str, now: float) -> SurrogateMemory | None:
        """The memory of a channel that we only pass on; None if there are too many of them.

        A channel on which nothing came for an interval gives up its place.
        """
        if channel not in self._surrogates and channel not in WEAVE_CHANNELS:
            if len(self._surrogates.keys() - WEAVE_CHANNELS) >= MAX_SURROGATES:
                used = self._surrogates.items()
                self._surrogates = {name: m for name, m in used if not m.is_idle(now)}
            if len(self._surrogates.keys() - WEAVE_CHANNELS) >= MAX_SURROGATES:
                return None
        return self._surrogates.setdefault(channel, SurrogateMemory())

    # Neighbours.

    def add_neighbour(self, peer: PeerName, connection: ConnectionId) -> None:
        """From now on it is told things."""
        self._queues[peer] = (connection, GossipQueue(self._own_name))

    def remove_neighbour(self, peer: PeerName) -> None:
        """What waited for it is dropped."""
        self._queues.pop(peer, None)

    def set_blocked(self, peer: PeerName, blocked: bool) -> None:
        """The shell cannot, or can again, take more for it."""
        if peer in self._queues:
            self._queues[peer][1].blocked = blocked

    def overfull(self) -> list[ConnectionId]:
        """Neighbours that do not read what they are told."""
        waiting = [self._queues[name] for name in sorted(self._told) if name in self._queues]
        return [
            connection
            for connection, queue in waiting
            if queue.blocked and queue.held_bytes > MAX_QUEUED_BYTES
        ]

    # Gossip.

    def tell(self, peer: PeerName, channel: str, news: GossipData) -> None:
        """Tag 4 down one connection, without waiting for routes."""
        if peer in self._queues:
            self._queue(peer).add_neighbour(channel, news)

    def tell_neighbours(self, channel: str, news: GossipData) -> None:
        """Tag 4 to all neighbours, without waiting for routes."""
        for name in sorted(self._queues):
            self.tell(name, channel, news)

    def tell_some(self, channel: str, news: GossipData, exclude: PeerName | None = None) -> None:
        """Tag 4 to a random subset of neighbours."""
        self._waiting.append(_Waiting(channel, news, None, exclude))

    def tell_all(
        self, channel: str, source: PeerName, news: GossipData, exclude: PeerName | None = None
    ) -> None:
        """Tag 6 along the broadcast tree of its source."""
        self._waiting.append(_Waiting(channel, news, source, exclude))

    def pass_to(self, destination: PeerName, body: bytes) -> bool:
        """Tag 5, encoded already.

        Returns:
            False if nobody knows the way.
        """
        hop = self._tables.gossip_unicast.get(destination, UNKNOWN_PEER)
        if hop not in self._queues:
            return False
        self._queue(hop).add_unicast(body)
        return True

    def pass_around(self, destination: PeerName, body: bytes) -> None:
        """Tag 5 by neighbours that are not on the way: they know others, which may work."""
        hop = self._tables.gossip_unicast.get(destination, UNKNOWN_PEER)
        others = sorted(self._queues.keys() - {hop, destination})
        for name in self._rng.sample(others, min(DETOURS, len(others))):
            self._queue(name).add_unicast(body)

    def drain(self) -> list[tuple[ConnectionId, Tag, bytes]]:
        """What can be sent now, by name of the neighbour."""
        if self._tables.due_at is None:
            self._route_waiting()
        messages: list[tuple[ConnectionId, Tag, bytes]] = []
        for name in sorted(self._told):
            connection, queue = self._queues.get(name, (None, None))
            if connection is not None and queue is not None:
                if queue.blocked:
                    continue
                messages += [(connection, tag, body) for tag, body in queue.drain()]
            self._told.discard(name)
        return messages

    def _queue(self, name: PeerName) -> GossipQueue:
        """The queue of a neighbour, to add something to it."""
        self._told.add(name)
        return self._queues[name][1]

    def _route_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for item in waiting:
            if item.source is None:
                for name in self._tables.draw_neighbours(self._rng, item.exclude):
                    self.tell(name, item.channel, item.news)
                continue
            for name in self._tables.gossip_hops(item.source):
                if name in self._queues and name != item.exclude:
                    self._queue(name).add_broadcast(item.channel, item.source, item.news)
