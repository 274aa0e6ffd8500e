"""Writes docs/reference/cli.md: ``python -m weave_ryu.cli.reference > docs/reference/cli.md``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator

from weave_ryu.cli.main import build_parser

_INTRODUCTION = """# Commands

Every command has `--help`. Errors go to standard error as one sentence; [exit
status](exit-status.md) says what the numbers mean. All but `run`, `attach`, `detach` and `lab` talk
to a running daemon over HTTP and need no root. This page is made from the program:

```sh
python -m weave_ryu.cli.reference > docs/reference/cli.md
```
"""


def commands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The parsers of all verbs, and of their verbs, in the order of the help."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for verb in action.choices.values():
                yield verb
                yield from commands(verb)


def render() -> str:
    """The page."""
    parts = [_INTRODUCTION]
    for parser in commands(build_parser()):
        parts.append(f"## {parser.prog}\n\n```text\n{parser.format_help().rstrip()}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    os.environ["COLUMNS"] = "100"
    sys.stdout.write(render())
