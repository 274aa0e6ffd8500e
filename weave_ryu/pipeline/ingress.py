"""Flows of the stages that say where a frame came from, and whether it may come in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from weave_ryu.names import HELLO_GROUP, SHORT_ID_BITS, ShortId
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
    learn_mac,
    learn_origin,
    send,
    tunnel_id,
)
from weave_ryu.pipeline.reserved import RESERVED
from weave_ryu.pipeline.state import GatewayPort, Hop, LocalPort, RemotePeer


def flows(
    own: ShortId,
    tunnels: Sequence[int],
    local: Sequence[LocalPort],
    gateways: Sequence[GatewayPort],
) -> Iterator[FlowSpec]:
    """Flows of the tables before `lookup` that no other peer has a part in."""
    yield from _classify(own, tunnels, local, gateways)
    yield from _tunnel_in(own)
    yield frame(
        t.TUNNEL_SOURCE.name,
        300,
        (Term(t.SRC_PEER, own),),
        (),
        "frames of this peer that the mesh returned",
    )
    for table in (t.TUNNEL_SOURCE, t.RELAY, t.REVERSE_PATH, t.GATEWAY_SOURCE):
        yield frame(table.name, 0, (), (), table.miss)
    yield from _gate(gateways)
    yield from _segment_source(gateways)


def of_peer(own: ShortId, peer: RemotePeer, shared: Sequence[GatewayPort]) -> Iterator[FlowSpec]:
    """Flows of the tables before `lookup` that are about one peer.

    Args:
        own: this peer.
        peer: the other one.
        shared: gateway ports of segments that it is a gateway of, too.
    """
    yield from _tunnel_source(own, peer)
    yield from _relay(peer)
    yield from _reverse_path(peer)
    yield from _gateway_source(peer, shared)


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
            learn_mac(cookie, t.KNOWN_PORT, t.OUT_PORT, port.number),
            learn_origin(cookie, t.ORIGIN_MESH),
            Goto(t.LOOKUP.name),
        ),
        Kind.LOCAL_PORT,
        port.number,
        f"frames from containers on {port.name}; their MACs are learnt",
    )


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


def _tunnel_source(own: ShortId, peer: RemotePeer) -> Iterator[FlowSpec]:
    name = t.TUNNEL_SOURCE.name
    source = Term(t.SRC_PEER, peer.short_id)
    cookie = subject_cookie(Kind.LEARNT_PEER, peer.short_id)
    if peer.segments:
        actions: tuple[Action, ...] = (
            Resubmit(t.ORIGINS.name),
            Goto(t.GATEWAY_SOURCE.name),
        )
        why = f"frames from gateway {label(peer)} for this peer"
    else:
        actions = (
            learn_mac(cookie, t.KNOWN_PEER, t.DST_PEER, peer.short_id),
            learn_origin(cookie, t.ORIGIN_MESH),
            Resubmit(t.REVERSE_PATH.name),
            Goto(t.LOOKUP.name),
        )
        why = f"frames from {label(peer)} for this peer; their source MACs are learnt"
    yield FlowSpec(
        name,
        200,
        (source, Term(t.DST_PEER, own)),
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
    if peer.parent is not None:
        yield FlowSpec(
            t.REVERSE_PATH.name,
            100,
            (
                Term(t.SRC_PEER, peer.short_id),
                Term(Field.TUN_SRC, peer.parent.remote_ip),
            ),
            (Load(t.ON_TREE, 1),),
            Kind.PEER,
            peer.short_id,
            f"broadcasts of {label(peer)} come by {peer.parent.remote_ip}",
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


def _segment_source(gateways: Sequence[GatewayPort]) -> Iterator[FlowSpec]:
    name = t.SEGMENT_SOURCE.name
    for gateway in gateways:
        yield FlowSpec(
            name,
            100,
            (Term(Field.IN_PORT, gateway.number),),
            (),
            Kind.SPLIT_HORIZON,
            gateway.number,
            f"frames of the mesh that segment {gateway.segment} returned",
        )
    yield frame(name, 0, (), (), t.SEGMENT_SOURCE.miss)


def _gateway_source(peer: RemotePeer, shared: Sequence[GatewayPort]) -> Iterator[FlowSpec]:
    if not peer.segments:
        return
    name = t.GATEWAY_SOURCE.name
    cookie = subject_cookie(Kind.LEARNT_PEER, peer.short_id)
    learn = learn_mac(cookie, t.KNOWN_PEER, t.DST_PEER, peer.short_id, LEARN_PRIORITY_SECOND_HAND)
    for origin, whose in (
        (0, f"hosts and containers behind {label(peer)}"),
        (t.ORIGIN_BESIDE, f"containers beside a gateway, {label(peer)} or one that it told of"),
    ):
        yield FlowSpec(
            name,
            100,
            (Term(t.SRC_PEER, peer.short_id), Term(t.ORIGIN, origin)),
            (learn, Resubmit(t.REVERSE_PATH.name), Goto(t.LOOKUP.name)),
            Kind.PEER,
            peer.short_id,
            f"{whose}; their MACs are learnt at second hand",
        )
    for gateway in shared:
        yield FlowSpec(
            name,
            90,
            (Term(t.SRC_PEER, peer.short_id), Term(t.ORIGIN, gateway.number)),
            (learn,),
            Kind.SPLIT_HORIZON,
            gateway.number,
            f"hosts of {gateway.segment} that {label(peer)} has forwarded, too: noted for "
            "the time after a hand-over, not forwarded again",
        )
