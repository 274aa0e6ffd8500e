"""Processes of a lab: started apart from us, known by pid and start time, ended only if still ours.

A pid alone is no identity, for it is used again. With the start time of ``/proc/PID/stat`` it is
one. Every process of a lab also carries the environment variable :data:`MARKER`, so that one which
was started and not yet written down when we were killed can still be found.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from weave_ryu.errors import LabError
from weave_ryu.lab.patience import stretched

MARKER = "WEAVE_RYU_LAB"
"""Environment variable that holds the lab's prefix in each of its processes."""

NICENESS = -10
"""Of switches and daemons, as on a real host: ``ovs-ctl`` and our systemd unit start them so.

What loads a lab (the stations that send and watch, other processes of the machine) would not run on
the hosts that it stands for; at equal priority it delays the start of a daemon by seconds.
"""

_POLL_INTERVAL_S = 0.02


@dataclass(frozen=True, slots=True)
class ProcessRef:
    """One process for as long as it lives."""

    pid: int
    start_ticks: int

    def is_alive(self) -> bool:
        """Whether this very process still runs; a zombie does not."""
        return _read_start_ticks(self.pid) == self.start_ticks

    def send(self, number: signal.Signals) -> bool:
        """Send a signal.

        Returns:
            Whether the process was there to get it.
        """
        if not self.is_alive():
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)
            return True
        return False


def spawn(
    command: Sequence[str],
    *,
    log: Path,
    environment: Mapping[str, str],
    namespace: Path | None = None,
    niceness: int = 0,
) -> ProcessRef:
    """Start a process in a session of its own, in a namespace, with its output appended to a log.

    ``ip netns exec`` is used rather than a plain fork on a thread inside the namespace, because it
    also shows the process a ``/sys`` of that namespace.

    Args:
        command: program and arguments.
        log: file that takes what it prints.
        environment: added to ours.
        namespace: where it runs; here if None.
        niceness: added to ours; where that is not permitted, it starts without (``nice(1)``).

    Raises:
        LabError: the program does not exist.
    """
    arguments = list(command)
    if namespace is not None:
        arguments = ["ip", "netns", "exec", namespace.name, *arguments]
    if niceness:
        arguments = ["nice", f"--adjustment={niceness}", *arguments]
    file_actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    try:
        # Not subprocess.Popen: the process is meant to outlive us, and Popen would object.
        pid = os.posix_spawnp(
            arguments[0],
            arguments,
            {**os.environ, **environment},
            file_actions=file_actions,
            setsid=True,
            setsigmask=[],
            setsigdef=[signal.SIGINT, signal.SIGPIPE],
        )
    except OSError as error:
        raise LabError(
            f"`{arguments[0]}` cannot be started", error.strerror or str(error)
        ) from error
    start_ticks = _read_start_ticks(pid)
    # A process that is gone by now keeps a number that no process has: it reads as not alive.
    return ProcessRef(pid, -1 if start_ticks is None else start_ticks)


def stop(process: ProcessRef, *, grace_s: float = 3.0) -> None:
    """End a process: SIGTERM, and SIGKILL when it has not gone after ``grace_s``."""
    # A stopped process (SIGSTOP) would not see SIGTERM.
    process.send(signal.SIGCONT)
    if process.send(signal.SIGTERM) and not wait_gone(process, grace_s):
        kill(process)


def kill(process: ProcessRef, number: signal.Signals = signal.SIGKILL) -> None:
    """Send a deadly signal and wait until the process is gone.

    Raises:
        LabError: it is still there after 15 s.
    """
    process.send(number)
    if not wait_gone(process, 15.0):
        raise LabError(f"process {process.pid} did not end", f"signal {number.name} was sent")


def wait_gone(process: ProcessRef, timeout_s: float) -> bool:
    """Wait until a process has ended, and reap it if it is our child."""

    def is_gone() -> bool:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(process.pid, os.WNOHANG)
        return not process.is_alive()

    return poll_until(is_gone, timeout_s)


def poll_until(predicate: Callable[[], bool], timeout_s: float) -> bool:
    """Ask again and again until the answer is yes or the time is up; return the last answer."""
    deadline = time.monotonic() + stretched(timeout_s)
    while not predicate():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_INTERVAL_S)
    return True


def find_marked(prefix: str) -> list[ProcessRef]:
    """All processes that carry the marker of this lab, whoever started them."""
    wanted = f"{MARKER}={prefix}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            variables = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue  # ended meanwhile, or not ours to read
        start_ticks = _read_start_ticks(int(entry.name))
        if wanted in variables and start_ticks is not None:
            found.append(ProcessRef(int(entry.name), start_ticks))
    return sorted(found, key=lambda process: process.pid)


def log_tail(log: Path, lines: int = 5) -> str:
    """The last lines of a log, for an error message."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "(no log)"
    return " | ".join(line.strip() for line in text.splitlines()[-lines:]) or "(empty log)"


def _read_start_ticks(pid: int) -> int | None:
    """Field 22 of ``/proc/PID/stat``; None for a process that has ended or is a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The second field, the name, may hold spaces and parentheses: count from its end.
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in {"Z", "X"} else int(fields[19])
