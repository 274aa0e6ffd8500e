"""Roles, elections and hand-overs of whole gateway cores under a virtual clock."""

from dataclasses import replace

import pytest
from core_world import World, settled_pair, spec

from weave_ryu.gate import Gate
from weave_ryu.gateway.commands import (
    Announce,
    Claim,
    Release,
    RememberRole,
    SetGate,
    Tell,
)
from weave_ryu.gateway.detection import Bfd
from weave_ryu.gateway.reading import Reading
from weave_ryu.gateway.role import Role
from weave_ryu.gateway.surroundings import NotReadyError
from weave_ryu.gateway.timers import PROFILES, Timers
from weave_ryu.names import PeerName

A, B = PeerName(ord("A")), PeerName(ord("B"))


def watch_overlap(world, longest):
    """Note for how long two switches passed everything at the same time."""

    def watch():
        longest[0] += 0.005 if len(world.forwarders()) > 1 else 0

    return watch


def test_port_starts_closed_and_listens_before_it_opens():
    world = World(("A", spec()))
    assert world.port("A").gate is Gate.CLOSED
    world.run(world.timers.arm_s * 0.8)
    assert world.forwarders() == []
    world.run(1.0)
    assert world.forwarders() == ["A"]


def test_two_that_start_together_elect_the_lower_name():
    world = settled_pair()
    assert not [c for c in world.all_commands("B", SetGate) if c.gate is Gate.OPEN]


def test_higher_priority_comes_first():
    world = World(("A", spec(priority=10)), ("B", spec(priority=20)))
    world.run(3.0)
    assert world.states() == {"A": "standby", "B": "active"}


def test_standby_by_hand_never_takes_over():
    world = World(("A", spec(Role.ACTIVE)), ("B", spec(Role.STANDBY)))
    world.run(3.0)
    world.kill("A")
    world.run(20.0)
    assert world.states() == {"B": "standby"}


@pytest.mark.parametrize("bfd", [Bfd.NONE, Bfd.UP])
def test_killed_daemon_is_replaced_after_its_permits_have_run_out(bfd):
    world = settled_pair()
    world.call("B", "bfd", A, bfd)
    died_at, longest = world.now, [0.0]
    world.kill("A")
    world.run(5.0, watch_overlap(world, longest))
    assert world.states() == {"B": "active"}
    assert longest == [0.0]
    took_s = world.port("B").history[-1].at - died_at
    assert world.timers.give_up_s < took_s < world.timers.take_over_s + 0.3


def test_dead_host_is_replaced_at_once():
    world = settled_pair()
    world.call("B", "bfd", A, Bfd.UP)
    died_at = world.now
    world.kill("A")
    world.granted.pop("A")
    world.run(0.1)
    world.call("B", "bfd", A, Bfd.DOWN)
    world.run(1.0)
    assert world.states() == {"B": "active"}
    assert world.port("B").history[-1].at - died_at < world.timers.silent_s + 0.2


def test_bfd_that_is_down_while_the_daemon_speaks_changes_nothing():
    world = settled_pair()
    world.call("B", "bfd", A, Bfd.UP)
    world.call("B", "bfd", A, Bfd.DOWN)
    world.run(5.0)
    assert world.states() == {"A": "active", "B": "standby"}


def test_lost_link_is_handed_over_at_once():
    world = settled_pair()
    lost_at = world.now
    world.call("A", "switch_state", True, {"gw0": False})
    world.run(1.0)
    assert world.states() == {"A": "fault", "B": "active"}
    assert world.port("B").history[-1].at - lost_at < 0.1


def test_lost_switch_counts_as_active_until_its_permits_have_run_out():
    world = settled_pair()
    longest = [0.0]
    world.call("A", "switch_state", False, {})
    world.run(0.8, watch_overlap(world, longest))
    assert world.states() == {"A": "blocked", "B": "standby"}
    world.run(3.0, watch_overlap(world, longest))
    assert world.states()["B"] == "active"
    assert longest == [0.0]


def test_paused_daemon_blocks_first_and_asks_later():
    world = settled_pair()
    longest = [0.0]
    world.paused.add("A")
    world.run(4.0, watch_overlap(world, longest))
    assert world.port("B").state == "active"
    world.paused.clear()
    world.run(3.0, watch_overlap(world, longest))
    assert world.states() == {"A": "standby", "B": "active"}
    assert longest == [0.0]


