"""What seeded schedules have found, each as the shortest story that shows it."""

from dataclasses import replace

from core_world import World, settled_pair, spec

from weave_ryu.gate import Gate
from weave_ryu.gateway.commands import (
    Announce,
    Broadcast,
    Introduce,
    Prime,
    SetGate,
)
from weave_ryu.gateway.core import GatewayCore
from weave_ryu.gateway.detection import Bfd
from weave_ryu.gateway.reading import Reading
from weave_ryu.gateway.records import decode, encode
from weave_ryu.gateway.role import Role, State
from weave_ryu.gateway.timers import Timers
from weave_ryu.names import PeerName


def test_a_third_gateway_waits_for_the_permits_of_one_that_died_while_handing_over():
    world = World(*((letter, spec()) for letter in "ABC"))
    world.run(3.0)
    assert world.states() == {"A": State.ACTIVE, "B": State.STANDBY, "C": State.STANDBY}
    world.call("A", "drain", "gw0")
    world.call("A", "macs_read", "gw0", Reading())
    world.run(0.05)
    assert world.port("A").record(world.now).state == State.DRAINING
    world.kill("A")
    world.kill("B")
    longest = [0]

    def watch():
        longest[0] = max(longest[0], len(world.forwarders()))

    world.run(0.8, watch)
    assert world.forwarders() == ["A"]
    world.run(4.0, watch)
    assert world.forwarders() == ["C"]
    assert longest[0] == 1


def test_one_that_is_late_counts_as_active_until_its_switch_has_closed():
    world = settled_pair()
    world.switch_answers["A"] = False
    world.run(1.3)
    late = world.port("A")
    assert late.state is State.BLOCKED
    assert late.record(world.now).is_active
    assert world.states()["B"] == State.STANDBY
    world.run(0.3)
    close = world.all_commands("A", SetGate)[-1]
    assert close.gate is Gate.CLOSED
    world.call("A", "gate_set", "gw0", close.token, world.now)
    world.run(0.02)
    assert not late.record(world.now).is_active


def test_nothing_is_announced_while_the_gate_closes():
    world = settled_pair()
    world.kill("B")
    world.run(1.0)
    assert world.port("A").may_announce
    world.switch_answers["A"] = False
    world.call("A", "drain", "gw0")
    assert world.all_commands("A", SetGate)[-1].gate is Gate.CLOSED
    assert world.port("A").state is State.ACTIVE
    assert not world.port("A").may_announce


def test_who_begins_to_forward_calls_all_peers_and_they_introduce_their_containers():
    world = settled_pair()
    calls = [c for c in world.all_commands("A", Broadcast) if decode(c.payload).is_call]
    assert len(calls) == 1
    introduced = world.all_commands("B", Introduce)
    assert set(introduced) == {Introduce(PeerName(ord("A")))}
    assert world.all_commands("A", Introduce) == []
    # Nobody who is not known as a gateway is answered.
    world.call("B", "received", PeerName(99), calls[0].payload, True)
    assert world.all_commands("B", Introduce) == introduced


def test_record_of_a_new_epoch_is_as_good_as_a_call_that_was_lost():
    world = settled_pair()
    plain = GatewayCore(PeerName(ord("W")), 1, 1, (), Timers(), world.now)
    record = world.cores["A"].registry.record(PeerName(ord("A")))
    for expected in ([Introduce(record.name)], []):
        plain.received(record.name, encode([record]), False, world.now)
        assert [c for c in plain.poll_commands() if isinstance(c, Introduce)] == expected


def test_record_of_a_new_life_calls_though_its_epoch_is_that_of_the_old_one():
    world = settled_pair()
    plain = GatewayCore(PeerName(ord("W")), 1, 1, (), Timers(), world.now)
    record = world.cores["A"].registry.record(PeerName(ord("A")))
    again = replace(record, incarnation=record.incarnation + 1, sequence=record.sequence + 1)
    for known in (record, again):
        plain.received(record.name, encode([known]), False, world.now)
        assert Introduce(record.name) in plain.poll_commands()


def test_activation_waits_while_the_gate_is_being_closed():
    world = World(("A", spec(Role.STANDBY)))
    assert world.states() == {"A": State.BLOCKED}
    world.call("A", "set_role", "gw0", Role.ACTIVE)
    world.run(0.1)
    assert world.states() == {"A": State.ARMING}
    world.call("A", "set_role", "gw0", Role.ACTIVE)
    world.run(1.0)
    assert world.states() == {"A": State.ACTIVE}


def test_activation_of_one_that_drains_waits_until_it_has_closed():
    world = settled_pair()
    world.call("A", "drain", "gw0")
    world.call("A", "macs_read", "gw0", Reading())
    while world.states()["A"] != State.DRAINING:
        world.run(0.01)
    world.kill("B")
    world.call("A", "set_role", "gw0", Role.ACTIVE)
    world.run(4.0)
    assert world.states() == {"A": State.ACTIVE}


def test_who_is_left_of_two_announces_again():
    world = settled_pair()
    world.call("A", "macs_read", "gw0", Reading(frozenset({"02c000000001"})))
    world.force_active("B")
    world.force_active("A")
    world.run(3.0)
    assert world.states() == {"A": State.ACTIVE, "B": State.ACTIVE}
    announced, called = (len(world.all_commands("A", kind)) for kind in (Announce, Broadcast))
    world.call("B", "set_role", "gw0", Role.STANDBY)
    world.run(0.5)
    assert world.states() == {"A": State.ACTIVE, "B": State.STANDBY}
    world.call("A", "macs_read", "gw0", Reading(frozenset({"02c000000001"})))
    assert len(world.all_commands("A", Announce)) > announced
    assert len(world.all_commands("A", Broadcast)) > called


