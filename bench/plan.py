"""What a benchmark is, and how much of it is to be run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.sheet import Sheet


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to run.

    Args:
        is_quick: little of everything: it shows that a benchmark works, its figures are not meant.
        tell: told what is going on.
    """

    is_quick: bool
    tell: Callable[[str], None]

    @property
    def repeats(self) -> int:
        """Of each measurement with each contender."""
        return 2 if self.is_quick else 5

    @property
    def seconds(self) -> float:
        """How long traffic runs in one repeat."""
        return 0.6 if self.is_quick else 2.0


@dataclass(frozen=True, slots=True)
class Target:
    """A bound that the project sets itself.

    Args:
        text: what it says.
        bound: the value.
        unit: of the bound; ``ratio`` compares with the baseline.
        case: of the series it is about.
        metric: of the series it is about.
        contender: of the series it is about.
        at_least: True if the value must not be below the bound, False if not above it.
    """

    text: str
    bound: float
    unit: str
    case: str
    metric: str
    contender: str = "weave-ryu"
    at_least: bool = False

    def value(self, sheet: Sheet) -> float | None:
        """What was found, or None if it was not measured."""
        series = sheet.find(self.case, self.metric, self.contender)
        if series is None:
            return None
        return sheet.ratio(series) if self.unit == "ratio" else series.median

    def is_met(self, value: float) -> bool:
        """Whether a value is within the bound."""
        return value >= self.bound if self.at_least else value <= self.bound


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One benchmark.

    Args:
        name: for the command line and the files.
        title: of its page's section.
        explains: three sentences: what is measured, how, and what to make of it.
        measure: does it.
        targets: bounds that it decides about.
        plotted: metrics that are drawn; others are in the table only.
        not_compared: metrics that say how far to trust the others; nobody wins or loses by them.
    """

    name: str
    title: str
    explains: str
    measure: Callable[[Plan], Sheet]
    targets: tuple[Target, ...] = ()
    plotted: tuple[str, ...] = ()
    not_compared: tuple[str, ...] = ()
