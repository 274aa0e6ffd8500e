"""When a gateway of higher priority takes the role from one that forwards. Sans-IO."""

from __future__ import annotations

from weave_ryu.gateway import pace
from weave_ryu.gateway.role import Role
from weave_ryu.gateway.surroundings import Other, PortSpec


class Preemption:
    """Waits until a port was ready for long enough beside a holder of lower priority."""

    def __init__(self, spec: PortSpec) -> None:
        self._spec = spec
        self._since: float | None = None

    def reset(self) -> None:
        """The wait begins anew."""
        self._since = None

    def is_due(self, holder: Other | None, can_take: bool, now: float) -> bool:
        """Whether to ask for the role now; at most once in `pace.PREEMPT_RETRY_S`.

        Args:
            holder: the gateway that forwards, if it can be asked.
            can_take: this port could take over, and may.
            now: monotonic seconds.
        """
        spec = self._spec
        if (
            not (spec.preempt and can_take)
            or holder is None
            # An operator's word stands above priorities.
            or holder.record.role != Role.AUTO
            or holder.record.priority >= spec.priority
        ):
            self._since = None
            return False
        if self._since is None:
            self._since = now
        if now - self._since < spec.preempt_delay_s:
            return False
        self._since = now + pace.PREEMPT_RETRY_S - spec.preempt_delay_s
        return True
