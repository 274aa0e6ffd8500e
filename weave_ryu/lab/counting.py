"""What arrived, what was doubled, what was lost, and for how long nothing came. No I/O."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

MAX_FRAMES: Final = 1_000_000
"""Bound of what one tally remembers; frames beyond it are counted only as excess."""

_MAX_COPIES: Final = 255


@dataclass(frozen=True, slots=True)
class Delivery:
    """The account of one stream at one receiver.

    Attributes:
        arrived: different frames of those sent.
        duplicated: copies beyond the first of each.
        lost: frames of which no copy came.
        most_copies: of one and the same frame.
    """

    sent: int
    arrived: int
    duplicated: int
    lost: int
    most_copies: int

    @property
    def is_exact(self) -> bool:
        """Whether every frame came exactly once."""
        return self.arrived == self.sent and self.duplicated == 0

    @property
    def copies(self) -> int:
        """All that came, first copies and further ones."""
        return self.arrived + self.duplicated


class Tally:
    """Counts the copies of each frame of one stream at one receiver."""

    __slots__ = ("arrivals", "copies", "excess")

    def __init__(self) -> None:
        self.copies = bytearray()
        self.arrivals = array("Q")
        self.excess = 0

    def add(self, sequence: int, at_ns: int) -> None:
        """Note a copy of frame ``sequence`` that came at ``at_ns``."""
        if sequence >= MAX_FRAMES or len(self.arrivals) >= MAX_FRAMES:
            self.excess += 1
            return
        copies = self.copies
        if sequence >= len(copies):
            copies.extend(bytes(sequence + 1 - len(copies)))
        if copies[sequence] == _MAX_COPIES:
            self.excess += 1
        else:
            copies[sequence] += 1
        self.arrivals.append(at_ns)

    def delivery(self, sent: int) -> Delivery:
        """The account, given how many were sent, numbered from 0."""
        arrived = sum(1 for count in self.copies if count)
        return Delivery(
            sent=sent,
            arrived=arrived,
            duplicated=sum(self.copies) - arrived + self.excess,
            lost=max(0, sent - arrived),
            most_copies=max(self.copies, default=0),
        )


def longest_gap_ns(arrivals: Sequence[int], start_ns: int, end_ns: int) -> int:
    """The longest time without an arrival that touches a window.

    An interval counts in full when it reaches into the window from outside. If nothing came before
    the window, the time before it is unknown and not counted.

    Args:
        arrivals: times, in order.
        start_ns: begin of the window.
        end_ns: its end; silence that is still going on is counted up to here.
    """
    first = bisect_left(arrivals, start_ns)
    after = bisect_right(arrivals, end_ns)
    begins = arrivals[first - 1] if first else start_ns
    times = [begins, *arrivals[first:after]]
    times.append(arrivals[after] if after < len(arrivals) else max(end_ns, times[-1]))
    return max(later - earlier for earlier, later in pairwise(times))
