"""Key behaviours of the flows, read from the flows themselves.

What frames do in a whole mesh of them is tested in tests/model.
"""

import itertools
from dataclasses import replace

import pytest
from pipeline_states import for_every_state

from weave_ryu.gate import Gate
from weave_ryu.names import ShortId
from weave_ryu.pipeline import ingress, rules
from weave_ryu.pipeline.cookies import UNMANAGED, Kind, subject_cookie
from weave_ryu.pipeline.ingress import FRAGMENTATION_NEEDED, PACKET_TOO_BIG
from weave_ryu.pipeline.model import (
    Field,
    Goto,
    Learn,
    Load,
    Output,
    OutputMark,
    Resubmit,
    SetTunnel,
    Term,
    ToController,
)
from weave_ryu.pipeline.render import EXAMPLE
from weave_ryu.pipeline.reserved import RESERVED
from weave_ryu.pipeline.state import ForwardingState, LocalPort, Tree
from weave_ryu.pipeline.tables import (
    DST_PEER,
    FLOODED,
    FORMER,
    FROM_TUNNEL,
    KNOWN_PEER,
    METER_NEIGHBOUR_HEARTBEATS,
    METER_STRANGE_HEARTBEATS,
    ON_TREE,
    ORIGIN,
    ORIGIN_MESH,
    OUT_PORT,
    SRC_PEER,
    holder_of,
    origin_peer,
    origin_segment,
)

OWN, B, W, X = ShortId(0xA), ShortId(0xB), ShortId(0x222), ShortId(0x333)
GATEWAY = EXAMPLE.gateway_ports[0]


def find(table, *match, state=EXAMPLE):
    found = [f for f in rules.flows(state) if f.table == table and set(f.match) == set(match)]
    assert len(found) == 1, found
    return found[0]


def learns(flow):
    return [action for action in flow.actions if isinstance(action, Learn)]


def sends(flow):
    return [
        (tunnel.remote_ip, tunnel.tun_id)
        for tunnel, output in itertools.pairwise(flow.actions)
        if isinstance(tunnel, SetTunnel) and output == Output(1)
    ]


def test_flows_are_sorted_so_that_the_same_state_gives_the_same_bytes():
    assert rules.flows(EXAMPLE) == rules.flows(replace(EXAMPLE))


@for_every_state
def test_flows_do_not_depend_on_the_order_of_ports_and_peers(state):
    turned = replace(
        state, local_ports=state.local_ports[::-1], gateway_ports=state.gateway_ports[::-1]
    )
    same = {"classify", "deliver", "gate_in", "gate_out"}
    one = [flow for flow in rules.flows(state) if flow.table in same]
    assert one == [flow for flow in rules.flows(turned) if flow.table in same]


def test_peer_that_knows_nobody_still_has_its_frame_of_flows():
    lonely = ForwardingState(OWN, local_ports=(LocalPort(2, "c1"), LocalPort(3, "c2")))
    flood = find("flood_ports", state=lonely)
    assert flood.actions == (Output(2), Output(3))
    assert not any(f.kind in (Kind.PEER, Kind.NEIGHBOUR) for f in rules.flows(lonely))


@for_every_state
def test_every_gateway_port_has_a_drop_with_a_counter_each_way(state):
    for port in state.gateway_ports:
        for table, term in (
            ("gate_in", Term(Field.IN_PORT, port.number)),
            ("gate_out", Term(OUT_PORT, port.number)),
        ):
            flow = find(table, term, state=state)
            assert (flow.priority, flow.actions, flow.kind) == (100, (), Kind.GATEWAY)


def test_permits_stand_above_the_drops_and_run_out():
    for permit in rules.permits(GATEWAY, Gate.OPEN, 2):
        assert permit.hard_timeout_s == 2
        assert (permit.kind, permit.subject) == (Kind.PERMIT, GATEWAY.number)
        always = [f for f in rules.flows(EXAMPLE) if f.table == permit.table]
        if permit.table.startswith("gate"):
            assert permit.priority > max(f.priority for f in always)


