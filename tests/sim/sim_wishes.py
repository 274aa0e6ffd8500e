"""wish_kept: what was asked for and accepted is done in time, or taken back with a reason.

Judged by what the switches let pass, not by what the port says of itself. A reason that could not
have been (nothing was disturbed, nobody asked for anything else) is no reason.
"""

from __future__ import annotations

from dataclasses import dataclass

from sim_world import InvariantBroken

from weave_ryu.gateway.wish import Outcome

SLACK_S = 0.3
"""A clock may be wrong by so much over the bound, and the daemon looks ten times a second."""
DISTURBED_S = 12.0
"""So long after a fault its consequences may stand in the way: connections, listening, silence."""


@dataclass(frozen=True)
class Asked:
    """A wish that was accepted.

    Attributes:
        letter: of the gateway.
        daemon: that accepted it.
        intent: what was asked for.
        number: that the port gave it.
        at: when, virtual seconds.
    """

    letter: str
    daemon: object
    intent: object
    number: int
    at: float


class Wishes:
    """Looks at each wish when its time is over; raises `InvariantBroken`."""

    def __init__(self, world, striker):
        self.world, self.striker, self.clock = world, striker, world.clock
        drift = 1 + world.options.drift
        self._within_s = world.timers.wish_s * drift + SLACK_S
        self._asked = []
        world.on_wish = self.accepted

    def accepted(self, letter, daemon, intent):
        """A gateway has taken a wish over."""
        number = daemon.core.ports["gw0"].wish.number
        asked = Asked(letter, daemon, intent, number, self.clock.now)
        self._asked.append(asked)
        self.clock.after(self._within_s, self._look, asked)

    def _look(self, asked):
        peer = self.world.peers[asked.letter]
        if peer.daemon is not asked.daemon:
            return  # whoever asked has lost the connection to it
        if peer.daemon.is_paused:
            self.clock.after(self._within_s, self._look, asked)
            return
        port = peer.daemon.core.ports["gw0"]
        wish = port.wish
        if wish.number != asked.number:
            if wish.number < asked.number:
                self._broken(asked, "is not known any more")
            return  # the newest word counts
        if wish.intent != asked.intent:
            self._broken(asked, f"was taken for {wish.intent}")
        if self._was_done(asked, peer):
            self.world.sometimes["wish kept"] += 1
            return
        if wish.outcome is not Outcome.TAKEN_BACK or not wish.why:
            if asked.intent.closes and self._was_disturbed(asked):
                # The switch has not said that it has closed: then its permits run out.
                self.clock.after(self._within_s, self._look, asked)
                return
            self._broken(asked, f"is {wish.outcome}, and was not done; it is {port.state}")
        if not self._was_disturbed(asked) and not self._was_contradicted(asked):
            self._broken(asked, f"was taken back, and nothing was in the way: {wish.why}")
        self.world.sometimes["wish taken back"] += 1

    def _was_done(self, asked, peer):
        if asked.intent.opens:
            return peer.opened_at is not None or peer.closed_at >= asked.at
        if asked.intent.closes:
            return peer.opened_at is None or peer.opened_at > asked.at
        return True

    def _was_disturbed(self, asked):
        return self.striker.disturbed_at >= asked.at - DISTURBED_S or self.striker.is_disturbed

    def _was_contradicted(self, asked):
        """Others were asked to forward, too: then the newest word counts."""
        if asked.intent.forced:
            return False
        return any(
            other.intent.opens and other.letter != asked.letter
            for other in self._asked
            if other.at >= asked.at - DISTURBED_S or other.intent.forced
        )

    def _broken(self, asked, what):
        detail = f"{asked.letter} accepted {asked.intent} at {asked.at:.3f} s: it {what}"
        raise InvariantBroken("wish_kept", detail, self.clock.now)
