"""Copies of gateway cores, and what makes two of them the same: both for searches.

A copy must share nothing that changes. Two cores are the same if they will do the same: points in
time count from now, sequence numbers and epochs from the newest, and what is only shown (reasons,
histories) not at all. A field that does not tell by name and value which it is ends the search.
"""

from __future__ import annotations

import copy
import re
from collections import deque
from functools import lru_cache
from types import CellType, FunctionType, MethodType

from weave_ryu.gateway.port import PortMachine
from weave_ryu.gateway.records import decode

LONG_AGO, FAR_OFF = 12, 12
"""Ticks from which on it does not matter any more how long ago, or how far off."""
OLD_SEQUENCE, OLD_EPOCH = 30, 6

PORT_APART = frozenset(
    {
        *("spec", "around", "emit", "now", "epoch", "history", "lateness_s", "_tokens"),
        *("_pending", "_leaving", "_entering", "_faults", "_claimed", "_recorded"),
        *("_vacancy", "_preemption"),
    }
)
"""Fields of a port that are looked at one by one, or only shown."""
CORE_APART = frozenset(
    {
        *("_own", "timers", "registry", "_commands", "_signs", "_hearing", "_carrier"),
        *(
            "_sharing",
            "_lease",
            "_encoded",
            "_living",
            "_looked",
            "_detours",
            "_companions",
            "_watched",
            "_strangers",
            "ports",
        ),
    }
)
SHARING_APART = frozenset(
    {
        *("_registry", "_ports", "_emit", "memory", "admission"),
        *("_synced", "_reclaiming", "_news", "_unknown"),
    }
)
MEMORY_APART = frozenset(
    {"_segments", "_read", "_told", "_before", "_recalled", "_unread", "_claimed"}
)
SIGNS_APART = frozenset({"lease", "sure_until"})
"""What has been seen before and is known: a cache, as `_recorded`, `_lease`, `_living` and more."""
IS_TIME = re.compile(r"(^|_)(at|until|since|now)$|^_next_")


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
    _told_apart(core, vars(core), CORE_APART)
    sharing = core._sharing
    _told_apart(sharing, vars(sharing), SHARING_APART)
    _told_apart(sharing.memory, vars(sharing.memory), MEMORY_APART)
    for signs in core._signs.values():
        _told_apart(signs, type(signs).__slots__, SIGNS_APART)


def clone(core):
    """A core that does the same from now on; its commands must have been polled."""
    new = copy.copy(core)
    new._commands = []
    new._signs = {name: copy.copy(signs) for name, signs in core._signs.items()}
    new.registry = registry = copy.copy(core.registry)
    registry._records = dict(registry._records)
    registry._epochs = dict(registry._epochs)
    registry._gateways, registry._others = dict(registry._gateways), dict(registry._others)
    new._looked = dict(core._looked)
    new._carrier = dict(core._carrier)
    new._watched = -1, ()
    new._strangers = dict(core._strangers)
    new.ports = {name: _clone_port(port, new) for name, port in core.ports.items()}
    new._sharing = _clone_sharing(core._sharing, new)
    return new


def _clone_sharing(sharing, core):
    new = copy.copy(sharing)
    new._registry, new._ports, new._emit = core.registry, core.ports, core._commands.append
    new.admission = copy.deepcopy(sharing.admission)
    new._synced, new._news = dict(sharing._synced), dict(sharing._news)
    new._reclaiming, new._unknown = set(sharing._reclaiming), set(sharing._unknown)
    new.memory = memory = copy.copy(sharing.memory)
    memory._read, memory._told = dict(memory._read), dict(memory._told)
    memory._before, memory._recalled = dict(memory._before), dict(memory._recalled)
    memory._unread, memory._claimed = set(memory._unread), dict(memory._claimed)
    return new


def _clone_port(port, core):
    new = object.__new__(PortMachine)
    vars(new).update(vars(port))
    new.around, new.emit = core, core._commands.append
    new.history = deque([port.history[-1]], maxlen=100)
    new._faults = deque(port._faults, maxlen=port._faults.maxlen)
    new._pending, new._leaving = copy.copy(port._pending), copy.copy(port._leaving)
    new._entering = copy.copy(port._entering)
    new._vacancy, new._preemption = copy.copy(port._vacancy), copy.copy(port._preemption)
    if new._pending is not None:
        new._pending.then = _rebound(new._pending.then, port, new)
    return new


def _rebound(function, old, new):
    """The same continuation for another port."""
    if isinstance(function, MethodType):
        return MethodType(function.__func__, new)
    cells = function.__closure__
    if not cells:
        return function
    contents = [cell.cell_contents for cell in cells]
    moved = tuple(CellType(new) if x is old else CellType(x) for x in contents)
    return FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, moved
    )


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
                (p.state, self.epoch_of(p.epoch), p.role, p.ready, p.damped) for p in record.ports
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
            for name, s in sorted(core._signs.items())
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
        pending = port._pending
        then = None
        if pending is not None:
            cells = getattr(pending.then, "__closure__", None) or ()
            values = (cell.cell_contents for cell in cells)
            then = (
                port._tokens - pending.token,
                pending.gate,
                pending.then.__qualname__,
                tuple(self._value(x) for x in values if x is not port and not isinstance(x, str)),
            )
        return (
            port.state,
            self.epoch_of(port.epoch),
            self.time(port.history[-1].at),
            self._content(port, vars(port), PORT_APART),
            then,
            self.epoch_of(port._claimed) if port._is_opening else None,
            self._side(port._leaving),
            self._side(port._entering),
            self.time(port._vacancy._since),
            self.time(port._preemption._since),
        )

    def _content(self, obj, names, apart=frozenset()):
        times, values = _fields(tuple(names), apart)
        return (
            *(self.time(getattr(obj, name)) for name in times),
            *(getattr(obj, name) for name in values),
        )

    def _side(self, side):
        if side is None:
            return None
        fields = {name: getattr(side, name) for name in type(side).__slots__}
        times = {"until", "settled_at", "announces_at"}
        return tuple(
            self.time(x)
            if name in times
            else self.epoch_of(x)
            if name == "epoch"
            else None
            if name == "why"
            else x
            for name, x in fields.items()
        )

    def _value(self, x):
        """Of a continuation: inputs and names as they are; numbers are points in time or epochs."""
        return round(self.time(x), 6) if type(x) in (int, float) else x
