"""The mesh between the daemons: ordered channels that may stall or be cut, and who is connected.

Gossip goes hop by hop: a paused daemon relays nothing until it goes on. What was sent on a
connection that is cut arrives late if the way heals in time, and never if the connection ends.
Frames take the same underlay without any care: they may be lost, doubled, and overtake each other.
"""

from __future__ import annotations

import itertools
from collections import deque

from weave_ryu.mesh.gossiper import DETOURS
from weave_ryu.mesh.routes import Graph
from weave_ryu.mesh.segments import is_arriving
from weave_ryu.shell.coordinator import PeerInfo

RETRANSMIT_S = 0.2
"""TCP's least time until it sends a lost segment again."""
MAX_HELD = 2000


class Edge:
    """One connection that both ends want, and the underlay below it.

    Attributes:
        ends: the two peers.
        deaf: letters whose sending is cut; both of them in a full cut.
        is_lossy: the underlay loses, doubles and reorders frames, and delays gossip.
        floor_s: gossip needs so long at least.
    """

    __slots__ = (
        "deaf",
        "ends",
        "floor_s",
        "held",
        "is_established",
        "is_lossy",
        "last_arrival",
        "latency_s",
        "life",
        "lives",
        "pair",
        "timer",
    )

    def __init__(self, pair, ends, latency_s, message_s):
        self.pair, self.ends = pair, ends
        self.latency_s = latency_s
        self.floor_s = latency_s + message_s
        self.deaf = frozenset()
        self.is_lossy = False
        self.is_established = False
        self.life = 0
        self.lives = ()
        self.held = []
        self.last_arrival = {}
        self.timer = None

    def other(self, letter):
        return self.pair[1] if letter == self.pair[0] else self.pair[0]


