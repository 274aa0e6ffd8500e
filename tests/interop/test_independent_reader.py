"""What we write, read by the fake peer's gob, and the other way round."""

from __future__ import annotations

import fake_peer
from fake_peer import decode_gob, decode_topology, encode_features, encode_gossip, encode_topology
from hypothesis import given
from hypothesis import strategies as st

from weave_ryu.mesh import features as our_features
from weave_ryu.mesh import messages, topology
from weave_ryu.mesh.features import printable
from weave_ryu.mesh.overlay import heartbeat_frame
from weave_ryu.mesh.peers import Connection, Peer, connections_by_name
from weave_ryu.names import PeerName, PeerUID, ShortId

NAMES = st.integers(1, (1 << 48) - 1).map(PeerName)
UINTS = st.sampled_from([0, 1, 127, 128, 255, 256, 1 << 32, (1 << 64) - 1]) | st.integers(
    0, (1 << 64) - 1
)
SHOWN = st.text(max_size=20).map(lambda text: printable(text, 1024))
LINES = st.builds(Connection, NAMES, SHOWN, st.booleans(), st.booleans())
PEERS = st.builds(
    Peer,
    NAMES,
    SHOWN,
    UINTS.map(PeerUID),
    UINTS,
    st.none() | st.integers(0, 4095).map(ShortId),
    st.lists(LINES, max_size=4).map(connections_by_name),
)


def as_told(peer: Peer) -> dict[str, object]:
    """An entry in the fake peer's terms."""
    return {
        "NickName": peer.nick_name,
        "UID": peer.uid,
        "Version": peer.version,
        "ShortID": peer.short_id,
        "Connections": {
            int(line.remote): {
                "Outbound": line.outbound,
                "Established": line.established,
                "RemoteTCPAddr": line.remote_tcp_addr,
            }
            for line in peer.connections.values()
        },
    }


@given(st.lists(PEERS, max_size=5, unique_by=lambda peer: peer.name))
def test_topology_that_we_write_is_read_the_same_by_another_reader(peers):
    told = decode_topology(topology.encode_update(peers))
    assert told == {int(peer.name): as_told(peer) for peer in peers}


@given(st.lists(PEERS, max_size=5, unique_by=lambda peer: peer.name))
def test_topology_of_another_writer_is_read_the_same_by_us(peers):
    entries = [
        {
            "NameByte": peer.name.to_bytes6(),
            "NickName": peer.nick_name,
            "UID": peer.uid,
            "Version": peer.version,
            "ShortID": peer.short_id or 0,
            "HasShortID": peer.short_id is not None,
            "Connections": [
                {
                    "NameByte": line.remote.to_bytes6(),
                    "RemoteTCPAddr": line.remote_tcp_addr,
                    "Outbound": line.outbound,
                    "Established": line.established,
                }
                for line in peer.connections.values()
            ],
        }
        for peer in peers
    ]
    assert topology.decode_update(encode_topology(entries)) == peers


@given(st.dictionaries(st.text(max_size=9), st.text(max_size=300), max_size=20))
def test_features_cross_both_ways(pairs):
    assert decode_gob(our_features.encode_map(pairs)) == [pairs]
    assert our_features.decode_map(encode_features(pairs)) == pairs


@given(st.text(max_size=40), NAMES, NAMES, st.binary(max_size=400))
def test_gossip_crosses_both_ways(channel, source, destination, payload):
    gossip = messages.Gossip(channel, source, payload)
    assert decode_gob(messages.encode_gossip(gossip)) == [channel, source, payload]
    assert messages.decode_gossip(encode_gossip(channel, source, payload=payload)) == gossip
    unicast = messages.UnicastGossip(channel, source, destination, payload)
    told = [channel, source, destination, payload]
    assert decode_gob(messages.encode_unicast(unicast)) == told
    theirs = encode_gossip(channel, source, destination, payload=payload)
    assert messages.decode_unicast(theirs) == unicast


def test_heartbeats_are_the_same_bytes():
    assert heartbeat_frame(1 << 63, 1376) == fake_peer.heartbeat_frame(1 << 63)


def test_the_other_reader_reads_what_real_routers_wrote(vector):
    captures = vector("tcp.json.gz")["captures"]
    for capture in captures.values():
        for connection in capture["connections"]:
            for message in connection["messages"]:
                decoded, raw = message["decoded"], bytes.fromhex(message["hex"])
                if message["kind"] == "features":
                    assert decode_gob(raw[4:]) == [decoded["features"]]
                elif decoded.get("channel") == "topology":
                    channel, _, payload = decode_gob(raw[5:])
                    assert channel == "topology"
                    told = decode_topology(payload)
                    assert [e["Version"] for e in told.values()] == [
                        int(entry["Version"]) for entry in decoded["topology"]
                    ]
