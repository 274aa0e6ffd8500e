"""The underlay of a lab: the bridge that a userspace datapath needs, and what crosses it."""

import os
import socket
import struct
import subprocess
import threading
import time
from pathlib import Path

import pytest

from weave_ryu import links
from weave_ryu.errors import LabError
from weave_ryu.lab.ovs import Switch
from weave_ryu.lab.peer import UNDERLAY_SCRIPT
from weave_ryu.namespaces import run_inside


@pytest.fixture
def switch(prefix, namespace, tmp_path):
    switch = Switch(prefix, namespace("host"), tmp_path, is_userspace=True)
    switch.start()
    yield switch
    from weave_ryu.lab import processes

    for process in (switch.vswitchd, switch.database_server):
        processes.kill(process)


def exchange(client_netns, server_netns, address, payload):
    """Send bytes over TCP between two namespaces and return what came out at the other end."""
    received = bytearray()
    server = run_inside(server_netns, lambda: socket.create_server((address, 0)))
    server.settimeout(5)

    def serve():
        connection, _ = server.accept()
        with connection:
            connection.settimeout(5)
            while chunk := connection.recv(65536):
                received.extend(chunk)

    thread = threading.Thread(target=serve)
    thread.start()
    client = run_inside(client_netns, lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    with client, server:
        client.settimeout(5)
        client.connect(server.getsockname())
        client.sendall(payload)
        client.shutdown(socket.SHUT_WR)
        thread.join()
    return bytes(received)


BROADCAST = b"\xff" * 6
ARP_TYPE = 0x0806
ARP = struct.Struct("!HHBBH6s4s6s4s")
REQUEST, REPLY = 1, 2


def mac_bytes(text):
    return bytes.fromhex(text.replace(":", ""))


def arp_answers(lab, peer, askers=20, timeout_s=5.0):
    """Ask for a peer's underlay address, in the name of each asker → asker: who answered.

    The askers are counted from 1; another one asks behind them. The link gets a question before the
    bridge does, and frames do not overtake each other: when the bridge has answered the last one,
    there is no answer to come.
    """
    ifname, wanted = "underlay", peer.spec.underlay_ip
    own = mac_bytes(links.find_link(ifname, lab.underlay).mac)
    names = {mac_bytes(links.find_link(n, peer.netns).mac): n for n in ("phy0", "br-phy")}
    answers = {}

    def exchange():
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ARP_TYPE)) as wire:
            wire.bind((ifname, 0))
            for asker in range(1, askers + 2):
                fields = (1, 0x0800, 6, 4, REQUEST, own, bytes((10, 99, 0, 100 + asker)))
                body = ARP.pack(*fields, bytes(6), socket.inet_aton(wanted))
                wire.send(BROADCAST + own + struct.pack("!H", ARP_TYPE) + body)
            deadline = time.monotonic() + timeout_s
            while (
                "br-phy" not in answers.get(askers + 1, [])
                and (left := deadline - time.monotonic()) > 0
            ):
                wire.settimeout(left)
                frame = wire.recv(2048)
                *_, kind, mac, address, _, target = ARP.unpack_from(frame, 14)
                if kind == REPLY and address == socket.inet_aton(wanted):
                    answers.setdefault(target[3] - 100, []).append(names[mac])

    run_inside(lab.underlay, exchange)
    del answers[askers + 1]
    return {asker: sorted(who) for asker, who in answers.items()}


@pytest.fixture
def settings():
    """Reads and writes a setting of a link: ``settings(namespace, "phy0", "arp_ignore", 1)``."""

    def access(namespace, link, name, value=None):
        family = "ipv4" if name.startswith("arp_") else "ipv6"
        path = Path(f"/proc/sys/net/{family}/conf/{link}/{name}")
        if value is not None:
            run_inside(namespace, lambda: path.write_text(f"{value}\n"))
        return int(run_inside(namespace, path.read_text))

    return access


def test_one_answers_for_the_underlay_address_and_that_is_the_bridge(standin_lab):
    for peer in standin_lab.peers.values():
        answers = arp_answers(standin_lab, peer)
        assert answers == {asker: ["br-phy"] for asker in range(1, 21)}, peer.nick_name


def test_link_answers_beside_the_bridge_if_it_is_not_silent(standin_lab, settings):
    peer = standin_lab.peer("Y")
    settings(peer.netns, "phy0", "arp_ignore", 0)
    try:
        answers = arp_answers(standin_lab, peer)
    finally:
        settings(peer.netns, "phy0", "arp_ignore", 1)
    assert answers == {asker: ["br-phy", "phy0"] for asker in range(1, 21)}


