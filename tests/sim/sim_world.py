"""The world: peers with switches and daemons, one segment, and frames on their way.

Every copy of a frame carries the crossings that it has made between the mesh and the segment, so a
loop is seen at the copy that makes it, whoever else has a copy.
"""

from __future__ import annotations

import random
import zlib
from collections import Counter, deque
from dataclasses import dataclass, field

from sim_clock import Clock
from sim_daemon import OldDaemon, SimDaemon
from sim_flows import CONTAINER, CONTAINER_2, GATEWAY, TUNNEL
from sim_mesh import Mesh
from sim_switch import LAPSE_S, SimSwitch
from sim_tables import CONTROLLER

from weave_ryu.gateway.role import Role
from weave_ryu.gateway.surroundings import PortSpec
from weave_ryu.gateway.timers import PROFILES
from weave_ryu.names import PeerName, ShortId
from weave_ryu.shell.coordinator import Underlay

BROADCAST = "ff:ff:ff:ff:ff:ff"
RARP = 1
"""Kind of an announcement: the cache of Open vSwitch always looks at the EtherType."""
HOP_S = 0.00005
SHOWN_S = 0.001
MAX_COPIES = 400
"""More copies than this of one frame are a loop."""
LOSS = 0.1
"""Share of frames that a lossy connection loses, and again doubles, and delays."""
REFUSED = 0.3
"""Share of flow-mods that a switch in trouble refuses or never answers."""


class InvariantBroken(AssertionError):
    """What DESIGN section 2 promises does not hold."""

    def __init__(self, name, detail, at):
        super().__init__(f"{name} at {at:.3f} s: {detail}")
        self.name, self.detail, self.at = name, detail, at

    def __reduce__(self):
        """Failures of other processes come as pickles."""
        return type(self), (self.name, self.detail, self.at)


@dataclass
class Options:
    """What a world is made of; drawn from the seed, or given by a test."""

    gateways: str = "AB"
    plain: str = "WX"
    links: list | None = None
    hosts: int = 2
    profile: str = "default"
    priorities: dict = field(default_factory=dict)
    roles: dict = field(default_factory=dict)
    preempt: bool = False
    preempt_delay_s: float = 1.0
    hello: bool = False
    message_delay_s: tuple = (0.001, 0.005)
    broadcast_delay_s: float = 0.0
    confirm_s: tuple = (0.0005, 0.01)
    revalidate_s: float = 0.003
    lag_s: float = 0.05
    drift: float = 0.0
    """How much faster or slower than real time the daemons' clocks may run."""
    old: str = ""
    """Gateways whose daemon does not know segments as peers, until a fault "upgrade"."""


class Flight:
    """One frame, in all its copies."""

    __slots__ = ("copies", "dst", "kind", "path", "received", "sender", "sent_at", "src", "stream")

    def __init__(self, stream, src, dst, sender, sent_at, kind=0):
        self.stream, self.src, self.dst = stream, src, dst
        self.sender, self.sent_at, self.kind = sender, sent_at, kind
        self.copies = 0
        self.received = {}
        self.path = []


