"""Each verdict of the matrix fails when the captures show what it forbids."""

from types import SimpleNamespace

import pytest

from weave_ryu.lab.counting import Tally, longest_gap_ns
from weave_ryu.lab.faults import ACTIVE, PEER, Promise
from weave_ryu.lab.traffic import BROADCAST, Stream
from weave_ryu.lab.verdicts import Cell, Flow, Judge, Times

FRAMES = 400
EVERY_NS = 20_000_000
NOTHING, TAKEN_OVER = Promise(), Promise(takes_over_s=2.5, closes_s=2.0)
TIMES = Times(struck=0, ended=1_000_000_000, stopped=FRAMES * EVERY_NS)


class Captures:
    """Of a lab in which everything comes once, but for what a test changes."""

    def __init__(self, flows):
        self.stations = dict.fromkeys(["W-c1", "X-c1", "Host1"])
        self.tallies = {}
        for flow in flows:
            for place in (flow.receiver, "A/in"):
                if place != "A/in" or flow.receiver == "Host1":
                    for number in range(FRAMES):
                        self.came(flow, place, number)

    def tally(self, stream, place):
        return self.tallies.setdefault((stream.number, place), Tally())

    def came(self, flow, place, number):
        self.tally(flow.stream, place).add(number, number * EVERY_NS)

    def lost(self, flow, place, first, last):
        tally = self.tallies[flow.stream.number, place] = Tally()
        for number in range(FRAMES):
            if not first <= number < last:
                tally.add(number, number * EVERY_NS)

    def delivery(self, stream, place):
        return self.tally(stream, place).delivery(stream.sent)

    def arrivals(self, stream, place):
        return sorted(self.tally(stream, place).arrivals)

    def gap_ms(self, stream, place, start_ns, end_ns):
        return longest_gap_ns(self.arrivals(stream, place), start_ns, end_ns) / 1e6

    def came_by_several(self, stream, places):
        one, other = (self.tally(stream, place).copies for place in places)
        return sum(1 for a, b in zip(one, other, strict=False) if a and b)


def flow(number, source, receiver, *, flood=False, at_victim=False):
    stream = Stream(number, source, BROADCAST if flood else "mac", sent=FRAMES)
    crosses = "Host1" in (source, receiver)
    return Flow(stream, receiver, at_victim, crosses, to_silent=False)


@pytest.fixture
def flows():
    return [
        flow(0, "W-c1", "X-c1"),
        flow(1, "X-c1", "Host1"),
        flow(2, "Host1", "X-c1"),
    ]


def violated(captures, flows, promise, role=ACTIVE):
    segment = SimpleNamespace(gateways=("A", "B"))
    lab = SimpleNamespace(hosts={"Host1": None}, topology=SimpleNamespace(segments=[segment]))
    scene = SimpleNamespace(
        lab=lab, victim=SimpleNamespace(nick_name="A"), standby=SimpleNamespace(nick_name="B")
    )
    cell = Cell("kill", role, "A")
    Judge(cell, scene, captures, flows, promise, TIMES).all()
    return {check.invariant for check in cell.violated}


def test_nothing_is_violated_when_everything_comes_once(flows):
    assert violated(Captures(flows), flows, NOTHING) == set()


def test_a_frame_lost_between_containers_is_not_hitless(flows):
    captures = Captures(flows)
    captures.lost(flows[0], "X-c1", 60, 61)
    assert violated(captures, flows, NOTHING) == {"hitless"}
    assert violated(captures, flows, TAKEN_OVER) >= {"hitless"}


def test_a_silence_that_is_too_long_is_not_available(flows):
    captures = Captures(flows)
    captures.lost(flows[1], "Host1", 50, 150)
    assert violated(captures, flows, Promise(takes_over_s=2.5)) == set()
    captures.lost(flows[1], "Host1", 50, 200)
    assert violated(captures, flows, Promise(takes_over_s=2.5)) == {"available"}


def test_a_share_may_be_lost_where_frames_pass_the_victim_only(flows):
    captures = Captures(flows)
    captures.lost(flows[2], "X-c1", 50, 70)
    lossy = Promise(lost_share=0.05)
    assert violated(captures, flows, lossy, ACTIVE) == set()
    assert violated(captures, flows, lossy, PEER) == {"available"}


def test_silence_after_healing_is_a_black_hole(flows):
    captures = Captures(flows)
    struck = flow(3, "W-c1", "Host1", at_victim=True)
    flows.append(struck)
    captures.lost(struck, "Host1", 50, 250)
    assert violated(captures, flows, Promise(severed=True), PEER) == set()
    captures.lost(struck, "Host1", 50, 350)
    assert violated(captures, flows, Promise(severed=True), PEER) == {"no_blackhole"}


def test_a_frame_that_comes_back_is_a_loop(flows):
    captures = Captures(flows)
    captures.came(flows[2], "Host1", 7)
    assert violated(captures, flows, NOTHING) == {"no_loop"}
    captures = Captures(flows)
    captures.came(flows[2], "A/in", 7)
    assert violated(captures, flows, NOTHING) == {"no_loop"}


def test_a_frame_by_both_gateways_means_two_forwarders(flows):
    captures = Captures(flows)
    flood = flow(4, "X-c1", "Host1", flood=True)
    flows.append(flood)
    for place in ("Host1", "A/in", "B/in"):
        captures.came(flood, place, 7)
    captures.came(flood, "Host1", 7)
    found = violated(captures, flows, Promise(takes_over_s=9.0))
    assert "one_forwarder" in found
    assert "one_forwarder" not in violated(
        captures, flows, Promise(takes_over_s=9.0, doubles_s=0.1)
    )


def test_more_copies_than_gateways_are_a_loop_whatever_is_promised(flows):
    captures = Captures(flows)
    for _ in range(2):
        captures.came(flows[1], "Host1", 7)
    assert violated(captures, flows, Promise(takes_over_s=9.0, doubles_s=9.0)) == {"no_loop"}


def test_a_copy_between_containers_is_never_right(flows):
    captures = Captures(flows)
    captures.came(flows[0], "X-c1", 7)
    assert violated(captures, flows, Promise(doubles_s=9.0)) == {"exactly_once"}


def test_a_port_that_should_be_closed_is_watched(flows):
    captures = Captures(flows)
    assert violated(captures, flows, TAKEN_OVER) == {"fail_closed"}
    captures.lost(flows[1], "A/in", 50, FRAMES)
    assert violated(captures, flows, TAKEN_OVER) == set()


def test_a_standby_is_silent_where_nobody_takes_over(flows):
    captures = Captures(flows)
    captures.came(flows[1], "B/in", 7)
    assert violated(captures, flows, NOTHING) == {"standby_silent"}
