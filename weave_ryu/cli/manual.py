"""Writes the manual page: ``python -m weave_ryu.cli.manual > docs/man/weave-ryu.1``.

Made from the parsers' actions and not from their help text, whose line breaks depend on the version
of Python and the width of the terminal.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from weave_ryu import __version__
from weave_ryu.cli.main import build_parser

_HEAD = f""".\\" Made by python -m weave_ryu.cli.manual; do not edit.
.TH WEAVE\\-RYU 1 "" "weave\\-ryu {__version__}" "User Commands"
.SH NAME
weave\\-ryu \\- redundant layer\\-2 gateways between a Weave mesh and a real VLAN
.SH SYNOPSIS
.B weave\\-ryu
.I COMMAND
.RI [ options ]
.SH DESCRIPTION
.B weave\\-ryu run
is the daemon: a router of the mesh that programs the Open vSwitch bridge of its host. All other
commands but
.BR attach ,
.B detach
and
.B lab
talk to a running daemon over HTTP and need no root. With
.B \\-\\-json
a command prints one JSON document on standard output and nothing else.
.SH COMMANDS
"""

_TAIL = """.SH EXIT STATUS
.IP 0
done
.IP 1
failed; one sentence on standard error says what, with which value, and what to do
.IP 2
usage: a flag, a key, an address, a port or a role cannot be used
.IP 3
no daemon answers on the HTTP address
.SH ENVIRONMENT
.IP WEAVE_PASSWORD
password of the mesh, for
.B run
.IP WEAVE_HTTP_ADDR
address of the daemon's API, instead of 127.0.0.1:6784
.IP WEAVE_API_TOKEN_FILE
file with the token that the daemon asks for
.IP WEAVE_API_CA_FILE
certificate that vouches for the daemon's; the API is asked by HTTPS then
.IP OVS_RUNDIR
run directory of Open vSwitch, instead of /var/run/openvswitch
.SH FILES
.IP /etc/weave\\-ryu.toml
configuration, as the systemd unit names it; its keys are the flags of
.B run
with underscores
.SH SEE ALSO
.BR ovs\\-vsctl (8),
.BR ovs\\-ofctl (8),
.BR ip\\-netns (8)
"""


def render() -> str:
    """The page, in the language of man(7)."""
    return _HEAD + "".join(_commands(build_parser(), "weave-ryu")) + _TAIL


def _commands(parser: argparse.ArgumentParser, prefix: str) -> Iterator[str]:
    for group in parser._actions:
        if isinstance(group, argparse._SubParsersAction):
            summaries = {pseudo.dest: pseudo.help for pseudo in group._choices_actions}
            for word, verb in group.choices.items():
                if word in summaries:  # what has none is no command for humans
                    yield from _command(verb, f"{prefix} {word}", summaries[word] or "")
                    yield from _commands(verb, f"{prefix} {word}")


def _command(parser: argparse.ArgumentParser, name: str, summary: str) -> Iterator[str]:
    actions = [a for a in parser._actions if not isinstance(a, argparse._HelpAction)]
    if any(isinstance(action, argparse._SubParsersAction) for action in actions):
        return
    words = [_word(action) for action in actions if not action.option_strings]
    flags = [action for action in actions if action.option_strings]
    yield f".SS {_text(' '.join([name, *words, *(['[options]'] if flags else [])]))}\n"
    yield f"{_sentence(parser.description or summary)}\n"
    for action in actions:
        if action.help and action.help != argparse.SUPPRESS:
            yield f".TP\n{_term(action)}\n{_text(_help(action))}\n"
    if parser.epilog:
        yield f".PP\n.EX\n{_text(parser.epilog.rstrip())}\n.EE\n"


def _word(action: argparse.Action) -> str:
    word = str(action.metavar or ("|".join(action.choices) if action.choices else action.dest))
    form = {"?": "[{}]", "*": "[{} ...]", "+": "{} ..."}.get(str(action.nargs), "{}")
    return form.format(word)


def _term(action: argparse.Action) -> str:
    if not action.option_strings:
        return f".I {_text(_word(action))}"
    names = f"\\fB{_text(', '.join(action.option_strings))}\\fR"
    if action.nargs == 0:
        return names
    choices = "|".join(map(str, action.choices or ()))
    return f"{names} \\fI{_text(str(action.metavar or choices or action.dest.upper()))}\\fR"


def _help(action: argparse.Action) -> str:
    return str(action.help) % {**vars(action), "prog": "weave-ryu"}


def _sentence(text: str) -> str:
    text = f"{text[0].upper()}{text[1:]}"
    return _text(text if text.endswith(".") else f"{text}.")


def _text(text: str) -> str:
    """Text that roff takes as it is: no line is a request, no dash a hyphen."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join(f"\\&{line}" if line[:1] in ".'" else line for line in escaped.split("\n"))


if __name__ == "__main__":
    sys.stdout.write(render())
