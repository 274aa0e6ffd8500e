"""Invented gateways: what anybody may tell of others does not reach far."""

from dataclasses import replace

import pytest
from core_world import settled_pair, spec
from hypothesis import given
from hypothesis import strategies as st

from weave_ryu.errors import RemoteProtocolError
from weave_ryu.gateway.admission import (
    COUNTED_BELOW,
    EXPIRED_S,
    MAX_GATEWAYS,
    MAX_OF_SEGMENT,
    MAX_PORTS_IN_ALL,
    REFRESH_S,
)
from weave_ryu.gateway.commands import Tell
from weave_ryu.gateway.core import GatewayCore
from weave_ryu.gateway.hearing import Hearing
from weave_ryu.gateway.records import (
    EPOCH_BELOW,
    MAX_MACS,
    MAX_PAYLOAD_BYTES,
    MAX_REASON,
    MAX_RECORDS,
    GatewayRecord,
    HandOver,
    MacTable,
    PortRecord,
    Step,
    decode,
    encode,
)
from weave_ryu.gateway.registry import EPOCH_STEP, FIRST_EPOCH, Registry
from weave_ryu.gateway.role import State
from weave_ryu.gateway.sharing import MAX_KEPT
from weave_ryu.gateway.timers import Timers
from weave_ryu.names import PeerName

A, B = PeerName(ord("A")), PeerName(ord("B"))
LIAR = PeerName(ord("L"))


def invented(number, segment="vlan", ports=1, sequence=1):
    made = tuple(PortRecord(segment, f"gw{n}", "standby", 1) for n in range(ports))
    return GatewayRecord(PeerName(0x02_0000_0000 + number), 1, sequence, made)


def registry():
    return Registry(PeerName(ord("X")), 1, 1000)


def test_4096_invented_gateways_are_nobody():
    world = settled_pair()
    core = world.cores["A"]
    core.registry.admission.is_present = {A, B, LIAR}.__contains__
    with pytest.raises(RemoteProtocolError, match="more than"):
        decode(encode([invented(n) for n in range(4096)]))
    for start in range(0, 4096, MAX_RECORDS):
        payload = encode([invented(start + n) for n in range(MAX_RECORDS)])
        core.received(LIAR, payload, True, world.now)
        core.received(LIAR, payload, False, world.now)
    assert [record.name for record in core.registry.records()] == [A, B]
    assert core.companions() == (B,)
    assert core.registry.admission.refused == 2 * 4096
    world.run(5.0)
    assert world.states() == {"A": State.ACTIVE, "B": State.STANDBY}


def test_a_segment_has_so_many_gateways_at_most():
    known = registry()
    known.merge(invented(n) for n in range(40))
    assert len(known.gateways_of("vlan")) == MAX_OF_SEGMENT
    known.merge(invented(n, sequence=2) for n in range(40))  # those that are known go on
    assert [r.sequence for r in known.records()] == [2] * MAX_OF_SEGMENT
    known.merge([invented(50, "office")])
    assert len(known.records()) == MAX_OF_SEGMENT + 1


def test_one_that_is_known_cannot_enter_a_full_segment_later():
    known = registry()
    known.merge([invented(50, "office"), *(invented(n) for n in range(MAX_OF_SEGMENT))])
    known.merge([invented(50, "vlan", sequence=2)])
    assert known.record(invented(50).name).segments() == {"office"}


def test_there_are_so_many_gateways_and_ports_in_all():
    known = registry()
    known.merge(invented(n, f"s{n}") for n in range(400))
    assert len(known.records()) == MAX_GATEWAYS
    known = registry()
    known.merge(invented(n, f"s{n}", ports=200) for n in range(40))
    assert sum(len(r.ports) for r in known.records()) <= MAX_PORTS_IN_ALL


def test_all_that_can_be_known_fits_into_one_message():
    known = registry()
    worst = PortRecord(
        "s" * 63, "\U0001f600" * 64, "\U0001f600" * 16, EPOCH_BELOW - 1, "\U0001f600" * 16, 255,
        False, False, "\U0001f600" * MAX_REASON, True, (1 << 63) - 1, (1 << 63) - 1,
    )  # fmt: skip
    per = MAX_PORTS_IN_ALL // MAX_GATEWAYS
    for number in range(MAX_GATEWAYS):
        ports = tuple(replace(worst, segment=f"{number:x}-{n}".ljust(63, "s")) for n in range(per))
        known.merge(
            [GatewayRecord(PeerName((1 << 48) - 1 - number), 1 << 63, 1 << 62, ports, 9999)]
        )
    assert len(known.records()) == MAX_GATEWAYS
    assert len(encode(known.records())) < MAX_PAYLOAD_BYTES


def test_a_sequence_that_cannot_be_outlived_is_a_lie():
    known = registry()
    known.merge([invented(1, sequence=COUNTED_BELOW)])
    assert known.records() == []


def test_a_gateway_that_only_others_tell_of_is_dropped_and_stays_away():
    world = settled_pair()
    core = world.cores["A"]
    stranger = replace(invented(1), name=PeerName(ord("S")))
    core.received(LIAR, encode([stranger]), True, world.now)
    for _ in range(5):
        world.run(REFRESH_S)
        core.received(B, encode([stranger]), False, world.now)  # passed on by honest peers
        world.call("A", "forget_strangers")
    assert [record.name for record in core.registry.records()] == [A, B]
    assert world.states() == {"A": State.ACTIVE, "B": State.STANDBY}


