"""The tables that routes are kept in, and when they are computed anew (mesh/routes.go)."""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from collections import Counter
from itertools import accumulate

from weave_ryu.mesh import routes
from weave_ryu.mesh.peers import Peers
from weave_ryu.names import UNKNOWN_PEER, PeerName

RECALCULATION_DELAY_S = 0.1


class RoutingTables:
    """Routes for frames (established both ways) and for gossip (recorded one way)."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._own = peers.own.name
        self._established = routes.GraphBuilder(established_only=True)
        self._recorded = routes.GraphBuilder(established_only=False, with_into=False)
        self.due_at: float | None = None
        self.recalculate()

    def schedule(self, now: float) -> None:
        """The topology has changed; one timer for all changes of 100 ms."""
        if self.due_at is None:
            self.due_at = now + RECALCULATION_DELAY_S

    def recalculate(self) -> None:
        """Compute from the table as it is."""
        self.due_at = None
        self.frame_graph = routes.both_ways(self._established.build(self._peers))
        self.frame_unicast = routes.unicast_next_hops(self.frame_graph, self._own)
        # Nobody sits in a segment who could pass gossip on.
        hosts = (peer for peer in self._peers if peer.owner is None)
        self._gossip_graph = self._recorded.build(hosts)
        self.gossip_unicast = routes.unicast_next_hops(self._gossip_graph, self._own)
        self._gossip_broadcast: dict[PeerName, tuple[PeerName, ...]] = {}
        hops = Counter(hop for hop in self.gossip_unicast.values() if hop != UNKNOWN_PEER)
        self._hops = sorted(hops)
        self._sums = list(accumulate(hops[name] for name in self._hops))

    def gossip_hops(self, source: PeerName) -> tuple[PeerName, ...]:
        """Whom a broadcast of that source goes to next; computed when first asked for."""
        if source not in self._gossip_broadcast:
            hops = routes.broadcast_next_hops(self._gossip_graph, self._own, source)
            if source not in self._gossip_graph.index:
                return hops
            self._gossip_broadcast[source] = hops
        return self._gossip_broadcast[source]

    def draw_neighbours(self, rng: random.Random, exclude: PeerName | None) -> list[PeerName]:
        """A random subset of the neighbours, weighted by how much goes by them.

        Of n peers that can be reached (ourself included), 2·log2 n are drawn, without putting back.
        """
        left = len(self._hops) - (exclude in self._hops)
        wanted = min(int(2 * math.log2(max(1, len(self.gossip_unicast)))), left)
        if wanted == left:
            return [name for name in self._hops if name != exclude]
        drawn: set[PeerName] = set()
        while len(drawn) < wanted:
            # Who was drawn before is drawn again in vain: the others' chances stay as they were.
            name = self._hops[bisect_right(self._sums, rng.randrange(self._sums[-1]))]
            if name != exclude:
                drawn.add(name)
        return sorted(drawn)
