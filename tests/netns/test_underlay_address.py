"""Whose the underlay's address is: the daemon puts back what a restart took, and nothing else."""

import itertools
import time
from pathlib import Path

import pytest

from weave_ryu import links
from weave_ryu.lab import topology
from weave_ryu.namespaces import run_inside

OWN = "10.99.0.1/24"
ARP_IGNORE = Path("/proc/sys/net/ipv4/conf/phy0/arp_ignore")


@pytest.fixture(scope="module")
def lab(build_lab):
    return build_lab(topology=topology.build(["W"]))


@pytest.fixture
def peer(lab, look, eventually):
    """W with the address that it was set up with, noted by the daemon."""
    peer = lab.peers["W"]
    yield peer
    for cidr in addresses(peer):
        links.delete_address("br-phy", cidr, peer.netns)
    links.add_address("br-phy", OWN, peer.netns)
    links.set_link("br-phy", peer.netns, is_up=True)
    look(peer)
    eventually(lambda: noted(peer) == [OWN], timeout_s=15, what="noted again")


def addresses(peer):
    return links.list_addresses("br-phy", peer.netns)


def noted(peer):
    key = "external_ids:weave-ryu-underlay-seen"
    return (
        peer.switch.vsctl("--if-exists", "get", "Bridge", "br-phy", key)
        .strip()
        .strip('"')
        .split()[1:]
    )


@pytest.fixture
def look(eventually):
    """Makes the daemon look, and waits until it has: it silences a link that answers ARP."""

    counter = itertools.count(time.monotonic_ns())

    def once(peer):
        run_inside(peer.netns, lambda: ARP_IGNORE.write_text("0\n"))
        peer.switch.vsctl("set", "Bridge", "br-phy", f"external_ids:test={next(counter)}")
        eventually(
            lambda: run_inside(peer.netns, ARP_IGNORE.read_text) == "1\n",
            timeout_s=15,
            what="the daemon has looked",
        )

    def thrice(peer):
        for _ in range(3):
            once(peer)

    return thrice


def restart_switch(peer, eventually, wanted):
    peer.kill_vswitchd()
    # Open vSwitch itself removes it when it ends in order, and so does a restart of the host.
    links.delete_link("br-phy", peer.netns)
    peer.restart_vswitchd()
    eventually(lambda: wanted == _there(peer), timeout_s=15, what=f"{wanted} is there")


def _there(peer):
    return links.find_link("br-phy", peer.netns) and addresses(peer)


def test_address_that_a_restart_of_open_vswitch_took_is_put_back(peer, eventually):
    eventually(lambda: noted(peer) == [OWN], what="noted")
    restart_switch(peer, eventually, [OWN])
    assert links.find_link("br-phy", peer.netns).is_up


def test_address_that_somebody_took_away_stays_away(peer, look, eventually):
    eventually(lambda: noted(peer) == [OWN], what="noted")
    links.delete_address("br-phy", OWN, peer.netns)
    look(peer)
    assert addresses(peer) == []


@pytest.mark.parametrize("new", ["10.99.0.77/24", "10.99.0.1/16", "10.98.0.1/24"])
def test_address_that_was_replaced_is_the_one_from_then_on(peer, look, eventually, new):
    eventually(lambda: noted(peer) == [OWN], what="noted")
    links.delete_address("br-phy", OWN, peer.netns)
    look(peer)
    links.add_address("br-phy", new, peer.netns)
    look(peer)
    assert addresses(peer) == [new]
    eventually(lambda: noted(peer) == [new], what="the new one is noted")
    restart_switch(peer, eventually, [new])
    look(peer)
    assert addresses(peer) == [new]


def test_bridge_that_was_set_down_stays_down(peer, look):
    links.set_link("br-phy", peer.netns, is_up=False)
    look(peer)
    assert not links.find_link("br-phy", peer.netns).is_up
