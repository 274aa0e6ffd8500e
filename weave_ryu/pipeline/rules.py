"""Which flows should be in the switch: pure functions from `ForwardingState` to `FlowSpec`.

The frame handling is Weave's (router/network_router.go, router/fastdp.go), with these additions,
all of them stricter than Weave: tunnel frames are only taken from neighbours' addresses and known
source peers; a frame is flooded on only if it came by the source's own broadcast tree, and never
goes back to the neighbour that it came from; gateway ports are gated and have split horizon.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from weave_ryu.gate import Gate
from weave_ryu.names import SHORT_ID_BITS, ShortId
from weave_ryu.pipeline import tables as t
from weave_ryu.pipeline.cookies import Kind, subject_cookie
from weave_ryu.pipeline.model import (
    Action,
    ClearInPort,
    Field,
    FlowSpec,
    Goto,
    Learn,
    LearnLoad,
    Load,
    Mark,
    Match,
    MoveTunnelIds,
    Output,
    OutputMark,
    Resubmit,
    SetTunnel,
    Table,
    Term,
    ToController,
)
from weave_ryu.pipeline.state import ForwardingState, GatewayPort, Hop, LocalPort, RemotePeer

ZERO_MAC = "00:00:00:00:00:00"
GROUP_BIT = "01:00:00:00:00:00"
LINK_LOCAL_GROUP = "01:80:c2:00:00:00"
LINK_LOCAL_MASK = "ff:ff:ff:ff:ff:f0"

LEARN_PRIORITY = 20
"""Of a MAC known at first hand: heard on an own port, or from a peer that is no gateway."""

LEARN_PRIORITY_SECOND_HAND = 10
"""Of a MAC heard from a gateway: it may be a host of its segment, or a frame of the mesh that the
segment returned to it. The mesh wins over the segments, everywhere, until its entry has aged.
"""


def flows(state: ForwardingState) -> list[FlowSpec]:
    """All flows that should be there whatever the roles; sorted by table and priority."""
    found = [
        *_classify(state),
        *_tunnel_in(state),
        *_tunnel_source(state),
        *_relay(state),
        *_reverse_path(state),
        *_gate(state),
        *_segment_source(state),
        *_gateway_source(state),
        *_lookup(),
        *_forward(state),
        *_redirect(state),
        *_unicast(state),
        *_deliver(state),
        *_flood(state),
        *_split_out(state),
    ]
    return sorted(found, key=lambda f: (t.BY_NAME[f.table].number, -f.priority, repr(f.match)))


def permits(port: GatewayPort, own: ShortId, gate: Gate, hard_timeout_s: int) -> list[FlowSpec]:
    """The flows that open a gateway port; the switch removes them by itself (dead-man switch).

    Args:
        port: the gateway port.
        own: this peer's short id, the source peer of the segment's frames.
        gate: how far it is open.
        hard_timeout_s: seconds, whole, at least 1.
    """
    if gate is Gate.CLOSED:
        return []
    in_port, out_port = Term(Field.IN_PORT, port.number), Term(t.OUT_PORT, port.number)
    cookie = subject_cookie(Kind.LEARNT_PORT, port.number)
    let_in: tuple[Action, ...] = (Goto(t.LOOKUP.name),)
    if gate is not Gate.DRAINING:
        let_in = (
            # What was learnt goes with the permit: a closed gateway port attracts no frames.
            replace(_learn_mac(cookie, t.KNOWN_PORT, t.OUT_PORT, port.number), with_parent=True),
            replace(_learn_origin(cookie, port.number), with_parent=True),
            *let_in,
        )

    def permit(table: Table, match: Match, actions: tuple[Action, ...], why: str) -> FlowSpec:
        why = f"{port.name} is {gate}: {why}"
        return FlowSpec(
            table.name, 200, match, actions, Kind.PERMIT, port.number, why, hard_timeout_s
        )

    found = [
        permit(
            t.GATE_IN,
            (in_port,),
            (Load(t.SRC_PEER, own), Resubmit(t.ORIGINS.name), Goto(t.SEGMENT_SOURCE.name)),
            f"frames of segment {port.segment} may come in",
        ),
        permit(
            t.SEGMENT_SOURCE,
            (in_port, Term(t.ORIGIN, 0)),
            let_in,
            f"new hosts of segment {port.segment}",
        ),
        permit(
            t.SEGMENT_SOURCE,
            (in_port, Term(t.ORIGIN, port.number)),
            let_in,
            f"known hosts of segment {port.segment}",
        ),
    ]
    if gate in (Gate.KNOWN, Gate.OPEN):
        found.append(
            permit(
                t.GATE_OUT,
                (out_port, Term(t.FLOODED, 0)),
                (OutputMark(t.OUT_PORT),),
                f"frames for known hosts may go out to segment {port.segment}",
            )
        )
    if gate is Gate.OPEN:
        found.append(
            permit(
                t.GATE_OUT,
                (out_port, Term(t.FLOODED, 1)),
                (OutputMark(t.OUT_PORT),),
                f"broadcasts and unknown unicasts may go out to segment {port.segment}",
            )
        )
        found.append(
            permit(
                t.GATE_FLOOD,
                (in_port,),
                (Goto(t.FLOOD.name),),
                f"broadcasts and unknown unicasts of segment {port.segment} may come in",
            )
        )
    return found


def announcement(port: int, own: ShortId) -> tuple[Action, ...]:
    """What to do with a frame that tells the mesh of a host of the segment (a packet-out).

    The host is learnt behind the gateway port, and the frame goes to all peers; not through the
    gate, which may be open for known unicast only.
    """
    cookie = subject_cookie(Kind.LEARNT_PORT, port)
    return (
        Load(t.SRC_PEER, own),
        _learn_mac(cookie, t.KNOWN_PORT, t.OUT_PORT, port),
        _learn_origin(cookie, port),
        Resubmit(t.FLOOD_MESH.name),
    )


def tunnel_id(destination: ShortId, source: ShortId) -> int:
    """Weave's VXLAN network identifier (router/fastdp.go)."""
    return destination << SHORT_ID_BITS | source


