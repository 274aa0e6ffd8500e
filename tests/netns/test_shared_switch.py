"""The bridge lives in an Open vSwitch that others use, too: nothing of theirs is touched."""

import json
import signal

import pytest

from weave_ryu import links
from weave_ryu.lab import topology

VOLATILE = {"statistics", "status", "link_state", "cur_cfg", "next_cfg", "manager_options"}
"""What Open vSwitch itself writes while it runs."""


@pytest.fixture(scope="module")
def gateway(build_lab):
    lab = build_lab(topology=topology.build(["W", "A"]), roles={"A": "auto"})
    return lab.peers["A"]


@pytest.fixture
def theirs(gateway):
    """What an administrator has beside our bridge, and has noted in the database."""
    links.create_veth("their0", gateway.netns, "their1", gateway.netns)
    gateway.switch.vsctl(
        *("add-br", "theirs", "--", "set", "bridge", "theirs", "datapath_type=netdev"),
        *("other_config:hwaddr=02:00:00:00:00:77", "external_ids:owner=somebody"),
        *("--", "set-fail-mode", "theirs", "secure"),
        *("--", "set-controller", "theirs", "tcp:127.0.0.1:9"),
        *("--", "add-port", "theirs", "their0", "--", "set", "interface", "their0"),
        *("external_ids:weave-ryu-attached=no", "ingress_policing_rate=1000"),
        *("--", "set", "open_vswitch", ".", "other_config:their-setting=1"),
        "external_ids:hostname=theirs",
    )
    gateway.switch.vsctl("set", "bridge", "weave", "external_ids:their-note=here")
    gateway.ofctl("add-flow", "theirs", "cookie=0x5701000000000001,priority=7,actions=drop")
    yield
    gateway.switch.vsctl("del-br", "theirs")
    links.delete_link("their0", gateway.netns)


def listed(gateway, table, *columns):
    found = json.loads(gateway.switch.vsctl("--format=json", "list", table, *columns))
    return [
        {k: v for k, v in zip(found["headings"], row, strict=True) if k not in VOLATILE}
        for row in found["data"]
    ]


def what_is_theirs(gateway):
    flows = gateway.ofctl("dump-flows", "theirs", "--no-stats")
    controller = gateway.switch.vsctl("get-controller", "theirs")
    rows = [
        listed(gateway, "bridge", "theirs"),
        listed(gateway, "port", "theirs", "their0"),
        listed(gateway, "interface", "their0"),
        listed(gateway, "open_vswitch"),
    ]
    for row in rows[-1]:
        row.pop("bridges")  # a set: its order says nothing
    note = gateway.switch.vsctl("get", "bridge", "weave", "external_ids:their-note")
    return flows, controller, note, rows


def test_nothing_of_others_is_touched(gateway, theirs, eventually):
    before = what_is_theirs(gateway)
    put = {"role": "standby"}, {"role": "active"}, {"drain": True}, {"role": "auto"}
    for request in put:
        gateway.http("PUT", "/gateways/gw0", request, timeout_s=10.0)
        assert what_is_theirs(gateway) == before
    gateway.kill_daemon(signal.SIGKILL)
    gateway.start_daemon("auto")
    eventually(
        lambda: gateway.gateway_state()["state"] == "active", timeout_s=20, what="A forwards"
    )
    assert what_is_theirs(gateway) == before
    gateway.kill_daemon(signal.SIGTERM)
    assert what_is_theirs(gateway) == before
    gateway.start_daemon("auto")
    eventually(
        lambda: gateway.gateway_state()["state"] == "active", timeout_s=20, what="A forwards"
    )


def test_what_others_do_beside_us_changes_nothing(gateway, theirs, eventually):
    epoch = gateway.gateway_state()["epoch"]
    gateway.switch.vsctl("--", "del-controller", "theirs", "--", "del-port", "theirs", "their0")
    gateway.switch.vsctl(
        "--", "add-br", "more", "--", "set", "bridge", "more", "datapath_type=netdev"
    )
    gateway.switch.vsctl("del-br", "more")
    state = gateway.gateway_state()
    assert (state["state"], state["epoch"]) == ("active", epoch)


def test_a_new_bridge_is_made_without_warnings(gateway):
    said = (gateway.directory / "ovs-vswitchd.log").read_text()
    assert "failed to set MTU" not in said
    assert gateway.switch.vsctl("get", "interface", "weave", "mtu").strip() == "1376"
