"""A gateway's link that vanishes and comes back under its name is heard and spoken on again."""

import subprocess

import pytest
from testbed import bench_on

from weave_ryu.lab import topology

BACK_WITHIN_S = 3.0
COPIES = 20


@pytest.fixture(scope="module")
def bench(build_lab):
    lab = build_lab(
        topology=topology.build(peers=["W", "A", "B"]), roles={"A": "active", "B": "auto"}
    )
    with bench_on(lab) as bench:
        bench.reset()
        yield bench


@pytest.mark.parametrize("pause_s", [0.0, 1.5])
def test_standby_whose_link_was_made_anew_takes_over_and_hears(bench, eventually, pause_s):
    lab, traffic = bench.lab, bench.traffic
    b = lab.peers["B"]
    lab.peers["A"].http("PUT", "/gateways/gw0", {"role": "active"}, timeout_s=10)
    b.http("PUT", "/gateways/gw0", {"role": "auto"}, timeout_s=10)
    eventually(lambda: b.gateway_state()["ready"], 10)
    lab.delete_segment_link(b)
    if pause_s:
        eventually(lambda: not b.gateway_state()["ready"], 5)
        refused = b.http("PUT", "/gateways/gw0", {"role": "active"})
        assert refused.status == 503
        assert "there is no link gw0" in str(refused.body)
        state = b.gateway_state()
        assert "there is no link gw0" in state["obstacles"]
        assert state["reason"] == "there is no link gw0"
    lab.make_segment_link(b)
    number = subprocess.run(
        ["ip", "netns", "exec", b.netns.name, "cat", "/sys/class/net/gw0/ifindex"],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip

    def is_plugged_in():
        noted = b.switch.vsctl("--if-exists", "get", "Interface", "gw0", "external_ids")
        return f"/{number}" in noted and b.gateway_state()["ready"]

    eventually(is_plugged_in, BACK_WITHIN_S + 1.0, "the new link is plugged in")
    # The hub of captures of the bench was on the old link: only stations count here.
    assert b.http("PUT", "/gateways/gw0", {"role": "active"}, timeout_s=10).status == 200
    streams = [traffic.stream("Host1"), traffic.stream("W-c1")]
    traffic.send(streams, COPIES, 100)
    assert traffic.settle()
    assert traffic.delivery(streams[0], "W-c1").copies == COPIES
    assert traffic.delivery(streams[1], "Host1").copies == COPIES
