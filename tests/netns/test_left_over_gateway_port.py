"""A gateway port that is configured no more joins segment and mesh nowhere."""

import time

import pytest
from testbed import bench_on

from weave_ryu.lab import topology

ELSEWHERE = "none9"


@pytest.fixture
def bench(build_lab):
    lab = build_lab(
        topology=topology.build(peers=["W", "A", "B"]), roles={"A": "active", "B": "standby"}
    )
    with bench_on(lab) as bench:
        bench.reset()
        yield bench


@pytest.mark.parametrize("how", ["no gateway any more", "another port"])
def test_port_that_is_left_over_stays_closed(bench, eventually, how):
    lab, traffic = bench.lab, bench.traffic
    host, container = "Host1", "W-c1"
    first = [traffic.stream(host), traffic.stream(container)]
    traffic.send(first, 20, 100)
    assert traffic.settle()
    # Restarted without its option, as after an edit of the file; gw0 is in the bridge still.
    peer = lab.peers["A"]
    peer.kill_daemon()
    command = peer.daemon._command
    if how == "another port":
        peer.daemon._command = [*command, "--gateway", f"{ELSEWHERE},segment=vlan,role=auto"]
    gateway, peer.daemon._gateway = peer.daemon._gateway, None
    peer.daemon.start()
    peer.daemon._gateway, peer.daemon._command = gateway, command
    eventually(lambda: "gateway_port_left_over" in peer.daemon.log.read_text(), 20)
    reply = eventually(
        lambda: lab.peers["B"].http(
            "PUT", "/gateways/gw0", {"role": "active", "force": False}, timeout_s=10
        ).status == 200
        or None,
        20,
    )  # fmt: skip
    assert reply
    time.sleep(1.0)  # B has announced all it knows: if anything circles, it does so now
    assert traffic.settle(quiet_s=0.5, timeout_s=5.0), "frames go on moving with nobody sending"
    streams = [traffic.stream(host), traffic.stream(container)]
    traffic.send(streams, 20, 100)
    assert traffic.settle(quiet_s=0.5, timeout_s=5.0)
    from_host, from_container = streams
    assert traffic.delivery(from_host, container).copies == 20
    assert traffic.delivery(from_container, host).copies == 20
    assert traffic.delivery(from_host, host).copies == 0
