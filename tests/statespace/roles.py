"""Gateways of one segment, tick by tick, with every fault at every tick up to a budget.

Runs `GatewayCore` itself. A tick is one second of the model's timers, which are the smallest whole
numbers that satisfy the product's inequality. Within a tick the daemons act in any order, messages
and commands arrive at once; a fault is spent to lose or delay them.
"""

from __future__ import annotations

import itertools
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field

from tests.statespace.clone import Eyes, check_fields, clone
from weave_ryu.gate import Gate
from weave_ryu.gateway.commands import Broadcast, ReadMacs, RenewGate, SetGate, Tell
from weave_ryu.gateway.core import GatewayCore
from weave_ryu.gateway.detection import Bfd
from weave_ryu.gateway.reading import Reading
from weave_ryu.gateway.role import Intent, Role
from weave_ryu.gateway.states import STATES, Blocked, Fault
from weave_ryu.gateway.surroundings import NotReadyError, PortSpec
from weave_ryu.gateway.timers import HandOverTimes, Timers
from weave_ryu.gateway.wish import Outcome
from weave_ryu.names import PeerName

TIMERS = Timers(
    permit_s=3,
    renew_s=1,
    switch_lag_s=0,
    lease_s=1,
    doubt_s=1.5,
    silent_s=2,
    take_over_s=5,
    arm_s=2,
    arm_alone_s=3,
    stagger_s=1,
    hand_over=HandOverTimes(cache_s=0, settle_s=1, drain_s=1, answer_s=3),
    sync_s=100000,
).check()
RESTART_SEQUENCES = 40
MERGE_TICKS = 3
"""After a partition two may forward for so long."""
OVERLAP_TICKS = 1
"""In a hand-over two may be open until the switch of the old one has answered."""
PERMIT_TICKS = 4
"""A switch that has not confirmed that it closes does so when its permits run out."""
MAX_TICKS = 100000
NO_ANSWER_TICKS = 3
MAX_PAUSE_TICKS = 8
"""Longer than anything that the others wait for."""


class Broken(AssertionError):
    """An invariant does not hold; `name` is that of DESIGN section 2."""

    def __init__(self, name, detail):
        super().__init__(f"{name}: {detail}")
        self.name = name


@dataclass
class Node:
    """A gateway: its daemon (None if crashed), and what its switch lets pass until when."""

    core: GatewayCore | None
    incarnation: int = 1
    sequence: int = 0
    is_paused: bool = False
    paused_until: int = 0
    is_switch_up: bool = True
    has_carrier: bool = True
    gate: Gate = Gate.CLOSED
    until: int = 0
    inbox: tuple = ()
    wished: tuple | None = None
    """What was accepted last, until it is done or taken back: intent, number, tick."""
    died_forced: bool = False

    @property
    def is_open(self):
        """Frames pass between the segment and the mesh."""
        return self.gate is Gate.OPEN and self.has_carrier

    @property
    def is_forced(self):
        """An operator insists; one that died so is open until its permits have run out."""
        if self.core is None:
            return self.died_forced
        return self.core.ports["gw0"].intent.forced

    def copy(self):
        core = None if self.core is None else clone(self.core)
        return Node(
            core,
            self.incarnation,
            self.sequence,
            self.is_paused,
            self.paused_until,
            self.is_switch_up,
            self.has_carrier,
            self.gate,
            self.until,
            self.inbox,
            self.wished,
            self.died_forced,
        )


