"""``weave-ryu attach`` and ``detach`` on a real bridge, from the command line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from labtools import cli_as_nobody, new_prefix

from weave_ryu import attach, links
from weave_ryu.errors import OvsdbError
from weave_ryu.lab import processes
from weave_ryu.lab.netns import create_namespace, delete_namespace
from weave_ryu.lab.ovs import Switch


class Host:
    """A namespace with its own Open vSwitch and a bridge ``weave``, and the command line on it."""

    def __init__(self, switch):
        self.switch = switch
        self.netns = switch.namespace

    def cli(self, *arguments, **environment):
        return subprocess.run(
            ["ip", "netns", "exec", self.netns.name, sys.executable, "-m", "weave_ryu", *arguments],
            env={**os.environ, **self.switch.environment, **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def ports(self):
        return self.switch.vsctl("list-ports", "weave").split()

    def links(self):
        result = subprocess.run(
            ["ip", "-n", self.netns.name, "-j", "link"], capture_output=True, text=True, check=True
        )
        return {link["ifname"] for link in json.loads(result.stdout)}

    def everything(self):
        return self.ports(), self.links()


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    prefix = new_prefix()
    namespace = create_namespace(f"{prefix}-host")
    switch = Switch(prefix, namespace, tmp_path_factory.mktemp("ovs"), is_userspace=True)
    try:
        switch.start()
        switch.vsctl("add-br", "weave", "--", "set", "Bridge", "weave", "datapath_type=netdev")
        yield Host(switch)
    finally:
        for process in (switch.vswitchd, switch.database_server):
            if process:
                processes.kill(process)
        delete_namespace(namespace.name)


@pytest.fixture
def container(host, namespace):
    """A namespace to attach; what a test attached is detached."""
    made = namespace("c1")
    yield made
    host.cli("detach", made.name)


def test_outcome_is_told_as_json(host, container):
    words = (container.name, "10.32.0.6/24", "--json")
    made, again, gone = (
        json.loads(host.cli(verb, *words).stdout) for verb in ("attach", "attach", "detach")
    )
    assert (made["changed"], again["changed"], gone["changed"]) == (True, False, True)
    assert made["ports"] == again["ports"] == gone["ports"] != []
    assert (made["namespace"], made["bridge"]) == (container.name, "weave")
    assert "10.32.0.6/24" in made["message"]


def test_attach_gives_link_address_mtu_and_port(host, container):
    result = host.cli("attach", container.name, "10.32.0.5/24", "--mac", "02:00:00:00:00:05")
    assert (result.returncode, result.stderr) == (0, "")
    link = links.find_link("ethwe", container)
    assert (link.mac, link.mtu, link.is_up) == ("02:00:00:00:00:05", 1376, True)
    assert links.list_addresses("ethwe", container) == ["10.32.0.5/24"]
    [port] = host.ports()
    assert port in host.links()
    assert len(port) <= 15
    record = host.switch.vsctl("get", "Interface", port, "external_ids")
    assert f'weave-ryu-attached="{container.stat().st_ino}"' in record


@pytest.mark.parametrize(("asked", "given"), [("1220", 1220), ("8950", 8950), ("[]", 1376)])
def test_container_gets_the_mtu_of_the_bridge(host, container, asked, given):
    host.switch.vsctl("set", "Interface", "weave", f"mtu_request={asked}")
    try:
        assert host.cli("attach", container.name, "10.32.0.5/24").returncode == 0
        [port] = host.ports()
        assert links.find_link("ethwe", container).mtu == given
        assert links.find_link(port, host.netns).mtu == given
    finally:
        host.switch.vsctl("clear", "Interface", "weave", "mtu_request")


def test_mtu_of_another_container_is_not_the_bridges(host, container, namespace):
    """Without a wish the bridge's own port follows the smallest of the others."""
    other = namespace("small")
    host.cli("attach", other.name, "10.32.0.4/24", "--mtu", "900")
    try:
        host.cli("attach", container.name, "10.32.0.5/24")
        assert links.find_link("ethwe", container).mtu == 1376
    finally:
        host.cli("detach", other.name)


def test_another_mtu_for_a_container_that_is_attached_is_that_of_both_ends(host, container):
    host.cli("attach", container.name, "10.32.0.5/24")
    host.cli("attach", container.name, "10.32.0.5/24", "--mtu", "1500")
    [port] = host.ports()
    assert links.find_link("ethwe", container).mtu == 1500
    assert links.find_link(port, host.netns).mtu == 1500


