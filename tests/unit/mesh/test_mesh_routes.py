"""Routes by hand; the vectors are in tests/interop."""

from __future__ import annotations

import time

from weave_ryu.mesh.peers import Connection, Peer, connections_by_name
from weave_ryu.mesh.routes import (
    Graph,
    broadcast_next_hops,
    broadcast_tables,
    established_graph,
    recorded_graph,
    unicast_next_hops,
)
from weave_ryu.names import UNKNOWN_PEER, PeerName


def graph(edges: list[tuple[int, int]], alone: tuple[int, ...] = ()) -> Graph:
    adjacency: dict[PeerName, list[PeerName]] = {PeerName(name): [] for name in alone}
    for near, far in edges:
        adjacency.setdefault(PeerName(near), []).append(PeerName(far))
        adjacency.setdefault(PeerName(far), []).append(PeerName(near))
    return Graph.from_adjacency(adjacency)


def test_a_line_relays_through_its_middle():
    line = graph([(1, 2), (2, 3)])
    assert unicast_next_hops(line, PeerName(1)) == {1: UNKNOWN_PEER, 2: 2, 3: 2}
    assert broadcast_next_hops(line, PeerName(2), PeerName(1)) == (3,)
    assert broadcast_tables(line, PeerName(2))[PeerName(1)].parent == 1
    assert broadcast_tables(line, PeerName(2))[PeerName(2)].parent is None


def test_the_tie_goes_to_the_lowest_name_at_the_last_but_one_level():
    # 1-9-2-8 and 1-3-5-8: same length; 2 is lower than 5 although 9 is higher than 3.
    diamond = graph([(1, 9), (9, 2), (2, 8), (1, 3), (3, 5), (5, 8)])
    assert unicast_next_hops(diamond, PeerName(1))[PeerName(8)] == 9


def test_in_a_full_mesh_nobody_passes_a_broadcast_on():
    full = graph([(a, b) for a in range(1, 6) for b in range(1, a)])
    table = broadcast_tables(full, PeerName(3))
    assert table[PeerName(3)].next_hops == (1, 2, 4, 5)
    assert all(not table[PeerName(name)].next_hops for name in (1, 2, 4, 5))
    assert all(table[PeerName(name)].parent == name for name in (1, 2, 4, 5))


def test_who_is_unreachable_has_no_route_and_no_parent():
    parted = graph([(1, 2)], alone=(7,))
    assert PeerName(7) not in unicast_next_hops(parted, PeerName(1))
    assert broadcast_tables(parted, PeerName(1))[PeerName(7)].parent is None
    assert broadcast_next_hops(parted, PeerName(1), PeerName(7)) == ()
    assert unicast_next_hops(parted, PeerName(99)) == {}
    assert broadcast_tables(parted, PeerName(99)) == {}
    assert parted.neighbours(PeerName(99)) == ()


def peer(name: int, *lines: tuple[int, bool]) -> Peer:
    return Peer(
        PeerName(name),
        connections=connections_by_name(
            Connection(PeerName(far), "", True, established) for far, established in lines
        ),
    )


def test_frames_need_both_sides_to_say_established_and_gossip_needs_one_record():
    peers = [peer(1, (2, True), (3, True)), peer(2, (1, True)), peer(3, (1, False))]
    assert established_graph(peers).neighbours(PeerName(1)) == (2,)
    assert recorded_graph(peers).neighbours(PeerName(1)) == (2, 3)


def test_a_thousand_peers_are_computed_in_a_fraction_of_a_second():
    names = [PeerName(number + 1) for number in range(1000)]
    full = Graph.from_adjacency(dict.fromkeys(names, names))
    ring = Graph.from_adjacency(
        {
            name: [names[(place + step) % 1000] for step in (-300, -17, -1, 1, 17, 300)]
            for place, name in enumerate(names)
        }
    )
    for one in (full, ring):
        start = time.perf_counter()
        assert len(unicast_next_hops(one, names[500])) == 1000
        assert len(broadcast_tables(one, names[500])) == 1000
        # 3 and 20 ms where this was written; the bound only catches a wrong order of growth.
        assert time.perf_counter() - start < 1.0
