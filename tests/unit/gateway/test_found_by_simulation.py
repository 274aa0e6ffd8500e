"""What seeded schedules have found, each as the shortest story that shows it."""

from dataclasses import replace

from core_world import World, settled_pair, spec

from weave_ryu.gate import Gate
from weave_ryu.gateway.commands import (
    Announce,
    Broadcast,
    ForgetBehind,
    Introduce,
    Prime,
    ReadMacs,
    SetGate,
    Tell,
)
from weave_ryu.gateway.core import GatewayCore
from weave_ryu.gateway.detection import Bfd
from weave_ryu.gateway.memory import REMEMBER_S
from weave_ryu.gateway.reading import Reading
from weave_ryu.gateway.records import HandOver, Step, decode, encode
from weave_ryu.gateway.role import Role, State
from weave_ryu.gateway.strangers import STRANGER_S
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


def test_hosts_that_only_a_standby_remembers_are_announced_by_the_active_one():
    world = settled_pair()
    world.call(
        "B", "macs_read", "gw0", Reading(frozenset({"02c000000001"}), frozenset({"02b000000001"}))
    )
    world.run(0.1)
    # What it was told may be from a time before: its own switch is looked at first.
    assert ReadMacs("gw0") in world.all_commands("A", ReadMacs)
    world.call("A", "macs_read", "gw0", Reading())
    announced = world.all_commands("A", Announce)[-1]
    assert announced == Announce("gw0", frozenset({"02c000000001"}), frozenset({"02b000000001"}))
    count = len(world.all_commands("A", Announce))
    world.call("B", "macs_read", "gw0", Reading(frozenset({"02c000000001"})))
    world.run(0.1)
    assert len(world.all_commands("A", Announce)) == count


def test_macs_that_a_restarted_switch_has_forgotten_are_remembered_for_a_while():
    world = settled_pair()
    mesh, hosts = frozenset({"02c000000001"}), frozenset({"02b000000001"})
    world.call("A", "macs_read", "gw0", Reading(mesh, hosts))
    world.call("A", "switch_state", False, {"gw0": True})
    world.call("A", "switch_state", True, {"gw0": True})
    world.call("A", "macs_read", "gw0", Reading(frozenset({"02b000000001"})))
    assert world.cores["A"].macs("gw0") == (mesh | hosts, frozenset())
    world.now += REMEMBER_S
    world.call("A", "macs_read", "gw0", Reading())
    assert world.cores["A"].macs("gw0") == (frozenset(), frozenset())


def test_what_an_earlier_daemon_was_told_is_announced():
    world = settled_pair()
    before, hosts = frozenset({"02c000000001", "02b000000001"}), frozenset({"02b000000001"})
    core = world.cores["A"]
    core.macs_read("gw0", Reading(frozenset(), hosts, before=before), world.now)
    announced = Announce("gw0", frozenset({"02c000000001"}), frozenset())
    assert announced in core.poll_commands()
    core.macs_read("gw0", Reading(frozenset(), frozenset({"02c000000001"})), world.now)
    assert core.macs("gw0") == (frozenset(), frozenset({"02c000000001"}))


def test_container_beside_another_gateway_is_no_host_and_an_open_switch_is_told():
    world = settled_pair()
    mac = frozenset({"02c000000001"})
    # The active one has heard it behind the standby, and cannot tell it from a host.
    core = world.cores["A"]
    core.macs_read("gw0", Reading(frozenset(), mac, relayed=mac), world.now)
    assert core.macs("gw0")[1] == mac
    world.cores["B"].macs_read("gw0", Reading(mac, own=mac), world.now)
    (told,) = (c for c in world.cores["B"].poll_commands() if isinstance(c, Tell))
    core.received(PeerName(ord("B")), told.payload, True, world.now)
    assert core.macs("gw0") == (mac, frozenset())
    commands = core.poll_commands()
    assert Prime("gw0", frozenset(), frozenset(), mac) in commands
    assert not [c for c in commands if isinstance(c, Announce) and c.to_mesh]


def test_macs_behind_peers_that_the_mesh_tells_of_late_are_announced():
    world = settled_pair()
    world.run(2.0)
    world.call(
        "A", "macs_read", "gw0", Reading(frozenset({"02c000000001"}), frozenset({"02b000000001"}))
    )
    announced = world.all_commands("A", Announce)[-1]
    assert announced == Announce("gw0", frozenset({"02c000000001"}), frozenset())


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


def test_who_goes_on_after_a_failed_hand_over_announces_again():
    world = settled_pair()
    count = len(world.all_commands("A", Announce))
    abort = encode(hand_overs=[HandOver("vlan", Step.ABORT, 2)])
    world.call("A", "received", PeerName(ord("B")), abort, True)
    assert len(world.all_commands("A", Announce)) == count + 1


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
    assert told[opening - 1] == Prime("gw0", frozenset(), frozenset({"02c000000001"}))


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


def test_what_was_learnt_behind_one_that_comes_back_as_standby_is_forgotten():
    """Seed 2782: both daemons had restarted, and nobody knew that it had forwarded before."""
    world = settled_pair()
    behind = ForgetBehind((PeerName(ord("B")),))
    count = world.commands["A"].count(behind)
    world.call("A", "peers_joined", [PeerName(ord("B")), PeerName(99)])
    assert world.commands["A"].count(behind) == count + 1


def test_peer_that_has_just_come_may_be_a_gateway_until_its_word_would_be_here():
    """Seed 6437: what a gateway that had never been met let in went to the segment again."""
    world = settled_pair()
    stranger, other = PeerName(99), PeerName(ord("B"))
    core = world.cores["A"]
    world.call("A", "peers_joined", [stranger])
    assert core.segments_of(stranger, world.now) == {"vlan"}
    assert core.segments_of(stranger, world.now + STRANGER_S) == frozenset()
    assert core.segments_of(other, world.now) == {"vlan"}
    assert GatewayCore(other, 1, 1, [], world.timers, 0.0).segments_of(stranger, 0.0) == frozenset()


def test_what_is_remembered_gives_way_to_news_from_another_gateway():
    """Seed 1397: a host had moved into the mesh while the switch of one gateway was away."""
    world = settled_pair()
    host = frozenset({"02b000000001"})
    world.call("A", "macs_read", "gw0", Reading(frozenset(), host))
    world.call("B", "macs_read", "gw0", Reading(frozenset(), host))
    world.run(0.1)
    world.call("A", "switch_state", False, {"gw0": True})
    world.call("B", "macs_read", "gw0", Reading(host))
    world.run(0.1)
    world.call("A", "switch_state", True, {"gw0": True})
    world.call("A", "macs_read", "gw0", Reading())
    assert world.cores["A"].macs("gw0") == (host, frozenset())
    # And the other way: what A told is out of date for B.
    assert world.cores["B"].macs("gw0") == (host, frozenset())


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
