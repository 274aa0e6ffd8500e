"""The features that both sides tell each other in the handshake (mesh/connection.go)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from weave_ryu.errors import RemoteProtocolError
from weave_ryu.mesh import gob
from weave_ryu.names import MAX_SHORT_ID, MAX_UID, UNKNOWN_PEER, PeerName, PeerUID, ShortId

NAME_FLAVOUR = "mac"
OVERLAY = "fastdp"
MAX_FEATURES = 64
MAX_NICK_NAME_BYTES = 1024

_MAP_ID = 65
_FEATURES = gob.MapOf(gob.Scalar.STRING, gob.Scalar.STRING, MAX_FEATURES)
_REQUIRED = ("PeerNameFlavour", "Name", "NickName", "UID", "ConnID")
_DECIMAL = re.compile(r"[0-9]{1,20}")
_TRUTHS = {"true": True, "false": False, "": False}


@dataclass(frozen=True, slots=True)
class Features:
    """What one side says about itself.

    Attributes:
        connection_id: random 64 bits; both sides' XOR is the connection's UID.
        short_id: None if the sender has none.
        trusted: the sender has the receiver's address in a trusted subnet.
        overlays: best first; None if the sender speaks only the old sleeve.
        uptime_ms: how long the sender has run and kept its name, 0 if others refuse it that; None
            if the sender is a Weave router, which tells no such thing and ignores it.
    """

    name: PeerName
    nick_name: str
    uid: PeerUID
    connection_id: int
    short_id: ShortId | None
    trusted: bool
    overlays: tuple[str, ...] | None
    uptime_ms: int | None = None


def encode_map(pairs: Mapping[str, str]) -> bytes:
    """A map of strings, keys ascending (Go's order is random)."""
    body = b"".join(gob.encode_text(key) + gob.encode_text(pairs[key]) for key in sorted(pairs))
    definition = gob.define_map(_MAP_ID, gob.STRING_ID, gob.STRING_ID)
    return definition + gob.scalar_item(_MAP_ID, gob.encode_uint(len(pairs)) + body)


def decode_map(raw: bytes) -> dict[str, str]:
    """A map of strings.

    Raises:
        RemoteProtocolError: anything else.
    """
    return decode_map_with_types(raw)[0]


def decode_map_with_types(raw: bytes) -> tuple[dict[str, str], list[tuple[int, str]]]:
    """The same, and the ids and names of the types that the sender defined."""
    decoder = gob.Decoder(raw)
    pairs: dict[str, str] = decoder.read(_FEATURES)
    if not decoder.at_end:
        raise gob.bad("bytes after the features")
    return pairs, [(type_id, wire.name) for type_id, wire in decoder.types.items()]


def encode_features(features: Features) -> bytes:
    """The features message, without length prefix and tag: it has no tag."""
    pairs = {
        "PeerNameFlavour": NAME_FLAVOUR,
        "Name": str(features.name),
        "NickName": features.nick_name,
        "UID": str(features.uid),
        "ConnID": str(features.connection_id),
        "Trusted": "true" if features.trusted else "false",
    }
    if features.short_id is not None:
        pairs["ShortID"] = str(features.short_id)
    if features.overlays is not None:
        pairs["Overlays"] = " ".join(features.overlays)
    if features.uptime_ms is not None:
        pairs["Uptime"] = str(features.uptime_ms)
    return encode_map(pairs)


def decode_features(raw: bytes) -> Features:
    """Read and check the features message.

    Raises:
        RemoteProtocolError: not a map of strings, a key is missing, a value does not fit.
    """
    pairs = decode_map(raw)
    for key in _REQUIRED:
        if key not in pairs:
            raise RemoteProtocolError("missing-feature", f"no {key} in the features")
    if pairs["PeerNameFlavour"] != NAME_FLAVOUR:
        raise _bad_feature("PeerNameFlavour", pairs["PeerNameFlavour"])
    try:
        nick_name = printable(pairs["NickName"], MAX_NICK_NAME_BYTES)
    except RemoteProtocolError as error:
        raise RemoteProtocolError("bad-feature", f"NickName: {error.detail}") from error
    short_id = _number(pairs, "ShortID", MAX_SHORT_ID) if "ShortID" in pairs else None
    overlays = pairs.get("Overlays")
    return Features(
        name=_name(pairs["Name"]),
        nick_name=nick_name,
        uid=PeerUID(_uid(pairs)),
        connection_id=_number(pairs, "ConnID", MAX_UID),
        short_id=None if short_id is None else ShortId(short_id),
        trusted=_truth(pairs.get("Trusted", "")),
        overlays=None if overlays is None else tuple(overlays.split()),
        uptime_ms=_number(pairs, "Uptime", MAX_UID) if "Uptime" in pairs else None,
    )


def printable(text: str, max_bytes: int) -> str:
    """What another peer calls itself, as terminals and logs may show it.

    What moves the cursor, rings, turns the direction of writing or begins a new line becomes a
    replacement character, as do bytes that are no UTF-8. It is told on in no more bytes than it may
    have.

    Args:
        text: as gob has it, bytes that are no UTF-8 as surrogates.
        max_bytes: of UTF-8.

    Raises:
        RemoteProtocolError: it is longer.
    """
    raw = text.encode("utf-8", "surrogateescape")
    if len(raw) > max_bytes:
        raise RemoteProtocolError("text-too-long", f"{len(raw)} bytes of text, over {max_bytes}")
    if text.isprintable():
        return text
    shown = "".join(c if c.isprintable() else "\ufffd" for c in raw.decode("utf-8", "replace"))
    return shown.encode()[:max_bytes].decode("utf-8", "ignore")


def _bad_feature(key: str, value: str) -> RemoteProtocolError:
    return RemoteProtocolError("bad-feature", f"{key} {value[:80]!r}")


def _name(text: str) -> PeerName:
    try:
        name = PeerName.parse(text)
    except ValueError as error:
        raise _bad_feature("Name", text) from error
    if name == UNKNOWN_PEER:
        raise _bad_feature("Name", text)
    return name


def _number(pairs: Mapping[str, str], key: str, highest: int) -> int:
    text = pairs[key]
    if not _DECIMAL.fullmatch(text) or int(text) > highest:
        raise _bad_feature(key, text)
    return int(text)


def _uid(pairs: Mapping[str, str]) -> int:
    number = _number(pairs, "UID", MAX_UID)
    if number == 0:
        raise _bad_feature("UID", "0")
    return number


def _truth(text: str) -> bool:
    if text not in _TRUTHS:
        raise _bad_feature("Trusted", text)
    return _TRUTHS[text]
