"""Whole routers against each other, with a virtual clock."""

from __future__ import annotations

import ipaddress
import random

import pytest
from mesh_world import LATENCY_S, World, host_of, name_of

from weave_ryu.mesh import events
from weave_ryu.mesh.config import Address
from weave_ryu.mesh.events import GossipKind
from weave_ryu.mesh.routes import broadcast_next_hops, recorded_graph
from weave_ryu.names import ShortId


def same_tables(world: World) -> bool:
    tables = [list(router.peers) for router in world.routers.values()]
    return all(table == tables[0] for table in tables)


def test_five_routers_find_each_other_from_one_address():
    world = World()
    world.add(1)
    for number in (2, 3, 4, 5):
        world.add(number, [1])
    world.run(20)
    for number in range(1, 6):
        assert world.established(number) == set(range(1, 6)) - {number}
    assert same_tables(world)
    assert len(world.routers[host_of(1)].frame_next_hops) == 5


def test_two_routers_have_version_two_after_the_first_connection():
    world = World()
    one = world.add(1)
    two = world.add(2, [1])
    world.run(5)
    assert (one.version, two.version) == (2, 2)
    assert len(world.of_type(1, events.ConnectionEstablished)) == 1


def test_a_line_without_discovery_stays_a_line():
    world = World()
    for number, targets in ((1, []), (2, [1]), (3, [2]), (4, [3])):
        world.add(number, targets, peer_discovery=False)
    world.run(60)
    assert [world.established(n) for n in (1, 2, 3, 4)] == [{2}, {1, 3}, {2, 4}, {3}]
    assert same_tables(world)
    assert world.routers[host_of(1)].frame_next_hops[name_of(4)] == name_of(2)


def test_a_killed_router_is_collected_by_all_and_dialled_with_back_off():
    world = World()
    for number, targets in ((1, []), (2, [1]), (3, [1])):
        world.add(number, targets)
    world.run(10)
    world.kill(1)
    world.run(30)
    for number in (2, 3):
        router = world.routers[host_of(number)]
        assert name_of(1) not in router.peers
        assert world.established(number) == {5 - number}
        assert any(
            name_of(1) in event.names for event in world.of_type(number, events.PeersCollected)
        )
        [target] = [t for t in router.targets() if t.address.host == host_of(1)]
        assert target.state == "failed"
        assert 3 <= target.attempts <= 10


def test_a_restarted_router_with_a_new_uid_and_short_id_heals():
    world = World()
    for number, targets in ((1, []), (2, [1]), (3, [1])):
        world.add(number, targets)
    world.run(10)
    world.kill(3)
    world.run(0.05)
    world.restart(3, short_id=ShortId(999))
    world.run(20)
    assert world.established(3) == {1, 2}
    assert same_tables(world)
    by_id = world.routers[host_of(1)].peers.by_short_id(ShortId(999))
    assert by_id is not None
    assert by_id.name == name_of(3)


def test_equal_short_ids_are_resolved_in_favour_of_the_lower_name():
    world = World()
    world.add(1, short_id=ShortId(7))
    world.add(2, [1], short_id=ShortId(7))
    world.add(3, [1], short_id=ShortId(7))
    world.run(20)
    ids = [world.routers[host_of(n)].short_id for n in (1, 2, 3)]
    assert ids[0] == 7
    assert len(set(ids)) == 3
    assert world.of_type(2, events.ShortIdChanged)
    assert not world.of_type(1, events.ShortIdChanged)
    assert world.established(2) == {1, 3}
    assert same_tables(world)


