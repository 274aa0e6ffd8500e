"""Queues, surrogates and the choice of neighbours."""

from __future__ import annotations

import random

import pytest

from weave_ryu.mesh.config import ConnectionId
from weave_ryu.mesh.framing import MAX_MESSAGE_BYTES
from weave_ryu.mesh.gossip import GossipQueue, PayloadData, SurrogateMemory, TopologyData
from weave_ryu.mesh.gossiper import MAX_SURROGATES, Gossiper
from weave_ryu.mesh.messages import Gossip, Tag, decode_gossip
from weave_ryu.mesh.peers import Connection, Peer, Peers, connections_by_name
from weave_ryu.mesh.routing import RoutingTables
from weave_ryu.mesh.topology import decode_update
from weave_ryu.names import PeerName, PeerUID

OWN = PeerName(100)


def lines(*names: int):
    return connections_by_name(
        Connection(PeerName(name), "10.0.0.9:6783", True, True) for name in names
    )


def star(leaves: int) -> Peers:
    entries = [Peer(OWN, uid=PeerUID(1), connections=lines(*range(1, leaves + 1)))]
    entries += [
        Peer(PeerName(number), uid=PeerUID(1), connections=lines(100))
        for number in range(1, leaves + 1)
    ]
    return Peers.from_entries(entries, OWN, random.Random(1))


def test_pending_gossip_goes_before_broadcasts_and_unicast_before_both():
    queue = GossipQueue(OWN)
    queue.add_broadcast("a", PeerName(5), PayloadData((b"b1",)))
    queue.add_neighbour("z", PayloadData((b"n1",)))
    queue.add_neighbour("c", PayloadData((b"n2",)))
    queue.add_unicast(b"u")
    messages = queue.drain()
    assert [tag for tag, _ in messages] == [5, 4, 4, 6]
    assert decode_gossip(messages[1][1]) == Gossip("c", OWN, b"n2")
    assert decode_gossip(messages[3][1]) == Gossip("a", PeerName(5), b"b1")
    assert queue.is_empty
    assert queue.drain() == []


def test_topology_is_merged_while_it_waits_and_told_as_it_is_when_it_is_sent():
    peers = star(3)
    queue = GossipQueue(OWN)
    queue.blocked = True
    queue.add_neighbour("topology", TopologyData(peers, frozenset({PeerName(1)})))
    queue.add_neighbour("topology", TopologyData(peers, frozenset({PeerName(2), PeerName(77)})))
    assert queue.drain() == []
    peers.merge([Peer(PeerName(2), "newer", PeerUID(1), 9, None, lines(100))])
    queue.blocked = False
    [(tag, body)] = queue.drain()
    update = decode_update(decode_gossip(body).payload)
    assert tag is Tag.GOSSIP
    assert [(one.name, one.nick_name) for one in update] == [(1, ""), (2, "newer")]


def test_opaque_payloads_are_kept_apart_and_a_complete_state_is_told_once():
    queue = GossipQueue(OWN)
    state = PayloadData(complete=lambda: b"state")
    for news in (PayloadData((b"1",)), state, PayloadData((b"2",)), state):
        queue.add_neighbour("c", news)
    assert [decode_gossip(body).payload for _, body in queue.drain()] == [b"1", b"2", b"state"]
    queue.add_neighbour("c", PayloadData(complete=lambda: b""))
    assert queue.drain() == []


def test_peers_that_were_collected_leave_an_empty_payload():
    queue = GossipQueue(OWN)
    queue.add_neighbour("topology", TopologyData(star(1), frozenset({PeerName(50)})))
    [(_, body)] = queue.drain()
    assert decode_gossip(body).payload == b""


def test_an_update_too_large_for_one_message_is_split():
    many = range(1000, 1000 + 1200)
    own = Peer(OWN, uid=PeerUID(1))
    entries = [
        Peer(PeerName(name), uid=PeerUID(1), connections=lines(*many)) for name in range(1, 121)
    ]
    peers = Peers.from_entries([own, *entries], OWN, random.Random(1))
    payloads = TopologyData(peers, frozenset(one.name for one in peers)).encode()
    assert len(payloads) > 1
    assert sum(len(decode_update(payload)) for payload in payloads) == len(peers)


def test_a_surrogate_passes_the_same_bytes_on_once():
    memory = SurrogateMemory()
    assert memory.is_news(b"a", 0.0)
    assert not memory.is_news(b"a", 29.0)
    assert memory.is_news(b"b", 31.0)
    assert memory.is_news(b"a", 32.0)