def test_one_that_was_stopped_does_not_take_that_for_silence_of_the_others():
    world = World(*((letter, spec()) for letter in "ABC"))
    world.run(3.0)
    world.call("B", "bfd", PeerName(ord("A")), Bfd.UP)
    world.paused.add("B")
    world.run(4.0)
    assert world.states() == {"A": State.ACTIVE, "B": State.STANDBY, "C": State.STANDBY}
    world.paused.remove("B")
    world.call("B", "handle_timer")
    world.run(1.0)
    assert world.all_commands("B", SetGate)[-1].gate is Gate.CLOSED
    assert world.states() == {"A": State.ACTIVE, "B": State.STANDBY, "C": State.STANDBY}


def test_one_that_finds_the_mesh_late_listens_before_it_opens():
    world = World(("A", spec()))
    world.call("A", "mesh_state", 0)
    world.run(2.0)
    assert world.states() == {"A": State.ARMING}
    world.call("A", "mesh_state", 1)
    world.run(0.9)
    assert world.states() == {"A": State.ARMING}
    world.run(0.3)
    assert world.states() == {"A": State.ACTIVE}


def test_one_that_may_be_open_says_so_before_its_switch_has_answered():
    world = World(*((letter, spec()) for letter in "AB"))
    world.run(3.0)
    world.switch_answers["B"] = False
    world.kill("A")
    world.run(2.0)
    assert world.all_commands("B", SetGate)[-1].gate is Gate.OPEN
    assert world.states() == {"B": State.STANDBY}
    assert world.port("B").record(world.now).is_active
    opening = world.all_commands("B", SetGate)[-1]
    world.call("B", "gate_failed", "gw0", opening.token, "no answer")
    assert world.states() == {"B": State.BLOCKED}
    assert world.port("B").record(world.now).is_active
    world.run(1.2)
    assert not world.port("B").record(world.now).is_active


def test_hand_over_that_was_given_up_before_the_switch_answered_is_not_prepared():
    world = settled_pair()
    world.switch_answers["B"] = False
    world.call("A", "drain", "gw0")
    world.call("A", "macs_read", "gw0", Reading())
    world.run(0.1)
    assert world.all_commands("B", SetGate)[-1].gate is Gate.KNOWN
    world.run(1.2)
    assert world.all_commands("B", SetGate)[-1].gate is Gate.CLOSED


def test_switch_is_told_what_is_in_the_mesh_before_it_opens():
    world = settled_pair()
    world.call(
        "B", "macs_read", "gw0", Reading(frozenset({"02c000000001"}), frozenset({"02b000000001"}))
    )
    world.kill("A")
    world.run(4.0)
    assert world.states() == {"B": State.ACTIVE}
    told = [c for c in world.commands["B"] if isinstance(c, SetGate | Prime)]
    opening = next(place for place, c in enumerate(told) if getattr(c, "gate", None) is Gate.OPEN)
    assert told[opening - 1] == Prime("gw0", frozenset({"02c000000001"}))


def test_one_that_comes_up_as_standby_and_is_told_auto_listens_first():
    """Seed 481: it did not know of the other one yet, and let its copies in as new frames."""
    world = settled_pair()
    world.kill("A")
    world.run(4.0)
    assert world.states() == {"B": "active"}
    world.cut.add(frozenset("AB"))
    world.start("A", spec(Role.STANDBY))
    world.run(0.05)
    assert world.states()["A"] == "standby"
    world.call("A", "set_role", "gw0", Role.AUTO)
    world.run(world.timers.arm_s / 2)
    world.cut.clear()
    world.run(3.0)
    assert world.states() == {"A": "standby", "B": "active"}
    assert "active" not in [str(entry.state) for entry in world.port("A").history]


def test_claim_of_one_long_dead_says_nothing_while_its_successor_hands_over():
    """Seed 1907: the newest holder was about to say who comes next, and a third one opened."""
    world = World(("A", spec(priority=150)), ("B", spec()), ("C", spec()))
    world.run(3.0)
    assert world.states()["A"] == "active"
    world.kill("A")
    world.run(4.0)
    assert world.states() == {"B": "active", "C": "standby"}
    world.switch_answers["C"] = False
    world.call("B", "drain", "gw0")
    world.call("B", "macs_read", "gw0", Reading())
    world.run(0.2)
    assert world.port("B").record(world.now).state == State.DRAINING
    outlook = world.port("C").outlook(world.now)
    assert outlook.at is None
    assert "hands over" in outlook.why


def test_announces_again_when_one_that_forwarded_elsewhere_is_back():
    """Seeds 1915, 5788: it had resigned, or restarted, before the two parts met."""
    world, host = settled_pair(), Reading(hosts=frozenset({"02b000000001"}))
    world.call("A", "macs_read", "gw0", host)
    count = len(world.all_commands("A", Announce))
    record = world.cores["B"].registry.record(PeerName(ord("B")))
    (port,) = record.ports
    later = replace(record, sequence=record.sequence + 1, ports=(replace(port, epoch=7),))
    world.call("A", "received", record.name, encode([later]), False)
    world.call("A", "macs_read", "gw0", host)
    assert len(world.all_commands("A", Announce)) == count + 1
    world.call("A", "received", record.name, encode([replace(later, sequence=1 << 60)]), False)
    assert len(world.all_commands("A", Announce)) == count + 1
    anew = replace(later, incarnation=record.incarnation + 1, sequence=(1 << 60) + 1)
    world.call("A", "received", record.name, encode([anew]), False)
    world.call("A", "macs_read", "gw0", host)
    assert len(world.all_commands("A", Announce)) == count + 2
