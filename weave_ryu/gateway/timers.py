"""All times of the gateway role, and the inequality that they must satisfy.

Fencing: an active gateway whose daemon died goes on forwarding until its permit runs out in its
switch. Nobody may take over before that, unless the switch is known to be dead, too.

    own give-up  =  renewal + permit + switch lag
    take-over    =  silence of the lease after which another gateway opens

    own give-up  <  take-over

The give-up is counted from the last lease that the dead daemon sent: one more renewal may have
followed it. A lease that arrives late only makes the others wait longer. (keepalived.conf(5) states
the same rule for its interface delays.)

Where the switch is dead, too, nothing is left to wait for, unless the kernel goes on forwarding by
what the dead switch has told it. There a second fence closes the port (`shell.fence`):

    give-up of the fence  =  lease + fence + lag of the fence
    take-over from the dead  =  the same and a margin, as its owner tells in its record
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from weave_ryu.errors import ConfigError


@dataclass(frozen=True, slots=True)
class HandOverTimes:
    """Of a planned hand-over; seconds."""

    cache_s: float = 0.15
    """How long a switch may go on using cached decisions after it has confirmed a change."""
    settle_s: float = 0.3
    """How long both pass known unicast, until all peers know where the segment has moved: Weave
    computes routes at most every 0.1 s (mesh/routes.go)."""
    drain_s: float = 0.75
    """How long the old one still lets in what the segment's switches send to it."""
    answer_s: float = 1.0
    """After this long without an answer it is given up."""


@dataclass(frozen=True, slots=True)
class FenceTimes:
    """Of the kernel's fence in front of a port; seconds. It is renewed before each lease."""

    open_s: float = 0.5
    """How long it stays open after a renewal: five leases, of which four may be late."""
    lag_s: float = 0.02
    """How much later it may close: two ticks of the kernel's slowest clock (measured: 0.004 s)."""
    margin_s: float = 0.03
    """What another gateway waits beyond the sum."""


@dataclass(frozen=True, slots=True)
class Timers:
    """Seconds, except where the name says otherwise."""

    permit_s: int = 1
    """Life of a permit in the switch; OpenFlow knows whole seconds only."""
    renew_s: float = 0.2
    """How often the permit is renewed."""
    switch_lag_s: float = 0.1
    """How long after its time a permit may still pass frames (measured: 0.016 s)."""
    lease_s: float = 0.1
    """How often gateways of a segment tell each other that they live."""
    doubt_s: float = 0.13
    """Age of a lease from which the way to a gateway is in doubt, and leases take others, too."""
    silent_s: float = 0.35
    """Age of a lease from which a gateway counts as silent."""
    take_over_s: float = 1.6
    """Silence after which a standby opens although the other's switch may still forward."""
    bfd_interval_ms: int = 100
    """Transmission interval of BFD between gateways; three lost ones mean down."""
    arm_s: float = 1.0
    """How long a port that comes up listens for other gateways before it opens."""
    arm_alone_s: float = 4.0
    """The same while the peer has no connection at all: it may still find the mesh."""
    stagger_s: float = 0.3
    """Head start of each candidate before the next one in the ranking."""
    hand_over: HandOverTimes = HandOverTimes()
    sync_s: float = 2.0
    """How often MAC tables are looked at, and told to the others if they changed."""
    fence: FenceTimes | None = None
    """None: the switch forwards in userspace, and nothing passes once it is dead."""

    @property
    def give_up_s(self) -> float:
        """Own give-up time: from the last lease sent to the last frame passed."""
        return self.renew_s + self.permit_s + self.switch_lag_s

    @property
    def fence_give_up_s(self) -> float:
        """From the last lease sent to the last frame passed, where the switch is dead, too."""
        return self.lease_s + self.fence.open_s + self.fence.lag_s if self.fence else 0.0

    @property
    def dead_ms(self) -> int:
        """What a gateway tells: so old is its last lease at least when its port has closed."""
        return math.ceil((self.fence_give_up_s + self.fence.margin_s) * 1000) if self.fence else 0

    @property
    def lingering_s(self) -> float:
        """How long a port may pass frames after it was to close, if no switch confirms that."""
        return self.fence.lag_s if self.fence else self.permit_s + self.switch_lag_s

    @property
    def wish_s(self) -> float:
        """Within that a role that was asked for is there, or is taken back with a reason.

        The longest way: a port that hands over just now is asked to be active. That hand-over ends,
        the port has drained, listens, asks the successor, finds it silent, and waits for its
        permits to run out; or another hand-over fails before the one that counts.
        """
        times = self.hand_over
        return 3 * times.answer_s + times.drain_s + self.arm_s + self.take_over_s

    def check(self) -> Timers:
        """Refuse what could let two gateways forward.

        Raises:
            ConfigError: the inequality does not hold, or a time is no use.
        """
        if self.give_up_s >= self.take_over_s:
            raise ConfigError(
                "take_over",
                self.take_over_s,
                f"must be more than {self.give_up_s:.2f} s, after which a dead gateway has "
                "stopped by itself (renewal + permit + switch lag)",
            )
        if self.fence is not None and not self.lease_s * 3 <= self.fence.open_s < self.permit_s:
            raise ConfigError(
                "fence",
                self.fence.open_s,
                f"must be at least three leases ({3 * self.lease_s:.3f} s) and less than the "
                f"permit ({self.permit_s} s)",
            )
        if self.renew_s * 3 > self.permit_s:
            raise ConfigError(
                "renew", self.renew_s, f"must be at most a third of the permit ({self.permit_s} s)"
            )
        if not self.lease_s < self.doubt_s < self.silent_s:
            raise ConfigError(
                "doubt",
                self.doubt_s,
                f"must lie between a lease ({self.lease_s:.3f} s) and silence "
                f"({self.silent_s:.3f} s)",
            )
        if self.silent_s < 2 * self.lease_s:
            raise ConfigError(
                "silent", self.silent_s, f"must be at least two leases ({2 * self.lease_s:.2f} s)"
            )
        return self


PROFILES = {
    "default": Timers(),
    "fast": replace(Timers(), bfd_interval_ms=20, lease_s=0.025, doubt_s=0.032, silent_s=0.06),
}
"""``fast`` suits gateways with cores to spare: a host that stalls for 60 ms loses its role."""

FENCES = {"default": FenceTimes(), "fast": FenceTimes(open_s=0.15)}
"""By the same names; for gateways on the kernel datapath."""
