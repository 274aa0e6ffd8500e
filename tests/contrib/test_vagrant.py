"""The Vagrantfile is valid, and what it calls works without a hypervisor."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from weave_ryu import config

ROOT = Path(__file__).parents[2]
PROVISION = ROOT / "vagrant" / "provision"
PEER = ("peer", "--nickname", "A", "--host", "192.0.2.1")


def provision(*words, path=None):
    environment = {**os.environ, **({"PATH": f"{path}:{os.environ['PATH']}"} if path else {})}
    return subprocess.run(
        [PROVISION, *words], env=environment, capture_output=True, text=True, check=False
    )


def test_vagrantfile_is_valid(tmp_path):
    if shutil.which("vagrant") is None:
        pytest.skip("vagrant is not installed: ovs_scripts/install-deps --tests")
    environment = {
        **os.environ, "VAGRANT_HOME": str(tmp_path / "home"), "VAGRANT_CHECKPOINT_DISABLE": "1",
        "VAGRANT_DOTFILE_PATH": str(tmp_path / "state"), "VAGRANT_CWD": str(ROOT / "vagrant"),
    }  # fmt: skip
    result = subprocess.run(
        ["vagrant", "validate", "--ignore-provider"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "validated successfully" in result.stdout


def test_settings_of_a_gateway_are_what_the_daemon_reads(tmp_path):
    words = ("--peer", "192.0.2.2", "--peer", "192.0.2.3", "--gateway", "eth9")
    result = provision(*PEER, *words, "--root", str(tmp_path), "--dry-run")
    assert result.returncode == 0, result.stderr
    loaded = config.load(str(tmp_path / "etc" / "weave-ryu.toml"), {}, {})
    assert (loaded.nickname, loaded.host) == ("A", "192.0.2.1")
    assert loaded.peer == ("192.0.2.2", "192.0.2.3")
    (gateway,) = loaded.gateway
    assert (gateway.port, gateway.segment, str(gateway.role)) == ("eth9", "vlan", "auto")
    unit = (tmp_path / "etc" / "systemd" / "system" / "weave-ryu.service").read_text()
    assert f"ExecStart={ROOT}/.venv/bin/weave-ryu run" in unit


def test_peer_without_others_is_fine_too(tmp_path):
    assert provision(*PEER, "--root", str(tmp_path), "--dry-run").returncode == 0
    loaded = config.load(str(tmp_path / "etc" / "weave-ryu.toml"), {}, {})
    assert (loaded.peer, loaded.gateway) == ((), ())


def test_steps_are_run_in_order_and_a_second_time(tmp_path):
    calls, tools = tmp_path / "calls", tmp_path / "tools"
    tools.mkdir()
    for name in ("apt-get", "make", "ln", "systemctl", "ip"):
        (tools / name).write_text(f'#!/bin/sh\necho "{name} $*" >> {calls}\n')
        (tools / name).chmod(0o755)
    for _ in range(2):
        result = provision(*PEER, "--gateway", "eth9", "--root", str(tmp_path), path=tools)
        assert result.returncode == 0, result.stderr
    lines = [line.split()[:2] for line in calls.read_text().splitlines()]
    once = [
        ["ip", "link"], ["apt-get", "install"], ["make", "-C"], ["ip", "-o"], ["ln", "-sf"],
        ["ln", "-sf"],
        ["systemctl", "daemon-reload"], ["systemctl", "enable"], ["systemctl", "restart"],
    ]  # fmt: skip
    assert lines == once * 2


def test_step_that_fails_ends_it(tmp_path):
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, status in (("apt-get", 0), ("make", 7), ("systemctl", 0)):
        (tools / name).write_text(f"#!/bin/sh\necho {name}\nexit {status}\n")
        (tools / name).chmod(0o755)
    result = provision(*PEER, "--root", str(tmp_path), path=tools)
    assert result.returncode == 7
    assert "systemctl" not in result.stdout


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ((), "peer or host"),
        (("gateway",), "'gateway'"),
        (("peer",), "--nickname"),
        (("peer", "--nickname", "A"), "--host"),
        (("peer", "--nickname"), "--nickname needs a value"),
        (("peer", "--nickname", 'A"\nmtu=1'), "--nickname"),
        (("peer", "--nickname", ""), "--nickname ''"),
        ((*PEER, "--peer", "$(id)"), "'$(id)'"),
        ((*PEER, "--speed", "9"), "'--speed'"),
        (("host",), "--address"),
    ],
)
def test_wrong_words_are_named_and_nothing_is_written(tmp_path, words, named):
    result = provision(*words, *(("--root", str(tmp_path / "new")) if len(words) > 3 else ()))
    assert result.returncode == 2
    assert named in result.stderr
    assert not (tmp_path / "new").exists()


def test_machines_and_words_of_the_vagrantfile_fit_the_script():
    text = (ROOT / "vagrant" / "Vagrantfile").read_text()
    accepted = set(re.findall(r"^  (--[a-z-]+)", provision("--help").stdout, re.MULTILINE))
    assert set(re.findall(r'"(--[a-z-]+)"', text)) - {"--nicpromisc3"} <= accepted
