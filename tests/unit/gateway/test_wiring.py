"""Segments that are joined to something that nobody has configured."""

import pytest
from wiring_world import STEP_S, WiringWorld

from weave_ryu.errors import RemoteProtocolError
from weave_ryu.gateway import probing, wiring
from weave_ryu.gateway.joint import Kind, Place
from weave_ryu.names import PeerName

VLAN, OFFICE = {"gw0": "vlan"}, {"gw0": "office"}
A, B = (str(PeerName(ord(x))) for x in "AB")
ONE_WIRE = f"segment office of {B} gw0 and segment vlan of {A} gw0 are one wire"


def two_names(**options):
    world = WiringWorld(A=VLAN, B=OFFICE, **options)
    world.wires = [{"A gw0", "B gw0"}]
    return world


@pytest.mark.parametrize("password", [b"secret", None])
def test_two_names_for_one_wire_are_known_before_a_port_would_open(password):
    world = two_names(password=password)
    world.run(0.5)
    assert world.troubles("A") == {"gw0": f"{ONE_WIRE}; office keeps it"}
    assert world.troubles("B") == {}
    assert sorted(world.log) == [("Found", "A", ONE_WIRE), ("Found", "B", ONE_WIRE)]


@pytest.mark.parametrize(("first", "other"), ["AB", "BA"])
def test_the_one_that_forwards_keeps_the_wire_whatever_its_rank(first, other):
    world = two_names()
    world.wires = []
    world.set(f"{first} gw0", "active")
    world.run(5)
    world.wires = [{"A gw0", "B gw0"}]
    world.run(1.2)
    assert world.troubles(first) == {}
    assert "gw0" in world.troubles(other)


def test_of_two_that_forward_the_one_of_lower_priority_closes_right_after_the_probe():
    world = two_names()
    world.wires = []
    world.set("A gw0", "active", priority=150)
    world.set("B gw0", "active", priority=100)
    world.run(5)
    assert world.is_calm
    world.wires, sent = [{"A gw0", "B gw0"}], len(world.probes)
    until = world.now + 2
    while not world.troubles("B"):
        world.run(STEP_S)
        assert world.now < until
    heard_at = world.probes[sent][0]
    assert world.now - heard_at <= 3 * STEP_S + 1e-9, "there and back through the mesh"
    assert world.troubles("A") == {}


def test_it_opens_again_when_the_wire_is_right_and_not_before():
    world = two_names()
    world.run(60)
    assert "gw0" in world.troubles("A")
    world.wires = []
    world.run(wiring.HOLD_S - 1.1)
    assert "gw0" in world.troubles("A")
    world.run(1.2)
    assert world.is_calm
    assert {kind for kind, *_ in world.log} == {"Found", "Mended"}


def test_gateways_of_one_segment_hear_each_other_and_conclude_nothing():
    world = WiringWorld(A=VLAN, B=VLAN, C={"gw1": "vlan"})
    world.wires = [{"A gw0", "B gw0", "C gw1"}]
    world.run(30)
    assert world.is_calm
    assert world.log == []


def test_a_segment_that_returns_what_it_is_sent_is_no_miswiring():
    world = WiringWorld(A=VLAN)
    world.carry = world.arrive
    world.run(5)
    assert world.probes
    assert world.is_calm


def test_a_standby_takes_over_while_another_segment_is_on_the_wire():
    world = WiringWorld(A=VLAN, C=VLAN, B=OFFICE)
    world.wires = [{"A gw0", "B gw0", "C gw0"}]
    world.set("B gw0", priority=200)
    world.set("A gw0", "active")
    world.run(5)
    assert [bool(world.troubles(x)) for x in "ACB"] == [False, False, True]
    world.set("A gw0", "fault")  # nobody forwards for a while
    free = []
    world.run(1.0, lambda: free.append(world.troubles("C") == {} and world.troubles("B") != {}))
    assert all(free)
    world.set("C gw0", "active")
    world.run(20)
    assert [bool(world.troubles(x)) for x in "ACB"] == [False, False, True]


def test_a_wrong_cable_of_a_standby_harms_the_standby():
    """A is a gateway of `vlan`, which C forwards for elsewhere; its cable is in `office`."""
    world = WiringWorld(A=VLAN, C=VLAN, B=OFFICE)
    world.set("A gw0", priority=200)
    world.set("C gw0", "active", priority=200)
    world.wires = [{"A gw0", "B gw0"}]
    world.run(3)
    assert [bool(world.troubles(x)) for x in "ACB"] == [True, False, False]
    world.set("B gw0", "active")
    world.run(3)
    assert [bool(world.troubles(x)) for x in "ACB"] == [True, False, False]


def test_two_ports_of_one_peer_on_one_wire():
    world = WiringWorld(A={"gw0": "vlan", "gw1": "office"})
    world.wires = [{"A gw0", "A gw1"}]
    world.run(0.3)
    assert list(world.troubles("A")) == ["gw0"]


@pytest.mark.parametrize("hearer", ["A", "X"])
def test_a_containers_port_on_the_wire_is_closed_and_no_gateway_is(hearer):
    world = WiringWorld(A=VLAN, X={})
    world.wires = [{"A gw0", f"{hearer} c3"}]
    world.set("A gw0", "active")
    world.run(0.5)
    name = PeerName(ord(hearer))
    text = f"what {A} gw0 sends on segment vlan comes back through port c3 of {name}"
    assert world.closed(hearer) == {"c3": text}
    assert world.troubles("A") == {}
    assert [joint.text() for joint in world.peers["A"].wiring.joints(world.now)] == [text]
    world.wires = []
    world.run(wiring.HOLD_S + 1)
    assert world.is_calm