def _frame(
    table: str, priority: int, match: Match, actions: tuple[Action, ...], why: str
) -> FlowSpec:
    return FlowSpec(table, priority, match, actions, Kind.FRAME, 0, why)


def _send(hop: Hop, tun_id: int | None) -> tuple[Action, ...]:
    return (SetTunnel(hop.remote_ip, hop.local_ip, tun_id), Output(hop.port))


def _label(peer: RemotePeer) -> str:
    return f"{peer.name} ({peer.nick_name})"


def _learn_mac(
    cookie: int, flag: Mark, where: Mark, value: int, priority: int = LEARN_PRIORITY
) -> Learn:
    loads = (LearnLoad(where, value), LearnLoad(flag, 1))
    return Learn(t.MAC.name, Field.ETH_DST, loads, cookie, priority, t.MAC_AGE_S)


def _learn_origin(cookie: int, where: int) -> Learn:
    loads = (LearnLoad(t.ORIGIN, where),)
    return Learn(t.ORIGINS.name, Field.ETH_SRC, loads, cookie, LEARN_PRIORITY, t.MAC_AGE_S)


def _classify(state: ForwardingState) -> Iterator[FlowSpec]:
    name = t.CLASSIFY.name
    yield _frame(
        name,
        300,
        (Term(Field.ETH_DST, LINK_LOCAL_GROUP, LINK_LOCAL_MASK),),
        (),
        "link-local protocols (spanning tree, LACP, LLDP) end at each bridge (IEEE 802.1D 7.12.6)",
    )
    yield _frame(
        name,
        290,
        (Term(Field.ETH_SRC, GROUP_BIT, GROUP_BIT),),
        (),
        "a group address cannot be a source",
    )
    for tunnel in state.tunnel_ports:
        yield FlowSpec(
            name,
            250,
            (Term(Field.IN_PORT, tunnel),),
            (Load(t.FROM_TUNNEL, 1), Goto(t.TUNNEL_IN.name)),
            Kind.TUNNEL,
            tunnel,
            "frames from the mesh",
        )
    yield _frame(
        name,
        240,
        (Term(Field.ETH_SRC, ZERO_MAC),),
        (),
        "the zero MAC marks heartbeats of the mesh and cannot come from a host",
    )
    for gateway in state.gateway_ports:
        yield FlowSpec(
            name,
            200,
            (Term(Field.IN_PORT, gateway.number),),
            (Goto(t.GATE_IN.name),),
            Kind.GATEWAY,
            gateway.number,
            f"frames from segment {gateway.segment} on {gateway.name}",
        )
    for port in state.local_ports:
        yield _local_port(state, port)
    yield _frame(name, 0, (), (), t.CLASSIFY.miss)


