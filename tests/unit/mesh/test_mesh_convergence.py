"""Sparse meshes, where each piece of news has one way only: it must not wait for the next round.

The clock is virtual. A round comes every 30 s and would hide what got lost before it.
"""

from __future__ import annotations

import random

import mesh_world
import pytest
from mesh_world import World, name_of

from weave_ryu.mesh.segments import identity_of

SEGMENT = identity_of("vlan", None)
PEERS = 6
SHAPES = {
    "line": [(n, n + 1) for n in range(1, PEERS)],
    "ring": [(n, n % PEERS + 1) for n in range(1, PEERS + 1)],
    "star": [(1, n) for n in range(2, PEERS + 1)],
}
BOUND_S = 3.0
"""From the last connection established until all know all: two updates, each a second late."""

STEP_S = 0.05
LONGEST_OUTAGE_S = 30.0


def build(seed, links, rng):
    world = World(seed)
    order = rng.sample(range(1, PEERS + 1), PEERS)
    both_dial = rng.random() < 0.3
    for number in order:
        targets = [b if a == number else a for a, b in links if number in (a, b)]
        wanted = [other for other in targets if both_dial or (number, other) in links]
        world.add(number, wanted, peer_discovery=False)
        world.run(rng.random() * 0.6)
    return world


def all_connected(world, links):
    return all(b in world.established(a) and a in world.established(b) for a, b in links)


def all_know(world, links):
    wanted = {frozenset((name_of(a), name_of(b))) for a, b in links}
    for router in world.routers.values():
        graph = router.frame_graph
        known = {frozenset((one, far)) for one in graph.names for far in graph.neighbours(one)}
        if known != wanted:
            return False
    return True


def wait_until(world, condition, links, limit_s):
    deadline = world.now + limit_s
    while not condition(world, links):
        assert world.now < deadline, f"{condition.__name__} is not so {limit_s} s later: " + str(
            {host: sorted(map(str, r.frame_next_hops)) for host, r in world.routers.items()}
        )
        world.run(STEP_S)


def restart_some(world, rng):
    for number in rng.sample(range(1, PEERS + 1), rng.choice([1, 1, 2])):
        world.kill(number)
        world.run(rng.choice([0.02, 0.3, 1.0, 1.5, 2.0, 3.0, 5.0]) * (0.5 + rng.random()))
        world.restart(number)
        world.run(rng.choice([0.0, 0.0, 1.0, 2.0]) * rng.random())


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("shape", SHAPES)
def test_news_of_starts_and_restarts_reach_everybody_without_a_round(shape, seed, monkeypatch):
    rng = random.Random(seed)
    links = SHAPES[shape]
    monkeypatch.setattr(mesh_world, "LATENCY_S", rng.choice([0.0005, 0.001, 0.005, 0.02]))
    world = build(seed, links, rng)
    wait_until(world, all_connected, links, LONGEST_OUTAGE_S)
    wait_until(world, all_know, links, BOUND_S)
    for _ in range(3):
        world.run(rng.random() * 5)
        restart_some(world, rng)
        wait_until(world, all_connected, links, LONGEST_OUTAGE_S)
        wait_until(world, all_know, links, BOUND_S)


def test_a_peer_known_by_name_only_is_asked_for_at_its_teller():
    world = World()
    for number, targets in ((1, []), (2, [1]), (3, [2])):
        world.add(number, targets, peer_discovery=False)
    world.run(5)
    one = world.routers[mesh_world.host_of(1)]
    # As if the entry of 3 had been collected here while the way to it was not known.
    entry = one.peers._by_name.pop(name_of(3))
    world.call(2, lambda router: router.claim_segment(SEGMENT, 1, world.now))
    world.run(0.5)
    assert one.peers.get(name_of(3)) == entry


def test_a_restarted_peer_hears_of_its_longer_old_life_without_a_round():
    world = World()
    for number, targets in ((1, []), (2, [1]), (3, [2])):
        world.add(number, targets, peer_discovery=False)
    world.run(5)
    for epoch in range(1, 11):
        world.call(3, lambda router, epoch=epoch: router.claim_segment(SEGMENT, epoch, world.now))
        world.call(3, lambda router: router.release_segment(SEGMENT.name, world.now))
    world.run(1)
    # 2 has collected the old life before 3 is back, 1 has not.
    world.kill(3)
    world.run(0.5)
    new = world.restart(3)
    world.run(4)
    assert new.version > 22
    assert world.routers[mesh_world.host_of(1)].peers[name_of(3)].uid == new.uid
