"""State that the parts of a router share, and what follows from a change of the topology.

Source: mesh/local_peer.go, peers.go, router.go.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from weave_ryu.mesh import events
from weave_ryu.mesh.agenda import Agenda
from weave_ryu.mesh.commands import Command
from weave_ryu.mesh.config import Address, ConnectionId, RouterConfig
from weave_ryu.mesh.connection import ConnectionMachine
from weave_ryu.mesh.gossip import GOSSIP_INTERVAL_S, TOPOLOGY, PayloadData, TopologyData
from weave_ryu.mesh.gossiper import Gossiper
from weave_ryu.mesh.maker import Maker
from weave_ryu.mesh.overlay import FastdpOverlay
from weave_ryu.mesh.peers import MAX_STEP, MAX_VERSION, MergeResult, Peer, Peers
from weave_ryu.mesh.routing import RoutingTables
from weave_ryu.mesh.segments import Claims, edges_of
from weave_ryu.mesh.status import FarEnd
from weave_ryu.mesh.topology import UpdateReader, encode_update
from weave_ryu.names import PeerName, ShortId

UPDATE_DELAY_S = 1.0
COLLECTION_DELAY_S = 1.0


@dataclass(slots=True)
class Neighbour:
    """A TCP connection with what belongs to it; peer and overlay are None during the handshake."""

    machine: ConnectionMachine
    target: Address | None
    peer: PeerName | None = None
    overlay: FastdpOverlay | None = None
    was_healthy: bool = True
    """As last reported."""
    has_worked: bool = False
    """It has been established."""

    def deadline(self) -> float | None:
        """When it has something to do."""
        due = self.machine.deadline()
        if self.overlay is None:
            return due
        beat = self.overlay.deadline()
        return beat if due is None else min(due, beat)

    @property
    def connection(self) -> ConnectionId:
        """Its number."""
        return self.machine.link.connection


class Core:
    """Tables, queues and timers of one router; no input comes here directly."""

    def __init__(self, config: RouterConfig, rng: random.Random) -> None:
        own = Peer(config.name, config.nick_name, config.uid, 0, config.short_id)
        self.config = config
        self.rng = rng
        self.peers = Peers(own, rng)
        self.reader = UpdateReader(self.peers)
        self.claims = Claims(self.peers)
        self.tables = RoutingTables(self.peers)
        self.gossiper = Gossiper(config.name, self.tables, rng)
        self.maker = Maker(config.port, config.peer_discovery, rng)
        self.neighbours: dict[ConnectionId, Neighbour] = {}
        self.by_peer: dict[PeerName, ConnectionId] = {}
        self.touched: set[ConnectionId] = set()
        """Connections that may have output, or be due at another time than before."""
        self.agenda: Agenda[ConnectionId] = Agenda()
        self.commands: list[Command] = []
        self.events: list[events.Event] = []
        self.failed: Counter[str] = Counter()
        """Connections that ended without having been established, by the code of the reason."""
        self.check_targets = False
        self.started_at: float | None = None
        self._update_at: float | None = None
        self._update_names: set[PeerName] = set()
        self._collect_at: float | None = None
        self._round_at: float | None = None
        self._short_id_told: ShortId | None = config.short_id

    @property
    def name(self) -> PeerName:
        """Our identity."""
        return self.config.name

    @property
    def short_id(self) -> ShortId | None:
        """Our number at the moment; None while all are taken."""
        return self.peers.own.short_id

    def nick_name_of(self, name: PeerName | None) -> str | None:
        """As far as it is known."""
        peer = None if name is None else self.peers.get(name)
        return None if peer is None else peer.nick_name

    def far_end(self, one: Neighbour) -> FarEnd:
        """What the table has of a connection's other side."""
        peer = None if one.peer is None else self.peers.get(one.peer)
        if peer is None:
            return FarEnd()
        return FarEnd(peer.nick_name, peer.connections.get(self.name))

    # Timers.

    def start_rounds(self, now: float) -> None:
        """Gossip the complete state from now on."""
        self.started_at = now
        self._round_at = now + GOSSIP_INTERVAL_S

    def stop_timers(self) -> None:
        """Nothing more will be told."""
        self._update_at = self._collect_at = self._round_at = None

    def deadlines(self) -> list[float | None]:
        """When ``handle_timers`` has something to do."""
        return [self._update_at, self._collect_at, self._round_at, self.tables.due_at]

    def handle_timers(self, now: float) -> None:
        """Collect, tell changes, tell everything, recalculate: what is due of these."""
        if self._collect_at is not None and now >= self._collect_at:
            self._collect_at = None
            self.collect(now)
        if self._update_at is not None and now >= self._update_at:
            self._update_at = None
            names = frozenset(self._update_names | {self.name})
            self._update_names.clear()
            self.gossiper.tell_some(TOPOLOGY, TopologyData(self.peers, names))
        if self._round_at is not None and now >= self._round_at:
            self._round_at = now + GOSSIP_INTERVAL_S
            self.gossiper.tell_some(TOPOLOGY, self.complete_topology())
            for channel, state in self.gossiper.complete_states():
                self.gossiper.tell_some(channel, state)
        if self.tables.due_at is not None and now >= self.tables.due_at:
            self.tables.recalculate()
            # Once for all news of 100 ms: each look goes through all connections of all peers.
            self.check_targets = True
            self.events.append(events.TopologyChanged())

    # Topology.

    def complete_topology(self) -> TopologyData:
        """All entries, as they are when they are sent."""
        return TopologyData(self.peers, frozenset(peer.name for peer in self.peers))

    def news(self, names: Iterable[PeerName]) -> TopologyData:
        """These entries, with what of our own is still to be told.

        Whoever hears of peers behind a new connection of ours before it hears of the connection
        cannot reach them, and collects them after a second; nobody would tell them again until the
        next round (Weave has this gap: mesh/peers.go applyUpdate, local_peer.go).
        """
        untold = set() if self._update_at is None else self._update_names | {self.name}
        return TopologyData(self.peers, frozenset(names) | untold)

    def merge(self, payload: bytes, now: float, sender: PeerName | None = None) -> MergeResult:
        """Take in what a neighbour says, and schedule what follows from it.

        What cannot be, of another neighbour, is left out; that one is told, to contradict it.

        Raises:
            RemoteProtocolError: it cannot be read; nothing is changed.
        """
        update, is_lied_about, version = [], False, self.peers.own.version
        for entry in self.reader.read(payload):
            if entry.name == self.name:
                is_lied_about |= self.peers.contradict(entry)
            if self.peers.may_be(entry, sender, self.by_peer):
                update.append(entry)
            elif entry.name in self.by_peer and entry.version <= MAX_VERSION:
                self.gossiper.tell(entry.name, TOPOLOGY, PayloadData((encode_update([entry]),)))
        known = self.peers.get
        before = [(one.name, known(one.name)) for one in update if known(one.name) is not one]
        result = self.peers.merge(update, sender)
        if result.delta:
            self.tables.schedule(now)
        if result.old_life or is_lied_about:
            self.schedule_update(now)
        if self.peers.own.version > version + MAX_STEP:
            # Neighbours believe such a jump only if they hear of it from ourself.
            own = frozenset({self.name})
            self.gossiper.tell_neighbours(TOPOLOGY, TopologyData(self.peers, own))
        if self._collect_at is None and (result.delta or result.unknown):
            self._collect_at = now + COLLECTION_DELAY_S
        if any(edges_of(old) != edges_of(self.peers.get(name)) for name, old in before):
            self.tables.due_at = now  # a segment has moved: frames wait for it
        self.settle_claims(now)
        return result

    def settle_claims(self, now: float) -> None:
        """Let the table have our segments; what that changes everybody is told at once."""
        self.tell_at_once(self.claims.settle(), now)

    def tell_at_once(self, names: Iterable[PeerName], now: float) -> None:
        """These entries of ours have changed, and frames wait for it."""
        told = frozenset(names)
        if told:
            self.gossiper.tell_neighbours(TOPOLOGY, TopologyData(self.peers, told))
            self.tables.due_at = now
            if self._collect_at is None:
                self._collect_at = now + COLLECTION_DELAY_S

    def collect(self, now: float, keep: PeerName | None = None) -> None:
        """Forget whom we cannot reach; ``keep`` is about to become a neighbour."""
        referenced = set(self.by_peer) | ({keep} if keep is not None else set())
        removed = self.peers.collect(name for name in referenced if name in self.peers)
        if removed:
            self.events.append(events.PeersCollected(removed))
            self.tables.schedule(now)
            self.check_targets = True
            self.settle_claims(now)

    def topology_changed(self, now: float, about: set[PeerName] | None = None) -> None:
        """Our own entry has changed: recalculate, and tell it after a second."""
        self.tables.schedule(now)
        self.check_targets = True
        self.schedule_update(now, about)

    def schedule_update(self, now: float, about: set[PeerName] | None = None) -> None:
        """Tell ourself and these to some neighbours, a second after the first change."""
        self._update_names |= about or set()
        if self._update_at is None:
            self._update_at = now + UPDATE_DELAY_S

    def note_short_id(self, now: float) -> None:
        """Report a change of our own short id."""
        if self.short_id != self._short_id_told:
            self.events.append(events.ShortIdChanged(self._short_id_told, self.short_id))
            self._short_id_told = self.short_id
            self.topology_changed(now)
