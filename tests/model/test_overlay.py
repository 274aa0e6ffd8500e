"""The invariants of the design on the modelled flows: exactly_once, no_loop, standby_silent."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from overlay_model import CONTAINER, GATEWAY, TUNNEL, OverlayModel
from table_model import CONTROLLER as TO_DAEMON
from table_model import Frame

from weave_ryu.gate import Gate
from weave_ryu.pipeline import rules
from weave_ryu.pipeline.ingress import FRAGMENTATION_NEEDED, PACKET_TOO_BIG
from weave_ryu.pipeline.reserved import RESERVED

FULL = list(itertools.combinations("ABWXYZ", 2))
LINE = [("W", "X"), ("X", "A"), ("A", "B"), ("B", "Y"), ("Y", "Z")]
RING = [*LINE, ("Z", "W")]
STAR = [("A", x) for x in "BWXYZ"]
SHAPES = {"full": FULL, "line": LINE, "ring": RING, "star": STAR}

CONTAINERS = [f"{x}-c1" for x in "ABWXYZ"]
HOSTS = ["Host1", "Host2"]


def of_gateway(station: str) -> bool:
    return station in ("A-c1", "B-c1")


@pytest.mark.parametrize("links", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("sender", [*CONTAINERS, *HOSTS])
def test_broadcast_reaches_everybody_once_and_never_its_sender(links, sender):
    overlay = OverlayModel(links, gateways="AB", active="A")
    assert overlay.send(sender) == {s: 1 for s in [*CONTAINERS, *HOSTS] if s != sender}


@pytest.mark.parametrize("links", SHAPES.values(), ids=SHAPES)
def test_known_unicast_reaches_exactly_its_destination(links):
    overlay = OverlayModel(links, gateways="AB", active="A")
    stations = ["W-c1", "Z-c1", "Y-c1", "A-c1", "B-c1", "Host1", "Host2"]
    for station in stations:
        overlay.send(station)
    for source, destination in itertools.permutations(stations, 2):
        assert overlay.send(source, overlay.mac(destination)) == {destination: 1}


@pytest.mark.parametrize("links", SHAPES.values(), ids=SHAPES)
def test_unknown_unicast_reaches_its_destination_once(links):
    overlay = OverlayModel(links, gateways="AB", active="A")
    received = overlay.send("W-c1", overlay.mac("Host2"))
    assert received["Host2"] == 1
    assert received["W-c1"] == 0


def test_standby_lets_nothing_in_and_learns_nothing():
    overlay = OverlayModel(FULL, gateways="AB", active="")
    received = overlay.send("Host1")
    assert received == {"Host2": 1}
    assert not any(model.learnt for model in overlay.models.values())
    assert overlay.send("W-c1") == {s: 1 for s in CONTAINERS if s != "W-c1"}


@pytest.mark.parametrize("links", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("rounds", [1, 3])
def test_two_actives_cannot_loop(links, rounds):
    overlay = OverlayModel(links, gateways="AB", active="AB")
    for _ in range(rounds):
        for host in HOSTS:
            received = overlay.send(host)
            assert received[host] == 0
            assert max(received.values()) <= 2
        for sender in ("W-c1", "Z-c1", "X-c1"):
            received = overlay.send(sender)
            assert max(received.values()) <= 2, received


@pytest.mark.parametrize("links", SHAPES.values(), ids=SHAPES)
def test_two_actives_deliver_unicast_at_most_twice(links):
    overlay = OverlayModel(links, gateways="AB", active="AB")
    stations = ["W-c1", "Z-c1", "Host1", "Host2"]
    for _ in range(2):
        for station in stations:
            overlay.send(station)
        for source, destination in itertools.permutations(stations, 2):
            received = overlay.send(source, overlay.mac(destination))
            assert 1 <= received[destination] <= 2, (source, destination, received)
            assert received[source] == 0


STATIONS = ("W-c1", "Z-c1", "A-c1", "B-c1", "Host1", "Host2")


def spoken(links, **changes) -> OverlayModel:
    overlay = OverlayModel(links, gateways="AB", active="A", **changes)
    for station in STATIONS:
        overlay.send(station)
    return overlay


def assert_everything_arrives_once(overlay, stations=STATIONS) -> None:
    for source, destination in itertools.permutations(stations, 2):
        assert overlay.send(source, overlay.mac(destination)) == {destination: 1}
    for source in stations:
        assert set(overlay.send(source).values()) == {1}


@pytest.mark.parametrize("links", SHAPES.values(), ids=SHAPES)
def test_fail_over_is_one_edge_that_moves_and_nothing_is_learnt_anew(links):
    overlay = spoken(links)
    overlay.active = {"B"}
    overlay.move("B")
    overlay.announce("B")
    before = {letter: dict(model.learnt) for letter, model in overlay.models.items()}
    assert_everything_arrives_once(overlay)
    for letter, model in overlay.models.items():
        assert {k: v for k, v in model.learnt.items() if k in before[letter]} == before[letter]


@pytest.mark.parametrize("links", SHAPES.values(), ids=SHAPES)
def test_gateway_that_has_lost_the_role_relays_what_is_still_sent_to_it(links):
    overlay = spoken(links)
    overlay.active = {"B"}
    overlay.home = "B"
    overlay.program("A")
    overlay.program("B")  # the others have not heard of it
    overlay.announce("B")
    for source in ("W-c1", "Z-c1", "A-c1"):
        for host in HOSTS:
            assert overlay.send(source, overlay.mac(host)) == {host: 1}


@pytest.mark.parametrize("links", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize(
    "heard", ["".join(some) for size in range(5) for some in itertools.combinations("WXYZ", size)]
)
def test_in_a_hand_over_each_frame_arrives_once_at_every_step(links, heard):
    overlay = spoken(links)
    # The successor opens for known unicast, and claims the segment: not all have heard of it.
    overlay.active, overlay.gates = {"A", "B"}, {"B": Gate.KNOWN}
    overlay.former, overlay.home, overlay.is_arriving = "A", "B", True
    for letter in "AB" + heard:
        overlay.program(letter)
    for source in ("W-c1", "Z-c1", "Host1"):
        everybody = {s: 1 for s in [*CONTAINERS, *HOSTS] if s != source}
        # Where nobody but the two has heard, the line's far end is told by its old tree.
        assert overlay.send(source) == everybody
        for destination in (*HOSTS, "W-c1", "A-c1"):
            if destination != source:
                assert overlay.send(source, overlay.mac(destination)) == {destination: 1}
    # Broadcasts change hands.
    overlay.gates = {"A": Gate.DRAINING, "B": Gate.OPEN}
    overlay.move("B", former="A")
    overlay.announce("B")
    assert_everything_arrives_once(overlay)


def test_what_a_gateway_lets_in_that_has_lost_the_segment_is_not_flooded():
    overlay = spoken(FULL)
    overlay.active = {"A", "B"}
    overlay.move("B")
    frame = Frame(3, overlay.mac("Host1"), "ff:ff:ff:ff:ff:ff")
    late = overlay.models["A"].send(frame)
    assert late
    for copy in late:
        if copy.port == 1:
            target = next(x for x, ip in overlay.addresses.items() if ip == copy.tun_dst)
            arriving = replace(frame, in_port=1, tun_src=copy.tun_src, tun_id=copy.tun_id)
            assert overlay.models[target].send(arriving) == []


def test_nothing_of_a_segment_ever_goes_back_to_it():
    for active in ("A", "AB"):
        overlay = OverlayModel(FULL, gateways="AB", active=active)
        for _ in range(2):
            for source, destination in itertools.permutations(("Host1", "Host2", "Host3"), 2):
                received = overlay.send(source, overlay.mac(destination))
                assert received[source] == 0
                assert received[destination] <= 1


def test_without_a_gateway_that_forwards_its_frames_have_no_way():
    overlay = spoken(LINE)
    overlay.active = set()
    overlay.move(None)
    assert overlay.send("W-c1", overlay.mac("Host1")) == {}
    assert overlay.send("W-c1") == {s: 1 for s in CONTAINERS if s != "W-c1"}


def test_frame_of_the_mesh_that_the_segment_returns_is_turned_back():
    overlay = OverlayModel(FULL, gateways="AB", active="AB")
    overlay.send("W-c1")
    returned = Frame(3, overlay.mac("W-c1"), "ff:ff:ff:ff:ff:ff")
    for gateway in "AB":
        (shown,) = overlay.models[gateway].send(returned)
        assert shown.port == TO_DAEMON


def test_frames_from_strange_addresses_and_peers_are_dropped():
    overlay = OverlayModel(FULL, gateways="AB", active="A")
    own, known = overlay.short_ids["W"], overlay.short_ids["X"]
    model = overlay.models["W"]
    mac = "02:00:00:00:09:09"

    def outcome(tun_src: str, source: int, destination: int) -> bool:
        frame = Frame(1, mac, "ff:ff:ff:ff:ff:ff", tun_src, destination << 12 | source)
        return bool(model.send(frame))

    assert outcome(overlay.addresses["X"], known, own)
    assert not outcome("192.0.2.66", known, own)
    assert not outcome(overlay.addresses["X"], 4000, own)
    assert not outcome(overlay.addresses["X"], own, own)
    assert not outcome(overlay.addresses["X"], known, 4001)


def test_relayed_frame_is_never_sent_back_to_where_it_came_from():
    overlay = OverlayModel(LINE)
    model = overlay.models["X"]
    w, z = overlay.short_ids["W"], overlay.short_ids["Z"]
    onward = Frame(1, "02:00:00:00:09:09", "02:00:00:00:09:0a", overlay.addresses["W"], z << 12 | w)
    assert [copy.tun_dst for copy in model.send(onward)] == [overlay.addresses["A"]]
    back = Frame(1, onward.src, onward.dst, overlay.addresses["A"], z << 12 | w)
    assert model.send(back) == []


LAST_BITS = {"ff": 1, "f8": 8, "f0": 16, "00": 256}


@pytest.mark.parametrize("group", RESERVED, ids=lambda group: group.address)
@pytest.mark.parametrize("active", ["A", "AB", ""])
def test_what_switches_say_to_each_other_is_never_forwarded(group, active):
    overlay = OverlayModel(FULL, gateways="AB", active=active)
    first = int(group.address[-2:], 16)
    for last in range(first, first + LAST_BITS[group.mask[-2:]]):
        address = f"{group.address[:-2]}{last:02x}"
        assert overlay.send("Host1", address) == {"Host2": 1}, address
        for station in ("W-c1", "A-c1", "B-c1"):
            assert overlay.send(station, address) == {}, address


def test_other_groups_are_forwarded():
    overlay = OverlayModel(FULL, gateways="AB", active="A")
    for address in (
        "01:80:c2:00:00:10", "01:00:5e:00:00:fb", "33:33:00:00:00:01", "01:1b:19:00:00:00",
        "01:00:0c:cc:cc:bf", "01:00:0c:dd:dd:dd", "00:e0:2b:00:00:08", "01:e0:52:cc:cc:cd",
    ):  # fmt: skip
        everybody = {f"{letter}-c1" for letter in overlay.letters} | {"Host1", "Host2"}
        for sender in ("W-c1", "Host1"):
            assert overlay.send(sender, address) == dict.fromkeys(everybody - {sender}, 1), address


@pytest.mark.parametrize("said", [FRAGMENTATION_NEEDED, PACKET_TOO_BIG])
@pytest.mark.parametrize(("station", "port"), [("A-c1", CONTAINER), ("Host1", GATEWAY)])
def test_word_of_frames_too_long_reaches_the_sender_alone(station, port, said):
    """The kernel answers in the name of the station that did not get the frame."""
    overlay = OverlayModel([("A", "B")], gateways="A", active="A")
    overlay.send(station)
    overlay.send("B-c1", overlay.mac(station))
    model, own, peer = overlay.models["A"], overlay.short_ids["A"], overlay.short_ids["B"]
    told = Frame(
        TUNNEL,
        overlay.mac("B-c1"),
        overlay.mac(station),
        overlay.addresses["B"],
        rules.tunnel_id(peer, own),
        said,
    )
    learnt = dict(model.learnt)
    assert [copy.port for copy in model.send(told)] == [port]
    assert model.learnt == learnt
    assert model.send(replace(told, inside=())) == []
    assert model.send(replace(told, tun_src="192.0.2.99")) == []
