"""A router against a peer made by hand: strict input, order of events, bounds."""

from __future__ import annotations

import random

import pytest

from weave_ryu.errors import LocalProtocolError
from weave_ryu.mesh import events, gob
from weave_ryu.mesh.commands import CloseConnection, Dial, SendBytes, SendHeartbeat
from weave_ryu.mesh.config import Address, ConnectionId, RouterConfig
from weave_ryu.mesh.features import Features, decode_features, encode_features
from weave_ryu.mesh.framing import StreamBuffer, frame
from weave_ryu.mesh.messages import (
    Gossip,
    UnicastGossip,
    decode_gossip,
    encode_gossip,
    encode_unicast,
)
from weave_ryu.mesh.neighbours import MAX_HANDSHAKES
from weave_ryu.mesh.overlay import heartbeat_frame
from weave_ryu.mesh.peers import Connection, Peer, connections_by_name
from weave_ryu.mesh.router import Router
from weave_ryu.mesh.segments import epoch_of, identity_of
from weave_ryu.mesh.topology import decode_update, encode_update
from weave_ryu.names import PeerName, PeerUID, ShortId

OWN, THEM, THIRD = PeerName(100), PeerName(200), PeerName(300)
LOCAL, REMOTE = ("10.0.0.1", 6783), ("10.0.0.2", 40000)


