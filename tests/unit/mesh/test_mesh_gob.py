"""Gob: what the strict decoder refuses, and that nothing is allocated for a lie."""

from __future__ import annotations

import pytest

from weave_ryu.errors import RemoteProtocolError
from weave_ryu.mesh import gob
from weave_ryu.mesh.features import decode_map, encode_map
from weave_ryu.mesh.messages import decode_gossip
from weave_ryu.mesh.topology import decode_raw

STRINGS = gob.MapOf(gob.Scalar.STRING, gob.Scalar.STRING, 100)
POINT = gob.StructOf({"X": gob.Scalar.UINT, "Name": gob.Scalar.STRING})


def refuse(raw: bytes, expected: gob.Expected, match: str) -> None:
    with pytest.raises(RemoteProtocolError, match=match):
        gob.Decoder(raw).read(expected)


@pytest.mark.parametrize(
    ("number", "raw"),
    [
        (0, "00"),
        (127, "7f"),
        (128, "ff80"),
        (255, "ffff"),
        (256, "fe0100"),
        (2**64 - 1, "f8" + "ff" * 8),
    ],
)
def test_unsigned_numbers_are_as_go_writes_them(number, raw):
    assert gob.encode_uint(number).hex() == raw
    item = gob.scalar_item(gob.UINT_ID, gob.encode_uint(number))
    assert gob.Decoder(item).read(gob.Scalar.UINT) == number


@pytest.mark.parametrize(("number", "raw"), [(0, "00"), (-1, "01"), (66, "ff84"), (-66, "ff83")])
def test_signed_numbers_are_as_go_writes_them(number, raw):
    assert gob.encode_int(number).hex() == raw


def test_a_number_of_more_than_eight_bytes_is_refused():
    refuse(bytes([0xF7]) + bytes(9), gob.Scalar.UINT, "9 bytes")


@pytest.mark.parametrize("kind", [gob.INT_ID, gob.BOOL_ID, gob.BYTES_ID, gob.STRING_ID, 64, 99])
def test_a_uint_accepts_no_other_kind(kind):
    refuse(gob.scalar_item(kind, b"\1"), gob.Scalar.UINT, "where uint is expected")


def test_a_string_is_no_bytes():
    refuse(gob.scalar_item(gob.STRING_ID, b"\1a"), gob.Scalar.BYTES, "where bytes is expected")


def test_truth_is_zero_or_one():
    refuse(gob.scalar_item(gob.BOOL_ID, b"\2"), gob.Scalar.BOOL, "truth value")


def test_an_announced_length_is_checked_before_it_is_believed():
    refuse(gob.encode_uint(2**40), gob.Scalar.BYTES, "bytes are announced")
    refuse(gob.scalar_item(gob.BYTES_ID, gob.encode_uint(2**40)), gob.Scalar.BYTES, "are announced")


def test_a_number_that_ends_too_early_is_refused():
    refuse(gob.item(gob.UINT_ID, b"\0\xfe\1"), gob.Scalar.UINT, "2 bytes are announced, 1 are")
    refuse(gob.item(gob.UINT_ID, b"\0"), gob.Scalar.UINT, "inside a number")


@pytest.mark.parametrize(
    ("second", "match"),
    [
        (gob.scalar_item(gob.STRING_ID, b"\1a"), "where uint is expected"),
        (b"\5\6\0\1", "5 bytes are announced, 3 are there"),
        (b"\0\6\0\1", "inside a number"),
    ],
)
def test_a_second_value_is_checked_like_the_first(second, match):
    decoder = gob.Decoder(gob.scalar_item(gob.UINT_ID, b"\7") + second)
    assert decoder.read(gob.Scalar.UINT) == 7
    with pytest.raises(RemoteProtocolError, match=match):
        decoder.take(gob.Scalar.UINT)


def test_values_of_one_shape_may_be_of_several_types():
    raw = gob.define_struct(6000, "Point", [("X", gob.UINT_ID), ("Name", gob.STRING_ID)])
    raw += gob.item(6000, gob.encode_struct([b"\5", None]))
    raw += gob.define_struct(6001, "Point", [("Name", gob.STRING_ID), ("X", gob.UINT_ID)])
    raw += gob.item(6001, gob.encode_struct([b"\1n", None]))
    raw += gob.item(6000, gob.encode_struct([b"\6", b"\1m"]))
    decoder = gob.Decoder(raw)
    read = [decoder.read(POINT) for _ in range(3)]
    assert read == [{"X": 5, "Name": ""}, {"X": 0, "Name": "n"}, {"X": 6, "Name": "m"}]
    assert decoder.at_end


def test_a_map_with_a_false_count_is_refused():
    raw = gob.define_map(65, gob.STRING_ID, gob.STRING_ID)
    refuse(raw + gob.scalar_item(65, gob.encode_uint(2**31)), STRINGS, "elements are announced")
    with pytest.raises(RemoteProtocolError, match="at most 64"):
        decode_map(encode_map({str(number): "" for number in range(65)}))


