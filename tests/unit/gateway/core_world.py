"""Several gateway cores under one virtual clock, each with an obedient switch."""

import heapq
import itertools

from weave_ryu.gate import Gate
from weave_ryu.gateway.commands import Broadcast, ReadMacs, RenewGate, SayHello, SetGate, Tell
from weave_ryu.gateway.core import GatewayCore
from weave_ryu.gateway.reading import Reading
from weave_ryu.gateway.role import Role, State
from weave_ryu.gateway.surroundings import PortSpec
from weave_ryu.gateway.timers import Timers
from weave_ryu.names import PeerName

LATENCY_S = 0.005


class World:
    """Peers by letter; `gates` is what each switch really lets pass, run-out included."""

    def __init__(self, *specs, timers=None):
        self.now = 100.0
        self.timers = timers or Timers()
        self.cores, self.commands, self.paused, self.cut = {}, {}, set(), set()
        self.password = None
        self.has_detours = False
        self.reads_macs = False
        """Switches answer `ReadMacs`, with `reading`; else tests do that by hand."""
        self.reading = Reading()
        self.granted = {}
        self.switch_answers = {}
        self._queue, self._order = [], itertools.count()
        self._incarnations = itertools.count(1)
        for letter, spec in specs:
            self.start(letter, spec)

    def start(self, letter, spec):
        name = PeerName(ord(letter))
        core = GatewayCore(
            name,
            next(self._incarnations),
            int(self.now * 1000),
            [spec],
            self.timers,
            self.now,
            self.password,
        )
        self.cores[letter], self.commands[letter] = core, []
        self.switch_answers.setdefault(letter, True)
        core.switch_state(True, {spec.port: True}, self.now)
        core.mesh_state(3, self.now)
        core.start(self.now)
        self._perform(letter)

    def kill(self, letter):
        del self.cores[letter]

    def port(self, letter):
        return next(iter(self.cores[letter].ports.values()))

    def states(self):
        return {letter: str(self.port(letter).state) for letter in sorted(self.cores)}

    def forwarders(self):
        """Switches whose gate passes everything now, whatever their daemons think."""
        return [
            letter
            for letter, (gate, until) in sorted(self.granted.items())
            if gate is Gate.OPEN and until > self.now
        ]

    def run(self, seconds, watch=lambda: None):
        until = self.now + seconds
        while self.now < until:
            self.now = min(until, self.now + 0.005)
            while self._queue and self._queue[0][0] <= self.now:
                _, _, action = heapq.heappop(self._queue)
                action()
            for letter, core in list(self.cores.items()):
                deadline = core.deadline()
                if letter not in self.paused and deadline is not None and deadline <= self.now:
                    core.handle_timer(self.now)
                    self._perform(letter)
            watch()

    def call(self, letter, method, *arguments):
        getattr(self.cores[letter], method)(*arguments, self.now)
        self._perform(letter)

    def force_active(self, letter):
        """The operator insists."""
        self.cores[letter].set_role("gw0", Role.ACTIVE, self.now, force=True)
        self._perform(letter)

    def call_plain(self, letter, method, *arguments):
        """For methods that take no time."""
        getattr(self.cores[letter], method)(*arguments)
        self._perform(letter)

    def all_commands(self, letter, kind):
        return [command for command in self.commands[letter] if isinstance(command, kind)]

    def _later(self, action):
        heapq.heappush(self._queue, (self.now + LATENCY_S, next(self._order), action))

    def _perform(self, letter):
        core = self.cores[letter]
        while commands := core.poll_commands():
            for command in commands:
                self.commands[letter].append(command)
                self._one(letter, core, command)

    def _one(self, letter, core, command):
        match command:
            case Broadcast(payload):
                for other in self.cores:
                    self._send(letter, other, payload)
            case Tell(peer, payload, detour):
                if self.has_detours or not detour:
                    self._send(letter, chr(peer), payload, detour)
            case SayHello(_, frame):
                for other in self.cores:
                    self._on_segment(letter, other, frame)
            case ReadMacs(port) if self.reads_macs:
                self._later(lambda: self._read(letter, core, port))
            case SetGate() | RenewGate():
                sent_at = self.now
                if self.switch_answers[letter]:
                    self._later(lambda: self._grant(letter, core, command, sent_at))

    def _read(self, letter, core, port):
        if self.cores.get(letter) is core and letter not in self.paused:
            self.call(letter, "macs_read", port, self.reading)

    def _grant(self, letter, core, command, sent_at):
        self.granted[letter] = (command.gate, sent_at + self.timers.permit_s)
        if self.cores.get(letter) is not core or letter in self.paused:
            return
        if isinstance(command, SetGate):
            core.gate_set(command.port, command.token, sent_at, self.now)
        else:
            core.renewed(command.port, sent_at, self.now)
        self._perform(letter)

    def _send(self, source, target, payload, detour=False):
        def arrive():
            reached = target in self.cores and target not in self.paused
            is_cut = {frozenset((source, target)), (source, target)} & self.cut
            if reached and (detour or not is_cut):
                self.cores[target].received(PeerName(ord(source)), payload, True, self.now)
                self._perform(target)

        if source != target:
            self._later(arrive)

    def _on_segment(self, source, target, frame):
        def arrive():
            if target in self.cores and target not in self.paused:
                self.call(target, "hello", "gw0", frame)

        if source != target:
            self._later(arrive)


def spec(role=Role.AUTO, **options):
    return PortSpec("gw0", "vlan", role, **options)


def settled_pair(**options):
    """A forwards, B stands by, both in role auto."""
    world = World(("A", spec(**options)), ("B", spec(**options)))
    world.run(3.0)
    assert world.states() == {"A": State.ACTIVE, "B": State.STANDBY}
    return world
