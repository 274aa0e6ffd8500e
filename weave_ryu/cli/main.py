"""The console script: finds the verb, turns errors into one sentence and an exit status."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from weave_ryu import __version__
from weave_ryu.errors import ConfigError, DaemonUnreachableError, WeaveRyuError

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 3

_MODULES = {
    "run": "run",
    "status": "status",
    "report": "status",
    "connect": "status",
    "forget": "status",
    "attach": "attach",
    "detach": "attach",
    "gateway": "gateway",
    "flows": "flows",
    "trace": "trace",
    "lab": "lab",
    "debug": "debug",
    "completion": "completion",
    "complete": "completion",
}
"""Verb → module of this package; each has ``register(subparsers)``, and its parsers a ``handler``.

Only the module of the verb that was given is imported: the lab alone costs more than a request.
"""


def build_parser(verb: str | None = None) -> argparse.ArgumentParser:
    """The parser with all verbs, or with one verb's module only.

    A handler takes the parsed arguments and returns an exit status.
    """
    parser = argparse.ArgumentParser(
        prog="weave-ryu",
        description="Redundant layer-2 gateways between a Weave mesh and a real VLAN.",
        epilog="exit status: 0 ok, 1 failed, 2 usage, 3 daemon not reachable",
    )
    parser.add_argument("--version", action="version", version=f"weave-ryu {__version__}")
    subparsers = parser.add_subparsers(dest="verb", metavar="COMMAND", required=True)
    wanted = dict.fromkeys(_MODULES.values()) if verb is None else (_MODULES[verb],)
    for name in wanted:
        importlib.import_module(f"weave_ryu.cli.{name}").register(subparsers)
    return parser


def _check_encoding(words: Sequence[str]) -> None:
    """Refuse bytes that are no text (PEP 383): addresses, names and paths here are."""
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError as error:
            raise ConfigError("argument", word, "is not UTF-8") from error


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0 ok, 1 failed, 2 usage, 3 daemon not reachable.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    verb = words[0] if words and words[0] in _MODULES else None
    arguments = build_parser(verb).parse_args(words)
    try:
        _check_encoding(words)
        return int(arguments.handler(arguments))
    except ConfigError as error:
        print(f"weave-ryu: {error}", file=sys.stderr)
        return EXIT_USAGE
    except DaemonUnreachableError as error:
        print(f"weave-ryu: {error}", file=sys.stderr)
        return EXIT_UNREACHABLE
    except WeaveRyuError as error:
        print(f"weave-ryu: {error}", file=sys.stderr)
        return EXIT_FAILED
    except BrokenPipeError:
        # The reader of our output went away (`| head`): not an error of ours.
        sys.stderr.close()
        return EXIT_OK
    except KeyboardInterrupt:
        return 130
