"""Peers that send probes on wires and tell each other through a mesh; time goes by hand."""

import itertools

from weave_ryu.gateway.joint import Kind, Place
from weave_ryu.gateway.records import GatewayRecord, PortRecord
from weave_ryu.gateway.registry import Registry
from weave_ryu.gateway.wiring import Found, Mended, Send, SendProbe, Wiring
from weave_ryu.names import PeerName

STEP_S = 0.05


class WiredPeer:
    def __init__(self, world, letter, ports, password):
        self.name = PeerName(ord(letter))
        self.ports = ports
        self.registry = Registry(self.name, 1, 1)
        self.wiring = Wiring(
            self.registry, ports, password, lambda: next(world.nonces).to_bytes(8, "big"), self.lets
        )
        self.states = dict.fromkeys(ports, "standby")
        self.options = {}
        self.old = set()
        """Peers, by letter, that let the segment `vlan` in without being asked."""

    def lets(self, peer, segment):
        return segment == "vlan" and chr(peer) in self.old

    def record(self, sequence):
        ports = tuple(
            PortRecord(segment, port, self.states[port], 1, **self.options)
            for port, segment in sorted(self.ports.items())
        )
        return GatewayRecord(self.name, 1, sequence, ports)


class WiringWorld:
    """Peers by letter → their gateway ports and segments; a plain peer has none.

    Attributes:
        wires: sets of places on one wire: ``"A gw0"`` is a gateway port, ``"X c1"`` a container's,
            ``"W"`` one of a router that lets everything in and knows no probes.
        cut: letters of peers that the mesh does not reach.
        troubles, closed: as each peer sees it, by letter.
    """

    def __init__(self, password=b"secret", **peers):
        self.nonces = itertools.count(1)
        self.now = 100.0
        self.wires = []
        self.cut = set()
        self.messages = []
        self.log = []
        self.probes = []
        self.sequence = itertools.count(2)
        self.peers = {x: WiredPeer(self, x, ports, password) for x, ports in peers.items()}
        self.tell_records()
        for peer in self.peers.values():
            peer.wiring.links(peer.ports, self.now)

    def tell_records(self):
        number = next(self.sequence)
        for peer in self.peers.values():
            for other in self.peers.values():
                if other is peer:
                    other.registry.set_own(peer.record(number).ports)
                elif peer.ports:
                    other.registry.merge([peer.record(number)])

    def set(self, end, state=None, **options):
        letter, port = end.split()
        if state is not None:
            self.peers[letter].states[port] = state
        self.peers[letter].options |= options
        self.tell_records()

    def run(self, seconds, then=lambda: None):
        until = self.now + seconds
        while self.now < until:
            self.now += STEP_S
            self.step()
            then()

    def step(self):
        messages, self.messages = self.messages, []
        for source, to, payload in messages:
            if to in self.peers and not {source, to} & self.cut:
                self.peers[to].wiring.received(PeerName(ord(source)), payload, self.now)
        for letter, peer in self.peers.items():
            due_at = peer.wiring.deadline()
            if due_at is not None and due_at <= self.now:
                peer.wiring.handle_timer(self.now)
            self.drain(letter)

    def drain(self, letter):
        for command in self.peers[letter].wiring.poll_commands():
            match command:
                case SendProbe(port, frame):
                    self.probes.append((self.now, f"{letter} {port}", frame))
                    self.carry(f"{letter} {port}", frame)
                case Send(to, payload):
                    self.messages.append((letter, chr(to), payload))
                case Found(joint) | Mended(joint):
                    self.log.append((type(command).__name__, letter, joint.text()))

    def carry(self, sender, frame):
        for wire in self.wires:
            for place in wire if sender in wire else ():
                if place != sender:
                    self.arrive(place, frame)

    def arrive(self, place, frame):
        letter, _, port = place.partition(" ")
        if not port:
            router = Place(Kind.MESH, str(PeerName(ord(letter))))
            for hearer in self.peers:
                self.hear(hearer, router, frame)
            return
        segment = self.peers[letter].ports.get(port)
        where = Place(Kind.PORT, port) if segment is None else Place(Kind.SEGMENT, port, segment)
        self.hear(letter, where, frame)

    def hear(self, letter, place, frame):
        self.peers[letter].wiring.heard(place, frame, self.now)

    def troubles(self, letter):
        return self.peers[letter].wiring.troubles(self.now)

    def closed(self, letter):
        return self.peers[letter].wiring.closed(self.now)

    @property
    def is_calm(self):
        return not any(self.troubles(x) or self.closed(x) for x in self.peers)
