"""Roles by the real keepalived, and the OCF agent in the real ocf-tester."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from weave_ryu import namespaces
from weave_ryu.lab import processes, topology

CONTRIB = Path(__file__).parents[2] / "contrib"
PROGRAM = Path(sys.executable).parent / "weave-ryu"


@pytest.fixture(scope="module")
def lab(build_lab):
    shape = topology.build(["W", "A", "B"])
    return build_lab(topology=shape, roles={"A": "standby", "B": "standby"})


def needs(program):
    path = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin")
    if path is None:
        pytest.skip(f"{program} is not installed: ovs_scripts/install-deps --tests")
    return path


CONFIGURATION = """
global_defs {{
    enable_script_security
    script_user root
}}
vrrp_instance office {{
    state BACKUP
    nopreempt
    interface {interface}
    virtual_router_id 51
    priority {priority}
    advert_int 0.3
    unicast_src_ip {own}
    unicast_peer {{
        {other}
    }}
    notify "{notify} {port}"
    notify_stop "{notify} {port} INSTANCE office STOP"
}}
"""


@pytest.fixture
def keepalived(lab, tmp_path):
    """Starts keepalived on a gateway's host; ends it with SIGTERM."""
    path = needs("keepalived")
    tmp_path.chmod(0o755)
    running = {}

    def start(name, other, priority):
        peer = lab.peers[name]
        directory = tmp_path / name
        directory.mkdir()
        # keepalived does not hand its environment to scripts.
        notify = directory / "notify"
        notify.write_text(
            f"#!/bin/sh\nWEAVE_RYU={PROGRAM} WEAVE_RYU_LOCKS={directory} "
            f'exec {CONTRIB}/keepalived/weave-ryu-notify "$@"\n'
        )
        notify.chmod(0o755)
        own = lab.topology.peer(name).underlay_ip
        shown = peer.switch.run("ip", "-brief", "address")
        interface = next(line.split()[0] for line in shown.splitlines() if f" {own}/" in line)
        (directory / "conf").write_text(
            CONFIGURATION.format(
                interface=interface.split("@")[0], priority=priority, own=own, notify=notify,
                other=lab.topology.peer(other).underlay_ip, port=peer.gateway_port,
            )
        )  # fmt: skip
        command = [
            path, "--dont-fork", "--log-console", "--vrrp", "--use-file", str(directory / "conf"),
            "--pid", str(directory / "pid"), "--vrrp_pid", str(directory / "vrrp.pid"),
        ]  # fmt: skip
        running[name] = processes.spawn(
            command, log=directory / "log", environment={}, namespace=peer.netns
        )

    def stop(name):
        # It waits for its own children, and they for the script that they have called.
        processes.stop(running.pop(name), grace_s=20.0)

    start.stop = stop
    yield start
    for name in list(running):
        stop(name)


def state(lab, name):
    return lab.peers[name].gateway_state()["state"]


def test_keepalived_decides_who_forwards(lab, keepalived, eventually):
    keepalived("A", "B", 150)
    eventually(lambda: state(lab, "A") == "active", 20)
    keepalived("B", "A", 100)
    assert state(lab, "B") == "standby"
    keepalived.stop("A")
    eventually(lambda: (state(lab, "A"), state(lab, "B")) == ("standby", "active"), 20)
    lab.peers["A"].http("PUT", f"/gateways/{lab.peers['A'].gateway_port}", {"role": "standby"})


@pytest.fixture
def agent():
    """The OCF agent where everybody may read it, as a checkout below a home directory is not."""
    with tempfile.TemporaryDirectory(prefix="weave-ryu-agent-") as directory:
        Path(directory).chmod(0o755)
        yield Path(shutil.copy(CONTRIB / "pacemaker" / "weave-ryu", directory))


def test_agent_does_what_pacemaker_expects(lab, agent):
    path = needs("ocf-tester")
    needs("xmllint")
    peer = lab.peers["A"]
    lab.peers["B"].http("PUT", f"/gateways/{lab.peers['B'].gateway_port}", {"role": "standby"})
    command = [
        path, "-v", "-n", f"weave-ryu-test-{os.getpid()}", "-o", f"port={peer.gateway_port}",
        "-o", f"program={PROGRAM}", str(agent),
    ]  # fmt: skip
    result = namespaces.run_inside(
        peer.netns,
        lambda: subprocess.run(command, capture_output=True, text=True, timeout=120, check=False),
    )
    assert "passed all tests" in result.stdout, result.stdout[-2000:] + result.stderr[-2000:]
    assert result.returncode == 0
    assert state(lab, "A") == "standby"
