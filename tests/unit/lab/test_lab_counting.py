import pytest

from weave_ryu.lab.counting import MAX_FRAMES, Delivery, Tally, longest_gap_ns


def tally_of(*sequences):
    tally = Tally()
    for at, sequence in enumerate(sequences):
        tally.add(sequence, at)
    return tally


def test_all_once_is_exact():
    delivery = tally_of(2, 0, 1).delivery(3)
    assert delivery == Delivery(sent=3, arrived=3, duplicated=0, lost=0, most_copies=1)
    assert delivery.is_exact


def test_nothing_arrived_is_all_lost():
    assert Tally().delivery(3) == Delivery(sent=3, arrived=0, duplicated=0, lost=3, most_copies=0)


def test_copies_and_losses_do_not_hide_one_another():
    delivery = tally_of(0, 0, 0, 2).delivery(4)
    assert delivery == Delivery(sent=4, arrived=2, duplicated=2, lost=2, most_copies=3)
    assert delivery.copies == 4
    assert not delivery.is_exact


def test_a_storm_is_counted_in_bounded_memory():
    tally = Tally()
    for _ in range(3369):
        tally.add(0, 1)
    assert tally.delivery(1).duplicated == 3368
    tally.add(MAX_FRAMES, 1)
    assert len(tally.copies) == 1
    assert tally.excess > 0


@pytest.mark.parametrize(
    ("arrivals", "start", "end", "gap"),
    [
        ([0, 10, 20, 30, 40], 10, 30, 10),
        ([0, 10, 25, 90, 100], 20, 50, 65),
        ([0, 10, 90, 100], 20, 50, 80),
        ([0, 10], 5, 50, 40),
        ([60, 70], 20, 65, 40),
        ([], 20, 50, 30),
        ([0, 80, 90, 100], 85, 95, 10),
    ],
)
def test_longest_gap_that_touches_the_window(arrivals, start, end, gap):
    assert longest_gap_ns(arrivals, start, end) == gap
