"""When a port claims its segment in the topology of the mesh, and when it lets go. Sans-IO."""

from __future__ import annotations

from collections.abc import Callable

from weave_ryu.gateway import pace
from weave_ryu.gateway.commands import Claim, Command, Release
from weave_ryu.gateway.handover import Entering, EnteringStage, Leaving
from weave_ryu.gateway.states import NEVER, Active, Draining, PortState


class Claiming:
    """What was claimed for one segment.

    Args:
        segment: its name.
        emit: takes commands.
    """

    def __init__(self, segment: str, emit: Callable[[Command], None]) -> None:
        self._segment = segment
        self._emit = emit
        self._claim: Claim | None = None
        self.release_at = NEVER
        """When it is let go of, monotonic seconds."""

    def settle(self, phase: PortState, epoch: int, is_taken: bool, now: float) -> None:
        """The segment is connected to whoever forwards, from the moment that its switch does.

        Args:
            phase: of the port.
            epoch: with which it forwards, if it does.
            is_taken: another gateway forwards.
            now: monotonic seconds.
        """
        match phase:
            case Active():
                self._settle(Claim(self._segment, epoch))
            case Entering(epoch=planned, stage=stage) if phase.claims:
                arriving = stage is not EnteringStage.OPENING
                self._settle(Claim(self._segment, planned, arriving))
            case Leaving() | Draining():
                pass  # the successor's claim is on its way, and stands above this one's
            case _ if is_taken:
                self.drop()  # of two that forwarded, this one's claim may stand above the other's
            case _ if self._claim is not None and self.release_at == NEVER:
                # Who comes next claims it soon: until then all peers keep the segment's MACs.
                self.release_at = now + pace.RELEASE_S
            case _ if now >= self.release_at:
                self.drop()

    def _settle(self, claim: Claim) -> None:
        self.release_at = NEVER
        if claim != self._claim:
            self._claim = claim
            self._emit(claim)

    def drop(self) -> None:
        """Let go of it at once."""
        self.release_at = NEVER
        if self._claim is not None:
            self._claim = None
            self._emit(Release(self._segment))
