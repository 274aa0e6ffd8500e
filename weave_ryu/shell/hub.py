"""The seam to eventlet: everything in the shell that waits or spawns does it through here."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

# The class is not a DeprecationWarning, and it is raised by the import itself.
warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated", category=Warning)

import eventlet  # noqa: E402  (the filter must stand before the import)
import eventlet.event  # noqa: E402
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


def patch() -> None:
    """Make sockets, time and threads of the standard library cooperative. Call before all else."""
    eventlet.monkey_patch()


def listen(address: Any, **options: Any) -> Any:  # noqa: ANN401
    """A listening socket; an address that somebody listens on already is refused.

    eventlet would set SO_REUSEPORT, and two processes would share the connections unnoticed.
    """
    return eventlet.listen(address, reuse_port=False, **options)


def spawn(function: Callable[..., Any], *arguments: Any) -> Any:  # noqa: ANN401
    """Run a function in a green thread of its own."""
    return eventlet.spawn(function, *arguments)


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
