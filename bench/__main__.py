"""``python -m bench [NAME…]``: measure, print, and write the pages."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from bench import machine, report
from bench.plan import Benchmark, Plan
from bench.registry import BENCHMARKS
from weave_ryu.errors import WeaveRyuError

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs" / "benchmarks"
SCRATCH = ROOT / "build" / "bench"


def main(arguments: list[str]) -> int:
    """Run the command; return its exit status."""
    options = _parse(arguments)
    chosen = [one for one in BENCHMARKS if not options.names or one.name in options.names]
    directory = options.out or (SCRATCH if options.quick else PAGES)
    if options.list:
        for one in BENCHMARKS:
            print(f"{one.name:<12}{one.title}")
        return 0
    failed = [] if options.page else _run(chosen, directory, options)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "README.md").write_text(report.page(directory, BENCHMARKS), encoding="utf-8")
    if failed:
        print(f"bench: failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _run(chosen: list[Benchmark], directory: Path, options: argparse.Namespace) -> list[str]:
    def tell(words: str) -> None:
        print(f"bench: {words}", file=sys.stderr, flush=True)

    failed = []
    for benchmark in chosen:
        tell(f"{benchmark.name}: {benchmark.title}")
        about = machine.describe()
        started = time.monotonic()
        try:
            sheet = benchmark.measure(Plan(options.quick, tell))
        except (WeaveRyuError, subprocess.SubprocessError) as error:
            # One that cannot run on this machine does not keep the others from running.
            tell(f"{benchmark.name} failed: {error}")
            failed.append(benchmark.name)
            continue
        took_s = time.monotonic() - started
        found = report.document(benchmark, sheet, about, is_quick=options.quick, took_s=took_s)
        report.write(directory, benchmark, found)
        if options.json:
            print(json.dumps(found, ensure_ascii=False), flush=True)
            continue
        print(f"\n{benchmark.title} ({took_s:.0f} s)\n")
        for line in report.as_text(report.table(sheet)):
            print(line)
        verdicts = report.targets(benchmark, sheet)
        if verdicts:
            print()
            for line in report.as_text(verdicts, report.TARGET_HEADER):
                print(line)
        for note in sheet.notes:
            print(note)
        print(flush=True)
    return failed


def _parse(arguments: list[str]) -> argparse.Namespace:
    names = [one.name for one in BENCHMARKS]
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure what weave-ryu costs, beside what one would use instead.",
        epilog="exit status: 0 done, 1 a benchmark failed, 2 usage",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(names)}")
    parser.add_argument(
        "--quick", action="store_true", help="little of everything, into build/bench: a smoke test"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, one document a line")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write here, not docs/benchmarks")
    parser.add_argument("--page", action="store_true", help="only make README.md from the JSON")
    parser.add_argument("--list", action="store_true", help="show the names")
    options = parser.parse_args(arguments)
    for name in options.names:
        if name not in names:
            parser.error(f"there is no benchmark {name!r}: choose of {', '.join(names)}")
    return options


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
