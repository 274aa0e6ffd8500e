"""One gateway port: compares what is wanted with what it does, and takes the next step. Sans-IO.

`PortMachine` decides on what its `Surroundings` say, and queues commands. Whatever happens changes
what it knows, and `tick` then looks at the whole: nothing is remembered to be done later.

`wish` has what is wanted, `states` what it does, `gatekeeper` what the switch lets pass,
`candidacy` the other gateways and what a closed port does next, `handing` planned hand-overs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace

from weave_ryu.errors import LocalProtocolError
from weave_ryu.gate import Gate
from weave_ryu.gateway import pace
from weave_ryu.gateway.candidacy import Ask, Candidacy, GiveUp, Open, Request, StandBy
from weave_ryu.gateway.claiming import Claiming
from weave_ryu.gateway.commands import Command, Prime, ReadMacs, Report
from weave_ryu.gateway.gatekeeper import GateKeeper
from weave_ryu.gateway.handing import HandOvers
from weave_ryu.gateway.handover import Entering, Leaving
from weave_ryu.gateway.records import Peering, PortRecord, as_reason
from weave_ryu.gateway.role import Intent, Role, State
from weave_ryu.gateway.states import (
    LONG_AGO,
    Active,
    Blocked,
    Closing,
    Draining,
    Entry,
    Fault,
    Input,
    Listening,
    Opening,
    PortState,
    Requesting,
    Resetting,
    Standby,
    follow,
    told,
)
from weave_ryu.gateway.surroundings import Outlook, PortSpec, Surroundings
from weave_ryu.gateway.wish import Wish, Wishes


class PortMachine:
    """See the module's docstring.

    Args:
        spec: its configuration.
        around: what it sees.
        emit: takes commands.
        now: monotonic seconds.
    """

    def __init__(
        self, spec: PortSpec, around: Surroundings, emit: Callable[[Command], None], now: float
    ) -> None:
        self.spec = spec
        self.around = around
        self._emit = emit
        self.phase: PortState = Blocked()
        """What it does."""
        self.wishes = Wishes(spec, around, emit)
        self.keeper = GateKeeper(spec.port, around.timers, emit)
        self.candidacy = Candidacy(spec, around)
        self.hand_overs = HandOvers(self, emit)
        self._claiming = Claiming(spec.segment, emit)
        self.epoch = 0
        """Of the segment, when it last became active."""
        self.history: deque[Entry] = deque(maxlen=100)
        self._met_since = LONG_AGO
        """Since when it could hear of all other gateways."""
        self._faults: deque[float] = deque(maxlen=pace.FAULT_LIMIT)
        self._recorded: tuple[object, PortRecord] = None, PortRecord("", "", "", 0)
        self.history.append(Entry(now, self.state, 0, "starts closed"))

    # Looking.

    @property
    def intent(self) -> Intent:
        """What is wanted of it."""
        return self.wishes.intent

    @property
    def wish(self) -> Wish:
        """What was asked for last, and what became of it."""
        return self.wishes.last

    @property
    def state(self) -> State:
        """What it does, as all interfaces show it."""
        return self.phase.shown

    @property
    def gate(self) -> Gate:
        """How far the switch has confirmed that it is open."""
        return self.keeper.gate

    @property
    def is_settled(self) -> bool:
        """Nothing is under way."""
        return self.keeper.asked is None and not isinstance(self.phase, Entering | Leaving)

    @property
    def may_announce(self) -> bool:
        """Its announcements are wanted; those of one that leaves would undo the successor's."""
        return isinstance(self.phase, Active)

    def is_damped(self, now: float) -> bool:
        """It has lost the role by faults too often lately."""
        full = len(self._faults) == pace.FAULT_LIMIT
        return full and now - self._faults[0] < pace.FAULT_WINDOW_S

    def obstacles(self) -> list[str]:
        """Why it could not take over now; empty if it could."""
        return self.candidacy.obstacles(self.phase, self.intent)

    def record(self, now: float) -> PortRecord:
        """What the others are told."""
        state, spec, phase, role = told(self.phase, now), self.spec, self.phase, self.intent.role
        epoch = phase.epoch if isinstance(phase, Opening) else self.epoch
        ready = phase.shown is State.STANDBY and not self.obstacles()
        damped, why, forced = self.is_damped(now), self.history[-1].reason, self.intent.forced
        word = self.wish.standing_word(self.intent)
        peering = Peering.PEER if self.around.is_peer(spec.segment) else Peering.ABLE
        key = state, epoch, role, ready, damped, why, forced, word, peering
        if key != self._recorded[0]:  # with each lease it is asked for, and nearly always the same
            said = str(state), epoch, str(role), spec.priority, ready, damped, as_reason(why)
            rest = forced, word, int(peering)
            self._recorded = key, PortRecord(spec.segment, spec.port, *said, *rest)
        return self._recorded[1]

    def outlook(self, now: float) -> Outlook:
        """When this port would open if nothing changed, and why."""
        word = self.wish.standing_word(self.intent)
        return self.candidacy.outlook(self.intent, word, self.is_damped(now), now)

    def deadline(self, due_at: float) -> float:
        """When to call `tick` again: `due_at`, or sooner."""
        if self.keeper.asked is not None:
            return due_at  # nothing is done before the switch has answered
        if self.keeper.is_open and self.keeper.next_renewal < due_at:
            due_at = self.keeper.next_renewal
        return min(due_at, self.phase.due_at, self._claiming.release_at)

    # What is wanted.

    def set_role(self, role: Role, now: float, *, force: bool = False) -> None:
        """Take over what an operator asks for, the newest word; `wish` tells what becomes of it.

        With `force` it opens whoever else forwards, and yields to nobody.

        Raises:
            NotReadyError: it cannot be done now; nothing was changed.
        """
        self.wishes.check(role, force, self.candidacy.insists(now))
        intent = Intent(role, force and role is Role.ACTIVE)
        self._want(intent, f"the operator asked for {role}", now)

    def drain(self, now: float) -> None:
        """Hand over and stay out of elections until a role is set."""
        self._want(Intent(self.intent.role, drained=True), "drained by the operator", now)

    def shut_down(self, now: float) -> None:
        """Hand over if there is a successor, else close."""
        self._want(Intent(self.intent.role, drained=True), "the daemon shuts down", now)
        self.wishes.is_over = True

    def _want(self, intent: Intent, said: str, now: float) -> None:
        if self.intent.closes and not (intent.closes or intent.opens):
            # Others may be let into elections at the same moment: the best of them comes first.
            self._met_since = now
        word = max(self.wish.word, self.candidacy.newest_word(now)) + 1
        self.wishes.want(intent, said, word, now)
        self.candidacy.wanted_anew(now)
        self.around.publish()

    def _is_done(self, intent: Intent, now: float) -> bool:
        if intent.opens:
            return isinstance(self.phase, Active)
        if not intent.closes:
            return True
        if isinstance(self.phase, Blocked | Fault | Resetting):
            return told(self.phase, now) is not State.ACTIVE
        return isinstance(self.phase, Standby)

    def _hindrance(self, now: float) -> str:
        return "; ".join(self.obstacles() or [self.outlook(now).why])

    # The switch.

    def gate_set(self, token: int, sent_at: float, now: float) -> None:
        """The switch has confirmed a gate: the permits were sent, and run out, from `sent_at`."""
        if not self.keeper.confirm(token, sent_at, now):
            return
        match self.phase:
            case Resetting():
                self._met_since = now
                if self.intent.closes:
                    self.enter(Input.STANDS_BY, Standby(), "", now)
                else:
                    self.enter(Input.LISTENS, Listening(now), "", now)
            case Fault():
                self.phase = Fault()
            case Closing(why):
                self.enter(Input.CLOSED, Standby(), why, now)
            case Opening(epoch, why):
                self.opened(epoch, why, now)
            case Entering() | Leaving():
                self.hand_overs.confirmed(self.phase, now)

    def gate_failed(self, token: int | None, error: str, now: float) -> None:
        """The switch has not confirmed; what it holds now runs out by itself."""
        if token is None or not self.keeper.awaits(token):
            return  # a renewal: the next one, or lateness, follows
        if isinstance(self.phase, Fault):
            self.keeper.lose()  # it closes once more before it does anything else
            return
        self._lose(Input.UNCONFIRMED, f"the switch did not confirm: {error}", now)

    def ask(self, gate: Gate) -> None:
        """Ask the switch for a gate."""
        if gate in (Gate.KNOWN, Gate.OPEN) and not self.keeper.is_open:
            # A switch that has lost its memory would take what the segment returns for hosts.
            mesh = self.around.macs_to_prime(self.spec.port)
            if mesh:
                self._emit(Prime(self.spec.port, mesh))
        self.keeper.ask(gate)

    # Time.

    def tick(self, now: float) -> None:
        """Look at everything, and act."""
        if self._is_able(now):
            self.keeper.renew_if_due(now)
            if self.keeper.asked is None:
                self._reconcile(now)
        if self.around.is_peer(self.spec.segment):
            self._claiming.settle(self.phase, self.epoch, self.candidacy.is_taken(now), now)
        else:
            self._claiming.drop()
        self.wishes.settle(self._is_done(self.intent, now), lambda: self._hindrance(now), now)

    def listen_anew(self, now: float, *, is_new: bool = False) -> None:
        """Nothing could be heard until now; `is_new`: not since the port is there."""
        if is_new:
            self._met_since = now
        if isinstance(self.phase, Listening):
            self.phase = Listening(now)
        self.candidacy.listen_anew()

    def _is_able(self, now: float) -> bool:
        """Switch and link are there, and the permits are alive."""
        if not self.around.is_switch_up:
            if not isinstance(self.phase, Blocked):
                self._lose(Input.SWITCH_LOST, "", now)
            return False
        if not self.around.has_carrier(self.spec.port):
            trouble = self.around.trouble(self.spec.port)
            if not isinstance(self.phase, Fault):
                # At once, before the switch has confirmed: nothing passes a dead link.
                self._lose(Input.LINK_LOST, trouble, now)
            elif trouble and trouble != self.history[-1].reason:
                self.enter(Input.LINK_LOST, self.phase, trouble, now)
            return False
        late_s = self.keeper.late_s(now)
        if late_s is not None:
            # Who finds his permit run out blocks first, and asks later.
            self._lose(Input.LATE, f"the permit was renewed {late_s:.1f} s late: paused?", now)
            return False
        return True

    def _lose(self, happened: Input, why: str, now: float) -> None:
        phase, may_pass_until = self.phase, LONG_AGO
        if isinstance(phase, Entering | Leaving):
            self.hand_overs.broken(phase)
        if phase.shown is State.ACTIVE:
            self._faults.append(now)
        if self.keeper.is_open or isinstance(phase, Opening):
            # A renewal that was not confirmed may have reached the switch, or still will.
            may_pass_until = now + self.around.timers.lingering_s
        elif isinstance(phase, Blocked | Fault | Resetting):
            may_pass_until = phase.may_pass_until
        self.keeper.lose()
        if happened is Input.SWITCH_LOST:
            self.enter(happened, Blocked(may_pass_until), why, now)
            return
        is_dead = happened is Input.LINK_LOST
        if happened is Input.UNCONFIRMED and isinstance(phase, Resetting):
            # It has failed at this very thing: not as fast as it can fail.
            self.enter(happened, Resetting(may_pass_until, now + pace.RESET_AGAIN_S), why, now)
            return
        self.enter(happened, (Fault if is_dead else Resetting)(may_pass_until), why, now)
        self.ask(Gate.CLOSED)

    def _reconcile(self, now: float) -> None:
        """The next step from what it does to what is wanted."""
        match self.phase:
            case Blocked(until) | Fault(until):
                # Permits of an earlier life must be gone before anything else is decided.
                self.enter(Input.READY, Resetting(until), "", now)
                self.ask(Gate.CLOSED)
            case Resetting(until, due_at) if now >= due_at:
                self.phase = Resetting(until)
                self.ask(Gate.CLOSED)
            case Listening() | Standby() | Requesting():
                self._look_for_work(self.phase, now)
            case Active():
                self._look_whether_to_stay(now)
            case Entering() | Leaving():
                self.hand_overs.go_on(self.phase, now)
            case Draining(to, why, due_at) if now >= due_at or self.candidacy.is_hurt(to, now):
                self.close(Input.DRAINED, why, now)

    def _look_for_work(self, phase: Listening | Standby | Requesting, now: float) -> None:
        since = phase.since if isinstance(phase, Listening) else self._met_since
        if isinstance(phase, Listening):
            self.wishes.stay_newest(self.candidacy.older_word(now))
        damped = self.is_damped(now)
        match self.candidacy.next(phase, self.wish, self.intent, since, damped, now):
            case Open(why):
                epoch = self.around.epoch(self.spec.segment) + 1
                self.ask(Gate.OPEN)
                self.enter(Input.OPENS, Opening(epoch, why, phase.shown), why, now)
            case Ask(until, preempts):
                self.enter(Input.ASKS, Requesting(until, now, preempts), "", now)
                self._reconcile(now)
            case Request(to) if isinstance(phase, Requesting):
                self.phase = replace(phase, ask_at=now + pace.ASK_AGAIN_S)
                self.hand_overs.request(to)
            case StandBy(why) if isinstance(phase, Listening):
                self.enter(Input.PASSED_OVER, Standby(), why, now)
            case StandBy(why):
                self.enter(Input.ENDS_ASKING, Standby(), why, now)
            case GiveUp(instead, why):
                self.wishes.take_back(instead, why)
                self._reconcile(now)

    def _look_whether_to_stay(self, now: float) -> None:
        if self.intent.closes:
            # Where another one forwards by force, nobody is to open beside it.
            insists = self.candidacy.insists(now)
            successor = self.candidacy.successor(now) if insists is None else None
            if successor is not None:
                self.hand_overs.begin(successor, self.wish.said, now)
            elif insists is not None or not self.candidacy.is_about_to_be_free(now):
                self.close(Input.RESIGNS, self.wish.said, now)
        elif not self.intent.forced:
            why = self.candidacy.must_yield(self.epoch, self.wish.standing_word(self.intent), now)
            if why is not None:
                self.wishes.give_up(why)
                self.close(Input.RESIGNS, why, now)

    # Steps.

    def enter(self, happened: Input, to: PortState, why: str, now: float) -> None:
        """Be in another state, to which `happened` must lead: see `states.TRANSITIONS`.

        `why` is for the history, in a clause; empty = as the input says.
        """
        if follow(self.phase, happened) is not type(to):
            raise LocalProtocolError(f"{happened.name} does not lead to {to}")
        shown = self.state
        if to.shown is shown and not (happened is Input.LINK_LOST and why):
            self.go_on_as(to, now)
            return
        seen = tuple((str(o.name), o.record.state) for o in self.candidacy.others(now))
        self.phase = to
        entry = Entry(now, to.shown, self.epoch, why or happened.value, seen, happened)
        self.history.append(entry)
        self._emit(Report(self.spec.port, self.spec.segment, entry))
        self.around.publish()

    def go_on_as(self, phase: PortState, now: float) -> None:
        """The same for all who look, but perhaps not for the other gateways."""
        before, self.phase = told(self.phase, now), phase
        if told(phase, now) is not before:
            self.around.publish()

    def opened(self, planned: int, why: str, now: float) -> None:
        """The switch passes everything; `planned` is the epoch that was claimed for this."""
        highest = self.around.epoch(self.spec.segment)
        self.epoch = planned if highest <= planned else highest + 1
        self.enter(Input.OPENED, Active(), why, now)
        self.around.announce(self.spec.port)
        self._emit(ReadMacs(self.spec.port))

    def close(self, happened: Input, why: str, now: float) -> None:
        """Tell the switch to close; it stands by when that is confirmed."""
        shown = self.state
        self.ask(Gate.CLOSED)
        self.enter(happened, Closing(why, shown), why, now)
