"""What one port sees of the segment's other gateways, and what follows while it is closed. Sans-IO.

Nothing is changed here but what is remembered of a vacancy and of a wait to preempt: the port
carries out what `Candidacy.next` says.
"""

from __future__ import annotations

from dataclasses import dataclass

from weave_ryu.gateway import pace
from weave_ryu.gateway.election import Candidate, Claim, rank, yields
from weave_ryu.gateway.preemption import Preemption
from weave_ryu.gateway.records import OUTLIVED_BELOW
from weave_ryu.gateway.role import Intent, Role, State
from weave_ryu.gateway.states import Listening, PortState, Requesting, Standby
from weave_ryu.gateway.surroundings import Other, Outlook, PortSpec, Surroundings
from weave_ryu.gateway.vacancy import Vacancy
from weave_ryu.gateway.wish import Wish
from weave_ryu.names import PeerName


@dataclass(frozen=True, slots=True)
class Open:
    """Forward from now on."""

    why: str


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask who forwards for the role, until then (monotonic seconds); see `Requesting`."""

    until: float
    preempts: bool


@dataclass(frozen=True, slots=True)
class Request:
    """Send the request for the role to the gateway that forwards."""

    to: PeerName


@dataclass(frozen=True, slots=True)
class StandBy:
    """Do not listen, and do not ask for the role any more."""

    why: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """What is wanted cannot be had: want this instead."""

    instead: Intent
    why: str


Next = Open | Ask | Request | StandBy | GiveUp


class Candidacy:
    """See the module's docstring.

    Args:
        spec: configuration of the port.
        around: what it sees.
    """

    def __init__(self, spec: PortSpec, around: Surroundings) -> None:
        self._spec = spec
        self._around = around
        self._vacancy = Vacancy(spec.segment)
        self._preemption = Preemption(spec)
        self._met: frozenset[PeerName] = frozenset()
        """Whose word was known when somebody asked for a role here."""

    # Looking.

    def others(self, now: float) -> list[Other]:
        """The other gateways of the segment, sorted by name."""
        return self._around.others(self._spec.segment, now)

    def insists(self, now: float) -> PeerName | None:
        """Another gateway that an operator has forced."""
        return next((other.name for other in self.others(now) if other.insists), None)

    def successor(self, now: float) -> PeerName | None:
        """Who would take the role over."""
        others = (o for o in self.others(now) if o.is_fresh and o.record.peering)
        ready = [other.candidate for other in others if other.record.ready]
        return next((c.name for c in ready if rank(c, ready) == 0), None)

    def is_about_to_be_free(self, now: float) -> bool:
        """Another gateway drains from a hand-over: it may be a successor right after."""
        others = (o for o in self.others(now) if o.is_fresh and o.record.role != Role.STANDBY)
        return any(other.record.state == State.DRAINING for other in others)

    def is_taken(self, now: float) -> bool:
        """Another gateway says that it forwards."""
        return any(other.record.state == State.ACTIVE for other in self.others(now))

    def is_hurt(self, name: PeerName, now: float) -> bool:
        """Another gateway says that its switch or its link is gone."""
        hurt = (State.FAULT, State.BLOCKED)
        return any(o.name == name and o.record.state in hurt for o in self.others(now))

    def newest_word(self, now: float) -> int:
        """The highest that another gateway tells, see `PortRecord`; lies apart, as in epochs."""
        words = (other.record.word for other in self.others(now))
        return max((word for word in words if word < OUTLIVED_BELOW), default=0)

    def was_asked_later(self, source: PeerName, word: int, now: float) -> bool:
        """Another gateway's operator made it active after this port's said `word`.

        One that tells no word is of an older version, and is believed.
        """
        asked = [o for o in self.others(now) if o.name == source and o.record.role == Role.ACTIVE]
        own = self._candidate(word)
        return any(not o.record.word or rank(own, [o.candidate]) for o in asked)

    def _candidate(self, word: int, *, is_damped: bool = False) -> Candidate:
        return Candidate(self._around.own, self._spec.priority, is_damped, word)

    def must_yield(self, epoch: int, word: int, now: float) -> str | None:
        """Why this port must close if it forwards and is not forced; None if it may stay.

        Args:
            epoch: with which it forwards.
            word: that made it active; 0 if none did.
            now: monotonic seconds.
        """
        own = Claim(self._candidate(word), epoch)
        for other in self.others(now):
            record = other.record
            if not (record.is_active and other.is_fresh):
                continue
            if other.insists:
                return f"yields to {other.name}, which is active by force"
            if yields(own, Claim(other.candidate, record.epoch)):
                return f"yields to {other.name}, which forwards with epoch {record.epoch}"
        return None

    def obstacles(self, phase: PortState, intent: Intent) -> list[str]:
        """Why the port could not take over now; empty if it could."""
        found = []
        if not self._around.is_switch_up:
            found.append("the switch is not connected")
        elif not self._around.has_carrier(self._spec.port):
            found.append(self._around.trouble(self._spec.port) or "the segment's link is down")
        if intent.drained:
            found.append("it is drained")
        if intent.role is Role.STANDBY:
            found.append("role standby: only the operator may activate it")
        if isinstance(phase, Listening):
            found.append("it still listens for other gateways")
        return found

    def outlook(self, intent: Intent, word: int, is_damped: bool, now: float) -> Outlook:
        """When the port would open if nothing changed, and why.

        Args:
            intent: what is wanted.
            word: that made it active; 0 if none did.
            is_damped: it has lost the role by faults too often lately.
            now: monotonic seconds.
        """
        if intent.drained:
            return Outlook(None, "stays closed: drained")
        if intent.role is Role.STANDBY:
            return Outlook(None, "stays closed: role standby")
        others = self.others(now)
        taken = self._vacancy.taken(others)
        if taken is not None:
            return taken
        own = self._candidate(word, is_damped=is_damped)
        stagger_s = self._around.timers.stagger_s
        return self._vacancy.outlook(own, others, self._elsewhere(now), stagger_s, now)

    def _elsewhere(self, now: float) -> tuple[PeerName, ...]:
        return self._around.elsewhere(self._spec.segment, now)

    def _holder(self, now: float) -> Other | None:
        """The gateway that forwards, or hands over just now, and can be asked."""
        others = self.others(now)
        for state in (State.ACTIVE, State.DRAINING):
            for other in others:
                if other.record.state == state and other.is_fresh:
                    return other
        return None

    # What is remembered.

    def listen_anew(self) -> None:
        """What was seen before says nothing any more."""
        self._vacancy.reset()

    def wanted_anew(self, now: float) -> None:
        """Somebody has asked for a role."""
        self._preemption.reset()
        self._met = frozenset(other.name for other in self.others(now))

    def older_word(self, now: float) -> int:
        """The highest of gateways that are heard for the first time since somebody asked here.

        They had it before: what was asked for here is newer, though nothing was known of theirs.
        """
        others = self.others(now)
        words = [other.candidate.word for other in others if other.name not in self._met]
        self._met |= {other.name for other in others}
        return max(words, default=0)

    # Deciding.

    def next(
        self,
        phase: Listening | Standby | Requesting,
        wish: Wish,
        intent: Intent,
        since: float,
        is_damped: bool,
        now: float,
    ) -> Next | None:
        """The next step of a port that is closed; None if it is to stay as it is.

        Args:
            phase: what it does.
            wish: what was asked for last.
            intent: what is wanted.
            since: it hears the others since then.
            is_damped: it has lost the role by faults too often lately.
            now: monotonic seconds.
        """
        if intent.closes:
            return None if isinstance(phase, Standby) else StandBy(wish.said)
        timers = self._around.timers
        ready_at = since + (timers.arm_s if self._around.peer_count else timers.arm_alone_s)
        if intent.forced:
            # One that does not know yet who else is a gateway would take what they bring back
            # from the segment for new frames.
            return Open(f"{wish.said} by force") if now >= ready_at else None
        if intent.opens and wish.is_urgent:
            return self._seek_role(phase, wish, is_damped, now) if now >= ready_at else None
        outlook = self.outlook(intent, wish.standing_word(intent), is_damped, now)
        return self._stand_for_election(phase, intent, outlook, ready_at, is_damped, now)

    def _seek_role(
        self, phase: Listening | Standby | Requesting, wish: Wish, is_damped: bool, now: float
    ) -> Next | None:
        """The operator waits: who forwards hands over or dies; nobody opens beside it.

        Of several that are asked at once the newest comes first, and all of them before the others.
        """
        insists = self.insists(now)
        if insists is not None:
            return GiveUp(wish.before, f"{insists} is active by force")
        outlook = self.outlook(wish.intent, wish.word, is_damped, now)
        if outlook.at is not None and outlook.at <= now:
            return Open(wish.said)
        holder = self._holder(now)
        if holder is not None and rank(self._candidate(wish.word), [holder.candidate]):
            instead = Intent(Role.AUTO) if wish.before.opens else wish.before
            return GiveUp(instead, f"{holder.name} was made active later")
        if isinstance(phase, Requesting):
            return self._request(phase, now)
        return Ask(wish.until, preempts=False)

    def _stand_for_election(
        self,
        phase: Listening | Standby | Requesting,
        intent: Intent,
        outlook: Outlook,
        ready_at: float,
        is_damped: bool,
        now: float,
    ) -> Next | None:
        if outlook.at is None:
            return self._while_taken(phase, intent, outlook.why, is_damped, now)
        # Those that started together, or were let into elections, have listened until the same
        # moment.
        starts_at = ready_at + outlook.head_start_s
        if now >= max(outlook.at, starts_at):
            return Open(outlook.why)
        is_late = now >= ready_at and outlook.at > starts_at
        return StandBy(outlook.why) if is_late and isinstance(phase, Listening) else None

    def _while_taken(
        self,
        phase: Listening | Standby | Requesting,
        intent: Intent,
        why: str,
        is_damped: bool,
        now: float,
    ) -> Next | None:
        if intent.opens and self._vacancy.taken(self.others(now)) is not None:
            # The operator's word of before: another gateway has the role since.
            return GiveUp(Intent(Role.AUTO), why)
        if isinstance(phase, Requesting) and phase.preempts:
            return self._request(phase, now)
        if not isinstance(phase, Standby):
            return StandBy(why)
        may = intent.role is Role.AUTO and not is_damped
        if self._spec.preempt and self._preemption.is_due(self._holder(now), may, now):
            return Ask(now + pace.REQUEST_S, preempts=True)
        return None

    def _request(self, phase: Requesting, now: float) -> Next | None:
        if now >= phase.until:
            return StandBy("asks for the role no more")
        holder = self._holder(now)
        return Request(holder.name) if holder is not None and now >= phase.ask_at else None
