"""Gateways that know segments as peers beside gateways of before, which do not.

A gateway of before says nothing of it (`Peering.UNKNOWN`). One that knows better does as those do
as long as there is one of them (`ABLE`), and then claims the segment (`PEER`); what the others have
heard of that may be a step behind.
"""

from __future__ import annotations

import itertools

import pytest
from overlay_model import BROADCAST, OverlayModel
from test_overlay import CONTAINERS, FULL, HOSTS, LINE, RING, STAR

from weave_ryu.gateway.records import Peering

SHAPES = {"full": FULL, "line": LINE, "ring": RING, "star": STAR}
OLD, ABLE, PEER = Peering
MIXTURES = [(OLD, OLD), (OLD, ABLE), (ABLE, OLD), (ABLE, ABLE), (ABLE, PEER), (PEER, ABLE)]
"""What A and B say of themselves; the last three for the moment in which they hear of each other.
Both `PEER` is what all other tests are about."""
STABLE = [(OLD, OLD), (OLD, ABLE), (ABLE, OLD)]
PLAIN = ("W-c1", "Z-c1")
HEARERS = "ABWZ"


def mixed(links, peering, active, heard=()):
    overlay = OverlayModel(links, gateways="AB", active="")
    overlay.peering = dict(zip("AB", peering, strict=True))
    overlay.heard = dict(heard)
    overlay.active = set(active)
    claims = [x for x in active if overlay.says(x) == PEER]
    overlay.move(claims[0] if claims else None)
    return overlay


def speak(overlay, stations=(*CONTAINERS, *HOSTS)):
    for station in stations:
        overlay.send(station)


def assert_no_loop(overlay, senders=(*PLAIN, "A-c1", "B-c1", *HOSTS)):
    for sender in senders:
        for destination in (BROADCAST, *(overlay.mac(x) for x in (*PLAIN, *HOSTS) if x != sender)):
            received = overlay.send(sender, destination)
            assert received[sender] == 0, (sender, destination)
            assert max(received.values(), default=0) <= 2, (sender, destination, received)


@pytest.mark.parametrize("links", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("peering", MIXTURES, ids=lambda pair: "-".join(p.name for p in pair))
def test_two_actives_cannot_loop_whatever_they_are(links, peering):
    overlay = mixed(links, peering, "AB")
    for _ in range(2):
        assert_no_loop(overlay)


@pytest.mark.parametrize("peering", [(ABLE, PEER), (PEER, ABLE), (PEER, PEER)])
@pytest.mark.parametrize("active", ["A", "B", "AB"])
def test_whoever_has_heard_that_one_is_a_peer_now_nothing_loops(peering, active):
    """Each of four peers may still take a gateway for one that marks frames as its own."""
    changed = [x for x, said in zip("AB", peering, strict=True) if said == PEER]
    late = [(hearer, x) for hearer in HEARERS for x in changed if hearer != x]
    for number in range(len(late) + 1):
        for behind in itertools.combinations(late, number):
            overlay = mixed(LINE, peering, active, dict.fromkeys(behind, ABLE))
            assert_no_loop(overlay, (*PLAIN, "A-c1", "Host1"))


@pytest.mark.parametrize("links", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("peering", STABLE, ids=lambda pair: "-".join(p.name for p in pair))
@pytest.mark.parametrize("active", "AB")
def test_with_one_active_unicast_arrives_once_both_ways_when_all_have_spoken(
    links, peering, active
):
    overlay = mixed(links, peering, active)
    beside = f"{active}-c1"
    speak(overlay)
    for pair in itertools.permutations((*PLAIN, beside, *HOSTS), 2):
        assert overlay.send(pair[0], overlay.mac(pair[1])) == {pair[1]: 1}, pair
    for sender in (*PLAIN, beside, *HOSTS):
        received = overlay.send(sender)
        everybody = {*PLAIN, beside, *HOSTS} - {sender}
        assert {received[station] for station in everybody} == {1}, (sender, received)
        assert max(received.values()) == 1


@pytest.mark.parametrize("links", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("peering", STABLE, ids=lambda pair: "-".join(p.name for p in pair))
@pytest.mark.parametrize("way", ["AB", "BA"])
def test_after_a_role_change_it_does_so_again(links, peering, way):
    overlay = mixed(links, peering, way[0])
    speak(overlay)
    overlay.active = {way[1]}
    overlay.program_all()
    overlay.announce(way[1])
    speak(overlay)
    for pair in itertools.permutations((*PLAIN, f"{way[1]}-c1", *HOSTS), 2):
        assert overlay.send(pair[0], overlay.mac(pair[1])) == {pair[1]: 1}, pair


@pytest.mark.parametrize("links", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("active", "AB")
def test_when_the_last_has_been_upgraded_the_segment_becomes_a_peer(links, active):
    """What was learnt behind a gateway gives way to what is learnt behind the segment."""
    overlay = mixed(links, (ABLE, OLD), active)
    speak(overlay)
    overlay.peering = {}
    overlay.move(active)
    speak(overlay)
    stations = (*CONTAINERS, *HOSTS)
    for pair in itertools.permutations(stations, 2):
        assert overlay.send(pair[0], overlay.mac(pair[1])) == {pair[1]: 1}, pair
    for sender in stations:
        assert overlay.send(sender) == {x: 1 for x in stations if x != sender}