def test_gate_for_known_unicast_lets_out_nothing_that_is_flooded():
    out = [f for f in rules.permits(GATEWAY, Gate.KNOWN, 1) if f.table == "gate_out"]
    assert [set(f.match) for f in out] == [{Term(OUT_PORT, 3), Term(FLOODED, 0)}]


def test_reserved_groups_and_group_sources_are_dropped_before_all_else():
    first = [f for f in rules.flows(EXAMPLE) if f.table == "classify"][: len(RESERVED) + 1]
    assert {f.actions for f in first} == {()}
    wanted = {(Term(Field.ETH_DST, group.address, group.mask),) for group in RESERVED}
    assert {f.match for f in first[:-1]} == wanted
    assert (Term(Field.ETH_DST, "01:80:c2:00:00:00", "ff:ff:ff:ff:ff:f0"),) in wanted


def test_containers_macs_are_learnt_as_of_the_port_and_of_the_mesh():
    mac, origin = learns(find("classify", Term(Field.IN_PORT, 2)))
    assert (mac.table, mac.by, mac.cookie) == (
        "mac",
        Field.ETH_DST,
        subject_cookie(Kind.LEARNT_PORT, 2),
    )
    assert (origin.table, origin.loads[0].value) == ("origins", origin_peer(OWN))


def test_macs_behind_a_peer_share_the_peers_cookie():
    flow = find("tunnel_source", Term(SRC_PEER, W), Term(DST_PEER, OWN))
    assert {a.cookie for a in learns(flow)} == {subject_cookie(Kind.LEARNT_PEER, W)}


def test_relayed_frames_teach_nothing_and_keep_their_tunnel_id():
    assert find("tunnel_source", Term(SRC_PEER, W)).actions == (Goto("relay"),)
    assert sends(find("relay", Term(DST_PEER, X))) == [("192.0.2.2", None)]


def test_relayed_frame_from_its_own_next_hop_is_dropped():
    brake = find("relay", Term(DST_PEER, X), Term(Field.TUN_SRC, "192.0.2.2"))
    assert brake.actions == ()
    assert brake.priority > find("relay", Term(DST_PEER, X)).priority


def test_own_frames_that_the_mesh_returns_are_dropped():
    assert find("tunnel_source", Term(SRC_PEER, OWN)).actions == ()


@pytest.mark.parametrize("said", [FRAGMENTATION_NEEDED, PACKET_TOO_BIG])
def test_what_the_kernel_says_of_frames_too_long_passes_and_teaches_nothing(said):
    let_in = find("tunnel_source", Term(SRC_PEER, OWN), *said)
    assert let_in.actions == (Goto("lookup"),)
    assert let_in.priority > find("tunnel_source", Term(SRC_PEER, OWN)).priority


def test_unicast_carries_the_final_peer_and_goes_to_the_next_hop():
    assert sends(find("unicast", Term(DST_PEER, X))) == [("192.0.2.2", X << 12 | OWN)]


def test_broadcast_carries_the_hop_and_the_source_of_the_tree():
    assert sends(find("flood_mesh", Term(SRC_PEER, X))) == [("192.0.2.3", B << 12 | X)]
    assert sends(find("flood_mesh", Term(SRC_PEER, OWN))) == [
        ("192.0.2.2", W << 12 | OWN),
        ("192.0.2.3", B << 12 | OWN),
    ]


def test_peer_without_route_has_neither_unicast_nor_relay_flow():
    cut_off = replace(EXAMPLE, peers=(replace(EXAMPLE.peers[2], next_hop=None, parent=None),))
    about_x = {f.table for f in rules.flows(cut_off) if (f.kind, f.subject) == (Kind.PEER, X)}
    assert about_x == {"tunnel_source", "flood_mesh"}


def test_frames_are_taken_from_neighbours_addresses_only():
    senders = {
        term.value
        for flow in rules.flows(EXAMPLE)
        if flow.table == "tunnel_in" and Goto("tunnel_source") in flow.actions
        for term in flow.match
    }
    assert senders == {"192.0.2.2", "192.0.2.3"}


