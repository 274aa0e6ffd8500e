"""Our code against captures of real routers and against answers of the real code."""

from __future__ import annotations

import random

import pytest

from weave_ryu.errors import RemoteProtocolError
from weave_ryu.mesh import routes
from weave_ryu.mesh.config import ConnectionId
from weave_ryu.mesh.connection import ConnectionMachine, FeaturesRead, Link, MessageRead
from weave_ryu.mesh.crypto import KeyPair, Opener, Sealer, precomputed_key, session_key, tcp_nonce
from weave_ryu.mesh.describe import describe_bytes
from weave_ryu.mesh.features import (
    Features,
    decode_features,
    decode_map,
    encode_features,
    encode_map,
)
from weave_ryu.mesh.framing import frame
from weave_ryu.mesh.messages import (
    Gossip,
    UnicastGossip,
    decode_gossip,
    decode_unicast,
    encode_gossip,
    encode_unicast,
)
from weave_ryu.mesh.overlay import heartbeat_frame, is_heartbeat_of
from weave_ryu.mesh.peers import Connection, Peer, Peers, connections_by_name
from weave_ryu.mesh.topology import decode_raw, decode_update, encode_update
from weave_ryu.names import PeerName, PeerUID, ShortId

PASSWORD = b"wfvAwt7sj"


def own_features() -> Features:
    return Features(PeerName(0x7AFF), "us", PeerUID(5), 77, ShortId(9), False, ("fastdp",))


def machine(
    outbound: bool, password: bytes | None = None, private: bytes = b""
) -> ConnectionMachine:
    link = Link(ConnectionId(1), outbound, True, ("10.0.0.1", 6783), ("10.0.0.2", 6783))
    return ConnectionMachine(link, own_features, password, lambda: KeyPair(private, bytes(32)), 0.0)


def chunks(stream: bytes, rng: random.Random) -> list[bytes]:
    parts = []
    while stream:
        size = rng.choice((1, 2, 3, 7, 50, 1000))
        parts.append(stream[:size])
        stream = stream[size:]
    return parts


def read_all(one: ConnectionMachine, stream: bytes, rng: random.Random) -> list[object]:
    """Features and messages that come out of a captured stream, whatever the cuts."""
    signals: list[object] = []
    for part in chunks(stream, rng):
        one.receive_bytes(part)
        while (signal := one.next_signal(0.0)) is not None:
            signals.append(signal)
            if isinstance(signal, FeaturesRead):
                one.add(0.0)
    return signals


def expect(signals: list[object], messages: list[dict]) -> None:
    after = [m for m in messages if m["kind"] in ("features", "msg")]
    assert len(signals) == len(after)
    for signal, captured in zip(signals, after, strict=True):
        if isinstance(signal, FeaturesRead):
            assert captured["kind"] == "features"
            pairs = captured["decoded"]["features"]
            assert str(signal.features.uid) == pairs["UID"]
            assert str(signal.features.name) == pairs["Name"]
        else:
            assert isinstance(signal, MessageRead)
            assert signal.tag == captured["tag"]
            plain = bytes.fromhex(captured.get("plaintext") or captured["hex"][8:])
            assert bytes([signal.tag]) + signal.body == plain


def test_every_captured_message_is_described_as_recorded(vector):
    for capture in vector("tcp.json.gz")["captures"].values():
        for connection in capture["connections"]:
            for message in connection["messages"]:
                assert describe_bytes(bytes.fromhex(message["hex"])) == [message["decoded"]]


def test_every_captured_message_with_a_password_is_described_as_recorded(vector):
    for capture in vector("tcp-encrypted.json.gz")["captures"].values():
        for connection in capture["connections"]:
            for message in connection["messages"]:
                plain = message.get("plaintext")
                raw = frame(bytes.fromhex(plain)) if plain else bytes.fromhex(message["hex"])
                assert describe_bytes(raw) == [message["decoded"]]


def test_captured_streams_are_read_in_any_cuts(vector):
    rng = random.Random(1)
    for capture in vector("tcp.json.gz")["captures"].values():
        for connection in capture["connections"]:
            for side in ("acceptor", "initiator"):
                messages = [m for m in connection["messages"] if m["dir"] == side]
                stream = b"".join(bytes.fromhex(m["hex"]) for m in messages)
                expect(read_all(machine(side == "acceptor"), stream, rng), messages)


