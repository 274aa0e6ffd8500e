"""Which flows should be in the switch: pure functions from `ForwardingState` to `FlowSpec`.

The frame handling is Weave's (router/network_router.go, router/fastdp.go), with these additions,
all of them stricter than Weave: tunnel frames are only taken from neighbours' addresses and known
source peers; a frame is flooded on only if it came by the source's own broadcast tree, and never
goes back to the neighbour that it came from; gateway ports are gated and have split horizon.
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
    SetTunnel,
    Term,
)
from weave_ryu.pipeline.parts import (
    GROUP_BIT,
    LEARN_PRIORITY,
    LEARN_PRIORITY_SECOND_HAND,
    frame,
    label,
    send,
    tunnel_id,
)
from weave_ryu.pipeline.permits import (
    HEARSAY,
    HEARSAY_BESIDE,
    announcement,
    hearsay,
    introduction,
    let_in,
    permits,
    priming,
    to_all_peers,
)
from weave_ryu.pipeline.state import ForwardingState, GatewayPort, Hop, LocalPort, RemotePeer

__all__ = [
    "HEARSAY",
    "HEARSAY_BESIDE",
    "LEARN_PRIORITY",
    "LEARN_PRIORITY_SECOND_HAND",
    "announcement",
    "flows",
    "hearsay",
    "introduction",
    "let_in",
    "permits",
    "priming",
    "to_all_peers",
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
    yield _of_own_tree(own, state.broadcast_hops)
    yield _sorted(ingress.pending(own, state.pending))
    for hop in ingress.distinct(state.neighbours, state.pending):
        yield _of_neighbour(own, hop)
    of_gateways = {peer.short_id for peer in state.peers if peer.segments}
    addresses = {hop.remote_ip for hop in state.neighbours if hop.short_id in of_gateways}
    for address in sorted(addresses):
        yield _came_redirected(address)
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
            frame(t.REDIRECT.name, 0, (), (Goto(t.GATE_FLOOD.name),), t.REDIRECT.miss),
            frame(t.UNICAST.name, 0, (), (), t.UNICAST.miss),
            *_deliver(local, gateways),
            *_flood(local, gateways),
            *_split_out(),
            *(frame(table.name, 0, (), (), table.miss) for table in (t.HELD, t.SIGHTED)),
        ]
    )


@lru_cache(maxsize=MAX_PEERS)
def _of_own_tree(own: ShortId, hops: tuple[Hop, ...]) -> Part:
    return _sorted(_flood_mesh(own, hops, "this peer"))


@lru_cache(maxsize=MAX_PEERS)
def _came_redirected(address: str) -> Part:
    flow = FlowSpec(
        t.REDIRECT.name,
        200,
        (Term(Field.TUN_SRC, address),),
        (Goto(t.GATE_FLOOD.name),),
        Kind.SPLIT_HORIZON,
        0,
        f"came from gateway address {address}: redirected once already, never twice",
    )
    return _sorted([flow])


@lru_cache(maxsize=MAX_PEERS)
def _of_neighbour(own: ShortId, hop: Hop) -> Part:
    return _sorted(ingress.of_neighbour(own, hop))


@lru_cache(maxsize=MAX_PEERS)
def _of_peer(own: ShortId, peer: RemotePeer, gateways: tuple[GatewayPort, ...]) -> Part:
    shared = [gateway for gateway in gateways if gateway.segment in peer.segments]
    return _sorted(
        [
            *ingress.of_peer(own, peer, shared),
            *_unicast(own, peer, shared),
            *_flood_mesh(peer.short_id, peer.broadcast_hops, label(peer)),
            *_split_horizon(peer, shared),
        ]
    )


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


def _unicast(own: ShortId, peer: RemotePeer, shared: Sequence[GatewayPort]) -> Iterator[FlowSpec]:
    hop = peer.next_hop
    if hop is None:
        return
    yield FlowSpec(
        t.UNICAST.name,
        100,
        (Term(t.DST_PEER, peer.short_id),),
        send(hop, tunnel_id(peer.short_id, own)),
        Kind.PEER,
        peer.short_id,
        f"to {label(peer)} by {hop.remote_ip}",
    )
    if shared:
        redirect = SetTunnel(hop.remote_ip, hop.local_ip, None, peer.short_id), Output(hop.port)
        to_peer = Term(t.DST_PEER, peer.short_id)
        yield FlowSpec(
            t.REDIRECT.name,
            100,
            (to_peer,),
            redirect,
            Kind.PEER,
            peer.short_id,
            f"redirect to {label(peer)}; the source peer stays as it is",
        )
        # Own hosts are redirected to the one successor only: that cannot go round in circles.
        yield FlowSpec(
            t.REDIRECT.name,
            210,
            (to_peer, Term(t.KNOWN_PORT, 1), Term(t.ON_TREE, 1)),
            redirect,
            Kind.PEER,
            peer.short_id,
            f"redirect to {label(peer)}, which may have relayed it on its way from the sender",
        )


def _deliver(local: Sequence[LocalPort], gateways: Sequence[GatewayPort]) -> Iterator[FlowSpec]:
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
    for gateway in gateways:
        yield FlowSpec(
            name,
            100,
            (Term(t.OUT_PORT, gateway.number),),
            (Goto(t.SPLIT_OUT.name),),
            Kind.GATEWAY,
            gateway.number,
            f"to segment {gateway.segment} by {gateway.name}",
        )
    yield frame(name, 0, (), (), t.DELIVER.miss)


def _flood(local: Sequence[LocalPort], gateways: Sequence[GatewayPort]) -> Iterator[FlowSpec]:
    name = t.FLOOD.name
    here = (Resubmit(t.FLOOD_PORTS.name), Resubmit(t.FLOOD_SEGMENTS.name))
    # The mesh first: another gateway that is active, too, should hear of the source from its peer
    # before it hears the frame on the segment.
    everywhere = (Resubmit(t.FLOOD_MESH.name), *here)
    off_tree = (Term(t.FROM_TUNNEL, 1), Term(t.ON_TREE, 0))
    yield frame(
        name,
        200,
        (*off_tree, Term(Field.ETH_DST, GROUP_BIT, GROUP_BIT)),
        (Resubmit(t.FLOOD_PORTS.name),),
        "broadcast by another way than its tree (routes are changing): containers only, no segment",
    )
    yield frame(
        name,
        190,
        off_tree,
        here,
        "unknown unicast by another way than the source's tree: not flooded on",
    )
    yield frame(name, 0, (), everywhere, "to ports, segments and along the source's tree")

    outputs = tuple(Output(port.number) for port in local)
    yield frame(t.FLOOD_PORTS.name, 0, (), outputs, "every container's port")

    offers = tuple(
        action
        for gateway in gateways
        for action in (Load(t.OUT_PORT, gateway.number), Resubmit(t.SPLIT_OUT.name))
    )
    if offers:
        offers = (Load(t.FLOODED, 1), *offers)
    yield frame(t.FLOOD_SEGMENTS.name, 0, (), offers, "every gateway port")
    yield frame(t.FLOOD_MESH.name, 0, (), (), t.FLOOD_MESH.miss)


def _flood_mesh(source: ShortId, hops: Sequence[Hop], whose: str) -> Iterator[FlowSpec]:
    if not hops:
        return
    copies: tuple[Action, ...] = ()
    for hop in hops:
        # In a broadcast the destination is the hop itself, not a final peer.
        copies += send(hop, tunnel_id(hop.short_id, source))
    yield FlowSpec(
        t.FLOOD_MESH.name,
        100,
        (Term(t.SRC_PEER, source),),
        copies,
        Kind.PEER,
        source,
        f"broadcasts of {whose} go on to {', '.join(hop.remote_ip for hop in hops)}",
    )


def _split_horizon(peer: RemotePeer, shared: Sequence[GatewayPort]) -> Iterator[FlowSpec]:
    for gateway in shared:
        yield FlowSpec(
            t.SPLIT_OUT.name,
            200,
            (
                Term(t.SRC_PEER, peer.short_id),
                Term(t.OUT_PORT, gateway.number),
            ),
            (),
            Kind.SPLIT_HORIZON,
            gateway.number,
            f"from {label(peer)}, a gateway of {gateway.segment}: it was there already",
        )


def _split_out() -> Iterator[FlowSpec]:
    yield frame(
        t.SPLIT_OUT.name, 0, (), (Goto(t.GATE_OUT.name),), "not from a gateway of this segment"
    )
