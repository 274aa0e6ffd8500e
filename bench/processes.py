"""What a process uses, from ``/proc``."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def apart(pids: Iterable[int]) -> Iterator[None]:
    """Some processes have one processor for themselves, and what we start has the others.

    Who shares a processor with whom is otherwise decided anew each time, and decides how much a
    sender leaves to the switches. Nothing is done where there is only one processor.
    """
    processors = os.sched_getaffinity(0)
    theirs = {max(processors)}
    if processors == theirs:
        yield
        return
    try:
        for pid in pids:
            _run_on(pid, theirs)
        os.sched_setaffinity(0, processors - theirs)
        yield
    finally:
        os.sched_setaffinity(0, processors)


def _run_on(pid: int, processors: set[int]) -> None:
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), processors)


def resident_mib(pid: int) -> float:
    """Resident memory."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    found = re.search(r"VmRSS:\s*(\d+) kB", text)
    return int(found.group(1)) / 1024 if found else 0.0


def cpu_s(pid: int) -> float:
    """Processor time so far, of all its threads."""
    text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    fields = text.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
