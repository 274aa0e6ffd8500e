"""Small disks for the hosts of a lab, so that one can be full without harm to anybody else."""

from __future__ import annotations

import errno
import mmap
import os
import subprocess
from pathlib import Path
from typing import Final

from weave_ryu.errors import LabError

_FILLER: Final = "filler"
_CHUNK_BYTES: Final = 1 << 16


def mount(directory: Path, size_mib: int) -> None:
    """Put a file system in memory over a directory.

    Raises:
        LabError: not permitted.
    """
    directory.mkdir(parents=True, exist_ok=True)
    options = f"size={size_mib}m,mode=755"
    _run("mount", "-t", "tmpfs", "-o", options, "weave-ryu-lab", str(directory))


def unmount_below(directory: Path) -> None:
    """Unmount whatever is mounted below a directory; it may be in use still."""
    inside = f"{directory}/"
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    for place in [line.split(" ")[1] for line in mounts]:
        if place.startswith(inside):
            _run("umount", "--lazy", place)


def fill(directory: Path) -> None:
    """Write until nothing more fits, not even into the last page of a log.

    Raises:
        LabError: this is no disk of its own: the machine's is left alone.
    """
    if not os.path.ismount(directory):
        raise LabError(f"{directory} is not a disk of its own", "the lab was built without disks")
    for log in sorted(directory.glob("*.log")):
        with log.open("ab") as stream:
            stream.write(b"\n" * (-log.stat().st_size % mmap.PAGESIZE))
    size = _CHUNK_BYTES
    descriptor = os.open(directory / _FILLER, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        while size:
            try:
                os.write(descriptor, bytes(size))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                size //= 2
    finally:
        os.close(descriptor)


def empty(directory: Path) -> None:
    """Make room again."""
    (directory / _FILLER).unlink(missing_ok=True)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"`{' '.join(command)}` failed", done.stderr.strip())
