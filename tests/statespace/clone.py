"""Copies of gateway cores, and what makes two of them the same: both for searches.

A copy must share nothing that changes. Two cores are the same if they will do the same: points in
time count from now, sequence numbers and epochs from the newest, and what is only shown (reasons,
histories) not at all. A field that does not tell by name and value which it is ends the search.
"""

from __future__ import annotations

import copy
import dataclasses
import re
from collections import deque
from functools import lru_cache

from weave_ryu.gateway.handing import HandOvers
from weave_ryu.gateway.port import PortMachine
from weave_ryu.gateway.records import decode
from weave_ryu.gateway.states import STATES
from weave_ryu.gateway.wish import Outcome

LONG_AGO, FAR_OFF = 12, 12
"""Ticks from which on it does not matter any more how long ago, or how far off."""
OLD_SEQUENCE, OLD_EPOCH = 30, 6

PORT_APART = frozenset(
    {
        *("spec", "around", "_emit", "phase", "wishes", "keeper", "candidacy", "hand_overs"),
        "_claiming",
        *("epoch", "history", "_faults", "_recorded"),
    }
)
"""Fields of a port that are looked at one by one, or only shown."""
KEEPER_APART = frozenset({"_port", "_timers", "_emit", "asked", "_token", "lateness_s"})
CORE_APART = frozenset(
    {
        *("timers", "registry", "_commands", "_hearing", "lookout", "_carrier", "leases"),
        "_troubles",
        *("_sharing", "ports"),
    }
)
SHARING_APART = frozenset(
    {
        *("_registry", "_ports", "_emit"),
        *("_read", "_lost", "_told", "_announced", "_synced"),
    }
)
CLAIMING_APART = frozenset({"_segment", "_emit", "_claim"})
SIGNS_APART = frozenset({"lease", "sure_until"})
"""What has been seen before and is known: a cache, as `_recorded` and more."""
STATE_TIMES = ("may_pass_until", "since", "until", "ask_at", "next_at", "due_at")
STATE_SHOWN = ("epoch", *STATE_TIMES, "preempts", "shown", "to", "source", "stage")
STATE_FIELDS = {*STATE_SHOWN, "why"}
IS_TIME = re.compile(r"(^|_)(at|until|since|now)$|^_?next_")


@lru_cache(maxsize=64)
def _fields(names, apart):
    """Names of the fields that are points in time, and of the others."""
    kept = sorted(set(names) - apart)
    return [n for n in kept if IS_TIME.search(n)], [n for n in kept if not IS_TIME.search(n)]


def _told_apart(obj, names, apart=frozenset()):
    times, values = _fields(tuple(names), apart)
    for name in values:
        if isinstance(getattr(obj, name), float | list | dict | set | deque):
            raise AssertionError(f"tests/statespace/clone.py does not know the field {name}")
    return times, values


def check_fields(core):
    """Raise if the product has fields that this module cannot copy or compare."""
    (port,) = core.ports.values()
    _told_apart(port, vars(port), PORT_APART)
    _told_apart(port.keeper, vars(port.keeper), KEEPER_APART)
    _told_apart(core, vars(core), CORE_APART)
    sharing = core._sharing
    _told_apart(sharing, vars(sharing), SHARING_APART)
    _told_apart(port._claiming, vars(port._claiming), CLAIMING_APART)
    for signs in core.lookout.signs.values():
        _told_apart(signs, type(signs).__slots__, SIGNS_APART)
    for state in STATES:
        names = {field.name for field in dataclasses.fields(state)}
        if names - STATE_FIELDS:
            raise AssertionError(f"tests/statespace/clone.py does not know {state}")


def clone(core):
    """A core that does the same from now on; its commands must have been polled."""
    new = copy.copy(core)
    new._commands = []
    emit = new._commands.append
    new.registry = registry = copy.copy(core.registry)
    registry._records = dict(registry._records)
    registry._epochs = dict(registry._epochs)
    registry._gateways, registry._others = dict(registry._gateways), dict(registry._others)
    new.lookout = lookout = copy.copy(core.lookout)
    lookout._registry = registry
    lookout.signs = {name: copy.copy(signs) for name, signs in lookout.signs.items()}
    lookout._looked, lookout._living = dict(lookout._looked), dict(lookout._living)
    new.leases = leases = copy.copy(core.leases)
    leases._registry, leases._lookout, leases._emit = registry, lookout, emit
    leases._detours, leases._watched = dict(leases._detours), (-1, (), ())
    new._carrier, new._troubles = dict(core._carrier), dict(core._troubles)
    new.ports = {name: _clone_port(port, new) for name, port in core.ports.items()}
    new._sharing = _clone_sharing(core._sharing, new)
    return new