def test_a_value_without_its_definition_is_refused():
    refuse(gob.scalar_item(65, b"\0"), STRINGS, "not defined")


def test_a_struct_where_a_map_is_expected_is_refused():
    raw = gob.define_struct(65, "P", [("X", gob.UINT_ID)]) + gob.item(65, b"\0")
    refuse(raw, STRINGS, "a struct where a map is expected")


def test_a_type_is_defined_once_and_not_over_a_predefined_one():
    definition = gob.define_map(65, gob.STRING_ID, gob.STRING_ID)
    refuse(definition * 2, STRINGS, "cannot be defined")
    refuse(gob.define_map(6, gob.STRING_ID, gob.STRING_ID), STRINGS, "cannot be defined")


def test_endless_type_definitions_are_refused():
    raw = b"".join(
        gob.define_map(65 + number, gob.STRING_ID, gob.STRING_ID) for number in range(1000)
    )
    decoder = gob.Decoder(raw)
    with pytest.raises(RemoteProtocolError, match="more than 64 type definitions"):
        decoder.read(STRINGS)
    assert len(decoder.types) == gob.MAX_TYPES


def test_a_struct_with_too_many_fields_is_refused():
    fields = [(f"F{number}", gob.UINT_ID) for number in range(gob.MAX_FIELDS + 1)]
    refuse(gob.define_struct(65, "Big", fields), POINT, "at most 64")


def test_fields_match_by_name_in_any_order_and_unknown_ones_are_passed_over():
    fields = [("Extra", 66), ("Name", gob.STRING_ID), ("Other", gob.FLOAT_ID), ("X", gob.UINT_ID)]
    raw = gob.define_slice(66, gob.STRING_ID) + gob.define_struct(65, "Point", fields)
    extra = gob.encode_uint(2) + gob.encode_text("a") + gob.encode_text("b")
    body = gob.encode_struct([extra, gob.encode_text("n"), b"\x07", b"\x05"])
    assert gob.Decoder(raw + gob.item(65, body)).read(POINT) == {"X": 5, "Name": "n"}


def test_left_out_fields_are_zero():
    raw = gob.define_struct(65, "Point", [("X", gob.UINT_ID)]) + gob.item(65, b"\0")
    assert gob.Decoder(raw).read(POINT) == {"X": 0, "Name": ""}


def test_a_struct_with_no_known_field_is_refused():
    raw = gob.define_struct(65, "Point", [("Y", gob.UINT_ID)]) + gob.item(65, b"\0")
    refuse(raw, POINT, "none of the expected fields")


def test_a_field_of_another_kind_is_refused_even_if_it_is_not_sent():
    raw = gob.define_struct(65, "Point", [("X", gob.INT_ID)]) + gob.item(65, b"\0")
    refuse(raw, POINT, "where uint is expected")


def test_a_field_number_beyond_the_struct_is_refused():
    raw = gob.define_struct(65, "Point", [("X", gob.UINT_ID)]) + gob.item(65, b"\x05\x01\0")
    refuse(raw, POINT, "field 4")


def test_deep_nesting_in_a_field_nobody_asked_for_is_refused():
    raw = gob.define_slice(66, 66)
    raw += gob.define_struct(65, "Point", [("X", gob.UINT_ID), ("Deep", 66)])
    body = gob.encode_struct([None, b"\1" * 5000 + b"\0"])
    refuse(raw + gob.item(65, body), POINT, "nested deeper")


def test_a_type_that_is_made_of_itself_cannot_loop_without_bytes():
    raw = gob.define_struct(65, "Point", [("X", gob.UINT_ID), ("Self", 65)])
    refuse(raw + gob.item(65, b"\x02" * 5000), POINT, "deeper|beyond|field")


def test_bytes_after_a_value_are_refused():
    refuse(gob.item(gob.UINT_ID, b"\0\1\1"), gob.Scalar.UINT, "too many after a value")


@pytest.mark.parametrize("cut", range(1, 40))
def test_a_cut_stream_is_an_error_and_nothing_else(cut):
    raw = encode_map({"Name": "7a:00:00:00:00:01", "a": "b"})
    with pytest.raises(RemoteProtocolError):
        decode_map(raw[:-cut])


def test_kinds_that_are_not_used_are_refused():
    refuse(gob.item(-65, b"\x05\0\0"), POINT, "not used here")


def test_gossip_with_bytes_behind_it_is_refused():
    raw = bytes.fromhex("0b0c0008746f706f6c6f677903060000030a0000")
    assert decode_gossip(raw).channel == "topology"
    with pytest.raises(RemoteProtocolError):
        decode_gossip(raw + b"\0")


def test_a_peer_name_over_48_bits_is_refused():
    raw = gob.scalar_item(gob.STRING_ID, b"\1a")
    raw += gob.scalar_item(gob.UINT_ID, gob.encode_uint(1 << 48))
    with pytest.raises(RemoteProtocolError, match="48 bits"):
        decode_gossip(raw + gob.scalar_item(gob.BYTES_ID, b"\0"))


def test_an_empty_topology_is_legal():
    assert decode_raw(b"") == []
