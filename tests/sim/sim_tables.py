"""The flows of a switch, compiled: one dictionary look-up for each shape of match.

Says the same as `tests/model/table_model.py` (`test_switch.py` compares the two), some twenty times
as fast: a schedule makes thousands of walks.
"""

from __future__ import annotations

from functools import lru_cache
from operator import itemgetter

from weave_ryu.pipeline import cookies
from weave_ryu.pipeline.cookies import Kind
from weave_ryu.pipeline.model import (
    ClearInPort,
    Field,
    Goto,
    Learn,
    Load,
    Mark,
    MoveTunnelIds,
    Output,
    OutputMark,
    Resubmit,
    SetTunnel,
    ToController,
)
from weave_ryu.pipeline.parts import (
    LEARN_PRIORITY,
    LEARN_PRIORITY_HEARSAY,
    LEARN_PRIORITY_SECOND_HAND,
)
from weave_ryu.pipeline.tables import BY_NAME, BY_NUMBER, MARKS, METER_MOVED, ORIGIN

CONTROLLER = -1
_SLOT = {mark: place for place, mark in enumerate(MARKS)}
_IN_PORT, _SRC, _DST, _TUN_SRC, _TUN_ID, _SRC_NUMBER, _DST_NUMBER, _INSIDE = range(
    len(MARKS), len(MARKS) + 8
)
_LEARN_PRIORITIES = (LEARN_PRIORITY, LEARN_PRIORITY_HEARSAY, LEARN_PRIORITY_SECOND_HAND)
_NOTHING = -1
"""What frames carry here: no flow asks for that."""
_FIELD_SLOT = {
    Field.IN_PORT: _IN_PORT,
    Field.ETH_SRC: _SRC,
    Field.ETH_DST: _DST,
    Field.TUN_SRC: _TUN_SRC,
    Field.TUN_ID: _TUN_ID,
    Field.ETH_TYPE: _INSIDE,
    Field.IP_PROTO: _INSIDE,
    Field.ICMP_TYPE: _INSIDE,
    Field.ICMP_CODE: _INSIDE,
    Field.ICMPV6_TYPE: _INSIDE,
}
_NUMBER_SLOT = {Field.ETH_SRC: _SRC_NUMBER, Field.ETH_DST: _DST_NUMBER, Field.TUN_ID: _TUN_ID}
_NO_MARKS = [0] * len(MARKS)
LEARNT = {name: _DST if name == "mac" else _SRC for name, t in BY_NAME.items() if t.learnt}


def _check_marks():
    taken = {}
    for mark in MARKS:
        if taken.get(mark.register, 0) & mark.mask:
            raise AssertionError(f"{mark.name} shares bits: the slots of this module must, too")
        taken[mark.register] = taken.get(mark.register, 0) | mark.mask


_check_marks()


class Sent:
    """One copy that left; tunnel fields are empty for other ports.

    `origin` is where the MAC is known, of a frame that the daemon is shown because it has moved.
    """

    __slots__ = ("origin", "port", "tun_dst", "tun_id", "tun_src")

    def __init__(self, port, tun_dst="", tun_src="", tun_id=0, origin=0):
        self.port, self.tun_dst, self.tun_src, self.tun_id = port, tun_dst, tun_src, tun_id
        self.origin = origin

    def __repr__(self):
        return f"{self.port} {self.tun_dst} {self.tun_id:#x}"


class Walk:
    """A frame on its way through the tables.

    `slots` holds marks and fields; `noted` what is to be learnt; `asked` the entries of the learnt
    tables that were looked at, with what was found.
    """

    __slots__ = ("asked", "noted", "sent", "slots", "tunnel", "visited")

    def __init__(self, in_port, src, dst, tun_src, tun_id):
        numbers = _number(src), _number(dst)
        self.slots = [*_NO_MARKS, in_port, src, dst, tun_src, tun_id, *numbers, _NOTHING]
        self.tunnel = None
        self.sent = []
        self.noted = []
        self.asked = []
        self.visited = []

    def output(self, port):
        slots = self.slots
        if port == slots[_IN_PORT]:
            return
        if port == TUNNEL_PORT:
            remote, local, tun_id = self.tunnel
            self.sent.append(Sent(port, remote, local, tun_id))
        else:
            self.sent.append(Sent(port))


TUNNEL_PORT = 1


@lru_cache(maxsize=4096)
def _number(mac):
    return int(mac.replace(":", ""), 16)


# Actions as functions of (tables, walk).


@lru_cache(maxsize=8192)
def _compiled(action):
    match action:
        case Output(port):
            return lambda _tables, walk: walk.output(port)
        case OutputMark(mark):
            slot = _SLOT[mark]
            return lambda _tables, walk: walk.output(walk.slots[slot])
        case ToController(meter) if meter == METER_MOVED:
            slot = _SLOT[ORIGIN]
            return lambda _tables, walk: walk.sent.append(Sent(CONTROLLER, origin=walk.slots[slot]))
        case ToController():
            return lambda _tables, walk: walk.sent.append(Sent(CONTROLLER))
        case Load(mark, value):
            slot = _SLOT[mark]
            return lambda _tables, walk: walk.slots.__setitem__(slot, value)
        case ClearInPort():
            return lambda _tables, walk: walk.slots.__setitem__(_IN_PORT, 0)
        case MoveTunnelIds(source, destination):
            return _moving(_SLOT[source], _SLOT[destination])
        case SetTunnel():
            return _tunnelling(action)
        case Resubmit(table) | Goto(table):
            return lambda tables, walk: tables.look_up(table, walk)
        case Learn():
            lesson = Lesson(action)
            return lambda _tables, walk: walk.noted.append((lesson, walk.slots[_SRC]))
    raise AssertionError(action)


