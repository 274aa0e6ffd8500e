"""An operator's word stands above priorities, whatever else happens at the moment it comes."""

import pytest
from core_world import World, settled_pair, spec

from weave_ryu.gateway import pace
from weave_ryu.gateway.commands import SetGate
from weave_ryu.gateway.handing import HandOvers
from weave_ryu.gateway.handover import Entering, EnteringStage, Leaving, LeavingStage
from weave_ryu.gateway.role import Intent, Role
from weave_ryu.gateway.states import Active, Resetting, Standby
from weave_ryu.gateway.wish import Outcome


class Watch:
    """Who forwards while time passes: the most at once, and the longest time with nobody."""

    def __init__(self, world):
        self.world, self.most, self.gap_s = world, 0, 0.0
        self._seen_at = world.now

    def __call__(self):
        count = len(self.world.forwarders())
        self.most = max(self.most, count)
        if count:
            self._seen_at = self.world.now
        self.gap_s = max(self.gap_s, self.world.now - self._seen_at)


def run_until(world, condition, within_s=8.0):
    until = world.now + within_s
    while not condition():
        assert world.now < until
        world.run(0.005)


def pair():
    world = settled_pair()
    world.reads_macs = True
    return world


@pytest.mark.parametrize("delay_s", [0.0, 0.3, 0.8, 1.2])
def test_who_was_asked_opens_alone_when_the_holder_is_dead(delay_s):
    """The gateway of the highest priority waits behind the one that an operator has named."""
    world = World(("A", spec(priority=250)), ("B", spec(priority=200)), ("C", spec()))
    world.run(3.0)
    assert world.forwarders() == ["A"]
    world.kill("A")
    world.run(delay_s)
    world.call("C", "set_role", "gw0", Role.ACTIVE)
    watch = Watch(world)
    world.run(world.timers.wish_s, watch)
    assert world.forwarders() == ["C"]
    assert watch.most == 1
    assert world.port("C").wish.outcome is Outcome.KEPT
    assert [entry.state for entry in world.port("B").history].count("active") == 0


def test_of_two_that_are_asked_the_newest_opens_alone_when_the_holder_is_dead():
    world = World(("A", spec(priority=250)), ("B", spec(priority=200)), ("C", spec()))
    world.run(3.0)
    world.kill("A")
    world.call("B", "set_role", "gw0", Role.ACTIVE)
    world.run(0.2)
    world.call("C", "set_role", "gw0", Role.ACTIVE)
    watch = Watch(world)
    world.run(world.timers.wish_s, watch)
    assert world.forwarders() == ["C"]
    assert watch.most == 1
    assert world.port("B").wish.outcome is Outcome.TAKEN_BACK
    assert world.port("B").intent == Intent(Role.AUTO)


def test_word_that_comes_before_anything_was_heard_is_the_newest_all_the_same():
    """The daemon has just started: it cannot know yet how far the words have been counted."""
    world = pair()
    for letter in "BABAB":
        world.call(letter, "set_role", "gw0", Role.ACTIVE)
        world.run(2.0)
    assert world.forwarders() == ["B"]
    assert world.port("B").wish.word > 3
    world.kill("A")
    world.run(1.0)
    world.start("A", spec())
    world.call("A", "set_role", "gw0", Role.ACTIVE)
    world.run(world.timers.wish_s)
    assert world.forwarders() == ["A"]
    assert world.port("A").wish.outcome is Outcome.KEPT
    assert world.port("B").intent == Intent(Role.AUTO)


def test_successor_that_is_drained_when_it_is_its_turn_hands_back_without_a_gap():
    world = pair()
    world.call("B", "set_role", "gw0", Role.ACTIVE)
    watch = Watch(world)

    def is_told():
        watch()
        phase = world.port("B").phase
        return isinstance(phase, Entering) and phase.stage is EnteringStage.OPENING

    run_until(world, is_told)
    world.call("B", "drain", "gw0")
    world.run(4.0, watch)
    assert world.states() == {"A": "active", "B": "standby"}
    assert watch.most == 1
    assert watch.gap_s < 0.1


