"""wish_kept: what was asked for and accepted is done, or taken back with a reason."""

from dataclasses import replace

import pytest
from core_world import World, settled_pair, spec

from weave_ryu.gateway.commands import RememberRole, SetGate, TakeBack
from weave_ryu.gateway.detection import Bfd
from weave_ryu.gateway.records import MAX_COUNTER, encode
from weave_ryu.gateway.role import Intent, Role
from weave_ryu.gateway.states import Closing, Entering, Leaving, Requesting, Standby
from weave_ryu.gateway.surroundings import NotReadyError
from weave_ryu.gateway.wish import Outcome
from weave_ryu.names import PeerName

A, B = PeerName(ord("A")), PeerName(ord("B"))
STEP_S = 0.02


def pair():
    world = settled_pair()
    world.reads_macs = True
    return world


def run_until(world, condition, within_s=3.0):
    until = world.now + within_s
    while not condition():
        assert world.now < until
        world.run(0.005)


def test_force_that_comes_while_the_gate_is_being_closed_is_kept():
    """The demo failed so in 3 of 13 runs: accepted, and forgotten when the gate had closed."""
    world = pair()
    world.force_active("B")
    run_until(world, lambda: isinstance(world.port("A").phase, Closing))
    world.force_active("A")
    world.run(1.0)
    assert world.states() == {"A": "active", "B": "active"}
    assert world.forwarders() == ["A", "B"]
    assert world.port("A").wish.outcome is Outcome.KEPT


@pytest.mark.parametrize("wish", ["active", "force"])
@pytest.mark.parametrize("letter", "AB")
@pytest.mark.parametrize("step", range(1, 70, 2))
def test_wish_to_be_active_at_any_time_of_a_hand_over_is_kept(wish, letter, step):
    world = pair()
    world.call("B", "set_role", "gw0", Role.ACTIVE)
    world.run(step * STEP_S)
    if wish == "force":
        world.force_active(letter)
    else:
        world.call(letter, "set_role", "gw0", Role.ACTIVE)
    number = world.port(letter).wish.number
    world.run(world.timers.wish_s)
    assert world.port(letter).wish.number == number
    assert world.port(letter).wish.outcome is Outcome.KEPT
    assert world.forwarders() == [letter]


@pytest.mark.parametrize("wish", ["standby", "drain"])
@pytest.mark.parametrize("letter", "AB")
@pytest.mark.parametrize("step", range(0, 70, 2))
def test_wish_to_be_closed_at_any_time_of_a_hand_over_is_kept(wish, letter, step):
    world = pair()
    world.call("B", "set_role", "gw0", Role.ACTIVE)
    world.run(step * STEP_S)
    if wish == "drain":
        world.call(letter, "drain", "gw0")
    else:
        world.call(letter, "set_role", "gw0", Role.STANDBY)
    world.run(world.timers.wish_s)
    assert world.port(letter).wish.outcome is Outcome.KEPT
    other = "B" if letter == "A" else "A"
    assert world.states() == {letter: "standby", other: "active"}


def test_newest_of_many_wishes_counts():
    world = pair()
    for role in (Role.ACTIVE, Role.STANDBY, Role.AUTO, Role.STANDBY, Role.ACTIVE):
        world.call("B", "set_role", "gw0", role)
        world.run(0.01)
    world.run(world.timers.wish_s)
    assert world.states() == {"A": "standby", "B": "active"}
    assert world.port("B").intent == Intent(Role.ACTIVE)


def test_wish_is_taken_back_when_its_time_is_over():
    world = pair()
    world.call("B", "set_role", "gw0", Role.STANDBY)
    world.reads_macs = False  # the holder never gets ready to hand over
    world.call("B", "set_role", "gw0", Role.ACTIVE)
    world.run(0.05)
    assert isinstance(world.port("B").phase, Requesting)
    world.run(world.timers.wish_s - 0.2)
    assert world.port("B").wish.outcome is Outcome.PENDING
    world.run(0.4)
    assert world.port("B").wish.outcome is Outcome.TAKEN_BACK
    assert "not done within 6.3" in world.port("B").wish.why
    assert "forwards with epoch" in world.port("B").wish.why
    assert world.port("B").intent == Intent(Role.STANDBY)
    assert isinstance(world.port("B").phase, Standby)
    taken = world.all_commands("B", TakeBack)
    assert [(c.port, c.wanted) for c in taken] == [("gw0", Intent(Role.ACTIVE))]
    assert world.all_commands("B", RememberRole)[-1] == RememberRole("gw0", Role.STANDBY)


@pytest.mark.parametrize("pause_s", [0.0, 0.1])
def test_who_was_made_active_before_says_who_has_the_role_now(pause_s):
    world = pair()
    world.call("A", "set_role", "gw0", Role.ACTIVE)
    world.run(pause_s)
    world.call("B", "set_role", "gw0", Role.ACTIVE)
    world.run(2.0)
    assert world.states() == {"A": "standby", "B": "active"}
    assert world.port("A").intent == Intent(Role.AUTO)
    assert world.port("A").wish.outcome is Outcome.TAKEN_BACK
    assert f"{B} asked for the role" in world.port("A").wish.why


def test_two_operators_at_the_same_moment_leave_one_active_and_the_other_knows_why():
    world = pair()
    world.call("B", "set_role", "gw0", Role.ACTIVE)
    world.call("A", "set_role", "gw0", Role.ACTIVE)
    world.run(world.timers.wish_s)
    assert world.forwarders() == ["B"]
    assert world.port("A").wish.outcome is Outcome.TAKEN_BACK


