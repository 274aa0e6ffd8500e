"""A planned hand-over, as the two sides of it. Sans-IO.

    old side (`Leaving`)                            new side (`Entering`)

    reads its MACs, so that both know them
              ── PREPARE ──────────────────────────▶
                                                    opens for known unicast
              ◀────────────────────────── READY ───
    both pass known unicast                         claims the segment: it moves, for all peers
                                                    watches which broadcasts the old side passes
    closes for broadcasts, waits for the switch
              ── YOURS ────────────────────────────▶
    lets in what is on its way                      opens, and passes what neither has passed

Each side is a frozen value: what happens gives a `Move`, which names the next value and what is to
be done. Either side ends it with ABORT, and nothing of it stays. `docs/explanation/failover.md`
has the reasons for each step.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from typing import ClassVar

from weave_ryu.gate import Gate
from weave_ryu.gateway import pace
from weave_ryu.gateway.records import Step
from weave_ryu.gateway.role import State
from weave_ryu.gateway.timers import HandOverTimes
from weave_ryu.names import PeerName


class End(enum.Enum):
    """How a hand-over ends, for one side."""

    DONE = enum.auto()
    """The old side has closed outwards; the new one is open."""
    FAILED = enum.auto()
    """It came to nothing."""


class LeavingStage(enum.Enum):
    """What the old side waits for."""

    READING = "its MACs are read"
    INVITING = "the successor's READY"
    SETTLING = "all peers know where the segment is"
    RETIRING = "its switch closes for broadcasts"
    SWEEPING = "the switch drops cached decisions"
    HANDED = "the successor opens"
    EBBING = "its switch closes outwards"
    RETURNING = "its switch opens again: the successor cannot go on"


class EnteringStage(enum.Enum):
    """What the new side waits for."""

    PREPARING = "its switch opens for known unicast"
    AGEING = "its switch drops cached decisions"
    CLAIMING = "all peers know where the segment is"
    WATCHING = "the old side's YOURS"
    OPENING = "its switch opens"


@dataclass(frozen=True, slots=True)
class Move:
    """What follows from something that happened to one side.

    Args:
        side: as it is now; None if it has ended.
        end: how it has ended; None if it goes on.
        say: to the other side.
        gate: for the switch.
    """

    side: Leaving | Entering | None
    end: End | None = None
    say: Step | None = None
    gate: Gate | None = None


@dataclass(frozen=True, slots=True)
class Leaving:
    """The gateway that forwards, and hands over.

    Args:
        to: the successor.
        epoch: that the successor will have.
        why: in a clause.
        due_at: when the stage ends by itself: the next step, or giving up.
        stage: what it waits for.
    """

    to: PeerName
    epoch: int
    why: str
    due_at: float
    stage: LeavingStage = LeavingStage.READING
    shown: ClassVar[State] = State.ACTIVE

    @property
    def is_told(self) -> bool:
        """The successor is invited, and may claim the segment."""
        return self.stage is not LeavingStage.READING

    @property
    def can_end(self) -> bool:
        """The successor has not been told to open."""
        told = (LeavingStage.HANDED, LeavingStage.EBBING, LeavingStage.RETURNING)
        return self.stage not in told

    @property
    def can_stay(self) -> bool:
        """Broadcasts have not begun to change hands: it may still go on as if nothing had been."""
        stage = self.stage
        early = (LeavingStage.READING, LeavingStage.INVITING, LeavingStage.SETTLING)
        return stage in early

    def read(self, now: float, times: HandOverTimes) -> Move:
        """Its MACs have been read, and told."""
        if self.stage is not LeavingStage.READING:
            return Move(self)
        return Move(self._then(LeavingStage.INVITING, now + times.answer_s), say=Step.PREPARE)

    def heard(self, step: Step, epoch: int, now: float, times: HandOverTimes) -> Move:
        """The successor says something; what does not fit the moment is ignored."""
        if epoch != self.epoch:
            return Move(self)
        if step is Step.READY and self.stage is LeavingStage.INVITING:
            return Move(self._then(LeavingStage.SETTLING, now + times.settle_s))
        return self._go_back() if step is Step.ABORT else Move(self)

    def deserted(self) -> Move:
        """The successor says that its switch or its link is gone."""
        return replace(self._go_back(), say=Step.ABORT)

    def _go_back(self) -> Move:
        """The successor passes nothing: this side goes on; its switch may have to open for it."""
        if self.can_stay:
            return Move(None, End.FAILED)
        if self.stage is LeavingStage.RETURNING:
            return Move(self)
        return Move(self._then(LeavingStage.RETURNING, float("inf")), gate=Gate.OPEN)

    def confirmed(self, now: float) -> Move:
        """The switch has confirmed the gate that was asked for last."""
        if self.stage is LeavingStage.RETIRING:
            return Move(self._then(LeavingStage.SWEEPING, now + pace.SWEEP_S))
        if self.stage is LeavingStage.EBBING:
            return Move(None, End.DONE)
        if self.stage is LeavingStage.RETURNING:
            return Move(None, End.FAILED)
        return Move(self)

    def due(self, now: float) -> Move:
        """`due_at` has come."""
        match self.stage:
            case LeavingStage.READING | LeavingStage.INVITING:
                return Move(None, End.FAILED, say=Step.ABORT)
            case LeavingStage.SETTLING:
                # Broadcasts first, and alone: until the successor has heard of it and opened,
                # nobody takes them. Known unicast goes both ways meanwhile.
                return Move(self._then(LeavingStage.RETIRING, float("inf")), gate=Gate.KNOWN)
            case LeavingStage.SWEEPING:
                return Move(self._then(LeavingStage.HANDED, now + pace.TAKEN_S), say=Step.YOURS)
            case LeavingStage.HANDED:
                return Move(self._then(LeavingStage.EBBING, float("inf")), gate=Gate.DRAINING)
            case _:
                return Move(self)  # the switch is to answer first

    def _then(self, stage: LeavingStage, due_at: float) -> Leaving:
        return replace(self, stage=stage, due_at=due_at)


@dataclass(frozen=True, slots=True)
class Entering:
    """The successor.

    Args:
        source: the gateway that hands over.
        epoch: that this one will have.
        until: when it is given up.
        next_at: when the stage ends by itself.
        stage: what it waits for.
    """

    source: PeerName
    epoch: int
    until: float
    next_at: float = float("inf")
    stage: EnteringStage = EnteringStage.PREPARING
    shown: ClassVar[State] = State.ARMING

    @property
    def due_at(self) -> float:
        """When the next step is due; until then the other side acts, or it is given up."""
        return min(self.next_at, self.until)

    @property
    def can_end(self) -> bool:
        """The old side still forwards: it may go on as if nothing had been."""
        return self.stage is not EnteringStage.OPENING

    @property
    def claims(self) -> bool:
        """Its switch passes known unicast: the segment is here from now on."""
        return self.stage not in (EnteringStage.PREPARING, EnteringStage.AGEING)

    def heard(self, step: Step) -> Move:
        """The old side says something; what does not fit the moment is ignored."""
        if step is Step.ABORT:
            return Move(None, End.FAILED)
        if step is Step.YOURS and self.stage not in (
            EnteringStage.PREPARING,
            EnteringStage.OPENING,
        ):
            return Move(self._then(EnteringStage.OPENING), gate=Gate.OPEN)
        return Move(self)

    def deserted(self) -> Move:
        """The old side says that its switch or its link is gone, so that it passes nothing."""
        return self.heard(Step.YOURS)

    def confirmed(self, now: float, times: HandOverTimes) -> Move:
        """The switch has confirmed the gate that was asked for last."""
        if self.stage is EnteringStage.PREPARING:
            # A frame that came before may have left a cached decision to drop its like.
            return Move(self._then(EnteringStage.AGEING, now + times.cache_s))
        if self.stage is EnteringStage.OPENING:
            return Move(None, End.DONE)
        return Move(self)

    def due(self, now: float, times: HandOverTimes) -> Move:
        """`due_at` has come."""
        if now >= self.until:
            # Where its switch may have opened, the other side is not to open beside it.
            return Move(None, End.FAILED, say=Step.ABORT if self.can_end else None)
        match self.stage:
            case EnteringStage.AGEING:
                watches_at = now + times.settle_s - pace.WATCH_LEAD_S
                return Move(self._then(EnteringStage.CLAIMING, watches_at), say=Step.READY)
            case EnteringStage.CLAIMING:
                return Move(self._then(EnteringStage.WATCHING), gate=Gate.TAKING)
            case _:
                return Move(self)

    def _then(self, stage: EnteringStage, next_at: float = float("inf")) -> Entering:
        return replace(self, stage=stage, next_at=next_at)
