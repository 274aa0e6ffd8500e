"""The scripts that operators run on a host, on a host whose daemon has a password and a token."""

import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from labtools import new_prefix

from weave_ryu import links, namespaces
from weave_ryu.lab import daemon as daemons
from weave_ryu.lab import lab as labs
from weave_ryu.lab import topology

SCRIPTS = Path(__file__).parents[2] / "ovs_scripts"
PASSWORD, TOKEN, ENVIRONMENT = "correct horse battery", "c2VjcmV0LXNlY3JldC1zZWNyZXQ=", "hunter-two"


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    path = tmp_path_factory.mktemp("host")
    for name, text in (("password", PASSWORD), ("token", TOKEN)):
        (path / name).write_text(f"{text}\n")
        (path / name).chmod(0o600)
    (path / "weave-ryu.toml").write_text(
        f"password_file = '{path}/password'\napi_token_file = \"{path}/token\"\n"
    )
    return path


@pytest.fixture(scope="module")
def host(build_lab, directory):
    command = (*daemons.DEFAULT_COMMAND, "--config", str(directory / "weave-ryu.toml"))
    options = labs.Options(
        prefix=new_prefix(), topology=topology.build(["A"]), daemon_command=command
    )
    return build_lab(options).peers["A"]


@pytest.fixture
def run(host):
    def script(name, *words, **environment):
        # Not the logs of this machine's own Open vSwitch.
        own = {**host.switch.environment, "OVS_LOGDIR": "/nonexistent"}
        settings = {**os.environ, **own, **environment}
        command = [str(SCRIPTS / name), *words]
        return namespaces.run_inside(
            host.netns,
            lambda: subprocess.run(
                command, env=settings, capture_output=True, text=True, timeout=120, check=False
            ),
        )

    return script


def test_dump_shows_the_bridge_by_name(run):
    found = run("dump", "config", "ports", "flows", "groups", "meters", "bfd")
    assert (found.returncode, found.stderr) == (0, "")
    for words in ('table="gate_in"', "vxlan-6784", "fail_mode", "meter=", "in_port=gw0"):
        assert words in found.stdout, words


def test_plain_ofctl_shows_the_flows_too(host):
    plain = host.switch.run("ovs-ofctl", "dump-flows", "weave")
    assert len(plain.splitlines()) > 40
    assert "hard_timeout=1" in plain
    assert "actions=resubmit(,10)" in plain


def test_dump_of_a_bridge_that_is_not_there_fails_and_shows_the_rest(run):
    found = run("dump", "--bridge", "other", "config", "flows")
    assert found.returncode == 1
    assert "weave" in found.stdout
    assert "other is not a bridge" in found.stdout


def test_bridge_is_made_closed_and_left_alone_the_second_time(run, host):
    host.switch.run("ip", "link", "add", "seg0", "type", "veth", "peer", "name", "seg1")
    words = ("--bridge", "overlay2", "--gateway", "seg0", "--datapath-type", "netdev")
    try:
        for _ in range(2):
            found = run("bridge-setup", *words)
            assert (found.returncode, found.stderr) == (0, "")
        assert host.switch.vsctl("get", "Bridge", "overlay2", "fail_mode").strip() == "secure"
        assert host.switch.vsctl("list-ports", "overlay2").split() == ["seg0"]
        assert host.ofctl("dump-flows", "overlay2").strip().splitlines()[1:] == []
    finally:
        host.switch.vsctl("--if-exists", "del-br", "overlay2")


@pytest.mark.parametrize(
    ("words", "status", "named"),
    [
        (("--gateway", "eth9"), 1, "'eth9'"),
        (("--gateway", "lo"), 0, ""),
        (("--datapath-type", "dpdk"), 2, "'dpdk'"),
        (("--bridge", "a b"), 2, "'a b'"),
        (("--bridge", "a[b"), 2, "'a[b'"),
        (("--ovs-db", "tcp:[::1]:6640"), 0, ""),
        (("--ovs-db", "tcp:$(id)"), 2, "'tcp:$(id)'"),
    ],
)
def test_wrong_words_of_bridge_setup_are_named(run, words, status, named):
    found = run("bridge-setup", *words, "--dry-run")
    assert (found.returncode, found.stderr.count("\n")) == (status, 1 if status else 0)
    assert named in found.stderr


