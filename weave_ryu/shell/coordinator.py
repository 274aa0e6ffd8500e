"""Joins mesh, gateways and pipeline: pure, no I/O, though it lives in the shell's package.

`ForwardingView` remembers, for a short while, connections that have just been lost, so that a
restart of a daemon moves no frame: the flows of its switch are still there, and every other peer
goes on using the same broadcast trees. `forwarding_state` turns the view into the pipeline's input.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from weave_ryu.mesh import routes
from weave_ryu.names import PeerName, ShortId
from weave_ryu.pipeline.state import (
    ForwardingState,
    GatewayPort,
    Hop,
    LocalPort,
    RemotePeer,
    Tree,
)

RESTART_HOLD_S = 10.0
"""How long a lost connection still counts for forwarding; a daemon restarts in 2 to 5 s."""

RETURN_HOLD_S = 3.0
"""How long it still counts at least when the neighbour is back: its topology comes a second later,
and its other neighbours may need a second more."""


FORMER_S = 1.0
"""How long after a segment has moved its frames may still come from where it was: its old gateway
lets in what its new one does not yet, and news of the move travel."""


@dataclass(frozen=True, slots=True)
class PeerInfo:
    """What forwarding needs to know of a peer; `short_id` is None if it owns none.

    A segment is arriving as long as its broadcasts come by the gateway of before.
    """

    nick_name: str
    short_id: ShortId | None
    is_segment: bool = False
    is_arriving: bool = False


@dataclass(frozen=True, slots=True)
class Underlay:
    """Addresses towards a neighbour, and the UDP port that it listens on."""

    remote_ip: str
    local_ip: str
    udp_port: int


Adjacency = Mapping[PeerName, Iterable[PeerName]]
Edge = tuple[PeerName, PeerName]


class ForwardingView:
    """The topology as forwarding uses it: established connections, and those lost just now.

    What is up is kept as the rows of a graph, and only what was lost as pairs of names: of a full
    mesh of 1,000 peers there are half a million connections, and a change touches few.

    Args:
        own: this peer.
        hold_s: seconds for which a lost connection still counts; 0 switches that off.
    """

    def __init__(self, own: PeerName, hold_s: float = RESTART_HOLD_S) -> None:
        self._own = own
        self._hold_s = hold_s
        self._up = routes.Graph.from_adjacency({})
        self._held: dict[Edge, float] = {}
        self._homes: dict[PeerName, PeerName] = {}
        self._former: dict[PeerName, tuple[PeerName, float]] = {}
        self._infos: dict[PeerName, PeerInfo] = {}
        self._underlays: dict[PeerName, Underlay] = {}
        self._working: dict[PeerName, float] = {}
        """Neighbours that frames reach, and since when."""

    def observe(
        self,
        established: routes.Graph | Adjacency,
        infos: Mapping[PeerName, PeerInfo],
        underlays: Mapping[PeerName, Underlay],
        now: float,
    ) -> None:
        """Take over what the mesh says now.

        Args:
            established: symmetric graph of established connections.
            infos: all peers that the mesh knows, this one among them.
            underlays: this peer's neighbours, as far as this side knows that frames reach them.
            now: monotonic seconds.
        """
        up = established if isinstance(established, routes.Graph) else _both_ways(established)
        segments = {n for n, i in (*self._infos.items(), *infos.items()) if i.is_segment}
        for edge in _lost(self._up, up):
            # A segment is where it is now: frames must not wait for a gateway that has lost it.
            if segments.isdisjoint(edge):
                self._held[edge] = now + self._hold_s
        self._up = up
        self._note_moves(segments, {n for n, i in infos.items() if i.is_arriving}, now)
        self._held = {edge: until for edge, until in self._held.items() if not self._is_up(edge)}
        self._wait_for_returning(underlays, now)
        self._held = {edge: until for edge, until in self._held.items() if until > now}
        self._drop_renumbered(infos)
        connected = self._connected()
        for name, info in infos.items():
            known = self._infos.get(name)
            # Of a peer that is only named by others the short id is not known, but not another one.
            if known is None or info.short_id is not None or name in connected:
                self._infos[name] = info
        self._underlays.update(underlays)
        stays = connected | self._held_names()
        self._infos = {n: i for n, i in self._infos.items() if n in infos or n in stays}
        beside = {b if a == self._own else a for a, b in self._held if self._own in (a, b)}
        beside.update(up.neighbours(self._own))
        self._underlays = {n: u for n, u in self._underlays.items() if n in beside}

    def deadline(self) -> float | None:
        """When the next held connection runs out; call `observe` again then."""
        former = [until for _, until in self._former.values()]
        return min([*self._held.values(), *former], default=None)

    def former(self) -> dict[PeerName, PeerName]:
        """Segments that have just moved → the gateway that they were connected to."""
        return {segment: home for segment, (home, _) in self._former.items()}

    def held(self) -> list[Edge]:
        """Connections that only still count, sorted."""
        return sorted(self._held)

    def graph(self) -> routes.Graph:
        """The adjacency to compute routes on."""
        found = self._infos.keys() | self._connected() | self._held_names() | {self._own}
        names = tuple(sorted(found))
        index = {name: place for place, name in enumerate(names)}
        rows = _rows_among(self._up, names)
        for a, b in self._held:
            rows[index[a]] |= 1 << index[b]
            rows[index[b]] |= 1 << index[a]
        return routes.Graph(names, index, tuple(rows), tuple(rows))

    @property
    def infos(self) -> Mapping[PeerName, PeerInfo]:
        """All peers, held ones among them."""
        return self._infos

    @property
    def underlays(self) -> Mapping[PeerName, Underlay]:
        """Neighbours, held ones among them."""
        return self._underlays

    def _note_moves(
        self, segments: Iterable[PeerName], arriving: Collection[PeerName], now: float
    ) -> None:
        self._former = {
            segment: (home, now + FORMER_S if segment in arriving else until)
            for segment, (home, until) in self._former.items()
            if until > now
        }
        for segment in segments:
            for home in self._up.neighbours(segment)[:1]:
                before = self._homes.get(segment, home)
                self._homes[segment] = home
                if before != home:
                    self._former[segment] = before, now + FORMER_S

    def _is_up(self, edge: Edge) -> bool:
        one, other = (self._up.index.get(name) for name in edge)
        return one is not None and other is not None and bool(self._up.out[one] >> other & 1)

    def _connected(self) -> set[PeerName]:
        return {name for name, row in zip(self._up.names, self._up.out, strict=True) if row}

    def _held_names(self) -> set[PeerName]:
        return {name for edge in self._held for name in edge}

    def _wait_for_returning(self, underlays: Mapping[PeerName, Underlay], now: float) -> None:
        """A neighbour is back, and has not told yet to whom: give its connections some time."""
        self._working = {name: self._working.get(name, now) for name in underlays}
        # Whom we hear and who does not hear us stays like that, maybe for days.
        returning = {
            name
            for name, since in self._working.items()
            if since + RETURN_HOLD_S > now and not self._is_up(_edge(self._own, name))
        }
        for edge, until in self._held.items():
            if not returning.isdisjoint(edge):
                self._held[edge] = max(until, now + RETURN_HOLD_S)

    def _drop_renumbered(self, infos: Mapping[PeerName, PeerInfo]) -> None:
        """A peer that came back with another short id finds nothing of its old flows useful."""
        for edge in list(self._held):
            for name in edge:
                old, info = self._infos.get(name), infos.get(name)
                ids = {old.short_id if old else None, info.short_id if info else None}
                if len(ids) == 2 and None not in ids:
                    self._held.pop(edge, None)


@dataclass(frozen=True, slots=True)
class BridgePorts:
    """The ports of the local bridge, by what they are for."""

    tunnels: Mapping[int, int]
    """UDP destination port → OpenFlow port number."""
    local: tuple[LocalPort, ...]
    gateways: tuple[GatewayPort, ...]


def forwarding_state(
    view: ForwardingView,
    own: PeerName,
    short_id: ShortId,
    ports: BridgePorts,
    lets_in: Mapping[PeerName, frozenset[str]],
    heard: Iterable[str] = (),
) -> ForwardingState:
    """What the flows must express.

    Args:
        view: the topology.
        own: this peer.
        short_id: this peer's short id.
        ports: of the local bridge.
        lets_in: gateways → the segments whose frames they let in under their own short id.
        heard: underlay addresses of all connections; heartbeats come from those, too, to which no
            frames go: because they are not established, or the other side says that they are not.
    """
    graph = view.graph()
    hops = _hops(view, ports)
    next_hops = routes.unicast_next_hops(graph, own)
    trees = routes.broadcast_tables(graph, own)
    taken: set[ShortId] = {short_id}
    former = view.former()
    peers = []
    for name in sorted(view.infos):
        info = view.infos[name]
        # Of several peers with one short id the lowest name owns it (mesh/peers.go).
        if name == own or info.short_id is None or info.short_id in taken:
            continue
        taken.add(info.short_id)
        tree = trees.get(name)
        parent = tree.parent if tree else None
        peers.append(
            RemotePeer(
                name=name,
                nick_name=info.nick_name,
                short_id=info.short_id,
                next_hop=hops.get(next_hops[name]) if name in next_hops else None,
                parent=hops.get(parent) if parent is not None else None,
                broadcast_hops=_present(hops, tree.next_hops if tree else ()),
                is_segment=info.is_segment,
                former=_former_tree(former.get(name), own, trees, hops),
                is_arriving=info.is_arriving,
                lets_in=lets_in.get(name, frozenset()),
            )
        )
    own_tree = trees.get(own)
    known = {hop.remote_ip for hop in hops.values()}
    return ForwardingState(
        short_id=short_id,
        tunnel_ports=tuple(sorted(ports.tunnels.values())),
        neighbours=_present(hops, sorted(hops)),
        pending=tuple(sorted(set(heard) - known)),
        peers=tuple(peers),
        broadcast_hops=_present(hops, own_tree.next_hops if own_tree else ()),
        local_ports=ports.local,
        gateway_ports=ports.gateways,
    )


def _former_tree(
    home: PeerName | None,
    own: PeerName,
    trees: Mapping[PeerName, routes.BroadcastRoute],
    hops: Mapping[PeerName, Hop],
) -> Tree | None:
    """The tree of a segment that was behind that gateway: the gateway's own."""
    tree = None if home is None or home == own else trees.get(home)
    if tree is None or tree.parent is None:
        return None
    return Tree(hops.get(tree.parent), _present(hops, tree.next_hops))


