"""The underlay of a lab: the bridge that a userspace datapath needs, and what crosses it."""

import os
import socket
import subprocess
import threading

import pytest

from weave_ryu import links
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


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
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