def test_captured_streams_with_a_password_are_read_in_any_cuts(vector):
    rng = random.Random(2)
    for capture in vector("tcp-encrypted.json.gz")["captures"].values():
        for connection in capture["connections"]:
            if "private_keys" not in connection:
                continue
            for side, other in (("acceptor", "initiator"), ("initiator", "acceptor")):
                private = bytes.fromhex(connection["private_keys"][other])
                one = machine(other == "initiator", PASSWORD, private)
                messages = [m for m in connection["messages"] if m["dir"] == side]
                stream = b"".join(bytes.fromhex(m["hex"]) for m in messages)
                expect(read_all(one, stream, rng), messages)


def test_captured_plain_texts_are_sealed_to_the_captured_bytes(vector):
    for capture in vector("tcp-encrypted.json.gz")["captures"].values():
        for connection in capture["connections"]:
            if "session_key" not in connection:
                continue
            for side in ("acceptor", "initiator"):
                key = bytes.fromhex(connection["session_key"])
                sealer = Sealer(key, sender_opened=side == "initiator")
                for number, message in enumerate(
                    m for m in connection["messages"] if m["dir"] == side and "plaintext" in m
                ):
                    assert tcp_nonce(side == "initiator", number).hex() == message["nonce"]
                    sealed = sealer.seal(bytes.fromhex(message["plaintext"]))
                    assert frame(sealed).hex() == message["hex"]


def test_captured_features_and_topologies_survive_our_encoder(vector):
    for capture in vector("tcp.json.gz")["captures"].values():
        for connection in capture["connections"]:
            for message in connection["messages"]:
                decoded = message["decoded"]
                if message["kind"] == "features":
                    features = decode_features(bytes.fromhex(message["hex"])[4:])
                    pairs = decode_map(encode_features(features))
                    assert pairs == decoded["features"]
                elif "topology" in decoded:
                    update = decode_update(bytes.fromhex(decoded["payload_hex"]))
                    assert decode_update(encode_update(update)) == update


def test_connection_uids_are_as_the_routers_saw_them(vector):
    for capture in vector("tcp.json.gz")["captures"].values():
        for connection in capture["connections"]:
            ids = [
                int(m["decoded"]["features"]["ConnID"])
                for m in connection["messages"]
                if m["kind"] == "features"
            ]
            if len(ids) == 2:
                assert str(ids[0] ^ ids[1]) == connection["connection_uid"]


def test_key_agreement_and_sealing_have_the_known_answers(vector):
    known = vector("crypto-tcp.json")
    key_a, key_b = bytes.fromhex(known["A_private"]), bytes.fromhex(known["B_private"])
    public_a, public_b = bytes.fromhex(known["A_public"]), bytes.fromhex(known["B_public"])
    assert precomputed_key(key_a, public_b).hex() == known["precomputed_shared_key"]
    assert precomputed_key(key_b, public_a).hex() == known["precomputed_shared_key"]
    for case in known["cases"]:
        key = session_key(key_a, public_b, bytes.fromhex(case["password_hex"]))
        assert key.hex() == case["session_key"]
        for polarity in ("sender_is_initiator", "sender_is_acceptor"):
            opened = polarity == "sender_is_initiator"
            sealer, opener = Sealer(key, sender_opened=opened), Opener(key, sender_opened=opened)
            for step in case[polarity]:
                plain = bytes.fromhex(step["plaintext"])
                sealed = sealer.seal(plain)
                assert frame(sealed).hex() == step["wire_with_length_prefix"]
                assert opener.open(sealed) == plain
            wrong = Opener(key, sender_opened=not opened)
            with pytest.raises(RemoteProtocolError, match="bad-seal"):
                wrong.open(bytes.fromhex(case[polarity][0]["wire_with_length_prefix"])[4:])


def test_feature_maps_of_the_real_encoder_are_read(vector):
    for case in vector("gob.json.gz")["features"]:
        assert decode_map(bytes.fromhex(case["gob"])) == case["features"]
        assert decode_map(encode_map(case["features"])) == case["features"]


def test_gossip_headers_are_read_and_written_byte_for_byte(vector):
    for case in vector("gob.json.gz")["gossip"]:
        raw = bytes.fromhex(case["gob"])
        source = PeerName(int(case["src"], 16))
        payload = bytes.fromhex(case["payload"])
        if case["kind"] == "unicast":
            unicast = UnicastGossip(
                case["channel"], source, PeerName(int(case["dst"], 16)), payload
            )
            assert decode_unicast(raw) == unicast
            assert encode_unicast(unicast) == raw
        else:
            gossip = Gossip(case["channel"], source, payload)
            assert decode_gossip(raw) == gossip
            assert encode_gossip(gossip) == raw