def _hops(view: ForwardingView, ports: BridgePorts) -> dict[PeerName, Hop]:
    hops = {}
    for name, underlay in view.underlays.items():
        info = view.infos.get(name)
        port = ports.tunnels.get(underlay.udp_port)
        if info is not None and info.short_id is not None and port is not None:
            hops[name] = Hop(info.short_id, underlay.remote_ip, underlay.local_ip, port)
    return hops


def _present(hops: Mapping[PeerName, Hop], names: Iterable[PeerName]) -> tuple[Hop, ...]:
    return tuple(hops[name] for name in names if name in hops)


def _edge(a: PeerName, b: PeerName) -> Edge:
    return (a, b) if a < b else (b, a)


def _both_ways(adjacency: Adjacency) -> routes.Graph:
    graph = routes.Graph.from_adjacency(adjacency)
    rows = tuple(one | other for one, other in zip(graph.out, graph.into, strict=True))
    return routes.Graph(graph.names, graph.index, rows, rows)


def _lost(before: routes.Graph, after: routes.Graph) -> list[Edge]:
    """The connections that were there before, and are not any more."""
    if before.names == after.names and before.out == after.out:
        return []
    names = before.names
    found = []
    for place, rest in enumerate(_rows_among(after, names)):
        # Each stands in two rows: the one of the lower name is looked at.
        gone = before.out[place] & ~rest
        for other in before.to_names(gone >> place + 1 << place + 1):
            found.append((names[place], other))
    return found


def _rows_among(graph: routes.Graph, names: tuple[PeerName, ...]) -> list[int]:
    """The rows of a graph as they are with these names, ascending, instead of its own."""
    rows, own = list(graph.out), graph.names
    if names == own:
        return rows
    wanted = set(names)
    for place in reversed(range(len(own))):
        if own[place] not in wanted:
            del rows[place]
            below = (1 << place) - 1
            rows = [row & below | row >> place + 1 << place for row in rows]
    for place, name in enumerate(names):
        if name not in graph.index:
            below = (1 << place) - 1
            rows = [row & below | (row & ~below) << 1 for row in rows]
            rows.insert(place, 0)
    return rows
