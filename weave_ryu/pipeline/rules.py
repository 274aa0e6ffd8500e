"""Which flows should be in the switch: pure functions from `ForwardingState` to `FlowSpec`.

The frame handling is Weave's (router/network_router.go, router/fastdp.go), with these additions,
all of them stricter than Weave: tunnel frames are only taken from neighbours' addresses and known
source peers; a frame is flooded on only if it came by the source's own broadcast tree, and never
goes back to the neighbour that it came from; gateway ports are gated and have split horizon.
"""

from __future__ import annotations

from collections.abc import Iterator

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
    announcement,
    hearsay,
    introduction,
    permits,
    priming,
)
from weave_ryu.pipeline.state import ForwardingState, RemotePeer

__all__ = [
    "LEARN_PRIORITY",
    "LEARN_PRIORITY_SECOND_HAND",
    "announcement",
    "flows",
    "hearsay",
    "introduction",
    "permits",
    "priming",
    "tunnel_id",
]


def flows(state: ForwardingState) -> list[FlowSpec]:
    """All flows that should be there whatever the roles; sorted by table and priority."""
    found = [
        *ingress.flows(state),
        *_lookup(),
        *_forward(),
        *_redirect(state),
        *_unicast(state),
        *_deliver(state),
        *_flood(state),
        *_split_out(state),
    ]
    return sorted(found, key=lambda f: (t.BY_NAME[f.table].number, -f.priority, repr(f.match)))


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


def _successors(state: ForwardingState) -> list[RemotePeer]:
    """Other gateways of this peer's segments."""
    own = {gateway.segment for gateway in state.gateway_ports}
    return [peer for peer in state.peers if own & peer.segments]


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


def _unicast(state: ForwardingState) -> Iterator[FlowSpec]:
    for peer in state.peers:
        if peer.next_hop is not None:
            yield FlowSpec(
                t.UNICAST.name,
                100,
                (Term(t.DST_PEER, peer.short_id),),
                send(peer.next_hop, tunnel_id(peer.short_id, state.short_id)),
                Kind.PEER,
                peer.short_id,
                f"to {label(peer)} by {peer.next_hop.remote_ip}",
            )
    yield frame(t.UNICAST.name, 0, (), (), t.UNICAST.miss)


def _redirect(state: ForwardingState) -> Iterator[FlowSpec]:
    name = t.REDIRECT.name
    successors = [peer for peer in _successors(state) if peer.next_hop is not None]
    addresses = {
        hop.remote_ip
        for hop in state.neighbours
        if hop.short_id in {peer.short_id for peer in state.peers if peer.segments}
    }
    for address in sorted(addresses):
        yield FlowSpec(
            name,
            200,
            (Term(Field.TUN_SRC, address),),
            (Goto(t.GATE_FLOOD.name),),
            Kind.SPLIT_HORIZON,
            0,
            f"came from gateway address {address}: redirected once already, never twice",
        )
    for peer in successors:
        if peer.next_hop is not None:
            hop = peer.next_hop
            yield FlowSpec(
                name,
                100,
                (Term(t.DST_PEER, peer.short_id),),
                (SetTunnel(hop.remote_ip, hop.local_ip, None, peer.short_id), Output(hop.port)),
                Kind.PEER,
                peer.short_id,
                f"redirect to {label(peer)}; the source peer stays as it is",
            )
    yield frame(name, 0, (), (Goto(t.GATE_FLOOD.name),), t.REDIRECT.miss)


def _deliver(state: ForwardingState) -> Iterator[FlowSpec]:
    name = t.DELIVER.name
    for port in state.local_ports:
        yield FlowSpec(
            name,
            100,
            (Term(t.OUT_PORT, port.number),),
            (Output(port.number),),
            Kind.LOCAL_PORT,
            port.number,
            f"to {port.name}",
        )
    for gateway in state.gateway_ports:
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


def _flood(state: ForwardingState) -> Iterator[FlowSpec]:
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

    outputs = tuple(Output(port.number) for port in state.local_ports)
    yield frame(t.FLOOD_PORTS.name, 0, (), outputs, "every container's port")

    offers = tuple(
        action
        for gateway in state.gateway_ports
        for action in (Load(t.OUT_PORT, gateway.number), Resubmit(t.SPLIT_OUT.name))
    )
    if offers:
        offers = (Load(t.FLOODED, 1), *offers)
    yield frame(t.FLOOD_SEGMENTS.name, 0, (), offers, "every gateway port")
    yield from _flood_mesh(state)


def _flood_mesh(state: ForwardingState) -> Iterator[FlowSpec]:
    name = t.FLOOD_MESH.name
    trees = [(state.short_id, state.broadcast_hops, "this peer")]
    trees += [(peer.short_id, peer.broadcast_hops, label(peer)) for peer in state.peers]
    for source, hops, whose in trees:
        if not hops:
            continue
        copies: tuple[Action, ...] = ()
        for hop in hops:
            # In a broadcast the destination is the hop itself, not a final peer.
            copies += send(hop, tunnel_id(hop.short_id, source))
        yield FlowSpec(
            name,
            100,
            (Term(t.SRC_PEER, source),),
            copies,
            Kind.PEER,
            source,
            f"broadcasts of {whose} go on to {', '.join(hop.remote_ip for hop in hops)}",
        )
    yield frame(name, 0, (), (), t.FLOOD_MESH.miss)


def _split_out(state: ForwardingState) -> Iterator[FlowSpec]:
    for gateway in state.gateway_ports:
        for peer in state.peers:
            if gateway.segment in peer.segments:
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
    yield frame(
        t.SPLIT_OUT.name, 0, (), (Goto(t.GATE_OUT.name),), "not from a gateway of this segment"
    )