def _moving(source, destination):
    def move(_tables, walk):
        slots = walk.slots
        slots[source] = slots[_TUN_ID] & 0xFFF
        slots[destination] = slots[_TUN_ID] >> 12 & 0xFFF

    return move


def _tunnelling(action):
    remote, local = action.remote_ip, action.local_ip

    def set_tunnel(_tables, walk):
        kept = walk.slots[_TUN_ID] if action.tun_id is None else action.tun_id
        walk.tunnel = (remote, local, kept)

    return set_tunnel


class Lesson:
    """What a learn action teaches about a MAC."""

    __slots__ = ("cookie", "effect", "priority", "table", "taught")

    def __init__(self, learn):
        self.table, self.priority, self.cookie = learn.table, learn.priority, learn.cookie
        effect = tuple((_SLOT[load.mark], load.value) for load in learn.loads)
        self.taught = (effect, learn.cookie)


class Prepared:
    """A flow, ready to be installed.

    Args:
        flow: `FlowSpec`.
    """

    __slots__ = (
        "actions",
        "cookie",
        "flow",
        "group",
        "is_permit",
        "key",
        "kind",
        "number",
        "opens",
        "place",
        "table",
        "timeout_s",
        "values",
    )

    def __init__(self, flow):
        self.flow = flow
        self.table, self.number = flow.table, BY_NAME[flow.table].number
        self.cookie = cookies.flow_cookie(flow)
        self.place = self.number << 80 | flow.priority << 64 | self.cookie
        self.kind = self.cookie >> 48 & 0xFF
        self.timeout_s = flow.hard_timeout_s
        self.is_permit = flow.kind == Kind.PERMIT
        # In a hand-over such a flow may also only show broadcasts to the daemon.
        self.opens = self.is_permit and flow.table == "gate_flood" and Goto("flood") in flow.actions
        terms = sorted(_term(term) for term in flow.match)
        self.group = (-flow.priority, tuple((slot, mask) for slot, mask, _ in terms))
        self.values = tuple(value for _, _, value in terms)
        if len(self.values) == 1:
            (self.values,) = self.values
        self.key = _keys.setdefault((self.table, self.group, self.values), len(_keys))
        self.actions = tuple(_compiled(action) for action in flow.actions)


def _term(term):
    if isinstance(term.what, Mark):
        return _SLOT[term.what], -1, term.value
    if term.mask is None:
        return _FIELD_SLOT[term.what], -1, term.value
    mask, value = (_number(x) if isinstance(x, str) else x for x in (term.mask, term.value))
    return _NUMBER_SLOT[term.what], mask, value & mask


def _reader(fields):
    """Slots → the value to look for in a group's dictionary."""
    if all(mask == -1 for _, mask in fields):
        return itemgetter(*(slot for slot, _ in fields)) if fields else lambda _slots: ()
    if len(fields) == 1:
        ((slot, mask),) = fields
        return lambda slots: slots[slot] & mask
    return lambda slots: tuple(slots[s] if m == -1 else slots[s] & m for s, m in fields)


_prepared = {}
_keys = {}
"""Table and match → a number, of all flows that there have been."""
MAX_PREPARED = 100000


def prepare(flow):
    """The same flow is asked for again and again: what a peer's flows are made of is kept."""
    found = _prepared.get(id(flow))
    if found is None:
        if len(_prepared) > MAX_PREPARED:
            _prepared.clear()
        # It holds the flow, so that nothing else can get its id.
        found = _prepared[id(flow)] = Prepared(flow)
    return found


class Tables:
    """All tables of one switch, and what it has learnt: (table, MAC, priority) → (effect, cookie).

    `version` grows with each change of flows that is more than a renewal.
    """

    def __init__(self):
        self.learnt = {}
        self.version = 0
        self._groups = {name: [] for name in BY_NAME}
        """table → [group, reader, values → actions], highest priority first."""

    def put(self, flow):
        for entry in self._groups[flow.table]:
            if entry[0] == flow.group:
                entry[2][flow.values] = flow.actions
                return
        entries = self._groups[flow.table]
        entries.append((flow.group, _reader(flow.group[1]), {flow.values: flow.actions}))
        entries.sort(key=lambda entry: entry[0])

    def drop(self, flow):
        entries = self._groups[flow.table]
        for place, entry in enumerate(entries):
            if entry[0] == flow.group:
                del entry[2][flow.values]
                if not entry[2]:
                    del entries[place]
                return

    def walk(self, in_port, src, dst, tun_src="0.0.0.0", tun_id=0):
        walk = Walk(in_port, src, dst, tun_src, tun_id)
        self.look_up("classify", walk)
        return walk

    def walk_actions(self, src, dst, actions):
        """A frame that the daemon hands over with the actions to do (packet-out)."""
        walk = Walk(0, src, dst, "0.0.0.0", 0)
        for action in actions:
            _compiled(action)(self, walk)
        return walk

    def look_up(self, table, walk):
        walk.visited.append(table)
        slots = walk.slots
        learnt_by = LEARNT.get(table)
        if learnt_by is not None:
            mac, asked = slots[learnt_by], walk.asked
            for priority in _LEARN_PRIORITIES:
                key = (table, mac, priority)
                found = self.learnt.get(key)
                asked.append((key, found))
                if found is not None:
                    for slot, value in found[0]:
                        slots[slot] = value
                    return
            return
        for _, read, by_values in self._groups[table]:
            actions = by_values.get(read(slots))
            if actions is not None:
                for act in actions:
                    act(self, walk)
                return


def table_name(number):
    return BY_NUMBER[number].name
