"""Key behaviours of the flows, read from the flows themselves.

What frames do in a whole mesh of them is tested in tests/model.
"""

from dataclasses import replace

import pytest
from pipeline_states import for_every_state

from weave_ryu.gate import Gate
from weave_ryu.names import ShortId
from weave_ryu.pipeline import rules
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
from weave_ryu.pipeline.parts import GROUP_BIT
from weave_ryu.pipeline.render import EXAMPLE
from weave_ryu.pipeline.reserved import RESERVED
from weave_ryu.pipeline.state import ForwardingState, GatewayPort, LocalPort
from weave_ryu.pipeline.tables import (
    DST_PEER,
    FLOODED,
    FROM_TUNNEL,
    KNOWN_PORT,
    METER_NEIGHBOUR_HEARTBEATS,
    METER_STRANGE_HEARTBEATS,
    ON_TREE,
    ORIGIN,
    ORIGIN_MESH,
    OUT_PORT,
    SRC_PEER,
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
        for tunnel, output in zip(flow.actions[::2], flow.actions[1::2], strict=True)
        if isinstance(tunnel, SetTunnel) and output == Output(1)
    ]


def test_flows_are_sorted_so_that_the_same_state_gives_the_same_bytes():
    assert rules.flows(EXAMPLE) == rules.flows(replace(EXAMPLE))


@for_every_state
def test_flows_do_not_depend_on_the_order_of_ports_and_peers(state):
    turned = replace(
        state, local_ports=state.local_ports[::-1], gateway_ports=state.gateway_ports[::-1]
    )
    same = {"classify", "deliver", "gate_in", "gate_out", "segment_source"}
    one = [flow for flow in rules.flows(state) if flow.table in same]
    assert one == [flow for flow in rules.flows(turned) if flow.table in same]


def test_peer_that_knows_nobody_still_has_its_frame_of_flows():
    lonely = ForwardingState(OWN, local_ports=(LocalPort(2, "c1"), LocalPort(3, "c2")))
    flood = find("flood_ports", state=lonely)
    assert flood.actions == (Output(2), Output(3))
    assert not any(f.kind in (Kind.PEER, Kind.NEIGHBOUR) for f in rules.flows(lonely))


@for_every_state
def test_without_permits_no_flow_lets_a_frame_in_or_out_of_a_segment(state):
    numbers = {port.number for port in state.gateway_ports}
    for flow in rules.flows(state):
        assert flow.kind not in UNMANAGED
        assert not any(isinstance(action, OutputMark) for action in flow.actions), flow
        assert not any(isinstance(a, Output) and a.port in numbers for a in flow.actions), flow
        if flow.table in ("gate_in", "gate_out", "segment_source"):
            assert flow.actions == ()


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
    for permit in rules.permits(GATEWAY, OWN, Gate.OPEN, 2):
        assert permit.hard_timeout_s == 2
        assert (permit.kind, permit.subject) == (Kind.PERMIT, GATEWAY.number)
        always = [f for f in rules.flows(EXAMPLE) if f.table == permit.table]
        assert permit.priority > max(f.priority for f in always)


def test_permits_concern_their_own_port_only():
    terms = {term for permit in rules.permits(GATEWAY, OWN, Gate.OPEN, 1) for term in permit.match}
    assert terms == {
        Term(Field.IN_PORT, 3),
        Term(OUT_PORT, 3),
        Term(ORIGIN, 0),
        Term(ORIGIN, 3),
        Term(FLOODED, 0),
        Term(FLOODED, 1),
    }


@pytest.mark.parametrize(
    ("gate", "tables"),
    [
        (Gate.CLOSED, []),
        (Gate.DRAINING, ["forward", "gate_in", "segment_source", "segment_source"]),
        (Gate.KNOWN, ["gate_in", "gate_out", "segment_source", "segment_source"]),
        (
            Gate.TAKING,
            [
                *("gate_flood", "gate_in", "gate_out", "gate_out", "held"),
                *("segment_source",) * 4,
                "sighted",
            ],
        ),
        (
            Gate.OPEN,
            ["gate_flood", "gate_in", "gate_out", "gate_out", "segment_source", "segment_source"],
        ),
    ],
)
def test_each_level_of_the_gate_has_its_permits(gate, tables):
    assert sorted(f.table for f in rules.permits(GATEWAY, OWN, gate, 1)) == tables