class Bench:
    """One router and the far ends of its connections, written by hand."""

    def __init__(self, **changes: object) -> None:
        config = RouterConfig(OWN, "us", PeerUID(1), ShortId(1), **changes)  # type: ignore[arg-type]
        self.router = Router(config, rng=random.Random(1))
        self.router.start(0.0)
        self.out: dict[int, StreamBuffer] = {}
        self.closed: dict[int, str] = {}
        self.dials: list[Address] = []
        self.beats: list[SendHeartbeat] = []
        self.events: list[events.Event] = []
        self.drain()

    def drain(self) -> None:
        for command in self.router.poll_commands():
            match command:
                case SendBytes(connection, data):
                    assert connection not in self.closed
                    self.out.setdefault(connection, StreamBuffer()).append(data)
                case CloseConnection(connection, reason):
                    self.closed[connection] = reason
                case Dial(target):
                    self.dials.append(target)
                case SendHeartbeat():
                    self.beats.append(command)
        self.events += self.router.poll_events()

    def accept(self, number: int, now: float = 0.0) -> None:
        self.router.accepted(ConnectionId(number), LOCAL, REMOTE, now)
        self.drain()

    def feed(self, number: int, data: bytes, now: float = 0.0) -> None:
        self.router.receive_bytes(ConnectionId(number), data, now)
        self.drain()

    def tick(self, now: float) -> None:
        self.router.handle_timer(now)
        self.drain()

    def join(self, number: int, name: PeerName = THEM, now: float = 0.0, **changes: object) -> int:
        """Shake hands; returns the connection's UID."""
        features = {
            "name": name,
            "nick_name": "them",
            "uid": PeerUID(5),
            "connection_id": 0x55,
            "short_id": ShortId(int(name) // 100),
            "trusted": False,
            "overlays": ("fastdp", "sleeve"),
        } | changes
        self.accept(number, now)
        self.feed(number, b"weave\1\2\0" + frame(encode_features(Features(**features))), now)  # type: ignore[arg-type]
        view = next((v for v in self.router.connections() if v.connection == number), None)
        return 0 if view is None or view.connection_uid is None else view.connection_uid

    def messages(self, number: int) -> list[bytes]:
        buffer = self.out[number]
        if buffer.peek(5) == b"weave":
            buffer.take(8)
            buffer.take_message()
        found = []
        while (message := buffer.take_message()) is not None:
            found.append(message)
        return found

    def of_type(self, kind: type) -> list:
        return [event for event in self.events if isinstance(event, kind)]


def topology(*peers: Peer) -> bytes:
    return encode_gossip(Gossip("topology", THEM, encode_update(peers)))


def peer(name: PeerName, *to: PeerName, version: int = 1) -> Peer:
    lines = connections_by_name(Connection(far, "10.0.0.9:6783", True, True) for far in to)
    return Peer(name, "n", PeerUID(5), version, ShortId(int(name) // 100), lines)


def test_a_new_neighbour_is_told_everything_at_once_and_heartbeats_begin():
    bench = Bench()
    uid = bench.join(1)
    [message] = bench.messages(1)
    update = decode_update(decode_gossip(message[1:]).payload)
    assert [(one.name, one.version) for one in update] == [(OWN, 1), (THEM, 0)]
    [beat] = bench.beats
    assert (beat.remote_ip, beat.local_ip, beat.udp_port) == ("10.0.0.2", "10.0.0.1", 6784)
    assert (beat.source, beat.destination) == (1, 2)
    assert beat.frame == heartbeat_frame(uid, 1376)


def test_the_dialler_sends_vxlan_to_the_port_after_the_one_it_dialled():
    bench = Bench(targets=(Address("10.0.0.2", 7000),))
    assert bench.dials == [Address("10.0.0.2", 7000)]
    bench.router.dialled(ConnectionId(1), bench.dials[0], ("10.0.0.1", 5), ("10.0.0.2", 7000), 0.0)
    features = Features(THEM, "", PeerUID(5), 1, ShortId(2), False, ("fastdp",))
    bench.feed(1, b"weave\2\2\0" + frame(encode_features(features)))
    assert bench.beats[0].udp_port == 7001


def test_a_discovered_address_with_a_stranger_is_refused():
    bench = Bench(targets=(Address("10.0.0.2"),))
    target = bench.dials[0]
    bench.router.forget_targets([Address("10.0.0.2")], 0.0)
    bench.router._core.maker._targets[target].direct = False
    bench.router.dialled(ConnectionId(1), target, LOCAL, ("10.0.0.2", 6783), 0.0)
    features = Features(THEM, "", PeerUID(5), 1, ShortId(2), False, ("fastdp",))
    bench.feed(1, b"weave\2\2\0" + frame(encode_features(features)))
    assert "unknown-peer" in bench.closed[1]


def test_an_ack_makes_it_established_and_a_good_heartbeat_is_acknowledged_once():
    bench = Bench()
    uid = bench.join(1)
    bench.messages(1)
    for _ in range(3):
        bench.router.heartbeat_received(
            ShortId(2), ShortId(1), "10.0.0.2", heartbeat_frame(uid, 1376), 0.1
        )
    bench.drain()
    assert bench.messages(1) == [b"\7\0\0"]
    bench.feed(1, frame(b"\7\0\0"), 0.2)
    assert bench.router.version == 2
    assert len(bench.of_type(events.ConnectionEstablished)) == 1
    bench.tick(0.3)
    assert bench.of_type(events.TopologyChanged)


def test_the_first_update_follows_after_a_second_and_as_tag_four():
    bench = Bench()
    bench.join(1)
    bench.messages(1)
    bench.tick(0.1)
    bench.tick(0.5)
    assert bench.messages(1) == []
    bench.tick(1.0)
    [message] = bench.messages(1)
    assert message[0] == 4
    names = [one.name for one in decode_update(decode_gossip(message[1:]).payload)]
    assert names == [OWN, THEM]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"\4rubbish", "bad-gob"),
        (b"\4", "bad-gob"),
        (b"\5\0", "bad-gob"),
        (b"\6" + encode_gossip(Gossip("topology", THEM, b"\1")), "bad-gob"),
        (b"\4" + encode_gossip(Gossip("topology", THEM, gob.scalar_item(3, b"\1"))), "bad-gob"),
        (b"\7", "short-control"),
        (b"\7\0", "short-control"),
        (b"\7\1\0", "bad-overlay-index"),
        (b"\7\xff\0", "bad-overlay-index"),
        (b"\5" + encode_unicast(UnicastGossip("topology", THEM, OWN, b"")), "bad-gossip"),
        (b"\4" + topology(*(peer(PeerName(n)) for n in range(1000, 11000))), "bad-short-id|many"),
    ],
)
def test_a_bad_message_ends_its_connection_and_no_other(message, code):
    bench = Bench()
    bench.join(1)
    bench.join(2, THIRD)
    version, known = bench.router.version, len(bench.router.peers)
    bench.feed(1, frame(message))
    assert any(part in bench.closed[1] for part in code.split("|"))
    assert 2 not in bench.closed
    assert bench.router.version == version + 1
    assert len(bench.router.peers) == known - 1
    bench.feed(2, frame(b"\0"))
    assert [view.connection for view in bench.router.connections()] == [2]


def test_a_length_over_the_limit_ends_the_connection_from_its_prefix():
    bench = Bench()
    bench.join(1)
    bench.feed(1, b"\x7f\xff\xff\xff")
    assert "message-too-long" in bench.closed[1]


