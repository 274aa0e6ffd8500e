"""What an operator can ask of a gateway port, and what others see of it."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Role(enum.StrEnum):
    """What the operator asked for."""

    ACTIVE = "active"
    STANDBY = "standby"
    AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Intent:
    """What is wanted of a port: by the configuration, an operator or a cluster.

    Args:
        role: see `Role`.
        forced: with role active: whoever else forwards. Not remembered over restarts.
        drained: closed, and out of elections until a role is set. Not remembered over restarts.
    """

    role: Role
    forced: bool = False
    drained: bool = False

    @property
    def closes(self) -> bool:
        """It wants the port closed."""
        return self.drained or self.role is Role.STANDBY

    @property
    def opens(self) -> bool:
        """It wants this port to forward, and no other."""
        return self.role is Role.ACTIVE and not self.drained

    def __str__(self) -> str:
        """In words, as in ``role active by force``."""
        if self.drained:
            return "drain"
        return f"role {self.role}{' by force' if self.forced else ''}"


class State(enum.StrEnum):
    """What a gateway port does, as all interfaces show it; `states` has what lies behind."""

    BLOCKED = "blocked"
    """Nothing passes; the switch is not ready yet."""
    STANDBY = "standby"
    """Nothing passes, by decision; the peer is a full member of the mesh."""
    ARMING = "arming"
    """Nothing but known unicast passes, if that: looks who else forwards, or takes over."""
    ACTIVE = "active"
    """Frames pass in both directions."""
    DRAINING = "draining"
    """Has handed over; still lets in what switches send to it for a moment."""
    FAULT = "fault"
    """Nothing passes: the segment's link is down."""
