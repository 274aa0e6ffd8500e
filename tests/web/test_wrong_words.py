"""Every flag and every word of every command refuses nonsense in one sentence.

Flags are read from the parser, so that a new one is tested without a word here. Daemon and lab are
never started: what comes that far has been accepted.
"""

import argparse
import inspect
import os
import re
import sys

import pytest
from page_server import Server

from weave_ryu import attach
from weave_ryu.cli import lab as cli_lab
from weave_ryu.cli.main import build_parser, main
from weave_ryu.cli.reference import commands
from weave_ryu.lab import lab
from weave_ryu.lab.state import State, check_prefix

NO_TEXT = "a\udcff"
"""Bytes that are no UTF-8, as Python hands them over."""

NONSENSE = ["", "no such thing", "-1", "/no/such/file", "x" * 300, "9" * 5000, NO_TEXT]

FILLED = {
    "namespace": str(os.getpid()), "cidr": "10.32.0.5/24", "peer": "192.0.2.1", "port": "eth1",
    "source": "02:b0:00:00:00:01", "destination": "02:c0:00:00:00:01", "shell": "bash", "words": "",
}  # fmt: skip
"""For what a command needs beside the word that is tested."""

ACCEPTED = {"words"}
"""Any text will do: what a shell wants to be completed."""

MAY_HAVE_GONE = ("weave-ryu detach", "namespace")
"""Its port goes all the same; `tests/netns/test_attach.py` has what was never there."""


class Accepted(Exception):
    pass


def accept(*_arguments, **_options):
    raise Accepted


class Anything:
    """A peer of a lab; what is done to it has been accepted."""

    def __getattr__(self, name):
        raise Accepted


def a_lab(prefix):
    check_prefix(prefix)
    return argparse.Namespace(peers={FILLED["peer"]: Anything()}, describe=accept)


def places():
    for parser in commands(build_parser()):
        for action in parser._actions:
            is_group = isinstance(action, argparse._SubParsersAction)
            if action.nargs != 0 and not is_group:
                yield parser, action


def name_of(action):
    return action.option_strings[-1] if action.option_strings else action.dest


@pytest.fixture(scope="module")
def server():
    found = Server()
    found.tell("unlimited")
    yield found
    found.stop()


@pytest.fixture
def run(server, monkeypatch, capsys):
    monkeypatch.setenv("WEAVE_HTTP_ADDR", f"127.0.0.1:{server.port}")
    monkeypatch.setattr(lab, "up", accept)
    monkeypatch.setattr(lab, "find", a_lab)
    for module, name in ((lab, "require_root"), (attach, "_require_root")):
        monkeypatch.setattr(module, name, lambda *_: None)
    for module in vars(cli_lab).values():
        if inspect.ismodule(module) and hasattr(module, "run"):
            monkeypatch.setattr(module, "run", accept)
    monkeypatch.setattr(State, "remove", accept)
    monkeypatch.setattr(attach._Switch, "is_userspace", accept)
    # The shell itself is not imported here: eventlet would patch this very process.
    monkeypatch.setitem(sys.modules, "weave_ryu.shell", argparse.Namespace())

    def command(words):
        try:
            status = main(words)
        except SystemExit as end:
            status = end.code
        except (Accepted, ImportError):
            status = 0
        return status, capsys.readouterr().err

    return command


def line(parser, tested, value):
    """The words of a command with this value in this place."""
    words = parser.prog.split()[1:]
    rest = []
    for action in parser._actions:
        if action is tested and action.option_strings:
            words.append(f"{name_of(action)}={value}")
        elif action is tested:
            rest.append(value)
        elif not action.option_strings and action.dest in FILLED:
            rest.append(FILLED[action.dest])
    return [*words, "--", *rest] if rest else words


def is_sentence(error, action, value):
    """One line that names the flag or the value; argparse shows the usage before it."""
    last = error.rstrip("\n").splitlines()[-1]
    shown = ascii(value)[1:-1][:20]
    named = name_of(action) in last or action.metavar in last.split() or shown in last
    is_ours = error.count("\n") == 1 and error.startswith("weave-ryu: ")
    return named and (is_ours or re.match(r"usage: |weave-ryu", error))


@pytest.mark.parametrize(
    ("parser", "action"), list(places()), ids=lambda found: getattr(found, "prog", None) or
    name_of(found),
)  # fmt: skip
def test_nonsense_is_refused_in_a_sentence_that_names_it(run, parser, action):
    refused = 0
    for value in NONSENSE:
        status, error = run(line(parser, action, value))
        assert "Traceback" not in error
        assert status in (0, 1, 2, 3), (value, status, error)
        if status:
            assert is_sentence(error, action, value), (value, status, error)
            refused += value != NO_TEXT
    free = name_of(action) in ACCEPTED or (parser.prog, action.dest) == MAY_HAVE_GONE
    assert bool(refused) is not free


def test_every_command_has_json():
    """All but the daemon, what shells read, and `debug`, whose only output is JSON."""
    without = {
        parser.prog.removeprefix("weave-ryu ")
        for parser in commands(build_parser())
        if "--json" not in parser.format_help() and not parser._subparsers
    }
    assert without == {
        "run", "completion", "complete", "debug decode", "debug routes", "debug merge",
    }  # fmt: skip


@pytest.mark.parametrize("command", ["activate", "nonsense", "", "gateway --", "--nonsense"])
def test_unknown_command_shows_the_usage(run, command):
    status, error = run(command.split(" "))
    assert status == 2
    assert error.startswith("usage: weave-ryu")