class SimPeer:
    """A host of the mesh."""

    def __init__(self, world, letter, index):
        options = world.options
        self.world, self.letter = world, letter
        self.name = PeerName(0x7A0000000000 + ord(letter))
        self.short_id = ShortId(100 + index)
        self.address = f"10.99.0.{index + 1}"
        self.is_gateway = letter in options.gateways
        self.role = Role(options.roles.get(letter, "auto"))
        self.spec = self.spec_now() if self.is_gateway else None
        self.has_power = True
        self.has_carrier = True
        self.clock_error_s = 0.0
        self.incarnations = 0
        self.daemon_kind = OldDaemon if letter in options.old else SimDaemon
        self.programmed_by = None
        self.slow_until = self.refuses_until = 0.0
        self.daemon = None
        self.underlays = {}
        self.opened_at = None
        self.closed_at = float("-inf")
        self.died_forced = False
        self.switch = SimSwitch(
            world.clock,
            world.rng,
            options.revalidate_s,
            options.lag_s,
            self._gate_changed,
        )

    def spec_now(self):
        options = self.world.options
        return PortSpec(
            "gw0",
            "vlan",
            self.role,
            options.priorities.get(self.letter, 100),
            options.preempt,
            options.preempt_delay_s,
            options.hello,
        )

    def confirm_s(self):
        """How long a command needs to the switch, and its answer back."""
        rng, (low, high) = self.world.rng, self.world.options.confirm_s
        if self.world.clock.now < self.slow_until:
            low, high = 0.1, 0.6
        total = low + (high - low) * rng.random()
        there = rng.uniform(0.2, 0.9) * total
        return there, total - there

    def is_refusing(self, _sent):
        """The switch answers this bundle with an error, and takes nothing of it over."""
        world = self.world
        return world.clock.now < self.refuses_until and world.rng.random() < REFUSED

    def start_daemon(self):
        if self.daemon is None and self.has_power:
            self.incarnations += 1
            incarnation = self.incarnations << 32 | self.short_id
            self.daemon = self.daemon_kind(self.world, self, incarnation)
            self.world.mesh.begins(self.letter)
            self.daemon.start()
            self.world.conditions_changed()

    @property
    def is_forced(self):
        """An operator insists; one that died so is open until its permits have run out."""
        return self.died_forced if self.daemon is None else self.daemon.is_forced

    def kill_daemon(self):
        if self.daemon is not None:
            self.died_forced = self.daemon.is_forced
            self.daemon.is_dead = True
            self.daemon = None
            self.world.conditions_changed()
            self.world.mesh.look_around(self.letter)

    def crash_switch(self):
        if self.switch.is_up:
            self.switch.crash()
            if self.daemon is not None:
                self.daemon.input(self.daemon.switch_lost)
            self.world.look_at_bfd()

    def restart_switch(self):
        if not self.switch.is_up and self.has_power:
            self.switch.restart()
            self.reconnect(1.5)
            self.world.look_at_bfd()

    def disconnect(self):
        """The daemon and its switch lose each other; both live, and the flows stay."""
        if self.daemon is not None:
            self.daemon.input(self.daemon.switch_lost)

    def reconnect(self, within_s=0.5):
        if self.daemon is not None:
            daemon, wait_s = self.daemon, self.world.rng.uniform(0.05, within_s)
            self.world.clock.after(wait_s, daemon.input, daemon.switch_connected)

    def lose_power(self):
        self.has_power = False
        self.crash_switch()
        self.kill_daemon()
        self.set_carrier(False)

    def set_carrier(self, is_up):
        if self.has_carrier != is_up:
            self.has_carrier = is_up
            self.world.segment.port_changed(self.letter)
            self.world.gates_changed()
            if self.daemon is not None:
                wait_s = self.world.rng.uniform(0.001, 0.02)
                self.world.clock.after(wait_s, self._tell_carrier, self.daemon)

    def _tell_carrier(self, daemon):
        daemon.input(daemon.ports_changed)

    def _gate_changed(self):
        is_open = self.switch.is_open
        if is_open != (self.opened_at is not None):
            self.opened_at = self.world.clock.now if is_open else None
            if not is_open:
                self.closed_at = self.world.clock.now
            self.world.gates_changed()