@pytest.mark.parametrize(
    ("sender", "meter"),
    [
        ("192.0.2.2", METER_NEIGHBOUR_HEARTBEATS),
        ("192.0.2.4", METER_NEIGHBOUR_HEARTBEATS),
        (None, METER_STRANGE_HEARTBEATS),
    ],
    ids=["neighbour", "pending", "stranger"],
)
def test_heartbeats_reach_the_daemon_through_a_meter_of_their_own(sender, meter):
    flows = [
        f
        for f in rules.flows(EXAMPLE)
        if f.table == "tunnel_in" and any(isinstance(a, ToController) for a in f.actions)
    ]
    found = [
        f.actions
        for f in flows
        if {t.value for t in f.match if t.what is Field.TUN_SRC} == ({sender} if sender else set())
    ]
    assert found == [(ToController(meter),)]


def test_flows_of_a_connection_that_begins_replace_none_of_a_neighbour():
    """A daemon that starts keeps those of its predecessor until it knows the mesh itself."""
    hop, own = EXAMPLE.neighbours[0], EXAMPLE.short_id
    kept = {(f.table, f.priority, f.match) for f in ingress.of_neighbour(own, hop)}
    new = {(f.table, f.priority, f.match) for f in ingress.pending(own, [hop.remote_ip])}
    assert new
    assert not new & kept


def test_two_neighbours_at_one_address_share_its_flows():
    twin = replace(EXAMPLE.neighbours[0], short_id=ShortId(0x444))
    shared = replace(EXAMPLE, neighbours=(*EXAMPLE.neighbours, twin))
    assert rules.flows(shared) == rules.flows(EXAMPLE)


def test_topology_change_rewrites_flows_of_peers_and_no_learnt_ones():
    moved = replace(EXAMPLE.peers[2], next_hop=EXAMPLE.neighbours[1])
    before, after = (
        set(rules.flows(EXAMPLE)),
        set(rules.flows(replace(EXAMPLE, peers=(*EXAMPLE.peers[:2], moved, EXAMPLE.peers[3])))),
    )
    changed = before ^ after
    assert {(f.kind, f.subject) for f in changed} == {(Kind.PEER, X)}
    assert {f.table for f in changed} == {"unicast", "relay"}


# Segments.

VLAN, OFFICE = GATEWAY.short_id, ShortId(0x5E7)


def permits(gate, table=None):
    return [f for f in rules.permits(GATEWAY, gate, 1) if table in (None, f.table)]


@for_every_state
def test_without_permits_no_flow_lets_a_frame_in_or_out_of_a_segment(state):
    numbers = {port.number for port in state.gateway_ports}
    for flow in rules.flows(state):
        assert flow.kind not in UNMANAGED
        assert not any(isinstance(action, OutputMark) for action in flow.actions), flow
        assert not any(isinstance(a, Output) and a.port in numbers for a in flow.actions), flow
        if flow.table in ("gate_in", "gate_out"):
            assert flow.actions == ()


def test_permits_concern_their_own_port_and_segment_only():
    terms = {term for permit in permits(Gate.OPEN) for term in permit.match}
    assert terms == {
        Term(Field.IN_PORT, 3),
        Term(OUT_PORT, 3),
        Term(DST_PEER, VLAN),
        Term(KNOWN_PEER, 1),
        Term(FROM_TUNNEL, 1),
        Term(FLOODED, 0),
        Term(FLOODED, 1),
    }


KNOWN = ["gate_in", "gate_out", "relay", "unicast"]


@pytest.mark.parametrize(
    ("gate", "tables"),
    [
        (Gate.CLOSED, []),
        (Gate.DRAINING, ["gate_in"]),
        (Gate.KNOWN, KNOWN),
        (
            Gate.TAKING,
            [*KNOWN, "gate_flood", "gate_out", "held", *("segment_source",) * 3, "sighted"],
        ),
        (Gate.OPEN, [*KNOWN, "forward", "gate_flood", "gate_out"]),
    ],
)
def test_each_level_of_the_gate_has_its_permits(gate, tables):
    assert sorted(f.table for f in permits(gate)) == sorted(tables)