def test_drain_hands_over_by_steps_and_stays_out():
    world = settled_pair()
    world.call(
        "A", "macs_read", "gw0", Reading(frozenset({"02c000000001"}), frozenset({"02b000000001"}))
    )
    longest = [0.0]
    world.call("A", "drain", "gw0")
    # The shell answers ReadMacs; here by hand.
    world.call(
        "A", "macs_read", "gw0", Reading(frozenset({"02c000000001"}), frozenset({"02b000000001"}))
    )
    world.run(3.0, watch_overlap(world, longest))
    assert world.states() == {"A": "standby", "B": "active"}
    assert [c.gate for c in world.all_commands("B", SetGate)][-3:] == [
        Gate.KNOWN,
        Gate.TAKING,
        Gate.OPEN,
    ]
    assert [c.gate for c in world.all_commands("A", SetGate)][-2:] == [Gate.DRAINING, Gate.CLOSED]
    assert longest[0] <= 0.01
    world.kill("B")
    world.run(10.0)
    assert world.states() == {"A": "standby"}


def test_hand_over_without_an_answer_still_closes_when_it_must():
    world = settled_pair()
    world.paused.add("B")
    world.call("A", "drain", "gw0")
    world.call("A", "macs_read", "gw0", Reading())
    world.run(world.timers.hand_over.answer_s + 0.5)
    assert world.port("A").state == "standby"
    assert world.port("A").gate is Gate.CLOSED


def test_request_of_the_other_operator_is_a_planned_hand_over():
    world = settled_pair()
    world.call("B", "set_role", "gw0", Role.ACTIVE)
    world.run(0.05)
    world.call("A", "macs_read", "gw0", Reading())
    world.run(3.0)
    assert world.states() == {"A": "standby", "B": "active"}
    assert world.port("B").epoch > world.port("A").epoch


def test_two_operators_who_insist_get_two_actives():
    world = World(("A", spec(Role.ACTIVE)), ("B", spec(Role.STANDBY)))
    world.run(3.0)
    world.force_active("A")
    world.force_active("B")
    world.run(5.0)
    assert world.states() == {"A": "active", "B": "active"}
    world.call("B", "set_role", "gw0", Role.AUTO)
    world.call("A", "set_role", "gw0", Role.AUTO)
    world.run(1.0)
    assert len(world.forwarders()) == 1


def test_active_by_force_is_not_asked_to_hand_over():
    world = settled_pair()
    world.force_active("A")
    world.run(0.1)
    with pytest.raises(NotReadyError, match="by force"):
        world.call("B", "set_role", "gw0", Role.ACTIVE)
    world.run(3.0)
    assert world.states() == {"A": "active", "B": "standby"}
    assert world.port("B").intent.role is Role.AUTO


def test_newest_word_of_an_operator_counts():
    world = settled_pair()
    longest = [0.0]
    for letter in "BAB":
        world.call(letter, "set_role", "gw0", Role.ACTIVE)
        other = "A" if letter == "B" else "B"
        world.run(0.05)
        world.call(other, "macs_read", "gw0", Reading())
        world.run(3.0, watch_overlap(world, longest))
        assert world.states() == {letter: "active", other: "standby"}
        assert world.port(letter).intent.role is Role.ACTIVE
        assert world.port(other).intent.role is Role.AUTO
    assert longest[0] <= 0.01
    assert RememberRole("gw0", Role.AUTO) in world.all_commands("A", RememberRole)


def test_word_of_an_operator_waits_for_permits_that_may_still_live():
    """The daemon that forwarded is silent, its switch is alive."""
    world = settled_pair()
    world.call("B", "bfd", A, Bfd.UP)
    longest, killed_at = [0.0], world.now
    world.kill("A")
    world.run(0.8)
    world.call("B", "set_role", "gw0", Role.ACTIVE)
    world.run(3.0, watch_overlap(world, longest))
    assert world.states() == {"B": "active"}
    assert world.port("B").history[-1].at - killed_at > world.timers.give_up_s
    assert longest == [0.0]