@dataclass
class World:
    """Everything at one moment."""

    nodes: dict
    now: int = 0
    budget: int = 0
    cuts: frozenset = frozenset()
    false_bfd: frozenset = frozenset()
    late: tuple = ()
    """(what, node, content): messages and commands that arrive in the next tick."""
    overlap: int = 0
    excused: int = 0
    within: int | None = None
    """A further fault comes at most so many ticks after the one before; None = at any time."""
    last_fault: int | None = None
    kinds: frozenset = frozenset(["faults"])
    """What the budget may be spent on: faults, wishes. With "slow", all switches act a tick late,
    so that there are ticks in which an answer is awaited."""
    asked: frozenset = frozenset()
    """All wishes that were accepted so far."""
    disturbed: dict = field(default_factory=dict)
    """Of the tick that runs: sender pair or node → what becomes of what it sends."""

    def copy(self):
        nodes = {name: node.copy() for name, node in self.nodes.items()}
        return World(
            nodes,
            self.now,
            self.budget,
            self.cuts,
            self.false_bfd,
            self.late,
            self.overlap,
            self.excused,
            self.within,
            self.last_fault,
            self.kinds,
            self.asked,
        )

    def key(self):
        sequences = {}
        epoch = 0
        for name, node in self.nodes.items():
            sequence = node.sequence if node.core is None else node.core.registry._sequence
            sequences[name] = (node.incarnation, sequence)
            if node.core is not None:
                epoch = max(epoch, node.core.registry.epoch("vlan"))
        eyes = Eyes(self.now, sequences, epoch)
        nodes = tuple(
            (
                eyes.time(node.paused_until) if node.is_paused else None,
                node.is_switch_up,
                node.has_carrier,
                node.gate,
                eyes.time(node.until) if node.gate is not Gate.CLOSED else 0,
                tuple(self._content(eyes, kind, content) for kind, content in node.inbox),
                node.wished and (node.wished[0], self.now - node.wished[2]),
                node.core is None and node.died_forced,
                None if node.core is None else eyes.core(node.core),
            )
            for node in self.nodes.values()
        )
        late = tuple(
            (name, self._content(eyes, kind, content)) for kind, name, content in self.late
        )
        since = None if self.last_fault is None else self.now - self.last_fault
        rest = (
            self.budget,
            since,
            self.cuts,
            self.false_bfd,
            self.overlap,
            self.excused,
            self.asked,
        )
        return nodes, late, rest, self.asked

    def _content(self, eyes, kind, content):
        match kind:
            case "message":
                source, payload = content
                return kind, source, eyes.payload(payload)
            case "bfd":
                return kind, content
            case "fail":
                token, due, lives = content
                return kind, eyes.time(due), lives, token and self._token(token, lives)
        command, sent_at, confirms, lives = content
        token = getattr(command, "token", None)
        told = (type(command), command.gate, token and self._token(token, lives))
        return kind, told, eyes.time(sent_at), confirms, lives

    def _token(self, token, lives):
        node = self.nodes[lives[0]]
        if node.core is None or node.incarnation != lives[1]:
            return "gone"
        return next(iter(node.core.ports.values())).keeper._token - token

    # A tick.

    def open_nodes(self):
        """Those that forward: nothing passes a dead link."""
        return [n for n, node in self.nodes.items() if node.is_open]

    def tick(self, order, action=None):
        """Advance by one tick; what the action says happens first."""
        self.now += 1
        self.disturbed = {}
        self._run_out()
        for name, node in self.nodes.items():
            if node.is_paused and node.paused_until <= self.now and action != ("resume", name):
                self._do_resume(name)
        if action is not None:
            self._act(*action)
        arriving, self.late = self.late, ()
        queue = deque(arriving)
        self._drain(queue)
        for name in order:
            node = self.nodes[name]
            if node.core is not None and not node.is_paused:
                if node.core.deadline() <= self.now:
                    node.core.handle_timer(self.now)
                self._pump(name, queue)
                self._drain(queue)
        self._judge()
        if self.last_fault is not None and self.now - self.last_fault >= self.within:
            self.budget, self.last_fault = 0, None

    def _run_out(self):
        for node in self.nodes.values():
            if node.gate is not Gate.CLOSED and node.until <= self.now:
                node.gate = Gate.CLOSED

    def _drain(self, queue):
        steps = 0
        while queue:
            steps += 1
            if steps > 2000:
                raise Broken("no_storm", "messages beget messages without end")
            kind, name, content = queue.popleft()
            getattr(self, f"_take_{kind}")(name, content, queue)

    def _pump(self, name, queue):
        node = self.nodes[name]
        if node.core is None:
            return
        for command in node.core.poll_commands():
            match command:
                case Tell():
                    self._send(name, command.peer, command.payload, queue)
                case Broadcast(payload):
                    for other in self.nodes:
                        if other != name:
                            self._send(name, other, payload, queue)
                case SetGate() | RenewGate():
                    self._command(name, command, queue)
                case ReadMacs(port):
                    node.core.macs_read(port, Reading(), self.now)
                    self._pump(name, queue)

    # Messages.

    def _send(self, source, target, payload, queue):
        fate = self.disturbed.get((source, target))
        if frozenset((source, target)) in self.cuts or fate == "lose":
            return
        item = ("message", target, (source, payload))
        if fate == "delay":
            self.late += (item,)
        else:
            queue.append(item)

    def _take_message(self, name, content, queue):
        node = self.nodes[name]
        if node.core is None:
            return
        if node.is_paused:
            # The same message again changes nothing.
            if ("message", content) not in node.inbox:
                node.inbox += (("message", content),)
            return
        source, payload = content
        node.core.received(source, payload, True, self.now)
        self._pump(name, queue)

    def _take_bfd(self, name, content, queue):
        node = self.nodes[name]
        if node.core is None:
            return
        if node.is_paused:
            node.inbox += (("bfd", content),)
            return
        node.core.bfd(*content, self.now)
        self._pump(name, queue)

    def _bfd(self, a, b, state, queue=None):
        for one, other in ((a, b), (b, a)):
            self.late += (("bfd", one, (other, state)),)

    # The switch.

    def _command(self, name, command, queue):
        node = self.nodes[name]
        lives = (name, node.incarnation)
        fate = self.disturbed.get(name, "slow" if "slow" in self.kinds else None)
        item = ("command", name, (command, self.now, fate != "unconfirmed", lives))
        if fate in ("slow", "unconfirmed-slow"):
            self.late += (item,)
        elif fate == "drop":
            self._fail(name, command, lives)
        else:
            queue.append(item)

    def _fail(self, name, command, lives):
        due = self.now + NO_ANSWER_TICKS
        self.late += (("fail", name, (getattr(command, "token", None), due, lives)),)

    def _take_command(self, name, content, queue):
        node = self.nodes[name]
        command, sent_at, confirms, lives = content
        if not node.is_switch_up:
            return
        node.gate = command.gate
        node.until = self.now + TIMERS.permit_s
        if not confirms:
            self._fail(name, command, lives)
        elif node.is_paused and node.core is not None:
            node.inbox += (("answer", (command, sent_at, True, lives)),)
        else:
            self._take_answer(name, (command, sent_at, True, lives), queue)

    def _take_answer(self, name, content, queue):
        node = self.nodes[name]
        command, sent_at, _, lives = content
        if node.core is None or lives[1] != node.incarnation:
            return
        if isinstance(command, SetGate):
            node.core.gate_set(command.port, command.token, sent_at, self.now)
        else:
            node.core.renewed(command.port, sent_at, self.now)
        self._pump(name, queue)

    def _take_fail(self, name, content, queue):
        node = self.nodes[name]
        token, due, lives = content
        if node.core is None or lives[1] != node.incarnation:
            return
        if node.is_paused or due > self.now:
            self.late += (("fail", name, content),)
            return
        node.core.gate_failed("gw0", token, "no answer", self.now)
        self._pump(name, queue)

    # Faults and repairs.

    def _act(self, kind, *who):
        if kind in FAULTS:
            self.budget -= 1
            bounded = self.within is not None and self.budget > 0
            self.last_fault = self.now if bounded else None
        getattr(self, f"_do_{kind}")(*who)

    def _do_lose(self, a, b):
        self.disturbed[a, b] = "lose"

    def _do_delay(self, a, b):
        self.disturbed[a, b] = "delay"

    def _do_slow(self, name):
        self.disturbed[name] = "slow"

    def _do_drop(self, name):
        self.disturbed[name] = "drop"

    def _do_unconfirmed(self, name):
        self.disturbed[name] = "unconfirmed"

    def _do_crash(self, name):
        node = self.nodes[name]
        if node.core is None:
            return
        node.died_forced = node.is_forced
        node.sequence, node.core = node.core.registry._sequence, None
        node.is_paused, node.inbox = False, ()

    def _do_restart(self, name):
        node = self.nodes[name]
        node.incarnation += 1
        node.sequence += RESTART_SEQUENCES
        node.core = make_core(name, node.incarnation, node.sequence, self.now)
        node.core.switch_state(node.is_switch_up, {"gw0": node.has_carrier}, self.now)
        node.core.mesh_state(len(self.nodes) - 1, self.now)
        node.core.start(self.now)
        for other in self.nodes:
            if other != name and node.is_switch_up and self.nodes[other].is_switch_up:
                is_down = frozenset((name, other)) in self.cuts | self.false_bfd
                if not is_down:
                    node.core.bfd(other, Bfd.UP, self.now)

    def _do_pause(self, name):
        self.nodes[name].is_paused = True
        self.nodes[name].paused_until = self.now + MAX_PAUSE_TICKS

    def _do_resume(self, name):
        node = self.nodes[name]
        node.is_paused = False
        inbox, node.inbox = node.inbox, ()
        self.late = tuple((kind, name, content) for kind, content in inbox) + self.late

    def _do_cut(self, a, b):
        self.cuts |= {frozenset((a, b))}
        self._bfd(a, b, Bfd.DOWN)

    def _do_heal(self, a, b):
        self.cuts -= {frozenset((a, b))}
        if self.nodes[a].is_switch_up and self.nodes[b].is_switch_up:
            self._bfd(a, b, Bfd.UP)

    def _do_alarm(self, a, b):
        self.false_bfd |= {frozenset((a, b))}
        self._bfd(a, b, Bfd.DOWN)

    def _do_calm(self, a, b):
        self.false_bfd -= {frozenset((a, b))}
        if self.nodes[a].is_switch_up and self.nodes[b].is_switch_up:
            self._bfd(a, b, Bfd.UP)

    def _do_switch(self, name):
        node = self.nodes[name]
        node.is_switch_up = False
        node.gate = Gate.CLOSED
        for other in self.nodes:
            if other != name:
                self._bfd(name, other, Bfd.DOWN)
        if node.core is not None and not node.is_paused:
            node.core.switch_state(False, {}, self.now)

    def _do_link(self, name):
        self._set_carrier(name, False)

    def _do_link_back(self, name):
        self._set_carrier(name, True)

    def _set_carrier(self, name, is_up):
        node = self.nodes[name]
        node.has_carrier = is_up
        if node.core is not None and not node.is_paused:
            node.core.switch_state(node.is_switch_up, {"gw0": is_up}, self.now)

    def _do_switch_back(self, name):
        node = self.nodes[name]
        node.is_switch_up = True
        for other in self.nodes:
            if other != name and frozenset((name, other)) not in self.cuts:
                self._bfd(name, other, Bfd.UP)
        if node.core is not None and not node.is_paused:
            node.core.switch_state(True, {"gw0": node.has_carrier}, self.now)

    def _do_drain(self, name):
        core = self.nodes[name].core
        port = core.ports["gw0"]
        role, phase = port.intent.role, type(port.phase)
        core.drain("gw0", self.now)
        self._wished(name, Intent(role, drained=True), phase)

    def _do_active(self, name, force=False):
        self._ask(name, Role.ACTIVE, force)

    def _do_force(self, name):
        self._ask(name, Role.ACTIVE, True)

    def _do_standby(self, name):
        self._ask(name, Role.STANDBY)

    def _do_auto(self, name):
        self._ask(name, Role.AUTO)

    def _do_repent(self, name):
        """The operator wants it as it was; that is no wish of the search."""
        with suppress(NotReadyError):
            self.nodes[name].core.set_role("gw0", Role.AUTO, self.now)

    def _ask(self, name, role, force=False):
        phase = type(self.nodes[name].core.ports["gw0"].phase)
        with suppress(NotReadyError):  # refused: nothing was accepted
            self.nodes[name].core.set_role("gw0", role, self.now, force=force)
            self._wished(name, Intent(role, force), phase)

    def _wished(self, name, intent, phase):
        node = self.nodes[name]
        port = node.core.ports["gw0"]
        if port.wish.intent != intent:
            raise Broken("wish_kept", f"{intent} is accepted and taken for {port.wish.intent}")
        node.wished = (intent, port.wish.number, self.now)
        self.asked |= {(name, intent)}
        kind = "drain" if intent.drained else "force" if intent.forced else str(intent.role)
        WISHED_AT.add((phase, kind))

    def faults(self):
        """What may go wrong now, and what may be asked for."""
        if self.budget <= 0:
            return
        names = list(self.nodes)
        for name, node in self.nodes.items():
            if "wishes" in self.kinds and node.core is not None and not node.is_paused:
                yield from ((wish, name) for wish in WISHES)
        if "faults" not in self.kinds:
            return
        for name, node in self.nodes.items():
            is_awake = node.core is not None and not node.is_paused
            if node.core is not None:
                yield ("crash", name)
            if is_awake:
                yield from (("pause", name), ("slow", name), ("drop", name), ("unconfirmed", name))
                if "wishes" not in self.kinds and not node.core.ports["gw0"].intent.drained:
                    yield ("drain", name)
            if node.is_switch_up and (node.core is None or is_awake):
                yield ("switch", name)
                if node.has_carrier:
                    yield ("link", name)
        for a, b in itertools.permutations(names, 2):
            if frozenset((a, b)) not in self.cuts:
                yield ("lose", a, b)
                yield ("delay", a, b)
        for a, b in itertools.combinations(names, 2):
            pair = frozenset((a, b))
            if pair not in self.cuts | self.false_bfd:
                yield ("cut", a, b)
                yield ("alarm", a, b)

    def repairs(self):
        """What may come right now."""
        for name, node in self.nodes.items():
            if node.core is None:
                yield ("restart", name)
            elif node.is_paused:
                yield ("resume", name)
            elif node.core.ports["gw0"].intent != Intent(Role.AUTO):
                yield ("repent", name)
            if not node.is_switch_up and not node.is_paused:
                yield ("switch_back", name)
            if not node.has_carrier and not node.is_paused:
                yield ("link_back", name)
        for pair in sorted(self.cuts, key=sorted):
            yield ("heal", *sorted(pair))
        for pair in sorted(self.false_bfd, key=sorted):
            yield ("calm", *sorted(pair))

    @property
    def is_served(self):
        """One forwards, or none can, or the mesh is not whole."""
        count = len(self.open_nodes())
        able = [
            node
            for node in self.nodes.values()
            if node.core is not None
            and not node.is_paused
            and node.is_switch_up
            and node.has_carrier
            and not node.core.ports["gw0"].intent.closes
        ]
        if count > 1 and not self._are_too_many():
            return True
        return count == 1 or not able or bool(self.cuts or self.false_bfd)

    def _are_too_many(self):
        """Two or more are open, and not because an operator insists.

        Force waits for nobody: one whose daemon cannot hear it goes on until its permits run out.
        """
        nodes = [node for node in self.nodes.values() if node.is_open]
        if len(nodes) < 2:
            return False
        if not any(node.is_forced for node in nodes):
            return True
        awake = [node for node in nodes if node.core is not None and not node.is_paused]
        return not all(node.is_forced for node in awake)

    def _judge(self):
        is_apart = bool(self.cuts or self.false_bfd)
        self.excused = MERGE_TICKS if is_apart else max(0, self.excused - 1)
        for name, node in self.nodes.items():
            self._judge_wish(name, node)
        if not self._are_too_many() or self.excused:
            self.overlap = 0
            return
        self.overlap += 1
        if self.overlap > OVERLAP_TICKS:
            raise Broken("one_forwarder", f"{self.open_nodes()} for {self.overlap} ticks")

    def _judge_wish(self, name, node):
        """What was accepted is done in time, or taken back for a reason that there was."""
        if node.wished is None:
            return
        intent, number, at = node.wished
        if node.core is None:
            node.wished = None  # who asked has lost the connection
            return
        if node.is_paused:
            return
        wish = node.core.ports["gw0"].wish
        is_open = node.is_open
        is_done = is_open if intent.opens else not is_open if intent.closes else True
        if wish.number != number or is_done:
            node.wished = None
        elif wish.outcome is Outcome.TAKEN_BACK and wish.why:
            node.wished = None
            others = {other for who, other in self.asked if who != name}
            is_contradicted = not intent.forced and any(other.opens for other in others)
            if "faults" not in self.kinds and not is_contradicted:
                raise Broken("wish_kept", f"{intent} taken back for nothing: {wish.why}")
        elif self.now - at > TIMERS.wish_s + PERMIT_TICKS:
            raise Broken("wish_kept", f"{intent} is {wish.outcome} after {self.now - at} ticks")


