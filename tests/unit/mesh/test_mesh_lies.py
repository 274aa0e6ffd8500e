"""A neighbour that lies about others, on the code that runs: nobody else is cut off by it."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.mesh.mesh_world import World, host_of, name_of
from weave_ryu.mesh import events
from weave_ryu.mesh.gossip import TOPOLOGY, PayloadData
from weave_ryu.mesh.peers import (
    MAX_PEERS,
    MAX_STEP,
    MAX_VERSION,
    Connection,
    Peer,
    connections_by_name,
)
from weave_ryu.mesh.segments import Segment
from weave_ryu.mesh.topology import encode_update
from weave_ryu.names import PeerName, PeerUID, ShortId

LIAR, SHUNNED = 3, 1
VERSIONS = [
    41,
    MAX_STEP,
    1 << 62,
    MAX_VERSION,
    MAX_VERSION + 1,
    1 << 63,
    *(2**64 - n for n in (1, 2, 3)),
]


def full_mesh():
    world = World()
    world.add(1)
    world.add(2, [1])
    world.add(LIAR, [1, 2])
    world.run(10)
    return world


def lies(world, version, uid, lines=()):
    """The liar tells its neighbours an entry of somebody else."""
    entry = Peer(
        name_of(SHUNNED), "x", PeerUID(uid), version, None,
        connections_by_name(Connection(name_of(far), "", True, True) for far in lines),
    )  # fmt: skip
    payload = PayloadData((encode_update([entry]),))
    world.call(LIAR, lambda router: router._core.gossiper.tell_neighbours(TOPOLOGY, payload))


def is_whole(world, *others):
    """Nobody has ended a connection, and all know the entry that its owner has."""
    true = world.routers[host_of(SHUNNED)].peers.own
    for number in others:
        router = world.routers[host_of(number)]
        known = router.peers[name_of(SHUNNED)]
        ended = world.of_type(number, events.ConnectionEnded)
        if ended or (known.version, known.uid) != (true.version, true.uid):
            return False
        if known.connections.keys() != true.connections.keys():
            return False
        if name_of(SHUNNED) not in router.frame_next_hops:
            return False
    return not world.of_type(SHUNNED, events.ConnectionEnded)


@pytest.mark.parametrize("is_own_uid", [True, False])
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("lines", [(), (LIAR,)], ids=["alone", "behind the liar"])
def test_a_lie_about_a_peer_is_over_when_it_is_heard(version, is_own_uid, lines):
    world = full_mesh()
    own = world.routers[host_of(SHUNNED)].peers.own
    lies(world, version, own.uid if is_own_uid else 2**64 - 1, lines)
    world.run(35)
    assert is_whole(world, 2)
    world.add(4, [1])  # its entry changes
    world.run(35)
    assert is_whole(world, 2, 4)
    assert world.routers[host_of(SHUNNED)].version < 1 << 64


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.booleans()), max_size=8))
@settings(max_examples=40, deadline=None)
def test_many_lies_about_a_peer_end_with_the_liar(told):
    world = full_mesh()
    own = world.routers[host_of(SHUNNED)].peers.own
    for version, is_own_uid in told:
        lies(world, version, own.uid if is_own_uid else 7)
        world.run(0.1)
    world.kill(LIAR)
    world.run(90)
    for number, other in itertools.permutations((1, 2)):
        known = world.routers[host_of(number)].peers[name_of(other)]
        assert known.version == world.routers[host_of(other)].version
        assert name_of(other) in world.routers[host_of(number)].frame_next_hops


def test_a_lie_with_the_version_that_an_entry_has_is_contradicted():
    world = full_mesh()
    own = world.routers[host_of(SHUNNED)].peers.own
    lies(world, own.version, own.uid, lines=(99,))
    assert world.routers[host_of(SHUNNED)].version == own.version
    world.run(3)
    assert world.routers[host_of(SHUNNED)].version > own.version
    assert is_whole(world, 2)


def test_what_a_peer_says_of_itself_stands_above_what_others_have_said():
    world = full_mesh()
    peers = world.routers[host_of(2)].peers
    true = peers[name_of(SHUNNED)]
    peers.put(replace(true, version=MAX_VERSION + 5, connections={}))
    peers.merge([true], sender=name_of(LIAR))
    assert peers[name_of(SHUNNED)].version == MAX_VERSION + 5
    peers.merge([true], sender=name_of(SHUNNED))
    assert peers[name_of(SHUNNED)] is true


def test_a_peer_with_the_last_version_of_all_goes_on_with_it():
    world = full_mesh()
    peers = world.routers[host_of(2)].peers
    peers.put(replace(peers.own, version=(1 << 64) - 1))
    peers.delete_own_connection(name_of(LIAR))
    assert peers.own.version == (1 << 64) - 1
    assert encode_update([peers.own])


def test_a_claim_of_one_that_is_no_gateway_is_outbid():
    segment = Segment(PeerName(0x02_0000_0000_99), "vlan", PeerUID(9), ShortId(7))
    world = full_mesh()
    world.call(SHUNNED, lambda router: router.judge_claims(lambda _, peer: peer == name_of(2)))
    world.call(SHUNNED, lambda router: router.claim_segment(segment, 5, world.now))
    world.call(LIAR, lambda router: router.claim_segment(segment, 1 << 20, world.now))
    for _ in range(3):
        world.run(1.0)
        world.call(LIAR, lambda router: router._core.settle_claims(world.now))
    world.kill(LIAR)
    world.run(5.0)
    owners = {world.routers[host_of(n)].peers[segment.name].owner for n in (1, 2)}
    assert owners == {name_of(SHUNNED)}
    world.call(2, lambda router: router.claim_segment(segment, 1 << 21, world.now))
    world.run(1.0)
    owners = {world.routers[host_of(n)].peers[segment.name].owner for n in (1, 2)}
    assert owners == {name_of(2)}


def test_thousands_of_invented_peers_cut_nobody_off():
    world = full_mesh()
    segment = Segment(PeerName(0x02_0000_0000_99), "vlan", PeerUID(9), ShortId(7))
    names = [PeerName(0x02_0000_0000 + n) for n in range(3000)]
    lines = connections_by_name(Connection(name, "", True, True) for name in names)
    for start in range(0, 9000, 3000):
        invented = [
            Peer(PeerName(name + start), "", PeerUID(1), 1, None, lines if start == 0 else {})
            for name in (names[:1] if start == 0 else names)
        ]
        own = world.routers[host_of(LIAR)].peers.own
        more = connections_by_name(
            [*own.connections.values(), *(Connection(p.name, "", True, True) for p in invented)]
        )
        told = [replace(own, version=own.version + 1 + start, connections=more), *invented]
        payload = PayloadData((encode_update(told),))
        world.call(
            LIAR,
            lambda router, news=payload: router._core.gossiper.tell_neighbours(TOPOLOGY, news),
        )
        world.run(0.5)
    assert len(world.routers[host_of(2)].peers) >= MAX_PEERS
    world.add(4, [1])
    world.call(SHUNNED, lambda router: router.claim_segment(segment, 1, world.now))
    world.run(5.0)
    for number in (1, 2):
        ended = world.of_type(number, events.ConnectionEnded)
        assert name_of(LIAR) not in {event.peer for event in ended}
        assert not {event.peer for event in ended} & {name_of(1), name_of(2), name_of(4)}
    assert world.routers[host_of(1)].peers[segment.name].owner == name_of(1)
    assert name_of(4) in world.routers[host_of(1)].frame_next_hops
    world.kill(LIAR)
    world.run(35.0)
    assert len(world.routers[host_of(2)].peers) == 4  # with the segment
    assert name_of(4) in world.routers[host_of(2)].frame_next_hops