def test_underlay_address_sits_on_the_bridge_and_is_written_down(standin_lab):
    peer = standin_lab.peer("W")
    assert links.list_addresses("br-phy", peer.netns) == ["10.99.0.1/24"]
    assert links.list_addresses("phy0", peer.netns) == []
    external_id = peer.switch.vsctl("get", "Bridge", "br-phy", "external_ids:weave-ryu-underlay")
    assert external_id.strip() == '"10.99.0.1/24"'
    assert peer.switch.vsctl("get", "Bridge", "br-phy", "datapath_type").strip() == "netdev"


def test_tcp_crosses_the_underlay(standin_lab):
    payload = os.urandom(1 << 20)
    a, b = standin_lab.peer("A"), standin_lab.peer("B")
    assert exchange(a.netns, b.netns, "10.99.0.6", payload) == payload


def test_tcp_crosses_the_overlay_between_container_and_host(standin_lab):
    payload = os.urandom(1 << 20)
    container, host = standin_lab.containers["W-c1"], standin_lab.hosts["Host1"]
    assert exchange(container.netns, host.netns, host.ip, payload) == payload
    assert exchange(host.netns, container.netns, container.ip, payload) == payload


def test_stations_have_the_mtu_of_the_overlay_and_no_ipv6(standin_lab):
    for station in (standin_lab.containers["X-c1"], standin_lab.hosts["Host2"]):
        link = links.find_link(station.ifname, station.netns)
        assert (link.mac, link.mtu, link.is_up) == (station.mac, 1376, True)
        assert links.list_addresses(station.ifname, station.netns) == [station.cidr]


def test_restarted_vswitchd_is_another_process_that_answers(standin_lab, eventually):
    peer = standin_lab.peer("Z")
    before = peer.switch.vswitchd
    peer.restart_vswitchd()
    assert not before.is_alive()
    assert peer.switch.vswitchd.is_alive()
    assert standin_lab.state.processes["Z.ovs-vswitchd"] == peer.switch.vswitchd
    eventually(lambda: "br-phy" in peer.switch.appctl("dpif/show"), what="br-phy is back")


def test_underlay_setup_twice_changes_nothing(switch, namespace):
    links.create_veth("phy0", switch.namespace, "x", namespace("other"))
    links.add_address("phy0", "10.99.0.9/24", switch.namespace)
    for _ in range(2):
        switch.set_up_underlay("10.99.0.9/24", UNDERLAY_SCRIPT)
        assert links.list_addresses("phy0", switch.namespace) == []
        assert links.list_addresses("br-phy", switch.namespace) == ["10.99.0.9/24"]
        assert switch.vsctl("list-ports", "br-phy").split() == ["phy0"]


def test_underlay_setup_on_a_kernel_datapath_only_sets_the_address(switch, namespace):
    links.create_veth("phy0", switch.namespace, "x", namespace("other"))
    arguments = ["--link", "phy0", "--address", "10.99.0.9/24", "--datapath-type", "system"]
    switch.run(str(UNDERLAY_SCRIPT), *arguments)
    assert links.list_addresses("phy0", switch.namespace) == ["10.99.0.9/24"]
    assert switch.vsctl("list-br") == ""


def test_underlay_setup_dry_run_prints_and_changes_nothing(switch, namespace):
    links.create_veth("phy0", switch.namespace, "x", namespace("other"))
    arguments = ["--link", "phy0", "--address", "10.99.0.9/24", "--datapath-type", "netdev"]
    printed = switch.run(str(UNDERLAY_SCRIPT), "--dry-run", *arguments)
    assert "add-br br-phy" in printed
    assert "ip addr add 10.99.0.9/24 dev br-phy" in printed
    assert switch.vsctl("list-br") == ""
    assert links.list_addresses("phy0", switch.namespace) == []


NAMES = ("arp_ignore", "arp_announce", "disable_ipv6")


@pytest.fixture
def host(switch, namespace, settings):
    """A host with links phy0 and phy1 that nobody has touched, and how they are set."""
    for number in range(2):
        links.create_veth(f"phy{number}", switch.namespace, f"x{number}", namespace(f"o{number}"))
        settings(switch.namespace, f"phy{number}", "disable_ipv6", 0)

    def setup(*words):
        common = ("--datapath-type", "netdev") if "--remove" not in words else ()
        return switch.run(str(UNDERLAY_SCRIPT), *words, *common)

    def state(link):
        return tuple(settings(switch.namespace, link, name) for name in NAMES)

    return setup, state


CIDR = ("--address", "10.99.0.9/24")