@pytest.mark.parametrize("message", [b"", b"\1\0", b"\2", b"\3\0\0", b"\x08", b"\xffxyz"])
def test_blank_and_unknown_messages_are_ignored(message):
    bench = Bench()
    bench.join(1)
    bench.feed(1, frame(message))
    assert 1 not in bench.closed
    assert bench.of_type(events.MessageIgnored)


def test_an_update_is_relayed_to_the_others_only_if_it_is_news():
    bench = Bench()
    bench.join(1)
    bench.join(2, THIRD)
    bench.tick(0.1)
    bench.messages(1), bench.messages(2)
    news = b"\4" + topology(peer(THEM, OWN))
    bench.feed(1, frame(news), 0.2)
    bench.tick(0.35)
    assert bench.messages(1) == []
    [relayed] = bench.messages(2)
    assert decode_gossip(relayed[1:]).source == OWN
    bench.feed(1, frame(news), 0.4)
    bench.tick(0.6)
    assert bench.messages(2) == []


def test_topology_as_tag_six_is_passed_along_the_tree_with_its_source():
    bench = Bench()
    bench.join(1)
    bench.join(2, THIRD)
    bench.feed(1, frame(b"\4" + topology(peer(THEM, OWN))))
    bench.tick(0.2)
    bench.messages(1), bench.messages(2)
    body = encode_gossip(Gossip("topology", THEM, encode_update([peer(THEM, OWN)])))
    bench.feed(1, frame(b"\6" + body), 0.3)
    [relayed] = bench.messages(2)
    assert relayed[0] == 6
    assert decode_gossip(relayed[1:]).source == THEM


def test_our_own_broadcast_that_comes_back_is_not_started_over():
    bench = Bench()
    bench.join(1)
    bench.join(2, THIRD)
    bench.tick(0.1)
    bench.messages(2)
    bench.feed(1, frame(b"\6" + encode_gossip(Gossip("x", OWN, b"p"))), 0.2)
    bench.tick(0.3)
    assert bench.messages(2) == []
    assert bench.of_type(events.MessageIgnored)


def test_gossip_to_one_peer_is_passed_on_byte_for_byte():
    bench = Bench()
    bench.join(1)
    bench.join(2, THIRD)
    bench.tick(0.1)
    bench.messages(2)
    body = encode_unicast(UnicastGossip("other", THEM, THIRD, b"payload"))
    bench.feed(1, frame(b"\5" + body), 0.2)
    assert bench.messages(2) == [b"\5" + body]
    lost = encode_unicast(UnicastGossip("other", THEM, PeerName(999), b"payload"))
    bench.feed(1, frame(b"\5" + lost), 0.2)
    ours = encode_unicast(UnicastGossip("other", THEM, OWN, b"payload"))
    bench.feed(1, frame(b"\5" + ours), 0.2)
    assert len(bench.of_type(events.MessageIgnored)) == 2


def test_discovery_dials_whom_others_know():
    bench = Bench()
    bench.join(1)
    bench.feed(1, frame(b"\4" + topology(peer(THEM, OWN, THIRD))))
    # Together with all other news of 100 ms.
    bench.tick(0.2)
    assert bench.dials == [Address("10.0.0.9", 6783)]


def test_a_known_peer_that_restarts_is_told_everything_again():
    bench = Bench()
    bench.join(1)
    bench.feed(1, frame(b"\4" + topology(peer(THEM, OWN))))
    for number in range(2, 40):
        # Our half of the connection UID is random: one of the tries is lower and takes over.
        bench.join(number, uid=PeerUID(6), now=1.0)
        if number not in bench.closed:
            break
    assert "duplicate" in bench.closed[1]
    assert [message[0] for message in bench.messages(number)] == [4]
    [restarted] = bench.of_type(events.PeerRestarted)
    assert (restarted.old, restarted.new) == (5, 6)
    assert bench.router.peers[THEM].uid == 5


def test_of_two_connections_with_one_uid_both_end_and_the_peer_is_forgotten():
    bench = Bench()
    uid = bench.join(1)
    bench.accept(2)
    bench.feed(2, b"weave\1\2\0")
    bench.out[2].take(8)
    own = decode_features(bench.out[2].take_message() or b"")
    twin = Features(THEM, "", PeerUID(5), uid ^ own.connection_id, ShortId(9), False, ("fastdp",))
    bench.feed(2, frame(encode_features(twin)))
    assert set(bench.closed) == {1, 2}
    assert THEM not in bench.router.peers