@pytest.mark.parametrize("stage", list(EnteringStage))
def test_link_that_the_successor_loses_leaves_nobody_waiting(stage):
    world = pair()
    world.call("B", "set_role", "gw0", Role.ACTIVE)

    def is_there():
        phase = world.port("B").phase
        return isinstance(phase, Entering) and phase.stage is stage

    run_until(world, is_there)
    watch = Watch(world)
    world.cores["B"].switch_state(True, {"gw0": False}, world.now)
    world.granted.pop("B", None)  # nothing passes a dead link
    world._perform("B")
    world.run(2.0, lambda: (world.granted.pop("B", None), watch()))
    assert world.states() == {"A": "active", "B": "fault"}
    # Before it was its turn the old one still forwards; later it must open anew.
    assert watch.gap_s < (0.2 if stage is EnteringStage.OPENING else 0.03)


def disturbed_hand_over(disturb, after_s):
    """What is seen when something happens to B, so long after it was asked to take over from A."""
    world = pair()
    world.call("B", "set_role", "gw0", Role.ACTIVE)
    world.run(after_s)
    watch = Watch(world)

    def look():
        if not world.cores["B"].has_carrier("gw0"):
            world.granted.pop("B", None)  # nothing passes a dead link
        watch()

    look()
    disturb(world)
    world.run(4.0, look)
    assert world.forwarders() == ["A"]
    assert watch.most == 1
    assert watch.gap_s <= 0.1
    return world


def lose_link(world):
    world.call("B", "switch_state", True, {"gw0": False})


@pytest.mark.parametrize("after_s", [step / 100 for step in range(0, 150, 2)])
def test_successor_that_is_drained_at_any_moment_leaves_no_gap(after_s):
    world = disturbed_hand_over(lambda world: world.call("B", "drain", "gw0"), after_s)
    assert world.port("B").wish.outcome is Outcome.KEPT


@pytest.mark.parametrize("after_s", [step / 100 for step in range(0, 100, 2)])
def test_successor_whose_link_is_lost_at_any_moment_leaves_no_gap(after_s):
    disturbed_hand_over(lose_link, after_s)


@pytest.mark.parametrize("after_s", [0.1, 0.2, 0.3, 0.4])
def test_record_of_the_successor_is_enough(after_s, monkeypatch):
    """Its ABORT may be lost on the way."""
    monkeypatch.setattr(HandOvers, "broken", lambda _self, _side: None)
    disturbed_hand_over(lose_link, after_s)


@pytest.mark.parametrize("stage", [s for s in LeavingStage if s is not LeavingStage.RETURNING])
def test_link_that_the_old_side_loses_leaves_nobody_waiting(stage):
    world = pair()
    world.call("B", "set_role", "gw0", Role.ACTIVE)

    def is_there():
        phase = world.port("A").phase
        return isinstance(phase, Leaving) and phase.stage is stage

    run_until(world, is_there)
    watch = Watch(world)
    world.cores["A"].switch_state(True, {"gw0": False}, world.now)
    world.granted.pop("A", None)
    world._perform("A")
    world.run(2.0, lambda: (world.granted.pop("A", None), watch()))
    assert world.states() == {"A": "fault", "B": "active"}
    assert watch.most == 1
    assert watch.gap_s < 0.15


def test_switch_that_refuses_at_once_is_not_asked_without_pause():
    world = pair()
    world.switch_answers["A"] = False
    world.run(1.5)  # the permits have run out: it is to close
    assert isinstance(world.port("A").phase, Resetting)
    before = len(world.all_commands("A", SetGate))
    until = world.now + 2.0
    while world.now < until:
        asked = world.port("A").keeper.asked
        if asked is not None:
            world.call("A", "gate_failed", "gw0", asked.token, "refused")
        world.run(0.01)
    assert len(world.all_commands("A", SetGate)) - before <= 2.0 / pace.RESET_AGAIN_S + 2
    world.switch_answers["A"] = True
    if world.port("A").keeper.asked is not None:
        world.call("A", "gate_failed", "gw0", world.port("A").keeper.asked.token, "refused")
    world.run(1.0)
    assert isinstance(world.port("A").phase, Standby | Active)