def test_bridge_that_forwards_by_itself_gets_no_gateway_port(run, host):
    host.switch.vsctl(
        "add-br", "overlay2", "--", "set", "Bridge", "overlay2", "datapath_type=netdev"
    )
    try:
        found = run("bridge-setup", "--bridge", "overlay2", "--gateway", "lo")
        assert found.returncode == 1
        assert "'overlay2' is there and forwards by itself" in found.stderr
        assert host.switch.vsctl("list-ports", "overlay2") == ""
    finally:
        host.switch.vsctl("del-br", "overlay2")


def test_link_with_an_address_becomes_no_gateway_port(run, host):
    found = run("bridge-setup", "--gateway", "br-phy", "--bridge", "overlay2")
    assert found.returncode == 1
    assert "carries an address" in found.stderr
    assert "overlay2" not in host.switch.vsctl("list-br").split()


def test_container_is_plugged_in_by_its_name(run, host, namespace, tmp_path):
    container = namespace("web")
    found = run("attach", container.name, "10.32.0.77/24", "--json")
    assert found.returncode == 0, found.stderr
    assert run("attach", "--detach", container.name).returncode == 0
    docker = tmp_path / "docker"
    docker.write_text(f'#!/bin/sh\n[ "$4" = web ] && echo {os.getpid()}\n')
    docker.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    found = run("attach", "--dry-run", "web", "10.32.0.77/24", "--mtu", "1300", PATH=path)
    assert found.stdout.endswith(f"weave-ryu attach {os.getpid()} 10.32.0.77/24 --mtu 1300\n")
    found = run("attach", "nobody", "10.32.0.77/24", PATH=path)
    assert found.returncode == 1
    assert "'nobody'" in found.stderr


def bundle(run, tmp_path, *words, **environment):
    path = tmp_path / "bundle.tar.gz"
    found = run("support-bundle", "--output", str(path), *words, **environment)
    assert found.returncode == 0, found.stderr
    with tarfile.open(path) as archive:
        return found, {
            Path(member.name).name: archive.extractfile(member).read().decode(errors="replace")
            for member in archive.getmembers()
            if member.isfile()
        }


def test_bundle_has_what_is_needed_and_no_secret(run, host, directory, tmp_path):
    leaky = tmp_path / "leaky.log"
    leaky.write_text(
        f"someone typed {PASSWORD} here, {TOKEN}, {ENVIRONMENT} and {PASSWORD}\n"
        "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n-----END EC PRIVATE KEY-----\nafter\n"
    )
    config = tmp_path / "weave-ryu.toml"
    written = (directory / "weave-ryu.toml").read_text()
    config.write_text(
        f'{written}Password = "mistake-of-mine"\n  api_token="mistake-two"\nmtu = 1400\n'
    )
    found, files = bundle(
        run, tmp_path, "--config", str(config), "--log", str(leaky), "--log", str(host.daemon.log),
        WEAVE_PASSWORD=ENVIRONMENT,
    )  # fmt: skip
    everything = "".join(files.values())
    for secret in (PASSWORD, TOKEN, ENVIRONMENT, "mistake-of-mine", "mistake-two", "MHcCAQEE"):
        assert secret not in everything, secret
    assert (
        "here, <removed>, <removed> and <removed>\n<removed>\n<removed>\n<removed>\nafter"
        in (files["log-1-leaky.log"])
    )
    assert "mtu = 1400" in files["configuration.toml"]
    assert f"{directory}/token" in files["configuration.toml"]
    assert '"segment": "vlan"' in files["gateways.json"]
    assert "gate_in" in files["flows-explained.txt"]
    assert 'table="gate_in"' in files["switch.txt"]
    assert "gw0" in files["links.txt"]
    assert "daemon_started" in files[f"log-2-{host.daemon.log.name}"]
    assert "Open vSwitch" in files["versions.txt"]
    assert (tmp_path / "bundle.tar.gz").stat().st_mode & 0o077 == 0
    assert (
        set(files.get("not-complete.txt", "").split()) & {"gateways.json:", "switch.txt:"} == set()
    )
    assert "wrote" in found.stdout


def test_bundle_of_a_host_whose_daemon_is_down_has_the_rest(run, host, tmp_path):
    found, files = bundle(run, tmp_path, "--http-addr", "127.0.0.1:9", "--config", "/nonexistent")
    assert "no weave-ryu daemon answers" in files["gateways.json"]
    assert 'table="gate_in"' in files["switch.txt"]
    assert "gateways.json" in found.stderr
    assert "configuration.toml" in files["not-complete.txt"]