@pytest.mark.parametrize("role", [Role.AUTO, Role.ACTIVE])
def test_after_a_split_the_higher_epoch_stays(role):
    """Also if the other one was made active by hand."""
    world = settled_pair()
    world.call("A", "set_role", "gw0", role)
    world.cut.add(frozenset("AB"))
    world.run(5.0)
    assert world.states() == {"A": "active", "B": "active"}
    world.cut.clear()
    world.run(1.0)
    assert world.states() == {"A": "standby", "B": "active"}


def test_better_one_that_comes_back_does_not_push_unless_configured():
    for preempt, holder in ((False, "B"), (True, "A")):
        options = {"preempt": preempt, "preempt_delay_s": 2.0}
        world = World(("B", spec(priority=10)))
        world.run(3.0)
        world.start("A", spec(priority=20, **options))
        for _ in range(10):
            world.run(0.5)
            world.call("B", "macs_read", "gw0", Reading())
        world.run(2.0)
        assert world.forwarders() == [holder]


def test_role_cannot_be_changed_while_the_switch_is_lost():
    world = settled_pair()
    world.call("A", "switch_state", False, {})
    with pytest.raises(NotReadyError):
        world.cores["A"].set_role("gw0", Role.STANDBY, world.now)
    assert world.port("A").intent.role is Role.AUTO


def test_port_that_fails_again_and_again_comes_last():
    world = settled_pair()
    for _ in range(3):
        world.call("A", "switch_state", True, {"gw0": False})
        world.run(1.0)
        world.call("A", "switch_state", True, {"gw0": True})
        world.call("B", "switch_state", True, {"gw0": False})
        world.run(3.0)
        world.call("B", "switch_state", True, {"gw0": True})
        world.run(3.0)
    assert world.port("A").is_damped(world.now)


def test_every_change_has_a_reason_and_says_who_else_was_there():
    world = settled_pair()
    world.kill("A")
    world.run(4.0)
    entry = world.port("B").history[-1]
    assert "silent" in entry.reason
    assert entry.seen == ((str(A), "active"),)


def test_timers_that_break_the_fence_are_refused_at_the_start():
    with pytest.raises(Exception, match="take_over"):
        World(("A", spec()), timers=Timers(take_over_s=1.0))


def test_gateway_that_restarts_is_told_the_macs_at_once():
    world = settled_pair()
    world.call(
        "A", "macs_read", "gw0", Reading(frozenset({"02c000000001"}), frozenset({"02b000000001"}))
    )
    world.run(0.1)
    world.kill("B")
    world.run(0.5)
    world.start("B", spec())
    world.run(0.1)
    assert world.cores["B"].mesh_macs("gw0") == {"02c000000001"}


def claims(world, letter):
    return [c for c in world.commands[letter] if isinstance(c, Claim | Release)]


def test_who_forwards_claims_the_segment_with_its_epoch_and_announces_the_mesh_to_it():
    world = settled_pair()
    assert claims(world, "A") == [Claim("vlan", world.port("A").epoch)]
    assert claims(world, "B") == []
    world.call("A", "macs_read", "gw0", Reading(frozenset({"02c000000001"})))
    world.run(0.1)
    world.kill("A")
    world.run(4.0)
    assert claims(world, "B") == [Claim("vlan", world.port("B").epoch)]
    assert world.port("B").epoch > 1
    assert Announce("gw0", frozenset({"02c000000001"})) in world.all_commands("B", Announce)


def test_claim_waits_for_the_switch():
    world = World(("A", spec()))
    world.switch_answers["A"] = True
    world.run(4.0)
    world.switch_answers["A"] = False
    world.run(3.0)
    world.commands["A"].clear()
    world.run(3.0)
    assert not [c for c in claims(world, "A") if isinstance(c, Claim)]


