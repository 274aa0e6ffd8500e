"""What the signs of life of another gateway mean together: one row of the table for each case.

Two planes are watched. The lease comes from the other daemon through the mesh; BFD runs between the
two switches without the daemons. Hellos on the segment, where they are on, are a third.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from weave_ryu.gateway.timers import Timers


class Bfd(enum.StrEnum):
    """What the session between the two switches says."""

    UP = "up"
    DOWN = "down"
    NONE = "none"
    """There is no session, or it never came up: no direct tunnel, or the other does not run it."""


class Verdict(enum.StrEnum):
    """What has become of a gateway that was last heard to forward."""

    ALIVE = "alive"
    DAEMON_SILENT = "daemon silent, switch alive"
    HOST_DEAD = "host or switch dead"
    UNKNOWN = "silent, nothing known of its switch"
    ELSEWHERE = "alive on the segment, but not reachable through the mesh"


@dataclass(frozen=True, slots=True)
class Evidence:
    """The signs, as of now; ages in seconds.

    Args:
        lease_age_s: since the last message of its daemon through the mesh.
        bfd: the session between the switches.
        bfd_age_s: since it changed to what it is.
        hello_age_s: since its last hello on the segment; None if none was heard, or hellos are off.
        fence_s: so old is its last lease at least when its port is closed although its switch is
            dead: it has told so. 0: a dead switch passes nothing.
    """

    lease_age_s: float
    bfd: Bfd = Bfd.NONE
    bfd_age_s: float = 0.0
    hello_age_s: float | None = None
    fence_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, and when its segment counts as vacant.

    `vacant_in_s` is negative if it does so already, since when; None if it does not.
    """

    verdict: Verdict
    vacant_in_s: float | None
    silent_s: float = 0.0
    """For how long nothing has been heard; 0 while it is heard."""


ALIVE = Judgement(Verdict.ALIVE, None)


def judge(evidence: Evidence, timers: Timers) -> Judgement:
    """One row for each combination; `docs/explanation/failover.md` shows the same table."""
    if evidence.lease_age_s < timers.silent_s:
        # The daemon speaks, so it would say if its switch or its link had failed: a BFD session
        # that is down concerns the way between the two, not the gateway.
        return ALIVE
    age_s = evidence.lease_age_s
    if evidence.hello_age_s is not None:
        # Its permits may have been renewed until its last sign of life of either kind.
        age_s = min(age_s, evidence.hello_age_s)
    if age_s < timers.silent_s:
        return Judgement(Verdict.ELSEWHERE, None)
    if evidence.bfd is Bfd.DOWN:
        # Whether the host is gone or its kernel goes on forwarding, nobody can tell from here.
        silent_s = max(timers.silent_s, evidence.fence_s)
        return Judgement(Verdict.HOST_DEAD, max(-evidence.bfd_age_s, silent_s - age_s), age_s)
    remaining = timers.take_over_s - age_s
    if evidence.bfd is Bfd.UP:
        return Judgement(Verdict.DAEMON_SILENT, remaining, age_s)
    return Judgement(Verdict.UNKNOWN, remaining, age_s)
