"""When gateway ports send probes. Sans-IO."""

from __future__ import annotations

EVERY_S = 1.0
"""Between two probes of a port."""

HURRY_S = 3.0
HURRY_EVERY_S = 0.25
"""The same while something is new: a link, a connection of the mesh, a port, a role. A port that
comes up listens for a second before it opens, and until then it should have been heard."""

SUSPECT_EVERY_S = 0.05
SUSPECT_BURST = 5
SUSPECT_PER_S = 2.0
"""The same while frames come back, or a MAC comes from a segment to a port: a loop may have been
made just now, and goes round until a probe has. A segment that returns all frames, or somebody who
sends in the names of others, must not cause more than a few."""


class Probing:
    """The times of the probes of all gateway ports of one peer.

    Attributes:
        due_at: of the next ones, monotonic seconds.
    """

    def __init__(self) -> None:
        self.due_at = float("-inf")
        self._sent_at = float("-inf")
        self._hurry_until = float("-inf")
        self._spare = float(SUSPECT_BURST)
        self._spare_at = 0.0

    def hurry(self, now: float) -> None:
        """Something is new: do not wait until the next probe is due, and send more of them."""
        self._hurry_until = now + HURRY_S
        self.due_at = min(self.due_at, max(now, self._sent_at + HURRY_EVERY_S))

    def suspect(self, now: float) -> None:
        """Frames may be circling."""
        soon = max(now, self._sent_at + SUSPECT_EVERY_S)
        if soon >= self.due_at:
            return
        gained = SUSPECT_PER_S * (now - self._spare_at)
        self._spare, self._spare_at = min(self._spare + gained, float(SUSPECT_BURST)), now
        if self._spare >= 1:
            self._spare -= 1
            self.due_at = soon

    def sent(self, now: float) -> None:
        """The probes that were due have been sent."""
        every_s = HURRY_EVERY_S if now < self._hurry_until else EVERY_S
        self._sent_at, self.due_at = now, now + every_s