def test_a_bridge_beside_a_router_of_weave_closes_the_gateway():
    world = WiringWorld(A=VLAN, B=VLAN, X={})
    world.wires = [{"A gw0", "B gw0", "W"}]
    world.set("A gw0", "active")
    world.run(0.5)
    router = PeerName(ord("W"))
    assert world.troubles("A") == {
        "gw0": f"what {A} gw0 sends on segment vlan comes back through the mesh, let in by {router}"
    }
    assert world.troubles("B")
    world.wires = [{"A gw0", "B gw0"}]
    world.run(wiring.HOLD_S + 1)
    assert world.is_calm


def test_a_gateway_that_knows_no_probes_lets_them_in_and_that_means_nothing():
    world = WiringWorld(A=VLAN)
    world.peers["A"].old = {"W"}
    world.wires = [{"A gw0", "W"}]
    world.run(5)
    assert world.is_calm


def test_nothing_is_concluded_of_a_peer_that_the_mesh_does_not_reach():
    world = two_names()
    world.cut = {"B"}
    world.run(5)
    assert world.is_calm
    world.cut = set()
    world.run(1.2)
    assert world.troubles("A")


def test_one_lost_probe_of_three_changes_nothing():
    world = two_names()
    arrive, count = world.arrive, iter(range(10**6))
    world.arrive = lambda place, frame: arrive(place, frame) if next(count) % 3 else None
    world.run(1)
    seen = []
    world.run(60, lambda: seen.append(bool(world.troubles("A"))))
    assert all(seen)


def test_a_probe_that_was_held_back_says_nothing():
    world = WiringWorld(A=VLAN, X={})
    world.run(1)
    _, _, frame = world.probes[0]
    world.run(wiring.FRESH_S)
    world.hear("X", Place(Kind.PORT, "c3"), frame)
    world.drain("X")
    with pytest.raises(RemoteProtocolError, match="not sent lately"):
        world.step()
    with pytest.raises(RemoteProtocolError, match="not sent lately"):
        world.hear("A", Place(Kind.PORT, "c3"), frame)
    assert [set(peer.wiring.closed(world.now)) for peer in world.peers.values()] == [set(), {"c3"}]
    world.run(wiring.CONFIRM_S + STEP_S)
    assert world.is_calm, "its own port was closed for a moment, and nothing else"
    before = world.now
    world.run(0.5)
    world.hear("X", Place(Kind.PORT, "c3"), frame)
    assert not world.peers["X"].wiring.closed(before), "and is not again, soon"


def test_a_containers_port_closes_before_the_gateway_has_confirmed_it():
    world = WiringWorld(A=VLAN, X={})
    world.run(0.2)
    world.hear("X", Place(Kind.PORT, "c3"), world.probes[-1][2])
    assert set(world.peers["X"].wiring.closed(world.now)) == {"c3"}
    assert not world.peers["X"].wiring.joints(world.now), "nothing is said of it as yet"


def test_copies_of_a_probe_are_told_once():
    world = WiringWorld(A=VLAN, X={})
    world.run(0.1)
    _, _, frame = world.probes[-1]
    for _ in range(1000):
        world.hear("X", Place(Kind.PORT, "c3"), frame)
    assert len(world.peers["X"].wiring.poll_commands()) == 1


def test_probes_are_sent_each_second_and_faster_while_something_is_new():
    world = WiringWorld(A=VLAN)
    world.run(33)
    times = [at for at, _, _ in world.probes]
    assert times[0] - 100 <= 2 * STEP_S
    assert sum(at < 100 + probing.HURRY_S for at in times) >= 10
    assert sum(at >= 104 for at in times) == pytest.approx(29, abs=2)
    world.peers["A"].wiring.links((), world.now)
    before = len(world.probes)
    world.run(5)
    assert len(world.probes) == before
    world.peers["A"].wiring.links(["gw0"], world.now)
    world.run(STEP_S)
    assert len(world.probes) == before + 1


def test_however_much_is_new_a_port_sends_four_probes_a_second():
    world = WiringWorld(A=VLAN)
    world.run(10, lambda: world.peers["A"].wiring.hurry(world.now))
    assert 30 <= len(world.probes) <= 41


def test_what_may_circle_is_probed_for_at_once_by_every_gateway_of_the_segment():
    world = WiringWorld(A=VLAN, B=VLAN, X={})
    world.run(10.5)
    before = len(world.probes)
    world.peers["X"].wiring.suspect("vlan", world.now)
    world.run(2 * STEP_S)
    assert sorted(port for _, port, _ in world.probes[before:]) == ["A gw0", "B gw0"]
    world.peers["X"].wiring.suspect("office", world.now)
    world.run(2 * STEP_S)
    assert len(world.probes) == before + 2, "no gateway of that segment"


def test_however_much_comes_back_a_port_sends_few_probes_more():
    world = WiringWorld(A=VLAN)
    world.run(10)
    before = len(world.probes)
    world.run(10, lambda: world.peers["A"].wiring.suspect("vlan", world.now))
    assert len(world.probes) - before <= 10 + probing.SUSPECT_BURST + 10 * probing.SUSPECT_PER_S


def test_peer_without_gateway_port_has_nothing_to_do():
    world = WiringWorld(X={})
    assert world.peers["X"].wiring.deadline() is None