def test_permit_marks_the_frames_of_the_segment_as_the_segments():
    (gate_in,) = permits(Gate.DRAINING)
    assert Load(SRC_PEER, VLAN) in gate_in.actions


def test_segments_macs_are_learnt_behind_the_segment_at_second_hand():
    for segment in (VLAN, OFFICE):
        for origin in (0, origin_segment(segment)):
            flow = find("segment_source", Term(SRC_PEER, segment), Term(ORIGIN, origin))
            mac, where = learns(flow)
            assert (mac.table, where.table) == ("mac", "origins")
            assert {mac.loads[0].value, where.loads[0].value} == {segment, origin_segment(segment)}
            assert mac.cookie == subject_cookie(Kind.LEARNT_PEER, segment)
            assert mac.priority == where.priority == rules.LEARN_PRIORITY_SECOND_HAND


def test_hosts_of_another_gateways_segment_come_in_though_others_have_told_of_them():
    told = Term(ORIGIN, ORIGIN_MESH)
    flow = find("segment_source", Term(SRC_PEER, OFFICE), told)
    assert [learn.table for learn in learns(flow)] == ["mac", "origins"]
    assert Goto("lookup") in flow.actions
    own = [f for f in rules.flows(EXAMPLE) if {Term(SRC_PEER, VLAN), told} <= set(f.match)]
    assert own == [], "what is told is not on the own segment: it has returned it"


def test_frames_of_other_peers_that_a_segment_returns_are_neither_let_in_nor_learnt():
    accepted = {
        term.value
        for flow in rules.flows(EXAMPLE)
        if flow.table == "segment_source" and Term(SRC_PEER, VLAN) in flow.match
        for term in flow.match
        if term.what is ORIGIN
    }
    assert accepted == {0, origin_segment(VLAN)}
    assert find("segment_source", Term(Field.IN_PORT, 3)).actions == (Goto("moved"),)
    assert find("segment_source").actions == ()


def test_a_mac_that_appears_at_a_containers_port_is_shown_to_the_daemon():
    for origin in (0, origin_peer(OWN)):
        assert find("local_source", Term(ORIGIN, origin)).actions == (Goto("lookup"),)
    assert find("local_source").actions == (Resubmit("lookup"), Goto("moved"))
    # Looked up before the port is learnt as its new place.
    actions = find("classify", Term(Field.IN_PORT, 2)).actions
    first = min(at for at, action in enumerate(actions) if isinstance(action, Learn))
    assert actions.index(Resubmit("origins")) < first


def test_an_origin_names_the_peer_that_has_the_mac():
    assert holder_of(origin_peer(W)) == W
    assert [holder_of(value) for value in (0, origin_segment(VLAN), ORIGIN_MESH)] == [None] * 3


def test_sources_of_frames_for_an_own_segment_are_learnt_too():
    mac, origin = learns(find("tunnel_source", Term(SRC_PEER, W), Term(DST_PEER, VLAN)))
    assert (mac.loads[0].value, origin.loads[0].value) == (W, origin_peer(W))


def test_what_a_segment_sends_carries_its_short_id():
    assert sends(find("unicast", Term(SRC_PEER, VLAN), Term(DST_PEER, X))) == [
        ("192.0.2.2", X << 12 | VLAN)
    ]
    assert sends(find("flood_mesh", Term(SRC_PEER, VLAN), Term(FROM_TUNNEL, 0))) == [
        ("192.0.2.2", W << 12 | VLAN),
        ("192.0.2.3", B << 12 | VLAN),
    ]


def test_what_the_segment_of_an_old_mesh_sends_carries_the_gateways():
    old = replace(EXAMPLE, gateway_ports=(replace(GATEWAY, is_peer=False),))
    flood = find("flood_mesh", Term(SRC_PEER, VLAN), Term(FROM_TUNNEL, 0), state=old)
    assert sends(flood) == [("192.0.2.2", W << 12 | OWN), ("192.0.2.3", B << 12 | OWN)]
    assert not [f for f in rules.flows(old) if Term(SRC_PEER, VLAN) in f.match and sends_any(f)]