def test_hand_over_moves_the_claim_before_broadcasts_change_hands():
    world = settled_pair()
    world.call("A", "drain", "gw0")
    world.call("A", "macs_read", "gw0", Reading())
    world.run(3.0)
    assert world.states() == {"A": "standby", "B": "active"}
    claim = Claim("vlan", world.port("B").epoch)
    done = [c for c in world.commands["B"] if isinstance(c, Claim | SetGate)]
    at = next(at for at, c in enumerate(done) if isinstance(c, Claim))
    # Broadcasts follow when the old side has closed for them.
    assert [c if isinstance(c, Claim) else c.gate for c in done[at - 1 :]] == [
        Gate.KNOWN,
        replace(claim, arriving=True),
        Gate.TAKING,
        Gate.OPEN,
        claim,
    ]
    assert claims(world, "A")[-1] == Release("vlan")


def test_who_goes_on_after_a_failed_hand_over_claims_it_above_the_other():
    world = settled_pair()
    world.call("B", "set_role", "gw0", Role.ACTIVE)
    world.run(0.05)
    world.call("A", "macs_read", "gw0", Reading())
    world.run(0.25)
    (theirs,) = claims(world, "B")
    world.call("B", "switch_state", True, {"gw0": False})
    world.run(2.0)
    assert world.states() == {"A": "active", "B": "fault"}
    ours = claims(world, "A")[-1]
    assert ours.epoch > theirs.epoch
    assert world.port("A").epoch == ours.epoch
    assert claims(world, "B")[-1] == Release("vlan")


def test_segment_is_let_go_of_when_nobody_else_has_claimed_it_in_time():
    world = settled_pair()
    world.kill("B")
    world.run(2.0)
    world.call("A", "switch_state", True, {"gw0": False})
    world.run(0.5)
    assert not world.all_commands("A", Release)
    world.run(1.0)
    assert claims(world, "A")[-1] == Release("vlan")


@pytest.mark.parametrize(
    "cut", [frozenset("AB"), ("A", "B"), ("B", "A")], ids=["both ways", "A to B", "B to A"]
)
@pytest.mark.parametrize("profile", PROFILES)
def test_way_that_fails_between_gateways_changes_no_role_if_there_is_another(cut, profile):
    world = World(("A", spec()), ("B", spec()), timers=PROFILES[profile])
    world.run(3.0)
    world.has_detours = True
    world.call("A", "bfd", B, Bfd.UP)
    world.call("B", "bfd", A, Bfd.UP)
    world.cut.add(cut)
    world.run(0.3)
    world.call("A", "bfd", B, Bfd.DOWN)
    world.call("B", "bfd", A, Bfd.DOWN)
    world.run(10.0)
    world.cut.clear()
    world.run(3.0)
    assert world.states() == {"A": "active", "B": "standby"}
    assert len(world.port("B").history) == 3


def test_leases_take_no_detours_while_all_is_well():
    world = settled_pair()
    world.run(5.0)
    assert not [c for c in world.all_commands("A", Tell) if c.detour]


def test_port_with_another_trouble_than_its_link_says_so_and_never_opens():
    world = World(("A", spec()))
    core = world.cores["A"]
    core.switch_state(True, {"gw0": True}, world.now, {"gw0": "two hosts have one name"})
    world.run(20.0)
    port = world.port("A")
    assert world.forwarders() == []
    assert "two hosts have one name" in port.obstacles()
    assert port.history[-1].reason == "two hosts have one name"
    with pytest.raises(NotReadyError, match="two hosts have one name"):
        core.set_role("gw0", Role.ACTIVE, world.now)
    core.switch_state(True, {"gw0": True}, world.now)
    world.run(5.0)
    assert world.forwarders() == ["A"]


def test_open_port_closes_at_once_for_another_trouble():
    world = World(("A", spec()))
    world.run(3.0)
    assert world.forwarders() == ["A"]
    world.cores["A"].switch_state(True, {"gw0": True}, world.now, {"gw0": "refused"})
    world.run(0.1)
    assert world.forwarders() == []


def test_reason_follows_when_a_link_that_went_down_turns_out_to_be_gone():
    world = World(("A", spec()))
    world.run(3.0)
    core = world.cores["A"]
    core.switch_state(True, {"gw0": False}, world.now)
    assert world.port("A").history[-1].reason == "the segment's link went down"
    for _ in range(2):
        core.switch_state(True, {"gw0": False}, world.now, {"gw0": "there is no link gw0"})
    reasons = [entry.reason for entry in world.port("A").history]
    assert reasons[-2:] == ["the segment's link went down", "there is no link gw0"]
