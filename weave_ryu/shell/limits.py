"""Limits on how often something may be asked for."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Bucket:
    """A token bucket.

    Args:
        per_s: how many more each second.
        burst: how many at once at the most.
    """

    per_s: float
    burst: float
    _filled: float = field(init=False)
    _at: float = field(init=False, default=float("-inf"))

    def __post_init__(self) -> None:
        """Start full."""
        self._filled = self.burst

    def take(self, now: float) -> bool:
        """Take one, if there is one.

        Args:
            now: monotonic seconds.
        """
        self._refill(now)
        if self._filled < 1:
            return False
        self._filled -= 1
        return True

    def is_empty(self, now: float) -> bool:
        """True if the next `take` would fail."""
        self._refill(now)
        return self._filled < 1

    def _refill(self, now: float) -> None:
        passed = max(0.0, now - self._at)
        self._filled = min(self.burst, self._filled + passed * self.per_s)
        self._at = now
