"""Hypothesis strategies: forwarding states as the coordinator can make them, and their flows."""

from hypothesis import given, settings
from hypothesis import strategies as st

from weave_ryu.gate import Gate
from weave_ryu.names import PeerName, ShortId
from weave_ryu.pipeline import rules
from weave_ryu.pipeline.state import (
    ForwardingState,
    GatewayPort,
    Hop,
    LocalPort,
    RemotePeer,
    Tree,
)

SEGMENTS = ("vlan", "office", "lab")
ADDRESSES = tuple(f"192.0.2.{n}" for n in range(1, 9))
EXAMPLES = 40
LOCAL_IP = "192.0.2.99"

short_ids = st.integers(0, 4095).map(ShortId)
port_numbers = st.integers(1, 0xFEFF)
BRIDGE_PORT = 0xFFFFFFFE
"""OFPP_LOCAL: the bridge's own port, behind which is the host itself."""


@st.composite
def forwarding_states(draw):
    """Short ids and port numbers are unique, hops are neighbours; all else is arbitrary.

    Two neighbours may share an address, as peers on one host behind address translation do.
    """
    ids = draw(st.lists(short_ids, min_size=3, max_size=8, unique=True))
    own, of_segments, others = ids[0], ids[1:3], ids[3:]
    segments = draw(st.permutations(SEGMENTS))
    numbers = draw(st.lists(port_numbers, min_size=6, max_size=6, unique=True))
    tunnels = tuple(sorted(numbers[:2]))
    neighbours = tuple(
        Hop(short_id, draw(st.sampled_from(ADDRESSES)), LOCAL_IP, draw(st.sampled_from(tunnels)))
        for short_id in others
        if draw(st.booleans())
    )
    hops = st.sampled_from(neighbours) if neighbours else st.nothing()
    maybe_hop = st.none() | hops
    old_gateways = st.frozensets(st.sampled_from(SEGMENTS), max_size=2)
    several_hops = st.lists(hops, max_size=min(3, len(neighbours)), unique=True).map(tuple)
    peers = tuple(
        RemotePeer(
            PeerName(0x7A0000000000 + short_id),
            f"n{short_id}",
            short_id,
            draw(maybe_hop),
            draw(maybe_hop),
            draw(several_hops),
            is_segment=is_segment,
            former=draw(st.none() | st.builds(Tree, maybe_hop, several_hops))
            if is_segment
            else None,
            lets_in=frozenset() if is_segment else draw(old_gateways),
        )
        # Own segments may be peers in the mesh already.
        for short_id in [*others, *of_segments]
        for is_segment in [short_id in of_segments or draw(st.booleans())]
        if draw(st.integers(0, 3))
    )
    taken = {hop.remote_ip for hop in neighbours}
    pending = draw(st.lists(st.sampled_from(ADDRESSES), max_size=2, unique=True))
    return ForwardingState(
        short_id=own,
        tunnel_ports=tunnels,
        neighbours=neighbours,
        pending=tuple(sorted(set(pending) - taken)),
        peers=peers,
        broadcast_hops=draw(several_hops),
        local_ports=tuple(
            LocalPort(n, f"c{n}") for n in (*numbers[2:4], BRIDGE_PORT) if draw(st.booleans())
        ),
        gateway_ports=tuple(
            GatewayPort(n, f"gw{n}", segment, short_id, is_peer=draw(st.booleans()))
            for n, segment, short_id in zip(numbers[4:], segments[:2], of_segments, strict=True)
            if draw(st.booleans())
        ),
    )


def all_flows(state, gate=Gate.OPEN):
    """Everything that can be in a switch in this state: all gateway ports are open."""
    flows = rules.flows(state)
    for port in state.gateway_ports:
        flows += rules.permits(port, gate, 1)
    return flows


def for_every_state(test):
    """Hypothesis calls the test with many states; few enough for a fast set of tests."""
    return settings(max_examples=EXAMPLES, deadline=None)(given(forwarding_states())(test))


def for_every_state_and_gate(test):
    """The same, with each level to which a gateway port can be open."""
    with_both = given(forwarding_states(), st.sampled_from(Gate))(test)
    return settings(max_examples=EXAMPLES, deadline=None)(with_both)