def test_a_surrogate_passes_all_three_kinds_of_gossip_on_unharmed():
    world = World()
    for number, targets in ((1, []), (2, [1]), (3, [2])):
        world.add(number, targets, peer_discovery=False)
    for number in (1, 3):
        world.call(number, lambda router: router.register_channel("gateway"))
    world.run(5)
    now = world.now
    blob = bytes(range(256)) * 5
    world.call(1, lambda r: r.gossip_broadcast("gateway", b"all" + blob, now))
    world.call(1, lambda r: r.gossip_unicast("gateway", name_of(3), b"one" + blob, now))
    world.call(1, lambda r: r.gossip_neighbours("gateway", b"some" + blob, now))
    world.call(1, lambda r: r.gossip_neighbours("gateway", b"some" + blob, now))
    world.run(1)
    got = {
        (event.kind, event.source, event.payload)
        for event in world.of_type(3, events.GossipReceived)
    }
    assert got == {
        (GossipKind.BROADCAST, name_of(1), b"all" + blob),
        (GossipKind.UNICAST, name_of(1), b"one" + blob),
        (GossipKind.NEIGHBOUR, name_of(2), b"some" + blob),
    }
    assert len(world.of_type(3, events.GossipReceived)) == 3
    assert not world.of_type(2, events.GossipReceived)


def test_detour_reaches_a_neighbour_by_others():
    world = World()
    for number, targets in ((1, []), (2, [1]), (3, [1, 2])):
        world.add(number, targets)
    for number in (1, 2, 3):
        world.call(number, lambda router: router.register_channel("gateway"))
    world.run(5)
    world.call(1, lambda r: r.gossip_detour("gateway", name_of(3), b"by 2", world.now))
    world.run(LATENCY_S * 1.5)
    assert not world.of_type(3, events.GossipReceived)
    world.run(LATENCY_S)
    (event,) = world.of_type(3, events.GossipReceived)
    assert (event.kind, event.source, event.payload) == (GossipKind.UNICAST, name_of(1), b"by 2")


def test_complete_state_goes_down_a_fresh_connection_and_every_round():
    world = World()
    one = world.add(1)
    one.register_channel("gateway")
    one.set_complete_state("gateway", lambda: b"state of 1")
    two = world.add(2, [1])
    two.register_channel("gateway")
    two.set_complete_state("gateway", lambda: b"")
    world.run(2)
    assert len(world.of_type(2, events.GossipReceived)) == 1
    world.run(30)
    assert len(world.of_type(2, events.GossipReceived)) == 2
    assert not world.of_type(1, events.GossipReceived)


def info_of(world, number, other=None):
    """What the status of a host says of a connection, its only one if no other host is named."""
    views = world.routers[host_of(number)].connections()
    [info] = [v.info for v in views if other is None or v.name == name_of(other)]
    return info


def test_without_vxlan_a_connection_stays_pending():
    world = World()
    world.add(1)
    world.add(2, [1])
    world.blocked_vxlan.add((host_of(2), host_of(1)))
    world.run(30)
    # 2 hears 1 and acknowledges; nobody acknowledges 2. Both say so.
    assert world.established(1) == set()
    assert world.established(2) == set()
    assert "no heartbeat heard yet" in info_of(world, 1)
    assert "the other side does not hear us" in info_of(world, 1)
    assert "no heartbeat acknowledged yet" in info_of(world, 2)
    assert name_of(2) not in world.routers[host_of(1)].frame_next_hops
    world.blocked_vxlan.clear()
    world.run(2)
    assert world.established(1) == {2}
    assert world.established(2) == {1}
    assert info_of(world, 1) == info_of(world, 2) == ""
    assert name_of(2) in world.routers[host_of(1)].frame_next_hops


BOTH_WAYS = ((2, 1), (1, 2))