def test_a_surrogate_forgets_only_when_something_new_comes():
    memory = SurrogateMemory()
    assert memory.is_news(b"a", 0.0)
    assert not memory.is_news(b"a", 1000.0)


def test_a_surrogate_remembers_a_bounded_number():
    memory = SurrogateMemory()
    for number in range(5000):
        assert memory.is_news(number.to_bytes(2, "big"), 0.0)
    assert len(memory._seen) == 4096


def test_unknown_channels_are_bounded_and_idle_ones_give_way():
    gossiper = Gossiper(OWN, RoutingTables(star(1)), random.Random(1))
    made = [gossiper.surrogate(f"c{number}", 0.0) for number in range(MAX_SURROGATES)]
    for memory in made:
        assert memory.is_news(b"a", 0.0)
    assert gossiper.surrogate("one more", 30.0) is None
    assert gossiper.surrogate("c0", 30.0) is made[0]
    assert made[0].is_news(b"b", 30.0)
    assert gossiper.surrogate("one more", 31.0) is not None
    assert gossiper.surrogate("c0", 31.0) is made[0]


@pytest.mark.parametrize("channel", ["IPallocation", "nameserver"])
def test_weaves_channels_have_a_place_whoever_uses_up_the_others(channel):
    gossiper = Gossiper(OWN, RoutingTables(star(1)), random.Random(1))
    for number in range(MAX_SURROGATES + 10):
        memory = gossiper.surrogate(f"c{number}", 0.0)
        assert memory is None or memory.is_news(b"a", 0.0)
    kept = gossiper.surrogate(channel, 0.0)
    assert kept is not None
    assert gossiper.surrogate(channel, 40.0) is kept


def test_few_neighbours_are_all_told_and_many_are_drawn():
    tables = RoutingTables(star(3))
    assert tables.draw_neighbours(random.Random(1), None) == [1, 2, 3]
    assert tables.draw_neighbours(random.Random(1), PeerName(2)) == [1, 3]
    tables = RoutingTables(star(63))
    drawn = tables.draw_neighbours(random.Random(1), PeerName(5))
    assert len(drawn) == len(set(drawn)) == 12
    assert 5 not in drawn


def test_a_neighbour_that_leads_to_many_is_drawn_more_often():
    peers = star(40)
    behind = range(200, 300)
    peers.merge([Peer(PeerName(1), "", PeerUID(1), 5, None, lines(100, *behind))])
    tables = RoutingTables(peers)
    rng = random.Random(7)
    counts = [0] * 41
    for _ in range(200):
        for name in tables.draw_neighbours(rng, None):
            counts[name] += 1
    assert counts[1] == max(counts)


def test_gossip_to_some_waits_for_the_routes_and_gossip_down_one_does_not():
    peers = star(2)
    tables = RoutingTables(peers)
    gossiper = Gossiper(OWN, tables, random.Random(1))
    for name in (1, 2):
        gossiper.add_neighbour(PeerName(name), ConnectionId(name))
    tables.schedule(0.0)
    gossiper.tell_some("c", PayloadData((b"x",)))
    gossiper.tell(PeerName(1), "c", PayloadData((b"y",)))
    assert [connection for connection, _, _ in gossiper.drain()] == [1]
    tables.recalculate()
    assert [connection for connection, _, _ in gossiper.drain()] == [1, 2]


def test_a_neighbour_that_does_not_read_is_noticed():
    gossiper = Gossiper(OWN, RoutingTables(star(1)), random.Random(1))
    gossiper.add_neighbour(PeerName(1), ConnectionId(1))
    gossiper.set_blocked(PeerName(1), True)
    for _ in range(4):
        gossiper.tell(PeerName(1), "c", PayloadData((bytes(9_000_000),)))
        assert gossiper.drain() == []
    assert gossiper.overfull() == [1]


def test_however_long_texts_are_each_part_of_an_update_fits_into_a_message():
    peers = star(1)
    addresses = {PeerName(n): "\U0001f600" * 64 for n in range(1000, 1400)}
    lines_of = connections_by_name(
        Connection(far, address, True, True) for far, address in addresses.items()
    )
    names = [n for n in range(1, 201) if n != OWN]
    peers.merge(Peer(PeerName(n), "\U0001f600" * 256, PeerUID(1), 9, None, lines_of) for n in names)
    parts = TopologyData(peers, frozenset(PeerName(n) for n in names)).encode()
    assert sum(map(len, parts)) > MAX_MESSAGE_BYTES
    assert max(map(len, parts)) < MAX_MESSAGE_BYTES - 2048
    assert sum(len(decode_update(part)) for part in parts) == len(names)