def _local_port(state: ForwardingState, port: LocalPort) -> FlowSpec:
    cookie = subject_cookie(Kind.LEARNT_PORT, port.number)
    return FlowSpec(
        t.CLASSIFY.name,
        200,
        (Term(Field.IN_PORT, port.number),),
        (
            Load(t.SRC_PEER, state.short_id),
            _learn_mac(cookie, t.KNOWN_PORT, t.OUT_PORT, port.number),
            _learn_origin(cookie, t.ORIGIN_MESH),
            Goto(t.LOOKUP.name),
        ),
        Kind.LOCAL_PORT,
        port.number,
        f"frames from containers on {port.name}; their MACs are learnt",
    )


def _tunnel_in(state: ForwardingState) -> Iterator[FlowSpec]:
    name = t.TUNNEL_IN.name
    heartbeat = (Term(Field.ETH_SRC, ZERO_MAC), Term(Field.ETH_DST, ZERO_MAC))
    # The low 12 bits, the source, stay open: the daemon finds the peer by them.
    for_us = Term(Field.TUN_ID, tunnel_id(state.short_id, ShortId(0)), 0xFFF << SHORT_ID_BITS)
    for address in state.pending:
        yield FlowSpec(
            name,
            200,
            (*heartbeat, for_us, Term(Field.TUN_SRC, address)),
            (ToController(t.METER_NEIGHBOUR_HEARTBEATS),),
            Kind.FRAME,
            0,
            f"heartbeats from {address}, a connection that is not established yet",
        )
    seen = set(state.pending)
    for hop in state.neighbours:
        if hop.remote_ip in seen:
            continue  # a second peer on one host: its frames are told apart by their ids
        seen.add(hop.remote_ip)
        sender = Term(Field.TUN_SRC, hop.remote_ip)
        yield FlowSpec(
            name,
            200,
            (*heartbeat, for_us, sender),
            (ToController(t.METER_NEIGHBOUR_HEARTBEATS),),
            Kind.NEIGHBOUR,
            hop.short_id,
            f"heartbeats from neighbour address {hop.remote_ip}",
        )
        yield FlowSpec(
            name,
            100,
            (sender,),
            (
                MoveTunnelIds(t.SRC_PEER, t.DST_PEER),
                # Without this a frame could not be relayed: it came by the port that it leaves by.
                ClearInPort(),
                Goto(t.TUNNEL_SOURCE.name),
            ),
            Kind.NEIGHBOUR,
            hop.short_id,
            f"frames from neighbour address {hop.remote_ip}",
        )
    yield _frame(
        name,
        190,
        (*heartbeat, for_us),
        (ToController(t.METER_STRANGE_HEARTBEATS),),
        "heartbeats from elsewhere: a new connection, or a neighbour behind address translation",
    )
    yield _frame(name, 180, heartbeat, (), "heartbeats for another peer")
    yield _frame(name, 0, (), (), t.TUNNEL_IN.miss)


def _tunnel_source(state: ForwardingState) -> Iterator[FlowSpec]:
    name = t.TUNNEL_SOURCE.name
    yield _frame(
        name,
        300,
        (Term(t.SRC_PEER, state.short_id),),
        (),
        "frames of this peer that the mesh returned",
    )
    for peer in state.peers:
        source = Term(t.SRC_PEER, peer.short_id)
        cookie = subject_cookie(Kind.LEARNT_PEER, peer.short_id)
        if peer.segments:
            actions: tuple[Action, ...] = (
                Resubmit(t.ORIGINS.name),
                Goto(t.GATEWAY_SOURCE.name),
            )
            why = f"frames from gateway {_label(peer)} for this peer"
        else:
            actions = (
                _learn_mac(cookie, t.KNOWN_PEER, t.DST_PEER, peer.short_id),
                _learn_origin(cookie, t.ORIGIN_MESH),
                Resubmit(t.REVERSE_PATH.name),
                Goto(t.LOOKUP.name),
            )
            why = f"frames from {_label(peer)} for this peer; their source MACs are learnt"
        yield FlowSpec(
            name,
            200,
            (source, Term(t.DST_PEER, state.short_id)),
            actions,
            Kind.PEER,
            peer.short_id,
            why,
        )
        yield FlowSpec(
            name,
            100,
            (source,),
            (Goto(t.RELAY.name),),
            Kind.PEER,
            peer.short_id,
            f"frames from {_label(peer)} for another peer",
        )
    yield _frame(name, 0, (), (), t.TUNNEL_SOURCE.miss)