def test_gate_for_known_unicast_lets_out_nothing_that_is_flooded():
    out = [f for f in rules.permits(GATEWAY, OWN, Gate.KNOWN, 1) if f.table == "gate_out"]
    assert [set(f.match) for f in out] == [{Term(OUT_PORT, 3), Term(FLOODED, 0)}]


@pytest.mark.parametrize("gate", [Gate.KNOWN, Gate.TAKING])
def test_broadcasts_that_the_other_gateway_lets_in_are_passed_on_during_a_hand_over(gate):
    known = [f for f in rules.permits(GATEWAY, OWN, gate, 1, B) if f.table == "gateway_source"]
    assert {term for flow in known for term in flow.match} == {
        Term(SRC_PEER, B),
        Term(ORIGIN, 0),
        Term(ORIGIN, GATEWAY.number),
        Term(Field.ETH_DST, GROUP_BIT, GROUP_BIT),
    }
    for flow in known:
        goes_to = {a.table for a in flow.actions if isinstance(a, (Goto, Resubmit))}
        assert {"reverse_path", "lookup"} <= goes_to
        assert ("sighted" in goes_to) is (gate is Gate.TAKING)
        # What is for the daemon comes last: a meter that is exceeded ends the way of a frame.
        assert gate is Gate.KNOWN or flow.actions[-1] == Goto("sighted")


def test_own_hosts_are_redirected_even_by_way_of_the_successor():
    by_successor = find("redirect", Term(DST_PEER, B), Term(KNOWN_PORT, 1), Term(ON_TREE, 1))
    assert by_successor.priority > find("redirect", Term(Field.TUN_SRC, "192.0.2.3")).priority


def test_draining_gate_teaches_nothing_if_it_knows_no_successor():
    assert not [a for f in rules.permits(GATEWAY, OWN, Gate.DRAINING, 1) for a in learns(f)]


def test_draining_gate_redirects_what_is_for_its_own_hosts_to_its_successor():
    draining = rules.permits(GATEWAY, OWN, Gate.DRAINING, 1, B)
    redirect = next(f for f in draining if Term(KNOWN_PORT, 1) in f.match)
    assert set(redirect.match) == {
        Term(KNOWN_PORT, 1),
        Term(OUT_PORT, GATEWAY.number),
        Term(FROM_TUNNEL, 1),
    }
    assert redirect.actions == (Load(DST_PEER, B), Goto("redirect"))
    assert redirect.priority > find("forward", Term(KNOWN_PORT, 1)).priority
    # Its hosts stay known until it closes, but frames that the successor forwards are believed.
    assert {a.table for f in draining for a in learns(f)} == {"mac"}


def test_copies_for_segments_are_marked_as_flooded_before_the_gate_sees_them():
    first, *_ = find("flood_segments").actions
    assert first == Load(FLOODED, 1)


def test_redirect_keeps_the_source_peer_and_changes_the_destination():
    tunnel, output = find("redirect", Term(DST_PEER, B)).actions
    assert (tunnel.tun_id, tunnel.destination, output) == (None, B, Output(1))


def test_frame_is_never_redirected_twice():
    brake = find("redirect", Term(Field.TUN_SRC, "192.0.2.3"))
    assert brake.actions == (Goto("gate_flood"),)
    assert brake.priority > find("redirect", Term(DST_PEER, B)).priority


def test_only_other_gateways_of_an_own_segment_are_redirected_to():
    elsewhere = replace(EXAMPLE, gateway_ports=(GatewayPort(3, "eth1", "office"),))
    table = [f for f in rules.flows(elsewhere) if f.table == "redirect"]
    assert [f for f in table if f.actions != (Goto("gate_flood"),)] == []


def test_frames_are_redirected_only_while_the_gate_drains():
    assert not [f for f in rules.flows(EXAMPLE) if Goto("redirect") in f.actions]
    for gate in Gate:
        redirecting = [
            f for f in rules.permits(GATEWAY, OWN, gate, 1) if Goto("redirect") in f.actions
        ]
        assert bool(redirecting) is (gate is Gate.DRAINING)


def test_permit_marks_the_frames_of_the_segment_as_this_peers():
    gate_in = next(f for f in rules.permits(GATEWAY, OWN, Gate.OPEN, 1) if f.table == "gate_in")
    assert Load(SRC_PEER, OWN) in gate_in.actions


