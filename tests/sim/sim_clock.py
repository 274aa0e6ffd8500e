"""Virtual time: a heap of events; nothing ever waits for real."""

from __future__ import annotations

from heapq import heappop, heappush
from math import inf

_END = object()


class Clock:
    """Runs callbacks in the order of their times; equal times in the order of their making."""

    def __init__(self):
        self.now = 0.0
        self._events = []
        self._count = 0

    def at(self, time, action, *args):
        """Call `action` then; not before now. Returns a handle for `cancel`."""
        now = self.now
        self._count = count = self._count + 1
        handle = [time if time > now else now, count, action, args]
        heappush(self._events, handle)
        return handle

    def after(self, delay_s, action, *args):
        self._count = count = self._count + 1
        handle = [self.now + delay_s, count, action, args]
        heappush(self._events, handle)
        return handle

    @staticmethod
    def cancel(handle):
        if handle is not None:
            handle[2] = None

    def clear(self):
        self._events.clear()

    def run(self, until):
        events = self._events
        heappush(events, [until, inf, _END, ()])  # behind all others of that time
        while True:
            self.now, _, action, args = heappop(events)
            if action is _END:
                return
            if action is not None:
                action(*args)
