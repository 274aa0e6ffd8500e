"""Tables: in colour with rich on a terminal, as plain columns elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

Rows = Sequence[Sequence[object]]

STYLES = {
    "active": "bold green",
    "arming": "yellow",
    "draining": "yellow",
    "blocked": "red",
    "fading": "yellow",
    "silent": "red",
    "dead": "red",
    "away": "red",
    "replaced": "red",
    "fault": "bold red",
    "no": "red",
    "yes": "green",
    "established": "green",
    "failed": "red",
    "retrying": "yellow",
}
"""Of cells that hold just this word; nothing is said by colour alone."""


WIDE = 120
"""Columns of a terminal from which everything is shown."""


def show(title: str, headers: Sequence[str], rows: Rows, spare: Sequence[str] = ()) -> None:
    """Print a table to stdout.

    Args:
        title: a line above it; empty = none.
        headers: of the columns.
        rows: cells.
        spare: columns that are left out on a narrow terminal.
    """
    if sys.stdout.isatty():
        from rich.console import Console  # noqa: PLC0415  (slow to import, not for pipes)

        console = Console()
        console.print(as_rich(title, *fitting(console.width, headers, rows, spare)))
    else:
        print(as_text(title, headers, rows), end="")


def can_draw() -> bool:
    """Whether stdout is a terminal on which something can be drawn anew: not a dumb one."""
    if not sys.stdout.isatty():
        return False
    from rich.console import Console  # noqa: PLC0415  (as above)

    return not Console().is_dumb_terminal


def as_text(title: str, headers: Sequence[str], rows: Rows) -> str:
    """Plain columns, a line for the title if there is one."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [
        max([len(header), *(len(row[place]) for row in cells)])
        for place, header in enumerate(headers)
    ]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [list(headers), *cells]
    ]
    return "".join(f"{line}\n" for line in ([title] if title else []) + lines)


def fitting(
    width: int, headers: Sequence[str], rows: Rows, spare: Sequence[str]
) -> tuple[Sequence[str], Rows]:
    """What of a table fits a terminal."""
    if width >= WIDE:
        return headers, rows
    kept = [place for place, header in enumerate(headers) if header not in spare]
    return [headers[place] for place in kept], [[row[place] for place in kept] for row in rows]


def as_rich(title: str, headers: Sequence[str], rows: Rows) -> Table:
    """The same for rich."""
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(title=title or None, title_justify="left")
    for header in headers:
        table.add_column(header, overflow="fold")
    for row in rows:
        # As text, not as markup: what stands in the cells comes from other hosts, too.
        table.add_row(*(Text(str(cell), style=STYLES.get(str(cell), "")) for cell in row))
    return table
