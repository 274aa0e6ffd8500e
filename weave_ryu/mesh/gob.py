"""Go's gob encoding: a strict decoder for the kinds that mesh sends, and the encoder's primitives.

A stream is a sequence of length-prefixed items, each a type definition or a value. Type ids are the
sender's own, so definitions are read; struct fields match by name; kinds must fit. Every count is
checked against the bytes that remain before anything is allocated for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from weave_ryu.errors import RemoteProtocolError

MAX_DEPTH = 16
MAX_TYPES = 64
MAX_FIELDS = 64

BOOL_ID = 1
INT_ID = 2
UINT_ID = 3
FLOAT_ID = 4
BYTES_ID = 5
STRING_ID = 6
COMPLEX_ID = 7
_FIRST_USER_ID = 64


class Scalar(Enum):
    """Kinds without parts; the value is the predefined type id."""

    BOOL = BOOL_ID
    UINT = UINT_ID
    BYTES = BYTES_ID
    STRING = STRING_ID


@dataclass(frozen=True, slots=True)
class MapOf:
    """Expected: a map; decoded to a dict."""

    key: Scalar
    element: Scalar
    max_count: int


@dataclass(frozen=True, slots=True)
class SliceOf:
    """Expected: a slice; decoded to a list."""

    element: Expected
    max_count: int


@dataclass(frozen=True, slots=True)
class StructOf:
    """Expected: a struct; decoded to a dict with all the fields, zero values included."""

    fields: Mapping[str, Expected]


Expected = Scalar | MapOf | SliceOf | StructOf

_ZERO: Mapping[int, Any] = {BOOL_ID: False, UINT_ID: 0, BYTES_ID: b"", STRING_ID: ""}


@dataclass(frozen=True, slots=True)
class WireType:
    """A type that the sender defined.

    Attributes:
        kind: ``array``, ``slice``, ``struct`` or ``map``.
        name: Go's name for it; often empty.
        element: type id of the elements.
        key: type id of a map's keys.
        fields: names and type ids of a struct's fields, in order.
    """

    kind: str
    name: str = ""
    element: int = 0
    key: int = 0
    fields: tuple[tuple[str, int], ...] = field(default=())


def bad(detail: str) -> RemoteProtocolError:
    """The error for anything wrong in a stream."""
    return RemoteProtocolError("bad-gob", detail)


class _Cursor:
    """Reads numbers and runs of bytes between two places of a buffer."""

    __slots__ = ("at", "buffer", "end")

    def __init__(self, buffer: bytes, at: int, end: int) -> None:
        self.buffer = buffer
        self.at = at
        self.end = end

    @property
    def left(self) -> int:
        return self.end - self.at

    def uint(self) -> int:
        # No calls of other methods: of an update without news little else is read.
        start = self.at
        if start >= self.end:
            raise bad("it ends inside a number")
        first = self.buffer[start]
        start += 1
        if first < 128:
            self.at = start
            return first
        size = 256 - first
        if size > 8:
            raise bad(f"a number of {size} bytes")
        end = start + size
        if end > self.end:
            raise bad(f"{size} bytes are announced, {self.end - start} are there")
        self.at = end
        return int.from_bytes(self.buffer[start:end], "big")

    def signed(self) -> int:
        raw = self.uint()
        return ~(raw >> 1) if raw & 1 else raw >> 1

    def take(self, size: int) -> bytes:
        if size > self.left:
            raise bad(f"{size} bytes are announced, {self.left} are there")
        start = self.at
        self.at += size
        return self.buffer[start : self.at]

    def text(self) -> str:
        return self.take(self.uint()).decode("utf-8", "surrogateescape")

    def count(self, max_count: int, least_bytes: int = 1) -> int:
        number = self.uint()
        if number * least_bytes > self.left:
            raise bad(f"{number} elements are announced, {self.left} bytes are there")
        if number > max_count:
            raise bad(f"{number} elements, at most {max_count} are accepted")
        return number


Taken = tuple[int, int, int]
"""Type id, begin and end of a value in its stream."""


class Decoder:
    """Reads one stream, value by value."""

    def __init__(self, stream: bytes) -> None:
        self._cursor = _Cursor(stream, 0, len(stream))
        self._types: dict[int, WireType] = {}
        self._checked: set[tuple[int, int]] = set()
        # By shape: the type id of the last value that fitted, as it is written, and as a number.
        self._fitting: dict[int, tuple[bytes, int]] = {}
        self._zeros: dict[int, dict[str, Any]] = {}

    @property
    def types(self) -> Mapping[int, WireType]:
        """The definitions read so far, in the order of the stream."""
        return self._types

    @property
    def at_end(self) -> bool:
        """Nothing is left."""
        return self._cursor.left == 0

    def read(self, expected: Expected) -> Any:  # noqa: ANN401  (the caller names the shape)
        """The next value.

        Raises:
            RemoteProtocolError: not gob, not of the expected kind, or over a limit.
        """
        return self.read_taken(expected, self.take(expected))

    def take(self, expected: Expected) -> Taken:
        """The next value unread, of a type that fits, for ``read_taken``.

        Whoever knows the value already need not read it.

        Raises:
            RemoteProtocolError: not gob, not of the expected kind, or over a limit.
        """
        cursor = self._cursor
        end = cursor.end
        written, fitting_id = self._fitting.get(id(expected), (b"", 0))
        while True:
            size = cursor.uint()
            start = cursor.at
            stop = start + size
            if stop > end:
                raise bad(f"{size} bytes are announced, {end - start} are there")
            if written and cursor.buffer.startswith(written, start, stop):
                cursor.at = stop
                return (fitting_id, start + len(written), stop)
            cursor.end = stop
            type_id = cursor.signed()
            if type_id < 0:
                self._define(-type_id, cursor)
                cursor.end = end
                continue
            if (id(expected), type_id) not in self._checked:
                self._check(expected, type_id)
            value_at = cursor.at
            self._fitting[id(expected)] = (cursor.buffer[start:value_at], type_id)
            cursor.at, cursor.end = stop, end
            return (type_id, value_at, stop)

    def bytes_of(self, taken: Taken) -> bytes:
        """A value that ``take`` gave as it was written, without its type id."""
        return self._cursor.buffer[taken[1] : taken[2]]

    def read_taken(self, expected: Expected, taken: Taken) -> Any:  # noqa: ANN401
        """A value that ``take`` gave.

        Raises:
            RemoteProtocolError: as ``read``.
        """
        type_id, start, end = taken
        item = _Cursor(self._cursor.buffer, start, end)
        if not isinstance(expected, StructOf) and item.uint() != 0:
            raise bad("a value that is no struct must start with a zero byte")
        value = self._value(expected, type_id, item)
        if item.left:
            raise bad(f"{item.left} bytes too many after a value")
        return value

    def _define(self, type_id: int, item: _Cursor) -> None:
        if type_id < _FIRST_USER_ID or type_id in self._types:
            raise bad(f"type {type_id} cannot be defined, or not again")
        if len(self._types) >= MAX_TYPES:
            raise bad(f"more than {MAX_TYPES} type definitions")
        self._types[type_id] = _read_wire_type(item)
        if item.left:
            raise bad(f"{item.left} bytes too many after a type definition")

    def _check(self, expected: Expected, type_id: int) -> None:
        """Do the kinds fit? Looked at once per type, before any value (as Go does)."""
        seen = (id(expected), type_id)
        if seen in self._checked:
            return
        if isinstance(expected, Scalar):
            if type_id != expected.value:
                raise bad(f"type {type_id} where {expected.name.lower()} is expected")
            return
        wire = self._types.get(type_id)
        if wire is None:
            raise bad(f"type {type_id} is not defined or not what is expected")
        if isinstance(expected, MapOf):
            self._expect_kind(wire, "map")
            self._check(expected.key, wire.key)
            self._check(expected.element, wire.element)
        elif isinstance(expected, SliceOf):
            self._expect_kind(wire, "slice")
            self._check(expected.element, wire.element)
        else:
            self._expect_kind(wire, "struct")
            self._check_fields(expected, wire)
        self._checked.add(seen)

    def _check_fields(self, expected: StructOf, wire: WireType) -> None:
        known = [(name, type_id) for name, type_id in wire.fields if name in expected.fields]
        if wire.fields and not known:
            raise bad(f"struct {wire.name!r} has none of the expected fields")
        for name, type_id in known:
            self._check(expected.fields[name], type_id)

    @staticmethod
    def _expect_kind(wire: WireType, kind: str) -> None:
        if wire.kind != kind:
            raise bad(f"a {wire.kind} where a {kind} is expected")

    def _value(self, expected: Expected, type_id: int, item: _Cursor) -> Any:  # noqa: ANN401
        if isinstance(expected, Scalar):
            return _read_scalar(expected, item)
        wire = self._types[type_id]
        if isinstance(expected, MapOf):
            number = item.count(expected.max_count, 2)
            return {
                _read_scalar(expected.key, item): _read_scalar(expected.element, item)
                for _ in range(number)
            }
        if isinstance(expected, SliceOf):
            number = item.count(expected.max_count)
            if isinstance(expected.element, StructOf):
                parts = self._types[wire.element]
                return [self._struct(expected.element, parts, item) for _ in range(number)]
            return [self._value(expected.element, wire.element, item) for _ in range(number)]
        return self._struct(expected, wire, item)

    def _struct(self, expected: StructOf, wire: WireType, item: _Cursor) -> dict[str, Any]:
        result = self._zeros.get(id(expected))
        if result is None:
            result = {name: _zero(kind) for name, kind in expected.fields.items()}
            if all(isinstance(kind, Scalar) for kind in expected.fields.values()):
                self._zeros[id(expected)] = result
        result = dict(result)
        kinds, fields = expected.fields, wire.fields
        number = -1
        while delta := item.uint():
            number += delta
            if number >= len(fields):
                raise bad(f"field {number} of struct {wire.name!r}, which has {len(fields)}")
            name, type_id = fields[number]
            kind = kinds.get(name)
            if kind is None:
                self._skip(type_id, item, 0)
            elif isinstance(kind, Scalar):
                result[name] = _read_scalar(kind, item)
            else:
                result[name] = self._value(kind, type_id, item)
        return result

    def _skip(self, type_id: int, item: _Cursor, depth: int) -> None:
        """Pass over a value that nobody asked for."""
        if depth > MAX_DEPTH:
            raise bad(f"nested deeper than {MAX_DEPTH}")
        if type_id in (BOOL_ID, INT_ID, UINT_ID, FLOAT_ID):
            item.uint()
        elif type_id in (BYTES_ID, STRING_ID):
            item.take(item.uint())
        elif type_id == COMPLEX_ID:
            item.uint()
            item.uint()
        elif type_id in self._types:
            self._skip_parts(self._types[type_id], item, depth)
        else:
            raise bad(f"type {type_id} is not defined")

    def _skip_parts(self, wire: WireType, item: _Cursor, depth: int) -> None:
        if wire.kind == "struct":
            number = -1
            while delta := item.uint():
                number += delta
                if number >= len(wire.fields):
                    raise bad(f"field {number} of a struct that has {len(wire.fields)}")
                self._skip(wire.fields[number][1], item, depth + 1)
            return
        for _ in range(item.count(item.left)):
            if wire.kind == "map":
                self._skip(wire.key, item, depth + 1)
            self._skip(wire.element, item, depth + 1)


def _zero(expected: Expected) -> Any:  # noqa: ANN401
    if isinstance(expected, Scalar):
        return _ZERO[expected.value]
    if isinstance(expected, StructOf):
        return {name: _zero(kind) for name, kind in expected.fields.items()}
    return [] if isinstance(expected, SliceOf) else {}


def _read_scalar(expected: Scalar, item: _Cursor) -> Any:  # noqa: ANN401
    if expected is Scalar.UINT:
        return item.uint()
    if expected is Scalar.STRING:
        return item.text()
    if expected is Scalar.BYTES:
        return item.take(item.uint())
    number = item.uint()
    if number > 1:
        raise bad(f"{number} where a truth value is expected")
    return number == 1


def _read_wire_type(item: _Cursor) -> WireType:
    """Read one ``wireType`` struct: exactly one of its fields is set."""
    kinds = {1: "array", 2: "slice", 3: "struct", 4: "map"}
    kind = kinds.get(item.uint())
    if kind is None:
        raise bad("a kind of type that is not used here")
    wire = _read_struct_type(item) if kind == "struct" else _read_parts_type(kind, item)
    if item.uint() != 0:
        raise bad("a type definition of several kinds")
    return wire


def _read_parts_type(kind: str, item: _Cursor) -> WireType:
    """Array (common, element, length), slice (common, element) or map (common, key, element)."""
    name = ""
    numbers = {1: 0, 2: 0}
    for place in _fields(item, 3):
        if place == 0:
            name = _read_name_and_id(item)[0]
        else:
            numbers[place] = item.signed()
    if kind == "map":
        return WireType(kind, name, element=numbers[2], key=numbers[1])
    return WireType(kind, name, element=numbers[1])


def _read_struct_type(item: _Cursor) -> WireType:
    name = ""
    fields: list[tuple[str, int]] = []
    for place in _fields(item, 2):
        if place == 0:
            name = _read_name_and_id(item)[0]
        else:
            fields = [_read_name_and_id(item) for _ in range(item.count(MAX_FIELDS))]
    return WireType("struct", name, fields=tuple(fields))


def _read_name_and_id(item: _Cursor) -> tuple[str, int]:
    name, type_id = "", 0
    for place in _fields(item, 2):
        if place == 0:
            name = item.text()
        else:
            type_id = item.signed()
    return name, type_id


def _fields(item: _Cursor, size: int) -> Iterator[int]:
    """Numbers of the fields that are there; the caller reads each value before the next."""
    number = -1
    while delta := item.uint():
        number += delta
        if number >= size:
            raise bad(f"field {number} in a type definition that has {size}")
        yield number


# Encoding.


def encode_uint(number: int) -> bytes:
    """One byte below 128, else minus the count of bytes and the bytes."""
    if number < 128:
        return bytes([number])
    raw = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return bytes([256 - len(raw)]) + raw


def encode_int(number: int) -> bytes:
    """Shifted left by one; the lowest bit says that it is the complement."""
    return encode_uint((~number << 1) | 1 if number < 0 else number << 1)


def encode_bytes(raw: bytes) -> bytes:
    """Length, then the bytes."""
    return encode_uint(len(raw)) + raw


def encode_text(text: str) -> bytes:
    """Length in bytes, then UTF-8."""
    return encode_bytes(text.encode("utf-8", "surrogateescape"))


def item(type_id: int, body: bytes) -> bytes:
    """One length-prefixed item; the id is negative for a definition."""
    return encode_bytes(encode_int(type_id) + body)


def scalar_item(type_id: int, body: bytes) -> bytes:
    """A value at the top that is no struct."""
    return item(type_id, b"\0" + body)


def encode_struct(values: list[bytes | None]) -> bytes:
    """A struct's fields in order; None stands for a zero value, which is left out."""
    parts = []
    before = -1
    for number, value in enumerate(values):
        if value is not None:
            parts.append(encode_uint(number - before) + value)
            before = number
    return b"".join(parts) + b"\0"


def _common(name: str, type_id: int) -> bytes:
    return encode_struct([encode_text(name) if name else None, encode_int(type_id)])


def define_struct(type_id: int, name: str, fields: list[tuple[str, int]]) -> bytes:
    """The definition of a struct type."""
    lines = [encode_struct([encode_text(field), encode_int(kind)]) for field, kind in fields]
    body = encode_struct([_common(name, type_id), encode_uint(len(lines)) + b"".join(lines)])
    return item(-type_id, encode_struct([None, None, body]))


def define_slice(type_id: int, element: int) -> bytes:
    """The definition of an unnamed slice type."""
    body = encode_struct([_common("", type_id), encode_int(element)])
    return item(-type_id, encode_struct([None, body]))


def define_map(type_id: int, key: int, element: int) -> bytes:
    """The definition of an unnamed map type."""
    body = encode_struct([_common("", type_id), encode_int(key), encode_int(element)])
    return item(-type_id, encode_struct([None, None, None, body]))
