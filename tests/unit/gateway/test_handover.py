"""The planned hand-over, message by message, and what each side does when the other is silent."""

import pytest

from weave_ryu.gate import Gate
from weave_ryu.gateway import pace
from weave_ryu.gateway.handover import (
    End,
    Entering,
    EnteringStage,
    Leaving,
    LeavingStage,
    Move,
)
from weave_ryu.gateway.records import Step
from weave_ryu.gateway.timers import HandOverTimes
from weave_ryu.names import PeerName

A, B = PeerName(1), PeerName(2)
TIMES = HandOverTimes()
EPOCH = 7


def leaving():
    return Leaving(B, EPOCH, "asked", 100.0 + TIMES.answer_s)


def entering():
    return Entering(A, EPOCH, 100.0 + 2 * TIMES.answer_s)


def test_both_sides_go_through_the_messages_in_order():
    old, new, now = leaving(), entering(), 100.0

    move = old.read(now, TIMES)
    assert (move.say, move.gate) == (Step.PREPARE, None)
    old = move.side
    assert old.is_told

    move = new.confirmed(now, TIMES)  # its switch passes known unicast
    new = move.side
    assert not new.claims

    move = new.due(new.due_at, TIMES)
    assert move.say is Step.READY
    new = move.side
    assert new.claims

    move = old.heard(Step.READY, EPOCH, now, TIMES)
    old = move.side
    assert old.stage is LeavingStage.SETTLING

    move = new.due(new.due_at, TIMES)
    assert move.gate is Gate.TAKING
    new = move.side

    move = old.due(old.due_at)
    assert move.gate is Gate.KNOWN  # broadcasts stop
    old = move.side
    assert not old.can_stay
    old = old.confirmed(now).side
    assert old.due_at == now + pace.SWEEP_S
    move = old.due(old.due_at)
    assert move.say is Step.YOURS
    old = move.side

    move = new.heard(Step.YOURS)
    assert move.gate is Gate.OPEN
    new = move.side
    assert new.confirmed(now, TIMES) == Move(None, End.DONE)

    move = old.due(old.due_at)
    assert move.gate is Gate.DRAINING
    assert move.side.confirmed(now) == Move(None, End.DONE)


def test_never_both_pass_broadcasts():
    """The old side has stopped before it says YOURS, and the new one opens after it has heard."""
    gates = {stage: Leaving(B, EPOCH, "", 0.0, stage).due(0.0).say for stage in LeavingStage}
    assert [s for s, say in gates.items() if say is Step.YOURS] == [LeavingStage.SWEEPING]
    for stage in EnteringStage:
        move = Entering(A, EPOCH, 9.0, stage=stage).due(1.0, TIMES)
        assert move.gate is not Gate.OPEN


@pytest.mark.parametrize("stage", [LeavingStage.READING, LeavingStage.INVITING])
def test_old_side_gives_a_silent_successor_up(stage):
    assert Leaving(B, EPOCH, "", 5.0, stage).due(5.0) == Move(None, End.FAILED, say=Step.ABORT)


@pytest.mark.parametrize("stage", LeavingStage)
def test_old_side_goes_on_when_the_successor_cannot_and_opens_again_if_it_must(stage):
    side = Leaving(B, EPOCH, "", 5.0, stage)
    move = side.heard(Step.ABORT, EPOCH, 1.0, TIMES)
    if side.can_stay:
        assert move == Move(None, End.FAILED)
    else:
        assert move.side.stage is LeavingStage.RETURNING
        assert move.gate is (None if stage is LeavingStage.RETURNING else Gate.OPEN)
        assert move.side.confirmed(2.0) == Move(None, End.FAILED)
    assert side.heard(Step.ABORT, EPOCH - 1, 1.0, TIMES) == Move(side)


@pytest.mark.parametrize("stage", EnteringStage)
def test_new_side_gives_up_when_its_time_is_over_or_it_is_told(stage):
    side = Entering(A, EPOCH, 5.0, stage=stage)
    assert side.due_at <= 5.0
    # Its switch may have opened then: the other side is not to open beside it.
    says = None if stage is EnteringStage.OPENING else Step.ABORT
    assert side.due(5.0, TIMES) == Move(None, End.FAILED, say=says)
    assert side.heard(Step.ABORT) == Move(None, End.FAILED)


@pytest.mark.parametrize("step", [Step.REQUEST, Step.PREPARE, Step.READY])
def test_messages_that_do_not_fit_the_moment_are_ignored(step):
    side = Leaving(B, EPOCH, "", 5.0, LeavingStage.HANDED)
    assert side.heard(step, EPOCH, 1.0, TIMES) == Move(side)
    other = Entering(A, EPOCH, 5.0)
    assert other.heard(step) == Move(other)
    assert other.heard(Step.YOURS) == Move(other)  # its switch has not even opened for unicast
