"""A gateway in front of ten thousand MACs keeps its role: reading them holds nothing up."""

import pytest

from bench.macs import learnt_lines
from weave_ryu.lab import topology

MACS = 10_000
AT_ONCE = 4_000
"""Flows in one bundle: no frame passes while the switch takes them in."""
READINGS = 5


@pytest.fixture(scope="module")
def lab(build_lab):
    shape = topology.build(["W", "A", "B"], gateways=["A", "B"])
    return build_lab(topology=shape, roles={"A": "active", "B": "standby"})


def test_gateway_with_ten_thousand_macs_keeps_its_role(lab, eventually, tmp_path):
    gateway = lab.peers["A"]
    eventually(lambda: gateway.gateway_state()["state"] == "active", 20)
    epoch = gateway.gateway_state()["epoch"]
    flows, lines = tmp_path / "flows", learnt_lines(MACS)
    for first in range(0, len(lines), AT_ONCE):
        flows.write_text("\n".join(lines[first : first + AT_ONCE]) + "\n")
        gateway.switch.run("ovs-ofctl", "-O", "OpenFlow15", "--bundle", "add-flows", "weave", flows)
    eventually(lambda: gateway.gateway_state()["macs_remote"] >= MACS, 30)
    # Each answer has read them all, and the daemon reads them for the standby meanwhile.
    for _ in range(READINGS):
        found = gateway.gateway_state()
        assert found["macs_remote"] >= MACS
        assert gateway.http("GET", "/metrics").status == 200
        assert (found["state"], found["epoch"]) == ("active", epoch), found["reason"]
