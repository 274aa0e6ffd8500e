"""What operators and other programs do to the bridge of a running daemon is put back."""

import re

import pytest

from weave_ryu.lab import topology

BACK_WITHIN_S = 5.0
"""Of flows; a switch is looked at every 2 s."""


@pytest.fixture(scope="module")
def lab(build_lab):
    shape = topology.build(peers=["W", "A", "B"])
    return build_lab(topology=shape, roles={"A": "active", "B": "standby"})


def flows(peer):
    """Flows of this program but learnt ones and permits, without what counts and ages."""
    found = set()
    for line in peer.ofctl("dump-flows").splitlines():
        if re.search(r"cookie=0x57(?!0[789])", line):
            found.add(re.sub(r" (duration|n_packets|n_bytes|idle_age|hard_age)=[^,]*,", "", line))
    return found


def told(peer, event):
    return peer.daemon.log.read_text().count(event)


@pytest.fixture
def settled(lab, eventually):
    """All forward as they should, and the daemons have seen each flow once."""

    def is_settled():
        states = lab.peers["A"].gateway_state()["state"], lab.peers["B"].gateway_state()["state"]
        return sorted(states) == ["active", "standby"] and all(flows(p) for p in lab.peers.values())

    eventually(is_settled, 20)
    return lab


HARM = {
    "all deleted": ("del-flows", ()),
    "one table deleted": ("del-flows", ("table=0",)),
    "all changed": ("mod-flows", ("actions=drop",)),
    "meters deleted": ("del-meters", ()),
}


@pytest.mark.parametrize("nick_name", ["A", "B", "W"])
@pytest.mark.parametrize("harm", HARM)
def test_flows_that_others_change_are_back_within_seconds(settled, eventually, nick_name, harm):
    peer = settled.peers[nick_name]
    before = eventually(lambda: stable(peer), 10)
    warned = told(peer, "flows_changed_by_others")
    command, arguments = HARM[harm]
    peer.ofctl(command, "weave", *arguments)
    eventually(
        lambda: told(peer, "flows_changed_by_others") > warned and flows(peer) == before,
        BACK_WITHIN_S,
        f"flows of {nick_name} are back",
    )
    eventually(lambda: peer.http("GET", "/status").body["Ready"] is True)


def stable(peer):
    """Flows that are the same for some looks."""
    seen = flows(peer)
    return seen if all(flows(peer) == seen for _ in range(5)) else None


SETTINGS = {
    "no controller": ("del-controller", "weave"),
    "another controller": ("set-controller", "weave", "tcp:127.0.0.1:1"),
    "two controllers": ("--", "--id=@c", "create", "Controller", 'target="tcp:127.0.0.1:1"', "--",
                        "add", "Bridge", "weave", "controller", "@c"),
    "standalone": ("set-fail-mode", "weave", "standalone"),
    "no fail mode": ("del-fail-mode", "weave"),
    "in-band": ("set", "Bridge", "weave", "other_config:disable-in-band=false"),
    "no OpenFlow 1.3": ("set", "Bridge", "weave", "protocols=OpenFlow10"),
    "no VLAN tag": ("clear", "Port", "vxlan-6784", "tag"),
    "table names": ("clear", "Bridge", "weave", "flow_tables"),
}  # fmt: skip


def settings(peer):
    shown = peer.switch.vsctl("get", "Bridge", "weave", "fail_mode", "protocols", "other_config")
    targets = peer.switch.vsctl("get-controller", "weave")
    tables = peer.switch.vsctl("list", "Flow_Table")
    names = sorted(re.findall(r"^name .*", tables, re.MULTILINE))
    is_tagged = peer.switch.vsctl("get", "Port", "vxlan-6784", "tag").strip() != "[]"
    return shown, targets, names, is_tagged


@pytest.mark.parametrize("nick_name", ["A", "W"])
@pytest.mark.parametrize("change", SETTINGS)
def test_settings_that_others_change_are_put_back(settled, eventually, nick_name, change):
    peer = settled.peers[nick_name]
    before = settings(peer)
    warned = told(peer, "bridge_changed_by_others")
    peer.switch.vsctl(*SETTINGS[change])
    eventually(lambda: settings(peer) == before, 2.0, f"{change} of {nick_name} is put back")
    assert told(peer, "bridge_changed_by_others") > warned
    eventually(lambda: peer.http("GET", "/status").body["Ready"] is True, 10)


@pytest.mark.parametrize("nick_name", ["A", "W"])
def test_bridge_that_is_deleted_is_made_anew(settled, eventually, nick_name):
    peer = settled.peers[nick_name]
    name = peer.http("GET", "/report").body["Router"]["Name"]
    peer.switch.vsctl("del-br", "weave")
    eventually(
        lambda: peer.http("GET", "/status").body["Ready"] is True and flows(peer),
        10,
        f"{nick_name} has its bridge again",
    )
    assert peer.switch.vsctl("get", "Bridge", "weave", "fail_mode").strip() == "secure"
    assert peer.http("GET", "/report").body["Router"]["Name"] == name
    if nick_name == "A":
        eventually(lambda: peer.gateway_state()["state"] in {"active", "standby"}, 10)
