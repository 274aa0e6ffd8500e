"""How verbs below a command are declared, so that the help of all has one shape."""

from __future__ import annotations

import argparse


def add(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    summary: str,
    epilog: str,
) -> argparse.ArgumentParser:
    """Add one.

    Args:
        verbs: of the command.
        name: what is typed.
        summary: a clause; the description is the same as a sentence.
        epilog: printed as it is.
    """
    return verbs.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
