"""Who becomes a neighbour."""

from __future__ import annotations

import pytest

from weave_ryu.mesh.features import Features
from weave_ryu.mesh.joining import Admission, Candidate, Refusal, judge
from weave_ryu.mesh.peers import Connection, Peer, connections_by_name
from weave_ryu.names import PeerName, PeerUID, ShortId

OWN = Peer(PeerName(1), "us", PeerUID(1), 3, ShortId(1))


def candidate(
    name: int = 2,
    uid: int = 2,
    connection_uid: int = 100,
    told: bool = True,
    overlays: tuple[str, ...] | None = ("fastdp", "sleeve"),
    plain: bool = True,
) -> Candidate:
    features = Features(PeerName(name), "x", PeerUID(uid), 0, ShortId(2), False, overlays)
    return Candidate(features, connection_uid, told, plain)


def verdict(one: Candidate, known: Peer | None = None, rival: int | None = None, limit: int = 0):
    return judge(one, OWN, known, rival, limit)


def refusal(*arguments, **named) -> Refusal:
    result = verdict(*arguments, **named)
    assert isinstance(result, Refusal)
    return result


def test_a_stranger_is_taken_in_where_strangers_are_welcome():
    assert verdict(candidate()) == Admission(restarted=False, replaces_rival=False)
    assert refusal(candidate(told=False)).code == "unknown-peer"
    known = Peer(PeerName(2), uid=PeerUID(2))
    assert verdict(candidate(told=False), known) == Admission(False, False)


def test_our_own_name_is_never_dialled_again():
    own_address = refusal(candidate(name=1, uid=1), OWN)
    namesake = refusal(candidate(name=1, uid=9), OWN)
    assert (own_address.code, own_address.never_again) == ("own-address", True)
    assert (namesake.code, namesake.never_again) == ("name-taken", True)


def test_another_uid_means_a_restart():
    result = verdict(candidate(uid=9), Peer(PeerName(2), uid=PeerUID(2)))
    assert result == Admission(restarted=True, replaces_rival=False)


@pytest.mark.parametrize("overlays", [None, (), ("sleeve",)])
def test_without_a_common_overlay_the_reason_says_so(overlays):
    assert refusal(candidate(overlays=overlays)).code == "no-overlay"


def test_a_password_without_mutual_trust_is_refused_and_says_what_to_do():
    result = refusal(candidate(plain=False))
    assert result.code == "overlay-needs-ipsec"
    assert "trusted subnets" in result.reason


def test_the_lower_connection_uid_stays():
    assert verdict(candidate(connection_uid=99), None, 100) == Admission(False, True)
    higher = refusal(candidate(connection_uid=101), None, 100)
    assert (higher.code, higher.ends_rival) == ("duplicate", False)
    equal = refusal(candidate(connection_uid=100), None, 100)
    assert (equal.code, equal.ends_rival) == ("duplicate", True)


def test_the_limit_does_not_count_the_connection_that_is_replaced():
    lines = connections_by_name([Connection(PeerName(2), "10.0.0.2:6783", True, True)])
    full = Peer(PeerName(1), uid=PeerUID(1), connections=lines)
    assert isinstance(judge(candidate(connection_uid=1), full, None, 5, 1), Admission)
    assert isinstance(judge(candidate(name=3), full, None, None, 1), Refusal)
    assert isinstance(judge(candidate(name=3), full, None, None, 0), Admission)
