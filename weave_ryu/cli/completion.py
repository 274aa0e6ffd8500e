"""``weave-ryu completion``: completes commands in bash, zsh and fish.

The shells ask ``weave-ryu complete WORD…`` at each tab, so that they know what this version knows,
and the gateway ports of the daemon that runs.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

from weave_ryu.cli import client
from weave_ryu.errors import WeaveRyuError

_EXAMPLE = """examples:
  weave-ryu completion bash > /etc/bash_completion.d/weave-ryu
  weave-ryu completion zsh > /usr/local/share/zsh/site-functions/_weave-ryu
  weave-ryu completion fish > /etc/fish/completions/weave-ryu.fish"""

_SCRIPTS = {
    "bash": """\
# Completion of weave-ryu in bash.
_weave_ryu() {
    local IFS=$'\\n'
    # shellcheck disable=SC2207
    COMPREPLY=($("${COMP_WORDS[0]}" complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _weave_ryu weave-ryu
""",
    "zsh": """\
#compdef weave-ryu
# Completion of weave-ryu in zsh.
_weave_ryu() {
    local -a found
    found=("${(@f)$("${words[1]}" complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ -n "${found[*]}" ]]; then compadd -- "${found[@]}"; else _files; fi
}
if [[ "${funcstack[1]}" == _weave-ryu ]]; then
    _weave_ryu "$@"
else
    compdef _weave_ryu weave-ryu
fi
""",
    "fish": """\
# Completion of weave-ryu in fish.
function __weave_ryu
    set -l words (commandline -opc)
    $words[1] complete -- $words[2..-1] (commandline -ct) 2>/dev/null
end
complete -c weave-ryu -a '(__weave_ryu)'
""",
}


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verbs."""
    parser = subparsers.add_parser(
        "completion",
        help="print the script that completes commands in a shell",
        description="Print the script that completes commands, flags and gateway ports.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", choices=tuple(_SCRIPTS))
    parser.set_defaults(handler=_completion)
    # No help text: the shells call it, people do not.
    asked = subparsers.add_parser(
        "complete",
        description="Print what may follow, one word a line; the completion scripts call this.",
        epilog="example:\n  weave-ryu complete -- gateway st",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    asked.add_argument("words", nargs="*", metavar="WORD", help="the line so far, without the name")
    asked.set_defaults(handler=_complete)


def _completion(arguments: argparse.Namespace) -> int:
    print(_SCRIPTS[arguments.shell], end="")
    return 0


def _complete(arguments: argparse.Namespace) -> int:
    from weave_ryu.cli.main import build_parser  # noqa: PLC0415  (it imports this module)

    *before, current = arguments.words or [""]
    for word in candidates(build_parser(), before, current):
        print(word)
    return 0


def candidates(
    parser: argparse.ArgumentParser, before: Sequence[str], current: str
) -> Iterator[str]:
    """What may stand in place of the last word.

    Args:
        parser: of the whole program.
        before: the complete words, without the program's name.
        current: the beginning of the last one, maybe empty.
    """
    flag: argparse.Action | None = None
    place = 0
    for word in before:
        if flag is not None:
            flag = None
            continue
        chosen = _verbs(parser).get(word)
        if chosen is not None:
            parser, place = chosen, 0
        elif word.startswith("-"):
            flag = _takes_value(parser, word)
        else:
            place += 1
    if flag is not None:
        found: Iterator[str] = _values(flag)
    elif current.startswith("-"):
        found = (option for action in parser._actions for option in action.option_strings)
    else:
        found = _positionals(parser, place)
    return (word for word in found if word.startswith(current))


def _verbs(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return {name: verb for name, verb in action.choices.items() if name != "complete"}
    return {}


def _takes_value(parser: argparse.ArgumentParser, word: str) -> argparse.Action | None:
    if "=" in word:
        return None
    for action in parser._actions:
        if word in action.option_strings and action.nargs != 0:
            return action
    return None


def _positionals(parser: argparse.ArgumentParser, place: int) -> Iterator[str]:
    verbs = _verbs(parser)
    if verbs:
        yield from verbs
        return
    actions = [action for action in parser._actions if not action.option_strings]
    if actions and (place < len(actions) or actions[-1].nargs in ("*", "+")):
        yield from _values(actions[min(place, len(actions) - 1)])


def _values(action: argparse.Action) -> Iterator[str]:
    if action.choices is not None:
        yield from (str(choice) for choice in action.choices)
    elif action.dest == "port" and action.metavar == "PORT":
        yield from _gateway_ports()


def _gateway_ports() -> Iterator[str]:
    try:
        gateways = client.default().get_json("/gateways")
    except WeaveRyuError:
        return  # nothing to offer; a tab is no place for an error
    yield from (str(gateway["port"]) for gateway in gateways)
