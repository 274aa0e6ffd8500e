"""Results as text, as JSON files, and as the page of the documentation."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench import machine, plot
from bench.plan import Benchmark
from bench.sheet import Sheet, shown

HEADER = ("case", "metric", "contender", "median", "least", "greatest", "unit", "ratio")


def table(sheet: Sheet) -> list[tuple[str, ...]]:
    """The rows of a sheet, without the header."""
    rows: list[tuple[str, ...]] = []
    for one in sheet.series:
        ratio = sheet.ratio(one)
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
                "" if ratio is None else f"{ratio:.3g}",
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


TARGET_HEADER = ("target", "bound", "found", "verdict")


def targets(benchmark: Benchmark, sheet: Sheet) -> list[tuple[str, ...]]:
    """The verdict on each target of a benchmark."""
    rows: list[tuple[str, ...]] = []
    for target in benchmark.targets:
        value = target.value(sheet)
        bound = f"{'at least' if target.at_least else 'at most'} {target.bound:g} {target.unit}"
        if value is None:
            rows.append((target.text, bound, "", "not measured"))
        else:
            verdict = "met" if target.is_met(value) else "missed"
            rows.append((target.text, bound, shown(value), verdict))
    return rows


def document(
    benchmark: Benchmark, sheet: Sheet, *, is_quick: bool, took_s: float
) -> dict[str, Any]:
    """What the JSON file holds."""
    return {
        "benchmark": benchmark.name,
        "quick": is_quick,
        "took_s": round(took_s, 1),
        "machine": machine.describe(),
        **sheet.as_document(),
    }


def write(directory: Path, benchmark: Benchmark, found: dict[str, Any]) -> None:
    """Write the JSON and the picture of one benchmark."""
    directory.mkdir(parents=True, exist_ok=True)
    text = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
    (directory / f"{benchmark.name}.json").write_text(text, encoding="utf-8")
    title = benchmark.title + (" (quick run: figures not meant)" if found["quick"] else "")
    picture = plot.draw(title, Sheet.from_document(found), benchmark.plotted)
    (directory / f"{benchmark.name}.svg").write_text(picture, encoding="utf-8")


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
    verdicts = [
        (f"[{benchmark.name}](#{benchmark.name})", *row)
        for benchmark in benchmarks
        if (data := found[benchmark.name]) is not None
        for row in targets(benchmark, Sheet.from_document(data))
    ]
    if verdicts:
        lines += ["## Targets", "", *as_markdown(verdicts, ("benchmark", *TARGET_HEADER)), ""]
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
