"""How the mesh's work grows, in counts: they are the same on every machine."""

from __future__ import annotations

import random

import pytest
from scale_world import World, entries_of, full_links, name_of, sparse_links

from weave_ryu.mesh import routes, topology
from weave_ryu.mesh.connection import ConnectionMachine
from weave_ryu.mesh.maker import Maker
from weave_ryu.mesh.messages import Gossip, encode_gossip
from weave_ryu.mesh.peers import Peers
from weave_ryu.mesh.routing import RoutingTables
from weave_ryu.mesh.topology import UpdateReader, encode_update

pytestmark = pytest.mark.thorough


@pytest.fixture
def count(monkeypatch):
    """Counts the calls of a function or method from now on."""

    def wrap(owner, name):
        calls = []
        original = getattr(owner, name)

        def counted(*arguments, **keywords):
            calls.append(name)
            return original(*arguments, **keywords)

        monkeypatch.setattr(owner, name, counted)
        return calls

    return wrap


def after_a_break(peers, links):
    """The world after one of its connections has ended and all know it; how long that took."""
    world = World(peers, links)
    world.reset()
    one, other = links[len(links) // 2]
    world.break_link(one, other)
    changed = [name_of(one), name_of(other)]
    return world, world.run_until(lambda: world.versions(changed), 10)


def test_a_mesh_that_is_put_together_at_rest_stays_there():
    world = World(40, sparse_links(40, 6))
    before = [list(router.peers) for router in world.routers.values()]
    world.run(35)
    assert [list(router.peers) for router in world.routers.values()] == before
    assert all(len(router.connections()) >= 1 for router in world.routers.values())


def test_it_is_what_a_mesh_is_that_came_together_by_itself():
    links = sparse_links(12, 4)
    grown, made = World(12, links, joined=False), World(12, links)
    names = [name_of(number) for number in range(1, 13)]
    grown.run_until(lambda: grown.versions(names) and grown.at_rest(), 60)
    for number in range(1, 13):
        mine, theirs = grown.routers[number], made.routers[number]
        assert {p.name: set(p.connections) for p in mine.peers} == {
            p.name: set(p.connections) for p in theirs.peers
        }
        assert mine.frame_next_hops == theirs.frame_next_hops


def test_messages_per_peer_about_one_change_do_not_grow_with_a_sparse_mesh():
    found = {}
    for peers in (40, 160):
        world, took = after_a_break(peers, sparse_links(peers, 6))
        found[peers] = world.traffic.messages / peers
        assert took < 3.0
    # Each peer passes the news of both ends on, together or not, to each neighbour: 6.
    assert found[160] <= 12
    assert found[160] <= 1.2 * found[40]


def test_messages_per_peer_about_one_change_grow_with_the_logarithm_of_a_full_mesh():
    world, took = after_a_break(64, full_links(64))
    assert took < 3.0
    # The news of both ends, together or not, to 2·log2 64 = 12 neighbours.
    assert world.traffic.messages / 64 <= 2 * 12


def test_a_table_without_news_is_not_read(count):
    entries = entries_of(50, full_links(50))
    table = Peers(entries[0], random.Random(1))
    reader = UpdateReader(table)
    raw = encode_update(entries)
    table.merge(reader.read(raw))
    lines = count(topology, "_checked_connection")
    assert table.merge(reader.read(raw)).delta == ()
    # But what is told of ourself, to contradict it if it is a lie.
    own = len(table.own.connections)
    assert len(lines) == own
    lines.clear()
    newer = Peers(entries[7], random.Random(1))
    newer._set_own(newer.own)
    raw = encode_update([*entries[:7], newer.own, *entries[8:]])
    assert table.merge(reader.read(raw)).delta == (entries[7].name,)
    assert len(lines) == own + len(entries[7].connections)


def test_a_changed_entry_costs_one_row_of_each_graph(count):
    entries = entries_of(50, sparse_links(50, 6))
    table = Peers.from_entries(entries, entries[0].name, random.Random(1))
    tables = RoutingTables(table)
    rows = count(routes, "_row")
    table._set_own(table.own)
    tables.recalculate()
    assert len(rows) == 2


def test_a_message_or_a_timer_touches_one_neighbour(count):
    world = World(60, full_links(60))
    router = world.routers[1]
    connection = next(iter(sorted(router._core.neighbours)))
    flushed = count(ConnectionMachine, "take_output")
    router.receive_bytes(connection, b"\0\0\0\1\0", world.now)
    assert len(flushed) == 1
    flushed.clear()
    looked_at = count(ConnectionMachine, "handle_timer")
    router.handle_timer(router._core.agenda.first())
    assert len(looked_at) == 1
    assert len(flushed) == 1


def test_whom_to_dial_is_looked_at_once_for_news_of_100_ms(count):
    entries = entries_of(30, sparse_links(30, 4))
    world = World(30, sparse_links(30, 4))
    router = world.routers[1]
    connection = next(iter(sorted(router._core.neighbours)))
    checks = count(Maker, "check")
    for entry in entries[1:21]:
        newer = Peers(entry, random.Random(1))
        newer._set_own(newer.own)
        raw = topology.encode_update([newer.own])
        body = bytes([4]) + encode_gossip(Gossip("topology", name_of(2), raw))
        router.receive_bytes(connection, len(body).to_bytes(4, "big") + body, world.now)
    assert router._core.tables.due_at is not None
    assert checks == []
    router.handle_timer(router._core.tables.due_at)
    assert len(checks) == 1
