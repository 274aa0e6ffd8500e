"""Draws a sheet as an SVG: horizontal bars of medians, with lines from the least to the greatest.

Each group of bars has a scale of its own, so that one picture can hold what differs in size; the
numbers stand beside the bars. Contenders are put beside each other, case by case; where there is
only one, the cases are, so that one sees how a thing grows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from types import MappingProxyType

from bench.sheet import Series, Sheet, shown

COLOURS = ("#1f6f8b", "#d9822b", "#6a8f3c", "#8a5a9e", "#b04a4a", "#707070", "#c9a227")
"""By contender; told apart by the label beside each bar, too."""

_WIDTH, _LABEL, _BAR, _ROW, _HEAD = 1000, 250, 400, 20, 30


_WIDE = 50
"""Where one bar is so many times as long as another, one would see only the long one."""

_NONE: Mapping[tuple[str, str, str], str] = MappingProxyType({})

Remarks = Mapping[tuple[str, str, str], str]
"""Case, metric and contender → what stands beside the number, such as a target's verdict."""


def draw(title: str, sheet: Sheet, metrics: Sequence[str] = (), remarks: Remarks = _NONE) -> str:
    """The picture of a sheet.

    Args:
        title: stands above it.
        sheet: what was found.
        metrics: those to draw; all if there are none.
        remarks: on single bars.
    """
    chosen = [one for one in sheet.series if not metrics or one.metric in metrics]
    contenders = list(dict.fromkeys(one.contender for one in chosen))
    lines: list[str] = []
    y = 40
    is_compared = len(contenders) > 1
    groups: dict[str, list[Series]] = {}
    for one in chosen:
        better = "more is better" if one.more_is_better else "less is better"
        case = f"{one.case}: " if is_compared else ""
        groups.setdefault(f"{case}{one.metric}, {one.unit} ({better})", []).append(one)
    for heading, group in groups.items():
        scale = "; logarithmic scale" if _is_wide(group) else ""
        lines.append(_text(10, y + 14, heading + scale, bold=True))
        y += _HEAD - 8
        labels = [one.contender if is_compared else one.case for one in group]
        colours = [COLOURS[contenders.index(one.contender) % len(COLOURS)] for one in group]
        words = [remarks.get((one.case, one.metric, one.contender), "") for one in group]
        lines += _group(group, labels, colours, words, y)
        y += _ROW * len(group) + 12
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{y}" '
        f'viewBox="0 0 {_WIDTH} {y}" role="img" font-family="sans-serif" font-size="12">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{_WIDTH}" height="{y}" fill="#ffffff"/>',
        _text(10, 22, title, bold=True, size=15),
    ]
    return "\n".join([*head, *lines, "</svg>", ""])


def _group(
    group: Sequence[Series],
    labels: Sequence[str],
    colours: Sequence[str],
    remarks: Sequence[str],
    top: int,
) -> Iterable[str]:
    place = _scale(group)
    for row, one in enumerate(group):
        y = top + row * _ROW
        width = max(1.0, place(one.median))
        low, high = (_LABEL + place(value) for value in one.spread)
        middle = y + _ROW / 2 - 1
        yield _text(_LABEL - 8, y + 14, labels[row], anchor="end")
        yield (
            f'<rect x="{_LABEL}" y="{y + 3}" width="{width:.1f}" height="13" '
            f'fill="{colours[row]}"/>'
        )
        yield (
            f'<path d="M{low:.1f} {middle}H{high:.1f}M{low:.1f} {middle - 4}v8'
            f'M{high:.1f} {middle - 4}v8" stroke="#202020" fill="none"/>'
        )
        words = f"{shown(one.median)} ({shown(one.spread[0])} to {shown(one.spread[1])})"
        words += f"; {remarks[row]}" if remarks[row] else ""
        yield _text(int(max(high, _LABEL + width)) + 8, y + 14, words)


def _is_wide(group: Sequence[Series]) -> bool:
    medians = [one.median for one in group if one.median > 0]
    return len(medians) > 1 and max(medians) > _WIDE * min(medians)


def _scale(group: Sequence[Series]) -> Callable[[float], float]:
    """From a value to how far from the left it is."""
    longest = max((one.spread[1] for one in group), default=0.0) or 1.0
    if not _is_wide(group):
        return lambda value: value / longest * _BAR
    least = min(value for one in group for value in one.values if value > 0) / 3
    decades = math.log(longest / least)
    return lambda value: math.log(max(value, least) / least) / decades * _BAR


def _text(
    x: int, y: int, words: str, *, anchor: str = "start", bold: bool = False, size: int = 12
) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-size="{size}" fill="#202020"{weight}>'
        f"{escape(words)}</text>"
    )
