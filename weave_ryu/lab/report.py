"""What the demo found: accounts, gaps and checks, as one document or as tables."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from weave_ryu.lab.counting import Delivery


@dataclass(frozen=True, slots=True)
class Account:
    """What became of the frames of one direction and kind in one phase.

    Several receivers of a broadcast make one account: then all figures but ``sent`` are sums.
    """

    phase: str
    kind: str
    source: str
    receiver: str
    sent: int
    expected: int
    arrived: int
    duplicated: int
    lost: int


@dataclass(frozen=True, slots=True)
class Gap:
    """The longest silence in one direction around one event.

    Attributes:
        sender_pause_ms: the longest time the sender itself paused; a gap of that length is ours.
    """

    event: str
    source: str
    receiver: str
    gap_ms: float
    lost: int
    sender_pause_ms: float


@dataclass(frozen=True, slots=True)
class Check:
    """One invariant in one situation: what was measured, against which bound."""

    invariant: str
    situation: str
    measured: str
    bound: str
    ok: bool


@dataclass(slots=True)
class Report:
    """Everything the demo found out."""

    accounts: list[Account] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    problem: dict[str, Any] = field(default_factory=dict)

    def account(
        self, phase: str, kind: str, ends: tuple[str, str], deliveries: Sequence[Delivery]
    ) -> None:
        """Add the account of a stream at its receivers."""
        self.accounts.append(
            Account(
                phase=phase,
                kind=kind,
                source=ends[0],
                receiver=ends[1],
                sent=max((delivery.sent for delivery in deliveries), default=0),
                expected=sum(delivery.sent for delivery in deliveries),
                arrived=sum(delivery.arrived for delivery in deliveries),
                duplicated=sum(delivery.duplicated for delivery in deliveries),
                lost=sum(delivery.lost for delivery in deliveries),
            )
        )

    def check(self, invariant: str, situation: str, measured: str, bound: str, *, ok: bool) -> None:
        """Add a check."""
        self.checks.append(Check(invariant, situation, measured, bound, ok))

    @property
    def violated(self) -> list[Check]:
        """The checks that failed."""
        return [check for check in self.checks if not check.ok]

    def as_document(self) -> dict[str, Any]:
        """The whole report as JSON types."""
        return {
            "ok": not self.violated,
            "violated": sorted({check.invariant for check in self.violated}),
            "traffic": [asdict(account) for account in self.accounts],
            "role_changes": [asdict(gap) for gap in self.gaps],
            "problem": self.problem,
            "checks": [asdict(check) for check in self.checks],
        }

    def print_tables(self) -> None:
        """Print the report to stdout: in colour and ruled on a terminal, plain otherwise."""
        print_table(
            "Traffic: frames by direction and kind",
            ("phase", "kind", "from", "to", "sent", "arrived", "duplicated", "lost"),
            [
                (
                    *(account.phase, account.kind, account.source, account.receiver),
                    str(account.sent),
                    f"{account.arrived} of {account.expected}",
                    str(account.duplicated),
                    str(account.lost),
                )
                for account in self.accounts
            ],
        )
        print_table(
            "Role changes: the longest silence in each direction",
            ("event", "from", "to", "gap", "frames lost", "sender's own pause"),
            [
                (
                    *(gap.event, gap.source, gap.receiver),
                    f"{gap.gap_ms:.0f} ms",
                    str(gap.lost),
                    f"{gap.sender_pause_ms:.0f} ms",
                )
                for gap in self.gaps
            ],
        )
        print_table(
            "Checks",
            ("invariant", "situation", "measured", "bound", ""),
            [
                (
                    *(check.invariant, check.situation, check.measured, check.bound),
                    "ok" if check.ok else "VIOLATED",
                )
                for check in self.checks
            ],
        )


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print one table to stdout, by rich on a terminal; rows with ``VIOLATED`` stand out."""
    if sys.stdout.isatty():
        # Not needed, and not waited for, when the output goes to a file.
        from rich.console import Console  # noqa: PLC0415
        from rich.table import Table  # noqa: PLC0415

        table = Table(title=title, title_justify="left")
        for column in columns:
            table.add_column(column)
        for row in rows:
            style = "bold red" if "VIOLATED" in row else None
            table.add_row(*row, style=style)
        Console().print(table)
        return
    widths = [max(map(len, cells)) for cells in zip(columns, *rows, strict=True)]
    print(f"\n{title}")
    for row in (columns, ["-" * width for width in widths], *rows):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        print("  " + "  ".join(cells).rstrip())
