"""The table of peers and the short ids."""

from __future__ import annotations

import random

import pytest

from weave_ryu.errors import LocalProtocolError
from weave_ryu.mesh.peers import MAX_PEERS, Connection, Peer, Peers, connections_by_name
from weave_ryu.mesh.shortids import ShortIdIndex
from weave_ryu.names import PeerName, PeerUID, ShortId

OWN = PeerName(100)


def table(short_id: int = 7) -> Peers:
    return Peers(Peer(OWN, "us", PeerUID(1), 0, ShortId(short_id)), random.Random(1))


def peer(number: int, version: int = 1, uid: int = 1, short_id: int | None = None, to=()) -> Peer:
    return Peer(
        PeerName(number),
        f"n{number}",
        PeerUID(uid),
        version,
        None if short_id is None else ShortId(short_id),
        connections_by_name(Connection(PeerName(far), "", True, True) for far in to),
    )


def test_each_change_of_our_entry_raises_our_version_by_one():
    peers = table()
    peers.add_own_connection(Connection(PeerName(1), "10.0.0.1:6783", True, False))
    assert peers.own.version == 1
    peers.establish_own_connection(PeerName(1))
    assert peers.own.version == 2
    assert peers.own.connections[PeerName(1)].established
    peers.delete_own_connection(PeerName(1))
    assert peers.own.version == 3
    with pytest.raises(LocalProtocolError):
        peers.establish_own_connection(PeerName(1))


def test_an_unknown_far_end_becomes_a_placeholder_that_any_entry_replaces():
    peers = table()
    result = peers.merge([peer(1, to=[2, 100])])
    assert peers[PeerName(2)].is_placeholder
    assert result.delta == (PeerName(1),)
    peers.merge([peer(2, version=0, uid=5)])
    assert peers[PeerName(2)].uid == 5


@pytest.mark.parametrize(
    ("update", "wins"),
    [
        (peer(1, version=6, uid=1), True),
        (peer(1, version=5, uid=9), True),
        (peer(1, version=5, uid=5, short_id=3), True),
        (peer(1, version=5, uid=5), False),
        (peer(1, version=5, uid=4, short_id=3), False),
        (peer(1, version=4, uid=9, short_id=3), False),
    ],
)
def test_who_wins(update, wins):
    peers = table()
    peers.merge([peer(1, version=5, uid=5)])
    assert bool(peers.merge([update]).delta) is wins
    assert (peers[PeerName(1)] is update) is wins


def test_our_old_life_raises_our_version_above_it():
    peers = table()
    old = Peer(OWN, "us", PeerUID(99), 41, ShortId(7))
    result = peers.merge([old])
    assert result.old_life
    assert result.delta == ()
    assert peers.own.version == 42
    assert peers.own.uid == 1
    assert not peers.merge([Peer(OWN, "us", PeerUID(99), 41)]).old_life
    assert not peers.merge([Peer(OWN, "us", PeerUID(1), 1000)]).old_life
    assert peers.own.version == 42


def test_an_old_life_with_the_last_version_of_all_cannot_overflow_ours():
    peers = table()
    peers.merge([Peer(OWN, "us", PeerUID(99), 2**64 - 1)])
    assert peers.own.version == 0


def test_a_lower_name_takes_our_short_id_and_a_higher_one_does_not():
    peers = table(short_id=7)
    peers.merge([peer(200, short_id=7)])
    assert peers.own.short_id == 7
    owner = peers.by_short_id(ShortId(7))
    assert owner is not None
    assert owner.name == OWN
    peers.merge([peer(5, short_id=7)])
    assert peers.own.short_id not in (7, None)
    assert peers.own.version == 1
    assert peers.own_short_id_changes == 1


def test_with_no_short_id_free_we_have_none_until_one_is_collected():
    peers = table(short_id=0)
    everybody = [
        Peer(
            PeerName(1 + number if number < 50 else 200 + number),
            "",
            PeerUID(1),
            1,
            ShortId(number),
        )
        for number in range(4095)
    ]
    peers.merge(everybody[1:])
    assert peers.own.short_id == 0
    peers._short_ids.add(ShortId(4095), PeerName(3))
    peers._replace(peer(2, short_id=0))
    peers._keep_own_short_id()
    assert peers.own.short_id is None or peers.own.short_id == 1
    peers.collect()
    assert peers.own.short_id is not None


def test_collection_follows_recorded_connections_and_keeps_who_is_connected():
    peers = table()
    peers.add_own_connection(Connection(PeerName(1), "", True, False))
    peers.merge([peer(1, to=[2]), peer(2, to=[]), peer(3, to=[1, 100]), peer(4)])
    assert peers.collect([PeerName(4)]) == (PeerName(3),)
    assert [int(one.name) for one in peers] == [1, 2, 4, 100]
    assert peers.collect() == (PeerName(4),)


def test_the_table_is_bounded_and_what_does_not_fit_is_left_out():
    peers = table()
    result = peers.merge([peer(1, to=range(1000, 1000 + MAX_PEERS))])
    assert len(peers) == MAX_PEERS
    assert PeerName(1) in result.delta
    result = peers.merge([peer(2), peer(1, version=2, to=[100, 3])])
    assert result.delta == (PeerName(1),)  # those that are known go on
    assert result.update == (PeerName(1),)
    assert PeerName(2) not in peers
    peers = table()
    peers.merge(peer(1000 + number) for number in range(MAX_PEERS))
    assert len(peers) == MAX_PEERS


def test_a_full_table_has_room_for_neighbours_and_for_our_own_segments():
    peers = table()
    peers.merge(peer(1000 + number) for number in range(MAX_PEERS))
    peers.take_in(peer(1))
    peers.put(peer(2))
    assert PeerName(1) in peers
    assert PeerName(2) in peers


def test_a_known_peer_that_shakes_hands_is_left_as_it_is():
    peers = table()
    peers.merge([peer(1, version=9, uid=9)])
    peers.take_in(peer(1, version=0, uid=1))
    assert peers[PeerName(1)].uid == 9


def test_the_owner_of_a_short_id_is_the_lowest_name():
    index = ShortIdIndex()
    for name in (5, 3, 9, 3):
        index.add(ShortId(1), PeerName(name))
    assert index.owner(ShortId(1)) == 3
    index.remove(ShortId(1), PeerName(3))
    assert index.owner(ShortId(1)) == 5
    index.remove(ShortId(1), PeerName(77))
    for name in (5, 9):
        index.remove(ShortId(1), PeerName(name))
    assert index.owner(ShortId(1)) is None
    assert index.owners() == {}


def test_the_last_free_short_id_is_found():
    index = ShortIdIndex()
    for number in range(4096):
        if number != 1234:
            index.add(ShortId(number), PeerName(1))
    assert index.draw(random.Random(1)) == 1234
    index.add(ShortId(1234), PeerName(1))
    assert index.draw(random.Random(1)) is None
