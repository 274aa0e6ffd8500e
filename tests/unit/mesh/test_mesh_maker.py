"""Which addresses are dialled when."""

from __future__ import annotations

import random

import pytest

from weave_ryu.mesh.config import Address
from weave_ryu.mesh.maker import Maker
from weave_ryu.mesh.peers import Connection, Peer, Peers, connections_by_name
from weave_ryu.names import PeerName, PeerUID

OWN = PeerName(1)
ONE, TWO = Address("10.0.0.9"), Address("10.0.0.9", 6783)


def peers(*lines: Connection, others: tuple[Peer, ...] = ()) -> Peers:
    own = Peer(OWN, uid=PeerUID(1), connections=connections_by_name(lines))
    return Peers.from_entries([own, *others], OWN, random.Random(1))


def maker(discovery: bool = True, seed: int = 1) -> Maker:
    return Maker(6783, discovery, random.Random(seed))


def line(remote: int, address: str, outbound: bool) -> Connection:
    return Connection(PeerName(remote), address, outbound, True)


def test_a_direct_address_is_dialled_at_once_on_the_default_port():
    one = maker()
    one.connect([ONE], False, 0.0)
    assert one.check(peers(), 0.0) == [TWO]
    assert one.check(peers(), 0.0) == []
    assert one.is_direct(TWO)


def test_retries_back_off_by_half_as_much_again_with_jitter():
    one = maker()
    one.connect([TWO], False, 0.0)
    now, interval = 0.0, 2.0
    for _ in range(25):
        assert one.check(peers(), now) == [TWO]
        one.dial_failed(TWO, "refused", now)
        due = one.deadline()
        assert due is not None
        assert interval / 2 <= due - now <= interval * 1.5
        assert one.check(peers(), due - 0.001) == []
        now, interval = due, min(interval * 1.5, 360.0)
    assert interval == 360.0


def test_a_long_connection_is_dialled_again_at_once():
    one = maker()
    one.connect([TWO], False, 0.0)
    one.check(peers(), 0.0)
    one.joined(TWO)
    one.ended(TWO, "reset", False, 61.0)
    assert one.check(peers(), 61.0) == [TWO]
    one.ended(TWO, "reset", False, 62.0)
    assert one.check(peers(), 62.0) == []


def test_a_direct_peer_without_port_waits_while_it_is_connected_to_us():
    one = maker()
    one.connect([ONE], False, 0.0)
    inbound = peers(line(9, "10.0.0.9:40000", False))
    assert one.check(inbound, 0.0) == []
    one.connect([TWO], False, 0.0)
    assert one.check(inbound, 0.0) == [TWO]


def test_a_direct_target_is_suspended_and_a_discovered_one_forgotten():
    one = maker()
    one.connect([ONE], False, 0.0)
    one.check(peers(), 0.0)
    one.dial_failed(TWO, "refused", 0.0)
    one.check(peers(line(9, "10.0.0.9:40000", False)), 1.0)
    assert [view.state for view in one.views()] == ["suspended"]
    one.check(peers(), 1.0)
    assert [view.state for view in one.views()] == ["failed"]
    one.forget([ONE])
    one.check(peers(), 1.0)
    assert one.views() == []


def test_discovery_takes_the_recorded_port_only_of_connections_that_were_dialled():
    other = Peer(
        PeerName(2),
        uid=PeerUID(2),
        connections=connections_by_name(
            [
                line(3, "10.0.0.3:7000", True),
                line(4, "10.0.0.4:41234", False),
                line(1, "10.0.0.1:6783", True),
                line(5, "[fd00::1]:6783", True),
                line(6, "10.0.0.300:6783", True),
            ]
        ),
    )
    placeholders = [Peer(PeerName(number)) for number in (3, 4, 5, 6)]
    known = peers(line(2, "10.0.0.2:6783", True), others=(other, *placeholders))
    assert maker().check(known, 0.0) == [Address("10.0.0.3", 7000), Address("10.0.0.4", 6783)]
    assert maker(discovery=False).check(known, 0.0) == []


def test_an_address_that_is_connected_is_left_out():
    one = maker()
    one.connect([TWO], False, 0.0)
    assert one.check(peers(line(9, "10.0.0.9:6783", True)), 0.0) == []


def test_never_again_means_until_the_operator_says_so():
    one = maker()
    one.connect([TWO], False, 0.0)
    one.check(peers(), 0.0)
    one.ended(TWO, "this is our own address", True, 0.0)
    assert one.check(peers(), 1e6) == []
    assert one.deadline() is None
    one.connect([TWO], False, 1e6)
    assert one.check(peers(), 1e6) == [TWO]


def test_replacing_forgets_the_addresses_from_before():
    one = maker()
    one.connect([TWO], False, 0.0)
    one.connect([Address("10.0.0.8")], True, 0.0)
    assert one.check(peers(), 0.0) == [Address("10.0.0.8", 6783)]


@pytest.mark.parametrize("state", ["connecting", "retrying"])
def test_states_have_weaves_names(state):
    one = maker()
    one.connect([TWO], False, 0.0)
    one.check(peers(), 0.0)
    if state == "retrying":
        one.dial_failed(TWO, "refused", 0.0)
        one.check(peers(), 100.0)
    [view] = one.views()
    assert view.state == state
    assert view.attempts == (2 if state == "retrying" else 1)


def test_a_neighbour_that_was_lost_is_looked_for_sooner_than_a_stranger():
    one = maker()
    one.connect([TWO], False, 0.0)
    one.check(peers(), 0.0)
    one.joined(TWO)
    one.ended(TWO, "reset", False, 10.0)
    due = one.deadline()
    assert due is not None
    assert 10.0 + 0.25 <= due <= 10.0 + 0.75


def test_a_neighbour_that_would_not_have_us_is_left_alone_for_longer():
    one = maker()
    one.connect([TWO], False, 0.0)
    one.check(peers(), 0.0)
    one.joined(TWO)
    one.ended(TWO, "reset", False, 0.1)
    due = one.deadline()
    assert due is not None
    assert due >= 0.1 + 1.0
