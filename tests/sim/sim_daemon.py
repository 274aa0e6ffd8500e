"""One peer of the world: its switch, and the daemon that performs what the real core decides.

Performs as `shell/gatewayd.py`, `shell/announce.py` and `shell/forwarder.py` do, in virtual time,
with the same constants, and like them one gate after the other.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from functools import lru_cache, partial

import sim_flows
from sim_flows import GATEWAY, OF_THE_MESH, SEGMENT
from sim_moving import SimMoving

from weave_ryu.errors import RemoteProtocolError
from weave_ryu.gate import Gate
from weave_ryu.gateway import reading
from weave_ryu.gateway.commands import (
    Announce,
    Broadcast,
    Claim,
    Doubt,
    ForgetBehind,
    Introduce,
    Prime,
    ReadMacs,
    Release,
    RememberRole,
    RenewGate,
    Report,
    SayHello,
    SetGate,
    TakeBack,
    Tell,
)
from weave_ryu.gateway.core import GatewayCore
from weave_ryu.gateway.detection import Bfd, Verdict
from weave_ryu.gateway.handing import HandOvers
from weave_ryu.gateway.reading import Learnt
from weave_ryu.gateway.records import Peering, decode, encode
from weave_ryu.gateway.role import Intent
from weave_ryu.gateway.surroundings import NotReadyError
from weave_ryu.mesh.peers import Peer, Peers
from weave_ryu.mesh.segments import Claims
from weave_ryu.names import PeerUID
from weave_ryu.pipeline import cookies, rules
from weave_ryu.pipeline.cookies import SUBJECT_MASK, Kind, subject_cookie
from weave_ryu.pipeline.model import Output
from weave_ryu.shell.coordinator import ForwardingView

# As in the shell's modules, which cannot be imported without their I/O: `test_switch.py` compares.
REPEAT_AT_S = (0.0, 0.12, 1.0, 2.5)
INTRODUCE_AT_S, INTRODUCE_LATE_S = (0.1, 1.2), 4.0
FORGET_AGAIN_AFTER_S = 0.6
BURST, PAUSE_S = 50, 0.01
STALE_S = 0.4
ANSWER_TIMEOUT_S = 3.0
ASK_DELAY_S = 0.3
SETTLE_S = 10.0
LOOK_S = 0.1

parse = lru_cache(maxsize=4096)(cookies.parse)

MAX_MOVES = 140
"""So often a claim may change in a run: `sim_run` allows fewer in a short one, at its end."""


class SimDaemon:
    """A daemon from its start to its end."""

    def __init__(self, world, peer, incarnation):
        self.world, self.peer, self.clock, self.rng = world, peer, world.clock, world.rng
        # Its monotonic clock starts anywhere, and is a bit too fast or too slow.
        self._rate = 1 + self.rng.uniform(-1, 1) * world.options.drift
        self._offset = self.rng.uniform(0.0, 10000.0)
        now = self.local()
        sequence = int((100000 + self.clock.now + peer.clock_error_s) * 1000)
        specs = [peer.spec_now()] if peer.spec is not None else []
        self.core = GatewayCore(peer.name, incarnation, sequence, specs, world.timers, now)
        self.view = ForwardingView(peer.name)
        # Of the topology only what segments need: who is there, and which gateway claims it.
        own = Peer(peer.name, peer.letter, PeerUID(incarnation), 0, peer.short_id)
        self.peers = Peers(own, self.rng)
        self.claims = Claims(self.peers)
        self.moves = 0
        self.moving = SimMoving(self)
        self.is_paused = self.is_dead = False
        self._inbox = deque()
        self._timer = None
        self._timer_at = None
        self._last_heard = {}
        self._queue = deque()
        self._sent = self._give_up = None
        self._connection = 0
        self._permits = set()
        self.is_ready = False
        self._introducing = set()
        self._mesh_changes = 0
        self._sees_hellos_at = 0.0
        self._bfd = {}
        self._companions = ()
        self._installed = self._last_wanted = None
        self._observed = None
        self._layout = 0
        self._inherited = None
        self._came_from = frozenset()
        self._settled_at = self.clock.now + SETTLE_S
        self._kinds = {}
        self._known = frozenset()
        self._is_asking = False
        self._last_relayed = b""
        self._encoded = -1, b""
        self._programming = None
        self.commands = 0
        self.started_at = self.clock.now

    def local(self):
        """Its own monotonic clock."""
        return self._offset + self._rate * self.clock.now

    def start(self):
        self.core.start(self.local())
        self.pump()
        self.observe()
        if self.peer.switch.is_up:
            self.clock.after(self.rng.uniform(0.05, 0.8), self.input, self.switch_connected)
        self._timer_changed()

    # The process.

    def input(self, action, *args):
        """Something happens to the process: now, when it goes on, or never."""
        if self.is_dead:
            return
        if self.is_paused:
            self._inbox.append((action, args))
            return
        action(*args)
        self.pump()

    def later(self, delay_s, action, *args):
        """A green thread sleeps."""
        self.clock.after(delay_s, self.input, action, *args)

    def pause(self):
        self.is_paused = True
        self.world.conditions_changed()

    def proceed(self):
        """All that has happened meanwhile comes at once; timers before the rest, or after it."""
        self.is_paused = False
        self.world.conditions_changed()
        inbox, self._inbox = list(self._inbox), deque()
        timers = [item for item in inbox if item[0] == self._tick]
        rest = [item for item in inbox if item[0] != self._tick]
        for action, args in timers + rest if self.rng.random() < 0.7 else rest + timers:
            self.input(action, *args)

    def pump(self):
        core = self.core
        while core._commands:
            commands = core.poll_commands()
            self.commands += len(commands)
            for command in commands:
                kind = type(command)
                if kind is Tell and not command.detour:  # nearly all of them
                    target = self.world.letter_of[command.peer]
                    self.world.mesh.tell(self.peer.letter, target, command.payload)
                elif kind is SayHello:
                    if self.is_ready:
                        self.world.segment.say_hello(self.peer.letter, command.frame)
                else:
                    self._perform(command)
        deadline = core.deadline()
        if deadline is not None and not self.is_dead:
            self._arm(deadline)

    def _timer_changed(self):
        """Arm the timer; one that is due earlier looks again then."""
        deadline = self.core.deadline()
        if deadline is not None and not self.is_dead:
            self._arm(deadline)

    def _arm(self, deadline):
        at = (deadline - self._offset) / self._rate
        timer_at = self._timer_at
        if timer_at is not None and at >= timer_at:
            return
        soonest = self.clock.now + 0.001
        at = max(at, soonest)
        if timer_at is None or at < timer_at:
            self.clock.cancel(self._timer)
            self._timer_at = at
            self._timer = self.clock.at(at, self._timer_due)

    def _timer_due(self):
        self._timer = self._timer_at = None
        if self.is_dead:
            return
        if self.is_paused:
            self._inbox.append((self._tick, ()))
            return
        now = self._offset + self._rate * self.clock.now
        core = self.core
        if core.next_lease <= now or (deadline := core.deadline()) <= now:
            core.handle_timer(now)
            self.pump()
        else:
            self._arm(deadline)

    def _tick(self):
        self.core.handle_timer(self.local())

    # Commands.

    def _perform(self, command):
        match command:
            case Tell():
                mesh, target = self.world.mesh, self.world.letter_of[command.peer]
                self.world.sometimes["lease by a detour"] += 1
                mesh.pass_around(self.peer.letter, target, command.payload)
            case SetGate() | RenewGate():
                self._queue.append((self.local(), command))
                self._next_gate()
            case Broadcast(payload):
                self.world.mesh.broadcast(self.peer.letter, payload)
            case Claim(_, epoch, arriving):
                self.claims.add(SEGMENT, epoch, arriving=arriving)
                self._settle_claims(())
            case Release():
                self._settle_claims([self.peer.name] if self.claims.drop(SEGMENT.name) else ())
            case Announce(_, macs):
                frames = [(mac, (Output(GATEWAY),)) for mac in sorted(macs)]
                for at in REPEAT_AT_S:
                    self.later(at, self._announce, frames)
            case Prime(_, macs):
                known = [(mac, rules.hearsay()) for mac in sorted(macs)]
                self.later(0.0, self._send_frames, known, 0, lambda: True)
            case Introduce(to):
                if to not in self._introducing:
                    self._introducing.add(to)
                    for at in INTRODUCE_AT_S:
                        self.later(at + self.rng.uniform(0.001, 0.02), self._introduce, to)
                    self.later(INTRODUCE_LATE_S, self._introduce_late, to, self._mesh_changes)
            case ReadMacs():
                self.later(self.rng.uniform(0.001, 0.02), self._read_macs)
            case ForgetBehind(name, _):
                self.later(self.rng.uniform(0.0, 0.01), self._forget_behind, name)
            case Doubt(_, macs):
                self.moving.doubted(macs)
            case RememberRole(_, role):
                self.peer.role = role
            case TakeBack(_, _, wanted, why):
                self.world.note(f"{self.peer.letter} takes back {wanted}: {why}")
            case Report(_, _, entry):
                self.world.note(f"{self.peer.letter} {entry.state}: {entry.reason}")
                if entry.reason.startswith("yields to") and "by force" not in entry.reason:
                    self.world.look_at_yielding(self.peer.letter, entry)
                self.world.on_role()
            case _:
                raise TypeError(f"the simulator does not carry out {command}")

    def _next_gate(self):
        if self._sent is not None or not self._queue:
            return
        queued_at, command = self._queue.popleft()
        now = self.local()
        self._sent = sent = (command, now)
        if command.gate is not Gate.CLOSED and now - queued_at > STALE_S:
            self._answered(sent, f"it waited {now - queued_at:.1f} s: paused?")
        elif not self.is_ready:
            self._answered(sent, "the switch is not connected")
        else:
            to_s, back_s = self.peer.confirm_s()
            way = (self._connection, self.clock.now, back_s)
            self.clock.after(to_s, self._reach_switch, sent, *way)
            self._give_up = self.clock.after(ANSWER_TIMEOUT_S, self._no_answer, sent)

    def _no_answer(self, sent):
        if self._sent is sent:
            self.input(self._answered, sent, "no answer")

    def _reach_switch(self, sent, connection, at, back_s):
        if self._connection != connection or not self.peer.switch.is_up:
            return
        command, _ = sent
        if self.peer.is_refusing(sent):
            self.later(back_s, self._answered, sent, "refused")
            return
        permit_s = self.world.timers.permit_s
        flows, wanted = sim_flows.permits(self._gateway_port(), command.gate, permit_s)
        if isinstance(command, RenewGate):
            self.world.on_renewal(self.peer, at)
            self.peer.switch.apply(flows)
        else:
            forget = []
            if command.gate is Gate.CLOSED:
                forget = [(subject_cookie(Kind.PERMIT, GATEWAY), SUBJECT_MASK)]
            self.peer.switch.apply(flows, self._permits - wanted, forget)
            self._permits = wanted
        self.later(back_s, self._answered, sent, None)

    def _answered(self, sent, error):
        if self._sent is not sent:
            return
        self._sent = None
        self.clock.cancel(self._give_up)
        self._give_up = None
        command, sent_at = sent
        now = self.local()
        token = command.token if isinstance(command, SetGate) else None
        if error is not None:
            self.core.gate_failed(command.port, token, error, now)
        elif token is None:
            self.core.renewed(command.port, sent_at, now)
        else:
            self.core.gate_set(command.port, token, sent_at, now)
        self._next_gate()

    def _short_id_of(self, name):
        info = self.view.infos.get(name)
        return info.short_id if info else None

    def _forget_behind(self, name):
        ids = {self._short_id_of(name), self.segment_id()}
        self._forget([(subject_cookie(Kind.LEARNT_PEER, s), SUBJECT_MASK) for s in ids if s])

    def _forget(self, selectors):
        if selectors and self.is_ready:
            self.peer.switch.apply(forget=selectors)

    def _may_announce(self):
        return self.core.ports["gw0"].may_announce

    def _announce(self, frames):
        # A station that has just appeared on the segment would be cut off from it.
        here = [(mac, actions) for mac, actions in frames if not self.moving.is_away(mac)]
        self._send_frames(here, 0, self._may_announce)

    def _send_frames(self, frames, start, go_on, name="announcement"):
        for mac, actions in frames[start : start + BURST]:
            if not go_on():
                return
            if self.is_ready:
                self.world.packet_out(self.peer, mac, actions, name)
        if start + BURST < len(frames):
            self.later(PAUSE_S, self._send_frames, frames, start + BURST, go_on, name)

    def _introduce_late(self, to, mesh_changes):
        if self._mesh_changes != mesh_changes:
            self._introduce(to)

    def _introduce(self, to):
        self._introducing.discard(to)
        short_id = self._short_id_of(to)
        if short_id is None or not self.is_ready:
            return
        parsed = (
            (mac, parse(cookie))
            for (table, mac, _), (_, cookie) in self.peer.switch.tables.learnt.items()
            if table == "mac"
        )
        own = [mac for mac, (kind, _) in parsed if kind is Kind.LEARNT_PORT]
        actions = rules.introduction(self.peer.short_id, short_id)
        frames = [(mac.replace(":", ""), actions) for mac in sorted(own)]
        self._send_frames(frames, 0, lambda: True, "introduction")

    def _read_macs(self):
        if not self.is_ready:
            return
        known = {info.short_id for info in self.view.infos.values()}
        old = {self._short_id_of(name) for name in self.core.registry.lets_in()}
        learnt = self.peer.switch.tables.learnt
        places = []
        for (table, mac, priority), (_, cookie) in learnt.items():
            if table == "mac" and (priority != 10 or ("mac", mac, 20) not in learnt):
                kind, subject = parse(cookie)
                places.append(Learnt(mac.replace(":", ""), kind is Kind.LEARNT_PORT, subject))
        segments = {info.short_id for info in self.view.infos.values() if info.is_segment}
        found = reading.sort(places, self._gateway_port().short_id, known, old, segments)
        self.core.macs_read("gw0", found, self.local())

    # What the operator asks for.

    def set_role(self, role, force=False):
        try:
            self.core.set_role("gw0", role, self.local(), force=force)
        except NotReadyError as error:
            self.world.note(f"{self.peer.letter} refuses: {error}")
        else:
            self._wished(Intent(role, force))

    def drain(self):
        role = self.core.ports["gw0"].intent.role
        self.core.drain("gw0", self.local())
        self._wished(Intent(role, drained=True))

    def _wished(self, intent):
        self.world.note(f"{self.peer.letter} accepts {intent}")
        self.world.on_wish(self.peer.letter, self, intent)
        self.world.conditions_changed()

    @property
    def is_forced(self):
        return bool(self.core.ports) and self.core.ports["gw0"].intent.forced

    def hello(self, frame):
        """As an input of the process; but nothing follows from it at once, nor is a timer due."""
        if self.is_paused or self.is_dead or self._timer_at is None:
            self.input(self._hello, frame)
        else:
            self._hello(frame)

    def _hello(self, frame):
        if self.is_ready:
            try:
                self.core.hello("gw0", frame, self.local())
            except RemoteProtocolError:
                self.world.sometimes["hello refused"] += 1
            if self.clock.now >= self._sees_hellos_at:
                self._sees_hellos_at = self.clock.now + LOOK_S
                self._look_at_hellos()

    def _look_at_hellos(self):
        if self._is_somebody_silent():
            others = self.core.others("vlan", self.local())
            if any(other.judgement.verdict is Verdict.ELSEWHERE for other in others):
                self.world.sometimes["known to live by its hello alone"] += 1

    def _is_somebody_silent(self):
        before = self.local() - self.world.timers.silent_s + 0.001
        return any(signs.heard_at < before for signs in self.core.lookout.signs.values())

    def shut_down(self):
        self.core.shut_down(self.local())

    # What happens to it.

    def switch_connected(self):
        if not self.peer.switch.is_up or self.is_ready:
            return
        self._installed = self._last_wanted = None
        self.program()

    def switch_lost(self):
        self.is_ready = False
        self._installed = self._last_wanted = None
        self._permits = set()
        self._connection += 1
        if self._sent is not None:
            self._answered(self._sent, "the connection to the switch was lost")
        self.ports_changed()

    def ports_changed(self):
        carrier = {"gw0": self.peer.has_carrier} if self.peer.spec is not None else {}
        self.core.switch_state(self.is_ready, carrier, self.local())

    def bfd(self, name, state):
        if self._bfd.get(name) is not state:
            self._bfd[name] = state
            self.core.bfd(name, Bfd.UP if state else Bfd.DOWN, self.local())

    def connected(self, other):
        self.world.mesh.neighbour_gossip(self.peer.letter, self._state(), only=other)
        self.world.mesh.tell_table(self.peer.letter, other, tuple(self.peers))
        self.topology_changed()

    def topology_news(self, teller, entries, goes_on):
        """Entries of peers, as `Core.merge` takes them in.

        Args:
            teller: who has told them.
            entries: as they were told.
            goes_on: whether the mesh brings them to all others.
        """
        result = self.peers.merge(entries)
        names = {*result.delta, *([self.peer.name] if result.old_life else ())}
        if result.outdated:  # corrected, as in `mesh/inbox.py`
            better = tuple(self.peers.select(result.outdated))
            self.world.mesh.tell_teller(self.peer.letter, teller, better)
        for name in result.unknown:
            self._ask_for(name)
        self._settle_claims(())
        if names and not (goes_on and set(result.delta) == {e.name for e in entries}):
            self._tell_topology(names & self.peers.names)
        if names:
            self.changed()

    def _settle_claims(self, names):
        names = {*names, *self.claims.settle()}
        if names:
            self.moves += 1
            if self.moves > MAX_MOVES:
                self.world.storms(self.peer.letter, f"claimed or let go {self.moves} times")
            self._tell_topology(names)
            self.changed()

    def _ask_for(self, name):
        """Whoever speaks of a peer that is not known here is asked, as in `mesh/inbox.py`."""
        letter_of = self.world.letter_of
        naming = {name, *(entry.name for entry in self.peers if name in entry.connections)}
        for there in sorted(letter_of[x] for x in naming if x in letter_of):
            self.world.mesh.ask_for_entry(self.peer.letter, there, name)

    def asked_for(self, source, name):
        """A neighbour does not know a peer."""
        if name in self.peers and not self.peers[name].is_placeholder:
            self.world.mesh.tell_table(self.peer.letter, source, (self.peers[name],))

    def _tell_topology(self, names):
        entries = tuple(self.peers.select(names))
        self.world.mesh.broadcast(self.peer.letter, entries, "topology")

    def heard(self, source, payload):
        """A message straight from another gateway; most are leases that say nothing new."""
        if self.is_dead:
            return
        if self._last_heard.get(source) is payload:
            now = self._offset + self._rate * self.clock.now
            self.core.received(self.world.name_of[source], payload, True, now)
        else:
            self._last_heard[source] = payload
            self.gossip(source, payload, "unicast")
            self.pump()

    def gossip(self, source, payload, kind):
        name = self.world.peers[source].name
        self.core.received(name, payload, kind != "neighbour", self.local())
        registry = self.core.registry
        if kind == "neighbour":
            state = self._state()
            if state != self._last_relayed:
                self._last_relayed = state
                self.world.mesh.neighbour_gossip(self.peer.letter, state, exclude=source)
            told = {record.name for record in decode(payload).records}
            if any(record.name not in told for record in registry.records()):
                self.world.mesh.tell(self.peer.letter, source, state)
        if self._layout != registry.layout:
            self._layout = registry.layout
            self.changed()

    # Flows (`shell/forwarder.py`).

    def topology_changed(self):
        self.changed()

    def changed(self):
        if self._programming is None and self.is_ready:
            wait_s = self.rng.uniform(0.001, 0.01)
            self._programming = self.clock.after(wait_s, self.input, self._program_now)

    def _program_now(self):
        self._programming = None
        self.program()

    def observe(self):
        """`Daemon._wanted`: what the mesh says, as the coordinator sees it."""
        world, letter = self.world, self.peer.letter
        component = world.mesh.component(letter)
        segment = self._look_at_segment({world.name_of[x] for x in component[0]})
        found = component, segment
        held_until = self.view.deadline()
        if found == self._observed and held_until is None:
            return
        beside = world.mesh.neighbours(letter)
        if found != self._observed or held_until <= self.local():
            self._observed = found
            graph, infos = world.mesh.as_told(component, segment)
            underlays = {world.name_of[x]: self.peer.underlays[x] for x in beside}
            self.view.observe(graph, infos, underlays, self.local())
        present = frozenset(self.view.infos) - {SEGMENT.name}
        left, joined = self._known - present, present - self._known
        self._known = present
        if left:
            self.core.peers_left(left)
            self._last_heard.clear()
        if joined:
            self._is_asking, is_asking = True, self._is_asking
        if joined and not is_asking:
            self.later(ASK_DELAY_S, self._ask)
        self._mesh_changes += len(beside) != self.core.peer_count
        self.core.mesh_state(len(beside), self.local())
        deadline = self.view.deadline()
        if deadline is not None:
            at = (deadline - self._offset) / self._rate
            self.clock.at(at + 0.05, self.input, self.changed)

    def _look_at_segment(self, reachable):
        """What the topology says of it; who cannot be reached is collected."""
        keep = reachable | {far for n in reachable & self.peers.names for far in self._edges_of(n)}
        if self.peers.names - keep:
            self.peers.collect(keep)
            self._settle_claims(())
        for name in sorted(reachable - self.peers.names):
            self._ask_for(name)
        entry = self.peers.get(SEGMENT.name)
        if entry is None or entry.is_placeholder:
            return None
        home = entry.owner
        is_mutual = home in reachable & self.peers.names and SEGMENT.name in self._edges_of(home)
        return entry, home if is_mutual else None

    def _edges_of(self, name):
        return self.peers[name].connections.keys()

    def _gateway_port(self):
        return sim_flows.gateway_port(self.segment_id(), self.core.is_peer("vlan"))

    def _home_or_not(self, port):
        return replace(port, is_home=SEGMENT.name in self.peers.own.connections)

    def segment_id(self):
        """The segment's short id, as the mesh knows it, or as it would be claimed with."""
        entry = self.peers.get(SEGMENT.name)
        return SEGMENT.short_id if entry is None or entry.is_placeholder else entry.short_id

    def _ask(self):
        self._is_asking = False
        self.world.mesh.neighbour_gossip(self.peer.letter, self._state())

    def _state(self):
        """All that is known of gateways, as it is told to neighbours."""
        registry = self.core.registry
        if self._encoded[0] != registry.changes:
            self._encoded = registry.changes, encode(registry.records())
        return self._encoded[1]

    def program(self):
        """Make the flows as they should be, as one change."""
        self.observe()
        switch = self.peer.switch
        if not switch.is_up:
            return
        is_fresh = self._installed is None and self._last_wanted is None
        if is_fresh:
            flows = [i.flow for i in switch.flows.values() if not i.flow.is_permit]
            self._installed = {sim_flows.place(flow) for flow in flows}
            if self._inherited is None:
                parsed = (parse(flow.cookie) for flow in flows)
                self._inherited = frozenset(s for k, s in parsed if k is Kind.NEIGHBOUR)
                trees = (parse(flow.cookie) for flow in flows if flow.table == "reverse_path")
                self._came_from = frozenset(subject for _, subject in trees)
        (component, segment), former = self._observed, tuple(self.view.former().items())
        where = None if segment is None else (segment[0].short_id, segment[1])
        mesh_key = (component, where, tuple(self.view.held()), former)
        port = None if self.peer.spec is None else self._home_or_not(self._gateway_port())
        lets_in = tuple(sorted(self.core.registry.lets_in()))
        wanted = sim_flows.wanted(self.view, self.peer, mesh_key, port, lets_in)
        present = {int(hop.short_id) for hop in wanted.state.neighbours}
        is_of_before = is_fresh and self.peer.programmed_by not in (None, type(self))
        if is_of_before:
            self._settled_at = self.clock.now  # flows of another version do not stay
        self.peer.programmed_by = type(self)
        has_moved = port is not None and port.is_home and port.short_id in self._came_from
        is_late = self.clock.now >= self._settled_at
        is_settled = is_late or has_moved or self._inherited <= present
        if is_settled:
            self._settled_at = self.clock.now
        elif is_fresh:
            self.clock.at(self._settled_at, self.input, self.changed)
        if is_fresh or not is_settled or wanted is not self._last_wanted:
            self._install(wanted, is_settled)
            if is_settled:
                self._last_wanted, self._installed = wanted, None  # the same flows
                self._forget_changed(wanted.state)
        if is_fresh:
            self.is_ready = True
            if is_of_before:
                kinds = (Kind.LEARNT_PEER, Kind.LEARNT_PORT)
                learnt = [(subject_cookie(kind, 0), cookies.KIND_MASK) for kind in kinds]
                self._forget(learnt)
                self.later(FORGET_AGAIN_AFTER_S, self._forget, learnt)
            self.ports_changed()
        companions = self.core.companions()
        if companions != self._companions:
            self._companions = companions
            self.later(self.rng.uniform(0.02, 0.3), self._read_bfd)

    def _read_bfd(self):
        """The sessions may be there already, and nothing in the database change."""
        for name, state in self.world.bfd_of(self.peer.letter):
            self.bfd(name, state)

    def _install(self, wanted, is_settled):
        """As `diff.plan`, which is too slow for thousands of schedules; `test_sim.py` compares."""
        if is_settled and self._last_wanted is not None:  # all of which is installed
            add, stale = wanted.since(self._last_wanted)
            if add or stale:
                self.peer.switch.apply(add, stale)
            return
        flows = wanted.flows if is_settled else wanted.frame
        stale = self._installed - flows.keys()
        kept = set()
        if not is_settled:
            kept = {key for key in stale if key >> 48 & 0xFF in OF_THE_MESH}
        add = [flow for key, flow in flows.items() if key not in self._installed]
        if add or stale - kept:
            self.peer.switch.apply(add, stale - kept)
        self._installed = flows.keys() | kept

    def _forget_changed(self, state):
        present = {peer.short_id: (peer.is_segment, peer.lets_in) for peer in state.peers}
        stale = {sid for sid, before in self._kinds.items() if present.get(sid) != before}
        self._kinds = present
        if stale:
            selectors = [(subject_cookie(Kind.LEARNT_PEER, s), SUBJECT_MASK) for s in sorted(stale)]
            self._forget(selectors)
            self.later(FORGET_AGAIN_AFTER_S, self._forget, selectors)


class OldDaemon(SimDaemon):
    """A gateway of before segments were peers, as far as the others notice.

    It says nothing of peering and claims nothing; what it lets in carries its own short id, and it
    takes all other gateways for such as itself.
    """

    def __init__(self, world, peer, incarnation):
        super().__init__(world, peer, incarnation)
        registry = self.core.registry
        registry.is_peer = lambda _segment: False
        registry.lets_in = lambda: {
            record.name: record.segments()
            for record in registry.records()
            if record.name != peer.name and record.ports
        }
        for port in self.core.ports.values():
            port.record = partial(self._as_before, port.record)
            port.hand_overs = OldHandOvers(port, port.hand_overs.emit)

    @staticmethod
    def _as_before(record, now):
        return replace(record(now), peering=Peering.UNKNOWN)


class OldHandOvers(HandOvers):
    """It takes a role over from whoever hands it over."""

    def _prepare(self, source, epoch, now):
        registry = self.port.around.registry
        is_peer, registry.is_peer = registry.is_peer, lambda _segment: True
        super()._prepare(source, epoch, now)
        registry.is_peer = is_peer
