"""Invented gateways: what anybody may tell of others does not reach far."""

from dataclasses import replace

from core_world import settled_pair, spec
from hypothesis import given
from hypothesis import strategies as st

from weave_ryu.gateway.admission import (
    EXPIRED_S,
    MAX_GATEWAYS,
    MAX_OF_SEGMENT,
    MAX_PORTS_IN_ALL,
    REFRESH_S,
)
from weave_ryu.gateway.records import (
    MAX_PAYLOAD_BYTES,
    MAX_REASON,
    OUTLIVED_BELOW,
    GatewayRecord,
    PortRecord,
    encode,
)
from weave_ryu.gateway.registry import Registry
from weave_ryu.gateway.role import State
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
    payload = encode([invented(n) for n in range(4096)])
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
        "s" * 63, "\U0001f600" * 64, "\U0001f600" * 16, (1 << 63) - 1, "\U0001f600" * 16, 255,
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
    known.merge([invented(1, sequence=OUTLIVED_BELOW)])
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
