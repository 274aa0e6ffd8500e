"""Which flows should be in the switch: pure functions from `ForwardingState` to `FlowSpec`.

The frame handling is Weave's (router/network_router.go, router/fastdp.go), with these additions,
all of them stricter than Weave: tunnel frames are only taken from neighbours' addresses and known
source peers; a frame is flooded on only if it came by the source's own broadcast tree, and never
goes back to the neighbour that it came from; a segment is a peer of its own, whose frames come in
and go out by a gated port.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from operator import itemgetter

from weave_ryu.names import MAX_SHORT_ID, ShortId
from weave_ryu.pipeline import ingress
from weave_ryu.pipeline import tables as t
from weave_ryu.pipeline.cookies import Kind
from weave_ryu.pipeline.model import (
    Action,
    Field,
    FlowSpec,
    Goto,
    Load,
    Output,
    Resubmit,
    Term,
)
from weave_ryu.pipeline.parts import (
    GROUP_BIT,
    LEARN_PRIORITY,
    LEARN_PRIORITY_HEARSAY,
    LEARN_PRIORITY_SECOND_HAND,
    frame,
    label,
    send,
    tunnel_id,
)
from weave_ryu.pipeline.permits import (
    HEARSAY,
    hearsay,
    introduction,
    let_in,
    permits,
    settle,
)
from weave_ryu.pipeline.state import (
    ForwardingState,
    GatewayPort,
    Hop,
    LocalPort,
    RemotePeer,
)

__all__ = [
    "HEARSAY",
    "LEARN_PRIORITY",
    "LEARN_PRIORITY_HEARSAY",
    "LEARN_PRIORITY_SECOND_HAND",
    "flows",
    "hearsay",
    "introduction",
    "let_in",
    "permits",
    "settle",
    "tunnel_id",
]

MAX_PEERS = MAX_SHORT_ID + 1
"""So many peers' flows are kept."""


_Place = tuple[int, int, str]
"""Table number, highest priority first, and the match, for a fixed order."""

Part = tuple[tuple[_Place, FlowSpec], ...]
"""Flows that follow from the same things, each with its place among all flows."""


def flows(state: ForwardingState) -> list[FlowSpec]:
    """All flows that should be there whatever the roles; sorted by table and priority."""
    found = [placed for part in parts(state) for placed in part]
    return [flow for _, flow in sorted(found, key=itemgetter(0))]


def parts(state: ForwardingState) -> Iterator[Part]:
    """What `flows` sorts; nearly all are the same objects as long as nothing in them changes."""
    own, gateways = state.short_id, state.gateway_ports
    yield _of_ports(own, state.tunnel_ports, state.local_ports, gateways)
    yield _of_own_tree(own, state.broadcast_hops, gateways)
    yield _sorted(ingress.pending(own, state.pending))
    for hop in ingress.distinct(state.neighbours, state.pending):
        yield _of_neighbour(own, hop)
    for peer in state.peers:
        yield _of_peer(own, peer, gateways)


def _sorted(found: Iterable[FlowSpec]) -> Part:
    return tuple(((t.BY_NAME[f.table].number, -f.priority, repr(f.match)), f) for f in found)


# A change of the topology concerns few peers, and leaves the flows of the others as they are.


@lru_cache(maxsize=64)
def _of_ports(
    own: ShortId,
    tunnels: tuple[int, ...],
    local: tuple[LocalPort, ...],
    gateways: tuple[GatewayPort, ...],
) -> Part:
    return _sorted(
        [
            *ingress.flows(own, tunnels, local, gateways),
            *_lookup(),
            *_forward(),
            frame(t.UNICAST.name, 0, (), (), t.UNICAST.miss),
            *_deliver(local),
            *_flood(local, gateways),
            *(frame(table.name, 0, (), (), table.miss) for table in (t.HELD, t.SIGHTED)),
        ]
    )


@lru_cache(maxsize=MAX_PEERS)
def _of_own_tree(own: ShortId, hops: tuple[Hop, ...], gateways: tuple[GatewayPort, ...]) -> Part:
    found = [*_flood_mesh((Term(t.SRC_PEER, own),), 100, own, hops, gateways, "this peer")]
    for gateway in gateways:
        # A segment hangs behind its gateway: its tree goes on as the gateway's own.
        from_segment = (Term(t.SRC_PEER, gateway.short_id), Term(t.FROM_TUNNEL, 0))
        source = gateway.short_id if gateway.is_peer else own
        others = [other for other in gateways if other.short_id != gateway.short_id]
        whose = f"segment {gateway.segment}"
        found += _flood_mesh(from_segment, 120, source, hops, others, whose)
    return _sorted(found)


@lru_cache(maxsize=MAX_PEERS)
def _of_neighbour(own: ShortId, hop: Hop) -> Part:
    return _sorted(ingress.of_neighbour(own, hop))


@lru_cache(maxsize=MAX_PEERS)
def _of_peer(own: ShortId, peer: RemotePeer, gateways: tuple[GatewayPort, ...]) -> Part:
    source, leaves = (Term(t.SRC_PEER, peer.short_id),), _leaves(peer, gateways)
    found = [
        *ingress.of_peer(own, peer, gateways),
        *_unicast(own, peer, gateways),
        *_flood_mesh(source, 100, peer.short_id, peer.broadcast_hops, leaves, label(peer)),
    ]
    if peer.former is not None:
        by_former, hops = (*source, Term(t.FORMER, 1)), peer.former.next_hops
        found += _flood_mesh(by_former, 110, peer.short_id, hops, leaves, label(peer))
    if peer.is_segment and all(peer.short_id != gateway.short_id for gateway in gateways):
        found.append(_off_tree(peer.short_id, label(peer)))
    return _sorted(found)


