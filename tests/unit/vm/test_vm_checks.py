"""What the output of the checks means."""

import json
from dataclasses import replace

import pytest

from tests.vm import checks
from tests.vm.fence import CONTROL
from tests.vm.machine import Ended

CLOSED = {
    "case": "daemon killed",
    "last_s": 1.1,
    "is_open": False,
    "out": 160,
    "let_in": 140,
    "opened_s": 1.7,
    "after": 0,
    "after_in": 0,
    "by_both": 0,
    "duplicates": 0,
    "gap_ms": 700,
    "taken_over": True,
}


def fence(*found, status=0):
    lines = "".join(json.dumps(one) + "\n" for one in found)
    return checks.judge_fence(Ended(status, 1.0, "starting 4 switches\n" + lines))


def test_each_case_is_a_row():
    rows = fence(CLOSED, CLOSED | {"case": "all three killed"})
    assert [(row.check, row.result) for row in rows] == [
        ("fence: daemon killed", checks.PASSED),
        ("fence: all three killed", checks.PASSED),
    ]
    assert "160 frames out of it, 140 let in, the last after 1.10 s" in rows[0].measured
    assert "the other at 1.70 s" in rows[0].measured


@pytest.mark.parametrize("wrong", ["after", "after_in", "by_both", "duplicates"])
@pytest.mark.parametrize("case", ["ovs-vswitchd killed", *checks.KEEPS_THE_ROLE])
def test_two_that_forward_have_failed(case, wrong):
    (row,) = fence(CLOSED | {"case": case, wrong: 1})
    assert row.result == checks.FAILED


def test_who_rightly_keeps_the_role_has_passed():
    (case,) = checks.KEEPS_THE_ROLE
    (row,) = fence(CLOSED | {"case": case, "is_open": True, "last_s": 6.0, "opened_s": None})
    assert row.result == checks.PASSED
    assert "never opened" in row.measured


@pytest.mark.parametrize("change", [{"is_open": True}, {"last_s": 2.4}, {"opened_s": None}])
def test_what_should_close_and_does_not_has_failed(change):
    (row,) = fence(CLOSED | change)
    assert row.result == checks.FAILED


TWO = {"is_open": True, "last_s": 6.0, "after": 500, "after_in": 400, "by_both": 9}
TWO |= {"duplicates": 9}


def test_without_a_fence_two_must_be_seen():
    (row,) = fence(CLOSED | {"case": CONTROL} | TWO)
    assert row.result == checks.PASSED


@pytest.mark.parametrize("unseen", sorted(TWO.keys() - {"last_s"}))
def test_two_that_were_not_seen_without_a_fence_have_failed(unseen):
    (row,) = fence(CLOSED | {"case": CONTROL} | TWO | {unseen: 0})
    assert row.result == checks.FAILED


def test_a_case_that_ended_early_has_failed():
    assert [row.result for row in fence(CLOSED, status=1)] == [checks.PASSED, checks.FAILED]
    assert [row.result for row in fence(status=None)] == [checks.FAILED]


def test_demo_names_each_violated_check():
    good = {"invariant": "no_loop", "situation": "s", "measured": "0", "bound": "0", "ok": True}
    bad = good | {"ok": False, "invariant": "hitless", "situation": "lost", "measured": "3"}
    said = "[ 1 s] up {\n" + json.dumps({"checks": [good, bad]}, indent=2) + "\n[ 9 s] end\n"
    total, one = checks.judge_demo(Ended(1, 1.0, said))
    assert (total.result, total.measured) == (checks.FAILED, "1 of 2 checks hold")
    assert (one.check, one.measured) == ("demo: hitless", "lost: 3")


def test_failover_holds_the_worst_direction_against_the_bound():
    run = {
        "event": "drain", "gaps_ms": {"in": 20.0, "out": 1400.0}, "lost": {"in": 2, "out": 0},
        "duplicates": 0, "loops": 0,
    }  # fmt: skip

    def result(**changes):
        said = json.dumps({"runs": [run | changes]})
        return checks.judge_failover(Ended(0, 1.0, said))[0].result

    assert result() == checks.PASSED
    assert result(gaps_ms={"in": 20.0, "out": 1600.0}) == checks.FAILED
    assert result(loops=1) == checks.FAILED


def test_tcp_is_held_against_a_plain_bridge():
    found = {"way": "x", "ours_mbit_s": 90.0, "normal_mbit_s": 100.0, "ratio": 0.9, "spread": 1.1}

    def result(**changes):
        return checks.judge_offload(Ended(0, 1.0, json.dumps(found | changes) + "\n"))[0].result

    assert result() == checks.PASSED
    assert result(ratio=0.79) == checks.FAILED


def test_lag_is_held_against_what_the_product_counts_on():
    found = {"what": "x", "bound_s": 0.1, "samples": 20, "flows": 300}
    found |= {"least_s": -0.01, "median_s": 0.01, "p95_s": 0.09, "most_s": 0.1}

    def result(**changes):
        return checks.judge_lag(Ended(0, 1.0, json.dumps(found | changes) + "\n"))[0].result

    assert result() == checks.PASSED
    assert result(most_s=0.11) == checks.FAILED


def test_tests_that_failed_are_named():
    said = "FAILED tests/netns/test_x.py::test_that - oh\n= 1 failed, 4 passed in 80.1s =\n"
    total, one = checks.judge_tests("traffic")(Ended(1, 80.0, said))
    assert total.measured == "1 failed, 4 passed in 80.1s"
    assert one.check == "traffic: test_that - oh"


def test_a_command_whose_time_was_up_has_failed():
    for check in checks.CHECKS.values():
        rows = check.judge(Ended(None, 1200.0, "waiting for the mesh\n"))
        assert not any(row.is_good for row in rows)
        assert "time was up" in rows[-1].measured


def test_row_knows_good_from_bad():
    row = checks.Row("x", checks.PASSED, "")
    assert row.is_good
    assert not replace(row, result=checks.FAILED).is_good


@pytest.mark.parametrize(
    ("changes", "result"),
    [
        ({}, checks.PASSED),
        ({"told_mtu": None}, checks.FAILED),
        ({"moved": [["02:00:00:00:00:01", ["A", "vxlan-6784"]]]}, checks.FAILED),
        ({"tcp_mbit_s": 0.0}, checks.FAILED),
    ],
)
def test_a_sender_whose_frames_do_not_fit_is_told_so_and_nothing_is_learnt(changes, result):
    found = {"told_mtu": 1250, "expected_mtu": 1250, "moved": [], "tcp_mbit_s": 5.0} | changes
    (row,) = checks.judge_offload(Ended(0, 1.0, json.dumps(found) + "\n"))
    assert (row.check, row.result) == ("mtu: a sender is told 1250", result)
