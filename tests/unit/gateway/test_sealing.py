"""The gateways' key: what others say is not taken for a gateway's word."""

from dataclasses import replace

import pytest
from core_world import settled_pair
from hypothesis import given
from hypothesis import strategies as st

from weave_ryu.gateway import movemessages
from weave_ryu.gateway.records import (
    CHANNEL,
    GatewayRecord,
    PortRecord,
    Step,
    decode,
    encode,
)
from weave_ryu.gateway.registry import Registry
from weave_ryu.gateway.role import State
from weave_ryu.gateway.sealing import WINDOW, MessageSeal, RecordSeal, hello_key
from weave_ryu.names import PeerName

KEY, OTHER_KEY = b"k" * 32, b"x" * 32
A, B, C = (PeerName(ord(letter)) for letter in "ABC")
RECORD = GatewayRecord(A, 7, 1000, (PortRecord("vlan", "gw0", "active", 3, reason="é"),), 100)
PAYLOAD = encode([RECORD])


def opened(seal, payload, source=A, *, to_all=False, channel=CHANNEL):
    return seal.open(channel, source, payload, is_for_all=to_all)


def pair(key=KEY, **options):
    return MessageSeal(A, KEY, 5), MessageSeal(B, key, 9, **options)


@pytest.mark.parametrize("to", [B, None])
def test_a_sealed_message_is_opened_once(to):
    a, b = pair()
    sealed = a.seal(CHANNEL, PAYLOAD, to)
    assert opened(b, sealed, to_all=to is None).payload == PAYLOAD
    again = opened(b, sealed, to_all=to is None)
    assert not again.is_trusted
    first = opened(pair()[1], sealed, to_all=to is None)
    assert first.is_trusted


def test_those_without_a_key_read_it_as_ever():
    a, _ = pair()
    sealed = a.seal(CHANNEL, PAYLOAD, B)
    assert decode(sealed) == decode(PAYLOAD)
    assert opened(MessageSeal(B, None, 1), sealed) == opened(MessageSeal(B, None, 1), PAYLOAD)
    assert MessageSeal(B, None, 1).seal(CHANNEL, PAYLOAD, A) == PAYLOAD
    moved = movemessages.encode(movemessages.HasMoved("vlan", "02c000000001"))
    assert movemessages.decode(a.seal("moves", moved, None)) == movemessages.decode(moved)


@pytest.mark.parametrize(
    ("source", "to_all", "channel"),
    [(C, False, CHANNEL), (A, True, CHANNEL), (A, False, "moves")],
    ids=["another sender", "for all", "another channel"],
)
def test_a_message_counts_only_as_it_was_sent(source, to_all, channel):
    a, b = pair()
    sealed = a.seal(CHANNEL, PAYLOAD, B)
    assert not opened(b, sealed, source, to_all=to_all, channel=channel).is_trusted
    assert opened(b, sealed).is_trusted


def test_a_message_for_another_gateway_does_not_count():
    a, _ = pair()
    assert not opened(MessageSeal(C, KEY, 1), a.seal(CHANNEL, PAYLOAD, B)).is_trusted


def test_without_the_key_nothing_is_trusted_unless_that_is_wanted():
    a, b = pair(OTHER_KEY)
    assert not opened(b, a.seal(CHANNEL, PAYLOAD, B)).is_trusted
    assert not opened(b, PAYLOAD).is_trusted
    _, lenient = pair(is_needed=False)
    assert opened(lenient, PAYLOAD).is_trusted
    assert not opened(lenient, MessageSeal(A, OTHER_KEY, 1).seal(CHANNEL, PAYLOAD, B)).is_trusted


@given(st.permutations(range(40)))
def test_messages_that_overtake_one_another_count_each_once(order):
    a, b = pair()
    sealed = [a.seal(CHANNEL, PAYLOAD, B) for _ in order]
    assert all(opened(b, sealed[n]).is_trusted for n in order)
    assert not any(opened(b, sealed[n]).is_trusted for n in order)


def test_what_is_held_back_for_long_does_not_count_any_more():
    a, b = pair()
    held = a.seal(CHANNEL, PAYLOAD, B)
    for _ in range(WINDOW):
        assert opened(b, a.seal(CHANNEL, PAYLOAD, B)).is_trusted
    assert not opened(b, held).is_trusted


@given(st.integers(0, 4000), st.integers(1, 255))
def test_no_changed_byte_is_trusted(place, change):
    a, b = pair()
    sealed = bytearray(a.seal(CHANNEL, PAYLOAD, B))
    sealed[place % len(sealed)] ^= change
    assert not opened(b, bytes(sealed)).is_trusted


