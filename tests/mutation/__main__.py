"""``python -m tests.mutation``: look for a seed that catches each mutant, and write the record."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from tests.mutation.mutants import MUTANTS
from tests.mutation.runner import explore, simulate, told_by_story

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "evidence.md"
START, END = "<!-- generated: tests.mutation -->\n", "<!-- /generated -->"
RECORD = Path(__file__).with_name("caught.json")


def table(record):
    """The mutants and who catches them, as Markdown."""
    lines = ["| bug | caught by | invariant |", "|---|---|---|"]
    for mutant in MUTANTS:
        entry = record[mutant.name]
        by = {"model": "the model", "story": "a story"}.get(entry["by"]) or f"seed {entry['seed']}"
        star = "*" if mutant.was_real else ""
        lines.append(f"| {mutant.name}{star} | {by} | {entry['invariant']} |")
    return "\n".join(lines) + "\n"


def write_table(record):
    text = DOCUMENT.read_text()
    before, rest = text.split(START)
    _, after = rest.split(END)
    DOCUMENT.write_text(before + START + table(record) + END + after)


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("words", nargs="*", help="only mutants with one of these in their names")
    options = parser.parse_args()
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    escaped = []
    for mutant in MUTANTS:
        if options.words and not any(word in mutant.name for word in options.words):
            continue
        started = time.monotonic()
        if mutant.judge == "sim":
            found = simulate(mutant, 0, mutant.seeds)
            entry = found and {"by": "sim", "seed": found[0], "invariant": found[1]}
        elif mutant.judge.startswith("story "):
            story = told_by_story(mutant)
            entry = story and {"by": "story", "invariant": story}
        else:
            broken = explore(mutant)
            entry = broken and {"by": "model", "invariant": broken}
        took_s = time.monotonic() - started
        print(f"{mutant.name}: {entry or 'NOT CAUGHT'} ({took_s:.0f} s)", flush=True)
        record.pop(mutant.name, None)
        if entry:
            record[mutant.name] = entry
        else:
            escaped.append(mutant.name)
        RECORD.write_text(json.dumps(record, indent=1) + "\n")
    names = [mutant.name for mutant in MUTANTS]
    kept = {name: record[name] for name in names if name in record}
    RECORD.write_text(json.dumps(kept, indent=1) + "\n")
    if len(kept) == len(names):
        write_table(kept)
    print(f"{len(kept)} of {len(names)} mutants caught; not caught: {escaped or 'none'}")
    return 1 if escaped else 0


if __name__ == "__main__":
    sys.exit(main())