def test_a_gateway_that_speaks_for_itself_again_is_back_at_once():
    world = settled_pair()
    world.paused.add("B")
    world.run(EXPIRED_S + 1)
    world.call("A", "forget_strangers")
    assert [record.name for record in world.cores["A"].registry.records()] == [A]
    world.paused.discard("B")
    world.run(2.0)
    assert [record.name for record in world.cores["A"].registry.records()] == [A, B]
    assert world.states() == {"A": State.ACTIVE, "B": State.STANDBY}


def test_a_lease_that_was_not_taken_is_looked_at_again():
    world = settled_pair()
    core = world.cores["A"]
    present = {A}
    core.registry.admission.is_present = present.__contains__
    world.kill("B")
    world.start("B", spec())
    world.run(1.0)
    assert core.registry.record(B).incarnation == 2
    present.add(B)
    world.run(1.0)
    assert core.registry.record(B).incarnation == 3


@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from("ab"), st.integers(1, 40))))
def test_bounds_hold_whatever_is_told(told):
    known = registry()
    for sequence, (number, segment, ports) in enumerate(told, 1):
        known.merge([invented(number, segment, ports, sequence)])
    assert all(len(known.gateways_of(segment)) <= MAX_OF_SEGMENT for segment in "ab")
    assert sum(len(r.ports) for r in known.records()) <= MAX_PORTS_IN_ALL


def test_epochs_that_are_told_do_not_come_near_their_end():
    known = registry()
    known.merge([replace(invented(1), ports=(PortRecord("vlan", "gw", "active", 7),))])
    for sequence in range(2, 100):
        lie = PortRecord("vlan", "gw", "active", EPOCH_BELOW - 1)
        known.merge([replace(invented(1), sequence=sequence, ports=(lie,))])
    assert known.epoch("vlan") == 7 + 98 * EPOCH_STEP
    known.raise_epoch("office", EPOCH_BELOW - 1)
    assert known.epoch("office") == FIRST_EPOCH


def test_an_epoch_that_is_true_is_reached_soon():
    known = registry()
    known.raise_epoch("vlan", 1)
    for _ in range(5):
        known.raise_epoch("vlan", 5000)
    assert known.epoch("vlan") == 5000


def test_an_epoch_beyond_what_the_mesh_can_say_is_refused():
    lie = PortRecord("vlan", "gw", "active", EPOCH_BELOW)
    with pytest.raises(RemoteProtocolError, match="out of range"):
        decode(encode([replace(invented(1), ports=(lie,))]))


@pytest.mark.parametrize("password", [None, b"secret"])
def test_only_a_sealed_hello_raises_the_epoch(password):
    world = settled_pair()
    core = world.cores["A"]
    core._hearing = Hearing(A, 1, password)
    record = replace(core.registry.record(B), ports=(PortRecord("vlan", "gw0", "standby", 500),))
    core.hello("gw0", Hearing(B, 1 << 40, password).say(record, record.ports[0]), world.now)
    assert (core.registry.epoch("vlan") == 500) is (password is not None)


def test_a_hand_over_with_an_epoch_far_ahead_is_declined():
    world = settled_pair()
    core = world.cores["B"]
    step = HandOver("vlan", Step.PREPARE, core.registry.epoch("vlan") + EPOCH_STEP + 1)
    core.received(A, encode(hand_overs=[step]), True, world.now)
    told = [c.payload for c in core.poll_commands() if isinstance(c, Tell)]
    assert [h.step for payload in told for h in decode(payload).hand_overs] == [Step.ABORT]


def macs(count, first=0):
    return frozenset(f"{number:012x}" for number in range(first, first + count))


def kept(core):
    return sum(len(table) for table in core._sharing._told.values())


def test_tables_of_strangers_and_of_other_segments_are_not_kept():
    world = settled_pair()
    core = world.cores["A"]
    for n in range(60):
        core.received(LIAR, encode(tables=[MacTable(LIAR, "vlan", macs(100))]), True, world.now)
        core.received(B, encode(tables=[MacTable(B, f"none{n}", macs(100))]), True, world.now)
    assert kept(core) == 0


def test_tables_have_bounds_for_each_teller_and_in_all():
    world = settled_pair()
    core = world.cores["A"]
    tellers = [PeerName(ord("a") + n) for n in range(5)]
    core.registry.merge(replace(invented(1), name=name) for name in tellers)
    for n, name in enumerate(tellers):
        table = MacTable(name, "vlan", macs(MAX_MACS // 2 + n, n * MAX_MACS))
        core.received(name, encode(tables=[table]), True, world.now)
    assert kept(core) == MAX_KEPT
    core.received(tellers[0], encode(tables=[MacTable(tellers[0], "vlan")]), True, world.now)
    core.received(B, encode(tables=[MacTable(B, "vlan", macs(10))]), True, world.now)
    assert core.mesh_macs("gw0") >= macs(10)


def test_a_process_that_was_stopped_does_not_take_its_own_silence_for_that_of_others():
    world = settled_pair()
    world.now += 2 * EXPIRED_S
    world.cores["B"].forget_strangers(world.now)
    assert [record.name for record in world.cores["B"].registry.records()] == [A, B]


def test_a_peer_without_ports_drops_strangers_too():
    core = GatewayCore(PeerName(99), 1, 1, [], Timers(), 0.0)
    core.received(LIAR, encode([invented(1)]), False, 0.0)
    for now in range(10, 100, 15):
        core.received(A, encode([replace(invented(2, sequence=now), name=A)]), True, now)
        core.forget_strangers(now)
    assert [record.name for record in core.registry.records()] == [A]