class Mesh:
    """All connections of the world."""

    def __init__(self, world, pairs):
        self.world, self.clock, self.rng = world, world.clock, world.rng
        self._random = self.rng.random
        low, high = world.message_delay_s
        self._spread_s = high - low
        self.edges = {
            pair: Edge(pair, [world.peers[x] for x in pair], self.rng.uniform(0.00005, 0.0004), low)
            for pair in pairs
        }
        self.by_letter = {letter: [] for letter in world.letters}
        for edge in self.edges.values():
            for letter in edge.pair:
                self.by_letter[letter].append(edge)
        self._ids = itertools.count()
        self._seen = {}
        self._told = {}
        self._news = set()
        self._started = False
        self._forget_routes()

    def _forget_routes(self):
        self._neighbours, self._hops, self._components, self._ways = {}, {}, {}, {}

    def edge(self, a, b):
        return self.edges.get((a, b) if a < b else (b, a))

    # Connections.

    def is_possible(self, edge):
        if edge.deaf:
            return False
        return all(peer.daemon is not None and peer.has_power for peer in edge.ends)

    def start(self):
        """All connections come up within the first second, some of them together."""
        moments = [self.rng.uniform(0.2, 1.5) for _ in range(3)]
        for edge in self.edges.values():
            edge.timer = self.clock.at(self.rng.choice(moments), self._establish, edge)
        self._started = True

    def look(self, edge):
        """Something about an edge has changed: it will be made or end in a while."""
        if not self._started:
            return
        self.clock.cancel(edge.timer)
        edge.timer = None
        peers = edge.ends
        if edge.is_established:
            is_new = edge.lives != self._lives(edge)
            if any(p.daemon is None and p.has_power for p in peers) or is_new:
                # The kernel of the dead daemon says good-bye, or that it knows no such connection.
                self.clock.after(self.rng.uniform(0.0005, 0.005), self._end, edge, edge.life)
            elif not self.is_possible(edge):
                edge.timer = self.clock.after(self._loss_s(), self._end, edge, edge.life)
            else:
                held, edge.held = edge.held, []
                for from_, item in held:
                    self._carry(edge, from_, item)
        elif self.is_possible(edge):
            edge.timer = self.clock.after(self.rng.uniform(0.2, 3.0), self._establish, edge)

    def _loss_s(self):
        return self.rng.uniform(3.0, 10.0)

    def _lives(self, edge):
        return tuple(peer.incarnations for peer in edge.ends)

    def _is_known(self, edge):
        """A daemon that has just started knows nothing of connections of its last life."""
        return edge.is_established and edge.lives == self._lives(edge)

    def begins(self, letter):
        self._forget_routes()
        self.look_around(letter)

    def look_around(self, letter):
        for edge in self.by_letter[letter]:
            self.look(edge)

    def _establish(self, edge):
        edge.timer = None
        if edge.is_established or not self.is_possible(edge):
            return
        if any(self.world.peers[x].daemon.is_paused for x in edge.pair):
            edge.timer = self.clock.after(self.rng.uniform(0.2, 1.0), self._establish, edge)
            return
        edge.is_established = True
        edge.life += 1
        edge.lives = self._lives(edge)
        edge.held = []
        edge.last_arrival = {}
        self._changed()
        for letter in edge.pair:
            daemon = self.world.peers[letter].daemon
            daemon.input(daemon.connected, edge.other(letter))

    def _end(self, edge, life):
        if not edge.is_established or edge.life != life:
            return
        edge.is_established = False
        edge.held = []
        self._changed()
        self.look(edge)

    def _changed(self):
        """Topology gossip: everybody hears of it, some sooner; news on its way says it, too."""
        self._forget_routes()
        self.world.conditions_changed()
        for peer in self.world.peers.values():
            daemon = peer.daemon
            if daemon is not None and daemon not in self._news:
                self._news.add(daemon)
                self.clock.after(self.rng.uniform(0.002, 0.06), self._tell_view, daemon)

    def _tell_view(self, daemon):
        self._news.discard(daemon)
        daemon.input(daemon.topology_changed)

    def neighbours(self, letter):
        found = self._neighbours.get(letter)
        if found is None:
            found = [e.other(letter) for e in self.by_letter[letter] if self._is_known(e)]
            self._neighbours[letter] = found = sorted(found)
        return found

    def component(self, letter):
        """Letters that can be reached, and the connections among them, sorted."""
        found = self._components.get(letter)
        if found is None:
            seen, queue = {letter}, deque([letter])
            while queue:
                for other in self.neighbours(queue.popleft()):
                    if other not in seen:
                        seen.add(other)
                        queue.append(other)
            edges = [e.pair for e in self.edges.values() if self._is_known(e) and e.pair[0] in seen]
            found = tuple(sorted(seen)), tuple(edges)
            for x in seen:
                self._components[x] = found
        return found

    def as_told(self, component, segment):
        """What a component says of itself, as a graph, and of its peers.

        Args:
            component: as `component` finds it.
            segment: the segment's entry, and the gateway that it is connected to by both entries;
                None if it is not known.
        """
        key = component, None
        if segment is not None:
            entry, home = segment
            key = component, (entry.short_id, home, is_arriving(entry))
        told = self._told.get(key)
        if told is None:
            seen, edges = component
            name_of, peers = self.world.name_of, self.world.peers
            adjacency = {name_of[x]: set() for x in seen}
            for a, b in edges:
                adjacency[name_of[a]].add(name_of[b])
                adjacency[name_of[b]].add(name_of[a])
            infos = {name_of[x]: PeerInfo(x, peers[x].short_id) for x in seen}
            if segment is not None:
                entry, home = segment
                infos[entry.name] = PeerInfo("vlan", entry.short_id, True, is_arriving(entry))
                adjacency[entry.name] = set() if home is None else {home}
                if home is not None:
                    adjacency[home].add(entry.name)
            self._told[key] = told = Graph.from_adjacency(adjacency), infos
        return told

    def is_whole(self):
        """All daemons that live are in one mesh, and no connection of it is cut."""
        if any(edge.is_established and edge.deaf for edge in self.edges.values()):
            return False
        alive = [x for x, peer in self.world.peers.items() if peer.daemon is not None]
        return not alive or set(alive) <= set(self.component(alive[0])[0])

    def _next_hop(self, here, target):
        if (here, target) not in self._hops:
            parents, queue = {target: None}, deque([target])
            while queue:
                letter = queue.popleft()
                for other in self.neighbours(letter):
                    if other not in parents:
                        parents[other] = letter
                        queue.append(other)
            for x in self.world.letters:
                self._hops[x, target] = parents.get(x)
        return self._hops[here, target]

    def can_talk(self, a, b):
        """The way of a lease from one to the other is whole now, and nobody on it sleeps."""
        here = a
        while here != b:
            hop = self._next_hop(here, b)
            if hop is None or not self.is_possible(self.edge(here, hop)):
                return False
            if hop != b and self.world.peers[hop].daemon.is_paused:
                return False
            here = hop
        return True

    # Messages.

    def tell(self, source, target, payload):
        self._unicast(source, ("unicast", source, target, payload))

    def pass_around(self, source, target, payload):
        """As `mesh/gossiper.py`: by neighbours that are not on the way that the routes name."""
        near = {self._next_hop(source, target), target}
        others = [x for x in self.neighbours(source) if x not in near]
        for hop in self.rng.sample(others, min(DETOURS, len(others))):
            self._send(self.edge(source, hop), source, ("unicast", source, target, payload))

    def _unicast(self, here, item):
        way = here, item[2]
        edge = self._ways.get(way)
        if edge is None:
            hop = self._next_hop(*way)
            if hop is None:
                return
            edge = self._ways[way] = self.edge(here, hop)
        self._send(edge, here, item)

    def ask(self, source, target, payload):
        """A message about a MAC that has moved, to one peer."""
        self._unicast(source, ("move", source, target, payload))

    def broadcast(self, source, payload, kind="broadcast"):
        """Gossip of gateways; with kind "moves" about MACs that have moved.

        With kind "topology" entries of peers, which go on as long as they are news.
        """
        ident = next(self._ids)
        self._seen[ident] = {source}
        self._flood(source, ident, source, payload, kind)

    def _flood(self, here, ident, source, payload, kind):
        seen = self._seen[ident]
        for hop in self.neighbours(here):
            if hop not in seen:
                wait_s = self.rng.uniform(0.0, self.world.broadcast_delay_s)
                item = (kind, source, ident, payload)
                edge = self.edge(here, hop)
                if wait_s:
                    self.clock.after(wait_s, self._send, edge, here, item)
                else:
                    self._send(edge, here, item)

    def neighbour_gossip(self, source, payload, only=None, exclude=None):
        for hop in self.neighbours(source):
            if hop != exclude and only in (None, hop):
                self._send(self.edge(source, hop), source, ("neighbour", source, None, payload))

    def ask_for_entry(self, source, teller, name):
        """Ask the neighbour by whom that peer is heard for an entry."""
        hop = self._next_hop(source, teller)
        if hop is not None:
            self._send(self.edge(source, hop), source, ("asked", source, None, name))

    def tell_teller(self, source, teller, entries):
        """Tell the neighbour by whom that peer is heard."""
        hop = self._next_hop(source, teller)
        if hop is not None:
            self.tell_table(source, hop, entries)

    def tell_table(self, source, target, entries):
        """All that is known of segments down a new connection, or what was asked for."""
        self._send(self.edge(source, target), source, ("table", source, None, entries))

    def _send(self, edge, here, item):
        if not edge.is_established:
            return
        a, b = edge.ends
        if not (edge.deaf and here in edge.deaf) and a.daemon is not None and b.daemon is not None:
            self._carry(edge, here, item)
        elif len(edge.held) < MAX_HELD:
            edge.held.append((here, item))

    def _carry(self, edge, from_, item):
        latency_s = edge.floor_s + self._spread_s * self._random()
        if edge.is_lossy and self.rng.random() < 0.2:
            latency_s += RETRANSMIT_S * self.rng.choice([1, 1, 1, 3])
        # Broadcast and unicast gossip share a connection, so they share its order.
        last_arrival = edge.last_arrival
        arrival = self.clock.now + latency_s
        if from_ in last_arrival and arrival < last_arrival[from_]:
            arrival = last_arrival[from_]
        last_arrival[from_] = arrival
        self.clock.at(arrival, self._arrive, edge, edge.life, from_, item)

    def _arrive(self, edge, life, from_, item):
        a, b = edge.ends
        peer = b if from_ == a.letter else a
        daemon = peer.daemon
        if not edge.is_established or edge.life != life or daemon is None:
            return
        if edge.deaf and from_ in edge.deaf:
            edge.held.append((from_, item))
            return
        to = peer.letter
        if item[0] == "unicast" and not daemon.is_paused:
            if item[2] == to:
                daemon.heard(item[1], item[3])
            else:
                self._unicast(to, item)  # the core has no part in it
        else:
            daemon.input(self._handle, to, item)

    def _handle(self, here, item):
        kind, source, what, payload = item
        daemon = self.world.peers[here].daemon
        match kind:
            case "unicast":
                if what == here:
                    daemon.gossip(source, payload, "unicast")
                else:
                    self._unicast(here, item)
            case "move":
                if what == here:
                    daemon.moving.received(source, payload)
                else:
                    self._unicast(here, item)
            case "broadcast" | "moves" | "topology":
                if here not in self._seen[what]:
                    self._seen[what].add(here)
                    if kind == "topology":
                        daemon.topology_news(source, payload, goes_on=True)
                    elif kind == "moves":
                        daemon.moving.received(source, payload)
                    else:
                        daemon.gossip(source, payload, "broadcast")
                    self._flood(here, what, source, payload, kind)
            case "asked":
                daemon.asked_for(source, payload)
            case "table":
                daemon.topology_news(source, payload, goes_on=False)
            case "neighbour":
                daemon.gossip(source, payload, "neighbour")