def _clone_sharing(sharing, core):
    new = copy.copy(sharing)
    new._registry, new._ports, new._emit = core.registry, core.ports, core._commands.append
    for name in ("_read", "_lost", "_told", "_announced", "_synced"):
        setattr(new, name, dict(getattr(sharing, name)))
    return new


def _clone_port(port, core):
    new = object.__new__(PortMachine)
    vars(new).update(vars(port))
    emit = core._commands.append
    new.around, new._emit = core, emit
    new.history = deque([port.history[-1]], maxlen=100)
    new._faults = deque(port._faults, maxlen=port._faults.maxlen)
    new.keeper, new.wishes = copy.copy(port.keeper), copy.copy(port.wishes)
    new.keeper._emit = new.wishes._emit = emit
    new.wishes._around = core
    new.candidacy = candidacy = copy.copy(port.candidacy)
    candidacy._around = core
    candidacy._vacancy = copy.copy(candidacy._vacancy)
    candidacy._preemption = copy.copy(candidacy._preemption)
    new.hand_overs = HandOvers(new, emit)
    new._claiming = copy.copy(port._claiming)
    new._claiming._emit = emit
    return new


class Eyes:
    """Makes keys of one world at one moment.

    Args:
        now: tick.
        sequences: peer → (incarnation, sequence) that it has reached.
        epoch: the highest.
    """

    def __init__(self, now, sequences, epoch):
        self.now, self.sequences, self.epoch = now, sequences, epoch

    def time(self, at):
        if at is None:
            return None
        off = at - self.now
        return -LONG_AGO if off < -LONG_AGO else min(off, FAR_OFF)

    def epoch_of(self, epoch):
        return max(epoch - self.epoch, -OLD_EPOCH)

    def record(self, record):
        incarnation, sequence = self.sequences[record.name]
        return (
            record.name,
            incarnation - record.incarnation,
            min(sequence - record.sequence, OLD_SEQUENCE),
            tuple(
                (p.state, self.epoch_of(p.epoch), p.role, p.ready, p.damped, p.forced, p.word)
                for p in record.ports
            ),
        )

    def payload(self, payload):
        message = decode(payload)
        return (
            tuple(self.record(record) for record in message.records),
            tuple((h.step, self.epoch_of(h.epoch)) for h in message.hand_overs),
            message.unheard,
            message.is_call,
            message.asks_macs,
            len(message.tables),
        )

    def core(self, core):
        registry = core.registry
        signs = tuple(
            (name, *self._content(s, type(s).__slots__, SIGNS_APART))
            for name, s in sorted(core.lookout.signs.items())
        )
        return (
            self._content(core, vars(core), CORE_APART),
            tuple(core._carrier.items()),
            signs,
            tuple(self.record(record) for record in registry.records()),
            tuple(self.epoch_of(epoch) for epoch in registry._epochs.values()),
            tuple(self.port(port) for port in core.ports.values()),
        )

    def port(self, port):
        keeper, wish = port.keeper, port.wish
        asked = keeper.asked
        return (
            self.state(port.phase),
            port.intent,
            self.wish(wish),
            self.epoch_of(port.epoch),
            self.time(port.history[-1].at),
            self._content(port, vars(port), PORT_APART),
            self._content(keeper, vars(keeper), KEEPER_APART),
            None if asked is None else (keeper._token - asked.token, asked.gate),
            self.time(port.candidacy._vacancy._since),
            self.time(port.candidacy._preemption._since),
            self._claimed(port._claiming),
        )

    def _claimed(self, claiming):
        claim = claiming._claim
        what = None if claim is None else (self.epoch_of(claim.epoch), claim.arriving)
        return what, self.time(claiming.release_at)

    def state(self, state):
        """Points in time count from now, epochs from the newest, and reasons not at all."""
        return (
            type(state).__name__,
            *(
                self.epoch_of(value)
                if name == "epoch"
                else self.time(value)
                if name in STATE_TIMES
                else value
                for name in STATE_SHOWN
                if (value := getattr(state, name, None)) is not None
            ),
        )

    def wish(self, wish):
        """One that is over is only shown."""
        if wish.outcome is not Outcome.PENDING:
            return wish.outcome, wish.word
        return wish.word, wish.intent, wish.before, self.time(wish.until)

    def _content(self, obj, names, apart=frozenset()):
        times, values = _fields(tuple(names), apart)
        return (
            *(self.time(getattr(obj, name)) for name in times),
            *(getattr(obj, name) for name in values),
        )
