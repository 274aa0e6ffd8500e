"""One connection's machine: transitions, handshake errors, deadlines."""

from __future__ import annotations

import pytest

from weave_ryu.errors import LocalProtocolError, RemoteProtocolError
from weave_ryu.mesh.config import ConnectionId
from weave_ryu.mesh.connection import (
    TRANSITIONS,
    ConnectionMachine,
    FeaturesRead,
    Input,
    Link,
    MessageRead,
    State,
)
from weave_ryu.mesh.crypto import new_key_pair
from weave_ryu.mesh.features import Features, decode_map, encode_features, encode_map
from weave_ryu.mesh.framing import frame
from weave_ryu.mesh.messages import Tag
from weave_ryu.names import PeerName, PeerUID, ShortId

HEADER = b"weave\2\2"
FEATURES = Features(PeerName(7), "them", PeerUID(5), 0xF0, ShortId(9), True, ("fastdp", "sleeve"))


def machine(outbound: bool = False, password: bytes | None = None) -> ConnectionMachine:
    link = Link(ConnectionId(1), outbound, True, ("10.0.0.1", 6783), ("10.0.0.2", 40000))
    ours = Features(PeerName(1), "us", PeerUID(1), 0x0F, None, True, ("fastdp",))
    return ConnectionMachine(link, lambda: ours, password, new_key_pair, 0.0)


def feed(one: ConnectionMachine, data: bytes, now: float = 0.0) -> list[object]:
    one.receive_bytes(data)
    signals = []
    while (signal := one.next_signal(now)) is not None:
        signals.append(signal)
    return signals


def joined() -> ConnectionMachine:
    one = machine()
    feed(one, HEADER + b"\0" + frame(encode_features(FEATURES)))
    one.add(0.0)
    one.take_output()
    return one


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("happened", Input)
def test_every_pair_of_state_and_input_is_a_transition_or_our_own_mistake(state, happened):
    one = machine()
    one._state = state
    if (state, happened) in TRANSITIONS:
        one._go(happened)
        assert one.state is TRANSITIONS[state, happened].to
    else:
        with pytest.raises(LocalProtocolError):
            one._go(happened)


def test_the_header_is_written_before_anything_is_read():
    assert machine().take_output() == HEADER


def test_the_handshake_gives_features_and_a_common_uid():
    one = machine()
    [signal] = feed(one, HEADER + b"\0" + frame(encode_features(FEATURES)))
    assert signal == FeaturesRead(FEATURES)
    assert one.connection_uid == 0xFF
    assert one.state is State.OFFERED
    output = one.take_output()
    assert output[:8] == HEADER + b"\0"
    assert decode_map(output[12:])["Overlays"] == "fastdp"


def test_messages_wait_until_the_router_has_decided():
    one = machine()
    signals = feed(one, HEADER + b"\0" + frame(encode_features(FEATURES)) + frame(b"\0"))
    assert len(signals) == 1
    one.add(0.0)
    assert one.next_signal(0.0) == MessageRead(0, b"")


def test_version_one_to_two_is_accepted_and_what_has_no_two_is_refused():
    assert feed(machine(), b"weave\1\2") == []
    for header in (b"weave\1\1", b"weave\3\4", b"weave\2\1"):
        with pytest.raises(RemoteProtocolError, match="no-common-version"):
            feed(machine(), header)


def test_another_protocol_is_refused_at_its_first_byte():
    with pytest.raises(RemoteProtocolError, match="bad-header"):
        feed(machine(), b"G")


@pytest.mark.parametrize(
    ("password", "flag", "code"),
    [
        (None, b"\1", "password-unexpected"),
        (b"pw", b"\0", "password-missing"),
        (None, b"\2", "bad-flag"),
        (b"pw", b"\xff", "bad-flag"),
    ],
)
def test_flags_that_do_not_fit_are_refused(password, flag, code):
    with pytest.raises(RemoteProtocolError, match=code):
        feed(machine(password=password), HEADER + flag)


def test_two_machines_with_one_password_understand_each_other():
    near, far = machine(True, b"pw"), machine(False, b"pw")
    for _ in range(4):
        feed(far, near.take_output())
        feed(near, far.take_output())
    assert near.state is far.state is State.OFFERED
    near.add(0.0)
    far.add(0.0)
    near.send(Tag.GOSSIP, b"body")
    assert feed(far, near.take_output()) == [MessageRead(4, b"body")]


