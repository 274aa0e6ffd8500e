"""The hooks of keepalived and Pacemaker with a stand-in for the program: states, wrong words."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTIFY = ROOT / "contrib" / "keepalived" / "weave-ryu-notify"
AGENT = ROOT / "contrib" / "pacemaker" / "weave-ryu"
SHELLFUNCS = Path("/usr/lib/ocf/lib/heartbeat/ocf-shellfuncs")


@pytest.fixture
def program(tmp_path):
    """Notes how it was called; ends with the statuses in `statuses`, one a call, then with 0."""
    path = tmp_path / "program"
    path.write_text(
        "#!/bin/sh\n"
        f'echo "$@" >> {tmp_path}/calls\n'
        f"read -r status rest < {tmp_path}/statuses\n"
        f"echo $rest > {tmp_path}/statuses\n"
        f"cat {tmp_path}/answer\n"
        "exit ${status:-0}\n"
    )
    path.chmod(0o755)
    (tmp_path / "statuses").write_text("\n")
    (tmp_path / "calls").write_text("")
    (tmp_path / "answer").write_text("standby ready\n")
    return tmp_path


def notify(program, *words):
    environment = {
        **os.environ, "WEAVE_RYU": str(program / "program"), "WEAVE_RYU_TRIES": "3",
        "WEAVE_RYU_LOCKS": str(program),
    }  # fmt: skip
    return subprocess.run(
        [NOTIFY, *words], env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("state", "action"),
    [("MASTER", "activate"), ("BACKUP", "standby"), ("FAULT", "standby"), ("STOP", "standby")],
)
def test_state_of_keepalived_becomes_a_role(program, state, action):
    assert notify(program, "eth1", "INSTANCE", "office", state, "100").returncode == 0
    assert (program / "calls").read_text() == f"gateway {action} eth1\n"


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ((), "0 words"),
        (("eth1", "INSTANCE", "office"), "3 words"),
        (("eth1", "INSTANCE", "office", "master"), "'master'"),
        (("eth1", "INSTANCE", "office", ""), "''"),
        (("", "INSTANCE", "office", "MASTER"), "''"),
        (("../x", "INSTANCE", "office", "MASTER"), "'../x'"),
        (("a b", "INSTANCE", "office", "MASTER"), "'a b'"),
        (("$(id)", "INSTANCE", "office", "MASTER"), "'$(id)'"),
    ],
)
def test_wrong_words_are_named_and_nothing_is_called(program, words, named):
    result = notify(program, *words)
    assert result.returncode == 2
    assert named in result.stderr
    assert result.stderr.count("\n") == 1
    assert (program / "calls").read_text() == ""


def test_daemon_that_starts_is_waited_for(program):
    (program / "statuses").write_text("3 3\n")
    assert notify(program, "eth1", "INSTANCE", "office", "MASTER").returncode == 0
    assert (program / "calls").read_text().count("activate") == 3


def test_daemon_that_stays_away_is_an_error_after_some_tries(program):
    (program / "statuses").write_text("3 3 3 3 3\n")
    assert notify(program, "eth1", "INSTANCE", "office", "MASTER").returncode == 3
    assert (program / "calls").read_text().count("activate") == 3


def test_refusal_is_not_repeated(program):
    (program / "statuses").write_text("1\n")
    assert notify(program, "eth1", "INSTANCE", "office", "MASTER").returncode == 1
    assert (program / "calls").read_text().count("activate") == 1


@pytest.fixture
def agent(program):
    if not SHELLFUNCS.exists():
        pytest.skip("resource-agents is not installed: ovs_scripts/install-deps --tests")

    def run(action, **parameters):
        given = {"port": "eth1", "program": str(program / "program"), **parameters}
        environment = {
            **os.environ, "OCF_ROOT": "/usr/lib/ocf", "HA_RSCTMP": str(program),
            "OCF_RESOURCE_INSTANCE": "gw",
            **{f"OCF_RESKEY_{name}": value for name, value in given.items()},
        }  # fmt: skip
        return subprocess.run(
            [AGENT, action], env=environment, capture_output=True, text=True, check=False
        )

    return run


def test_agent_tells_promoted_from_started_from_stopped(agent, program):
    assert agent("monitor").returncode == 7
    assert agent("start").returncode == 0
    assert agent("monitor").returncode == 0
    (program / "answer").write_text("active ready\n")
    assert agent("monitor").returncode == 8
    (program / "statuses").write_text("3\n")
    assert agent("monitor").returncode == 7
    assert agent("stop").returncode == 0
    assert agent("monitor").returncode == 7


def test_agent_stops_although_the_daemon_is_gone(agent, program):
    agent("start")
    (program / "statuses").write_text("3 3\n")
    assert agent("stop").returncode == 0
    assert agent("monitor").returncode == 7


def test_agent_passes_a_refusal_on(agent, program):
    (program / "statuses").write_text("1\n")
    (program / "answer").write_text("eth1: the link is down\n")
    result = agent("promote")
    assert result.returncode == 1
    assert "the link is down" in result.stderr


@pytest.mark.parametrize("port", ["", "a b", "x;id", "../x"])
def test_agent_refuses_what_is_no_port(agent, program, port):
    result = agent("start", port=port)
    assert result.returncode == 6
    assert f"'{port}'" in result.stderr
    assert (program / "calls").read_text() == ""


def test_agent_names_a_program_that_is_not_there(agent):
    result = agent("validate-all", program="/no/such/program")
    assert result.returncode == 5
    assert "/no/such/program" in result.stderr


def test_agent_refuses_other_actions(agent):
    assert agent("nonsense").returncode == 3
    assert agent("meta-data").returncode == 0
