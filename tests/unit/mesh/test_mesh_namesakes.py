"""Two hosts with one peer name: who lives keeps it, and both are told."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mesh_world import World, host_of, name_of

from weave_ryu.errors import RemoteProtocolError
from weave_ryu.mesh import events
from weave_ryu.mesh.config import Address
from weave_ryu.mesh.namesakes import CONTEST_S, Notice, decode_notice, encode_notice

CLONE = 9
ORIGINAL = 2


def clone(world, targets, **changes):
    return world.add(CLONE, targets, name=name_of(ORIGINAL), **changes)


def holder(world, number):
    """The UID that a peer knows under the name."""
    return world.routers[host_of(number)].peers[name_of(ORIGINAL)].uid


@pytest.mark.parametrize("seed", range(12))
def test_the_one_that_lives_keeps_the_name_and_loses_nothing(seed):
    world = World(seed)
    for number, targets in ((1, []), (ORIGINAL, [1]), (3, [1])):
        world.add(number, targets)
    world.run(10)
    original = world.routers[host_of(ORIGINAL)].uid
    clone(world, [1, 3])
    for _ in range(300):
        world.run(1)
        for number, others in ((1, {ORIGINAL, 3}), (3, {1, ORIGINAL}), (ORIGINAL, {1, 3})):
            assert world.established(number) == others
            assert holder(world, number) == original
    assert not world.of_type(ORIGINAL, events.ConnectionEnded)
    assert world.established(CLONE) == set()


def test_both_are_told_with_both_addresses():
    world = World()
    for number, targets in ((1, []), (ORIGINAL, [1])):
        world.add(number, targets)
    world.run(10)
    clone(world, [1])
    world.run(100)
    for number, is_refused in ((ORIGINAL, False), (CLONE, True)):
        [told] = world.of_type(number, events.NameTaken)
        assert told.refused is is_refused
        assert "'host2' at 10.0.0.2 " in told.reason
        assert "'host9' at 10.0.0.9 " in told.reason
        [notice] = world.routers[host_of(number)].namesakes(world.now)
        assert str(notice) == told.reason
    [target] = world.routers[host_of(CLONE)].targets()
    assert "name-taken" in target.last_error
    assert not target.never
    refused = world.of_type(1, events.HandshakeRefused)
    assert {event.code for event in refused} == {"name-taken"}
    assert "10.0.0.2" in refused[0].reason
    assert "10.0.0.9" in refused[0].reason


def test_it_is_refused_also_where_the_original_is_no_neighbour():
    world = World()
    for number, targets in ((1, []), (ORIGINAL, [1]), (3, [1])):
        world.add(number, targets, peer_discovery=False)
    world.run(10)
    clone(world, [3], peer_discovery=False)
    world.run(100)
    assert world.established(3) == {1}
    [told] = world.of_type(CLONE, events.NameTaken)
    assert told.refused
    assert "10.0.0.2" in told.reason
    [told] = world.of_type(ORIGINAL, events.NameTaken)
    assert not told.refused


def test_whoever_dials_the_newcomer_is_the_one_refused():
    world = World()
    world.add(1, [ORIGINAL, CLONE])
    world.add(ORIGINAL)
    world.run(10)
    clone(world, [])
    world.run(100)
    assert world.established(1) == {ORIGINAL}
    [told] = world.of_type(CLONE, events.NameTaken)
    assert told.refused


@pytest.mark.parametrize("seed", range(5))
def test_a_restart_is_no_namesake(seed):
    world = World(seed)
    for number, targets in ((1, []), (ORIGINAL, [1]), (3, [1])):
        world.add(number, targets)
    world.run(10)
    world.kill(ORIGINAL)
    world.run(0.5)
    world.restart(ORIGINAL)
    world.run(10)
    assert world.established(ORIGINAL) == {1, 3}
    for number in (1, 3, ORIGINAL):
        assert not world.of_type(number, events.NameTaken)


def test_the_name_is_free_when_the_original_is_gone_and_who_takes_it_is_refused_no_more():
    world = World()
    for number, targets in ((1, []), (ORIGINAL, [1])):
        world.add(number, targets)
    world.run(10)
    newcomer = clone(world, [1])
    world.run(30)
    assert newcomer.refusal()
    world.kill(ORIGINAL)
    world.run(600)
    assert world.established(1) == {ORIGINAL}
    assert holder(world, 1) == newcomer.uid
    assert not newcomer.refusal()
    assert len(world.of_type(CLONE, events.NameFree)) == 1


def test_a_newcomer_does_not_slip_in_while_the_original_restarts():
    world = World()
    for number, targets in ((1, []), (ORIGINAL, [1])):
        world.add(number, targets)
    world.run(10)
    clone(world, [1])
    world.run(5)
    world.kill(ORIGINAL)
    for _ in range(int(CONTEST_S) - 10):
        # As an operator who asks again and again.
        target = Address(host_of(1))
        now = world.now
        world.call(CLONE, lambda r, now=now, at=target: r.connect_targets([at], False, now))
        world.run(1)
        assert world.established(1) == set()
    original = world.restart(ORIGINAL)
    world.run(10)
    assert world.established(1) == {ORIGINAL}
    assert holder(world, 1) == original.uid


def test_a_host_that_came_back_elsewhere_need_not_wait_for_its_dead_connection():
    world = World()
    for number, targets in ((1, []), (ORIGINAL, [1])):
        world.add(number, targets)
    world.run(15)
    world.cut.add(frozenset((host_of(1), host_of(ORIGINAL))))
    world.run(25)
    newcomer = clone(world, [1])
    world.run(5)
    assert holder(world, 1) == newcomer.uid
    assert world.established(1) == {ORIGINAL}


def test_only_a_neighbour_can_refuse_us():
    world = World()
    for number, targets in ((1, []), (2, [1]), (3, [2])):
        world.add(number, targets, peer_discovery=False)
    world.run(10)
    notice = encode_notice(Notice(name_of(1), "a", "", "b", "", True))
    now = world.now
    world.call(3, lambda router: router.gossip_unicast("namesake", name_of(1), notice, now))
    world.run(5)
    assert not world.routers[host_of(1)].refusal()
    assert world.established(1) == {2}


def test_a_notice_is_read_as_it_was_written():
    notice = Notice(name_of(1), "10.0.0.1", "a", "10.0.0.2", "b", True)
    assert decode_notice(name_of(1), encode_notice(notice)) == notice


@given(
    st.one_of(
        st.binary(max_size=100),
        st.recursive(
            st.one_of(st.none(), st.booleans(), st.integers(), st.text()),
            lambda inner: st.one_of(
                st.lists(inner),
                st.dictionaries(st.sampled_from(["refused", "hosts", "x"]), inner),
            ),
        ).map(lambda value: json.dumps(value).encode()),
    )
)
def test_whatever_else_comes_is_refused(payload):
    try:
        notice = decode_notice(name_of(1), payload)
    except RemoteProtocolError:
        return
    assert isinstance(notice.refused, bool)


def test_a_long_notice_is_refused():
    with pytest.raises(RemoteProtocolError, match="bad-notice"):
        decode_notice(name_of(1), b" " * 3000)


def test_the_original_is_told_also_before_there_is_a_route_to_it():
    world = World()
    for number, targets in ((1, []), (ORIGINAL, [1])):
        world.add(number, targets)
    world.run(0.05)
    clone(world, [1])
    world.run(0.05)
    assert world.of_type(ORIGINAL, events.NameTaken)
