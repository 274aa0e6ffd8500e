"""What was asked of a port last, and what became of it: kept, replaced, or taken back. Sans-IO.

Nothing that was asked is lost: the port compares its intent with what it does at each event, until
the two agree. What it cannot do in time it takes back, with a reason.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, replace

from weave_ryu.gateway.commands import Command, RememberRole, TakeBack
from weave_ryu.gateway.role import Intent, Role
from weave_ryu.gateway.states import NEVER
from weave_ryu.gateway.surroundings import NotReadyError, PortSpec, Surroundings
from weave_ryu.names import PeerName


class Outcome(enum.StrEnum):
    """What became of a wish."""

    PENDING = "pending"
    KEPT = "kept"
    TAKEN_BACK = "taken back"


@dataclass(frozen=True, slots=True)
class Wish:
    """The newest wish; the next one replaces it.

    Args:
        number: counts the wishes of this port.
        intent: what was asked for.
        before: what was wanted until then: again, if it is not done in time.
        said: who asked, in a clause.
        until: when it is taken back (monotonic seconds). Infinite for what closes the port, which
            needs nobody else, and for the configuration, which may wait for switch and link.
        outcome: see `Outcome`; of one that was kept, another gateway's operator may take the role
            back later.
        word: orders the wishes of all gateways of the segment, see `PortRecord`.
        within_s: what `until` was computed with.
        why: it was taken back.
    """

    number: int
    intent: Intent
    before: Intent
    said: str
    until: float
    word: int = 0
    within_s: float = NEVER
    outcome: Outcome = Outcome.PENDING
    why: str = ""

    @property
    def is_urgent(self) -> bool:
        """Somebody has just asked, and waits for it: who forwards is asked to hand over."""
        return self.outcome is Outcome.PENDING and self.until != NEVER

    def standing_word(self, intent: Intent) -> int:
        """`word`, while it is what makes the port active: it wants `intent` now; else 0."""
        return self.word if intent.opens else 0


class Wishes:
    """What is wanted of one port.

    Args:
        spec: its configuration.
        around: what it sees.
        emit: takes commands.
    """

    def __init__(
        self, spec: PortSpec, around: Surroundings, emit: Callable[[Command], None]
    ) -> None:
        self._spec = spec
        self._around = around
        self._emit = emit
        self.intent = Intent(spec.role)
        """What is wanted."""
        self.last = Wish(0, self.intent, self.intent, str(self.intent), NEVER)
        """Who wanted it, and what became of that; at first the configuration, or what was
        remembered of an earlier life."""
        self.is_over = False
        """The daemon ends: nothing is accepted any more."""

    def check(self, role: Role, force: bool, insists: PeerName | None) -> None:
        """Refuse what cannot be done now.

        Args:
            role: that is asked for.
            force: whoever else forwards.
            insists: another gateway that is active by force.

        Raises:
            NotReadyError: says why.
        """
        port = self._spec.port
        if self.is_over:
            raise NotReadyError(f"{port}: the daemon shuts down; ask again when it has restarted")
        if not self._around.is_switch_up:
            raise NotReadyError(f"{port}: the switch is not connected; try again later")
        if role is not Role.ACTIVE:
            return
        if not self._around.has_carrier(port):
            down = "the segment's link is down; look at the cable"
            raise NotReadyError(f"{port}: {self._around.trouble(port) or down}")
        if insists is not None and not force:
            raise NotReadyError(
                f"{port}: {insists} is active by force; "
                "give it another role, or force this one, too"
            )

    def want(self, intent: Intent, said: str, word: int, now: float) -> None:
        """The newest word counts, whatever became of the one before.

        Args:
            intent: what is wanted.
            said: who asked, in a clause.
            word: its number.
            now: monotonic seconds.
        """
        within_s = self._around.timers.wish_s
        until = now + within_s if intent.opens else NEVER
        # What was asked for and not done yet has never been: it does not come back.
        before = self.last.before if self.last.is_urgent else self.intent
        self.last = Wish(self.last.number + 1, intent, before, said, until, word, within_s)
        self.intent = intent

    def stay_newest(self, older: int) -> None:
        """Another gateway's operator had asked for `older` before somebody asked here."""
        if self.last.is_urgent and older >= self.last.word:
            self.last = replace(self.last, word=older + 1)
            self._around.publish()

    def settle(self, is_done: bool, hindrance: Callable[[], str], now: float) -> None:
        """Compare the last wish with what the port does now.

        Args:
            is_done: it does what is wanted.
            hindrance: says what is in the way.
            now: monotonic seconds.
        """
        wish = self.last
        if wish.outcome is not Outcome.PENDING:
            return
        if is_done:
            self.last = replace(wish, outcome=Outcome.KEPT)
        elif now >= wish.until:
            self.take_back(wish.before, f"not done within {wish.within_s:.1f} s: {hindrance()}")

    def take_back(self, to: Intent, why: str) -> None:
        """What is wanted cannot be had, or another gateway was made active later."""
        wanted, self.intent = self.intent, to
        self.last = replace(self.last, outcome=Outcome.TAKEN_BACK, why=why)
        self._emit(TakeBack(self._spec.port, self._spec.segment, wanted, why))
        if to.role is not wanted.role and self.last.number:  # not what stands in the configuration
            self._emit(RememberRole(self._spec.port, to.role))
        self._around.publish()

    def give_up(self, why: str) -> None:
        """Another gateway forwards: an operator's word of before does not hold any more."""
        if self.intent.opens and not self.last.is_urgent:
            self.take_back(Intent(Role.AUTO), why)