WISHES = ("active", "force", "standby", "auto", "drain")
WISHED_AT = set()
"""(state, wish): what a port was when a wish was accepted, in all searches of this process."""

FAULTS = frozenset(
    [
        *WISHES,
        "lose",
        "delay",
        "slow",
        "drop",
        "unconfirmed",
        "crash",
        "pause",
        "cut",
        "alarm",
        "switch",
        "link",
    ]
)


def make_core(name, incarnation, sequence, now):
    spec = PortSpec("gw0", "vlan", Role.AUTO)
    return GatewayCore(name, incarnation, sequence, [spec], TIMERS, now)


def starting(count, kinds=("faults",)):
    """A world of so many gateways whose daemons have just been started."""
    names = [PeerName(place + 1) for place in range(count)]
    world = World({name: Node(None) for name in names}, now=100, kinds=frozenset(kinds))
    for name in names:
        world._do_restart(name)
    for a, b in itertools.combinations(names, 2):
        world._bfd(a, b, Bfd.UP)
    return world


def settled(count, budget, within=None, kinds=("faults",)):
    """A world of so many gateways, of which one forwards, with faults to come.

    Args:
        count: of gateways.
        budget: of faults.
        within: ticks, see `World`.
        kinds: of faults, see `World`.
    """
    world = starting(count, kinds)
    for _ in range(20):
        world.tick(list(world.nodes))
    if len(world.open_nodes()) != 1:
        raise Broken("available", f"open at the start: {world.open_nodes()}")
    for node in world.nodes.values():
        check_fields(node.core)
    world.budget, world.within = budget, within
    return world


