"""The mesh between the daemons: ordered channels that may stall or be cut, and who is connected.

Gossip goes hop by hop: a paused daemon relays nothing until it goes on. What was sent on a
connection that is cut arrives late if the way heals in time, and never if the connection ends.
"""

from __future__ import annotations

import itertools
from collections import deque


class Edge:
    """One connection that both ends want, and the underlay below it."""

    def __init__(self, pair, latency_s):
        self.pair = pair
        self.latency_s = latency_s
        self.is_cut = self.was_cut = False
        self.is_established = False
        self.life = 0
        self.held = []
        self.last_arrival = {}
        self.timer = None

    def other(self, letter):
        return self.pair[1] if letter == self.pair[0] else self.pair[0]


class Mesh:
    """All connections of the world."""

    def __init__(self, world, pairs):
        self.world, self.clock, self.rng = world, world.clock, world.rng
        self.edges = {pair: Edge(pair, self.rng.uniform(0.00005, 0.0004)) for pair in pairs}
        self.by_letter = {}
        for edge in self.edges.values():
            for letter in edge.pair:
                self.by_letter.setdefault(letter, []).append(edge)
        self._ids = itertools.count()
        self._seen = {}
        self.messages = 0

    def edge(self, a, b):
        return self.edges.get((a, b) if a < b else (b, a))

    # Connections.

    def is_possible(self, edge):
        peers = [self.world.peers[x] for x in edge.pair]
        return not edge.is_cut and all(p.daemon is not None and p.has_power for p in peers)

    def look(self, edge, soon=False):
        """Something about an edge has changed: it will be made or end in a while."""
        self.clock.cancel(edge.timer)
        edge.timer = None
        peers = [self.world.peers[x] for x in edge.pair]
        if edge.is_established:
            if any(p.daemon is None and p.has_power for p in peers):
                # The kernel of the dead daemon says good-bye.
                self.clock.after(self.rng.uniform(0.0005, 0.005), self._end, edge, edge.life)
            elif not self.is_possible(edge):
                edge.timer = self.clock.after(self._loss_s(), self._end, edge, edge.life)
            else:
                for from_, item in edge.held:
                    self._carry(edge, from_, item)
                edge.held = []
        elif self.is_possible(edge):
            wait_s = 0.0 if soon else self.rng.uniform(0.2, 3.0)
            edge.timer = self.clock.after(wait_s, self._establish, edge)

    def _loss_s(self):
        return self.rng.uniform(3.0, 10.0)

    def look_around(self, letter):
        for edge in self.by_letter.get(letter, ()):
            self.look(edge)

    def _establish(self, edge):
        edge.timer = None
        if edge.is_established or not self.is_possible(edge):
            return
        edge.is_established = True
        edge.was_cut = False
        edge.life += 1
        edge.held = []
        edge.last_arrival = {}
        self._tell_views()
        for letter in edge.pair:
            daemon = self.world.peers[letter].daemon
            daemon.input(daemon.connected, edge.other(letter))

    def _end(self, edge, life):
        if not edge.is_established or edge.life != life:
            return
        edge.is_established = False
        edge.held = []
        self._tell_views()
        self.look(edge)

    def _tell_views(self):
        """Topology gossip: everybody hears of it, some sooner."""
        for peer in self.world.peers.values():
            if peer.daemon is not None:
                wait_s = self.rng.uniform(0.002, 0.06)
                daemon = peer.daemon
                self.clock.after(wait_s, daemon.input, daemon.topology_changed)

    def neighbours(self, letter):
        return [e.other(letter) for e in self.by_letter.get(letter, ()) if e.is_established]

    def component(self, letter):
        """Letters that can be reached, and the connections among them."""
        seen, queue = {letter}, deque([letter])
        while queue:
            for other in self.neighbours(queue.popleft()):
                if other not in seen:
                    seen.add(other)
                    queue.append(other)
        edges = [e.pair for e in self.edges.values() if e.is_established and e.pair[0] in seen]
        return seen, edges

    def _next_hop(self, here, target):
        parents, queue = {target: None}, deque([target])
        while queue:
            letter = queue.popleft()
            for other in sorted(self.neighbours(letter)):
                if other not in parents:
                    parents[other] = letter
                    queue.append(other)
        return parents.get(here)

    # Messages.

    def tell(self, source, target, payload):
        self._unicast(source, (source, target, payload))

    def _unicast(self, here, item):
        hop = self._next_hop(here, item[1])
        if hop is not None:
            self._send(here, hop, ("unicast", item))

    def broadcast(self, source, payload):
        ident = next(self._ids)
        self._seen[ident] = {source}
        self._flood(source, ident, source, payload)

    def _flood(self, here, ident, source, payload):
        seen = self._seen[ident]
        for hop in self.neighbours(here):
            if hop not in seen:
                wait_s = self.rng.uniform(0.0, self.world.broadcast_delay_s)
                item = ("broadcast", (ident, source, payload))
                if wait_s:
                    self.clock.after(wait_s, self._send, here, hop, item)
                else:
                    self._send(here, hop, item)

    def neighbour_gossip(self, source, payload, only=None, exclude=None):
        for hop in self.neighbours(source):
            if hop != exclude and only in (None, hop):
                self._send(source, hop, ("neighbour", (source, payload)))

    def _send(self, here, hop, item):
        edge = self.edge(here, hop)
        if edge is None or not edge.is_established:
            return
        self.messages += 1
        if self.is_possible(edge):
            self._carry(edge, here, item)
        elif len(edge.held) < 2000:
            edge.held.append((here, item))

    def _carry(self, edge, from_, item):
        to = edge.other(from_)
        latency_s = edge.latency_s + self.rng.uniform(*self.world.message_delay_s)
        # Broadcast and unicast gossip share a connection, so they share its order.
        arrival = max(self.clock.now + latency_s, edge.last_arrival.get(from_, 0.0))
        edge.last_arrival[from_] = arrival
        self.clock.at(arrival, self._arrive, edge, edge.life, to, from_, item)

    def _arrive(self, edge, life, to, from_, item):
        daemon = self.world.peers[to].daemon
        if not edge.is_established or edge.life != life or daemon is None:
            return
        if not self.is_possible(edge):
            edge.held.append((from_, item))
            return
        daemon.input(self._handle, to, from_, item)

    def _handle(self, here, from_, item):
        kind, content = item
        peer = self.world.peers[here]
        match kind:
            case "unicast":
                source, target, payload = content
                if target == here:
                    peer.daemon.gossip(source, payload, "unicast")
                else:
                    self._unicast(here, content)
            case "broadcast":
                ident, source, payload = content
                if here not in self._seen[ident]:
                    self._seen[ident].add(here)
                    peer.daemon.gossip(source, payload, "broadcast")
                    self._flood(here, ident, source, payload)
            case "neighbour":
                peer.daemon.gossip(content[0], content[1], "neighbour")