class Segment:
    """A learning switch with hosts and gateway ports; link and port failures flush."""

    def __init__(self, world):
        self.world = world
        self.fdb = {}

    def port_changed(self, letter):
        self.fdb = {mac: port for mac, port in self.fdb.items() if port != letter}

    def say_hello(self, letter, frame):
        """Every bridge floods the group address; both gates let it pass, and no mesh sees it."""
        world = self.world
        if not world.peers[letter].has_carrier:
            return
        for other in world.options.gateways:
            peer = world.peers[other]
            if other != letter and peer.has_carrier and peer.switch.is_up and peer.daemon:
                wait_s = 0.0002 + 0.002 * world.rng.random()
                world.clock.after(wait_s, peer.daemon.hello, frame)

    def place_of(self, mac):
        """Where it sends what is for a MAC of 12 hex digits."""
        return self.fdb.get(":".join(mac[at : at + 2] for at in range(0, 12, 2)))

    def enter(self, port, flight, way):
        """A frame comes from a host or a gateway."""
        world = self.world
        self.fdb[flight.src] = port
        known = self.fdb.get(flight.dst)
        for other in world.taps:
            if other == port or (known is not None and known != other):
                continue
            peer = world.peers.get(other)
            if peer is None:
                world.deliver(other, flight, way)
            elif peer.has_carrier:
                world.clock.after(HOP_S, world.at_switch, peer, GATEWAY, flight, way)


