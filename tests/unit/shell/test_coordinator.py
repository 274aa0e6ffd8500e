"""What forwarding uses of the topology: lost connections count for a while, then no more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weave_ryu.mesh import routes
from weave_ryu.names import PeerName, ShortId
from weave_ryu.pipeline.state import GatewayPort, Hop, LocalPort
from weave_ryu.shell.coordinator import (
    FORMER_S,
    RESTART_HOLD_S,
    BridgePorts,
    ForwardingView,
    PeerInfo,
    Underlay,
    forwarding_state,
)

LETTERS = "ABCDE"
NAMES = {letter: PeerName(0x7A0000000000 + ord(letter)) for letter in LETTERS}
SHORT_IDS = {letter: ShortId(100 + n) for n, letter in enumerate(LETTERS)}
GATEWAY = GatewayPort(3, "eth1", "vlan", ShortId(0x513))
PORTS = BridgePorts({6784: 1}, (LocalPort(2, "c1"),), (GATEWAY,))
OWN = "A"


def infos(letters=LETTERS, **short_ids):
    ids = {**SHORT_IDS, **short_ids}
    return {NAMES[x]: PeerInfo(x, ids[x]) for x in letters}


def adjacency(*pairs, letters=LETTERS):
    found = {NAMES[x]: set() for x in letters}
    for a, b in pairs:
        found[NAMES[a]].add(NAMES[b])
        found[NAMES[b]].add(NAMES[a])
    return found


def underlay(letter, udp_port=6784):
    return Underlay(f"192.0.2.{ord(letter)}", "192.0.2.1", udp_port)


def hop(letter, port=1):
    return Hop(SHORT_IDS[letter], f"192.0.2.{ord(letter)}", "192.0.2.1", port)


def observe(view, *pairs, now=0.0, letters=LETTERS, known=None, underlays=None):
    """Pairs such as "AB" are established connections."""
    beside = {x for pair in pairs for x in pair if OWN in pair and x != OWN}
    view.observe(
        adjacency(*pairs, letters=letters),
        known or infos(letters),
        underlays if underlays is not None else {NAMES[x]: underlay(x) for x in beside},
        now,
    )


def state(view, lets_in=(), heard=(), ports=PORTS):
    return forwarding_state(view, NAMES[OWN], SHORT_IDS[OWN], ports, dict(lets_in), heard)


def edge(pair):
    return NAMES[pair[0]], NAMES[pair[1]]


@pytest.fixture
def view():
    return ForwardingView(NAMES[OWN], hold_s=10.0)


def test_established_connections_are_all_there_is(view):
    observe(view, "AB", "BC")
    assert view.graph().neighbours(NAMES["B"]) == (NAMES["A"], NAMES["C"])
    assert view.held() == []
    assert view.deadline() is None


def test_lost_connection_still_counts_for_a_while(view):
    observe(view, "AB", "BC")
    observe(view, "AB", now=5.0)
    assert view.held() == [edge("BC")]
    assert view.deadline() == 15.0
    assert view.graph().neighbours(NAMES["C"]) == (NAMES["B"],)


def test_routes_with_held_connections_are_those_of_before(view):
    observe(view, "AB", "BC", "CD", "AE")
    before = state(view)
    observe(view, "AE", now=1.0, letters="AE")
    assert state(view) == before
    observe(view, "AE", now=10.9, letters="AE")
    assert state(view) == before


def test_held_connection_runs_out_at_its_deadline(view):
    observe(view, "AB", "BC")
    observe(view, "AB", now=5.0)
    observe(view, "AB", now=14.9)
    assert view.held() == [edge("BC")]
    observe(view, "AB", now=15.0)
    assert view.held() == []
    assert view.deadline() is None
    assert view.graph().neighbours(NAMES["C"]) == ()


def test_looking_again_does_not_prolong_the_hold(view):
    observe(view, "AB", "BC")
    for now in (5.0, 6.0, 7.0):
        observe(view, "AB", now=now)
        assert view.deadline() == 15.0


def test_connection_that_comes_back_is_held_no_more(view):
    observe(view, "AB")
    observe(view, now=1.0)
    observe(view, "AB", now=2.0)
    assert view.held() == []
    observe(view, now=20.0)
    assert view.deadline() == 30.0


def test_hold_ends_though_a_neighbour_never_says_that_it_hears_us(view):
    observe(view, "AB", "BC")
    beside = {NAMES["B"]: underlay("B")}
    now = 1.0
    while now < 60.0:
        observe(view, now=now, underlays=beside)
        now = max(now + 0.5, view.deadline() or 0.0)
    assert view.held() == []


def test_deadline_is_that_of_the_earliest(view):
    observe(view, "AB", "AC")
    observe(view, "AC", now=1.0)
    observe(view, now=4.0)
    assert view.held() == [edge("AB"), edge("AC")]
    assert view.deadline() == 11.0
    observe(view, now=11.0)
    assert view.deadline() == 14.0


def test_nothing_is_held_when_that_is_switched_off():
    view = ForwardingView(NAMES[OWN], hold_s=0)
    observe(view, "AB", "BC")
    observe(view, "AB", now=1.0)
    assert view.held() == []
    assert view.deadline() is None
    assert view.graph().neighbours(NAMES["C"]) == ()


def test_default_hold_outlasts_a_restart():
    assert ForwardingView(NAMES[OWN]).deadline() is None
    assert RESTART_HOLD_S >= 5


def test_peer_that_vanished_is_known_as_long_as_it_is_held(view):
    observe(view, "AB")
    observe(view, now=1.0, letters="A")
    assert view.infos[NAMES["B"]].nick_name == "B"
    assert NAMES["B"] in view.underlays
    observe(view, now=11.0, letters="A")
    assert NAMES["B"] not in view.infos
    assert NAMES["B"] not in view.underlays


def test_peer_that_came_back_with_another_short_id_is_held_no_more(view):
    observe(view, "AB", "BC", "CD")
    observe(view, "CD", now=1.0, known=infos("ABCD", B=ShortId(999)))
    assert view.held() == []
    assert view.infos[NAMES["B"]].short_id == 999


def test_peer_that_only_changed_its_nick_name_is_still_held(view):
    observe(view, "AB")
    renamed = {**infos(), NAMES["B"]: PeerInfo("new", SHORT_IDS["B"])}
    observe(view, now=1.0, known=renamed)
    assert view.held() == [edge("AB")]
    assert view.infos[NAMES["B"]].nick_name == "new"


def test_connection_of_a_renumbered_peer_that_is_up_stays(view):
    observe(view, "AB")
    observe(view, "AB", now=1.0, known=infos(B=ShortId(999)))
    assert view.graph().neighbours(NAMES["B"]) == (NAMES["A"],)


pairs = st.sampled_from([a + b for n, a in enumerate(LETTERS) for b in LETTERS[n + 1 :]])


@given(st.lists(st.tuples(st.sets(pairs), st.floats(0.1, 8)), max_size=8))
def test_graph_is_what_is_up_now_plus_what_is_held(history):
    view, now = ForwardingView(NAMES[OWN], hold_s=10.0), 0.0
    last_seen = {}
    for up, elapsed in history:
        now += elapsed
        observe(view, *sorted(up), now=now)
        for pair in up:
            last_seen[pair] = None
        for pair, lost_at in last_seen.items():
            if pair not in up and lost_at is None:
                last_seen[pair] = now
        expected = {p for p, lost_at in last_seen.items() if lost_at is None or now < lost_at + 10}
        graph = view.graph()
        found = {pair for pair in last_seen if edge(pair)[1] in graph.neighbours(edge(pair)[0])}
        assert found == expected
        assert set(view.held()) == {edge(p) for p in expected - up}


# From the view to the pipeline's input.


def test_hops_and_trees_are_those_of_the_routes(view):
    observe(view, "AB", "BC", "AD", "DE")
    found = state(view, heard=["192.0.2.200", "192.0.2.66"])
    graph = view.graph()
    next_hops = routes.unicast_next_hops(graph, NAMES[OWN])
    trees = routes.broadcast_tables(graph, NAMES[OWN])
    hops = {NAMES[x]: hop(x) for x in "BD"}
    assert found.neighbours == (hop("B"), hop("D"))
    assert found.broadcast_hops == (hop("B"), hop("D"))
    for peer in found.peers:
        assert peer.next_hop == hops[next_hops[peer.name]]
        assert peer.parent == hops[trees[peer.name].parent]
        assert peer.broadcast_hops == tuple(hops[n] for n in trees[peer.name].next_hops)
    assert {p.nick_name: (p.next_hop, p.parent) for p in found.peers} == {
        "B": (hop("B"), hop("B")),
        "C": (hop("B"), hop("B")),
        "D": (hop("D"), hop("D")),
        "E": (hop("D"), hop("D")),
    }
    c = next(peer for peer in found.peers if peer.nick_name == "C")
    assert c.broadcast_hops == (hop("D"),)


def test_ports_are_handed_on(view):
    observe(view)
    found = state(view, ports=BridgePorts({6784: 9, 7000: 4}, PORTS.local, PORTS.gateways))
    assert found.tunnel_ports == (4, 9)
    assert (found.local_ports, found.gateway_ports) == (PORTS.local, PORTS.gateways)
    assert found.short_id == SHORT_IDS[OWN]


def test_unreachable_peer_has_no_route_and_no_tree(view):
    observe(view, "AB", "CD")
    found = {peer.nick_name: peer for peer in state(view).peers}
    for letter in "CDE":
        assert (found[letter].next_hop, found[letter].parent) == (None, None)
        assert found[letter].broadcast_hops == ()


def test_lowest_name_owns_a_short_id_that_several_claim(view):
    observe(view, "AB", "AC", known=infos(C=SHORT_IDS["B"]))
    assert [p.nick_name for p in state(view).peers] == ["B", "D", "E"]


def test_peer_that_claims_our_short_id_gets_no_flows(view):
    observe(view, "AB", "AC", known=infos(B=SHORT_IDS["A"]))
    assert "B" not in [p.nick_name for p in state(view).peers]


def test_peer_without_short_id_gets_no_flows_and_is_no_hop(view):
    observe(view, "AB", "BC", known=infos(B=None))
    found = state(view)
    assert "B" not in [p.nick_name for p in found.peers]
    assert found.neighbours == found.broadcast_hops == ()
    assert {p.nick_name: p.next_hop for p in found.peers}["C"] is None


def test_neighbour_that_listens_on_a_port_without_tunnel_is_no_hop(view):
    observe(view, "AB", underlays={NAMES["B"]: underlay("B", udp_port=9999)})
    assert state(view).neighbours == ()


def test_hop_uses_the_tunnel_of_the_neighbours_udp_port(view):
    observe(view, "AB", underlays={NAMES["B"]: underlay("B", udp_port=7000)})
    ports = BridgePorts({6784: 1, 7000: 4}, (), ())
    assert state(view, ports=ports).neighbours == (hop("B", port=4),)


def test_gateways_of_before_are_marked(view):
    observe(view, "AB", "AC")
    found = state(view, lets_in={NAMES["B"]: frozenset({"vlan"})})
    assert {p.nick_name: p.lets_in for p in found.peers if p.lets_in} == {"B": frozenset({"vlan"})}


def with_segment(view, *pairs, now, is_known=True):
    """E is a segment."""
    known = infos()
    known[NAMES["E"]] = PeerInfo("E", SHORT_IDS["E"], is_segment=True)
    if not is_known:
        del known[NAMES["E"]]
    observe(view, *pairs, now=now, known=known)


def segment_of(view):
    return next(peer for peer in state(view).peers if peer.nick_name == "E")


def test_segment_is_never_held_where_it_was(view):
    with_segment(view, "AB", "AC", "BC", "BE", now=0.0)
    assert segment_of(view).next_hop == hop("B")
    with_segment(view, "AB", "AC", "BC", now=0.1)
    assert view.held() == []
    assert segment_of(view).next_hop is None
    with_segment(view, "AC", "BC", "CE", now=0.2)
    assert view.held() == [(NAMES["A"], NAMES["B"])]
    assert segment_of(view).next_hop == hop("C")


def test_tree_that_a_segment_had_still_counts_for_a_moment(view):
    pairs = ("AB", "AC", "CD", "BD")
    with_segment(view, *pairs, "BE", now=0.0)
    assert segment_of(view).former is None
    with_segment(view, *pairs, "CE", now=0.1)
    found = segment_of(view)
    assert (found.parent, found.former.parent) == (hop("C"), hop("B"))
    assert view.deadline() == 0.1 + FORMER_S
    with_segment(view, *pairs, "CE", now=0.1 + FORMER_S)
    assert segment_of(view).former is None


def test_segment_of_this_peer_is_a_peer_without_a_hop(view):
    known = infos() | {NAMES["E"]: PeerInfo("E", SHORT_IDS["E"], is_segment=True)}
    beside = {NAMES[x]: underlay(x) for x in "BC"}
    observe(view, "AB", "AC", "AE", known=known, underlays=beside)
    found = segment_of(view)
    assert (found.next_hop, found.parent) == (None, None)
    assert found.is_segment
    assert found.broadcast_hops == (hop("B"), hop("C"))
    assert state(view).broadcast_hops == (hop("B"), hop("C"))


def test_pending_addresses_are_sorted_unique_and_of_no_neighbour(view):
    observe(view, "AB")
    found = state(view, heard=["192.0.2.9", "192.0.2.3", "192.0.2.9", hop("B").remote_ip])
    assert found.pending == ("192.0.2.3", "192.0.2.9")


@given(st.sets(pairs))
def test_state_is_the_same_in_whatever_order_things_are_told(up):
    states = []
    for order in (sorted(up), sorted(up, reverse=True)):
        view = ForwardingView(NAMES[OWN])
        observe(view, *order, known=dict(sorted(infos().items(), reverse=order != sorted(up))))
        states.append(state(view))
    assert states[0] == states[1]


def test_peer_that_others_only_name_keeps_its_short_id_while_it_is_held(view):
    observe(view, "AB", "BC", letters="ABC")
    before = state(view)
    # The neighbour is back and names C again; what C is has not come yet.
    observe(
        view, "AB", now=1.0, letters="ABC", known={**infos("AB"), NAMES["C"]: PeerInfo("", None)}
    )
    assert state(view) == before


def test_connected_peer_without_short_id_is_believed(view):
    observe(view, "AB", "BC", letters="ABC")
    observe(
        view,
        "AB",
        "BC",
        now=1.0,
        letters="ABC",
        known={**infos("AB"), NAMES["C"]: PeerInfo("C", None)},
    )
    assert view.infos[NAMES["C"]].short_id is None


def test_neighbour_that_is_back_is_waited_for_until_it_has_told_its_connections(view):
    observe(view, "AB", "BC", letters="ABC")
    before = state(view)
    observe(view, now=1.0, letters="A")
    back = {NAMES["B"]: underlay("B")}
    observe(view, now=10.5, letters="AB", underlays=back)
    observe(view, now=11.5, letters="AB", underlays=back)
    assert state(view) == before
    observe(view, "AB", now=12.0, letters="AB")
    assert view.held() == [edge("BC")]
    observe(view, "AB", now=15.0, letters="AB")
    assert view.held() == []