@given(st.binary(max_size=200), st.booleans())
def test_whatever_comes_is_opened_without_an_error(payload, to_all):
    assert not opened(pair()[1], payload, to_all=to_all).is_trusted


def keyed(own=C, **options):
    made = Registry(own, 1, 1)
    made.admission.seal = RecordSeal(KEY, **options)
    return made


def test_a_record_goes_through_others_hands_and_counts():
    signed = RecordSeal(KEY).signed(RECORD)
    (passed_on,) = decode(encode(decode(encode([signed])).records)).records
    known = keyed()
    known.merge([passed_on])
    assert known.record(A) == signed


CHANGES = [
    {"sequence": 1001},
    {"name": B},
    {"incarnation": 8},
    {"fence_ms": 0},
    {"ports": ()},
    {"ports": (replace(RECORD.ports[0], epoch=4),)},
    {"ports": (replace(RECORD.ports[0], state="standby"),)},
    {"seal": ""},
    {"seal": "0" * 32},
    {"seal": "é"},
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_a_record_that_others_have_changed_or_made_does_not_count(change):
    known = keyed()
    known.merge([replace(RecordSeal(KEY).signed(RECORD), **change)], source=A)
    assert known.records() == []
    assert known.epoch("vlan") == 0


def test_what_is_said_of_ourselves_without_the_key_moves_nothing():
    known = keyed(own=A)
    known.set_own([])
    assert known.merge([replace(RECORD, sequence=(1 << 63) - (1 << 32) - 1)]) == ([], False)
    assert known.set_own([]).sequence == 3
    assert RecordSeal(KEY).may_be(known.own_record)


def test_while_the_key_is_brought_to_all_both_kinds_count():
    known = keyed(is_needed=False)
    known.merge([RECORD])
    assert known.record(A) == RECORD
    known.merge([replace(RECORD, sequence=2000, seal="0" * 32)])
    assert known.record(A) == RECORD


def test_a_lie_about_a_sequence_does_not_pin_a_record():
    known = Registry(C, 1, 1)
    known.merge([replace(RECORD, sequence=(1 << 63) - (1 << 32))])
    known.merge([RECORD])  # passed on: nobody knows who is right
    assert known.record(A).sequence > RECORD.sequence
    known.merge([RECORD], source=A)
    assert known.record(A) == RECORD


def hostile(world, letter, payload, source):
    """A peer without the key says something in another one's name, as the shell takes it."""
    core = world.cores[letter]
    seal = MessageSeal(core.own, KEY, 1)
    found = seal.open(CHANNEL, source, payload, is_for_all=False)
    assert not found.is_trusted
    core.received(source, found.payload, True, world.now, is_sure=False)
    world._perform(letter)


@pytest.mark.parametrize("source", [C, B], ids=["the liar", "in another's name"])
def test_nobody_without_the_key_decides_who_forwards(source):
    world = settled_pair()
    for letter, core in world.cores.items():
        core.registry.admission.seal = RecordSeal(KEY)
        core.publish()
        world._perform(letter)
    world.run(1.0)
    assert world.states() == {"A": State.ACTIVE, "B": State.STANDBY}
    before = {letter: len(port.history) for letter, port in (
        (letter, world.port(letter)) for letter in "AB"
    )}  # fmt: skip
    lies = [
        replace(RECORD, name=source, sequence=1 << 50, ports=(port,))
        for port in (
            PortRecord("vlan", "gw0", "active", 1 << 30, forced=True),
            PortRecord("vlan", "gw0", "standby", 0),
        )
    ]
    stands_by = replace(RECORD, sequence=1 << 50, ports=(PortRecord("vlan", "gw0", "standby", 0),))
    for _ in range(20):
        for letter in "AB":
            for lie in lies:
                hostile(world, letter, encode([lie], hand_overs=[]), source)
            steps = [{"segment": "vlan", "step": str(step), "epoch": 2} for step in Step]
            document = {"version": 1, "gateways": [], "macs": [], "hand_overs": steps}
            hostile(world, letter, str(document).replace("'", '"').encode(), source)
        hostile(world, "B", encode([stands_by]), A)
        world.run(0.1)
    assert world.states() == {"A": State.ACTIVE, "B": State.STANDBY}
    assert before == {letter: len(world.port(letter).history) for letter in "AB"}
    assert world.cores["A"].registry.epoch("vlan") < 10


def test_hellos_have_a_key_that_is_slow_to_guess_or_the_gateways_own():
    assert hello_key(None, None) is None
    assert hello_key(KEY, b"secret") == hello_key(KEY, None)
    assert len({hello_key(KEY, None), hello_key(None, b"secret"), b"secret"}) == 3
