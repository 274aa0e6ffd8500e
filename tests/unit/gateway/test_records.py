"""What gateways tell each other: read back as it was written, and refused when it is malformed."""

import contextlib
import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weave_ryu.errors import RemoteProtocolError
from weave_ryu.gateway import records
from weave_ryu.gateway.records import (
    EPOCH_BELOW,
    MAX_COUNTER,
    MAX_MACS,
    MAX_PAYLOAD_BYTES,
    MAX_PORTS,
    GatewayRecord,
    HandOver,
    MacTable,
    Message,
    PortRecord,
    Step,
)
from weave_ryu.names import PeerName

names = st.integers(0, (1 << 48) - 1).map(PeerName)
segments = st.from_regex(records.SEGMENT_PATTERN, fullmatch=True)
counters = st.integers(0, MAX_COUNTER - 1)
epochs = st.integers(0, EPOCH_BELOW - 1)
printable = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=16)
ports = st.builds(
    PortRecord,
    segment=segments,
    port=printable,
    state=printable,
    epoch=epochs,
    role=printable,
    priority=st.integers(0, 255),
    ready=st.booleans(),
    damped=st.booleans(),
    reason=printable,
)
gateways = st.builds(
    GatewayRecord,
    name=names,
    incarnation=st.integers(0, (1 << 64) - 1),
    sequence=counters,
    ports=st.lists(ports, max_size=3).map(tuple),
)
macs = st.frozensets(st.integers(0, (1 << 48) - 1).map(lambda n: f"{n:012x}"), max_size=4)
tables = st.builds(MacTable, name=names, segment=segments, mesh=macs)
steps = st.builds(HandOver, segment=segments, step=st.sampled_from(Step), epoch=epochs)

RECORD = GatewayRecord(
    PeerName.parse("7a:00:00:00:00:0a"), 5, 7, (PortRecord("vlan", "eth1", "active", 3),)
)
TABLE = MacTable(RECORD.name, "vlan", frozenset({"020000000001"}))
GOOD = json.loads(records.encode([RECORD], [TABLE], [HandOver("vlan", Step.REQUEST, 4)]))


@given(
    st.lists(gateways, max_size=3, unique_by=lambda record: record.name),
    st.lists(tables, max_size=2),
    st.lists(steps, max_size=2),
    st.sets(st.sampled_from([PeerName(1), PeerName(2)])),
)
def test_message_is_read_back_as_it_was_written(told, told_tables, told_steps, unheard):
    message = records.decode(records.encode(told, told_tables, told_steps, unheard))
    ordered = tuple(sorted(told, key=lambda record: record.name))
    if told or told_tables or told_steps:
        assert message.unheard == unheard
    assert message == Message(ordered, tuple(told_tables), tuple(told_steps), message.unheard)


def test_nothing_to_say_is_no_bytes():
    assert records.encode() == b""
    assert records.decode(b"") == Message()


@given(st.lists(gateways, max_size=3, unique_by=lambda record: record.name))
def test_order_of_records_does_not_change_the_bytes(told):
    assert records.encode(told) == records.encode(reversed(told))


def test_record_knows_its_segments_and_where_it_forwards():
    ports = (PortRecord("vlan", "eth1", "active", 3), PortRecord("office", "eth2", "standby", 9))
    record = GatewayRecord(RECORD.name, 1, 1, ports)
    assert record.segments() == {"vlan", "office"}
    assert record.active_epochs() == {"vlan": 3}


def refused(payload):
    with pytest.raises(RemoteProtocolError) as caught:
        records.decode(payload)
    assert caught.value.code == "gateway-gossip"
    assert caught.value.detail
    return str(caught.value)


@pytest.mark.parametrize(
    "payload",
    [
        b"{",
        b"\xff\xfe\xfd",
        b"[]",
        b"null",
        b"7",
        b'"text"',
        b"{}",
        b'{"version": 2, "gateways": [], "macs": []}',
        b"[" * 100_000,
        b"1" * 5000,
    ],
    ids=lambda payload: repr(payload[:12]),
)
def test_payload_that_is_no_such_document_is_refused(payload):
    refused(payload)


def test_payload_that_is_too_long_is_refused_before_it_is_read():
    assert str(MAX_PAYLOAD_BYTES + 1) in refused(b" " * (MAX_PAYLOAD_BYTES + 1))


def test_table_that_is_too_long_is_cut_and_not_refused():
    many = frozenset(f"{number:012x}" for number in range(MAX_MACS + 10))
    payload = records.encode(tables=[MacTable(PeerName(1), "vlan", many)])
    (told,) = records.decode(payload).tables
    assert len(told.mesh) == MAX_MACS


