"""Tagged messages of an open connection (mesh/protocol.go)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from weave_ryu.errors import RemoteProtocolError
from weave_ryu.mesh import gob
from weave_ryu.names import PeerName

MAX_CHANNEL_BYTES = 256


class Tag(IntEnum):
    """First byte of a message. 1 to 3 are the old sleeve's and are never sent."""

    HEARTBEAT = 0
    CONNECTION_ESTABLISHED = 1
    FRAGMENTATION_RECEIVED = 2
    PMTU_VERIFIED = 3
    GOSSIP = 4
    GOSSIP_UNICAST = 5
    GOSSIP_BROADCAST = 6
    OVERLAY_CONTROL = 7


@dataclass(frozen=True, slots=True)
class Gossip:
    """Tags 4 and 6.

    Attributes:
        source: the sending neighbour for tag 4, the original source for tag 6.
    """

    channel: str
    source: PeerName
    payload: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class UnicastGossip:
    """Tag 5."""

    channel: str
    source: PeerName
    destination: PeerName
    payload: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class OverlayControl:
    """Tag 7.

    Attributes:
        index: place in the list of common overlays.
    """

    index: int
    sub_tag: int
    body: bytes


def encode_gossip(message: Gossip) -> bytes:
    """The gob items of tags 4 and 6, without the tag."""
    return _header(message.channel, message.source) + _payload(message.payload)


def encode_unicast(message: UnicastGossip) -> bytes:
    """The gob items of tag 5, without the tag."""
    destination = gob.scalar_item(gob.UINT_ID, gob.encode_uint(message.destination))
    return _header(message.channel, message.source) + destination + _payload(message.payload)


def encode_control(message: OverlayControl) -> bytes:
    """The body of tag 7. Two bytes at least: a shorter one kills a Weave router."""
    return bytes([message.index, message.sub_tag]) + message.body


def decode_gossip(body: bytes) -> Gossip:
    """Read the body of tags 4 and 6.

    Raises:
        RemoteProtocolError: not the three items.
    """
    decoder = gob.Decoder(body)
    message = Gossip(_channel(decoder), _name(decoder), decoder.read(gob.Scalar.BYTES))
    _expect_end(decoder)
    return message


def decode_unicast(body: bytes) -> UnicastGossip:
    """Read the body of tag 5.

    Raises:
        RemoteProtocolError: not the four items.
    """
    decoder = gob.Decoder(body)
    message = UnicastGossip(
        _channel(decoder), _name(decoder), _name(decoder), decoder.read(gob.Scalar.BYTES)
    )
    _expect_end(decoder)
    return message


def decode_control(body: bytes) -> OverlayControl:
    """Read the body of tag 7.

    Raises:
        RemoteProtocolError: shorter than two bytes.
    """
    if len(body) < 2:
        raise RemoteProtocolError("short-control", f"an overlay message of {len(body)} bytes")
    return OverlayControl(body[0], body[1], body[2:])


def _header(channel: str, source: PeerName) -> bytes:
    return gob.scalar_item(gob.STRING_ID, gob.encode_text(channel)) + gob.scalar_item(
        gob.UINT_ID, gob.encode_uint(source)
    )


def _payload(payload: bytes) -> bytes:
    return gob.scalar_item(gob.BYTES_ID, gob.encode_bytes(payload))


def _channel(decoder: gob.Decoder) -> str:
    channel: str = decoder.read(gob.Scalar.STRING)
    if len(channel.encode("utf-8", "surrogateescape")) > MAX_CHANNEL_BYTES:
        raise RemoteProtocolError("bad-channel", f"a name over {MAX_CHANNEL_BYTES} bytes")
    return channel


def _name(decoder: gob.Decoder) -> PeerName:
    number: int = decoder.read(gob.Scalar.UINT)
    try:
        return PeerName(number)
    except ValueError as error:
        raise RemoteProtocolError("bad-name", str(error)) from error


def _expect_end(decoder: gob.Decoder) -> None:
    if not decoder.at_end:
        raise gob.bad("bytes after the payload")
