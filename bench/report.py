"""Results as text, as JSON files, and as the page of the documentation."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import plot
from bench.plan import Benchmark, Target
from bench.sheet import Series, Sheet, shown

OURS = "weave-ryu"
"""What contenders of this project begin with."""
NOISE = 1.05
"""What differs by less is a draw."""

HEADER = ("case", "metric", "contender", "median", "least", "greatest", "unit", "ratio")


def table(sheet: Sheet) -> list[tuple[str, ...]]:
    """The rows of a sheet, without the header."""
    rows: list[tuple[str, ...]] = []
    for one in sheet.series:
        low, high = one.spread
        rows.append(
            (
                one.case,
                one.metric,
                one.contender,
                shown(one.median),
                shown(low),
                shown(high),
                one.unit,
                _ratio(sheet, one),
            )
        )
    return rows


def as_text(rows: Sequence[Sequence[str]], header: Sequence[str] = HEADER) -> Iterator[str]:
    """A table for a terminal."""
    widths = [max(len(row[place]) for row in [header, *rows]) for place in range(len(header))]
    for row in [header, *rows]:
        yield "  ".join(
            f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)
        ).rstrip()


def as_markdown(rows: Sequence[Sequence[str]], header: Sequence[str] = HEADER) -> Iterator[str]:
    """A table for a page."""
    yield "| " + " | ".join(header) + " |"
    yield "|" + "---|" * len(header)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"


def _ratio(sheet: Sheet, series: Series) -> str:
    """The median of the ratios, and their spread if there are several."""
    ratio, all_ratios = sheet.ratio(series), sheet.ratios(series)
    if ratio is None:
        return ""
    if len(all_ratios) == 1:
        return f"{ratio:.3g}"
    return f"{ratio:.3g} ({min(all_ratios):.3g} to {max(all_ratios):.3g})"


LOSS_HEADER = ("case", "metric", "weave-ryu", "instead", "unit", "better by")


def losses(benchmark: Benchmark, sheet: Sheet) -> list[tuple[str, ...]]:
    """Where something else did better than this project, by more than noise."""
    rows: list[tuple[str, ...]] = []
    for ours in sheet.series:
        if not ours.contender.startswith(OURS) or ours.metric in benchmark.not_compared:
            continue
        for rival in sheet.series:
            if rival.contender.startswith(OURS):
                continue
            if (rival.case, rival.metric) == (ours.case, ours.metric):
                times = _times_better(sheet, ours, rival)
                if times > NOISE:
                    words = f"{shown(times)} times" if math.isfinite(times) else "it has none"
                    ours_text = f"{shown(ours.median)} ({ours.contender})"
                    rival_text = f"{shown(rival.median)} ({rival.contender})"
                    rows.append((ours.case, ours.metric, ours_text, rival_text, ours.unit, words))
    return rows


def _times_better(sheet: Sheet, ours: Series, rival: Series) -> float:
    """How many times as good a rival is; below 1 if it is worse."""
    if rival.more_is_better:
        return sheet.ratio(rival, ours.contender) or 0.0
    if rival.median == 0:
        return math.inf if ours.median > 0 else 1.0
    return sheet.ratio(ours, rival.contender) or 0.0


TARGET_HEADER = ("target", "bound", "found", "verdict")


def targets(benchmark: Benchmark, sheet: Sheet) -> list[tuple[str, ...]]:
    """The verdict on each target of a benchmark."""
    rows: list[tuple[str, ...]] = []
    for target in benchmark.targets:
        value = target.value(sheet)
        bound = _bound(target)
        if value is None:
            rows.append((target.text, bound, "", "not measured"))
        else:
            verdict = "met" if target.is_met(value) else "missed"
            rows.append((target.text, bound, _found(target, sheet, value), verdict))
    return rows


def _found(target: Target, sheet: Sheet, value: float) -> str:
    series = sheet.find(target.case, target.metric, target.contender)
    if series is None:
        return shown(value)
    if target.unit == "ratio":
        return _ratio(sheet, series)
    low, high = series.spread
    return shown(value) if low == high else f"{shown(value)} ({shown(low)} to {shown(high)})"


def document(
    benchmark: Benchmark, sheet: Sheet, about: Mapping[str, str], *, is_quick: bool, took_s: float
) -> dict[str, Any]:
    """What the JSON file holds."""
    return {
        "benchmark": benchmark.name,
        "quick": is_quick,
        "took_s": round(took_s, 1),
        "machine": dict(about),
        **sheet.as_document(),
    }


def write(directory: Path, benchmark: Benchmark, found: dict[str, Any]) -> None:
    """Write the JSON and the picture of one benchmark."""
    directory.mkdir(parents=True, exist_ok=True)
    text = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
    (directory / f"{benchmark.name}.json").write_text(text, encoding="utf-8")
    title = benchmark.title + (" (quick run: figures not meant)" if found["quick"] else "")
    sheet = Sheet.from_document(found)
    picture = plot.draw(title, sheet, benchmark.plotted, _remarks(benchmark, sheet))
    (directory / f"{benchmark.name}.svg").write_text(picture, encoding="utf-8")


def _remarks(benchmark: Benchmark, sheet: Sheet) -> dict[tuple[str, str, str], str]:
    """For the bars that a target is about: the target and the verdict."""
    remarks = {}
    for target, (*_, verdict) in zip(benchmark.targets, targets(benchmark, sheet), strict=True):
        value, words = target.value(sheet), f"{_bound(target)}: {verdict}"
        if value is not None and target.unit == "ratio":
            words = f"{value:.3g} of {sheet.baseline}, {words}"
        remarks[target.case, target.metric, target.contender] = words
    return remarks


def _bound(target: Target) -> str:
    return f"{'at least' if target.at_least else 'at most'} {target.bound:,g} {target.unit}"


def read(directory: Path, benchmark: Benchmark) -> dict[str, Any] | None:
    """What was last written about a benchmark."""
    path = directory / f"{benchmark.name}.json"
    if not path.exists():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def page(directory: Path, benchmarks: Sequence[Benchmark]) -> str:
    """The page about all benchmarks, from the JSON files that are there."""
    lines = [
        "# Benchmarks",
        "",
        "<!-- Made by `python -m bench --page` from the JSON files beside it: do not edit. -->",
        "",
        "`make bench` measures everything anew and writes this page, `python -m bench NAME` one.",
        "Contenders take turns (A B, B A, …) on the same machine in the same run. A ratio is the",
        "median of the ratios of runs side by side, against the contender that the section names;",
        "least and greatest are of all repeats. Times depend on the machine, ratios far less.",
        "Where the time goes, and why a target is missed:",
        "[performance](../explanation/performance.md).",
        "",
    ]
    found = {benchmark.name: read(directory, benchmark) for benchmark in benchmarks}

    def rows_of(
        about: Callable[[Benchmark, Sheet], list[tuple[str, ...]]],
    ) -> list[tuple[str, ...]]:
        return [
            (f"[{benchmark.name}](#{benchmark.name})", *row)
            for benchmark in benchmarks
            if (data := found[benchmark.name]) is not None
            for row in about(benchmark, Sheet.from_document(data))
        ]

    verdicts = rows_of(targets)
    if verdicts:
        lines += ["## Targets", "", *as_markdown(verdicts, ("benchmark", *TARGET_HEADER)), ""]
    lost = rows_of(losses)
    if lost:
        lines += [
            "## What does better than weave-ryu",
            "",
            "Every comparison on this page in which the median of something else is better by more",
            f"than {NOISE - 1:.0%}; what is not listed is a draw or better.",
            "",
            *as_markdown(lost, ("benchmark", *LOSS_HEADER)),
            "",
        ]
    for benchmark in benchmarks:
        lines += [*_section(benchmark, found[benchmark.name]), ""]
    return "\n".join(lines).rstrip() + "\n"


def _section(benchmark: Benchmark, found: dict[str, Any] | None) -> Iterator[str]:
    yield f"## {benchmark.name}"
    yield ""
    yield f"**{benchmark.title}.** {benchmark.explains}"
    yield ""
    if found is None:
        yield f"No figures here yet: `python -m bench {benchmark.name}` makes them."
        return
    sheet = Sheet.from_document(found)
    if found["quick"]:
        yield "**These are figures of a quick run: they show that it works, no more.**"
        yield ""
    yield f"![{benchmark.title}]({benchmark.name}.svg)"
    yield ""
    if sheet.baseline:
        yield f"Ratios are against {sheet.baseline}."
        yield ""
    yield from as_markdown(table(sheet))
    yield ""
    for note in sheet.notes:
        yield f"- {note}"
    if sheet.notes:
        yield ""
    about = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in found["machine"].items())
    yield f"Measured in {found['took_s']:.0f} s on: {about}."