def test_permits_believe_only_sources_that_are_new_or_known_on_the_same_port():
    let_in = [f for f in rules.permits(GATEWAY, OWN, Gate.OPEN, 1) if f.table == "segment_source"]
    assert {t for f in let_in for t in f.match if t.what is ORIGIN} == {
        Term(ORIGIN, 0),
        Term(ORIGIN, GATEWAY.number),
    }


def test_what_a_permit_has_taught_goes_with_it():
    taught = [a for f in rules.permits(GATEWAY, OWN, Gate.OPEN, 1) for a in learns(f)]
    assert {action.table for action in taught} == {"mac", "origins"}
    assert all(action.with_parent for action in taught)
    assert {a.cookie for a in taught} == {subject_cookie(Kind.LEARNT_PORT, GATEWAY.number)}


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
    assert (origin.table, origin.loads[0].value) == ("origins", ORIGIN_MESH)
    assert not mac.with_parent


def test_macs_behind_a_peer_share_the_peers_cookie():
    flow = find("tunnel_source", Term(SRC_PEER, W), Term(DST_PEER, OWN))
    assert {a.cookie for a in learns(flow)} == {subject_cookie(Kind.LEARNT_PEER, W)}


def test_macs_behind_a_gateway_are_learnt_at_second_hand():
    assert not learns(find("tunnel_source", Term(SRC_PEER, B), Term(DST_PEER, OWN)))
    (second_hand,) = learns(find("gateway_source", Term(SRC_PEER, B), Term(ORIGIN, 0)))
    assert second_hand.table == "mac"
    assert second_hand.priority == rules.LEARN_PRIORITY_SECOND_HAND < rules.LEARN_PRIORITY


def test_containers_beside_a_gateway_are_heard_from_gateways_and_from_no_segment():
    (learn,) = rules.hearsay(is_beside=True)
    (load,) = learn.loads
    beside = Term(ORIGIN, load.value)
    known, unknown = (
        find("gateway_source", Term(SRC_PEER, B), Term(ORIGIN, value)) for value in (load.value, 0)
    )
    assert known.actions == unknown.actions
    let_in = [f for f in rules.permits(GATEWAY, OWN, Gate.OPEN, 1) if f.table == "segment_source"]
    assert all(beside not in f.match for f in let_in)
    assert learn.cookie != rules.hearsay()[0].cookie


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


def test_broadcast_goes_to_the_mesh_before_it_goes_to_a_segment():
    consulted = [a.table for a in find("flood").actions if isinstance(a, Resubmit)]
    assert consulted.index("flood_mesh") < consulted.index("flood_segments")


def test_peer_without_route_has_neither_unicast_nor_relay_flow():
    cut_off = replace(EXAMPLE, peers=(replace(EXAMPLE.peers[2], next_hop=None, parent=None),))
    about_x = {f.table for f in rules.flows(cut_off) if (f.kind, f.subject) == (Kind.PEER, X)}
    assert about_x == {"tunnel_source", "flood_mesh"}


def test_split_horizon_holds_between_gateways_of_one_segment_only():
    split = find("split_out", Term(SRC_PEER, B), Term(OUT_PORT, 3))
    assert (split.actions, split.kind, split.subject) == ((), Kind.SPLIT_HORIZON, 3)
    elsewhere = replace(EXAMPLE, gateway_ports=(GatewayPort(3, "eth1", "office"),))
    split_flows = [f for f in rules.flows(elsewhere) if f.table == "split_out"]
    assert [f.actions for f in split_flows] == [(Goto("gate_out"),)]


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


def test_two_neighbours_at_one_address_share_its_flows():
    twin = replace(EXAMPLE.neighbours[0], short_id=ShortId(0x444))
    shared = replace(EXAMPLE, neighbours=(*EXAMPLE.neighbours, twin))
    assert rules.flows(shared) == rules.flows(EXAMPLE)


def test_topology_change_rewrites_flows_of_peers_and_no_learnt_ones():
    moved = replace(EXAMPLE.peers[2], next_hop=EXAMPLE.neighbours[1])
    before, after = (
        set(rules.flows(EXAMPLE)),
        set(rules.flows(replace(EXAMPLE, peers=(*EXAMPLE.peers[:2], moved)))),
    )
    changed = before ^ after
    assert {(f.kind, f.subject) for f in changed} == {(Kind.PEER, X)}
    assert {f.table for f in changed} == {"unicast", "relay"}
