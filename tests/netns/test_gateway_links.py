"""Links that no gateway may have, and links that vanish."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from weave_ryu import links, namespaces
from weave_ryu.lab import topology

FREE = ("--bridge", "other", "--port", "7783", "--http-addr", "127.0.0.1:7784")


@pytest.fixture(scope="module")
def peer(build_lab):
    """A gateway with a port gw0."""
    lab = build_lab(topology=topology.build(["W", "A"]), roles={"A": "active"})
    return lab.peers["A"]


@pytest.fixture
def mg0(peer, namespace):
    """A second link into a segment, which no bridge has yet."""
    links.create_veth("mg0", peer.netns, "x", namespace("segment"))
    links.set_link("mg0", peer.netns, is_up=True)
    ipv6 = Path("/proc/sys/net/ipv6/conf/mg0/disable_ipv6")
    namespaces.run_inside(peer.netns, lambda: ipv6.write_text("0\n"))
    yield "mg0"
    links.delete_link("mg0", peer.netns)


def run(peer, *words):
    """`weave-ryu run` on the peer's host, which must end by itself."""
    command = [sys.executable, "-m", "weave_ryu", "run", *FREE, *words]
    return namespaces.run_inside(
        peer.netns,
        lambda: subprocess.run(
            command,
            env={**os.environ, **peer.switch.environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        ),
    )


@pytest.mark.parametrize("cidr", ["192.0.2.5/24", "198.51.100.1/32", "2001:db8::5/64"])
def test_link_that_carries_an_address_of_the_host_is_refused(peer, mg0, cidr):
    links.add_address(mg0, cidr, peer.netns)
    bridges = peer.switch.vsctl("list-br")
    result = run(peer, "--gateway", f"{mg0},role=standby")
    assert result.returncode == 2, result.stderr
    assert result.stderr.count("\n") == 1
    assert f"--gateway 'mg0': this link carries {cidr}, an address of this host" in result.stderr
    assert peer.switch.vsctl("list-br") == bridges
    assert links.list_addresses(mg0, peer.netns) == [cidr]


def test_port_of_the_bridge_that_was_given_an_address_is_refused_too(peer, eventually):
    peer.kill_daemon()
    links.add_address("gw0", "192.0.2.9/24", peer.netns)
    try:
        peer.start_daemon()
        eventually(lambda: not peer.daemon.is_alive, timeout_s=15, what="it has ended")
        assert "carries 192.0.2.9/24" in peer.daemon.log.read_text()
    finally:
        links.delete_address("gw0", "192.0.2.9/24", peer.netns)
        peer.start_daemon()
    eventually(lambda: is_active(peer), timeout_s=15, what="A forwards again")


def is_active(peer):
    try:
        return peer.gateway_state()["state"] == "active"
    except Exception:
        return False


def test_link_local_addresses_are_no_way_in(peer, eventually):
    """As Linux makes them by itself on every link that is up, where IPv6 is not off."""
    eventually(lambda: is_active(peer), timeout_s=15)
    command = ["ip", "-n", peer.netns.name, "addr"]
    where = ["169.254.7.7/16", "dev", "gw0", "scope", "link"]
    subprocess.run([*command, "add", *where], check=True)
    try:
        peer.kill_daemon()
        peer.start_daemon()
        eventually(lambda: is_active(peer), timeout_s=15, what="A forwards again")
    finally:
        subprocess.run([*command, "del", "169.254.7.7/16", "dev", "gw0"], check=True)


def test_link_that_has_vanished_is_called_so(peer, eventually):
    eventually(lambda: is_active(peer), timeout_s=15)
    links.delete_link("gw0", peer.netns)
    eventually(lambda: "there is no link gw0" in peer.daemon.log.read_text(), what="it is logged")
    assert peer.daemon.log.read_text().count("gateway_link_missing") == 1
