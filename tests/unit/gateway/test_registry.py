"""What a peer knows of all gateways: the newest wins."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weave_ryu.gateway.records import MAX_COUNTER, GatewayRecord, Peering, PortRecord
from weave_ryu.gateway.registry import Change, Registry
from weave_ryu.names import PeerName

A, B, C, OWN = (PeerName(0x7A0000000000 + ord(letter)) for letter in "ABCX")
INCARNATION = 77


def port(state="standby", epoch=0, segment="vlan"):
    return PortRecord(segment, f"{segment}-port", state, epoch)


def record(name, sequence, *ports, incarnation=1):
    return GatewayRecord(name, incarnation, sequence, ports)


def registry(*records, own=OWN):
    made = Registry(own, INCARNATION, 1000)
    made.merge(records)
    return made


def test_newer_record_replaces_the_older_one():
    known = registry(record(A, 1, port()))
    changes, _ = known.merge([record(A, 2, port("active", 1))])
    assert changes == [Change(record(A, 2, port("active", 1)), frozenset())]
    assert known.record(A).sequence == 2


@pytest.mark.parametrize("sequence", [4, 5])
def test_record_that_is_not_newer_changes_nothing(sequence):
    known = registry(record(A, 5, port("active", 3)))
    assert known.merge([record(A, sequence, port())]) == ([], False)
    assert known.record(A) == record(A, 5, port("active", 3))


@given(st.permutations([record(A, n, port("active", n)) for n in range(1, 5)]))
def test_newest_wins_in_whatever_order_records_come(told):
    known = registry(*told)
    assert known.record(A).sequence == 4
    assert known.epoch("vlan") == 4


def test_records_are_sorted_by_name():
    known = registry(record(B, 1, port()), record(A, 1, port()))
    known.set_own([port()])
    assert [r.name for r in known.records()] == [A, B, OWN]


def test_own_record_counts_up_and_sorts_its_ports():
    known = registry()
    one = known.set_own([port(segment="vlan"), port(segment="office")])
    two = known.set_own([])
    assert [p.segment for p in one.ports] == ["office", "vlan"]
    assert (one.sequence, two.sequence) == (1001, 1002)
    assert one.incarnation == INCARNATION
    assert known.record(OWN) == two


def test_what_others_tell_of_us_is_never_believed():
    known = registry()
    mine = known.set_own([port("active", 4)])
    changes, _ = known.merge([record(OWN, 1, port())])
    assert changes == []
    assert known.record(OWN) == mine


@pytest.mark.parametrize("sequence", [1001, 1002, 1 << 40])
def test_old_life_is_outlived(sequence):
    known = registry()
    known.set_own([port("standby")])
    _, is_stale = known.merge([record(OWN, sequence, port("active", 9), incarnation=1)])
    assert is_stale
    assert known.record(OWN).sequence > sequence
    assert known.record(OWN).incarnation == INCARNATION
    assert known.record(OWN).ports == (port("standby"),)


def test_old_life_that_is_older_by_number_needs_no_answer():
    known = registry()
    known.set_own([port()])
    assert known.merge([record(OWN, 1000, port(), incarnation=1)]) == ([], False)
    assert known.record(OWN).sequence == 1001


def test_own_echo_needs_no_answer():
    known = registry()
    echo = known.set_own([port()])
    assert known.merge([echo]) == ([], False)


@pytest.mark.parametrize("below", [1, 2, 3, 1000])
def test_lie_near_the_end_of_counting_does_not_end_ours(below):
    known = registry()
    known.set_own([port()])
    known.merge([record(OWN, MAX_COUNTER - below, port(), incarnation=1)])
    for _ in range(2000):
        assert known.set_own([port()]).sequence < MAX_COUNTER


def test_epochs_only_grow_and_outlast_their_records():
    known = registry(record(A, 1, port("active", 5)))
    known.merge([record(A, 2, port("active", 3))])
    assert known.epoch("vlan") == 5
    known.remove([A])
    assert known.epoch("vlan") == 5
    assert known.epoch("office") == 0


@given(
    st.lists(
        st.builds(
            record,
            st.sampled_from([A, B, C, OWN]),
            st.integers(0, 5),
            st.builds(port, st.sampled_from(["active", "standby"]), st.integers(0, 9)),
        ),
        max_size=12,
    )
)
def test_epochs_and_sequences_never_fall(told):
    known = registry()
    known.set_own([port()])
    for new in told:
        epoch = known.epoch("vlan")
        sequences = {r.name: r.sequence for r in known.records()}
        known.merge([new])
        assert known.epoch("vlan") >= epoch
        for r in known.records():
            assert r.sequence >= sequences.get(r.name, 0)


def test_queries_tell_segments_gateways_and_actives():
    known = registry(
        record(A, 1, port("active", 4)), record(B, 1, port("active", 5), port(segment="office"))
    )
    known.set_own([port("active", 6)])
    assert known.gateways_of("vlan") == [A, B, OWN]
    assert known.gateways_of("office") == [B]
    assert known.other_actives("vlan") == {A: 4, B: 5}
    assert known.other_actives("office") == {}
    assert known.own == OWN


def test_removal_drops_others_but_never_this_peer():
    known = registry(record(A, 1, port("active", 4)))
    known.set_own([port()])
    assert known.remove([A, OWN, C])
    assert not known.remove([A])
    assert [r.name for r in known.records()] == [OWN]
    assert known.gateways_of("vlan") == [OWN]


def test_removed_gateway_that_comes_back_is_taken_with_any_sequence():
    known = registry(record(A, 9, port()))
    known.remove([A])
    known.merge([record(A, 1, port())])
    assert known.record(A).sequence == 1


def test_two_registries_that_hear_the_same_agree():
    told = [record(n, s, port("active", s)) for n, s in itertools.product([A, B], [1, 2, 3])]
    assert registry(*told).records() == registry(*reversed(told)).records()


def test_layout_grows_with_who_is_a_gateway_of_what_and_with_nothing_else():
    known = registry(record(A, 1, port()))
    before = known.layout
    known.merge([record(A, 2, port("active", 1)), record(A, 3, port("standby", 1))])
    assert known.layout == before
    known.merge([record(B, 1, port(segment="other"))])
    assert known.gateways_of("other") == [B]
    assert known.layout == before + 1
    known.merge([record(B, 2, port(segment="vlan"))])
    assert (known.gateways_of("other"), known.gateways_of("vlan")) == ([], [A, B])
    known.remove([B])
    assert known.gateways_of("vlan") == [A]
    assert known.layout == before + 3


def test_layout_grows_with_how_a_gateway_marks_its_frames():
    known = registry(record(A, 1, port()))
    assert known.lets_in() == {A: {"vlan"}}
    assert not known.is_peer("vlan")
    before = known.layout
    known.merge([record(A, 2, replace(port(), peering=Peering.ABLE))])
    assert known.is_peer("vlan")
    assert known.lets_in() == {A: {"vlan"}}
    known.merge([record(A, 3, replace(port(), peering=Peering.PEER))])
    assert known.lets_in() == {}
    assert known.layout == before + 1
    assert known.is_peer("office")


@pytest.mark.parametrize(
    ("old", "new", "ended"),
    [
        (None, port(), {"vlan"}),
        (None, port("active", 1), set()),
        (port(), port(), set()),
        (port("active", 1), port("fault", 1), {"vlan"}),
        (port("standby", 1), port("standby", 2), {"vlan"}),
    ],
)
def test_change_says_where_a_gateway_may_have_forwarded_and_does_no_more(old, new, ended):
    known = registry(*([record(A, 1, old)] if old else []))
    (change,), _ = known.merge([record(A, 2, new)])
    assert change.ended == ended
