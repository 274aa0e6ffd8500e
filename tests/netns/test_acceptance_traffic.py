"""What must hold for traffic, on the full mesh: in stable states, and while roles change."""

import time

import pytest
from testbed import BY_HAND, bench_on

FLOW_AGAIN_S = 1.0


@pytest.fixture(scope="module")
def shared(build_lab):
    with bench_on(build_lab(roles=BY_HAND)) as bench:
        yield bench


@pytest.fixture
def bench(shared):
    """A active, B standby, whatever the test before has done."""
    shared.reset()
    return shared


def test_broadcasts_and_unicasts_arrive_exactly_once_and_never_at_their_sender(bench):
    demo = bench.demo()
    demo.stable("full mesh")
    assert demo.report.violated == []


def test_standby_port_lets_nothing_in_and_nothing_out(bench, eventually):
    standby, traffic = bench.standby, bench.traffic
    port = standby.gateway_port

    def dropped(table):
        return bench.flow_packets(
            standby,
            lambda flow: (
                flow["table"] == table
                and flow["kind"] == "gateway"
                and f"{port} is not active" in flow["why"]
            ),
        )

    before_in, before_out = dropped("gate_in"), dropped("gate_out")
    from_host, from_container = traffic.stream("Host1"), traffic.stream("W-c1")
    traffic.send([from_host, from_container], 200, 200)
    assert traffic.settle()
    for name in ("W-c1", "X-c1", "Y-c1", "Z-c1", "Host2"):
        # Let in by both gateways they would come twice.
        if name != "W-c1":
            assert traffic.delivery(from_container, name).is_exact, name
        assert traffic.delivery(from_host, name).is_exact, name
    assert traffic.delivery(from_host, "B/out").is_exact
    assert traffic.delivery(from_container, "B/out").is_exact
    assert traffic.delivery(from_host, "B/in").copies == 0
    assert traffic.delivery(from_container, "B/in").copies == 0
    # Counters of flows follow the cached ones up to half a second later.
    eventually(lambda: dropped("gate_in") - before_in >= 200, what="200 drops inwards")
    eventually(lambda: dropped("gate_out") - before_out >= 200, what="200 drops outwards")
    learnt = [entry for entry in standby.http("GET", "/macs").body if entry["Port"] == port]
    assert learnt == []


@pytest.mark.parametrize("direction", ["forth", "back"])
def test_role_change_reaches_those_that_only_receive_within_a_second(bench, direction):
    old, new = bench.active, bench.standby
    demo = bench.demo()
    if direction == "back":
        demo.change_by_hand("prepared", old, new)
        old, new = new, old
    # Z-c1 and Host2 have spoken once, in the warm-up, and are silent now.
    silent = [("Host1", "Z-c1"), ("W-c1", "Host2")]
    with bench.streams(*silent, ("W-c1", "Host1"), ("Host1", "W-c1")) as streams:
        time.sleep(0.3)
        demo.set_role(old, "standby")
        demo.set_role(new, "active")
        changed_ns = time.time_ns()
        time.sleep(FLOW_AGAIN_S)
    for stream, place in zip(streams, ("Z-c1", "Host2", "Host1", "W-c1"), strict=True):
        after = bench.arrivals_after(stream, place, changed_ns)
        assert after, f"nothing reached {place} within {FLOW_AGAIN_S} s"
        assert after[0] <= FLOW_AGAIN_S
        assert bench.traffic.delivery(stream, place).duplicated == 0
    through = f"{new.nick_name}/in"
    assert bench.arrivals_after(streams[1], through, changed_ns)
    assert not bench.arrivals_after(streams[1], f"{old.nick_name}/in", changed_ns)


def test_role_changes_under_traffic_keep_every_invariant(bench):
    demo = bench.demo()
    demo.change_by_hand("forth", bench.active, bench.standby)
    demo.change_by_hand("back", bench.standby, bench.active)
    assert demo.report.violated == []


def test_both_active_return_nothing_and_at_most_double(bench, eventually):
    demo = bench.demo()
    demo.force_both_active()
    assert demo.report.violated == []
    last = {"at": 0.0, "counters": None}

    def is_at_rest():
        counters = {
            name: bench.flow_packets(peer, lambda flow: flow["table"] in ("flood", "unicast"))
            for name, peer in bench.lab.peers.items()
        }
        if counters != last["counters"]:
            last.update(at=time.monotonic(), counters=counters)
        return time.monotonic() - last["at"] >= 1.0

    eventually(is_at_rest, timeout_s=8.0, what="no flow counter rises for a second")
