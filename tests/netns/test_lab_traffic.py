"""The senders and captures are right themselves: they must keep up, and count what is there."""

import time

import pytest

from weave_ryu import links
from weave_ryu.lab.traffic import Station, Traffic


@pytest.fixture
def wire(namespace):
    """Two stations on one veth."""
    a, b = namespace("a"), namespace("b")
    links.create_veth("eth0", a, "eth0", b, peer_mac="02:00:00:00:00:0b")
    links.set_link("eth0", a, mac="02:00:00:00:00:0a", is_up=True)
    links.set_link("eth0", b, is_up=True)
    return [
        Station("a", a, "eth0", "02:00:00:00:00:0a"),
        Station("b", b, "eth0", "02:00:00:00:00:0b"),
    ]


def test_four_streams_of_a_thousand_frames_a_second_are_all_counted(wire):
    with Traffic(wire) as traffic:
        streams = [traffic.stream("a", "b"), traffic.stream("b", "a")]
        streams += [traffic.stream("a"), traffic.stream("b")]
        started = time.monotonic()
        traffic.send(streams, 1000, 1000)
        elapsed_s = time.monotonic() - started
        assert traffic.settle()
        for stream, receiver in zip(streams, ("b", "a", "b", "a"), strict=True):
            assert traffic.delivery(stream, receiver).is_exact
            assert traffic.delivery(stream, stream.source).copies == 0
        assert traffic.missed_by_captures() == 0
    assert elapsed_s < 1.5


def test_silence_shows_as_a_gap_and_as_lost_frames(wire):
    with Traffic(wire) as traffic:
        stream = traffic.stream("a", "b")
        traffic.start([stream], 500)
        time.sleep(0.2)
        start_ns = time.time_ns()
        links.set_link("eth0", wire[1].netns, is_up=False)
        time.sleep(0.2)
        links.set_link("eth0", wire[1].netns, is_up=True)
        end_ns = time.time_ns()
        time.sleep(0.2)
        traffic.stop()
        traffic.settle()
        assert traffic.gap_ms(stream, "b", start_ns, end_ns) >= 190
        assert traffic.delivery(stream, "b").lost >= 90
        assert traffic.gap_ms(stream, "b", start_ns - 150_000_000, start_ns - 50_000_000) < 100


def test_tap_sees_both_directions_and_tells_foreign_frames_apart(wire):
    with Traffic(wire, [Station("tap", wire[1].netns, "eth0", "")]) as traffic:
        streams = [traffic.stream("a"), traffic.stream("b")]
        traffic.send(streams, 10, 500)
        with Traffic(wire) as other:
            other.send([other.stream("a")], 3, 500)
        assert traffic.settle()
        assert traffic.delivery(streams[0], "tap/in").is_exact
        assert traffic.delivery(streams[1], "tap/out").is_exact
        assert traffic.foreign["tap/in", 0x88B5] == 3