def _leaves(peer: RemotePeer, gateways: tuple[GatewayPort, ...]) -> list[GatewayPort]:
    """The own segments that a peer's broadcasts go to: not those that they came from."""
    return [
        gateway
        for gateway in gateways
        if gateway.short_id != peer.short_id and gateway.segment not in peer.lets_in
    ]


def _lookup() -> Iterator[FlowSpec]:
    yield frame(
        t.LOOKUP.name,
        200,
        (Term(Field.ETH_DST, GROUP_BIT, GROUP_BIT),),
        (Goto(t.GATE_FLOOD.name),),
        "broadcast and multicast",
    )
    yield frame(
        t.LOOKUP.name,
        0,
        (),
        (Resubmit(t.MAC.name), Goto(t.FORWARD.name)),
        "unicast: find the destination MAC",
    )


def _forward() -> Iterator[FlowSpec]:
    name = t.FORWARD.name
    yield frame(
        name,
        200,
        (Term(t.KNOWN_PORT, 1),),
        (Goto(t.DELIVER.name),),
        "the MAC is behind a port of this bridge",
    )
    yield frame(
        name,
        190,
        (Term(t.KNOWN_PEER, 1), Term(t.FROM_TUNNEL, 0)),
        (Goto(t.UNICAST.name),),
        "the MAC is behind another peer",
    )
    yield frame(
        name,
        0,
        (),
        (Goto(t.GATE_FLOOD.name),),
        "the MAC is unknown, or the sender was wrong about where it is",
    )


def _unicast(own: ShortId, peer: RemotePeer, gateways: Sequence[GatewayPort]) -> Iterator[FlowSpec]:
    hop = peer.next_hop
    if hop is None:
        return
    to_peer = Term(t.DST_PEER, peer.short_id)
    yield FlowSpec(
        t.UNICAST.name,
        100,
        (to_peer,),
        send(hop, tunnel_id(peer.short_id, own)),
        Kind.PEER,
        peer.short_id,
        f"to {label(peer)} by {hop.remote_ip}",
    )
    for gateway in gateways:
        if gateway.is_peer and gateway.short_id != peer.short_id:
            yield FlowSpec(
                t.UNICAST.name,
                110,
                (Term(t.SRC_PEER, gateway.short_id), to_peer),
                send(hop, tunnel_id(peer.short_id, gateway.short_id)),
                Kind.PEER,
                peer.short_id,
                f"from segment {gateway.segment} to {label(peer)} by {hop.remote_ip}",
            )


def _deliver(local: Sequence[LocalPort]) -> Iterator[FlowSpec]:
    name = t.DELIVER.name
    for port in local:
        yield FlowSpec(
            name,
            100,
            (Term(t.OUT_PORT, port.number),),
            (Output(port.number),),
            Kind.LOCAL_PORT,
            port.number,
            f"to {port.name}",
        )
    yield frame(name, 0, (), (), t.DELIVER.miss)


def _flood(local: Sequence[LocalPort], gateways: Sequence[GatewayPort]) -> Iterator[FlowSpec]:
    name, ports = t.FLOOD.name, Resubmit(t.FLOOD_PORTS.name)
    for gateway in gateways:
        yield _off_tree(gateway.short_id, f"segment {gateway.segment}")
    yield frame(
        name,
        200,
        (Term(t.FROM_TUNNEL, 1), Term(t.ON_TREE, 0)),
        (ports,),
        "by another way than its tree (routes are changing): containers only, not flooded on",
    )
    # The mesh first: another gateway that is active, too, should hear of the source from its peer
    # before it hears the frame on the segment.
    everywhere = (Resubmit(t.FLOOD_MESH.name), ports)
    yield frame(name, 0, (), everywhere, "along the source's tree, and to ports")
    outputs = tuple(Output(port.number) for port in local)
    yield frame(t.FLOOD_PORTS.name, 0, (), outputs, "every container's port")
    yield frame(t.FLOOD_MESH.name, 0, (), (), t.FLOOD_MESH.miss)


def _off_tree(segment: ShortId, whose: str) -> FlowSpec:
    return FlowSpec(
        t.FLOOD.name,
        210,
        (Term(t.SRC_PEER, segment), Term(t.FROM_TUNNEL, 1), Term(t.ON_TREE, 0)),
        (),
        Kind.PEER,
        segment,
        f"of {whose}, by another way than its tree: let in by a gateway that has lost it",
    )


def _flood_mesh(
    match: tuple[Term, ...],
    priority: int,
    source: ShortId,
    hops: Sequence[Hop],
    leaves: Sequence[GatewayPort],
    whose: str,
) -> Iterator[FlowSpec]:
    """Copies along a tree.

    Args:
        match: which frames.
        priority: of the flow.
        source: short id that the copies carry.
        hops: next hops in the mesh.
        leaves: own segments; the gate says of each whether it is behind this gateway now.
        whose: the broadcasts are.
    """
    if not hops and not leaves and len(match) == 1:
        return  # one that stands above another flow says so: nobody
    copies: tuple[Action, ...] = ()
    for hop in hops:
        # In a broadcast the destination is the hop itself, not a final peer.
        copies += send(hop, tunnel_id(hop.short_id, source))
    for leaf in leaves:
        copies += (Load(t.OUT_PORT, leaf.number), Load(t.FLOODED, 1), Resubmit(t.GATE_OUT.name))
    to = [*(hop.remote_ip for hop in hops), *(f"segment {leaf.segment}" for leaf in leaves)]
    why = f"broadcasts of {whose} go on to {', '.join(to) or 'nobody'}"
    yield FlowSpec(t.FLOOD_MESH.name, priority, match, copies, Kind.PEER, source, why)
