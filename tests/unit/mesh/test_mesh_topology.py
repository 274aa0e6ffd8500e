"""The topology payload: limits and values that no router sends."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from weave_ryu.errors import RemoteProtocolError
from weave_ryu.mesh import gob
from weave_ryu.mesh.features import decode_features, encode_map
from weave_ryu.mesh.peers import Connection, Peer, Peers, connections_by_name
from weave_ryu.mesh.topology import RawPeer, UpdateReader, decode_raw, decode_update, encode_update
from weave_ryu.names import PeerName, PeerUID, ShortId


def peer(number: int, **changes: object) -> Peer:
    return Peer(
        PeerName(number), f"n{number}", PeerUID(number), 3, ShortId(number % 4096), **changes
    )


def test_ten_thousand_peers_in_one_update_are_refused():
    raw = encode_update(peer(number) for number in range(1, 10_001))
    with pytest.raises(RemoteProtocolError, match="too-many-peers"):
        decode_raw(raw)


def test_an_empty_name_is_read_and_refused():
    raw = encode_update([peer(1)]).replace(b"\1\6\0\0\0\0\0\1", b"\1\0")
    size = raw.index(b"\1\0\1\2n1") - 3
    raw = raw[:size] + bytes([raw[size] - 6]) + raw[size + 1 :]
    assert isinstance(decode_raw(raw)[0], RawPeer)
    with pytest.raises(RemoteProtocolError, match="0 bytes"):
        decode_update(raw)


def test_a_short_id_over_12_bits_is_refused():
    raw = encode_update([Peer(PeerName(1), uid=PeerUID(1), short_id=ShortId(5000))])
    with pytest.raises(RemoteProtocolError, match="over 12 bits"):
        decode_update(raw)


def test_a_long_nick_name_is_refused():
    raw = encode_update([Peer(PeerName(1), nick_name="x" * 5000, uid=PeerUID(1))])
    with pytest.raises(RemoteProtocolError, match="5000 bytes"):
        decode_update(raw)


def test_bytes_that_are_no_text_become_something_that_can_be_shown():
    raw = encode_update([Peer(PeerName(1), nick_name="a\udcffb", uid=PeerUID(1))])
    assert decode_update(raw)[0].nick_name == "a\ufffdb"


def test_connections_are_sent_by_name():
    lines = [
        Connection(PeerName(number), f"10.0.0.{number}:6783", True, False) for number in (9, 3)
    ]
    raw = encode_update([peer(1, connections=connections_by_name(lines))])
    assert [line.name_bytes[-1] for line in decode_raw(raw)[0].connections] == [3, 9]


def test_a_peer_without_its_connections_is_refused():
    raw = encode_update([peer(1)])
    with pytest.raises(RemoteProtocolError):
        decode_raw(raw[: raw.rindex(gob.define_slice(68, 67))])


def table_of(*entries: Peer) -> Peers:
    return Peers.from_entries([peer(1), *entries], PeerName(1), random.Random(1))


def linked(number: int, *far_ends: int) -> Peer:
    lines = [Connection(PeerName(far), f"10.0.0.{far}:6783", True, True) for far in far_ends]
    return peer(number, connections=connections_by_name(lines))


def test_an_entry_that_the_table_has_is_not_read_again():
    table = table_of(linked(2, 1))
    reader = UpdateReader(table)
    raw = encode_update(table)
    assert [one is known for one, known in zip(reader.read(raw), table, strict=True)] == [
        False,  # what is told of ourself is always looked at
        True,
    ]
    assert table.merge(reader.read(raw)).delta == ()
    # The connections of what is no news may be anything.
    spoilt = raw.replace(b"10.0.0.1:6783", b"\xff" * 13)
    assert reader.read(spoilt)[1] is table[PeerName(2)]


def test_a_newer_entry_is_read_with_its_connections():
    table = table_of(linked(2, 1), peer(3))
    newer = replace(linked(2, 1, 3), version=4)
    raw = encode_update([newer, peer(3)])
    assert UpdateReader(table).read(raw) == [newer, peer(3)]


def test_whom_an_entry_names_is_noticed_again_after_being_forgotten():
    table = table_of(linked(2, 9))
    reader = UpdateReader(table)
    raw = encode_update([linked(2, 9)])
    assert table.merge(reader.read(raw)).unknown == (9,)
    assert reader.read(raw)[0] is table[PeerName(2)]
    assert table.collect([PeerName(2)]) == (9,)
    assert table.merge(reader.read(raw)).unknown == (9,)


def test_an_unknown_layout_is_read_all_the_same():
    raw = encode_update([linked(2, 1)])
    other_order = raw.replace(b"Version", b"Nothing")
    table = table_of(linked(2, 1))
    reader = UpdateReader(table)
    assert reader.read(other_order)[0].version == 0
    assert reader.read(raw)[0].version == 3


NO_CONNECTIONS = (
    gob.define_slice(68, 67)
    + gob.define_struct(67, "connectionSummary", [("NameByte", gob.BYTES_ID)])
    + gob.scalar_item(68, b"\0")
)
NAME_2 = gob.encode_bytes(PeerName(2).to_bytes6())


def test_the_same_bytes_of_another_meaning_are_read_anew():
    fields = [("NameByte", gob.BYTES_ID), ("Extra", 70), ("Version", gob.UINT_ID)]
    entry = (
        gob.define_struct(66, "peerSummary", fields)
        + gob.item(66, gob.encode_struct([NAME_2, b"\1\5", b"\3"]))
        + NO_CONNECTIONS
    )
    reader = UpdateReader(table_of())
    for _ in range(2):
        assert reader.read(gob.define_slice(70, gob.UINT_ID) + entry)[0].version == 3
    with pytest.raises(RemoteProtocolError, match="bad-gob"):
        reader.read(gob.define_slice(70, gob.STRING_ID) + entry)


def test_two_layouts_in_one_update_are_told_apart():
    reader = UpdateReader(table_of())
    raw = b""
    for type_id, names in ((66, ("Version", "UID")), (69, ("UID", "Version"))):
        fields = [("NameByte", gob.BYTES_ID), *((name, gob.UINT_ID) for name in names)]
        raw += gob.define_struct(type_id, "peerSummary", fields)
        raw += gob.item(type_id, gob.encode_struct([NAME_2, b"\3", b"\4"]))
        raw += gob.scalar_item(68, b"\0") if type_id == 69 else NO_CONNECTIONS
    for _ in range(2):
        assert [(one.version, one.uid) for one in reader.read(raw)] == [(3, 4), (4, 3)]


HOSTILE = "\x1b]0;title\x07", "a\nlevel=error event=lie", "\u202ereversed", "\x9b31m", "tab\t", "\0"


@pytest.mark.parametrize("text", HOSTILE)
def test_what_peers_call_themselves_cannot_steer_a_terminal(text):
    raw = encode_update([replace(peer(2), nick_name=text)])
    (read,) = decode_update(raw)
    assert read.nick_name.isprintable()
    assert len(read.nick_name) == len(text)
    pairs = {"PeerNameFlavour": "mac", "Name": str(PeerName(2)), "UID": "1", "ConnID": "1"}
    assert decode_features(encode_map({**pairs, "NickName": text})).nick_name == read.nick_name


def test_a_name_is_told_on_in_no_more_bytes_than_it_may_have():
    raw = encode_update([replace(peer(2), nick_name="x" * 1024)])
    raw = raw.replace(b"x" * 1024, b"\xff" * 1024)
    (read,) = decode_update(raw)
    assert set(read.nick_name) == {"\ufffd"}
    assert decode_update(encode_update([read])) == [read]