def sends_any(flow):
    return flow.table == "unicast" and any(isinstance(a, SetTunnel) for a in flow.actions)


def test_own_segment_is_a_leaf_of_every_tree_but_its_own():
    leaf = (Load(OUT_PORT, 3), Load(FLOODED, 1), Resubmit("gate_out"))
    for flow in rules.flows(EXAMPLE):
        if flow.table == "flood_mesh" and flow.match:
            is_own = Term(SRC_PEER, VLAN) in flow.match
            assert (flow.actions[-3:] == leaf) is not is_own


def test_broadcast_goes_to_the_mesh_before_it_goes_to_a_segment_or_a_container():
    actions = find("flood_mesh", Term(SRC_PEER, OWN)).actions
    assert isinstance(actions[0], SetTunnel)
    assert isinstance(actions[-1], Resubmit)
    consulted = [a.table for a in find("flood").actions if isinstance(a, Resubmit)]
    assert consulted == ["flood_mesh", "flood_ports"]


def test_nothing_of_a_segment_goes_back_to_it():
    for table in ("unicast", "relay"):
        hairpin = find(table, Term(SRC_PEER, VLAN), Term(DST_PEER, VLAN))
        assert hairpin.actions == ()
        assert hairpin.priority > max(f.priority for f in permits(Gate.OPEN, table))


def test_segments_broadcasts_are_accepted_along_their_tree_only():
    off_tree = (Term(FROM_TUNNEL, 1), Term(ON_TREE, 0))
    for segment in (VLAN, OFFICE):
        assert find("flood", Term(SRC_PEER, segment), *off_tree).actions == ()
    assert find("flood", *off_tree).actions == (Resubmit("flood_ports"),)


def test_the_tree_that_a_segment_had_a_moment_ago_goes_on_as_it_was():
    office = replace(
        EXAMPLE.peers[3], parent=EXAMPLE.neighbours[1], former=Tree(EXAMPLE.neighbours[0], ())
    )
    state = replace(EXAMPLE, peers=(*EXAMPLE.peers[:3], office))
    source = Term(SRC_PEER, OFFICE)
    late = find("reverse_path", source, Term(Field.TUN_SRC, "192.0.2.2"), state=state)
    assert late.actions == (Load(ON_TREE, 1), Load(FORMER, 1))
    onward = find("flood_mesh", source, Term(FORMER, 1), state=state)
    assert sends(onward) == []
    assert onward.priority > find("flood_mesh", source, state=state).priority


def test_old_gateways_teach_nothing_but_hearsay_and_their_frames_go_to_no_shared_segment():
    old = replace(EXAMPLE.peers[0], lets_in=frozenset({"vlan"}))
    state = replace(EXAMPLE, peers=(old, *EXAMPLE.peers[1:]))
    for origin in (0, origin_segment(VLAN)):
        flow = find("segment_source", Term(SRC_PEER, B), Term(ORIGIN, origin), state=state)
        (learn,) = learns(flow)
        assert (learn.table, learn.priority) == ("mac", rules.LEARN_PRIORITY_SECOND_HAND)
    assert not [
        f for f in rules.flows(state) if f.table == "flood_mesh" and Term(SRC_PEER, B) in f.match
    ]


def test_broadcasts_in_a_hand_over_are_shown_after_they_were_passed_on():
    shown = [f for f in permits(Gate.TAKING, "segment_source") if Term(FROM_TUNNEL, 1) in f.match]
    assert len(shown) == 2
    for flow in shown:
        goes_to = {a.table for a in flow.actions if isinstance(a, (Goto, Resubmit))}
        assert {"reverse_path", "lookup"} <= goes_to
        # What is for the daemon comes last: a meter that is exceeded ends the way of a frame.
        assert flow.actions[-1] == Goto("sighted")
