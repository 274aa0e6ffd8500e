"""What a benchmark found: values per case and contender, their medians, spread and ratios."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(slots=True)
class Series:
    """The values of one contender in one case, in the order of the repeats.

    Args:
        case: what was done, such as ``container to container``.
        metric: what was measured, such as ``received``.
        unit: of the values.
        contender: who did it.
        more_is_better: which direction is good.
        values: one for each repeat.
    """

    case: str
    metric: str
    unit: str
    contender: str
    more_is_better: bool
    values: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Of all repeats."""
        return statistics.median(self.values)

    @property
    def spread(self) -> tuple[float, float]:
        """The least and the greatest value."""
        return min(self.values), max(self.values)


class Sheet:
    """All series of one benchmark.

    Args:
        baseline: the contender that the others are compared with; None if there is only one.
    """

    def __init__(self, baseline: str | None = None) -> None:
        self.baseline = baseline
        self.series: list[Series] = []
        self.notes: list[str] = []

    def add(
        self,
        case: str,
        metric: str,
        unit: str,
        value: float,
        *,
        contender: str = "weave-ryu",
        more_is_better: bool = False,
    ) -> None:
        """Add the value of one repeat."""
        found = self.find(case, metric, contender)
        if found is None:
            found = Series(case, metric, unit, contender, more_is_better)
            self.series.append(found)
        found.values.append(value)

    def find(self, case: str, metric: str, contender: str = "weave-ryu") -> Series | None:
        """A series, or None if nothing of the kind was measured."""
        for one in self.series:
            if (one.case, one.metric, one.contender) == (case, metric, contender):
                return one
        return None

    def ratios(self, series: Series, against: str | None = None) -> list[float]:
        """How a contender compares with the baseline, or with another one, repeat by repeat.

        Repeats that ran side by side are compared with each other, so that what else the machine
        did in between cancels out. Empty if there is nothing to compare with.
        """
        other = self.find(series.case, series.metric, against or self.baseline or "")
        if other is None or other is series:
            return []
        pairs = zip(series.values, other.values, strict=False)
        return [value / base for value, base in pairs if base]

    def ratio(self, series: Series, against: str | None = None) -> float | None:
        """The median of the ratios; None if there are none."""
        ratios = self.ratios(series, against)
        return statistics.median(ratios) if ratios else None

    def as_document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "baseline": self.baseline,
            "series": [asdict(one) for one in self.series],
            "notes": self.notes,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Sheet:
        """From JSON."""
        sheet = cls(document["baseline"])
        sheet.series = [Series(**one) for one in document["series"]]
        sheet.notes = list(document["notes"])
        return sheet


def interleave(contenders: Mapping[str, Callable[[], None]], repeats: int) -> None:
    """Run A B, B A, A B, …: neither gains from what the machine does as time goes on."""
    names = list(contenders)
    for number in range(repeats):
        for name in names if number % 2 == 0 else reversed(names):
            contenders[name]()


def shown(value: float) -> str:
    """A number with three digits that count."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"
