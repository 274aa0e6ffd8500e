"""The gate of one port: what the switch was asked for, and what it has confirmed. Sans-IO."""

from __future__ import annotations

from collections.abc import Callable

from weave_ryu.gate import Gate
from weave_ryu.gateway.commands import Command, RenewFence, RenewGate, SetGate
from weave_ryu.gateway.timers import Timers


class GateKeeper:
    """Asks the switch for gates, keeps their permits alive, and knows when they are late.

    Args:
        port: name of the gateway port.
        timers: `permit_s`, `renew_s` and `fence`.
        emit: takes commands.
    """

    def __init__(self, port: str, timers: Timers, emit: Callable[[Command], None]) -> None:
        self._port = port
        self._timers = timers
        self._emit = emit
        self.gate = Gate.CLOSED
        """What the switch has confirmed last."""
        self.asked: SetGate | None = None
        """What it has not confirmed yet."""
        self._token = 0
        self.renewed_at = 0.0
        """When the permits were sent that were confirmed last: from then on they run out."""
        self.next_renewal = 0.0
        self._fenced_at = 0.0
        self.lateness_s = 0.0

    @property
    def is_open(self) -> bool:
        """Permits live in the switch, as far as is known."""
        return self.gate is not Gate.CLOSED

    def ask(self, gate: Gate) -> None:
        """Change the gate; what was asked before and is not confirmed counts no more."""
        self._token += 1
        self.asked = SetGate(self._port, gate, self._token)
        self._emit(self.asked)

    def confirm(self, token: int, sent_at: float, now: float) -> bool:
        """The switch has confirmed, and the fence is renewed; True if that was asked for last."""
        if self.asked is None or self.asked.token != token:
            return False  # another decision was made meanwhile, and is on its way
        self.gate, self.asked = self.asked.gate, None
        self.renewed_at, self._fenced_at = sent_at, now
        self.next_renewal = sent_at + self._timers.renew_s
        return True

    def awaits(self, token: int) -> bool:
        """This is what was asked for last."""
        return self.asked is not None and self.asked.token == token

    def renewed(self, sent_at: float) -> None:
        """The switch has confirmed a renewal that was sent then."""
        if self.is_open:
            self.renewed_at = max(self.renewed_at, sent_at)

    def renew_if_due(self, now: float) -> None:
        """Keep the permits alive."""
        if self.is_open and self.asked is None and now >= self.next_renewal:
            self.next_renewal = now + self._timers.renew_s
            self._emit(RenewGate(self._port, self.gate))

    def fenced(self, renewed_at: float) -> None:
        """The fence, if there is one, was renewed then."""
        self._fenced_at = renewed_at

    def renew_fence(self, now: float) -> None:
        """Before a lease: keep the fence open, as long as the permits live and it may be open."""
        if self._timers.fence is None or not self.is_open:
            return
        is_closing = self.asked is not None and self.asked.gate is Gate.CLOSED
        if not is_closing and now - self.renewed_at < self._timers.permit_s:
            self._emit(RenewFence(self._port))

    def late_s(self, now: float) -> float | None:
        """Since the last renewal, if permits or fence have run out since; else None."""
        if not self.is_open or self.asked is not None:
            return None
        age_s = now - self.renewed_at
        self.lateness_s = max(0.0, age_s - self._timers.renew_s)
        if age_s < self._timers.permit_s:
            fence, fence_age_s = self._timers.fence, now - self._fenced_at
            return fence_age_s if fence is not None and fence_age_s >= fence.open_s else None
        return age_s

    def lose(self) -> None:
        """What the switch lets pass is not known any more; it runs out by itself."""
        self.gate, self.asked = Gate.CLOSED, None
