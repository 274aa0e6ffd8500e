"""``python -m tests.sim --seeds N --first-seed S``: runs schedules; exit 1 if one fails."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import sys
import time
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent)]

from sim_run import run, shrink  # noqa: E402  (found by the path set above)


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many schedules (100)")
    parser.add_argument("--first-seed", type=int, default=0, help="the first of them (0)")
    jobs = os.cpu_count() or 1
    parser.add_argument("--jobs", type=int, default=jobs, help=f"processes ({jobs})")
    parser.add_argument("--keep-going", action="store_true", help="do not end at a failure")
    parser.add_argument("--digests", action="store_true", help="print a digest of each run")
    parser.add_argument("--json", type=Path, help="write what was found into this file")
    parser.add_argument("--no-shrink", action="store_true", help="a failing seed is enough")
    parser.add_argument("--log", action="store_true", help="print what happened in each run")
    options = parser.parse_args()
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    started, sometimes, failed = time.monotonic(), Counter(), []
    virtual_s = 0.0
    with multiprocessing.Pool(options.jobs) if options.jobs > 1 else nullcontext() as pool:
        job = run if options.log else run_silently
        runs = pool.imap(job, seeds, chunksize=4) if pool else map(job, seeds)
        for count, outcome in enumerate(runs, 1):
            sometimes.update(outcome.sometimes.keys())
            virtual_s += outcome.virtual_s
            if count % 500 == 0:
                print(f"{count} seeds, {time.monotonic() - started:.0f} s", flush=True)
            if options.digests:
                print(f"{outcome.seed} {outcome.digest:08x} {outcome.virtual_s:.3f}")
            if options.log:
                show(outcome)
            if outcome.broken is not None:
                failed.append(outcome.seed)
                print(f"seed {outcome.seed}: {outcome.broken}", flush=True)
                if not options.keep_going:
                    if not options.no_shrink:
                        report(outcome)
                    break
        else:
            if pool:
                pool.close()
                pool.join()  # its processor time is known only now
    took_s = time.monotonic() - started
    used = (resource.getrusage(x) for x in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    used_s = sum(usage.ru_utime + usage.ru_stime for usage in used)
    if options.json is not None:
        found = {"seeds": len(seeds), "failed": failed, "virtual_s": virtual_s}
        options.json.write_text(json.dumps({**found, "sometimes": sometimes}, indent=1) + "\n")
    for name, count in sorted(sometimes.items()):
        print(f"sometimes {name}: in {count} runs")
    print(
        f"{len(seeds)} seeds, {len(failed)} failed {failed}, {virtual_s / len(seeds):.1f} virtual "
        f"seconds each, {took_s:.1f} s with {options.jobs} jobs, "
        f"{used_s / len(seeds):.3f} s of processor time each"
    )
    return 1 if failed else 0


def run_silently(seed):
    """What is not shown need not go from process to process."""
    outcome = run(seed)
    if outcome.broken is None:
        outcome.log = []
    return outcome


def report(outcome):
    best = shrink(outcome)
    print(f"\nseed {outcome.seed}, smallest list of faults: {best.broken}")
    show(best)
    print(f"\nreplay: python -m tests.sim --first-seed {outcome.seed} --seeds 1 --log")


def show(outcome):
    print(f"--- seed {outcome.seed}")
    for fault in outcome.faults:
        print(f"    {fault}")
    for at, text in outcome.log:
        print(f"{at:9.3f} {text}")


if __name__ == "__main__":
    sys.exit(main())