def _relay(state: ForwardingState) -> Iterator[FlowSpec]:
    name = t.RELAY.name
    for peer in state.peers:
        if peer.next_hop is None:
            continue
        destination = Term(t.DST_PEER, peer.short_id)
        yield FlowSpec(
            name,
            200,
            (destination, Term(Field.TUN_SRC, peer.next_hop.remote_ip)),
            (),
            Kind.PEER,
            peer.short_id,
            f"for {_label(peer)}, but from its own next hop: routes are changing, never send back",
        )
        yield FlowSpec(
            name,
            100,
            (destination,),
            _send(peer.next_hop, None),
            Kind.PEER,
            peer.short_id,
            f"relay to {_label(peer)} by {peer.next_hop.remote_ip}",
        )
    yield _frame(name, 0, (), (), t.RELAY.miss)


def _reverse_path(state: ForwardingState) -> Iterator[FlowSpec]:
    name = t.REVERSE_PATH.name
    for peer in state.peers:
        if peer.parent is not None:
            yield FlowSpec(
                name,
                100,
                (
                    Term(t.SRC_PEER, peer.short_id),
                    Term(Field.TUN_SRC, peer.parent.remote_ip),
                ),
                (Load(t.ON_TREE, 1),),
                Kind.PEER,
                peer.short_id,
                f"broadcasts of {_label(peer)} come by {peer.parent.remote_ip}",
            )
    yield _frame(name, 0, (), (), t.REVERSE_PATH.miss)


def _gate(state: ForwardingState) -> Iterator[FlowSpec]:
    for gateway in state.gateway_ports:
        yield FlowSpec(
            t.GATE_IN.name,
            100,
            (Term(Field.IN_PORT, gateway.number),),
            (),
            Kind.GATEWAY,
            gateway.number,
            f"{gateway.name} is not active: nothing comes in from segment {gateway.segment}",
        )
        yield FlowSpec(
            t.GATE_OUT.name,
            100,
            (Term(t.OUT_PORT, gateway.number),),
            (),
            Kind.GATEWAY,
            gateway.number,
            f"{gateway.name} is not active: nothing goes out to segment {gateway.segment}",
        )
        yield FlowSpec(
            t.GATE_FLOOD.name,
            100,
            (Term(Field.IN_PORT, gateway.number),),
            (),
            Kind.GATEWAY,
            gateway.number,
            f"another gateway lets in the broadcasts of segment {gateway.segment}",
        )
    for table in (t.GATE_IN, t.GATE_OUT):
        yield _frame(table.name, 0, (), (), table.miss)
    yield _frame(t.GATE_FLOOD.name, 0, (), (Goto(t.FLOOD.name),), t.GATE_FLOOD.miss)


def _segment_source(state: ForwardingState) -> Iterator[FlowSpec]:
    name = t.SEGMENT_SOURCE.name
    for gateway in state.gateway_ports:
        yield FlowSpec(
            name,
            100,
            (Term(Field.IN_PORT, gateway.number),),
            (),
            Kind.SPLIT_HORIZON,
            gateway.number,
            f"frames of the mesh that segment {gateway.segment} returned",
        )
    yield _frame(name, 0, (), (), t.SEGMENT_SOURCE.miss)


def _gateway_source(state: ForwardingState) -> Iterator[FlowSpec]:
    name = t.GATEWAY_SOURCE.name
    for peer in state.peers:
        if not peer.segments:
            continue
        cookie = subject_cookie(Kind.LEARNT_PEER, peer.short_id)
        learn = _learn_mac(
            cookie, t.KNOWN_PEER, t.DST_PEER, peer.short_id, LEARN_PRIORITY_SECOND_HAND
        )
        yield FlowSpec(
            name,
            100,
            (Term(t.SRC_PEER, peer.short_id), Term(t.ORIGIN, 0)),
            (learn, Resubmit(t.REVERSE_PATH.name), Goto(t.LOOKUP.name)),
            Kind.PEER,
            peer.short_id,
            f"hosts and containers behind {_label(peer)}; their MACs are learnt at second hand",
        )
        for gateway in state.gateway_ports:
            if gateway.segment in peer.segments:
                yield FlowSpec(
                    name,
                    90,
                    (Term(t.SRC_PEER, peer.short_id), Term(t.ORIGIN, gateway.number)),
                    (learn,),
                    Kind.SPLIT_HORIZON,
                    gateway.number,
                    f"hosts of {gateway.segment} that {_label(peer)} has forwarded, too: noted for "
                    "the time after a hand-over, not forwarded again",
                )
    yield _frame(name, 0, (), (), t.GATEWAY_SOURCE.miss)


