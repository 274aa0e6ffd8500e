"""Tables: with rich on a terminal, as plain columns elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def show(title: str, headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table to stdout."""
    cells = [[str(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        from rich.console import Console  # noqa: PLC0415  (slow to import, not for pipes)
        from rich.table import Table  # noqa: PLC0415

        table = Table(title=title or None)
        for header in headers:
            table.add_column(header)
        for row in cells:
            table.add_row(*row)
        Console().print(table)
        return
    widths = [
        max([len(header), *(len(row[place]) for row in cells)])
        for place, header in enumerate(headers)
    ]
    for row in [list(headers), *cells]:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )
