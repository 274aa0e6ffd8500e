"""Next hops for unicast and broadcast, computed from the topology (mesh/peer.go, routes.go).

All functions are pure. Sets of peers are integers: bit i stands for the i-th name in ascending
order, so that one operation handles all sources at once and the lowest bit is the lowest name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from weave_ryu.mesh.peers import Peer
from weave_ryu.names import UNKNOWN_PEER, PeerName


@dataclass(frozen=True, slots=True)
class Graph:
    """Who is connected to whom, in the recorded direction; made by ``from_adjacency``.

    Attributes:
        names: all peers, ascending.
        index: place of each name.
        out: for each peer the peers it is connected to.
        into: for each peer the peers connected to it.
    """

    names: tuple[PeerName, ...]
    index: Mapping[PeerName, int] = field(repr=False)
    out: tuple[int, ...] = field(repr=False)
    into: tuple[int, ...] = field(repr=False)

    @classmethod
    def from_adjacency(cls, adjacency: Mapping[PeerName, Iterable[PeerName]]) -> Graph:
        """Build from name → names; far ends that are no keys and loops are left out."""
        names = tuple(sorted(adjacency))
        index = {name: place for place, name in enumerate(names)}
        rows = [_row(adjacency[name], index, place) for place, name in enumerate(names)]
        return cls(names, index, tuple(_mask(row) for row in rows), _transposed(rows))

    def neighbours(self, name: PeerName) -> tuple[PeerName, ...]:
        """Whom it is connected to, ascending."""
        place = self.index.get(name)
        return () if place is None else self.to_names(self.out[place])

    def to_names(self, mask: int) -> tuple[PeerName, ...]:
        """The names of a set, ascending."""
        return tuple(self.names[place] for place in _bits(mask))


@dataclass(frozen=True, slots=True)
class BroadcastRoute:
    """What one peer does with broadcasts of one source.

    Attributes:
        next_hops: ascending.
        parent: the only neighbour they come from if all peers have the same data; None for our own
            and for those of a source that cannot reach us.
    """

    next_hops: tuple[PeerName, ...]
    parent: PeerName | None


class GraphBuilder:
    """Builds graphs of one table again and again; only changed connections are put in anew.

    Args:
        established_only: leave out connections that are not.
        with_into: fill in the graphs' ``into``.
    """

    def __init__(self, established_only: bool, with_into: bool = True) -> None:
        self._established_only = established_only
        self._with_into = with_into
        self._names: tuple[PeerName, ...] = ()
        self._index: dict[PeerName, int] = {}
        self._entries: list[Peer] = []
        self._out: list[int] = []
        self._into: list[int] = []

    def build(self, peers: Iterable[Peer]) -> Graph:
        """The graph of these entries."""
        entries = sorted(peers, key=lambda peer: peer.name)
        names = tuple(peer.name for peer in entries)
        if names != self._names:
            self._start_over(names, entries)
        else:
            self._update(entries)
        into = tuple(self._into) if self._with_into else ()
        return Graph(names, self._index, tuple(self._out), into)

    def _start_over(self, names: tuple[PeerName, ...], entries: list[Peer]) -> None:
        self._names = names
        self._index = {name: place for place, name in enumerate(names)}
        self._entries = entries
        rows = [self._row_of(peer, place) for place, peer in enumerate(entries)]
        self._out = [_mask(row) for row in rows]
        if self._with_into:
            self._into = list(_transposed(rows))

    def _update(self, entries: list[Peer]) -> None:
        for place, peer in enumerate(entries):
            if self._entries[place] is not peer:
                mask = _mask(self._row_of(peer, place))
                if self._with_into:
                    own = 1 << place
                    for far in _bits(mask ^ self._out[place]):
                        self._into[far] ^= own
                self._out[place] = mask
        self._entries = entries

    def _row_of(self, peer: Peer, place: int) -> bytearray:
        far_ends: Iterable[PeerName] = peer.connections
        if self._established_only:
            far_ends = [name for name, line in peer.connections.items() if line.established]
        return _row(far_ends, self._index, place)


def both_ways(graph: Graph) -> Graph:
    """Only the connections that both ends have."""
    both = tuple(out & into for out, into in zip(graph.out, graph.into, strict=True))
    return Graph(graph.names, graph.index, both, both)


def established_graph(peers: Iterable[Peer]) -> Graph:
    """Connections that both ends have and call established: for frames."""
    return both_ways(GraphBuilder(established_only=True).build(peers))


def recorded_graph(peers: Iterable[Peer]) -> Graph:
    """All connections, in the direction in which they are recorded: for gossip."""
    return GraphBuilder(established_only=False).build(peers)


def unicast_next_hops(graph: Graph, self_name: PeerName) -> dict[PeerName, PeerName]:
    """Destination → first hop, for all that can be reached; ourself → the unknown peer.

    Of several shortest paths the one is taken whose last but one peer has the lowest name.
    """
    start = graph.index.get(self_name)
    if start is None:
        return {}
    hops = {self_name: UNKNOWN_PEER}
    reached = level = 1 << start
    while level:
        found = 0
        for place in _bits(level):
            new = graph.out[place] & ~reached
            if not new:
                continue
            reached |= new
            found |= new
            first = hops[graph.names[place]]
            for name in graph.to_names(new):
                hops[name] = name if place == start else first
        level = found
    return hops


def broadcast_next_hops(
    graph: Graph, self_name: PeerName, source: PeerName
) -> tuple[PeerName, ...]:
    """Whom to pass a broadcast of that source on to, ascending.

    Widen from the source until our turn comes; the next hops are our neighbours without a route at
    that moment (mesh/routes.go calculateBroadcast).
    """
    here, start = graph.index.get(self_name), graph.index.get(source)
    if here is None or start is None:
        return ()
    reached = level = 1 << start
    while level:
        found = 0
        for place in _bits(level):
            new = graph.out[place] & ~reached
            if place == here:
                return graph.to_names(new)
            reached |= new
            found |= new
        level = found
    return ()


def broadcast_tables(graph: Graph, self_name: PeerName) -> dict[PeerName, BroadcastRoute]:
    """The broadcast route for every source at once.

    Instead of one widening per source, all sources are widened together: ``within[t]`` is the set
    of sources that are at most ``distance`` hops from peer t.
    """
    here = graph.index.get(self_name)
    if here is None:
        return {}
    hops: list[list[PeerName]] = [[] for _ in graph.names]
    parents: list[PeerName | None] = [None] * len(graph.names)
    hops[here] = list(graph.neighbours(self_name))
    places = range(len(graph.names))
    nearer = [1 << place for place in places]
    within = [mask | nearer[place] for place, mask in enumerate(graph.into)]
    while sources := within[here] & ~nearer[here]:
        for place in _bits(graph.into[here]):
            claimed = sources & nearer[place]
            for source in _bits(claimed):
                parents[source] = graph.names[place]
            sources &= ~claimed
            if not sources:
                break
        _collect_hops(graph, here, nearer, within, hops)
        if _widened(graph, here, within) == within[here]:
            break
        nearer, within = within, [_widened(graph, place, within) for place in places]
    return {
        name: BroadcastRoute(tuple(hops[place]), parents[place])
        for place, name in enumerate(graph.names)
    }


def _collect_hops(
    graph: Graph, here: int, nearer: list[int], within: list[int], hops: list[list[PeerName]]
) -> None:
    """Add the next hops for all sources that are as far from us as the widening has come."""
    sources = within[here] & ~nearer[here]
    lower_names = (1 << here) - 1
    for hop in _bits(graph.out[here]):
        left = sources & ~within[hop]
        if not left:
            continue
        for rival in _bits(graph.into[hop] & lower_names):
            # A peer at our level with a lower name has its turn before us and claims the hop.
            left &= ~within[rival] | nearer[rival]
            if not left:
                break
        for source in _bits(left):
            hops[source].append(graph.names[hop])


def _widened(graph: Graph, place: int, within: list[int]) -> int:
    """The sources at most one hop further from a peer than those in ``within``."""
    everybody = (1 << len(within)) - 1
    mask = within[place]
    if mask == everybody:
        return mask
    for before in _bits(graph.into[place]):
        mask |= within[before]
        if mask == everybody:
            break
    return mask


def _bits(mask: int) -> Iterator[int]:
    """Places of the ones, ascending. Text search is the fastest way in pure Python."""
    digits = f"{mask:b}"[::-1]
    place = digits.find("1")
    while place >= 0:
        yield place
        place = digits.find("1", place + 1)


def _row(names: Iterable[PeerName], index: Mapping[PeerName, int], own: int) -> bytearray:
    """Digits of a set, highest place first."""
    row = bytearray(b"0") * len(index)
    last = len(index) - 1
    for place in map(index.get, names):
        if place is not None:
            row[last - place] = 49
    row[last - own] = 48
    return row


def _mask(row: bytes | bytearray) -> int:
    return int(row, 2)


def _transposed(rows: list[bytearray]) -> tuple[int, ...]:
    """The masks of the columns: strided slices of one buffer, so no Python loop runs per edge."""
    size = len(rows)
    everything = bytes(b"".join(reversed(rows)))
    return tuple(_mask(everything[size - 1 - place :: size]) for place in range(size))