def test_attach_switches_checksum_offload_off_on_a_userspace_bridge(host, container):
    host.cli("attach", container.name, "10.32.0.5/24")
    result = subprocess.run(
        ["ip", "netns", "exec", container.name, sys.executable, "-c", OFFLOAD_PROBE],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout.strip() == "0", result.stderr


OFFLOAD_PROBE = """
import ctypes, fcntl, socket, struct
value = ctypes.create_string_buffer(struct.pack("=II", 0x16, 9))  # ETHTOOL_GTXCSUM
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    fcntl.ioctl(s, 0x8946, struct.pack("16sP", b"ethwe", ctypes.addressof(value)))
print(struct.unpack("=II", value.raw[:8])[1])
"""


def test_attach_again_says_so_and_changes_nothing(host, container):
    host.cli("attach", container.name, "10.32.0.5/24")
    before = host.everything()
    result = host.cli("attach", container.name, "10.32.0.5/24")
    assert result.returncode == 0
    assert "already" in result.stdout
    assert host.everything() == before


def test_attach_with_another_address_adds_it_and_detach_takes_one_away(host, container):
    host.cli("attach", container.name, "10.32.0.5/24")
    result = host.cli("attach", container.name, "10.32.0.6/24")
    assert "one more address" in result.stdout
    assert len(host.ports()) == 1
    assert links.list_addresses("ethwe", container) == ["10.32.0.5/24", "10.32.0.6/24"]
    assert host.cli("detach", container.name, "10.32.0.5/24").returncode == 0
    assert links.list_addresses("ethwe", container) == ["10.32.0.6/24"]
    assert host.cli("detach", container.name, "10.32.0.6/24").returncode == 0
    assert host.ports() == []
    assert links.find_link("ethwe", container) is None


def test_attach_and_detach_by_path_and_by_process(host, container):
    sleeper = subprocess.Popen(["ip", "netns", "exec", container.name, "sleep", "60"])
    try:
        assert host.cli("attach", str(container), "10.32.0.5/24").returncode == 0
        if sleeper_is_in(container, sleeper):
            result = host.cli("attach", str(sleeper.pid), "10.32.0.5/24")
            assert "already" in result.stdout
        assert host.cli("detach", str(sleeper.pid)).returncode == 0
        assert host.ports() == []
    finally:
        sleeper.kill()
        sleeper.wait()


def sleeper_is_in(namespace, process):
    ref = processes.ProcessRef(process.pid, 0)

    def is_there():
        return Path(f"/proc/{ref.pid}/ns/net").stat().st_ino == namespace.stat().st_ino

    return processes.poll_until(is_there, 5)


def test_detach_of_what_is_not_attached_says_so(host, container):
    result = host.cli("detach", container.name)
    assert result.returncode == 0
    assert "nothing to do" in result.stdout


def test_detach_removes_the_port_of_a_namespace_that_has_gone(host, namespace):
    gone = namespace("gone")
    host.cli("attach", gone.name, "10.32.0.7/24")
    delete_namespace(gone.name)
    assert len(host.ports()) == 1
    result = host.cli("detach", gone.name)
    assert (result.returncode, result.stderr) == (0, "")
    assert host.ports() == []


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["attach", "nobody", "10.32.0.5/24"], 2, "no such namespace"),
        (["attach", "4194999", "10.32.0.5/24"], 2, "process"),
        (["attach", "/etc/hostname", "10.32.0.5/24"], 2, "not a network namespace"),
        (["attach", "CONTAINER", "10.32.0.5"], 2, "prefix length"),
        (["attach", "CONTAINER", "10.32.0.500/24"], 2, "not an address"),
        (["attach", "CONTAINER", "10.32.0.0/24"], 2, "network itself"),
        (["attach", "CONTAINER", "10.32.0.255/24"], 2, "broadcast"),
        (["attach", "CONTAINER", "10.32.0.5/24", "--mtu", "7"], 2, "MTU"),
        (["attach", "CONTAINER", "10.32.0.5/24", "--mac", "01:00:00:00:00:01"], 2, "group"),
        (["attach", "CONTAINER", "10.32.0.5/24", "--ifname", "much-too-long-name"], 2, "15"),
        (["attach", "CONTAINER", "10.32.0.5/24", "--ifname", "lo"], 2, "another link"),
        (["attach", "CONTAINER", "10.32.0.5/24", "--bridge", "nobridge"], 2, "nobridge"),
        (["attach", "CONTAINER", "10.32.0.5/24", "--ovs-db", "unix:/no/db.sock"], 1, "--ovs-db"),
        (["detach", "nobody"], 2, "no such namespace"),
        (["detach", "CONTAINER", "10.32.0"], 2, "prefix length"),
    ],
)
def test_bad_input_is_one_sentence_and_changes_nothing(host, container, arguments, status, words):
    before = host.everything()
    arguments = [container.name if word == "CONTAINER" else word for word in arguments]
    result = host.cli(*arguments)
    assert result.returncode == status, result.stderr
    assert result.stderr.count("\n") == 1
    assert words in result.stderr
    assert host.everything() == before


def test_without_root_nothing_is_changed(host, container):
    result = cli_as_nobody("attach", container.name, "10.32.0.5/24")
    assert result.returncode == 1
    assert "root" in result.stderr
    assert host.ports() == []


def test_without_ovs_vsctl_the_remedy_is_named(host, container):
    result = subprocess.run(
        [sys.executable, "-m", "weave_ryu", "attach", container.name, "10.32.0.5/24"],
        env={**os.environ, **host.switch.environment, "PATH": "/nowhere"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert "install-deps" in result.stderr


def test_attach_that_the_switch_does_not_take_is_undone(host, container, monkeypatch):
    monkeypatch.setattr(attach, "_VSCTL_TIMEOUT_S", 1)
    host.switch.kill_vswitchd()
    before = (host.switch.vsctl("--no-wait", "list-ports", "weave"), host.links())
    request = attach.Request(
        namespace=container.name,
        cidr="10.32.0.5/24",
        ovs_db=host.switch.remote,
        host_namespace=host.netns,
    )
    try:
        with pytest.raises(OvsdbError, match="ovs-vswitchd"):
            attach.attach(request)
        assert (host.switch.vsctl("--no-wait", "list-ports", "weave"), host.links()) == before
        assert links.find_link("ethwe", container) is None
    finally:
        host.switch.start_vswitchd()