@pytest.mark.parametrize("directions", [BOTH_WAYS[:1], BOTH_WAYS[1:], BOTH_WAYS])
def test_when_the_overlay_fails_frames_go_by_others_until_it_works_again(directions):
    world = World()
    for number, targets in ((1, []), (2, [1]), (3, [1, 2])):
        world.add(number, targets)
    world.run(15)
    hops = [world.routers[host_of(n)].frame_next_hops for n in (1, 2)]
    assert (hops[0][name_of(2)], hops[1][name_of(1)]) == (name_of(2), name_of(1))
    world.blocked_vxlan |= {(host_of(a), host_of(b)) for a, b in directions}
    world.run(62)
    for number, other in ((1, 2), (2, 1)):
        router = world.routers[host_of(number)]
        assert router.frame_next_hops[name_of(other)] == name_of(3)
        assert world.established(number) == {3}
        assert info_of(world, number, other) != ""
        # Control goes on by the same connection.
        assert len(router.connections()) == 2
    assert not world.of_type(1, events.ConnectionEnded)
    # A third peer agrees: the trees of all are the same.
    graph = world.routers[host_of(3)].frame_graph
    assert graph.neighbours(name_of(1)) == (name_of(3),)
    world.blocked_vxlan.clear()
    world.run(12)
    for number, other in ((1, 2), (2, 1)):
        assert world.routers[host_of(number)].frame_next_hops[name_of(other)] == name_of(other)
        assert world.established(number) == {3, other}
        assert info_of(world, number, other) == ""
    deaf = {b for _, b in directions}
    for number in (1, 2):
        told = [e.healthy for e in world.of_type(number, events.OverlayHealthChanged)]
        assert told == ([False, True] if number in deaf else [])


def test_the_hint_at_a_nat_names_the_address_that_must_forward():
    world = World()
    world.add(1)
    world.add(2, [1])
    world.translated[host_of(2)] = "10.9.9.9"
    world.run(10)
    assert world.established(1) == world.established(2) == set()
    assert "between 10.0.0.1 and 10.9.9.9" in info_of(world, 1)
    assert "if 10.9.9.9 is a NAT's address, that must forward UDP 6784" in info_of(world, 1)
    hint = "NAT: the other side sees us as 10.9.9.9, which must forward UDP 6784 to 10.0.0.2"
    assert hint in info_of(world, 2)


def test_a_lapsed_connection_that_ends_was_an_established_one():
    world = World()
    world.add(1)
    world.add(2, [1])
    world.run(5)
    world.blocked_vxlan.add((host_of(2), host_of(1)))
    world.run(75)
    assert world.established(1) == set()
    world.kill(2)
    world.run(1)
    [ended] = world.of_type(1, events.ConnectionEnded)
    assert ended.established
    assert world.routers[host_of(1)].failed_connections() == {}


def test_a_silent_cut_ends_the_connection_after_sixty_seconds():
    world = World()
    world.add(1)
    world.add(2, [1])
    world.run(45)
    world.cut.add(frozenset((host_of(1), host_of(2))))
    world.run(30)
    assert world.established(1) == {2}
    world.run(31)
    assert world.established(1) == set()
    [ended] = world.of_type(1, events.ConnectionEnded)
    assert "no message for 60 s" in ended.reason
    world.cut.clear()
    world.run(30)
    assert world.established(1) == {2}


def test_our_own_address_is_dialled_once():
    world = World()
    router = world.add(1, [Address(host_of(1), 6783)])
    world.run(100)
    [target] = router.targets()
    assert target.attempts == 1
    assert target.never
    assert router.connections() == []


def test_a_namesake_is_dialled_once_and_both_are_told():
    world = World()
    world.add(1)
    world.run(1)
    world.add(2, [1], name=name_of(1))
    world.run(100)
    [target] = world.routers[host_of(2)].targets()
    assert target.never
    refused = world.of_type(1, events.HandshakeRefused)
    assert refused[0].code == "name-taken"
    assert "host2" in refused[0].reason
    for number, is_refused in ((1, False), (2, True)):
        [told] = world.of_type(number, events.NameTaken)
        assert told.refused is is_refused
        assert "'host1' at 10.0.0.1" in told.reason
        assert "'host2' at 10.0.0.2" in told.reason
        assert bool(world.routers[host_of(number)].refusal()) is is_refused


def test_both_dial_at_once_and_one_connection_stays():
    world = World()
    world.add(1, [2])
    world.add(2, [1])
    world.run(100)
    assert len(world.routers[host_of(1)].connections()) == 1
    assert world.established(1) == {2}
    assert world.established(2) == {1}


