"""Captured bytes of a control connection as plain values, for people and for ``debug decode``."""

from __future__ import annotations

from typing import Any

from weave_ryu.errors import RemoteProtocolError
from weave_ryu.mesh import handshake
from weave_ryu.mesh.features import decode_map_with_types
from weave_ryu.mesh.framing import StreamBuffer
from weave_ryu.mesh.gossip import TOPOLOGY
from weave_ryu.mesh.messages import (
    OverlayControl,
    Tag,
    decode_control,
    decode_gossip,
    decode_unicast,
)
from weave_ryu.mesh.topology import RawPeer, decode_raw

Described = dict[str, Any]

_TAG_NAMES = {
    Tag.HEARTBEAT: "Heartbeat",
    Tag.CONNECTION_ESTABLISHED: "ConnectionEstablished",
    Tag.FRAGMENTATION_RECEIVED: "FragmentationReceived",
    Tag.PMTU_VERIFIED: "PMTUVerified",
    Tag.GOSSIP: "Gossip",
    Tag.GOSSIP_UNICAST: "GossipUnicast",
    Tag.GOSSIP_BROADCAST: "GossipBroadcast",
    Tag.OVERLAY_CONTROL: "OverlayControl",
}
_FASTDP_SA_BYTES = 64


def describe_bytes(raw: bytes) -> list[Described]:
    """Describe one or more whole messages of one direction, from the first byte of one of them.

    Where in the connection they are is told from the bytes: a header says its name; a flag is
    followed by features; length-prefixed messages add up to the whole.

    Raises:
        RemoteProtocolError: they cannot be read as such.
    """
    if handshake.PROTOCOL.startswith(raw[: len(handshake.PROTOCOL)]):
        if len(raw) < handshake.HEADER_BYTES:
            raise RemoteProtocolError("bad-header", f"a header of {len(raw)} bytes, 7 are needed")
        return [_describe_header(raw), *_describe_after_header(raw[handshake.HEADER_BYTES :])]
    if len(raw) == 1:
        return _describe_after_header(raw)
    try:
        return _describe_messages(raw, features_first=False)
    except RemoteProtocolError as not_messages:
        try:
            return _describe_after_header(raw)
        except RemoteProtocolError:
            raise not_messages from None


def _describe_header(raw: bytes) -> Described:
    return {"protocol": raw[:5].decode(), "min_version": raw[5], "max_version": raw[6]}


def _describe_after_header(raw: bytes) -> list[Described]:
    if not raw:
        return []
    encrypted = raw[0] == 1
    size = handshake.flag_bytes(raw[0], encrypted)
    if len(raw) < size:
        raise RemoteProtocolError("bad-flag", f"a key of {len(raw) - 1} bytes, 32 are needed")
    rest = raw[size:]
    if encrypted and rest:
        raise RemoteProtocolError("sealed", "what follows the key is encrypted")
    return [{"encrypted": encrypted}, *_describe_messages(rest, features_first=True)]


def _describe_messages(raw: bytes, features_first: bool) -> list[Described]:
    buffer = StreamBuffer()
    buffer.append(raw)
    described: list[Described] = []
    while len(buffer):
        message = buffer.take_message()
        if message is None:
            raise RemoteProtocolError("cut", f"a message is cut, {len(buffer)} bytes are there")
        if features_first and not described:
            described.append(_describe_features(message))
        else:
            described.append(_describe_message(message))
    return described


def _describe_features(message: bytes) -> Described:
    pairs, types = decode_map_with_types(message)
    return {
        "features": pairs,
        "gob_type_ids": [{"id": type_id, "name": name} for type_id, name in types],
    }


def _describe_message(message: bytes) -> Described:
    if not message:
        return {"tag": None, "tag_name": "Blank"}
    tag, body = message[0], message[1:]
    if tag not in _TAG_NAMES:
        # Features have no tag: they begin with the length of a type definition, which is over 7.
        try:
            return _describe_features(message)
        except RemoteProtocolError:
            return {"tag": tag, "tag_name": "Unknown", "rest_hex": body.hex()}
    head: Described = {"tag": tag, "tag_name": _TAG_NAMES[Tag(tag)]}
    match tag:
        case Tag.GOSSIP | Tag.GOSSIP_BROADCAST:
            gossip = decode_gossip(body)
            who = {"src_peer": str(gossip.source)}
            return head | who | _describe_payload(gossip.channel, gossip.payload)
        case Tag.GOSSIP_UNICAST:
            unicast = decode_unicast(body)
            who = {"src_peer": str(unicast.source), "dst_peer": str(unicast.destination)}
            return head | who | _describe_payload(unicast.channel, unicast.payload)
        case Tag.OVERLAY_CONTROL:
            return head | _describe_control(decode_control(body))
        case Tag.HEARTBEAT:
            return head | ({"rest_hex": body.hex()} if body else {})
        case _:
            return head | {"rest_hex": body.hex()}


def _describe_payload(channel: str, payload: bytes) -> Described:
    described: Described = {"channel": channel, "payload_hex": payload.hex()}
    if channel == TOPOLOGY:
        described["topology"] = [_describe_peer(peer) for peer in decode_raw(payload)]
    return described


def _describe_peer(peer: RawPeer) -> Described:
    return {
        "Name": _name(peer.name_bytes),
        "NickName": peer.nick_name,
        "UID": str(peer.uid),
        "Version": str(peer.version),
        "ShortID": peer.short_id,
        "HasShortID": peer.has_short_id,
        "connections": [
            {
                "Name": _name(line.name_bytes),
                "RemoteTCPAddr": line.remote_tcp_addr,
                "Outbound": line.outbound,
                "Established": line.established,
            }
            for line in peer.connections
        ],
    }


def _name(raw: bytes) -> str:
    return ":".join(f"{byte:02x}" for byte in raw)


def _describe_control(message: OverlayControl) -> Described:
    return {
        "forwarder_index": message.index,
        "sub_tag": message.sub_tag,
        "rest_hex": message.body.hex(),
        **_control_meaning(message.sub_tag, message.body),
    }


def _control_meaning(sub_tag: int, body: bytes) -> Described:
    """What it means; the index alone does not say which overlay it belongs to."""
    match sub_tag:
        case 0:
            return {"meaning": "fastdp heartbeat ack (if the index is the fastdp forwarder)"}
        case 1 if len(body) == _FASTDP_SA_BYTES:
            return {
                "meaning": "fastdp IPsec: init remote SA",
                "nonce": body[:32].hex(),
                "spi": "0x" + body[32:36].hex(),
                "padding_zero": not any(body[36:]),
            }
        case 1:
            return {"meaning": "sleeve connection established (heartbeat ack)"}
        case 2:
            return {"meaning": "sleeve fragmentation received"}
        case 3:
            verified = {"mtu": int.from_bytes(body, "big")} if len(body) == 2 else {}
            return {"meaning": "sleeve PMTU verified", **verified}
        case _:
            return {"meaning": "unknown"}