def test_link_is_silent_and_gets_back_what_was_set_before(switch, host, settings):
    setup, state = host
    settings(switch.namespace, "phy0", "arp_announce", 1)
    links.add_address("phy0", "10.99.0.9/24", switch.namespace)
    for _ in range(2):
        setup("--link", "phy0", *CIDR)
        assert state("phy0") == (1, 2, 1)
    for _ in range(2):
        setup("--link", "phy0", "--remove")
        assert state("phy0") == (0, 1, 0)
        assert switch.vsctl("list-br") == ""
        assert links.list_addresses("phy0", switch.namespace) == ["10.99.0.9/24"]
    setup("--link", "phy0", *CIDR)
    assert state("phy0") == (1, 2, 1)


def test_second_link_is_silent_too_and_leaves_without_the_bridge(switch, host):
    setup, state = host
    setup("--link", "phy0", *CIDR)
    setup("--link", "phy1", *CIDR)
    assert (state("phy0"), state("phy1")) == ((1, 2, 1), (1, 2, 1))
    setup("--link", "phy0", "--remove")
    assert (state("phy0"), state("phy1")) == ((0, 0, 0), (1, 2, 1))
    assert switch.vsctl("list-ports", "br-phy").split() == ["phy1"]
    assert links.list_addresses("br-phy", switch.namespace) == ["10.99.0.9/24"]
    assert "phy0" not in switch.vsctl("get", "Bridge", "br-phy", "external_ids")
    setup("--link", "phy1", "--remove")
    assert state("phy1") == (0, 0, 0)


def test_link_with_a_way_in_of_its_own_keeps_it(switch, host):
    setup, state = host
    for cidr in ("192.0.2.9/24", "2001:db8::9/64"):
        links.add_address("phy0", cidr, switch.namespace)
    setup("--link", "phy0", *CIDR)
    assert state("phy0") == (1, 2, 0)
    kept = ["192.0.2.9/24", "2001:db8::9/64"]
    assert links.list_addresses("phy0", switch.namespace) == kept


@pytest.mark.parametrize(("for_all", "before", "during"), [(0, 2, 2), (2, 0, 1), (3, 0, 8)])
def test_what_is_set_for_all_links_does_not_undo_it(
    switch, host, settings, for_all, before, during
):
    setup, state = host
    settings(switch.namespace, "all", "arp_ignore", for_all)
    settings(switch.namespace, "phy0", "arp_ignore", before)
    setup("--link", "phy0", *CIDR)
    assert state("phy0")[0] == during
    setup("--link", "phy0", "--remove")
    assert state("phy0")[0] == before


def test_dry_runs_show_what_is_set_and_set_nothing(switch, host):
    setup, state = host
    printed = setup("--dry-run", "--link", "phy0", *CIDR)
    assert "echo 1 >/proc/sys/net/ipv4/conf/phy0/arp_ignore" in printed
    assert "echo 1 >/proc/sys/net/ipv6/conf/phy0/disable_ipv6" in printed
    assert state("phy0") == (0, 0, 0)
    setup("--link", "phy0", *CIDR)
    printed = setup("--dry-run", "--link", "phy0", "--remove")
    assert "del-br br-phy" in printed
    assert "echo 0 >/proc/sys/net/ipv4/conf/phy0/arp_ignore" in printed
    assert "ip addr add 10.99.0.9/24 dev phy0" in printed
    assert state("phy0") == (1, 2, 1)


def test_bridge_of_somebody_else_is_not_removed(switch, host):
    setup, _ = host
    switch.vsctl("add-br", "weave", "--", "set", "Bridge", "weave", "datapath_type=netdev")
    switch.vsctl("add-port", "weave", "phy0")
    with pytest.raises(LabError, match="'weave' was not made by this script"):
        setup("--link", "phy0", "--bridge", "weave", "--remove")
    assert switch.vsctl("list-ports", "weave").split() == ["phy0"]


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["--link", "../lo", "--address", "10.99.0.9/24"], 2),
        (["--link", "all", "--address", "10.99.0.9/24"], 2),
        (["--link", "nolink0", "--remove"], 1),
        (["--link", "nolink0", "--address", "10.99.0.9/24"], 1),
        (["--address", "10.99.0.9/24"], 2),
        (["--link", "lo", "--address", "10.99.0.9"], 2),
        (["--link", "lo", "--address", "10.99.0.9/24", "--datapath-type", "magic"], 2),
        (["--frobnicate"], 2),
        (["--link"], 2),
    ],
)
def test_underlay_setup_refuses_bad_arguments_in_one_line(arguments, status):
    result = subprocess.run(
        [str(UNDERLAY_SCRIPT), *arguments], capture_output=True, text=True, check=False
    )
    assert result.returncode == status
    assert result.stderr.count("\n") == 1
