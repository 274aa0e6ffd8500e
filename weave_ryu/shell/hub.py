"""The seam to eventlet: everything in the shell that waits or spawns does it through here."""

from __future__ import annotations

import heapq
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import structlog

# The class is not a DeprecationWarning, and it is raised by the import itself.
warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated", category=Warning)

import eventlet  # noqa: E402  (the filter must stand before the import)
import eventlet.event  # noqa: E402
import eventlet.green.socket  # noqa: E402
import eventlet.hubs  # noqa: E402
import eventlet.hubs.epolls  # noqa: E402
import eventlet.patcher  # noqa: E402
import eventlet.queue  # noqa: E402
import eventlet.semaphore  # noqa: E402
import eventlet.wsgi  # noqa: E402

Event = eventlet.event.Event
Queue = eventlet.queue.LightQueue
Semaphore = eventlet.semaphore.Semaphore
Timeout = eventlet.Timeout
sleep = eventlet.sleep
wsgi = eventlet.wsgi


_log = structlog.get_logger()

VITAL_STATUS = 70
"""EX_SOFTWARE of sysexits.h."""


class _Hub(eventlet.hubs.epolls.Hub):  # type: ignore[misc]
    """Sleeps until the next timer that counts.

    eventlet keeps cancelled ones until their time and wakes for each: every answer that came in
    time would cost a second wake-up when its time limit is over.
    """

    is_available = staticmethod(eventlet.hubs.epolls.is_available)

    def sleep_until(self) -> float | None:
        """When the next timer is due that was not cancelled."""
        while self.timers and self.timers[0][1].called:
            heapq.heappop(self.timers)
            self.timers_canceled -= 1
        at: float | None = super().sleep_until()
        return at


def patch() -> None:
    """Make sockets, time and threads of the standard library cooperative. Call before all else."""
    eventlet.hubs.use_hub(_Hub)
    eventlet.monkey_patch()


def listen(address: Any, **options: Any) -> Any:  # noqa: ANN401
    """A listening socket; an address that somebody listens on already is refused.

    eventlet would set SO_REUSEPORT, and two processes would share the connections unnoticed.
    """
    return eventlet.listen(address, reuse_port=False, **options)


def plain_socket(*arguments: int) -> Any:  # noqa: ANN401
    """A socket that waits as the system's do: for one on which nobody ever waits."""
    return eventlet.patcher.original("socket").socket(*arguments)


def stand_still(seconds: float) -> None:
    """Let time pass while nobody else runs, who could see things half done."""
    eventlet.patcher.original("time").sleep(seconds)


def spawn(function: Callable[..., Any], *arguments: Any) -> Any:  # noqa: ANN401
    """Run a function in a green thread of its own."""
    return eventlet.spawn(function, *arguments)


def spawn_vital(name: str, function: Callable[..., None], *arguments: Any) -> Any:  # noqa: ANN401
    """Run a function without which the daemon is none: if it fails, the process ends.

    The service manager starts it anew. Half a daemon would go on to look alive, with routes and
    roles that nobody renews; gates close by themselves.

    Args:
        name: for the log.
        function: it may end, or be ended, but not fail.
        arguments: for it.
    """

    def run() -> None:
        try:
            function(*arguments)
        except Exception:
            _log.critical("vital_part_failed", part=name, exc_info=True)
            end_process(VITAL_STATUS)

    return spawn(run)


def end_process(status: int) -> None:
    """End without anything more: what is left may be broken."""
    sys.stderr.flush()
    os._exit(status)


def handle_signals(handlers: Mapping[int, Callable[[], object]]) -> None:
    """Call a function, in a green thread, each time a signal comes.

    Python notes a signal at once, but goes on waiting for sockets and timers: what a handler of its
    own kind changes would be seen only when the next of those is due.

    Args:
        handlers: number of the signal → what to call.
    """
    ours, pythons = eventlet.green.socket.socketpair()
    signal.set_wakeup_fd(pythons.fileno(), warn_on_full_buffer=False)
    pending: set[int] = set()  # the socket only wakes, and may be full

    def listen() -> None:
        while ours.recv(256):
            while pending:
                handlers[pending.pop()]()
        pythons.close()  # never: Python does not keep it open, but this does

    for number in handlers:
        signal.signal(number, lambda number, _: pending.add(number))
    spawn(listen)


def forget_name_servers() -> None:
    """Read resolv.conf anew at the next look-up: eventlet would read it once in its life."""
    from eventlet.support import greendns  # noqa: PLC0415  (absent if eventlet lacks dnspython)

    greendns.resolver._cached_resolver = None


def repeat_beside(function: Callable[[], None], pause_s: float) -> None:
    """Call a function for ever in a thread of the system's: it may wait in the kernel.

    It must use nothing that green threads use.
    """
    threads, time = eventlet.patcher.original("threading"), eventlet.patcher.original("time")

    def work() -> None:
        while True:
            function()
            time.sleep(pause_s)

    threads.Thread(target=work, daemon=True).start()


class Alarm:
    """Wakes the one green thread that waits for it, at a time that others may bring forward.

    It may wake early: look what is due, and wait anew. Nothing is set up again while the time that
    is waited for only moves back, as it does with each sign of life.
    """

    def __init__(self) -> None:
        self._waiting: Any = None
        self._timer: Any = None
        self._at = float("inf")

    def wait(self, at: float | None) -> None:
        """Wait until then, or until what it was brought forward to; None: only the latter.

        The others run in any case.

        Args:
            at: monotonic seconds.
        """
        hub = eventlet.hubs.get_hub()
        self._waiting = eventlet.getcurrent()
        self._at = float("inf")
        self.bring_forward(at)
        try:
            hub.switch()
        finally:
            self._waiting = None
            self._cancel()

    def bring_forward(self, at: float | None) -> None:
        """Wake the waiting one no later than then; no effect while nobody waits.

        Args:
            at: monotonic seconds; None: never.
        """
        if at is not None and at < self._at and self._waiting is not None:
            self._cancel()
            self._at = at
            pause_s = max(0.0, at - time.monotonic())
            hub = eventlet.hubs.get_hub()
            self._timer = hub.schedule_call_global(pause_s, self._waiting.switch)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Signal:
    """A level that one green thread waits for and others raise; raising twice counts once."""

    def __init__(self) -> None:
        self._raised = False
        self._event = Event()

    def set(self) -> None:
        """Raise it."""
        self._raised = True
        if not self._event.ready():
            self._event.send(None)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it is raised, lower it; False if the time ran out first."""
        if not self._raised:
            with Timeout(timeout_s, False):
                self._event.wait()
        if self._event.ready():
            self._event = Event()
        raised, self._raised = self._raised, False
        return raised