def test_configured_role_is_taken_back_where_another_gateway_forwards():
    world = World(("A", spec()))
    world.run(3.0)
    world.start("B", spec(Role.ACTIVE))
    world.run(3.0)
    assert world.states() == {"A": "active", "B": "standby"}
    assert world.port("B").intent == Intent(Role.AUTO)
    assert f"{A} forwards" in world.port("B").wish.why


def test_force_outlives_a_lost_link():
    world = pair()
    world.force_active("A")
    world.run(0.2)
    world.call("A", "switch_state", True, {"gw0": False})
    world.run(1.0)
    assert world.states() == {"A": "fault", "B": "active"}
    world.call("A", "switch_state", True, {"gw0": True})
    world.run(3.0)
    assert world.states() == {"A": "active", "B": "standby"}
    assert world.port("A").intent == Intent(Role.ACTIVE, forced=True)


def test_one_that_is_not_forced_yields_to_one_that_is_whatever_their_epochs():
    world = pair()
    world.force_active("A")
    world.cut.add(frozenset("AB"))
    world.run(4.0)
    assert world.forwarders() == ["A", "B"]
    assert world.port("B").epoch > world.port("A").epoch
    world.cut.clear()
    world.run(1.0)
    assert world.forwarders() == ["A"]


def test_drain_during_a_hand_over_ends_it():
    world = pair()
    world.call("B", "set_role", "gw0", Role.ACTIVE)
    run_until(world, lambda: isinstance(world.port("B").phase, Entering))
    assert isinstance(world.port("A").phase, Leaving)
    world.call("B", "drain", "gw0")
    world.run(0.3)
    assert world.states() == {"A": "active", "B": "standby"}
    assert world.forwarders() == ["A"]
    assert len(world.all_commands("B", SetGate)) > 2


def test_preemption_does_not_take_the_role_from_whom_an_operator_made_active():
    """Its request was on its way when the operator spoke."""
    options = {"preempt": True, "preempt_delay_s": 1.0}
    world = World(("B", spec(priority=10)))
    world.reads_macs = True
    world.run(3.0)
    world.start("A", spec(priority=20, **options))
    run_until(world, lambda: isinstance(world.port("A").phase, Requesting), 5.0)
    world.call("B", "set_role", "gw0", Role.ACTIVE)
    world.run(2.0)
    assert world.states() == {"A": "standby", "B": "active"}


def test_two_that_are_let_into_the_election_together_do_not_both_open():
    """Seed 298."""
    world = World(("A", spec(Role.STANDBY)), ("B", spec(Role.STANDBY)))
    world.run(3.0)
    most = [0]
    for letter in "AB":
        world.call(letter, "set_role", "gw0", Role.AUTO)

    def watch():
        most[0] = max(most[0], len(world.forwarders()))

    world.run(3.0, watch)
    assert most == [1]
    assert world.states() == {"A": "active", "B": "standby"}


def test_forced_gateway_that_seems_dead_is_replaced_once():
    """Found by the model: its standby opened, yielded to it, and opened again, without end."""
    world = pair()
    world.force_active("A")
    world.call("B", "bfd", A, Bfd.UP)
    world.run(0.3)
    world.cut.add(frozenset("AB"))
    world.call("B", "bfd", A, Bfd.DOWN)
    before = len(world.port("B").history)
    world.run(0.9)
    assert len(world.port("B").history) == before + 1


def test_wish_that_was_replaced_before_it_was_done_does_not_come_back():
    """Force that was withdrawn opened a second gateway by force when its successor ran out."""
    world = pair()
    world.reads_macs = False  # the holder never gets ready to hand over
    world.call("B", "set_role", "gw0", Role.STANDBY)
    world.call("B", "set_role", "gw0", Role.ACTIVE)
    world.run(0.1)
    world.call("B", "set_role", "gw0", Role.ACTIVE)
    world.run(world.timers.wish_s + 0.3)
    assert world.port("B").intent == Intent(Role.STANDBY)
    assert len(world.all_commands("B", TakeBack)) == 1


def test_nothing_is_accepted_while_the_daemon_ends():
    world = pair()
    world.call("A", "shut_down")
    with pytest.raises(NotReadyError, match="shuts down"):
        world.call("A", "set_role", "gw0", Role.ACTIVE)
    world.run(3.0)
    assert world.states() == {"A": "standby", "B": "active"}


def test_word_that_leaves_no_room_is_not_believed():
    world = pair()
    record = world.cores["A"].registry.record(A)
    port = replace(record.ports[0], role="active", word=MAX_COUNTER - 1)
    told = replace(record, sequence=record.sequence + 1, ports=(port,))
    world.call("B", "received", A, encode([told]), True)
    world.call("B", "set_role", "gw0", Role.ACTIVE)
    assert world.port("B").wish.word < 10
    encode([world.cores["B"].registry.own_record])


def test_link_that_comes_back_before_the_close_is_confirmed_may_pass_frames():
    world = pair()
    world.switch_answers["A"] = False
    world.call("A", "switch_state", True, {"gw0": False})
    close = world.all_commands("A", SetGate)[-1]
    world.run(0.1)
    world.call("A", "gate_failed", "gw0", close.token, "no answer")
    world.call("A", "switch_state", True, {"gw0": True})
    assert world.port("A").record(world.now).is_active
    world.run(1.2)
    assert not world.port("A").record(world.now).is_active


def test_what_the_configuration_says_is_not_forgotten():
    world = World(("A", spec()))
    world.run(3.0)
    world.start("B", spec(Role.ACTIVE))
    world.run(3.0)
    assert world.port("B").wish.outcome is Outcome.TAKEN_BACK
    assert world.all_commands("B", RememberRole) == []