def test_bundle_has_the_logs_of_open_vswitch(run, tmp_path):
    for name in ("ovs-vswitchd.log", "ovsdb-server.log", "ovs-ctl.log"):
        (tmp_path / name).write_text(f"in {name}\n")
    _, files = bundle(run, tmp_path, "--config", "/nonexistent", OVS_LOGDIR=str(tmp_path))
    assert files["log-1-ovs-vswitchd.log"] == "in ovs-vswitchd.log\n"
    assert files["log-2-ovsdb-server.log"] == "in ovsdb-server.log\n"
    assert not any(name.endswith("ovs-ctl.log") for name in files)


def test_bundle_takes_paths_with_spaces_and_replaces_no_file_behind_a_link(run, tmp_path):
    log, secret, other = tmp_path / "a log", tmp_path / "a * secret", tmp_path / "other"
    log.write_text("they typed swordfish here\n")
    secret.write_text("swordfish\n")
    other.write_text("kept")
    (tmp_path / "bundle.tar.gz").symlink_to(other)
    words = ("--log", str(log), "--log", str(tmp_path / "none"), "--secret", str(secret))
    _, files = bundle(run, tmp_path, *words, "--config", "/nonexistent")
    assert files["log-1-a log"] == "they typed <removed> here\n"
    assert "log-2-none: status 1" in files["not-complete.txt"]
    assert other.read_text() == "kept"


def test_bundle_is_not_made_if_a_secret_cannot_be_read_or_the_output_is_no_file(run, tmp_path):
    for words in (("--secret", str(tmp_path / "none")), ("--output", "/dev/null")):
        found = run("support-bundle", *words)
        assert (found.returncode, found.stderr.count("\n")) == (1, 1)
        assert words[1] in found.stderr
    assert Path("/dev/null").is_char_device()


def test_secret_that_the_configuration_names_and_nobody_can_read_is_told(run, tmp_path):
    config = tmp_path / "weave-ryu.toml"
    config.write_text('password_file = "/nonexistent/pass word"\n')
    found, files = bundle(run, tmp_path, "--config", str(config))
    assert "secret /nonexistent/pass word" in found.stderr
    assert "nothing is cleaned of it" in files["not-complete.txt"]


ARP_IGNORE = Path("/proc/sys/net/ipv4/conf/phy0/arp_ignore")


@pytest.fixture
def warned_of(run, host, eventually):
    """Waits for a warning of the underlay's link, and does what that says."""

    def count():
        return host.daemon.log.read_text().count("underlay_link_answers_arp")

    before = count()

    def mend():
        # The daemon looks when something changes in the database, or once a minute.
        host.switch.vsctl("set", "Bridge", "br-phy", "external_ids:somebody=changed-this")
        eventually(lambda: count() > before, what="a warning")
        remedy = f"--bridge br-phy --link phy0 --address {host.spec.underlay_cidr}"
        assert f"ovs_scripts/underlay-setup {remedy}" in host.daemon.log.read_text()
        result = run("underlay-setup", *remedy.split(), "--datapath-type", "netdev")
        assert result.returncode == 0, result.stderr
        host.switch.vsctl("remove", "Bridge", "br-phy", "external_ids", "somebody")
        assert count() == before + 1

    return mend


def test_daemon_names_a_link_that_answers_and_what_it_says_mends_it(host, warned_of):
    # As an earlier underlay-setup left it.
    host.switch.vsctl("remove", "Bridge", "br-phy", "external_ids", "weave-ryu-before-phy0")
    namespaces.run_inside(host.netns, lambda: ARP_IGNORE.write_text("0\n"))
    warned_of()
    assert namespaces.run_inside(host.netns, ARP_IGNORE.read_text) == "1\n"


def test_daemon_names_a_link_that_the_address_has_come_back_to(host, warned_of):
    # As the host's own configuration does at boot, if the address is left in it.
    links.add_address("phy0", host.spec.underlay_cidr, host.netns)
    warned_of()
    assert links.list_addresses("phy0", host.netns) == []
    assert links.list_addresses("br-phy", host.netns) == [host.spec.underlay_cidr]
