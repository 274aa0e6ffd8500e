"""One gateway port: state, gate, permits and hand-overs. Sans-IO.

`PortMachine` decides; what it decides on comes from a `Surroundings`, what it wants done goes out
as commands. Every decision to open waits for the switch's confirmation before it is told to anyone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from weave_ryu.gate import Gate
from weave_ryu.gateway import pace
from weave_ryu.gateway.commands import (
    Announce,
    Command,
    Prime,
    RaiseVersion,
    ReadMacs,
    RememberRole,
    RenewGate,
    Report,
    SetGate,
    Tell,
)
from weave_ryu.gateway.election import Candidate, Claim, rank, yields
from weave_ryu.gateway.preemption import Preemption
from weave_ryu.gateway.records import HandOver, PortRecord, Step, as_reason, encode
from weave_ryu.gateway.role import Entry, Input, Role, State, follow
from weave_ryu.gateway.stages import Entering, Leaving, Pending
from weave_ryu.gateway.surroundings import NotReadyError, Other, Outlook, PortSpec, Surroundings
from weave_ryu.gateway.vacancy import Vacancy
from weave_ryu.names import PeerName


@dataclass
class PortMachine:
    """See the module's docstring."""

    spec: PortSpec
    around: Surroundings
    emit: Callable[[Command], None]
    now: float
    role: Role = field(init=False)
    epoch: int = 0
    gate: Gate = Gate.CLOSED
    is_drained: bool = False
    is_forced: bool = False
    """Active whoever else is: the operator insists. Not remembered over restarts."""
    history: deque[Entry] = field(default_factory=lambda: deque(maxlen=100))
    renewed_at: float = 0.0
    lateness_s: float = 0.0

    def __post_init__(self) -> None:
        """Start closed."""
        self.role = self.spec.role
        self._tokens = 0
        self._pending: Pending | None = None
        self._leaving: Leaving | None = None
        self._handed_to: PeerName | None = None
        self._entering: Entering | None = None
        self._request_until: float | None = None
        self._ask_at = 0.0
        self._is_awaited = False
        self._invited_by: PeerName | None = None
        self._claimed = 0
        self._next_renewal = 0.0
        self._listening_since: float | None = None
        self._met_since = float("-inf")
        self._vacancy = Vacancy(self.spec.segment)
        self._drained_at = 0.0
        self._run_out_at: float | None = None
        self._preemption = Preemption(self.spec)
        self._faults: deque[float] = deque(maxlen=pace.FAULT_LIMIT)
        self._recorded: tuple[object, PortRecord] = None, PortRecord("", "", "", 0)
        self.state = State.BLOCKED
        """What the port does now, as the last entry of `history` says."""
        self.history.append(Entry(self.now, self.state, 0, "starts closed"))

    # Looking.

    @property
    def is_settled(self) -> bool:
        """Nothing is under way."""
        return self._pending is None and self._leaving is None and self._entering is None

    @property
    def may_announce(self) -> bool:
        """Its announcements are wanted; those of one that leaves would undo the successor's.

        One that reached the switch after the gate was closed would teach it hosts behind that gate.
        """
        if self._pending is not None and self._pending.gate in (Gate.CLOSED, Gate.DRAINING):
            return False
        if self._entering is not None:
            return True
        return self.state is State.ACTIVE and self._leaving is None

    def is_damped(self, now: float) -> bool:
        """It has lost the role by faults too often lately."""
        full = len(self._faults) == pace.FAULT_LIMIT
        return full and now - self._faults[0] < pace.FAULT_WINDOW_S

    def obstacles(self) -> list[str]:
        """Why it could not take over now; empty if it could."""
        found = []
        if not self.around.is_switch_up:
            found.append("the switch is not connected")
        elif not self.around.has_carrier(self.spec.port):
            found.append("the segment's link is down")
        if self.is_drained:
            found.append("it is drained")
        if self.role is Role.STANDBY:
            found.append("role standby: only the operator may activate it")
        if self.state is State.ARMING and self._entering is None:
            found.append("it still listens for other gateways")
        return found

    def record(self, now: float) -> PortRecord:
        """What the others are told.

        A port whose switch was lost while open counts as active until its permits have run out.
        """
        state, spec = self._shown_state(), self.spec
        epoch = self._claimed if self._is_opening else self.epoch
        ready = self.state is State.STANDBY and not self.obstacles()
        damped, why = self.is_damped(now), self.history[-1].reason
        told = state, epoch, self.role, ready, damped, why, self.is_forced
        if told != self._recorded[0]:  # with each lease it is asked for, and nearly always the same
            said = str(state), epoch, str(self.role), spec.priority, ready, damped, as_reason(why)
            self._recorded = told, PortRecord(spec.segment, spec.port, *said, self.is_forced)
        return self._recorded[1]

    @property
    def _is_opening(self) -> bool:
        """It has told its switch to open, and has no answer yet: it may be open."""
        return (
            self._pending is not None
            and self._pending.gate is Gate.OPEN
            and self._entering is None
            and self.state is not State.ACTIVE
        )

    def _shown_state(self) -> State:
        if self._run_out_at is not None or self._is_opening:
            return State.ACTIVE
        if self._leaving is not None and self._leaving.is_prepared:
            # Told early: who hears of the successor first would forget what is behind this peer,
            # and flood what it redirects.
            return State.DRAINING
        return self.state

    def outlook(self, now: float) -> Outlook:
        """When this port would open if nothing changed, and why."""
        if self.role is Role.STANDBY:
            return Outlook(None, "stays closed: role standby")
        if self.is_drained:
            return Outlook(None, "stays closed: drained")
        others = self._others(now)
        taken = self._vacancy.taken(others)
        if taken is not None:
            return taken
        own = Candidate(self.around.own, self.spec.priority, self.is_damped(now))
        stagger_s = self.around.timers.stagger_s
        return self._vacancy.outlook(own, others, self._elsewhere(now), stagger_s, now)

    def deadline(self, due_at: float) -> float:
        """When to call `tick` again: `due_at`, or sooner."""
        if self._pending is not None:
            return due_at  # nothing is done before the switch has answered
        if self.gate is not Gate.CLOSED and self._next_renewal < due_at:
            due_at = self._next_renewal
        if self._leaving is not None:
            due_at = min(due_at, self._leaving.due_at)
        if self.state is State.DRAINING:
            due_at = min(due_at, self._drained_at)
        if self._entering is not None:
            due_at = min(due_at, self._entering.due_at)
        return due_at

    # The operator.

    def set_role(self, role: Role, now: float, *, force: bool = False) -> None:
        """Take over what was asked for; `is_settled` and `state` tell when it is done.

        Args:
            role: what the operator wants. The newest word counts: a gateway that was made active
                before hands over.
            now: monotonic seconds.
            force: with role active, open whoever else forwards, and yield to nobody.

        Raises:
            NotReadyError: it cannot be done now; nothing was changed.
        """
        if not self.around.is_switch_up:
            raise NotReadyError(f"{self.spec.port}: the switch is not connected; try again later")
        if role is Role.ACTIVE and not self.around.has_carrier(self.spec.port):
            raise NotReadyError(f"{self.spec.port}: the segment's link is down; look at the cable")
        insists = [o.name for o in self._others(now) if o.insists]
        if role is Role.ACTIVE and insists and not force:
            raise NotReadyError(
                f"{self.spec.port}: {insists[0]} is active by force; "
                "give it another role, or force this one, too"
            )
        self.role = role
        self.is_forced = force and role is Role.ACTIVE
        self.is_drained = self._is_awaited = False
        self._preemption.reset()
        if role is Role.ACTIVE:
            self._activate(now)
        elif role is Role.STANDBY and self.state is not State.STANDBY:
            self._resign("the operator asked for standby", now)
        self.around.publish()

    def drain(self, now: float) -> None:
        """Hand over and stay out of elections until a role is set."""
        self.is_drained = True
        if self.state is not State.STANDBY:
            self._resign("drained by the operator", now)
        self.around.publish()

    def shut_down(self, now: float) -> None:
        """Hand over if there is a successor, else close."""
        self.is_drained = True
        self._resign("the daemon shuts down", now)

    def _activate(self, now: float) -> None:
        if self.state is State.ACTIVE or self._entering is not None:
            return
        listens = now < self._knows_others_at
        if listens or self.state not in (State.ARMING, State.STANDBY):
            # Its gate is being closed: when that is confirmed. Or it does not know yet who else is
            # a gateway, and would take what they bring back from the segment for new frames.
            self._is_awaited = True
            return
        if self.is_forced or self._is_vacant(now):
            self._promote("the operator asked for active", now)
            return
        self._ask_for_role(now)

    def _is_vacant(self, now: float) -> bool:
        """Nobody forwards, not even a switch whose daemon is silent."""
        others = self._others(now)
        vacant_at, _ = self._vacancy.look(others, self._elsewhere(now), now)
        return vacant_at is not None and vacant_at <= now

    def _others(self, now: float) -> list[Other]:
        return self.around.others(self.spec.segment, now)

    def _elsewhere(self, now: float) -> tuple[PeerName, ...]:
        return self.around.elsewhere(self.spec.segment, now)

    def _holder(self, now: float) -> Other | None:
        """The gateway that forwards, or hands over just now, and can be asked."""
        others = self._others(now)
        for state in (State.ACTIVE, State.DRAINING):
            for other in others:
                if other.record.state == state and other.is_fresh:
                    return other
        return None

    def _resign(self, why: str, now: float) -> None:
        if self.state in (State.BLOCKED, State.FAULT, State.DRAINING):
            return  # closed already, or about to be
        if self._leaving is not None:
            self._leaving.must_close = True
            return
        if self.state is not State.ACTIVE:
            if self.state is State.ARMING:
                self._entering = None
                self._request_until = None
            self._close(Input.CLOSED, why)
            return
        successor = self._successor(now)
        if successor is None:
            self._close(Input.CLOSED, why)
        else:
            self._begin_leaving(successor, why, True, now)

    def _successor(self, now: float) -> PeerName | None:
        candidates = [o.candidate for o in self._others(now) if o.is_fresh and o.record.ready]
        return next((c.name for c in candidates if rank(c, candidates) == 0), None)

    # The switch.

    def gate_set(self, token: int, sent_at: float, now: float) -> None:
        """The switch has confirmed a gate.

        Args:
            token: of the command.
            sent_at: before the permits were sent: from then on they run out.
            now: monotonic seconds.
        """
        pending = self._pending
        if pending is None or pending.token != token:
            return  # another decision was made meanwhile, and is on its way
        self._pending = None
        self.gate = pending.gate
        self.renewed_at = sent_at
        self._next_renewal = sent_at + self.around.timers.renew_s
        was_open, self._run_out_at = self._run_out_at is not None, None
        pending.then(now)
        if was_open:
            self.around.publish()

    def gate_failed(self, token: int | None, error: str, now: float) -> None:
        """The switch has not confirmed; what it holds now runs out by itself."""
        if token is None:
            return  # a renewal: the next one, or lateness, follows
        pending = self._pending
        if pending is None or pending.token != token:
            return
        self._lose(Input.SWITCH_LOST, now, f"the switch did not confirm: {error}")

    def renewed(self, sent_at: float) -> None:
        """The switch has confirmed a renewal that was sent then."""
        if self.gate is not Gate.CLOSED:
            self.renewed_at = max(self.renewed_at, sent_at)

    # Time.

    def tick(self, now: float) -> None:
        """Look at everything, and act."""
        if self._run_out_at is not None and now >= self._run_out_at:
            self._run_out_at = None
            self.around.publish()
        if not self.around.is_switch_up:
            if self.state is not State.BLOCKED:
                self._lose(Input.SWITCH_LOST, now)
            return
        if not self.around.has_carrier(self.spec.port):
            if self.state is not State.FAULT:
                # At once, before the switch has confirmed: nothing passes a dead link.
                self._lose(Input.LINK_LOST, now)
                self._set_gate(Gate.CLOSED, lambda _now: None)
            return
        if self._is_late(now):
            return
        if self.gate is not Gate.CLOSED and now >= self._next_renewal and self._pending is None:
            self._next_renewal = now + self.around.timers.renew_s
            self.emit(RenewGate(self.spec.port, self.gate, self._partner(self.gate)))
        if self._pending is not None:
            return
        match self.state:
            case State.ACTIVE:
                self._tick_active(now)
            case State.BLOCKED | State.FAULT:
                # Permits of an earlier life must be gone before anything else is decided.
                self._set_gate(Gate.CLOSED, self._ready)
            case State.ARMING | State.STANDBY if self._is_awaited and now >= self._ready_at(now):
                self._is_awaited = False
                self._activate(now)
            case State.ARMING:
                self._tick_arming(now)
            case State.STANDBY:
                self._tick_standby(now)
            case State.DRAINING:
                if now >= self._drained_at:
                    self._close(Input.CLOSED, self.history[-1].reason)

    def listen_anew(self, now: float, *, is_new: bool = False) -> None:
        """Nothing could be heard until now; `is_new`: not since the port is there."""
        if is_new:
            self._met_since = now
        if self._listening_since is not None:
            self._listening_since = now
        self._vacancy.reset()

    def _is_late(self, now: float) -> bool:
        """The lateness rule: who finds his permit run out blocks first, and asks later."""
        if self.gate is Gate.CLOSED or self._pending is not None:
            return False
        late_s = now - self.renewed_at
        self.lateness_s = max(0.0, late_s - self.around.timers.renew_s)
        if late_s < self.around.timers.permit_s:
            return False
        self._lose(Input.LATE, now, f"the permit was renewed {late_s:.1f} s late: paused?")
        self._set_gate(Gate.CLOSED, lambda _now: None)
        return True

    def _ready(self, now: float) -> None:
        self._listening_since = self._met_since = now
        stands_by = self.role is Role.STANDBY or self.is_drained
        self._enter(Input.READY_TO_STAND_BY if stands_by else Input.READY_TO_ARM, "", now)

    def _ready_at(self, now: float) -> float:
        """When it has listened for other gateways long enough to know them."""
        if self._listening_since is None:
            self._listening_since = now
        return self._listening_since + self._enough_s

    @property
    def _knows_others_at(self) -> float:
        """When one that stands by would have heard of all others."""
        return self._met_since + self._enough_s

    @property
    def _enough_s(self) -> float:
        timers = self.around.timers
        return timers.arm_s if self.around.peer_count else timers.arm_alone_s

    def _tick_arming(self, now: float) -> None:
        if self._entering is not None:
            self._go_on_entering(self._entering, now)
            return
        if self._request_until is not None:
            self._tick_requested(now)
            return
        outlook = self.outlook(now)
        if outlook.at is None:
            self._enter(Input.PASSED_OVER, outlook.why, now)
            return
        # Those that started together have listened until the same moment.
        ready_at = self._ready_at(now)
        if now >= max(outlook.at, ready_at + outlook.head_start_s):
            self._promote(outlook.why, now)
        elif now >= ready_at and outlook.at > ready_at + outlook.head_start_s:
            self._enter(Input.PASSED_OVER, outlook.why, now)

    def _tick_standby(self, now: float) -> None:
        if self._request_until is not None:
            self._tick_requested(now)
            return
        if self.role is Role.STANDBY or self.is_drained:
            return
        outlook = self.outlook(now)
        if outlook.at is not None:
            # One that had role standby has not listened for others before.
            if now >= max(outlook.at, self._knows_others_at):
                self._promote(outlook.why, now)
        elif self.spec.preempt and self._preempts(now):
            self._ask_for_role(now)

    def _preempts(self, now: float) -> bool:
        may = self.role is Role.AUTO and not self.obstacles() and not self.is_damped(now)
        return self._preemption.is_due(self._holder(now), may, now)

    def _ask_for_role(self, now: float) -> None:
        self._request_until = now + pace.REQUEST_S
        self._ask_at = now
        self._tick_requested(now)

    def _tick_requested(self, now: float) -> None:
        """Asked for the role. Who forwards hands it over or dies; nobody opens beside it."""
        holder = self._holder(now)
        if self.role is Role.ACTIVE and self._is_vacant(now):
            self._promote("the operator asked for active", now)
        elif self._request_until is not None and now >= self._request_until:
            self._request_until = None
        elif holder is not None and now >= self._ask_at:
            self._ask_at = now + pace.ASK_AGAIN_S
            self._tell(holder.name, Step.REQUEST, self.around.epoch(self.spec.segment))

    def _tick_active(self, now: float) -> None:
        if self._leaving is not None:
            if now >= self._leaving.due_at:
                self._go_on_leaving(self._leaving, now)
            return
        if self.is_forced:
            return
        for other in self._others(now):
            record = other.record
            if not (record.is_active and other.is_fresh):
                continue
            own = Claim(self.around.own, self.epoch, self.spec.priority)
            if yields(own, Claim(other.name, record.epoch, record.priority)):
                why = f"yields to {other.name}, which forwards with epoch {record.epoch}"
                if record.role == Role.ACTIVE:
                    self._give_up_word()
                self._close(Input.CLOSED, why)
                return

    # Hand-overs.

    def _go_on_entering(self, entering: Entering, now: float) -> None:
        if entering.announces_at is not None and now >= entering.announces_at:
            entering.announces_at = None
            self._tell(entering.from_, Step.READY, entering.epoch)
            entering.watches_at = now + self._settle_s - pace.WATCH_LEAD_S
            self.emit(Announce(self.spec.port, frozenset(), self.around.macs(self.spec.port)[1]))
        if entering.watches_at is not None and now >= entering.watches_at:
            entering.watches_at = None
            self._set_gate(Gate.TAKING, lambda _now: None)
        if now >= entering.until:
            self._tell(entering.from_, Step.ABORT, entering.epoch)
            self._entering = None
            self._close(Input.GIVEN_UP, "the hand-over was not completed in time")

    def _go_on_leaving(self, leaving: Leaving, now: float) -> None:
        if leaving.handed_at is not None:
            self._set_gate(Gate.DRAINING, self._left)
        elif leaving.closed_at is not None:
            self._tell(leaving.to, Step.YOURS, leaving.epoch)
            leaving.handed_at = now
        elif leaving.settled_at is not None:
            # Broadcasts first, and alone: until the successor has heard of it and opened, nobody
            # takes them. Known unicast goes both ways meanwhile.
            self._handed_to = leaving.to
            self._set_gate(Gate.KNOWN, self._hand_to)
        else:
            self._leaving = None
            self._tell(leaving.to, Step.ABORT, leaving.epoch)
            if leaving.must_close:
                self._close(Input.CLOSED, f"{leaving.why}; {leaving.to} did not answer")
            else:
                self._announce()

    def hand_over(self, source: PeerName, message: HandOver, now: float) -> None:
        """A step of a hand-over came in; what does not fit the moment is ignored."""
        match message.step:
            case Step.REQUEST:
                if not self.is_forced and self.state is State.ACTIVE and self.is_settled:
                    self._begin_leaving(source, f"{source} asked for the role", False, now)
            case Step.PREPARE:
                self._prepare(source, message.epoch, now)
            case Step.READY:
                leaving = self._leaving
                if leaving is not None and (leaving.to, leaving.epoch) == (source, message.epoch):
                    leaving.settled_at = now + self._settle_s
            case Step.YOURS:
                entering = self._entering
                if entering is not None and entering.from_ == source:
                    self._set_gate(Gate.OPEN, self._opened(f"{source} handed over"))
            case Step.ABORT:
                self._abort(source)

    def _abort(self, source: PeerName) -> None:
        why = f"{source} gave the hand-over up"
        if self._entering is not None and self._entering.from_ == source:
            self._entering = None
            self._close(Input.GIVEN_UP, why)
        elif self._invited_by == source and self._is_preparing:
            self._close(Input.CLOSED, why)
        elif self.may_announce and self.state is State.ACTIVE:
            # It may have drawn the segment's traffic already, and passes none.
            self._announce()

    @property
    def _is_preparing(self) -> bool:
        """It has told its switch to pass known unicast, and has no answer yet."""
        return self._pending is not None and self._pending.gate is Gate.KNOWN

    @property
    def _settle_s(self) -> float:
        """From the successor's first announcement until broadcasts change hands."""
        hosts = len(self.around.macs(self.spec.port)[1])
        return self.around.timers.settle_s + hosts / pace.ANNOUNCEMENTS_PER_S

    def _begin_leaving(self, to: PeerName, why: str, must_close: bool, now: float) -> None:
        epoch = self.around.epoch(self.spec.segment) + 1
        until = now + self.around.timers.handover_s
        self._leaving = Leaving(to, epoch, why, must_close, until)
        # First of all the successor must know every MAC, the newest, too.
        self.emit(ReadMacs(self.spec.port))

    def macs_told(self, now: float) -> None:
        """The MACs have just been read; the other gateways know them, or will before what follows.

        Args:
            now: monotonic seconds.
        """
        leaving = self._leaving
        if leaving is not None and not leaving.is_prepared:
            leaving.is_prepared = True
            leaving.until = now + self.around.timers.handover_s
            self._tell(leaving.to, Step.PREPARE, leaving.epoch)
            self.around.publish()
        if self.state is State.ACTIVE and now - self.history[-1].at < pace.FRESHLY_ACTIVE_S:
            # What was learnt since the last look, by this switch at least.
            self._announce()

    def _prepare(self, source: PeerName, epoch: int, now: float) -> None:
        willing = self.role is not Role.STANDBY or self._request_until is not None
        fits = self.state in (State.STANDBY, State.ARMING) and self.is_settled
        if not (willing and fits) or self.is_drained or epoch <= self.epoch:
            self._tell(source, Step.ABORT, epoch)
            return
        self._request_until = None
        self._invited_by = source
        until = now + 2 * self.around.timers.handover_s

        def open_for_known(now: float) -> None:
            hosts = self.around.macs(self.spec.port)[1]
            self.emit(Prime(self.spec.port, hosts))
            # A frame that came before may have left a cached decision to drop its like.
            busy_s = len(hosts) / pace.ANNOUNCEMENTS_PER_S
            draws_at = now + self.around.timers.cache_s + busy_s
            # What a packet taught does not always make the switch look at it again; a change of
            # flows does, and a renewal is one.
            self._next_renewal = now + busy_s + pace.PRIMED_S
            self._entering = Entering(source, epoch, until, draws_at)
            if self.state is State.STANDBY:
                self._enter(Input.TAKING_OVER, f"{source} hands over", now)

        self._set_gate(Gate.KNOWN, open_for_known)

    def _hand_to(self, now: float) -> None:
        leaving = self._leaving
        if leaving is not None:
            leaving.closed_at = now

    def _left(self, now: float) -> None:
        leaving = self._leaving
        self._leaving = None
        if leaving is None:
            return
        if not leaving.must_close:
            self._give_up_word()
        self._drained_at = now + self.around.timers.drain_s
        self._enter(Input.HANDED_OVER, f"handed over to {leaving.to}: {leaving.why}", now)

    # Small things.

    def _give_up_word(self) -> None:
        """Another gateway was made active later: that is the operator's word now."""
        if self.role is Role.ACTIVE:
            self.role = Role.AUTO
            self.emit(RememberRole(self.spec.port, Role.AUTO))

    def _promote(self, why: str, now: float) -> None:
        self._request_until = None
        self._claimed = self.around.epoch(self.spec.segment) + 1
        self._set_gate(Gate.OPEN, self._opened(why))
        # Before the switch has answered: it may be open from now on.
        self.around.publish()

    def _opened(self, why: str) -> Callable[[float], None]:
        def then(now: float) -> None:
            planned = self._entering.epoch if self._entering is not None else self._claimed
            self._entering = None
            highest = self.around.epoch(self.spec.segment)
            self.epoch = planned if highest <= planned else highest + 1
            self._enter(Input.OPENED, why, now)
            self._announce()
            self.emit(RaiseVersion())
            self.emit(ReadMacs(self.spec.port))

        return then

    def _announce(self) -> None:
        mesh, hosts = self.around.macs(self.spec.port)
        self.emit(Announce(self.spec.port, mesh - hosts, hosts - mesh))

    def _close(self, happened: Input, why: str) -> None:
        self._leaving = None
        self._set_gate(Gate.CLOSED, lambda now: self._enter(happened, why, now))

    def _lose(self, happened: Input, now: float, why: str = "") -> None:
        if self.state is State.ACTIVE:
            self._faults.append(now)
        may_be_open = self.gate is not Gate.CLOSED or self._is_opening
        if happened is not Input.LINK_LOST and may_be_open:
            # A renewal that was not confirmed may have reached the switch, or still will.
            timers = self.around.timers
            self._run_out_at = now + timers.permit_s + timers.switch_lag_s
        self._pending = None
        self._leaving = None
        self._entering = None
        self._request_until = None
        self._listening_since = now
        self.gate = Gate.CLOSED
        self._enter(happened, why, now)

    def _set_gate(self, gate: Gate, then: Callable[[float], None]) -> None:
        if gate in (Gate.KNOWN, Gate.OPEN) and self.gate is Gate.CLOSED:
            # A switch that has lost its memory would take what the segment returns for hosts.
            mesh, beside = self.around.not_hosts(self.spec.port)
            if mesh or beside:
                self.emit(Prime(self.spec.port, frozenset(), mesh, beside))
        self._tokens += 1
        self._pending = Pending(self._tokens, gate, then)
        forget = self.around.gateways(self.spec.segment) if gate is Gate.OPEN else ()
        self.emit(SetGate(self.spec.port, gate, self._tokens, forget, self._partner(gate)))

    def _partner(self, gate: Gate) -> PeerName | None:
        if gate in (Gate.KNOWN, Gate.TAKING):
            return self._invited_by if self._leaving is None else self._leaving.to
        return self._handed_to if gate is Gate.DRAINING else None

    def _enter(self, happened: Input, why: str, now: float) -> None:
        state = follow(self.state, happened)
        if state is self.state:
            return
        seen = tuple((str(o.name), o.record.state) for o in self._others(now))
        self.state = state
        entry = Entry(now, state, self.epoch, why or happened.value, seen)
        self.history.append(entry)
        self.emit(Report(self.spec.port, self.spec.segment, entry))
        self.around.publish()

    def _tell(self, peer: PeerName, step: Step, epoch: int) -> None:
        self.emit(Tell(peer, encode(hand_overs=[HandOver(self.spec.segment, step, epoch)])))
