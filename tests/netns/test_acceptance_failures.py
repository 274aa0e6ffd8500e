"""Daemons that hang, die and come back; a switch that dies: the port closes, the mesh goes on."""

import signal
import time

import pytest
from testbed import BY_HAND, bench_on

CLOSED_WITHIN_S = 2.0
OVS_HEALS_WITHIN_S = 5.0


@pytest.fixture(scope="module")
def shared(build_lab):
    with bench_on(build_lab(roles=BY_HAND)) as bench:
        yield bench


@pytest.fixture
def bench(shared):
    shared.reset()
    return shared


def is_exact_between_containers(bench, stream, place):
    delivery = bench.traffic.delivery(stream, place)
    return delivery.is_exact, delivery


def test_port_of_a_stopped_daemon_closes_and_its_return_makes_no_second_forwarder(
    bench, eventually
):
    old, new, demo = bench.active, bench.standby, bench.demo()
    with bench.streams(("W-c1", "Host1"), ("Host1", "W-c1"), ("W-c1", "X-c1")) as streams:
        to_host, from_host, inside = streams
        time.sleep(0.3)
        stopped_ns = time.time_ns()
        old.kill_daemon(signal.SIGSTOP)
        try:
            eventually(
                lambda: (
                    min(
                        bench.silence_s(to_host, f"{old.nick_name}/in"),
                        bench.silence_s(from_host, "W-c1"),
                    )
                    > 0.5
                ),
                timeout_s=CLOSED_WITHIN_S + 2.0,
                what="nothing passes the stopped gateway",
            )
            for stream, place in ((to_host, f"{old.nick_name}/in"), (from_host, "W-c1")):
                passed = bench.arrivals_after(stream, place, stopped_ns)
                assert max(passed, default=0.0) <= CLOSED_WITHIN_S
            demo.set_role(new, "active")
            eventually(
                lambda: bench.silence_s(to_host, "Host1") < 0.1, what="the other one forwards"
            )
        finally:
            old.kill_daemon(signal.SIGCONT)
        continued_ns = time.time_ns()
        broadcasts = [bench.traffic.stream("X-c1"), bench.traffic.stream("Host2")]
        for _ in range(300):
            for stream in broadcasts:
                bench.traffic.emit(stream)
            time.sleep(0.01)
    assert bench.arrivals_after(to_host, f"{old.nick_name}/in", continued_ns) == []
    from_container, from_other_host = broadcasts
    assert bench.traffic.delivery(from_container, "Host1").most_copies == 1
    assert bench.traffic.delivery(from_other_host, "W-c1").most_copies == 1
    assert bench.traffic.delivery(from_container, f"{old.nick_name}/in").copies == 0
    assert is_exact_between_containers(bench, inside, "X-c1")[0], inside


def test_port_of_a_killed_daemon_closes_and_daemons_come_back_without_loss(bench):
    demo = bench.demo()
    demo.kill_active(bench.active, bench.standby)
    demo.restart_daemon(bench.active, "standby")
    assert demo.report.violated == []


def test_daemon_restarts_without_a_lost_frame_between_containers(bench, eventually):
    peer = bench.lab.peers["Y"]
    with bench.streams(("W-c1", "Y-c1"), ("Y-c1", "X-c1"), ("Y-c1", None)) as streams:
        time.sleep(0.2)
        peer.kill_daemon(signal.SIGKILL)
        peer.start_daemon()
        bench.lab.wait_ready(30.0, print, check_roles=False)
        eventually(
            lambda: peer.http("GET", "/status").body["Router"]["Connections"],
            what="the daemon is back",
        )
        time.sleep(0.5)
    to_peer, from_peer, to_all = streams
    assert bench.traffic.delivery(to_peer, "Y-c1").is_exact
    assert bench.traffic.delivery(from_peer, "X-c1").is_exact
    for name in ("W-c1", "X-c1", "Z-c1", "Host1", "Host2"):
        assert bench.traffic.delivery(to_all, name).is_exact, name


def test_switch_that_was_killed_and_started_forwards_again_within_five_seconds(bench, eventually):
    peer = bench.lab.peers["X"]
    with bench.streams(("W-c1", "X-c1"), ("X-c1", "W-c1"), ("Host1", "X-c1")) as streams:
        time.sleep(0.2)
        peer.kill_vswitchd()
        started_ns = time.time_ns()
        peer.restart_vswitchd()
        places = ("X-c1", "W-c1", "X-c1")
        eventually(
            lambda: all(
                bench.arrivals_after(stream, place, started_ns)
                for stream, place in zip(streams, places, strict=True)
            ),
            timeout_s=OVS_HEALS_WITHIN_S + 2.0,
            what="frames pass the restarted switch",
        )
    healed_s = max(
        bench.arrivals_after(stream, place, started_ns)[0]
        for stream, place in zip(streams, places, strict=True)
    )
    print(f"healed after {healed_s:.2f} s")
    assert healed_s <= OVS_HEALS_WITHIN_S


def test_gateway_whose_switch_was_restarted_comes_back_and_nothing_is_doubled(bench, eventually):
    peer = bench.active
    with bench.streams(("W-c1", "Host1"), ("Host1", "W-c1")) as streams:
        time.sleep(0.2)
        peer.kill_vswitchd()
        started_ns = time.time_ns()
        peer.restart_vswitchd()
        eventually(
            lambda: all(
                bench.arrivals_after(stream, place, started_ns)
                for stream, place in zip(streams, ("Host1", "W-c1"), strict=True)
            ),
            timeout_s=OVS_HEALS_WITHIN_S + 3.0,
            what="frames pass a gateway again",
        )
    assert bench.traffic.delivery(streams[0], "Host1").duplicated == 0
    assert bench.traffic.delivery(streams[1], "W-c1").duplicated == 0