def test_different_passwords_are_told_apart_from_other_errors():
    near, far = machine(True, b"pw"), machine(False, b"other")
    feed(far, near.take_output())
    feed(near, far.take_output()[: len(HEADER) + 33])
    with pytest.raises(RemoteProtocolError, match="wrong-password"):
        feed(far, near.take_output())


def test_a_key_of_small_order_is_refused():
    with pytest.raises(RemoteProtocolError, match="bad-public-key"):
        feed(machine(password=b"pw"), HEADER + b"\1" + bytes(32))


def pairs() -> dict[str, str]:
    return decode_map(encode_features(FEATURES))


@pytest.mark.parametrize("key", ["Name", "NickName", "UID", "ConnID", "PeerNameFlavour"])
def test_a_missing_feature_is_refused(key):
    left = pairs()
    del left[key]
    with pytest.raises(RemoteProtocolError, match=f"no {key}"):
        feed(machine(), HEADER + b"\0" + frame(encode_map(left)))


@pytest.mark.parametrize("key", ["ShortID", "Trusted", "Overlays", "Unknown"])
def test_other_features_may_be_left_out(key):
    left = pairs()
    left.pop(key, None)
    assert len(feed(machine(), HEADER + b"\0" + frame(encode_map(left)))) == 1


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ShortID", "4096"),
        ("ShortID", "-1"),
        ("PeerNameFlavour", "hash"),
        ("UID", "0"),
        ("UID", str(2**64)),
        ("ConnID", "0x1"),
        ("Name", "00:00:00:00:00:00"),
        ("Name", "nonsense"),
        ("Trusted", "maybe"),
        ("NickName", "x" * 2000),
    ],
)
def test_features_that_do_not_fit_are_refused(key, value):
    with pytest.raises(RemoteProtocolError, match="bad-feature"):
        feed(machine(), HEADER + b"\0" + frame(encode_map(pairs() | {key: value})))


def test_features_over_64_kib_are_refused_from_the_prefix():
    with pytest.raises(RemoteProtocolError, match="message-too-long"):
        feed(machine(), HEADER + b"\0" + (65537).to_bytes(4, "big"))


def test_a_silent_connection_ends_after_ten_seconds():
    one = machine()
    assert one.deadline() == 10.0
    one.handle_timer(9.9)
    with pytest.raises(RemoteProtocolError, match="header"):
        one.handle_timer(10.0)


def test_the_rest_of_the_handshake_has_sixty_seconds_in_all():
    one = machine()
    feed(one, HEADER, 5.0)
    feed(one, b"\0", 30.0)
    assert one.deadline() == 65.0
    with pytest.raises(RemoteProtocolError, match="handshake"):
        one.handle_timer(65.0)


def test_any_whole_message_counts_against_the_read_deadline_and_bytes_do_not():
    one = joined()
    feed(one, frame(b""), 50.0)
    one.handle_timer(109.0)
    feed(one, frame(b"abc")[:-1], 109.0)
    with pytest.raises(RemoteProtocolError, match="no message for 60 s"):
        one.handle_timer(110.0)


def test_a_heartbeat_goes_out_every_thirty_seconds():
    one = joined()
    one.handle_timer(29.9)
    assert one.take_output() == b""
    one.handle_timer(30.0)
    assert one.take_output() == frame(b"\0")
    feed(one, frame(b"\0"), 40.0)
    one.handle_timer(60.0)
    assert one.take_output() == frame(b"\0")


def test_the_features_are_described_when_they_are_sent():
    short_ids = iter([ShortId(5)])
    link = Link(ConnectionId(1), True, True, ("a", 1), ("b", 2))

    def describe() -> Features:
        return Features(PeerName(1), "", PeerUID(1), 1, next(short_ids), False, ("fastdp",))

    one = ConnectionMachine(link, describe, None, new_key_pair, 0.0)
    feed(one, HEADER)
    assert one.own_features is None
    feed(one, b"\0")
    assert one.own_features is not None


def test_keys_and_passwords_are_not_shown():
    pair = new_key_pair()
    assert pair.private.hex() not in repr(pair)
    assert repr(pair.private) not in repr(pair)
