"""A lab comes up, is described, goes down, and leaves nothing: also when something went wrong."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
from labtools import cli, cli_as_nobody, standin_options

from weave_ryu.errors import LabError
from weave_ryu.lab import lab as labs
from weave_ryu.lab import processes, topology
from weave_ryu.lab.state import STATE_ROOT, State
from weave_ryu.namespaces import NETNS_DIR


def traces(prefix):
    names = [path.name for path in NETNS_DIR.glob(f"{prefix}-*")]
    names += [path.name for path in STATE_ROOT.glob(prefix)]
    return names + processes.find_marked(prefix)


def command_line(process):
    return Path(f"/proc/{process.pid}/cmdline").read_text().split("\0")


@pytest.fixture
def builder(prefix, eventually):
    """A ``lab up`` in another process that has just begun to start processes."""
    process = subprocess.Popen(
        [sys.executable, "-m", "weave_ryu", "lab", "up", "--prefix", prefix],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # A test run in the background of a shell ignores it, and that would be inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    try:
        eventually(lambda: processes.find_marked(prefix), 30, "first process of the lab")
        yield process
    finally:
        process.kill()
        process.wait()
        # Also when it was too late: what nobody looks at goes on, and busies the machine.
        with contextlib.suppress(LabError):  # there is none
            labs.find(prefix).down()


def test_lab_is_up_within_thirty_seconds_and_gone_after_down(prefix):
    started = time.monotonic()
    lab = labs.up(standin_options(prefix), print)
    assert time.monotonic() - started < 30
    assert lab.down()
    assert traces(prefix) == []
    assert not lab.down()


def test_status_tells_everything_that_interfaces_promise(standin_lab):
    result = cli("lab", "status", "--json", "--prefix", standin_lab.prefix)
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    assert list(document["peers"]) == ["W", "X", "Y", "Z", "A", "B"]
    gateway = document["peers"]["A"]
    assert gateway["netns"] == f"{standin_lab.prefix}-A"
    assert gateway["gateway_ports"][0]["state"] == "active"
    assert {"name", "nickname", "http", "bridge", "ovs_rundir", "ovs_db", "openflow"} <= set(
        gateway
    )
    for key in ("daemon_pid", "vswitchd_pid"):
        assert Path(f"/proc/{gateway[key]}").exists()
    assert list(document["containers"]) == ["W-c1", "X-c1", "Y-c1", "Z-c1"]
    assert document["hosts"]["Host1"]["segment"] == "vlan"
    assert set(document["segments"]["vlan"]["ports"]) == {"A", "B", "Host1", "Host2"}


def test_status_in_words_names_every_part(standin_lab):
    result = cli("lab", "status", "--prefix", standin_lab.prefix)
    assert result.returncode == 0, result.stderr
    for name in ("W-c1", "Host2", "10.99.0.6", "gw0 on vlan: standby"):
        assert name in result.stdout


def test_second_lab_of_the_same_prefix_is_refused_and_the_first_stays(standin_lab):
    with pytest.raises(LabError, match=f"lab down --prefix {standin_lab.prefix}"):
        labs.up(standin_options(standin_lab.prefix), print)
    assert standin_lab.missing_links() == []


def test_two_labs_run_side_by_side_and_one_goes_alone(standin_lab, prefix):
    other = labs.up(standin_options(prefix), print)
    try:
        assert set(traces(prefix)).isdisjoint(traces(standin_lab.prefix))
    finally:
        other.down()
    assert traces(prefix) == []
    assert standin_lab.missing_links() == []


def test_failed_up_says_why_and_leaves_nothing(prefix):
    options = labs.Options(
        prefix=prefix,
        daemon_command=[sys.executable, "-c", "raise SystemExit('cannot get going')"],
    )
    with pytest.raises(LabError, match="cannot get going"):
        labs.up(options, print)
    assert traces(prefix) == []


def test_mesh_that_does_not_come_together_is_an_error_that_says_what_is_missing(prefix):
    options = labs.Options(
        prefix=prefix,
        topology=topology.build(["W", "A"]),
        ready_timeout_s=0.5,
        daemon_command=[
            sys.executable,
            "-c",
            "import subprocess, sys, time; db = sys.argv[sys.argv.index('--ovs-db') + 1]; "
            "subprocess.run(['ovs-vsctl', '--db', db, 'add-br', 'weave', '--', 'set', 'bridge', "
            "'weave', 'datapath_type=netdev']); time.sleep(60)",
        ],
    )
    with pytest.raises(LabError, match="W does not answer"):
        labs.up(options, print)
    assert traces(prefix) == []


def test_down_after_up_was_killed_leaves_nothing(prefix, builder):
    builder.kill()
    builder.wait()
    assert traces(prefix)
    result = cli("lab", "down", "--prefix", prefix)
    assert result.returncode == 0, result.stderr
    assert traces(prefix) == []


def test_interrupted_up_removes_what_it_made(prefix, builder):
    builder.send_signal(signal.SIGINT)
    builder.wait(20)
    assert traces(prefix) == []


def test_down_works_when_daemons_were_killed_or_stopped(prefix):
    lab = labs.up(standin_options(prefix), print)
    lab.peer("A").kill_daemon(signal.SIGKILL)
    lab.peer("B").kill_daemon(signal.SIGSTOP)
    lab.peer("W").kill_vswitchd()
    assert lab.down()
    assert traces(prefix) == []


def test_down_spares_a_process_that_took_over_a_recorded_number(prefix):
    lab = labs.up(standin_options(prefix, topology.build(["W", "X"])), print)
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        old = lab.state.processes["W.daemon"]
        lab.state.set_process("W.old", processes.ProcessRef(bystander.pid, old.start_ticks))
        lab.down()
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_up_refuses_when_a_namespace_of_that_name_is_somebody_elses(prefix, namespace):
    theirs = namespace("W")
    with pytest.raises(LabError, match="not this lab's"):
        labs.up(standin_options(prefix), print)
    assert theirs.exists()
    assert traces(prefix) == [theirs.name]


def test_down_without_a_lab_says_so_and_succeeds(prefix):
    result = cli("lab", "down", "--prefix", prefix)
    assert (result.returncode, result.stderr) == (0, "")
    assert "nothing to do" in result.stdout


def test_status_without_a_lab_is_one_sentence_and_status_one(prefix):
    result = cli("lab", "status", "--prefix", prefix)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert f"lab up --prefix {prefix}" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--prefix", "UPPER"],
        ["--peers", "1"],
        ["--peers", "W,W"],
        ["--topology", "mobius"],
        ["--topology", "/nowhere/at.toml"],
        ["--role", "Q=active"],
        ["--role", "A=boss"],
        ["--gateways", "Q"],
    ],
)
def test_bad_flags_are_one_sentence_and_status_two(arguments):
    result = cli("lab", "up", *arguments)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert arguments[1].split("=")[0].split(",")[0] in result.stderr


def test_without_root_up_is_refused(prefix):
    result = cli_as_nobody("lab", "up", "--prefix", prefix)
    assert result.returncode == 1
    assert "needs root" in result.stderr
    assert traces(prefix) == []


def test_daemons_of_a_line_are_told_only_of_their_neighbours(prefix):
    lab = labs.up(standin_options(prefix, topology.build(shape="line")), print)
    try:
        lines = {name: command_line(peer.daemon.process) for name, peer in lab.peers.items()}
    finally:
        lab.down()
    assert all("--no-discovery" in line for line in lines.values())
    peers = {name: [v for k, v in pairwise(line) if k == "--peer"] for name, line in lines.items()}
    address = {peer.nick_name: peer.underlay_ip for peer in lab.topology.peers}
    links = {
        frozenset((name, other))
        for name in peers
        for other in address
        if address[other] in peers[name]
    }
    assert links == {frozenset(pair) for pair in ("WX", "XA", "AB", "BY", "YZ")}


def test_state_of_a_crashed_start_without_record_is_removable(prefix):
    state = State(prefix)
    state.directory.mkdir(parents=True)
    assert state.remove()
    assert traces(prefix) == []


def test_daemon_log_is_kept_per_peer(standin_lab):
    assert (standin_lab.state.directory / "W" / "daemon.log").exists()
    assert os.access(standin_lab.peer("W").switch.rundir / "db.sock", os.W_OK)
