"""Lets the kernel's out-of-memory killer end a process, in a memory cgroup of its own."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Final

from weave_ryu.errors import LabError
from weave_ryu.lab import processes
from weave_ryu.lab.processes import ProcessRef

_ROOT: Final = Path("/sys/fs/cgroup")
_LIMIT_BYTES: Final = 16 << 20
_FIRST: Final = "1000"
"""Of ``oom_score_adj``: the limit once more is added to what the process has."""

_HOG: Final = (
    "import time; time.sleep({wait})\nkept = []\nwhile True: kept.append(bytearray(1<<20))"
)
_HOG_WAIT_S: Final = 0.2


def is_available() -> bool:
    """Whether groups with a memory limit can be made here."""
    return _parent() is not None


def kill_by_memory(victim: ProcessRef, name: str) -> None:
    """Run a process and a greedy one out of memory together; the kernel kills the former.

    The memory that the victim has stays charged where it was: its new group is filled by the other.

    Args:
        victim: whom to kill; it must have 16 MiB or more, or the greedy one has more than it.
        name: of the group, which is removed afterwards.

    Raises:
        LabError: no group can be made, or the victim lived on.
    """
    parent = _parent()
    if parent is None:
        raise LabError("no memory cgroup can be made here", f"nothing of the kind in {_ROOT}")
    group = parent / name
    group.mkdir(exist_ok=True)
    try:
        _set_limit(group)
        (group / "cgroup.procs").write_text(str(victim.pid), encoding="ascii")
        score = Path(f"/proc/{victim.pid}/oom_score_adj")
        score.write_text(_FIRST, encoding="ascii")
        hog = processes.spawn(
            [sys.executable, "-S", "-c", _HOG.format(wait=_HOG_WAIT_S)],
            log=Path("/dev/null"),
            environment={},
        )
        try:
            (group / "cgroup.procs").write_text(str(hog.pid), encoding="ascii")
            if not processes.wait_gone(victim, 10.0):
                raise LabError(f"process {victim.pid} was not killed for its memory")
        finally:
            processes.kill(hog)
    finally:
        _remove(group)


def _parent() -> Path | None:
    """Where a group with a memory limit can be made: version 1 or 2 of the hierarchy."""
    for parent, sign in ((_ROOT / "memory", "memory.limit_in_bytes"), (_ROOT, "memory.max")):
        if (parent / "cgroup.procs").exists():
            probe = parent / "weave-ryu-probe"
            try:
                probe.mkdir(exist_ok=True)
                found = (probe / sign).exists()
            except OSError:
                continue
            _remove(probe)
            if found:
                return parent
    return None


def _set_limit(group: Path) -> None:
    for name in ("memory.limit_in_bytes", "memory.max"):
        if (group / name).exists():
            (group / name).write_text(str(_LIMIT_BYTES), encoding="ascii")


def _remove(group: Path) -> None:
    def is_removed() -> bool:
        with contextlib.suppress(OSError):
            group.rmdir()
            return True
        return False

    processes.poll_until(is_removed, 2.0)
