"""Broadcasts of a planned hand-over that neither gateway has passed. Sans-IO.

The old gateway stops to pass broadcasts before the new one begins: two that overlap would double
them. What comes in between, some milliseconds, would be lost. But the new gateway sees it: each
broadcast once from where it was sent, and once more, on the other side, if the old gateway has
passed it. What it has seen only once when it has opened, it passes on itself.
"""

from __future__ import annotations

import enum
import math
from collections import Counter
from dataclasses import dataclass

MAX_FRAMES = 1000
"""A third of what the switch's meter lets through in a second: above, sightings may be missing."""

MAX_BYTES = 1 << 21

RIPE_S = 0.06
"""Before that a switch that has just begun to show broadcasts may still pass over some unseen: it
uses cached decisions, and not for both sides alike."""

PASS_S = 0.02
"""After this long a frame that was passed has been sighted on the other side."""

WATCH_S = 0.25
"""So long after the opening a switch may still hold frames: it uses cached decisions."""


class Side(enum.Enum):
    """Where a broadcast came from."""

    SEGMENT = "segment"
    MESH = "mesh"

    @property
    def other(self) -> Side:
        """Where it is for."""
        return Side.MESH if self is Side.SEGMENT else Side.SEGMENT


@dataclass(frozen=True, slots=True)
class Missing:
    """A frame that has not reached the other side."""

    origin: Side
    frame: bytes


@dataclass(frozen=True, slots=True)
class _Held:
    """A frame that the own switch has not passed."""

    at: float
    frame: bytes
    is_ripe: bool
    """If the other gateway had passed it, that would have been sighted."""


class Holding:
    """What one gateway port holds during one hand-over."""

    def __init__(self) -> None:
        self._held: dict[tuple[Side, bytes], list[_Held]] = {}
        self._passed: Counter[tuple[Side, bytes]] = Counter()
        self._frames = 0
        self._bytes = 0
        self._ripe_at = math.inf
        self._opened_at: float | None = None

    @property
    def has_overflowed(self) -> bool:
        """It has seen too much to be sure of anything, and gives nothing back."""
        return self._frames > MAX_FRAMES or self._bytes > MAX_BYTES

    def hold(self, origin: Side, frame: bytes, now: float) -> None:
        """The own switch has not passed a frame.

        Args:
            origin: the side that it came from.
            frame: all of it.
            now: monotonic seconds.
        """
        if self._has_room(frame):
            held = _Held(now, frame, now >= self._ripe_at)
            self._held.setdefault((origin, _content(frame)), []).append(held)

    def sight(self, origin: Side, frame: bytes) -> None:
        """The other gateway has passed a frame.

        Args:
            origin: the side that it came from before that.
            frame: all of it.
        """
        if self._has_room(frame):
            self._passed[origin, _content(frame)] += 1

    def begun(self, now: float) -> None:
        """The own switch has confirmed that it shows broadcasts."""
        self._ripe_at = now + RIPE_S

    def opened(self, now: float) -> None:
        """The own switch passes broadcasts from now on."""
        self._opened_at = now

    def is_over(self, now: float) -> bool:
        """Nothing more can come."""
        return self._opened_at is not None and now > self._opened_at + WATCH_S

    def take_missing(self, now: float) -> list[Missing]:
        """What nobody has passed, in the order in which it came; each frame once."""
        if self._opened_at is None or self.has_overflowed:
            return []
        found: list[tuple[float, Missing]] = []
        for (origin, content), frames in self._held.items():
            # A station of the mesh that this switch does not know looks like a host when the other
            # gateway lets its frame out: it is held on both sides then, and was passed.
            surplus = self._surplus(origin, content) - max(0, self._surplus(origin.other, content))
            # One that is not ripe may have been passed unseen: it is missing in no sum.
            surplus -= sum(not held.is_ripe for held in frames)
            due = [held for held in frames if held.is_ripe and now - held.at >= PASS_S]
            for held in due[: max(0, surplus)]:
                frames.remove(held)
                found.append((held.at, Missing(origin, held.frame)))
        found.sort(key=lambda item: item[0])
        return [missing for _, missing in found]

    def _surplus(self, origin: Side, content: bytes) -> int:
        return len(self._held.get((origin, content), ())) - self._passed[origin, content]

    def _has_room(self, frame: bytes) -> bool:
        self._frames += 1
        self._bytes += len(frame)
        if self.has_overflowed:
            self._held.clear()
            self._passed.clear()
            return False
        return True


def _content(frame: bytes) -> bytes:
    """What two copies of a frame have in common: one may be padded to 60 bytes."""
    return frame.rstrip(b"\0")
