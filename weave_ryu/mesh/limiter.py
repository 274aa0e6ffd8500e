"""How fast connections are accepted: a bucket of 20, one token per 50 ms (mesh/token_bucket.go)."""

from __future__ import annotations

CAPACITY = 20
TOKEN_EVERY_S = 0.05


class TokenBucket:
    """Full at the start."""

    __slots__ = ("_capacity", "_every_s", "_full_at")

    def __init__(self, capacity: int = CAPACITY, every_s: float = TOKEN_EVERY_S) -> None:
        self._capacity = capacity
        self._every_s = every_s
        self._full_at: float | None = None

    def take(self, now: float) -> float:
        """Take a token.

        Returns:
            0.0 if one was taken, else the seconds until the next one is there; ask again then.
        """
        full_at = now if self._full_at is None else max(self._full_at, now)
        wait = full_at - now - (self._capacity - 1) * self._every_s
        # Times are sums of fractions: a billionth of a second is no reason to wait.
        if wait > 1e-9:
            return wait
        self._full_at = full_at + self._every_s
        return 0.0
