"""Which of many things is due first; a change costs the logarithm of their number."""

from __future__ import annotations

import heapq
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=int)


class Agenda(Generic[Key]):
    """One time per key. Times that were changed stay in the heap until they come to its top."""

    __slots__ = ("_due", "_heap")

    def __init__(self) -> None:
        self._heap: list[tuple[float, Key]] = []
        self._due: dict[Key, float] = {}

    def put(self, key: Key, due: float | None) -> None:
        """When this is due from now on; None: never."""
        if due is None:
            self._due.pop(key, None)
        elif self._due.get(key) != due:
            self._due[key] = due
            heapq.heappush(self._heap, (due, key))

    def first(self) -> float | None:
        """When the first is due."""
        heap = self._heap
        while heap and self._due.get(heap[0][1]) != heap[0][0]:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def take_due(self, now: float) -> list[Key]:
        """Those that are due, sorted; they are on the agenda no more."""
        taken: list[Key] = []
        while (due := self.first()) is not None and due <= now:
            _, key = heapq.heappop(self._heap)
            del self._due[key]
            taken.append(key)
        return sorted(taken)
