"""Connections that never become one of the mesh: told of once a minute at most.

Whoever can reach the mesh's port can open connections and end them, as port scans and health checks
do all day. Each of them counts (`weave_ryu_mesh_failed_connections`), but a line for each would
bury what an operator looks for, and fill the disk.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import structlog

_log = structlog.get_logger()

QUIET_S = 60.0
"""After a line."""

MAX_REMOTES = 1000
"""Of so many different addresses it is kept how often they came; the others are only counted."""
SHOWN_REMOTES = 3
MAX_REASON = 200
"""Characters: a stranger's words may be among them."""

EVENT = "connections_failed"

TO_MEND = frozenset(
    {
        "wrong-password", "overlay-needs-ipsec", "no-overlay", "name-taken", "missing-feature",
        "bad-feature",
    }
)  # fmt: skip
"""Codes of a peer that means it, and that an operator has to help: no scan comes that far. Each is
told of at once, with its address, once a minute."""
ONE_SIDED = frozenset({"password-missing", "password-unexpected"})
"""The same, but a few bytes are enough for it: once a minute, whoever it is."""
MAX_TOLD = 10
"""So many of these in a minute; further ones are counted like all others."""


class StrangerLog:
    """Writes the lines.

    Args:
        wake_at: told the time at which `due` must be called, in the seconds of `ended`'s `now`.
    """

    def __init__(self, wake_at: Callable[[float], None]) -> None:
        self._wake_at = wake_at
        self._quiet_until = float("-inf")
        self._is_woken = False
        self._reasons: Counter[str] = Counter()
        self._remotes: Counter[str] = Counter()
        self._last = ""
        self._told: set[tuple[str, str]] = set()
        self._told_until = float("-inf")

    def ended(self, remote: tuple[str, int], code: str, reason: str, now: float) -> None:
        """A connection is over that was never established.

        Args:
            remote: whose it was.
            code: short reason, one of few.
            reason: a sentence, in which a stranger's words may be.
            now: monotonic seconds.
        """
        _log.debug("connection_failed", remote="{}:{}".format(*remote), reason=reason)
        if code in TO_MEND | ONE_SIDED and self._is_told(remote, code, reason, now):
            return
        self._reasons[code] += 1
        if remote[0] in self._remotes or len(self._remotes) < MAX_REMOTES:
            self._remotes[remote[0]] += 1
        self._last = f"{remote[0]}: {reason[:MAX_REASON]}"
        if now >= self._quiet_until:
            self._write(now)
        elif not self._is_woken:
            self._is_woken = True
            self._wake_at(self._quiet_until)

    def _is_told(self, remote: tuple[str, int], code: str, reason: str, now: float) -> bool:
        if now >= self._told_until:
            self._told_until = now + QUIET_S
            self._told.clear()
        key = ("", code) if code in ONE_SIDED else (remote[0], reason)
        if key in self._told or len(self._told) >= MAX_TOLD:
            return False
        self._told.add(key)
        where = "{}:{}".format(*remote)
        _log.warning("connection_refused", remote=where, code=code, reason=reason[:MAX_REASON])
        return True

    def due(self, now: float) -> None:
        """The time that `wake_at` was told has come."""
        self._is_woken = False
        if self._reasons:
            self._write(now)

    def _write(self, now: float) -> None:
        remotes = sorted(self._remotes.items(), key=lambda item: (-item[1], item[0]))
        _log.warning(
            EVENT,
            count=self._reasons.total(),
            reasons=dict(sorted(self._reasons.items())),
            remotes=[remote for remote, _ in remotes[:SHOWN_REMOTES]],
            addresses=len(remotes),
            last=self._last,
        )
        self._reasons.clear()
        self._remotes.clear()
        self._quiet_until = now + QUIET_S
