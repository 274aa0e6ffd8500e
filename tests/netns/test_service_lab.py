"""The daemon as systemd runs it: with few rights, watched, told to read its settings anew."""

import contextlib
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from labtools import new_prefix

from weave_ryu.lab import daemon as daemons
from weave_ryu.lab import lab as labs
from weave_ryu.lab import topology
from weave_ryu.namespaces import run_inside

UNIT = Path(__file__).parents[2] / "contrib" / "systemd" / "weave-ryu.service"
TOKEN = "c2VjcmV0LXNlY3JldC1zZWNyZXQ="


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    path = tmp_path_factory.mktemp("service")
    (path / "weave-ryu.toml").write_text('log_level = "info"\n')
    return path


@pytest.fixture(scope="module")
def manager(directory):
    """What systemd would listen on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(directory / "notify"))
        listener.settimeout(20)
        yield listener


@pytest.fixture(scope="module")
def lab(build_lab, directory, manager):
    """A with a gateway port; its daemon has the unit's capabilities and no more."""
    capabilities = re.search(r"^CapabilityBoundingSet=(.+)$", UNIT.read_text(), re.MULTILINE)[1]
    kept = ",".join(f"+{name.removeprefix('CAP_').lower()}" for name in capabilities.split())
    command = (
        "env", f"NOTIFY_SOCKET={directory}/notify", "WATCHDOG_USEC=10000000",
        "setpriv", f"--bounding-set=-all,{kept}", "--no-new-privs",
        *daemons.DEFAULT_COMMAND, "--config", str(directory / "weave-ryu.toml"),
    )  # fmt: skip
    shape = topology.build(["W", "A"])
    options = labs.Options(
        prefix=new_prefix(), topology=shape, roles={"A": "active"}, daemon_command=command
    )
    return build_lab(options)


def heard(manager, wanted):
    """Messages until one begins with these words."""
    found = []
    while not found or not found[-1].startswith(wanted):
        found.append(manager.recv(4096).decode())
    return found


def log(lab):
    return lab.peers["A"].daemon.log.read_text()


def test_daemon_works_with_the_rights_that_the_unit_leaves(lab):
    status = Path(f"/proc/{lab.peers['A'].daemon.process.pid}/status").read_text()
    assert re.search(r"^CapBnd:\t0000000000003000$", status, re.MULTILINE)  # NET_ADMIN, NET_RAW
    assert re.search(r"^NoNewPrivs:\t1$", status, re.MULTILINE)
    assert lab.peers["A"].gateway_state()["state"] == "active"


def test_manager_is_told_of_readiness_state_and_life(lab, manager):
    told = heard(manager, "READY=1")
    assert told[0].startswith("STATUS=")
    heard(manager, "WATCHDOG=1")


def test_underlay_link_is_silenced_again_with_the_rights_that_the_unit_leaves(lab, eventually):
    peer = lab.peers["A"]
    path = Path("/proc/sys/net/ipv4/conf/phy0/arp_ignore")
    # As after a restart of the host: the database is what it was, the kernel begins anew.
    run_inside(peer.netns, lambda: path.write_text("0\n"))
    peer.switch.vsctl("set", "Bridge", "br-phy", "external_ids:somebody=changed-this")
    eventually(lambda: run_inside(peer.netns, path.read_text) == "1\n", what="phy0 is silent again")
    assert "underlay_link_silenced" in log(lab)
    assert "underlay_link_answers_arp" not in log(lab)


def test_state_is_told_as_it_changes(lab, manager, eventually):
    lab.peers["A"].http("PUT", f"/gateways/{lab.peers['A'].gateway_port}", {"role": "standby"})
    told = heard(manager, "STATUS=vlan: standby")
    assert told[-1].startswith("STATUS=vlan: standby")
    lab.peers["A"].http("PUT", f"/gateways/{lab.peers['A'].gateway_port}", {"role": "active"})
    heard(manager, "STATUS=vlan: active")


def test_hangup_takes_over_what_is_safe_and_names_the_rest(lab, directory, eventually):
    peer = lab.peers["A"]
    before = peer.gateway_state()
    token = directory / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    (directory / "weave-ryu.toml").write_text(
        f'log_level = "debug"\napi_token_file = "{token}"\nmtu = 1300\npeer = ["192.0.2.77"]\n'
    )
    peer.daemon.kill(signal.SIGHUP)
    eventually(lambda: "reloaded" in log(lab))
    assert "reload_needs_restart" in log(lab)
    assert "keys=['mtu']" in log(lab)
    assert TOKEN not in log(lab)
    path = f"/gateways/{peer.gateway_port}"
    assert peer.http("PUT", path, {"role": "standby"}).status == 401
    after = peer.gateway_state()
    assert len(after["history"]) == len(before["history"])


@pytest.mark.parametrize(
    ("text", "event"),
    [
        ("log_level = 5", "reload_incomplete"),
        ("brigde = 'x'", "reload_incomplete"),
        ("[[[", "reload_refused"),
        ("http_addr = '0.0.0.0:1'", "reload_incomplete"),
    ],
)
def test_wrong_settings_change_nothing_and_are_named(lab, directory, eventually, text, event):
    before = log(lab).count(event)
    (directory / "weave-ryu.toml").write_text(text)
    lab.peers["A"].daemon.kill(signal.SIGHUP)
    eventually(lambda: log(lab).count(event) > before)
    assert lab.peers["A"].daemon.is_alive
    assert lab.peers["A"].gateway_state()["state"] == "active"


def test_end_is_told(lab, manager):
    manager.setblocking(False)  # its queue is full of signs of life
    with contextlib.suppress(BlockingIOError):
        while manager.recv(4096):
            pass
    manager.settimeout(20)
    lab.peers["A"].daemon.kill(signal.SIGTERM)
    assert "STOPPING=1" in heard(manager, "STOPPING=1")[-1]


def test_unit_is_one_that_systemd_understands(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed: ovs_scripts/install-deps --tests")
    # Not the paths of this machine: the clone is in /opt only where it is installed.
    text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text(), flags=re.MULTILINE)
    copy = tmp_path / "weave-ryu.service"
    copy.write_text(text.replace("Requires=openvswitch-switch.service\n", ""))
    verified = subprocess.run(
        ["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, check=False
    )
    assert (verified.returncode, verified.stderr) == (0, "")
    rated = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--threshold=25", str(copy)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert rated.returncode == 0, rated.stdout[-300:]
