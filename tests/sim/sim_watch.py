"""Looks at the world whenever something changes that an invariant depends on."""

from __future__ import annotations

from sim_world import InvariantBroken

LOOK_S = 0.05
OVERLAP_S = 0.25
"""Two automatic gateways of one segment may be open at once for so long in a hand-over: a message
and two answers of a switch."""
SLOW_OVERLAP_S = 1.0
LATE_S = 0.15
"""What a daemon's clock may be wrong by, and a command on its way."""
ANNOUNCED_S = 1.5
"""So long after a change of roles who forwards has announced what it knows."""
MERGE_S = 2.0
"""Time until one of two has yielded, from when they can hear each other again."""


class Watch:
    """Raises `InvariantBroken`.

    one_forwarder is looked at while more than one gate is open, fail_closed once a daemon has been
    dead or stopped for as long as its permits may live; no_loop and standby_silent are looked at
    where frames pass and switches learn.
    """

    def __init__(self, world, striker):
        self.world, self.striker, self.clock = world, striker, world.clock
        self._overlap_s = 0.0
        self._is_looking = self._is_slow = False
        self._was_excused = True
        self._excused_at = 0.0
        self._asleep = {}
        timers = world.timers
        self._fail_closed_s = timers.permit_s + world.options.lag_s + 0.7
        world.conditions_changed = self.look
        world.on_role = self._announces
        world.on_renewal = self._look_at_renewal

    def look(self):
        """Something has changed: a gate, a daemon, a connection, a role, or a fault."""
        if self._was_excused:
            self._excused_at = self.clock.now
        self._was_excused = self._is_excused()
        if not self._is_looking and self._are_too_many():
            self._is_looking = True
            self._overlap_s = 0.0
            self._is_slow = False
            self.clock.after(LOOK_S, self._look_again)
        for letter, peer in self.world.peers.items():
            if peer.is_gateway:
                self._look_at_life(letter, peer)

    # no_blackhole: who forwards has told its segment of the silent containers it knows.

    def _announces(self):
        """A gateway port has changed its state."""
        is_open = self.world.open_gateways
        if len(is_open) == 1 and self.world.peers[is_open[0]].daemon is not None:
            known = self.world.peers[is_open[0]].daemon.core.mesh_macs("gw0")
            what = is_open[0], known, self.world.events
            self.clock.after(ANNOUNCED_S, self._look_at_segment, *what)

    def _look_at_segment(self, letter, known, events):
        """Unless something has happened meanwhile: the next such look comes after that."""
        world = self.world
        if world.events != events or world.open_gateways != [letter] or self._is_excused():
            return
        daemons = [peer.daemon for peer in world.peers.values()]
        if any(daemon is None or daemon.is_paused for daemon in daemons):
            return
        if not all(port.is_settled for daemon in daemons for port in daemon.core.ports.values()):
            return  # another one is about to take over, and lets known unicast pass already
        for mac in sorted(known & world.peers[letter].daemon.core.mesh_macs("gw0")):
            world.sometimes["segment looked at after a change of roles"] = 1
            place = world.segment.place_of(mac)
            if place != letter:
                detail = f"the segment looks for {mac} at {place}, not at {letter}"
                raise InvariantBroken("no_blackhole", detail, self.clock.now)

    # one_forwarder.

    def _look_again(self):
        now = self.clock.now
        if not self._are_too_many():
            self._is_looking = False
            return
        self.clock.after(LOOK_S, self._look_again)
        self._was_excused = self._is_excused()
        if self._was_excused:
            self._excused_at = now
        if now - self._excused_at < MERGE_S:
            self._overlap_s = 0.0
            return
        self._overlap_s += LOOK_S
        # What a switch refused to close while it was in trouble is open for a while after that.
        self._is_slow |= self.striker.is_held("slow", "refuse")
        if self._overlap_s > (SLOW_OVERLAP_S if self._is_slow else OVERLAP_S) + LOOK_S:
            who = ", ".join(self.world.open_gateways)
            raise InvariantBroken("one_forwarder", f"{who} for {self._overlap_s:.2f} s", now)

    def _are_too_many(self):
        """Two or more are open, and not because an operator insists.

        Force waits for nobody: one whose daemon cannot hear it goes on until its permits run out.
        """
        peers = [self.world.peers[letter] for letter in self.world.open_gateways]
        if len(peers) < 2:
            return False
        if not any(peer.is_forced for peer in peers):
            return True
        awake = [p for p in peers if p.daemon is not None and not p.daemon.is_paused]
        return not all(peer.is_forced for peer in awake)

    def _is_excused(self):
        """Those that forward cannot hear each other, or somebody was told wrong."""
        world = self.world
        # A false alarm counts only together with a silent daemon: both at once look like death.
        if self.striker.is_held("bfd"):
            return True
        gateways = [p for p in world.peers.values() if p.is_gateway]
        # So does a cut way to a gateway whose daemon is silent, until its permits have run out.
        for peer in gateways:
            is_silent = peer.daemon is None or peer.daemon.is_paused
            edges = world.mesh.by_letter[peer.letter] if is_silent else ()
            if any(e.deaf and e.other(peer.letter) in world.options.gateways for e in edges):
                return True
        alive = [p.letter for p in gateways if p.daemon is not None]
        return not all(world.mesh.can_talk(a, b) for a in alive for b in alive if a != b)

    # fail_closed: a daemon that is dead or stopped forwards no more once its permits have run out.

    def _look_at_renewal(self, peer, sent_at):
        """A daemon that is late does not renew: that would open a port that has closed."""
        ran_out_at = peer.switch.ran_out_at
        if not peer.switch.permits and ran_out_at is not None and sent_at > ran_out_at + LATE_S:
            detail = (
                f"{peer.letter} renews permits that ran out {sent_at - ran_out_at:.2f} s before"
            )
            raise InvariantBroken("fail_closed", detail, self.clock.now)

    def _look_at_life(self, letter, peer):
        is_awake = peer.daemon is not None and not peer.daemon.is_paused
        timer = self._asleep.get(letter)
        if is_awake and timer is not None:
            self.clock.cancel(self._asleep.pop(letter))
        elif not is_awake and timer is None:
            timer = self.clock.after(self._fail_closed_s, self._must_be_closed, peer)
            self._asleep[letter] = timer

    def _must_be_closed(self, peer):
        if peer.switch.permits:
            raise InvariantBroken(
                "fail_closed", f"{peer.letter} is open without a daemon", self.clock.now
            )
        # It must stay so for as long as nobody wakes up.
        self._asleep[peer.letter] = self.clock.after(1.0, self._must_be_closed, peer)
