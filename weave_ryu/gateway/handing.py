"""Carries planned hand-overs out on a port: what `handover` says is to be done. Sans-IO."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from weave_ryu.gate import Gate
from weave_ryu.gateway.commands import Command, ReadMacs, Tell
from weave_ryu.gateway.handover import End, Entering, Leaving, Move
from weave_ryu.gateway.records import OUTLIVED_BELOW, HandOver, Step, encode
from weave_ryu.gateway.registry import EPOCH_STEP
from weave_ryu.gateway.states import CLOSED_STATES, Active, Draining, Input
from weave_ryu.gateway.timers import HandOverTimes
from weave_ryu.names import PeerName

if TYPE_CHECKING:
    from weave_ryu.gateway.port import PortMachine


@dataclass(frozen=True, slots=True)
class HandOvers:
    """Both sides of them, for one port.

    Args:
        port: whose.
        emit: takes commands.
    """

    port: PortMachine
    emit: Callable[[Command], None]

    @property
    def _times(self) -> HandOverTimes:
        return self.port.around.timers.hand_over

    def heard(self, source: PeerName, message: HandOver, now: float) -> None:
        """A step came in; what does not fit the moment is ignored."""
        step, epoch = message.step, message.epoch
        match self.port.phase:
            case Active() if step is Step.REQUEST:
                if self._is_entitled(source, now):
                    self.begin(source, f"{source} asked for the role", now)
            case Active() if step is Step.ABORT:
                self._outbid(epoch)
            case Leaving(to=to) as leaving if to == source:
                self._carry_out(leaving, leaving.heard(step, epoch, now, self._times), now)
            case Entering(source=of, epoch=own) as entering if (of, own) == (source, epoch):
                self._carry_out(entering, entering.heard(step), now)
            case _ if step is Step.PREPARE:
                self._prepare(source, epoch, now)

    def _is_entitled(self, source: PeerName, now: float) -> bool:
        """Who asks may have the role: an operator's word stands above priorities."""
        port = self.port
        if port.intent.forced or not port.is_settled:
            return False
        return not port.intent.opens or port.candidacy.was_asked_later(source, port.wish.word, now)

    def _prepare(self, source: PeerName, epoch: int, now: float) -> None:
        port = self.port
        is_free = isinstance(port.phase, CLOSED_STATES) and not port.intent.closes
        # One of before segments were peers would not know where this one has moved.
        is_free = is_free and port.around.is_peer(port.spec.segment)
        is_sane = epoch <= port.around.epoch(port.spec.segment) + EPOCH_STEP
        if not is_free or not is_sane or epoch <= port.epoch:
            self._tell(source, Step.ABORT, epoch)
            return
        until = now + 2 * self._times.answer_s
        port.ask(Gate.KNOWN)
        port.enter(Input.INVITED, Entering(source, epoch, until), f"{source} hands over", now)

    def begin(self, to: PeerName, why: str, now: float) -> None:
        """Hand over."""
        port = self.port
        epoch = port.around.epoch(port.spec.segment) + 1
        due_at = now + port.around.timers.hand_over.answer_s
        port.enter(Input.HANDS_OVER, Leaving(to, epoch, why, due_at), why, now)
        # First of all the successor must know every MAC, the newest, too.
        self.emit(ReadMacs(port.spec.port))

    def macs_told(self, now: float) -> None:
        """The MACs have just been read; the others know them, or will before what follows."""
        phase = self.port.phase
        if isinstance(phase, Leaving):
            self._carry_out(phase, phase.read(now, self._times), now)

    def confirmed(self, side: Leaving | Entering, now: float) -> None:
        """The switch has confirmed the gate that was asked for last."""
        if isinstance(side, Leaving):
            self._carry_out(side, side.confirmed(now), now)
        else:
            self._carry_out(side, side.confirmed(now, self._times), now)

    def go_on(self, side: Leaving | Entering, now: float) -> None:
        """Time has passed, or something else is wanted."""
        port, wish, partner = self.port, self.port.wish, _partner(side)
        insists = None if port.intent.forced else port.candidacy.insists(now)
        if isinstance(side, Leaving):
            if side.can_stay and port.intent.opens and wish.is_urgent:
                self._tell(partner, Step.ABORT, side.epoch)
                self._stay(side, wish.said, now)
            elif side.can_stay and insists is not None:
                why = f"yields to {insists}, which is active by force"
                self._tell(partner, Step.ABORT, side.epoch)
                port.wishes.give_up(why)
                port.close(Input.RESIGNS, why, now)
            elif port.candidacy.is_hurt(side.to, now) and side.deserted().side is not side:
                self._carry_out(side, side.deserted(), now)
            elif now >= side.due_at:
                self._carry_out(side, side.due(now), now)
        elif (port.intent.closes and side.can_end) or insists is not None:
            why = wish.said if insists is None else f"{insists} is active by force"
            self._tell(partner, Step.ABORT, side.epoch)
            port.close(Input.GIVEN_UP, why, now)
        elif port.candidacy.is_hurt(side.source, now) and side.deserted().side is not side:
            self._carry_out(side, side.deserted(), now)
        elif now >= side.due_at:
            self._carry_out(side, side.due(now, self._times), now)

    def broken(self, side: Leaving | Entering) -> None:
        """Switch or link are gone: the other side is not to wait for this one."""
        if side.can_end:
            self._tell(_partner(side), Step.ABORT, side.epoch)

    def _carry_out(self, side: Leaving | Entering, move: Move, now: float) -> None:
        port = self.port
        if move.say is not None:
            self._tell(_partner(side), move.say, side.epoch)
        if move.gate is not None:
            port.ask(move.gate)
        if move.side is not None:
            port.go_on_as(move.side, now)
        elif isinstance(side, Leaving):
            self._left(side, move, now)
        elif move.end is End.DONE:
            port.opened(side.epoch, f"{side.source} handed over", now)
        elif now >= side.until:
            port.close(Input.GIVEN_UP, "the hand-over was not completed in time", now)
        else:
            port.close(Input.GIVEN_UP, f"{side.source} gave the hand-over up", now)

    def _left(self, leaving: Leaving, move: Move, now: float) -> None:
        port = self.port
        if move.end is End.DONE:
            why = f"handed over to {leaving.to}: {leaving.why}"
            port.wishes.give_up(why)
            due_at = now + port.around.timers.hand_over.drain_s
            port.enter(Input.HANDED_OVER, Draining(leaving.to, why, due_at), why, now)
            return
        is_hurt = port.candidacy.is_hurt(leaving.to, now)
        how = "did not answer" if move.say is Step.ABORT else "gave the hand-over up"
        how = "has lost its switch or its link" if is_hurt else how
        why = f"{leaving.why}; {leaving.to} {how}"
        if port.intent.closes:
            port.close(Input.RESIGNS, why, now)
        else:
            self._stay(leaving, why, now)

    def _stay(self, leaving: Leaving, why: str, now: float) -> None:
        if leaving.is_told:
            self._outbid(leaving.epoch)
        self.port.enter(Input.GIVEN_UP, Active(), why, now)
        self.port.around.announce(self.port.spec.port)

    def _outbid(self, epoch: int) -> None:
        """The successor may have claimed the segment with that epoch, and passes nothing."""
        if self.port.epoch < epoch < OUTLIVED_BELOW:
            self.port.epoch = max(epoch, self.port.around.epoch(self.port.spec.segment)) + 1
            self.port.around.publish()

    def _tell(self, peer: PeerName, step: Step, epoch: int) -> None:
        segment = self.port.spec.segment
        self.emit(Tell(peer, encode(hand_overs=[HandOver(segment, step, epoch)])))

    def request(self, holder: PeerName) -> None:
        """Ask for the role."""
        self._tell(holder, Step.REQUEST, self.port.around.epoch(self.port.spec.segment))


def _partner(side: Leaving | Entering) -> PeerName:
    return side.to if isinstance(side, Leaving) else side.source
