"""At boot the order is nobody's: what is not there yet is waited for, and the rest goes on."""

import pytest
from labtools import new_prefix

from weave_ryu import links
from weave_ryu.lab import daemon as daemons
from weave_ryu.lab import lab as labs
from weave_ryu.lab import topology

NAME = "no.such.host.invalid"


@pytest.fixture(scope="module")
def lab(build_lab):
    """W and A, told of each other and of a peer whose name nobody knows."""
    return build_lab(
        labs.Options(
            prefix=new_prefix(),
            topology=topology.build(["W", "A"]),
            roles={"A": "active"},
            daemon_command=[*daemons.DEFAULT_COMMAND, "--peer", NAME],
        )
    )


def lines(peer, word):
    return [line for line in peer.daemon.log.read_text().splitlines() if word in line]


def is_up(peer):
    try:
        return peer.http("GET", "/status").status == 200
    except Exception:
        return False


def is_active(peer):
    return is_up(peer) and peer.gateway_state()["state"] == "active"


def test_name_that_nobody_knows_stops_nobody_and_is_told_of_once(lab, eventually):
    for peer in lab.peers.values():  # the lab is up: they are connected, and A forwards
        eventually(lambda p=peer: lines(p, "peer_not_resolved"), timeout_s=60, what="it is told")
    assert is_active(lab.peers["A"])
    for peer in lab.peers.values():
        (line,) = lines(peer, "peer_not_resolved")
        assert NAME in line


def test_gateway_link_that_comes_later_is_taken(lab, eventually):
    peer = lab.peers["A"]
    peer.kill_daemon()
    peer.switch.vsctl("del-port", "weave", "gw0")
    links.delete_link("gw0", peer.netns)
    peer.start_daemon("active")
    eventually(lambda: is_up(peer), timeout_s=20, what="the daemon runs without it")
    eventually(lambda: lines(peer, "there is no link gw0"), what="it is told")
    segment, port = lab.segment_netns("vlan"), labs.segment_port("A")
    links.create_veth(port, segment, "gw0", peer.netns)
    links.add_address("gw0", "192.0.2.5/24", peer.netns)
    eventually(lambda: lines(peer, "gateway_link_refused"), what="not with an address of the host")
    assert "gw0" not in peer.switch.vsctl("list-ports", "weave").split()
    links.delete_address("gw0", "192.0.2.5/24", peer.netns)
    links.set_link(port, segment, bridge=labs.segment_bridge("vlan"), is_up=True)
    links.set_link("gw0", peer.netns, is_up=True)
    eventually(lambda: is_active(peer), timeout_s=20, what="A forwards")
    assert len(lines(peer, "gateway_link_missing")) == 1
    assert len(lines(peer, "gateway_link_refused")) == 1


def test_address_to_listen_on_that_comes_later_is_waited_for(lab, eventually):
    peer = lab.peers["W"]
    own = peer.spec.underlay_cidr
    peer.kill_daemon()
    links.delete_address("br-phy", own, peer.netns)
    peer.start_daemon()
    eventually(lambda: lines(peer, "address_missing"), timeout_s=20, what="it is told")
    assert peer.daemon.is_alive
    # Somebody has taken it away from a device that stays: nobody but they give it back.
    assert links.list_addresses("br-phy", peer.netns) == []
    links.add_address("br-phy", own, peer.netns)
    eventually(lambda: is_up(peer), timeout_s=20, what="the daemon runs")
    assert len(lines(peer, "address_missing")) == 1


def test_address_that_open_vswitch_took_while_the_daemon_was_down_is_put_back(lab, eventually):
    """The daemon listens on an address that only itself gives back to the host."""
    peer = lab.peers["W"]
    eventually(lambda: is_up(peer), timeout_s=20)
    peer.kill_daemon()
    peer.kill_vswitchd()
    # Open vSwitch itself removes it when it ends in order, and so does a restart of the host.
    links.delete_link("br-phy", peer.netns)
    peer.restart_vswitchd()
    eventually(lambda: links.find_link("br-phy", peer.netns), what="the device is back")
    assert links.list_addresses("br-phy", peer.netns) == []
    peer.start_daemon()
    eventually(lambda: is_up(peer), timeout_s=20, what="the daemon runs")
    assert links.list_addresses("br-phy", peer.netns) == [peer.spec.underlay_cidr]
