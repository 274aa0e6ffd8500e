"""Several switches with real routes between them: carries frames through a whole modelled mesh."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, replace

from table_model import CONTROLLER, Frame, TableModel

from weave_ryu.gate import Gate
from weave_ryu.gateway.records import Peering
from weave_ryu.mesh.routes import Graph
from weave_ryu.names import PeerName, ShortId
from weave_ryu.pipeline import rules
from weave_ryu.pipeline.state import GatewayPort, LocalPort
from weave_ryu.shell.coordinator import (
    BridgePorts,
    ForwardingView,
    PeerInfo,
    Underlay,
    forwarding_state,
)

TUNNEL, CONTAINER, GATEWAY = 1, 2, 3
SEGMENT, SEGMENT_ID = PeerName(0x020000005E61), ShortId(0x513)
BROADCAST = "ff:ff:ff:ff:ff:ff"
MAX_HOPS = 2000
"""More copies than this of one frame are a loop."""


@dataclass(frozen=True)
class Delivery:
    """One copy that reached a station: a container `W-c1`, or a host of the segment."""

    station: str


class OverlayModel:
    """Peers A to Z by letter; each has one container `X-c1`; gateways share one segment.

    Args:
        links: pairs of letters with an established connection.
        gateways: letters of peers with a port on segment `vlan`.
        active: those whose gate is open.
        hosts: stations on the segment.

    Attributes:
        home: letter of the gateway that the segment is connected to in the topology.
        former: where it was a moment ago.
        is_arriving: its broadcasts still come by the gateway of before.
        gates: other gates than open ones, by letter.
        peering: what the gateways say of themselves, by letter; all of them know the segment as a
            peer if nothing else is said.
        closed: letters of peers whose container's port is closed, as a gateway is heard there.
        heard: (hearer, gateway) → what the hearer believes of the gateway, if it is not that.
    """

    def __init__(
        self,
        links: list[tuple[str, str]],
        gateways: str = "",
        active: str = "",
        hosts: tuple[str, ...] = ("Host1", "Host2"),
    ) -> None:
        self.letters = sorted({letter for link in links for letter in link})
        self.gateways = gateways
        self.active = set(active)
        self.home: str | None = active[:1] or None
        self.former: str | None = None
        self.is_arriving = False
        self.peering: dict[str, Peering] = {}
        self.heard: dict[tuple[str, str], Peering] = {}
        self.gates: dict[str, Gate] = {}
        self.closed: set[str] = set()
        self.hosts = hosts
        self.segment_fdb: dict[str, str] = {}
        self.short_ids = {x: ShortId(100 + i) for i, x in enumerate(self.letters)}
        self.names = {x: PeerName(0x7A0000000000 + ord(x)) for x in self.letters}
        self.addresses = {x: f"10.99.0.{i + 1}" for i, x in enumerate(self.letters)}
        self.links = links
        self.models: dict[str, TableModel] = {}
        for letter in self.letters:
            self.models[letter] = TableModel([], (TUNNEL,))
        self.program_all()

    def program_all(self) -> None:
        """Everybody has heard everything."""
        for letter in self.letters:
            self.program(letter)

    def program(self, letter: str) -> None:
        """Install the flows that this peer should have now."""
        flows = rules.flows(self.state(letter))
        if letter in self.active:
            gate = self.gates.get(letter, Gate.OPEN)
            flows += rules.permits(self.port(letter), gate, 1)
        self.models[letter].replace(flows)

    def port(self, letter: str) -> GatewayPort:
        is_peer = self.says(letter) == Peering.PEER
        return GatewayPort(GATEWAY, "gw0", "vlan", SEGMENT_ID, is_peer=is_peer)

    def says(self, gateway: str, to: str = "") -> Peering:
        """How a gateway marks what it lets in, as far as a peer has heard."""
        said = self.peering.get(gateway, Peering.PEER)
        return self.heard.get((to, gateway), said)

    def lets_in(self, letter: str) -> dict[PeerName, frozenset[str]]:
        """As `Registry.lets_in`; a gateway of before sees in all others what it is itself."""
        is_old = self.peering.get(letter) == Peering.UNKNOWN
        others = [x for x in self.gateways if x != letter]
        return {
            self.names[x]: frozenset({"vlan"})
            for x in others
            if is_old or self.says(x, letter) != Peering.PEER
        }

    def move(self, home: str | None, former: str | None = None) -> None:
        """Everybody has heard where the segment is."""
        self.home, self.former, self.is_arriving = home, former, False
        self.program_all()

    def announce(self, letter: str) -> None:
        """A gateway tells the segment's switch of all containers."""
        self.segment_fdb |= {self.mac(f"{x}-c1"): letter for x in self.letters}

    def state(self, letter: str):
        by_name = {name: x for x, name in self.names.items()}
        adjacency = {self.names[x]: set() for x in self.letters}
        for a, b in self.links:
            adjacency[self.names[a]].add(self.names[b])
            adjacency[self.names[b]].add(self.names[a])
        view = ForwardingView(self.names[letter])
        infos = {self.names[x]: PeerInfo(x, self.short_ids[x]) for x in self.letters}
        infos[SEGMENT] = PeerInfo("vlan", SEGMENT_ID, True, self.is_arriving)
        underlays = {
            name: Underlay(self.addresses[by_name[name]], self.addresses[letter], 6784)
            for name in adjacency[self.names[letter]]
        }
        for now, home in enumerate((self.former, self.home)):
            links = {name: set(far) for name, far in adjacency.items()}
            if home is not None:
                links[SEGMENT] = {self.names[home]}
            view.observe(links, infos, underlays, now / 2)
        gateway_ports = (self.port(letter),) if letter in self.gateways else ()
        local = () if letter in self.closed else (LocalPort(CONTAINER, "c1"),)
        ports = BridgePorts({6784: TUNNEL}, local, gateway_ports)
        assert isinstance(view.graph(), Graph)
        own = self.names[letter], self.short_ids[letter]
        return forwarding_state(view, *own, ports, self.lets_in(letter))

    def mac(self, station: str) -> str:
        kind = 1 if station.endswith("-c1") else 2
        return f"02:00:00:00:0{kind}:{ord(station[0]) if kind == 1 else int(station[4:]):02x}"

    def send(self, station: str, dst: str = BROADCAST) -> Counter[str]:
        """One frame from a station; returns how many copies each station received."""
        received: Counter[str] = Counter()
        src = self.mac(station)
        queue: deque[tuple[str, Frame]] = deque()
        if station.endswith("-c1"):
            queue.append((station[0], Frame(CONTAINER, src, dst)))
        else:
            self._on_segment(station, src, dst, received, queue)
        steps = 0
        while queue:
            steps += 1
            assert steps < MAX_HOPS, "no_loop: the frame circulates"
            letter, frame = queue.popleft()
            for copy in self.models[letter].send(frame):
                if copy.port == CONTAINER:
                    received[f"{letter}-c1"] += 1
                elif copy.port == GATEWAY:
                    self._on_segment(letter, src, dst, received, queue)
                elif copy.port == TUNNEL:
                    target = next(x for x, ip in self.addresses.items() if ip == copy.tun_dst)
                    arriving = replace(
                        frame, in_port=TUNNEL, tun_src=copy.tun_src, tun_id=copy.tun_id
                    )
                    queue.append((target, arriving))
                else:
                    assert copy.port == CONTROLLER
        return received

    def _on_segment(self, entered_by, src, dst, received, queue) -> None:
        """A learning switch: stations and gateways hang on its ports."""
        self.segment_fdb[src] = entered_by
        known = self.segment_fdb.get(dst)
        for port in (*self.hosts, *self.gateways):
            if port == entered_by or (known is not None and known != port):
                continue
            if port in self.hosts:
                received[port] += 1
            else:
                queue.append((port, Frame(GATEWAY, src, dst)))
