"""Broadcasts of a hand-over: what nobody has passed is passed on once, and nothing else."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weave_ryu.gateway.holding import MAX_FRAMES, PASS_S, RIPE_S, WATCH_S, Holding, Side

FRAME = b"\xff" * 6 + b"\x02\x00\x00\x00\x00\x01" + b"\x08\x06" + b"who has"
OTHER = FRAME + b"?"
SIDES = pytest.mark.parametrize("side", list(Side))


def begun(at=-RIPE_S):
    holding = Holding()
    holding.begun(at)
    return holding


def frames(holding, now=1.0):
    return [(missing.origin, missing.frame) for missing in holding.take_missing(now)]


@SIDES
def test_frame_that_nobody_has_passed_is_missing_once(side):
    holding = begun()
    holding.hold(side, FRAME, 0.0)
    holding.opened(0.5)
    assert frames(holding) == [(side, FRAME)]
    assert frames(holding) == []


@SIDES
@pytest.mark.parametrize("sighted_first", [False, True])
def test_frame_that_the_other_has_passed_is_not_missing(side, sighted_first):
    holding = begun()
    if sighted_first:
        holding.sight(side, FRAME)
    holding.hold(side, FRAME, 0.0)
    if not sighted_first:
        holding.sight(side, FRAME)
    holding.opened(0.5)
    assert frames(holding) == []


def test_nothing_is_missing_before_the_own_switch_is_open():
    holding = begun()
    holding.hold(Side.MESH, FRAME, 0.0)
    assert frames(holding) == []


def test_a_frame_is_waited_for_as_long_as_it_may_be_on_its_way():
    holding = begun()
    holding.opened(0.0)
    holding.hold(Side.MESH, FRAME, 1.0)
    assert frames(holding, 1.0 + PASS_S / 2) == []
    assert frames(holding, 1.0 + PASS_S) == [(Side.MESH, FRAME)]


def test_a_frame_of_before_the_switch_surely_shows_all_is_not_missing():
    holding = begun(0.0)
    holding.hold(Side.MESH, FRAME, RIPE_S / 2)
    holding.hold(Side.MESH, OTHER, RIPE_S)
    holding.opened(0.5)
    assert frames(holding) == [(Side.MESH, OTHER)]


def test_a_frame_that_may_have_been_passed_unseen_does_not_make_its_equal_a_missing_one():
    holding = begun(0.0)
    holding.hold(Side.MESH, FRAME, RIPE_S / 2)
    holding.hold(Side.MESH, FRAME, RIPE_S)
    holding.sight(Side.MESH, FRAME)
    holding.opened(0.5)
    assert frames(holding) == []


def test_of_equal_frames_as_many_are_missing_as_were_not_passed():
    holding = begun()
    for at in range(5):
        holding.hold(Side.SEGMENT, FRAME, at / 100)
    for _ in range(3):
        holding.sight(Side.SEGMENT, FRAME)
    holding.opened(0.5)
    assert frames(holding) == [(Side.SEGMENT, FRAME)] * 2


def test_padding_does_not_make_it_another_frame():
    holding = begun()
    holding.hold(Side.MESH, FRAME, 0.0)
    holding.sight(Side.MESH, FRAME.ljust(60, b"\0"))
    holding.opened(0.5)
    assert frames(holding) == []


def test_frame_of_a_station_that_this_switch_does_not_know_is_passed_if_it_is_held_on_both_sides():
    holding = begun()
    holding.hold(Side.MESH, FRAME, 0.0)
    holding.hold(Side.SEGMENT, FRAME, 0.001)
    holding.opened(0.5)
    assert frames(holding) == []


def test_what_is_missing_keeps_its_order():
    holding = begun()
    holding.hold(Side.MESH, OTHER, 0.0)
    holding.hold(Side.SEGMENT, FRAME, 0.1)
    holding.hold(Side.MESH, FRAME, 0.2)
    holding.hold(Side.MESH, OTHER, 0.3)
    holding.sight(Side.MESH, FRAME)
    holding.opened(0.5)
    assert [frame for _, frame in frames(holding)] == [OTHER, FRAME, OTHER]


def test_one_that_has_seen_too_much_gives_nothing_back_and_keeps_nothing():
    holding = begun()
    for number in range(MAX_FRAMES + 1):
        holding.hold(Side.MESH, FRAME + bytes([number & 0xFF, 1]), 0.0)
    holding.opened(0.5)
    assert holding.has_overflowed
    assert frames(holding) == []
    assert not holding._held


def test_it_is_over_when_no_switch_can_hold_a_frame_any_more():
    holding = begun()
    assert not holding.is_over(1000.0)
    holding.opened(1.0)
    assert not holding.is_over(1.0 + WATCH_S)
    assert holding.is_over(1.1 + WATCH_S)


@given(
    sent=st.lists(st.tuples(st.sampled_from(Side), st.sampled_from([FRAME, OTHER]), st.booleans())),
    data=st.data(),
)
def test_each_frame_is_passed_exactly_once_in_whatever_order_sightings_come(sent, data):
    # A station sends from one side only; a frame names its sender.
    home = dict(zip((FRAME, OTHER), data.draw(st.permutations(list(Side))), strict=True))
    sent = [(home[frame], frame, is_passed) for _, frame, is_passed in sent]
    seen = [("hold", side, frame) for side, frame, _ in sent]
    seen += [("sight", side, frame) for side, frame, is_passed in sent if is_passed]
    holding = begun()
    for what, side, frame in data.draw(st.permutations(seen)):
        if what == "hold":
            holding.hold(side, frame, 0.0)
        else:
            holding.sight(side, frame)
    holding.opened(0.1)
    found = frames(holding)
    for side, frame in itertools.product(Side, (FRAME, OTHER)):
        passed = sum((s, f, p) == (side, frame, True) for s, f, p in sent)
        total = sum((s, f) == (side, frame) for s, f, _ in sent)
        assert passed + found.count((side, frame)) == total