class World:
    """Everything, under one clock and one random generator."""

    def __init__(self, options, seed):
        self.options = options
        self.clock = Clock()
        self.rng = random.Random(seed)
        self.timers = PROFILES[options.profile].check()
        self.message_delay_s = options.message_delay_s
        self.broadcast_delay_s = options.broadcast_delay_s
        self.log = deque(maxlen=4000)
        self.digest = 0
        self.is_tracing = False
        self.sometimes = Counter()
        self.hosts = [f"Host{n + 1}" for n in range(options.hosts)]
        self.letters = "".join(sorted(options.gateways + options.plain))
        self.segment = Segment(self)
        self.taps = [*self.hosts, *options.gateways]
        self.overlaps = []
        self.moved_at = {}
        self.open_gateways = []
        self._open_since = 0.0
        self.on_event = lambda: None
        self.on_role = lambda: None
        self.events = 0
        self.conditions_changed = lambda: None
        self.on_wish = lambda *_: None
        self.on_renewal = lambda peer, sent_at: None
        self.peers = {x: SimPeer(self, x, index) for index, x in enumerate(self.letters)}
        for peer in self.peers.values():
            peer.underlays = {
                x: Underlay(other.address, peer.address, 6784) for x, other in self.peers.items()
            }
        self.name_of = {peer.letter: peer.name for peer in self.peers.values()}
        self.letter_of = {peer.name: peer.letter for peer in self.peers.values()}
        self.pairs = options.links or [(a, b) for a in self.letters for b in self.letters if a < b]
        self.mesh = Mesh(self, self.pairs)
        self._underlay = {
            x: {peer.address: (self.mesh.edge(x, y), peer) for y, peer in self.peers.items()}
            for x in self.letters
        }
        self.bfd_false = set()
        self._bfd_timers = {}
        self._bfd_states = {}
        self.macs = {}
        self.ports = {}
        for letter in self.letters:
            self._plug(f"{letter}-c1", letter, CONTAINER)
            if letter in options.gateways:
                self._plug(f"{letter}-c2", letter, CONTAINER_2)
        for number, host in enumerate(self.hosts):
            self.macs[host] = f"02:00:00:00:99:{number:02x}"
        self.stations = sorted(self.macs)
        self.station_of = {place: station for station, place in self.ports.items()}

    def _plug(self, station, letter, port):
        self.macs[station] = f"02:00:00:00:{port:02x}:{ord(letter):02x}"
        self.ports[station] = (letter, port)

    def note(self, text):
        self.events += 1
        self.log.append((self.clock.now, text))
        self.digest = zlib.crc32(f"{self.clock.now:.6f} {text}".encode(), self.digest)
        self.on_event()

    def start(self):
        for peer in self.peers.values():
            peer.start_daemon()
        self.mesh.start()
        self.look_at_bfd()

    def dismantle(self):
        """Let go of everything, so that no collector has to find it."""
        self.clock.clear()
        for peer in self.peers.values():
            if peer.daemon is not None:
                for port in peer.daemon.core.ports.values():
                    vars(port).clear()
                vars(peer.daemon.core).clear()
                vars(peer.daemon).clear()
            vars(peer.switch).clear()
            vars(peer).clear()
        vars(self.mesh).clear()
        vars(self).clear()

    # Stations.

    def move(self, station, letter):
        """A container, or a host of the segment, turns up at a peer with its MAC.

        It takes the peer's second container port, on which nobody else is then.
        """
        self.moved_at[station] = self.clock.now
        if station in self.ports:
            del self.station_of[self.ports[station]]
        else:
            self.taps.remove(station)
        self.ports[station] = (letter, CONTAINER_2)
        self.station_of[letter, CONTAINER_2] = station

    def is_up(self, letter):
        return self.peers[letter].has_power and self.peers[letter].switch.is_up

    def is_free(self, letter):
        return (letter, CONTAINER_2) not in self.station_of

    # Frames.

    def send(self, stream, sender, dst):
        flight = Flight(stream, self.macs[sender], dst, sender, self.clock.now)
        place = self.ports.get(sender)
        if place is None:
            self.segment.enter(sender, flight, ())
        elif self.peers[place[0]].has_power:
            self.at_switch(self.peers[place[0]], place[1], flight, ())
        return flight

    def packet_out(self, peer, mac, actions, name="announcement"):
        text = ":".join(mac[i : i + 2] for i in range(0, 12, 2))
        flight = Flight(name, text, BROADCAST, "", self.clock.now, RARP)
        self._leave(peer, flight, (), peer.switch.packet_out(text, actions))

    def at_switch(self, peer, port, flight, way, tun_src="0.0.0.0", tun_id=0):
        if port == GATEWAY and not peer.has_carrier:
            return
        sent = peer.switch.send(port, flight.src, flight.dst, tun_src, tun_id, flight.kind)
        if self.is_tracing:
            flight.path.append((self.clock.now, peer.letter, port, tun_src, sent))
        for copy in sent:
            if copy.origin and flight.kind != RARP and peer.daemon is not None:
                seen = peer.daemon.moving.seen, port, flight.src, copy.origin
                self.clock.after(SHOWN_S, peer.daemon.input, *seen)
        if not sent:
            return
        if port == GATEWAY:
            if peer.switch.is_silent and any(copy.port != CONTROLLER for copy in sent):
                self._broken("standby_silent", f"{peer.letter} lets in a frame of {flight.src}")
            # Two parts of a mesh may be joined by the segment: out by one gateway, in by another.
            if len(way) > 1 or way == (f"out {peer.letter}",):
                way = (*way, f"in {peer.letter}")
                self._broken("no_loop", f"frame of {flight.sender} went {way}")
            way = (*way, f"in {peer.letter}")
        self._leave(peer, flight, way, sent)

    def _leave(self, peer, flight, way, sent):
        flight.copies += len(sent)
        if flight.copies > MAX_COPIES:
            self._broken("no_loop", f"{flight.copies} copies of one frame of {flight.sender}")
        underlay = self._underlay[peer.letter]
        for copy in sent:
            port = copy.port
            if port == TUNNEL:
                # Through the underlay to a neighbour.
                edge, target = underlay[copy.tun_dst]
                if edge is None or (edge.deaf and peer.letter in edge.deaf):
                    continue
                arrive = (self.at_switch, target, TUNNEL, flight, way, peer.address, copy.tun_id)
                if edge.is_lossy:
                    self._cross_lossy(edge, arrive)
                else:
                    self.clock.after(edge.latency_s, *arrive)
            elif port == GATEWAY:
                if peer.has_carrier:
                    self._out(peer, flight, way)
            else:
                station = self.station_of.get((peer.letter, port))
                if station is not None:
                    self.deliver(station, flight, way)

    def _cross_lossy(self, edge, arrive):
        rng = self.rng
        for _ in range(2 if rng.random() < LOSS else 1):
            late_s = rng.uniform(0.0, 0.1) if rng.random() < LOSS else 0.0
            if rng.random() >= LOSS:
                self.clock.after(edge.latency_s + late_s, *arrive)

    def _out(self, peer, flight, way):
        if peer.switch.is_silent and flight.stream != "announcement":
            self._broken("standby_silent", f"{peer.letter} lets out a frame of {flight.src}")
        if flight.stream == "announcement" and not way:
            self.clock.after(HOP_S, self.segment.enter, peer.letter, flight, ())
            return
        if way or flight.sender in self.taps:
            way = (*way, f"out {peer.letter}")
            self._broken("no_loop", f"frame of {flight.sender} went {way}")
        way = (f"out {peer.letter}",)
        self.clock.after(HOP_S, self.segment.enter, peer.letter, flight, way)

    def deliver(self, station, flight, way):
        if station == flight.sender:
            if not self._may_be_new(station) or station in flight.received:
                self._broken("no_loop", f"a frame came back to its sender {station}: {way}")
            self.sometimes["first frame at a new place comes back once"] += 1
        flight.received[station] = flight.received.get(station, 0) + 1

    def _may_be_new(self, station):
        """Whether a second gateway may not know yet that a station has moved to the mesh.

        While two forward, the first frame from the new place comes to the second one by the segment
        as soon as by the mesh; its switch still has an answer for that MAC there.
        """
        since = self.clock.now - LAPSE_S
        two_were_open = len(self.open_gateways) > 1 or (
            self.overlaps and self.overlaps[-1][1] > since
        )
        return bool(two_were_open) and self.moved_at.get(station, since) > since

    def storms(self, letter, detail):
        """What would never end is ended here."""
        self._broken("no_storm", f"{letter}: {detail}")

    def _broken(self, name, detail):
        raise InvariantBroken(name, detail, self.clock.now)

    # Gates.

    def look_at_yielding(self, letter, entry):
        """Of two that forward, the one that was there first goes: the other had a reason."""
        epoch = int(entry.reason.rsplit(" ", 1)[1])
        if entry.epoch > epoch:
            self._broken("one_forwarder", f"{letter} of epoch {entry.epoch} {entry.reason}")

    def gates_changed(self):
        """Note how long two or more gates of the segment are open at once."""
        before = self.open_gateways
        self.open_gateways = [
            x
            for x, peer in self.peers.items()
            if peer.is_gateway and peer.opened_at is not None and peer.has_carrier
        ]
        if self.open_gateways == before:
            return
        if len(before) > 1 and self.clock.now > self._open_since:
            self.overlaps.append((self._open_since, self.clock.now, before))
        self._open_since = self.clock.now
        self.on_event()
        self.conditions_changed()

    # BFD between gateways that are direct neighbours.

    def look_at_bfd(self):
        interval_s = self.timers.bfd_interval_ms / 1000
        gateways = self.options.gateways
        for a in gateways:
            for b in gateways:
                edge = self.mesh.edge(a, b) if a < b else None
                if edge is None:
                    continue
                # BFD says "up" only if both directions work (RFC 5880, 6.8.6).
                is_up = (
                    not edge.deaf
                    and (a, b) not in self.bfd_false
                    and self.peers[a].switch.is_up
                    and self.peers[b].switch.is_up
                )
                old = self._bfd_timers.get((a, b))
                if old is not None and old[1] == is_up:
                    continue
                if old is not None:
                    self.clock.cancel(old[0])
                low, high = (0.2, 1.5) if is_up else (2 * interval_s, 3.5 * interval_s)
                timer = self.clock.after(self.rng.uniform(low, high), self._bfd, a, b, is_up)
                self._bfd_timers[a, b] = (timer, is_up)

    def bfd_of(self, letter):
        """Other end and state of a peer's sessions."""
        for (a, b), is_up in self._bfd_states.items():
            if letter in (a, b):
                yield self.name_of[b if letter == a else a], is_up

    def _bfd(self, a, b, is_up):
        self._bfd_states[a, b] = is_up
        for one, other in ((a, b), (b, a)):
            daemon = self.peers[one].daemon
            if daemon is not None and self.peers[one].switch.is_up:
                daemon.input(daemon.bfd, self.peers[other].name, is_up)