def _lookup() -> Iterator[FlowSpec]:
    yield _frame(
        t.LOOKUP.name,
        200,
        (Term(Field.ETH_DST, GROUP_BIT, GROUP_BIT),),
        (Goto(t.GATE_FLOOD.name),),
        "broadcast and multicast",
    )
    yield _frame(
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


def _forward(state: ForwardingState) -> Iterator[FlowSpec]:
    name = t.FORWARD.name
    for peer in _successors(state):
        yield FlowSpec(
            name,
            180,
            (Term(t.KNOWN_PEER, 1), Term(t.FROM_TUNNEL, 1), Term(t.DST_PEER, peer.short_id)),
            (Goto(t.REDIRECT.name),),
            Kind.PEER,
            peer.short_id,
            f"the sender does not know yet that {_label(peer)} has taken over",
        )
    yield _frame(
        name,
        200,
        (Term(t.KNOWN_PORT, 1),),
        (Goto(t.DELIVER.name),),
        "the MAC is behind a port of this bridge",
    )
    yield _frame(
        name,
        190,
        (Term(t.KNOWN_PEER, 1), Term(t.FROM_TUNNEL, 0)),
        (Goto(t.UNICAST.name),),
        "the MAC is behind another peer",
    )
    yield _frame(
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
                _send(peer.next_hop, tunnel_id(peer.short_id, state.short_id)),
                Kind.PEER,
                peer.short_id,
                f"to {_label(peer)} by {peer.next_hop.remote_ip}",
            )
    yield _frame(t.UNICAST.name, 0, (), (), t.UNICAST.miss)


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
            (),
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
                f"redirect to {_label(peer)}; the source peer stays as it is",
            )
    yield _frame(name, 0, (), (), t.REDIRECT.miss)


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
    yield _frame(name, 0, (), (), t.DELIVER.miss)


def _flood(state: ForwardingState) -> Iterator[FlowSpec]:
    name = t.FLOOD.name
    here = (Resubmit(t.FLOOD_PORTS.name), Resubmit(t.FLOOD_SEGMENTS.name))
    # The mesh first: another gateway that is active, too, should hear of the source from its peer
    # before it hears the frame on the segment.
    everywhere = (Resubmit(t.FLOOD_MESH.name), *here)
    off_tree = (Term(t.FROM_TUNNEL, 1), Term(t.ON_TREE, 0))
    yield _frame(
        name,
        200,
        (*off_tree, Term(Field.ETH_DST, GROUP_BIT, GROUP_BIT)),
        (Resubmit(t.FLOOD_PORTS.name),),
        "broadcast by another way than its tree (routes are changing): containers only, no segment",
    )
    yield _frame(
        name,
        190,
        off_tree,
        here,
        "unknown unicast by another way than the source's tree: not flooded on",
    )
    yield _frame(name, 0, (), everywhere, "to ports, segments and along the source's tree")

    outputs = tuple(Output(port.number) for port in state.local_ports)
    yield _frame(t.FLOOD_PORTS.name, 0, (), outputs, "every container's port")

    offers = tuple(
        action
        for gateway in state.gateway_ports
        for action in (Load(t.OUT_PORT, gateway.number), Resubmit(t.SPLIT_OUT.name))
    )
    if offers:
        offers = (Load(t.FLOODED, 1), *offers)
    yield _frame(t.FLOOD_SEGMENTS.name, 0, (), offers, "every gateway port")
    yield from _flood_mesh(state)


def _flood_mesh(state: ForwardingState) -> Iterator[FlowSpec]:
    name = t.FLOOD_MESH.name
    trees = [(state.short_id, state.broadcast_hops, "this peer")]
    trees += [(peer.short_id, peer.broadcast_hops, _label(peer)) for peer in state.peers]
    for source, hops, label in trees:
        if not hops:
            continue
        copies: tuple[Action, ...] = ()
        for hop in hops:
            # In a broadcast the destination is the hop itself, not a final peer.
            copies += _send(hop, tunnel_id(hop.short_id, source))
        yield FlowSpec(
            name,
            100,
            (Term(t.SRC_PEER, source),),
            copies,
            Kind.PEER,
            source,
            f"broadcasts of {label} go on to {', '.join(hop.remote_ip for hop in hops)}",
        )
    yield _frame(name, 0, (), (), t.FLOOD_MESH.miss)


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
                    f"from {_label(peer)}, a gateway of {gateway.segment}: it was there already",
                )
    yield _frame(
        t.SPLIT_OUT.name, 0, (), (Goto(t.GATE_OUT.name),), "not from a gateway of this segment"
    )
