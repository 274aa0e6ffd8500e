"""The topology payload: limits and values that no router sends."""

from __future__ import annotations

import pytest

from weave_ryu.errors import RemoteProtocolError
from weave_ryu.mesh import gob
from weave_ryu.mesh.peers import Connection, Peer, connections_by_name
from weave_ryu.mesh.topology import RawPeer, decode_raw, decode_update, encode_update
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
