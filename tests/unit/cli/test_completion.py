"""Completion: the words, and real shells that ask for them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from weave_ryu.cli.completion import candidates
from weave_ryu.cli.main import build_parser

PROGRAM = Path(sys.executable).parent / "weave-ryu"


def complete(*words):
    *before, current = words
    return list(candidates(build_parser(), before, current))


def test_verbs():
    assert {"run", "status", "gateway", "flows", "lab"} <= set(complete(""))
    assert complete("ga") == ["gateway"]
    assert "complete" not in complete("")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("status", "ma"), ["macs"]),
        (("status", "macs", ""), []),
        (("gateway", "a"), ["activate", "auto"]),
        (("gateway", "status", "--w"), ["--watch"]),
        (("lab", "up", "--datapath-type", "n"), ["netdev"]),
        (("lab", "up", "--datapath-type=netdev", "--ke"), ["--keep"]),
        (("lab", "failover", "--event", "ki"), ["kill"]),
        (("completion", ""), ["bash", "zsh", "fish"]),
        (("run", "--no-discovery", "--bri"), ["--bridge"]),
        (("nonsense", "x"), []),
        (("gateway", "nonsense", "x"), []),
        (("",), None),
    ],
)
def test_words_that_may_follow(words, expected):
    if expected is not None:
        assert complete(*words) == expected


def test_gateway_ports_come_from_the_daemon(run, answers):
    answers["/gateways"] = [{"port": "eth1"}, {"port": "gw0"}]
    assert complete("gateway", "activate", "") == ["eth1", "gw0"]
    assert run("complete", "--", "gateway", "drain", "g")[1] == "gw0\n"


def test_without_daemon_nothing_is_offered(monkeypatch):
    monkeypatch.setenv("WEAVE_HTTP_ADDR", "127.0.0.1:1")
    assert complete("gateway", "activate", "") == []
    monkeypatch.setenv("WEAVE_HTTP_ADDR", "nonsense")
    assert complete("gateway", "activate", "") == []


def test_no_words_at_all(run):
    status, out, _ = run("complete")
    assert status == 0
    assert "status" in out.split()


def shell(name, script):
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed here")
    path = f"{PROGRAM.parent}:{os.environ['PATH']}"
    result = subprocess.run(
        [name, "-c", script],
        env={**os.environ, "PATH": path, "TERM": "dumb"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


def test_bash_completes():
    script = (
        'eval "$(weave-ryu completion bash)"; COMP_WORDS=(weave-ryu gateway sta) COMP_CWORD=2; '
        '_weave_ryu; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    assert shell("bash", script) == ["status", "state", "standby"]


def test_bash_completes_the_empty_word():
    script = (
        'eval "$(weave-ryu completion bash)"; COMP_WORDS=(weave-ryu completion "") COMP_CWORD=2; '
        '_weave_ryu; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    assert shell("bash", script) == ["bash", "zsh", "fish"]


def test_zsh_completes():
    script = (
        "compdef() { :; }; compadd() { shift; print -l -- $@ }; _files() { print files }; "
        'eval "$(weave-ryu completion zsh)"; words=(weave-ryu gateway sta); CURRENT=3; _weave_ryu'
    )
    assert shell("zsh", script) == ["status", "state", "standby"]


def test_fish_completes():
    script = "weave-ryu completion fish | source; complete -C 'weave-ryu gateway sta'"
    assert {"status", "standby"} <= set(shell("fish", script))