def test_topologies_of_the_real_encoder_are_read(vector):
    for case in vector("gob.json.gz")["topology"]:
        raw = bytes.fromhex(case["gob"])
        assert [
            {
                "peer": {
                    "NameByte": peer.name_bytes.hex(),
                    "NickName": peer.nick_name,
                    "UID": str(peer.uid),
                    "Version": str(peer.version),
                    "ShortID": peer.short_id,
                    "HasShortID": peer.has_short_id,
                },
                "connections": [
                    {
                        "NameByte": line.name_bytes.hex(),
                        "RemoteTCPAddr": line.remote_tcp_addr,
                        "Outbound": line.outbound,
                        "Established": line.established,
                    }
                    for line in peer.connections
                ],
            }
            for peer in decode_raw(raw)
        ] == case["decoded"]
        if case["name"] != "all_zero_values":
            update = decode_update(raw)
            assert decode_update(encode_update(update)) == update


def test_small_topologies_are_written_byte_for_byte(vector):
    for case in vector("gob.json.gz")["topology"]:
        if case["name"] in ("no_peers", "ipv6_addr", "placeholder_like", "short_id_zero"):
            assert encode_update(decode_update(bytes.fromhex(case["gob"]))).hex() == case["gob"]


def test_routes_of_all_topologies_agree_with_the_real_code(vector):
    for topology in vector("routes.json.gz")["topologies"]:
        names = [PeerName(int(name, 16)) for name in topology["peers"]]
        places = {name: place for place, name in enumerate(names)}
        lines: dict[PeerName, list[Connection]] = {name: [] for name in names}
        for near, far, established in topology["connections"]:
            lines[names[near]].append(Connection(names[far], "", True, bool(established)))
        peers = [Peer(name, connections=connections_by_name(lines[name])) for name in names]
        graphs = {"": routes.established_graph(peers), "_all": routes.recorded_graph(peers)}
        for result in topology["results"]:
            own = names[result["self"]]
            for suffix, graph in graphs.items():
                hops = routes.unicast_next_hops(graph, own) | {own: own}
                assert result["unicast" + suffix] == [
                    places[hops[name]] if name in hops else -1 for name in names
                ]
                table = routes.broadcast_tables(graph, own)
                for source, expected in zip(names, result["broadcast" + suffix], strict=True):
                    single = routes.broadcast_next_hops(graph, own, source)
                    assert [places[hop] for hop in single] == [
                        places[hop] for hop in table[source].next_hops
                    ]
                    assert sorted(places[hop] for hop in single) == expected


def peer_of(entry: dict) -> Peer:
    peer = entry["peer"]
    return Peer(
        PeerName(int(peer["NameByte"], 16)),
        peer["NickName"],
        PeerUID(int(peer["UID"])),
        int(peer["Version"]),
        ShortId(peer["ShortID"]) if peer["HasShortID"] else None,
        connections_by_name(
            Connection(
                PeerName(int(line["NameByte"], 16)),
                line["RemoteTCPAddr"],
                line["Outbound"],
                line["Established"],
            )
            for line in entry["connections"]
        ),
    )


def test_all_updates_are_merged_as_the_real_code_does_it(vector):
    for case in vector("merge.json.gz")["cases"]:
        before = [peer_of(entry) for entry in case["state_before"]]
        table = Peers.from_entries(before, PeerName(int(case["self"], 16)), random.Random(1))
        result = table.merge(decode_update(bytes.fromhex(case["update_gob"])))
        assert [str(name) for name in result.update] == case["update_names"]
        assert [str(name) for name in result.delta] == case["delta_names"]
        assert list(table) == [peer_of(entry) for entry in case["state_after"]]
        owners = {str(key): str(name) for key, name in table.short_id_owners().items()}
        assert owners == case["short_ids_after"]
        assert table.own.version == case["local_version_after"]
        assert [str(name) for name in table.collect()] == case["removed_by_gc"]
        assert list(table) == [peer_of(entry) for entry in case["state_after_gc"]]


@pytest.mark.parametrize("name", ["udp-fastdp.json.gz", "udp-line.json.gz"])
def test_captured_vxlan_heartbeats_are_ours_byte_for_byte(vector, name):
    seen = 0
    for datagram in vector(name)["datagrams"]:
        inner = datagram.get("inner", {})
        if "conn_uid" not in inner:
            continue
        seen += 1
        ours = heartbeat_frame(int(inner["conn_uid"]), inner["len"] - 14)
        assert len(ours) == inner["frame_len_field"] == inner["len"]
        assert ours[:40].hex() == datagram["payload_hex_first_48"][16:]
        assert is_heartbeat_of(ours, int(inner["conn_uid"]))
        assert not any(ours[24:])
    assert seen > 10
