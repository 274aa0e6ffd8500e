"""What gateways tell each other of the mesh's MACs, and what is told to the segment."""

from dataclasses import replace

from core_world import settled_pair

from weave_ryu.gateway.commands import Announce, ReadMacs, Tell
from weave_ryu.gateway.reading import Learnt, Reading, sort
from weave_ryu.gateway.records import decode, encode
from weave_ryu.gateway.sharing import REMEMBER_S
from weave_ryu.names import PeerName, ShortId

MAC, HOST = frozenset({"02c000000001"}), frozenset({"02b000000001"})
A, B = PeerName(ord("A")), PeerName(ord("B"))


def tables(commands):
    told = [c for c in commands if isinstance(c, Tell)]
    return [(c.peer, table) for c in told for table in decode(c.payload).tables]


def pair():
    """`settled_pair`, and nothing left to be done."""
    world = settled_pair()
    for core in world.cores.values():
        core.poll_commands()
    return world, world.cores["A"], world.cores["B"]


def test_what_was_learnt_is_sorted_by_the_side_of_the_port():
    segment, old, peer, gone = (ShortId(n) for n in (0x513, 1, 2, 3))
    learnt = [
        Learnt("c1", True, 2), Learnt("w1", False, peer), Learnt("h1", False, segment),
        Learnt("x1", False, old), Learnt("g1", False, gone),
    ]  # fmt: skip
    found = sort(learnt, segment, {peer, old, segment}, {old})
    assert found == Reading(frozenset({"c1", "w1"}), frozenset({"h1"}))
    other = ShortId(0x4EC)
    learnt.append(Learnt("o1", False, other))
    found = sort(learnt, segment, {peer, other, segment}, {old}, {segment, other})
    assert found == Reading(frozenset({"c1", "w1", "o1"}), frozenset({"h1"}), frozenset({"o1"}))


def test_what_the_switch_knows_on_another_segment_is_not_made_hearsay():
    world, core, other = pair()
    office = frozenset({"02b000000009"})
    core.macs_read("gw0", Reading(MAC | office, HOST, office), world.now)
    assert core.mesh_macs("gw0") == MAC | office
    assert core.macs_to_prime("gw0") == MAC
    core.macs_read("gw0", Reading(MAC, HOST), world.now)
    other.macs_read("gw0", Reading(office), world.now)
    told = [c for c in other.poll_commands() if isinstance(c, Tell)]
    core.received(B, told[-1].payload, True, world.now)
    assert core.macs_to_prime("gw0") == MAC | office, "this switch does not know it"


def test_others_are_told_what_is_in_the_mesh_once():
    _world, core, _other = pair()
    core.macs_read("gw0", Reading(MAC, HOST), 200.0)
    ((peer, table),) = tables(core.poll_commands())
    assert (peer, table.mesh) == (B, MAC)
    core.macs_read("gw0", Reading(MAC, HOST), 200.0)
    assert tables(core.poll_commands()) == []


def test_active_one_announces_what_it_or_another_has_heard_of_since():
    world, core, other = pair()
    core.macs_read("gw0", Reading(MAC), world.now)
    assert Announce("gw0", MAC) in core.poll_commands()
    core.macs_read("gw0", Reading(MAC), world.now)
    assert not [c for c in core.poll_commands() if isinstance(c, Announce)]
    silent = frozenset({"02c000000002"})
    other.macs_read("gw0", Reading(silent), world.now)
    told = [c for c in other.poll_commands() if isinstance(c, Tell)]
    core.received(B, told[-1].payload, True, world.now)
    assert [c for c in core.poll_commands() if isinstance(c, Announce)] == [Announce("gw0", silent)]
    assert core.mesh_macs("gw0") == MAC | silent


def test_what_its_own_switch_sees_on_the_segment_counts_more_than_what_it_was_told():
    world, core, other = pair()
    other.macs_read("gw0", Reading(MAC), world.now)
    told = [c for c in other.poll_commands() if isinstance(c, Tell)]
    core.macs_read("gw0", Reading(hosts=MAC), world.now)
    core.received(B, told[-1].payload, True, world.now)
    assert core.mesh_macs("gw0") == frozenset()
    assert core.hosts("gw0") == MAC


def test_standby_announces_nothing():
    world, _core, other = pair()
    other.macs_read("gw0", Reading(MAC), world.now)
    assert not [c for c in other.poll_commands() if isinstance(c, Announce)]


def test_what_a_lost_switch_knew_is_remembered_for_a_while():
    world, core, _other = pair()
    core.macs_read("gw0", Reading(MAC, HOST), world.now)
    core.switch_state(False, {"gw0": True}, world.now)
    core.switch_state(True, {"gw0": True}, world.now)
    core.macs_read("gw0", Reading(), world.now)
    assert core.mesh_macs("gw0") == MAC
    core.poll_commands()
    core.handle_timer(world.now + REMEMBER_S)
    core.macs_read("gw0", Reading(), world.now + REMEMBER_S)
    assert core.mesh_macs("gw0") == frozenset()
    assert [table.mesh for _, table in tables(core.poll_commands())] == [frozenset()]


def test_one_that_has_left_takes_its_word_with_it_and_asks_again_when_it_is_back():
    world, core, other = pair()
    other.macs_read("gw0", Reading(MAC), world.now)
    told = [c for c in other.poll_commands() if isinstance(c, Tell)]
    core.received(B, told[-1].payload, True, world.now)
    record = core.registry.record(B)
    core.peers_left([B])
    assert core.mesh_macs("gw0") == frozenset()
    core.poll_commands()
    core.received(B, encode([replace(record, sequence=record.sequence + 1)]), True, world.now)
    (ask,) = (
        c for c in core.poll_commands() if isinstance(c, Tell) and decode(c.payload).asks_macs
    )
    assert ask.peer == B
    other.received(A, ask.payload, True, world.now)
    other.macs_read("gw0", Reading(MAC), world.now)
    assert [(peer, table.mesh) for peer, table in tables(other.poll_commands())] == [(A, MAC)]


def test_switch_is_read_from_time_to_time():
    world, core, _other = pair()
    core.handle_timer(world.now + world.timers.sync_s)
    assert ReadMacs("gw0") in core.poll_commands()
