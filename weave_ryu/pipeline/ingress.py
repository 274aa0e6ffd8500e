"""Flows of the stages that say where a frame came from, and whether it may come in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from weave_ryu.names import HELLO_GROUP, PROBE_GROUP, SHORT_ID_BITS, ShortId
from weave_ryu.pipeline import tables as t
from weave_ryu.pipeline.cookies import Kind, subject_cookie
from weave_ryu.pipeline.model import (
    Action,
    ClearInPort,
    Field,
    FlowSpec,
    Goto,
    Load,
    MoveTunnelIds,
    Resubmit,
    Term,
    ToController,
)
from weave_ryu.pipeline.parts import (
    GROUP_BIT,
    LEARN_PRIORITY_SECOND_HAND,
    ZERO_MAC,
    frame,
    label,
    learn_behind_segment,
    learn_mac,
    learn_origin,
    send,
    tunnel_id,
)
from weave_ryu.pipeline.reserved import RESERVED
from weave_ryu.pipeline.state import GatewayPort, Hop, LocalPort, RemotePeer

FRAGMENTATION_NEEDED = (
    Term(Field.ETH_TYPE, 0x0800),
    Term(Field.IP_PROTO, 1),
    Term(Field.ICMP_TYPE, 3),
    Term(Field.ICMP_CODE, 4),
)
PACKET_TOO_BIG = (
    Term(Field.ETH_TYPE, 0x86DD),
    Term(Field.IP_PROTO, 58),
    Term(Field.ICMPV6_TYPE, 2),
)
"""What a sender must hear when a frame does not fit through the underlay (RFC 792, RFC 4443).