@pytest.mark.parametrize(
    ("theirs", "codes"),
    [
        (None, ("password-missing", "password-unexpected")),
        (b"other", ("wrong-password", "wrong-password")),
    ],
)
def test_a_wrong_password_is_refused_with_a_reason_and_retried_slowly(theirs, codes):
    world = World()
    world.add(1, password=b"secret")
    world.add(2, [1], password=theirs)
    world.run(60)
    reasons = [event.code for event in world.of_type(1, events.HandshakeRefused)]
    reasons += [event.code for event in world.of_type(2, events.HandshakeRefused)]
    assert reasons
    assert set(reasons) <= set(codes)
    [target] = world.routers[host_of(2)].targets()
    assert 4 <= target.attempts <= 10
    assert b"secret" not in repr(world._configs).encode()


def test_a_password_without_trust_is_refused_because_frames_would_go_plain():
    world = World()
    world.add(1, password=b"secret")
    world.add(2, [1], password=b"secret")
    world.run(10)
    codes = {event.code for event in world.of_type(1, events.HandshakeRefused)}
    codes |= {event.code for event in world.of_type(2, events.HandshakeRefused)}
    assert codes == {"overlay-needs-ipsec"}


def test_a_password_with_mutual_trust_works():
    world = World()
    subnets = (ipaddress.IPv4Network("10.0.0.0/24"),)
    for number, targets in ((1, []), (2, [1]), (3, [1])):
        world.add(number, targets, password=b"secret", trusted_subnets=subnets)
    world.run(10)
    assert world.established(2) == {1, 3}
    assert all(view.encrypted for view in world.routers[host_of(2)].connections())


def test_the_connection_limit_holds():
    world = World()
    world.add(1, connection_limit=2, peer_discovery=False)
    for number in (2, 3, 4):
        world.add(number, [1], peer_discovery=False)
    world.run(10)
    assert len(world.established(1)) == 2
    assert "connection-limit" in {e.code for e in world.of_type(1, events.HandshakeRefused)}


def test_broadcast_hops_of_all_peers_make_one_tree_after_convergence():
    world = World(seed=3)
    for number in range(1, 9):
        world.add(number, {max(1, number - 1), max(1, number // 2)}, peer_discovery=False)
    world.run(40)
    assert same_tables(world)
    graph = recorded_graph(world.routers[host_of(1)].peers)
    for source in graph.names:
        heard: list[int] = []
        waiting = [source]
        while waiting:
            hops = broadcast_next_hops(graph, waiting.pop(), source)
            heard += hops
            waiting += hops
        assert sorted([*heard, source]) == list(graph.names)


def test_the_same_seed_gives_the_same_bytes():
    def run() -> list[object]:
        world = World(seed=5)
        for number in (1, 2, 3, 4):
            world.add(number, [1])
        world.run(40)
        return [repr(world.events), [repr(list(r.peers)) for r in world.routers.values()]]

    assert run() == run()


@pytest.mark.parametrize("seed", range(4))
def test_after_any_churn_all_come_to_the_same_table(seed):
    world = World(seed)
    rng = random.Random(seed)
    size = rng.randint(3, 6)
    for number in range(1, size + 1):
        targets = {1, rng.randint(1, size)} - {number}
        world.add(number, targets if number > 1 else [], short_id=ShortId(rng.randint(0, 3)))
        world.run(rng.random() * 3)
    alive = set(range(1, size + 1))
    for _ in range(rng.randint(2, 6)):
        number = rng.randint(1, size)
        if number in alive:
            world.kill(number)
            alive.discard(number)
        else:
            world.restart(number, short_id=ShortId(rng.randint(0, 5)))
            alive.add(number)
        world.run(rng.choice((0.01, 0.5, 15.0)))
    for number in sorted(set(range(1, size + 1)) - alive):
        world.restart(number)
    world.run(120)
    assert same_tables(world), f"seed {seed}"
    assert len({router.short_id for router in world.routers.values()}) == size
    for number in range(1, size + 1):
        assert world.established(number) == set(range(1, size + 1)) - {number}
