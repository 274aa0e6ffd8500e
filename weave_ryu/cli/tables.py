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
    "fault": "bold red",
    "no": "red",
    "yes": "green",
    "established": "green",
    "failed": "red",
    "retrying": "yellow",
}
"""Of cells that hold just this word; nothing is said by colour alone."""


def show(title: str, headers: Sequence[str], rows: Rows) -> None:
    """Print a table to stdout."""
    if sys.stdout.isatty():
        from rich.console import Console  # noqa: PLC0415  (slow to import, not for pipes)

        Console().print(as_rich(title, headers, rows))
    else:
        print(as_text(title, headers, rows), end="")


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
