"""What a user can get wrong when starting the daemon: one sentence, a status, nothing changed."""

import os
import subprocess
import sys

import pytest

from weave_ryu import namespaces
from weave_ryu.lab import topology

FAILED, USAGE = 1, 2
RUN = (sys.executable, "-m", "weave_ryu", "run")


@pytest.fixture(scope="module")
def peer(build_lab):
    """A host with a running daemon."""
    lab = build_lab(topology=topology.build(["W"]))
    return lab.peers["W"]


def in_host(peer, *command, **changes):
    """Run a command on the peer's host; a program that does not end counts as a failure."""
    environment = {**os.environ, **peer.switch.environment, **changes}
    return namespaces.run_inside(
        peer.netns,
        lambda: subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=20, check=False
        ),
    )


def state_of(peer):
    """What a start could change: bridges, ports, their settings, links, flows that stay."""
    tables = [
        peer.switch.vsctl("--format=csv", f"--columns={columns}", "list", table)
        for table, columns in (
            ("Bridge", "name,ports,controller,external_ids,fail_mode,datapath_type"),
            ("Port", "name,interfaces,tag"),
            ("Interface", "name,type,options,external_ids"),
            ("Controller", "target"),
        )
    ]
    links = peer.switch.run("ip", "-brief", "address").splitlines()
    flows = peer.ofctl("dump-flows", "weave", "--no-stats").splitlines()
    return tables, sorted(links), sorted(flows)


def refused(result, status, *words):
    assert result.returncode == status, result.stderr
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("weave-ryu: ")
    for word in words:
        assert word in lines[0]
    assert result.stdout == ""


FREE = ("--bridge", "other", "--port", "7783", "--http-addr", "127.0.0.1:7784")


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("--gateway", "much-too-long-a-name"), USAGE, ("--gateway", "much-too-long-a-name")),
        (("--gateway", "phy0,role=master"), USAGE, ("--gateway", "master", "active, standby")),
        (("--gateway", "phy0,rolle=active"), USAGE, ("rolle", "did you mean role")),
        (("--peer", "no such host"), USAGE, ("--peer", "no such host")),
        (("--peer", "192.0.2.300"), USAGE, ("--peer", "192.0.2.300")),
        (("--peer", "192.0.2.1:99999"), USAGE, ("--peer", "192.0.2.1:99999")),
        (("--name", "hello"), USAGE, ("--name", "hello", "six hex bytes")),
        (("--port", "6783", "--bridge", "other"), FAILED, ("--port", "6783", "in use")),
        (("--http-addr", "127.0.0.1:6784"), FAILED, ("--http-addr", "127.0.0.1:6784", "in use")),
        (("--http-addr", "localhost"), USAGE, ("--http-addr", "localhost", "ADDRESS:PORT")),
        (("--config", "/nonexistent.toml"), USAGE, ("--config", "/nonexistent.toml")),
        (("--ovs-db", "/var/run/db.sock"), USAGE, ("--ovs-db", "unix:PATH")),
        (("--ovs-db", "unix:/nonexistent/db.sock"), FAILED, ("/nonexistent/db.sock",)),
        (("--datapath-type", "windows"), USAGE, ("--datapath-type", "windows")),
    ],
)
def test_wrong_flag_is_one_sentence_and_changes_nothing(peer, arguments, status, words):
    before = state_of(peer)
    free = [
        part
        for flag, value in zip(FREE[::2], FREE[1::2], strict=True)
        if flag not in arguments
        for part in (flag, value)
    ]
    refused(in_host(peer, *RUN, *free, *arguments), status, *words)
    assert state_of(peer) == before
    assert peer.http("GET", "/status").status == 200


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("brigde = 'weave'", ("`brigde`", "did you mean bridge")),
        ("mtu = 'big'", ("`mtu`", "big", "number")),
        ("gateway = [{port = 'phy0', role = 'boss'}]", ("boss", "active, standby")),
        ("port = ", ("--config", "TOML")),
    ],
)
def test_wrong_configuration_names_file_and_key_and_changes_nothing(peer, tmp_path, text, words):
    file = tmp_path / "weave-ryu.toml"
    file.write_text(text)
    before = state_of(peer)
    refused(in_host(peer, *RUN, *FREE, "--config", str(file)), USAGE, str(file), *words)
    assert state_of(peer) == before


def test_without_root_the_daemon_refuses_to_start(peer):
    before = state_of(peer)
    # Modules are loaded before root is given up: nobody may not read them all.
    script = (
        "import os, sys; from weave_ryu.cli.main import build_parser, main; build_parser(); "
        "from weave_ryu.shell import compat, hub; hub.patch(); compat.apply(); "
        "import importlib, pkgutil, weave_ryu.shell; "
        "parts = pkgutil.iter_modules(weave_ryu.shell.__path__, 'weave_ryu.shell.'); "
        "[importlib.import_module(part.name) for part in parts]; "
        f"os.setuid(65534); sys.exit(main(['run', *{list(FREE)!r}]))"
    )
    refused(in_host(peer, sys.executable, "-c", script), FAILED, "root", "65534", "sudo")
    assert state_of(peer) == before


def test_without_open_vswitch_the_remedy_is_named(peer, tmp_path):
    before = state_of(peer)
    missing = tmp_path / "openvswitch"
    result = in_host(peer, *RUN, *FREE, OVS_RUNDIR=str(missing))
    refused(result, FAILED, str(missing), "start Open vSwitch")
    missing.mkdir()
    result = in_host(peer, *RUN, *FREE, OVS_RUNDIR=str(missing))
    refused(result, FAILED, str(missing))
    assert state_of(peer) == before


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("gateway", "activate", "eth9"), USAGE, ("eth9",)),
        (("gateway", "boss", "eth9"), USAGE, ()),
        (("connect", "no.such.host.invalid"), USAGE, ("no.such.host.invalid",)),
        (("status", "--http-addr", "127.0.0.1:9"), 3, ("127.0.0.1:9", "weave-ryu run")),
    ],
)
def test_wrong_request_is_one_sentence_and_changes_nothing(peer, arguments, status, words):
    before = state_of(peer)
    result = in_host(peer, sys.executable, "-m", "weave_ryu", *arguments)
    assert result.returncode == status, result.stderr
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in result.stderr
    assert state_of(peer) == before


@pytest.mark.parametrize("body", [{"role": "boss"}, {"rolle": "active"}, {}, [], "active"])
def test_wrong_role_over_http_is_refused_with_the_field(peer, body):
    reply = peer.http("PUT", "/gateways/gw0", body)
    assert reply.status in (404, 422)
    assert {"code", "message", "field"} == set(reply.body["error"])
