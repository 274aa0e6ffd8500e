"""Segments as peers: who they are, how they move, and what two claims lead to."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from mesh_world import World, host_of, name_of

from weave_ryu.mesh import events
from weave_ryu.mesh.peers import Connection, Peer, Peers, connections_by_name
from weave_ryu.mesh.routes import established_graph
from weave_ryu.mesh.segments import (
    MAX_EPOCH,
    Claims,
    Segment,
    epoch_of,
    identity_of,
    is_arriving,
)
from weave_ryu.names import PeerName, PeerUID, ShortId

VLAN = identity_of("vlan", None)


def table(number: int = 1) -> Peers:
    own = Peer(name_of(number), "us", PeerUID(number), 0, ShortId(100 + number))
    return Peers(own, random.Random(1))


def claimed(number: int, epoch: int) -> tuple[Peers, Claims]:
    peers = table(number)
    claims = Claims(peers)
    claims.add(VLAN, epoch)
    claims.settle()
    return peers, claims


def news(peers: Peers) -> list[Peer]:
    return peers.select([VLAN.name, peers.own.name])


def edges(world: World, number: int) -> tuple[PeerName, ...]:
    return established_graph(world.routers[host_of(number)].peers).neighbours(VLAN.name)


def line(size: int, **changes: object) -> World:
    world = World()
    for number in range(1, size + 1):
        targets = [number - 1] if number > 1 else []
        world.add(number, targets, peer_discovery=False, **changes)
    world.run(10)
    return world


def claim(world: World, number: int, epoch: int) -> None:
    world.call(number, lambda router: router.claim_segment(VLAN, epoch, world.now))


def release(world: World, number: int) -> None:
    world.call(number, lambda router: router.release_segment(VLAN.name, world.now))


# Identity.


def test_a_segment_is_the_same_for_all_gateways_of_a_mesh_and_another_in_another_mesh():
    assert identity_of("vlan", None) == VLAN
    others = [identity_of("vlan", b"secret"), identity_of("vlan2", None)]
    assert len({VLAN.name, *(one.name for one in others)}) == 3
    for one in (VLAN, *others):
        assert one.name >> 40 & 0x03 == 0x02  # locally administered, no group
        assert one.uid > 0
        assert 0 <= one.short_id < 4096
    assert VLAN.nick_name == "vlan"


# Claims in a table.


def test_a_claim_makes_an_edge_that_both_entries_have():
    peers, _ = claimed(1, 7)
    entry = peers[VLAN.name]
    assert entry.owner == name_of(1)
    assert epoch_of(entry.version) == 7
    assert entry.short_id == VLAN.short_id
    assert established_graph(peers).neighbours(VLAN.name) == (name_of(1),)


def test_a_claim_that_holds_changes_nothing_more():
    peers, claims = claimed(1, 7)
    before = list(peers)
    assert claims.settle() == set()
    assert list(peers) == before


def test_a_higher_epoch_is_a_higher_version():
    peers, claims = claimed(1, 7)
    before = peers[VLAN.name].version
    claims.add(VLAN, 8)
    assert claims.settle() == {VLAN.name}
    assert peers[VLAN.name].version > before


def test_a_lie_about_an_epoch_still_fits():
    peers, _ = claimed(1, 1 << 62)
    assert epoch_of(peers[VLAN.name].version) == MAX_EPOCH
    assert peers[VLAN.name].version < 1 << 64


def test_the_owner_raises_its_version_beyond_a_higher_one_that_nobody_stands_for():
    for old_life in (1, 2):  # of ours, or of a gateway that has gone
        peers, claims = claimed(1, 1)
        stale = replace(
            peers[VLAN.name],
            version=9 << 32,
            connections=connections_by_name([Connection(name_of(old_life), "", False, True)]),
        )
        peers.merge([stale])
        claims.settle()
        assert peers[VLAN.name].owner == name_of(1)
        assert peers[VLAN.name].version >= 9 << 32


def test_who_does_not_claim_it_never_raises_it():
    peers = table(3)
    peers.merge(news(claimed(1, 5)[0]))
    before = peers[VLAN.name]
    peers.merge([replace(before, version=before.version - 1)])
    assert Claims(peers).settle() == set()
    assert peers[VLAN.name] is before


def test_a_claim_of_a_lower_epoch_lets_go_and_takes_it_when_the_other_has_withdrawn():
    peers, claims = claimed(1, 5)
    theirs, their_claims = claimed(2, 6)
    peers.merge(news(theirs))
    assert claims.settle() == {name_of(1)}
    assert VLAN.name not in peers.own.connections
    assert peers[VLAN.name].owner == name_of(2)
    assert their_claims.drop(VLAN.name)
    peers.merge(news(theirs))
    assert claims.settle() == {name_of(1), VLAN.name}
    assert peers[VLAN.name].owner == name_of(1)


@pytest.mark.parametrize(("one", "two"), [(1, 2), (2, 1)])
def test_two_claims_of_one_epoch_settle_on_one(one, two):
    peers, claims = claimed(one, 5)
    theirs, their_claims = claimed(two, 5)
    for _ in range(4):
        told, told_back = news(peers), news(theirs)
        theirs.merge(told)
        their_claims.settle()
        peers.merge(told_back)
        claims.settle()
    assert peers[VLAN.name] == theirs[VLAN.name]
    owners = [table.own.name for table in (peers, theirs) if VLAN.name in table.own.connections]
    assert owners == [peers[VLAN.name].owner]


def test_of_two_with_one_short_id_the_lower_name_keeps_it():
    lower, higher = PeerName(VLAN.name - 1), PeerName(VLAN.name + 1)
    for name, keeps in ((lower, False), (higher, True)):
        peers, claims = claimed(1, 5)
        before = peers[VLAN.name]
        link = connections_by_name([Connection(name_of(1), "10.0.0.1:6783", True, True)])
        peers.merge([Peer(name, "x", PeerUID(1), 1, VLAN.short_id, link)])
        assert claims.settle() == (set() if keeps else {VLAN.name})
        entry = peers[VLAN.name]
        assert (entry.short_id == VLAN.short_id) is keeps
        assert (entry.version > before.version) is not keeps
        # What it has got it keeps, whoever claims it next.
        theirs = table(2)
        theirs.merge(news(peers))
        their_claims = Claims(theirs)
        their_claims.add(VLAN, 6)
        their_claims.settle()
        assert theirs[VLAN.name].short_id == entry.short_id


# In a mesh.


def test_all_peers_see_it_and_nobody_dials_it():
    world = line(3, short_id=ShortId(1))
    dialled = len(world.ends)
    claim(world, 1, 1)
    world.run(0.05)
    for number in (1, 2, 3):
        assert edges(world, number) == (name_of(1),)
        assert world.routers[host_of(number)].frame_next_hops[VLAN.name] is not None
    world.run(60)
    assert len(world.ends) == dialled
    for number in (1, 2, 3):
        assert all(t.address.host for t in world.routers[host_of(number)].targets())
        assert edges(world, number) == (name_of(1),)


def test_a_move_is_one_edge_and_takes_the_time_of_gossip():
    world = line(4)
    claim(world, 1, 1)
    world.run(5)
    collected = [len(world.of_type(number, events.PeersCollected)) for number in (1, 2, 3, 4)]
    claim(world, 4, 2)
    world.run(0.05)
    for number in (1, 2, 3, 4):
        assert edges(world, number) == (name_of(4),)
    world.run(0.5)
    for number in (1, 2, 3, 4):
        assert VLAN.name not in world.routers[host_of(number)].peers[name_of(1)].connections
    release(world, 1)
    world.run(5)
    assert edges(world, 2) == (name_of(4),)
    after = [len(world.of_type(number, events.PeersCollected)) for number in (1, 2, 3, 4)]
    assert after == collected


def test_when_nobody_forwards_it_leaves_the_mesh():
    world = line(3)
    claim(world, 1, 1)
    world.run(5)
    release(world, 1)
    world.run(0.05)
    assert edges(world, 3) == ()
    world.run(3)
    for number in (1, 2, 3):
        assert VLAN.name not in world.routers[host_of(number)].peers


def test_it_leaves_with_its_gateway_and_comes_back_with_the_next():
    world = line(3)
    claim(world, 1, 4)
    world.run(5)
    world.kill(1)
    world.run(3)
    assert VLAN.name not in world.routers[host_of(3)].peers
    claim(world, 3, 1)  # it may have forgotten the epoch
    world.run(0.05)
    assert edges(world, 2) == (name_of(3),)


def test_a_gateway_that_has_forgotten_it_gets_above_what_another_has_written_in_that_epoch():
    """1 took it back and let it go again; then all but 1 collected the entry."""
    world = line(3)
    claim(world, 3, 4)
    world.run(0.1)
    release(world, 3)
    claim(world, 1, 4)
    world.run(0.1)
    release(world, 1)
    world.run(0.1)
    written = world.routers[host_of(1)].peers[VLAN.name]
    for number in (2, 3):
        world.routers[host_of(number)].peers._by_name.pop(VLAN.name)
    claim(world, 3, 4)
    world.run(0.1)
    for number in (1, 2, 3):
        assert edges(world, number) == (name_of(3),)
        assert world.routers[host_of(number)].peers[VLAN.name].version > written.version


def test_after_a_cut_one_claim_is_believed_everywhere():
    world = line(4)
    claim(world, 1, 3)
    world.run(2)
    pair = frozenset((host_of(2), host_of(3)))
    world.cut.add(pair)
    world.run(200)
    claim(world, 4, 3)
    world.run(5)
    assert edges(world, 3) == (name_of(4),)
    assert edges(world, 2) == (name_of(1),)
    world.cut.discard(pair)
    world.run(400)
    entries = [world.routers[host_of(number)].peers[VLAN.name] for number in (1, 2, 3, 4)]
    assert len(set(entries[0].connections)) == 1
    assert all(entry == entries[0] for entry in entries)
    owner = entries[0].owner
    assert {edges(world, number) for number in (1, 2, 3, 4)} == {(owner,)}
    other = 4 if owner == name_of(1) else 1
    release(world, 1 if other == 4 else 4)
    world.run(0.1)
    assert {edges(world, number) for number in (1, 2, 3, 4)} == {(name_of(other),)}


def test_it_does_not_count_for_the_limit_of_connections():
    world = World()
    world.add(1, connection_limit=1)
    world.add(2, [1])
    claim(world, 1, 1)
    world.run(10)
    assert world.established(1) == {2}


def test_a_segment_that_arrives_says_so_until_its_broadcasts_are_handed_over():
    peers, claims = table(), None
    claims = Claims(peers)
    claims.add(VLAN, 4, arriving=True)
    assert claims.settle() == {VLAN.name, peers.own.name}
    assert (peers[VLAN.name].owner, is_arriving(peers[VLAN.name])) == (name_of(1), True)
    before = peers[VLAN.name].version
    claims.add(VLAN, 4)
    assert claims.settle() == {VLAN.name}
    assert not is_arriving(peers[VLAN.name])
    assert peers[VLAN.name].version > before
    assert claims.settle() == set()


def test_two_own_segments_never_share_a_short_id():
    low, high = (
        Segment(PeerName(0x020000000000 | n), str(n), PeerUID(n), ShortId(77)) for n in (1, 2)
    )
    peers = table()
    claims = Claims(peers)
    claims.add(high, 1)
    claims.settle()
    claims.add(low, 1)
    claims.settle()
    assert (peers[low.name].short_id, peers[high.name].short_id) == (77, 78)


def test_the_short_id_that_a_port_opens_with_is_the_one_that_is_claimed():
    world = World()
    world.add(1)
    world.add(2, [1], name=PeerName(5), short_id=VLAN.short_id)
    world.run(10)
    router = world.routers[host_of(1)]
    expected = router.short_id_of_segment(VLAN)
    world.call(1, lambda router: router.claim_segment(VLAN, 1, world.now))
    assert router.short_id_of_segment(VLAN) == expected != VLAN.short_id


@pytest.mark.parametrize("connections", [{}, None], ids=["of no shape", "as a segment's"])
def test_a_lie_about_a_segments_version_costs_its_gateway_nothing(connections):
    world = World()
    world.add(1)
    world.add(2, [1])
    world.add(3, [1, 2])
    world.run(10)
    world.call(1, lambda router: router.claim_segment(VLAN, 1, world.now))
    world.run(2)
    liar = world.routers[host_of(3)].peers
    lie = replace(liar[VLAN.name], version=(1 << 64) - 1)
    liar.put(lie if connections is None else replace(lie, connections=connections))
    world.run(60)  # a round tells it
    assert world.established(1) == {2, 3}
    assert not world.of_type(1, events.ConnectionEnded)
    assert world.routers[host_of(1)].peers[VLAN.name].owner == name_of(1)


def test_a_table_with_a_lie_in_it_still_counts_within_its_bound():
    peers, claims = claimed(1, 5)
    peers.merge([replace(peers[VLAN.name], version=(1 << 64) - 1, connections={})])
    claims.settle()
    assert peers[VLAN.name].owner == name_of(1)
    assert epoch_of(peers[VLAN.name].version) == 5