GATEWAY, PORT = ("gateways", 0), ("gateways", 0, "ports", 0)
MACS, STEP = ("macs", 0), ("hand_overs", 0)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("gateways",), {}),
        (("macs",), None),
        (("hand_overs",), "x"),
        (("unheard",), "x"),
        (("unheard",), [7]),
        (("unheard",), ["7a"]),
        (GATEWAY, []),
        (PORT, "eth1"),
        (MACS, 1),
        (STEP, None),
        ((*GATEWAY, "name"), "7a:00:00:00:00"),
        ((*GATEWAY, "name"), 5),
        ((*GATEWAY, "name"), "7a:00:00:00:00:0a:00:00:00"),
        ((*GATEWAY, "incarnation"), -1),
        ((*GATEWAY, "incarnation"), 1 << 64),
        ((*GATEWAY, "incarnation"), True),
        ((*GATEWAY, "sequence"), 1.5),
        ((*GATEWAY, "sequence"), MAX_COUNTER),
        ((*GATEWAY, "sequence"), "7"),
        ((*GATEWAY, "ports"), {}),
        ((*GATEWAY, "ports"), [GOOD["gateways"][0]["ports"][0]] * (MAX_PORTS + 1)),
        ((*PORT, "segment"), ""),
        ((*PORT, "segment"), "-vlan"),
        ((*PORT, "segment"), "a b"),
        ((*PORT, "segment"), "v" * 64),
        ((*PORT, "segment"), "vlan\n"),
        ((*PORT, "port"), "p" * 65),
        ((*PORT, "port"), "eth\u0007"),
        ((*PORT, "port"), "\ud800"),
        ((*PORT, "state"), "s" * 17),
        ((*PORT, "state"), None),
        ((*PORT, "epoch"), -1),
        ((*PORT, "epoch"), False),
        ((*PORT, "priority"), 256),
        ((*PORT, "ready"), 1),
        ((*PORT, "damped"), "no"),
        ((*PORT, "reason"), 5),
        ((*PORT, "reason"), "a\nb"),
        ((*PORT, "reason"), "x" * 201),
        ((*MACS, "mesh"), ["02:00:00:00:00:01"]),
        ((*MACS, "mesh"), ["02000000000G"]),
        ((*MACS, "mesh"), ["0200000000010"]),
        ((*MACS, "mesh"), [1]),
        ((*MACS, "mesh"), [["020000000001"]]),
        ((*MACS, "mesh"), "020000000001"),
        ((*STEP, "step"), "hurry"),
        ((*STEP, "segment"), "/"),
        ((*STEP, "epoch"), 1e3),
    ],
    ids=lambda value: (
        str(value)[:40] if not isinstance(value, tuple) else ".".join(map(str, value))
    ),
)
def test_wrong_value_is_refused_whole(path, value):
    document = copy.deepcopy(GOOD)
    where = document
    for step in path[:-1]:
        where = where[step]
    where[path[-1]] = value
    refused(json.dumps(document).encode())


@pytest.mark.parametrize("path", [GATEWAY, PORT, MACS, STEP], ids=lambda path: path[-2])
def test_missing_field_is_refused_by_name(path):
    entry = GOOD
    for step in path:
        entry = entry[step]
    for key in entry:
        document = copy.deepcopy(GOOD)
        where = document
        for step in path:
            where = where[step]
        del where[key]
        if key == "reason":
            assert records.decode(json.dumps(document).encode()).records[0].ports[0].reason == ""
        elif key == "hosts":  # for gateways of before
            records.decode(json.dumps(document).encode())
        else:
            assert key in refused(json.dumps(document).encode())


def test_unknown_fields_are_ignored_so_that_later_versions_can_add_some():
    document = copy.deepcopy(GOOD)
    document["later"] = document["gateways"][0]["later"] = {"x": 1}
    document["gateways"][0]["ports"][0]["later"] = [1]
    assert records.decode(json.dumps(document).encode()) == records.decode(
        json.dumps(GOOD).encode()
    )


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)


def only_refuses(payload):
    with contextlib.suppress(RemoteProtocolError):
        assert isinstance(records.decode(payload), Message)


@given(anything)
def test_arbitrary_json_is_read_or_refused_and_nothing_else(document):
    only_refuses(json.dumps(document).encode())


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_read_or_refused_and_nothing_else(payload):
    only_refuses(payload)


@given(st.data())
def test_one_arbitrary_value_anywhere_is_read_or_refused_and_nothing_else(data):
    document = copy.deepcopy(GOOD)
    where = document
    while True:
        keys = sorted(where) if isinstance(where, dict) else list(range(len(where)))
        key = data.draw(st.sampled_from(keys))
        if isinstance(where[key], dict | list) and where[key] and data.draw(st.booleans()):
            where = where[key]
            continue
        where[key] = data.draw(anything)
        break
    only_refuses(json.dumps(document).encode())