def test_silent_connections_are_bounded():
    bench = Bench()
    for number in range(200):
        bench.accept(number)
    assert len(bench.router.connections()) == MAX_HANDSHAKES
    assert sorted(bench.closed) == list(range(200 - MAX_HANDSHAKES))
    bench.tick(10.0)
    assert bench.router.connections() == []
    assert len(bench.of_type(events.ConnectionEnded)) == 200
    assert len(bench.of_type(events.HandshakeRefused)) == 200
    refused = {"too-many-handshakes": 200 - MAX_HANDSHAKES, "timeout": MAX_HANDSHAKES}
    assert bench.router.failed_connections() == refused


def test_every_connection_ends_exactly_once_and_late_inputs_are_ignored():
    bench = Bench()
    bench.join(1)
    bench.feed(1, frame(b"\7"))
    bench.feed(1, frame(b"\0"))
    bench.router.receive_eof(ConnectionId(1), "reset", 1.0)
    bench.router.write_blocked(ConnectionId(1), True, 1.0)
    bench.drain()
    [ended] = bench.of_type(events.ConnectionEnded)
    assert (ended.peer, ended.remote) == (THEM, REMOTE)
    assert (ended.code, ended.established) == ("short-control", False)
    assert bench.router.failed_connections() == {"short-control": 1}


@pytest.mark.parametrize(
    ("source", "destination", "uid_change"), [(9, 1, 0), (2, 9, 0), (2, 1, 1), (1, 1, 0)]
)
def test_heartbeats_with_wrong_short_ids_or_uid_are_dropped(source, destination, uid_change):
    bench = Bench()
    uid = bench.join(1)
    bench.messages(1)
    bench.router.heartbeat_received(
        ShortId(source),
        ShortId(destination),
        "10.0.0.66",
        heartbeat_frame(uid ^ uid_change, 1376),
        0.1,
    )
    bench.drain()
    assert bench.messages(1) == []
    [view] = bench.router.connections()
    assert view.overlay is not None
    assert view.overlay.remote_ip == "10.0.0.2"


def test_a_peer_without_a_short_id_gets_no_heartbeat():
    bench = Bench()
    bench.join(1, short_id=None)
    assert bench.beats == []
    bench.feed(1, frame(b"\4" + topology(peer(THEM, OWN, version=3))), 0.1)
    bench.tick(0.5)
    assert len(bench.beats) == 1


def test_gossip_waits_merged_while_the_shell_cannot_write():
    bench = Bench()
    bench.join(1)
    bench.tick(0.1)
    bench.messages(1)
    bench.router.write_blocked(ConnectionId(1), True, 0.2)
    segment = identity_of("vlan", None)
    for epoch in range(1, 6):
        bench.router.claim_segment(segment, epoch, 0.2)
    bench.tick(0.4)
    assert bench.messages(1) == []
    bench.router.write_blocked(ConnectionId(1), False, 0.5)
    bench.drain()
    [message] = bench.messages(1)
    told = {entry.name: entry for entry in decode_update(decode_gossip(message[1:]).payload)}
    assert epoch_of(told[segment.name].version) == 5


def test_a_peer_that_never_reads_is_dropped():
    bench = Bench()
    bench.join(1)
    bench.tick(0.1)
    bench.router.write_blocked(ConnectionId(1), True, 0.2)
    for _ in range(5):
        bench.router.gossip_broadcast("x", bytes(9_000_000), 0.2)
    bench.drain()
    assert "too-slow" in bench.closed[1]


def test_mistakes_of_our_caller_are_told_apart():
    bench = Bench()
    with pytest.raises(LocalProtocolError):
        bench.router.register_channel("topology")
    with pytest.raises(LocalProtocolError):
        bench.router.gossip_broadcast("x", bytes(11_000_000), 0.0)
    with pytest.raises(ValueError, match="peer name 0"):
        RouterConfig(PeerName(0), "", PeerUID(1), ShortId(1))


def test_stopping_ends_everything():
    bench = Bench(targets=(Address("10.0.0.2"),))
    bench.join(1)
    bench.router.stop(1.0)
    bench.drain()
    assert 1 in bench.closed
    assert bench.router.connections() == []


def test_passwords_are_not_shown():
    config = RouterConfig(OWN, "us", PeerUID(1), ShortId(1), password=b"secret")
    assert "secret" not in repr(config)