SLOW_WISHES = ("wishes", "slow")


def wishes_while_all_is_well():
    """Any two wishes, one a tick after the other."""
    return settled(2, 2, 1, SLOW_WISHES)


def wishes_while_all_start():
    """Any wish at any time from the start of both daemons on."""
    world = starting(2, SLOW_WISHES)
    world.tick(list(world.nodes))
    world.budget = 1
    return world


def wishes_during_a_hand_over():
    """Any wish at any time of a hand-over that has begun."""
    world = settled(2, 0, None, SLOW_WISHES)
    (active,) = world.open_nodes()
    world.tick(list(world.nodes), ("drain", active))
    world.budget = 1
    return world


def wishes_while_a_request_is_not_answered():
    """Any wish at any time after one gateway has asked another for the role, which is stopped."""
    world = settled(2, 0, None, SLOW_WISHES)
    (active,) = world.open_nodes()
    (other,) = world.nodes.keys() - {active}
    world._do_pause(active)
    world.tick(list(world.nodes), ("active", other))
    world.budget = 1
    return world


def wishes_and_faults():
    """Any wish and any fault, one a tick after the other."""
    return settled(2, 2, 1, ("wishes", "faults"))


WISHFUL = {
    "all is well": wishes_while_all_is_well,
    "all start": wishes_while_all_start,
    "a hand-over has begun": wishes_during_a_hand_over,
    "a request is not answered": wishes_while_a_request_is_not_answered,
    "something fails": wishes_and_faults,
}
"""Worlds of two gateways in which, together, every kind of wish comes in every state."""


def missing_wishes():
    """(state, wish) that no search of this process has seen, sorted; those are left out that a port
    refuses: all but to drain without a switch, and to be active without a link."""
    refused = {*itertools.product([Blocked], WISHES), (Fault, "active"), (Fault, "force")}
    missing = {*itertools.product(STATES, WISHES)} - refused - WISHED_AT
    return sorted((state.__name__, wish) for state, wish in missing)