The kernel makes it where it should have sent the frame through the tunnel, with the addresses of
both ends exchanged, and has it come in by the tunnel with the frame's tunnel id as it was
(`skb_tunnel_check_pmtu`, Linux 5.9).
"""


def flows(
    own: ShortId,
    tunnels: Sequence[int],
    local: Sequence[LocalPort],
    gateways: Sequence[GatewayPort],
) -> Iterator[FlowSpec]:
    """Flows of the tables before `lookup` that no other peer has a part in."""
    yield from _classify(own, tunnels, local, gateways)
    yield from _tunnel_in(own)
    for too_big in (FRAGMENTATION_NEEDED, PACKET_TOO_BIG):
        yield frame(
            t.TUNNEL_SOURCE.name,
            310,
            (Term(t.SRC_PEER, own), *too_big),
            (Goto(t.LOOKUP.name),),
            "too long for the underlay, says this host's kernel in a peer's name; learns nothing",
        )
    yield frame(
        t.TUNNEL_SOURCE.name,
        300,
        (Term(t.SRC_PEER, own),),
        (),
        "frames of this peer that the mesh returned",
    )
    for table in (t.TUNNEL_SOURCE, t.RELAY, t.REVERSE_PATH, t.SEGMENT_SOURCE):
        yield frame(table.name, 0, (), (), table.miss)
    yield from _local_source(own)
    yield from _gate(gateways)
    for gateway in gateways:
        yield from _own_segment(gateway)


def of_peer(own: ShortId, peer: RemotePeer, gateways: Sequence[GatewayPort]) -> Iterator[FlowSpec]:
    """Flows of the tables before `lookup` that are about one peer.

    Args:
        own: this peer.
        peer: the other one.
        gateways: this peer's gateway ports.
    """
    yield from _tunnel_source(own, peer, gateways)
    yield from _relay(peer)
    yield from _reverse_path(peer)
    if peer.lets_in:
        yield from _old_gateway(peer, gateways)
    elif peer.is_segment and peer.short_id not in {gateway.short_id for gateway in gateways}:
        yield from _segment_source(peer.short_id, label(peer))
        # Another gateway of an own segment has told of it, as of all that is not on that segment.
        yield _hosts(peer.short_id, t.ORIGIN_MESH, f"hosts, as others have told, of {label(peer)}")


def _classify(
    own: ShortId,
    tunnels: Sequence[int],
    local: Sequence[LocalPort],
    gateways: Sequence[GatewayPort],
) -> Iterator[FlowSpec]:
    name = t.CLASSIFY.name
    for group in RESERVED:
        to_group = Term(Field.ETH_DST, group.address, group.mask)
        yield frame(name, 300, (to_group,), (), group.protocols)
    yield frame(
        name,
        290,
        (Term(Field.ETH_SRC, GROUP_BIT, GROUP_BIT),),
        (),
        "a group address cannot be a source",
    )
    # Above all that says where a frame came from: a port that is closed hears them, too.
    yield frame(
        name,
        286,
        (Term(Field.ETH_DST, PROBE_GROUP),),
        (ToController(t.METER_PROBES),),
        "probes of gateways: shown to the daemon wherever they come in, and never passed on",
    )
    hello = Term(Field.ETH_DST, HELLO_GROUP)
    for gateway in gateways:
        if gateway.hello:
            yield FlowSpec(
                name,
                285,
                (Term(Field.IN_PORT, gateway.number), hello),
                (ToController(t.METER_HELLOS),),
                Kind.GATEWAY,
                gateway.number,
                f"hellos of other gateways of segment {gateway.segment}",
            )
    yield frame(name, 280, (hello,), (), "hellos of gateways stay on their segment")
    for tunnel in tunnels:
        yield FlowSpec(
            name,
            250,
            (Term(Field.IN_PORT, tunnel),),
            (Load(t.FROM_TUNNEL, 1), Goto(t.TUNNEL_IN.name)),
            Kind.TUNNEL,
            tunnel,
            "frames from the mesh",
        )
    yield frame(
        name,
        240,
        (Term(Field.ETH_SRC, ZERO_MAC),),
        (),
        "the zero MAC marks heartbeats of the mesh and cannot come from a host",
    )
    for gateway in gateways:
        yield FlowSpec(
            name,
            200,
            (Term(Field.IN_PORT, gateway.number),),
            (Goto(t.GATE_IN.name),),
            Kind.GATEWAY,
            gateway.number,
            f"frames from segment {gateway.segment} on {gateway.name}",
        )
    for port in local:
        yield _local_port(own, port)
    yield frame(name, 0, (), (), t.CLASSIFY.miss)


def _local_port(own: ShortId, port: LocalPort) -> FlowSpec:
    cookie = subject_cookie(Kind.LEARNT_PORT, port.number)
    return FlowSpec(
        t.CLASSIFY.name,
        200,
        (Term(Field.IN_PORT, port.number),),
        (
            Load(t.SRC_PEER, own),
            Resubmit(t.ORIGINS.name),
            learn_mac(cookie, t.KNOWN_PORT, t.OUT_PORT, port.number),
            learn_origin(cookie, t.origin_peer(own)),
            Goto(t.LOCAL_SOURCE.name),
        ),
        Kind.LOCAL_PORT,
        port.number,
        f"frames from containers on {port.name}; their MACs are learnt",
    )


def _local_source(own: ShortId) -> Iterator[FlowSpec]:
    name = t.LOCAL_SOURCE.name
    for origin, whose in ((0, "nobody's until now"), (t.origin_peer(own), "this peer's already")):
        yield frame(name, 100, (Term(t.ORIGIN, origin),), (Goto(t.LOOKUP.name),), f"a MAC {whose}")
    # The meter must not cost anybody the frame: whatever else is done comes first.
    yield frame(name, 0, (), (Resubmit(t.LOOKUP.name), Goto(t.MOVED.name)), t.LOCAL_SOURCE.miss)
    yield frame(t.MOVED.name, 0, (), (ToController(t.METER_MOVED),), t.MOVED.miss)


_HEARTBEAT = (Term(Field.ETH_SRC, ZERO_MAC), Term(Field.ETH_DST, ZERO_MAC))


def _for_us(own: ShortId) -> Term:
    """The low 12 bits, the source, stay open: the daemon finds the peer by them."""
    return Term(Field.TUN_ID, tunnel_id(own, ShortId(0)), 0xFFF << SHORT_ID_BITS)


def pending(own: ShortId, addresses: Sequence[str]) -> Iterator[FlowSpec]:
    """Flows about connections that are not established yet."""
    for address in addresses:
        # Above those of neighbours, which a daemon that starts keeps from its predecessor: of two
        # flows with one match and one priority the switch keeps the last.
        yield FlowSpec(
            t.TUNNEL_IN.name,
            205,
            (*_HEARTBEAT, _for_us(own), Term(Field.TUN_SRC, address)),
            (ToController(t.METER_NEIGHBOUR_HEARTBEATS),),
            Kind.FRAME,
            0,
            f"heartbeats from {address}, a connection that is not established yet",
        )


def distinct(neighbours: Sequence[Hop], pending: Sequence[str]) -> Iterator[Hop]:
    """One neighbour for each address; frames of a second one there are told apart by their ids."""
    seen = set(pending)
    for hop in neighbours:
        if hop.remote_ip not in seen:
            seen.add(hop.remote_ip)
            yield hop


def of_neighbour(own: ShortId, hop: Hop) -> Iterator[FlowSpec]:
    """Flows about the address of one neighbour."""
    sender = Term(Field.TUN_SRC, hop.remote_ip)
    yield FlowSpec(
        t.TUNNEL_IN.name,
        200,
        (*_HEARTBEAT, _for_us(own), sender),
        (ToController(t.METER_NEIGHBOUR_HEARTBEATS),),
        Kind.NEIGHBOUR,
        hop.short_id,
        f"heartbeats from neighbour address {hop.remote_ip}",
    )
    yield FlowSpec(
        t.TUNNEL_IN.name,
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


def _tunnel_in(own: ShortId) -> Iterator[FlowSpec]:
    name = t.TUNNEL_IN.name
    yield frame(
        name,
        190,
        (*_HEARTBEAT, _for_us(own)),
        (ToController(t.METER_STRANGE_HEARTBEATS),),
        "heartbeats from elsewhere: a new connection, or a neighbour behind address translation",
    )
    yield frame(name, 180, _HEARTBEAT, (), "heartbeats for another peer")
    yield frame(name, 0, (), (), t.TUNNEL_IN.miss)


def _tunnel_source(
    own: ShortId, peer: RemotePeer, gateways: Sequence[GatewayPort]
) -> Iterator[FlowSpec]:
    name = t.TUNNEL_SOURCE.name
    source = Term(t.SRC_PEER, peer.short_id)
    cookie = subject_cookie(Kind.LEARNT_PEER, peer.short_id)
    learn = (
        learn_mac(cookie, t.KNOWN_PEER, t.DST_PEER, peer.short_id),
        learn_origin(cookie, t.origin_peer(peer.short_id)),
    )
    is_first_hand = not (peer.is_segment or peer.lets_in)
    if is_first_hand:
        actions: tuple[Action, ...] = (
            *learn,
            Resubmit(t.REVERSE_PATH.name),
            Goto(t.LOOKUP.name),
        )
        why = f"frames from {label(peer)} for this peer; their source MACs are learnt"
    else:
        actions = (Resubmit(t.ORIGINS.name), Goto(t.SEGMENT_SOURCE.name))
        why = f"frames from {label(peer)} for this peer: are they its own?"
    yield FlowSpec(
        name, 200, (source, Term(t.DST_PEER, own)), actions, Kind.PEER, peer.short_id, why
    )
    for gateway in gateways:
        if is_first_hand:
            yield FlowSpec(
                name,
                200,
                (source, Term(t.DST_PEER, gateway.short_id)),
                (*learn, Goto(t.RELAY.name)),
                Kind.PEER,
                peer.short_id,
                f"frames from {label(peer)} for segment {gateway.segment}; their source MACs are "
                "learnt, so that no copy of them comes back",
            )
    yield FlowSpec(
        name,
        100,
        (source,),
        (Goto(t.RELAY.name),),
        Kind.PEER,
        peer.short_id,
        f"frames from {label(peer)} for another peer",
    )


def _relay(peer: RemotePeer) -> Iterator[FlowSpec]:
    name = t.RELAY.name
    if peer.next_hop is None:
        return
    destination = Term(t.DST_PEER, peer.short_id)
    yield FlowSpec(
        name,
        200,
        (destination, Term(Field.TUN_SRC, peer.next_hop.remote_ip)),
        (),
        Kind.PEER,
        peer.short_id,
        f"for {label(peer)}, but from its own next hop: routes are changing, never send back",
    )
    yield FlowSpec(
        name,
        100,
        (destination,),
        send(peer.next_hop, None),
        Kind.PEER,
        peer.short_id,
        f"relay to {label(peer)} by {peer.next_hop.remote_ip}",
    )


def _reverse_path(peer: RemotePeer) -> Iterator[FlowSpec]:
    name, source = t.REVERSE_PATH.name, Term(t.SRC_PEER, peer.short_id)
    if peer.parent is not None:
        yield FlowSpec(
            name,
            100,
            (source, Term(Field.TUN_SRC, peer.parent.remote_ip)),
            (Load(t.ON_TREE, 1),),
            Kind.PEER,
            peer.short_id,
            f"broadcasts of {label(peer)} come by {peer.parent.remote_ip}",
        )
    former = peer.former.parent if peer.former is not None else None
    if former is not None:
        yield FlowSpec(
            name,
            110 if peer.is_arriving else 90,
            (source, Term(Field.TUN_SRC, former.remote_ip)),
            (Load(t.ON_TREE, 1), Load(t.FORMER, 1)),
            Kind.PEER,
            peer.short_id,
            f"broadcasts of {label(peer)} come by {former.remote_ip} until they are handed over, "
            "and for a moment after",
        )


def _gate(gateways: Sequence[GatewayPort]) -> Iterator[FlowSpec]:
    for gateway in gateways:
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
        yield frame(table.name, 0, (), (), table.miss)
    yield frame(t.GATE_FLOOD.name, 0, (), (Goto(t.FLOOD.name),), t.GATE_FLOOD.miss)


def _own_segment(gateway: GatewayPort) -> Iterator[FlowSpec]:
    yield from _segment_source(gateway.short_id, f"segment {gateway.segment}")
    yield FlowSpec(
        t.SEGMENT_SOURCE.name,
        50,
        (Term(Field.IN_PORT, gateway.number),),
        (Goto(t.MOVED.name),),
        Kind.SPLIT_HORIZON,
        gateway.number,
        f"frames of the mesh that segment {gateway.segment} returned, or a MAC has moved there",
    )
    segment = gateway.short_id
    for table in (t.RELAY, t.UNICAST):
        yield FlowSpec(
            table.name,
            400,
            (Term(t.SRC_PEER, segment), Term(t.DST_PEER, segment)),
            (),
            Kind.SPLIT_HORIZON,
            gateway.number,
            f"from segment {gateway.segment} for it: never comes back to it",
        )


def _segment_source(segment: ShortId, whose: str) -> Iterator[FlowSpec]:
    for origin, hosts in ((0, "new hosts"), (t.origin_segment(segment), "known hosts")):
        yield _hosts(segment, origin, f"{hosts} of {whose}")


def _hosts(segment: ShortId, origin: int, which: str) -> FlowSpec:
    return FlowSpec(
        t.SEGMENT_SOURCE.name,
        100,
        (Term(t.SRC_PEER, segment), Term(t.ORIGIN, origin)),
        (*learn_behind_segment(segment), Resubmit(t.REVERSE_PATH.name), Goto(t.LOOKUP.name)),
        Kind.PEER,
        segment,
        f"{which}; their MACs are learnt",
    )


def _old_gateway(peer: RemotePeer, gateways: Sequence[GatewayPort]) -> Iterator[FlowSpec]:
    """Its hosts and its containers look the same: what it teaches is no more than hearsay."""
    cookie = subject_cookie(Kind.LEARNT_PEER, peer.short_id)
    learn = learn_mac(cookie, t.KNOWN_PEER, t.DST_PEER, peer.short_id, LEARN_PRIORITY_SECOND_HAND)
    shared = {g.short_id for g in gateways if g.segment in peer.lets_in}
    for origin in (0, *(t.origin_segment(segment) for segment in sorted(shared))):
        yield FlowSpec(
            t.SEGMENT_SOURCE.name,
            100,
            (Term(t.SRC_PEER, peer.short_id), Term(t.ORIGIN, origin)),
            (learn, Resubmit(t.REVERSE_PATH.name), Goto(t.LOOKUP.name)),
            Kind.PEER,
            peer.short_id,
            f"hosts and containers behind {label(peer)}, a gateway that does not tell them apart",
        )
