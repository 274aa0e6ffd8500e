"""The same in a line without discovery, where every frame between the ends is relayed."""

import pytest
from testbed import BY_HAND, bench_on

from weave_ryu.lab import topology


@pytest.fixture(scope="module")
def bench(build_lab):
    with bench_on(build_lab(topology=topology.build(shape="line"), roles=BY_HAND)) as bench:
        yield bench


def test_broadcasts_and_unicasts_are_relayed_exactly_once(bench):
    demo = bench.demo()
    demo.stable("line")
    assert demo.report.violated == []


def test_from_end_to_end_broadcasts_and_unicasts_arrive_exactly_once(bench):
    traffic = bench.traffic
    streams = [
        traffic.stream("Z-c1"),
        traffic.stream("Z-c1", "W-c1"),
        traffic.stream("W-c1", "Z-c1"),
    ]
    traffic.send(streams, 200, 200)
    assert traffic.settle()
    for name in traffic.stations:
        if name != "Z-c1":
            assert traffic.delivery(streams[0], name).is_exact, name
    assert traffic.delivery(streams[0], "Z-c1").copies == 0
    assert traffic.delivery(streams[1], "W-c1").is_exact
    assert traffic.delivery(streams[2], "Z-c1").is_exact


def test_role_change_in_the_middle_keeps_every_invariant(bench):
    demo = bench.demo()
    demo.change_by_hand("forth", bench.active, bench.standby)
    demo.change_by_hand("back", bench.standby, bench.active)
    assert demo.report.violated == []
