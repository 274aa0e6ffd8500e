"""What the forwarding should be, in the mesh's own terms: the input of `rules.py`."""

from __future__ import annotations

from dataclasses import dataclass

from weave_ryu.names import PeerName, ShortId


@dataclass(frozen=True, slots=True)
class Hop:
    """How a neighbour is reached.

    Args:
        short_id: the neighbour's.
        remote_ip: its underlay address, IPv4 as text.
        local_ip: the address of this host that it expects frames from.
        port: OpenFlow number of the tunnel port to use.
    """

    short_id: ShortId
    remote_ip: str
    local_ip: str
    port: int


@dataclass(frozen=True, slots=True)
class Tree:
    """A source's broadcast tree, as it is here.

    Args:
        parent: the neighbour from which its broadcasts arrive; None if they do not.
        next_hops: where they are passed on to.
    """

    parent: Hop | None
    next_hops: tuple[Hop, ...]


@dataclass(frozen=True, slots=True)
class RemotePeer:
    """Another peer of the mesh, with the routes that concern it. It may be a segment.

    Args:
        name: its name, for explanations.
        nick_name: for humans.
        short_id: its number in tunnel ids.
        next_hop: first hop of the unicast route; None if there is no route.
        parent: the neighbour from which its broadcasts arrive; None if they do not.
        broadcast_hops: where its broadcasts are passed on to.
        is_segment: it has no host: what it sends, a gateway has let in from a network outside.
        former: a segment's tree of before, while its frames may still come by it.
        is_arriving: the former tree is the one that its broadcasts come by, as yet.
        lets_in: segments whose frames it lets in under its own short id, as gateways did before
            segments were peers.
    """

    name: PeerName
    nick_name: str
    short_id: ShortId
    next_hop: Hop | None
    parent: Hop | None
    broadcast_hops: tuple[Hop, ...]
    is_segment: bool = False
    former: Tree | None = None
    is_arriving: bool = False
    lets_in: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class LocalPort:
    """A port of the bridge with containers or this host behind it."""

    number: int
    name: str


@dataclass(frozen=True, slots=True)
class GatewayPort:
    """A port of the bridge where a segment meets the mesh.

    Args:
        number: of the port.
        name: of the port.
        segment: its name.
        short_id: the segment's.
        hello: hellos of other gateways are wanted from it.
        is_peer: the mesh knows it as a peer. If not, its frames carry this peer's short id.
        is_home: as a peer it is connected to this one, so that none of its broadcasts come from the
            mesh, but in a hand-over by its former tree.
    """

    number: int
    name: str
    segment: str
    short_id: ShortId
    hello: bool = False
    is_peer: bool = True
    is_home: bool = False


@dataclass(frozen=True, slots=True)
class ForwardingState:
    """Everything that the flows follow from, except roles: those only add and remove permits.

    Args:
        short_id: this peer's own.
        tunnel_ports: OpenFlow numbers of the VXLAN ports.
        neighbours: peers with an established connection.
        pending: underlay addresses of connections that are not established yet, sorted; no address
            of a neighbour is among them.
        peers: all other peers with a short id of their own.
        broadcast_hops: where broadcasts that enter the mesh here are sent to.
        local_ports: ports with containers behind them.
        gateway_ports: ports with segments behind them, whatever their roles.
    """

    short_id: ShortId
    tunnel_ports: tuple[int, ...] = ()
    neighbours: tuple[Hop, ...] = ()
    pending: tuple[str, ...] = ()
    peers: tuple[RemotePeer, ...] = ()
    broadcast_hops: tuple[Hop, ...] = ()
    local_ports: tuple[LocalPort, ...] = ()
    gateway_ports: tuple[GatewayPort, ...] = ()
