"""Hellos: what the gateways of a segment say to each other on the segment itself. Sans-IO.

They show that another gateway is alive where the mesh cannot. A hello is one Ethernet frame to a
group address of its own, which every bridge of the segment floods and which no gateway passes on:

    6  03:77:72:79:75:00        16  keyed BLAKE2b of everything that follows (RFC 7693)
    6  a MAC made of the name    8  counter, which grows over restarts, too
    2  EtherType 0x88b5          2  length of the document
    1  version, 1                n  the gateway's record as in `records`, with this port alone

The key is made of the mesh's password. Without a password the digest only finds damaged frames, and
whoever can send on the segment can keep a standby from taking over.
"""

from __future__ import annotations

import hashlib
import hmac
import struct

from weave_ryu.errors import RemoteProtocolError
from weave_ryu.gateway.records import GatewayRecord, decode, encode
from weave_ryu.names import HELLO_GROUP, PeerName

ETHERTYPE = 0x88B5
"""IEEE Std 802 Local Experimental EtherType 1."""

VERSION = 1
MAX_DOCUMENT_BYTES = 1024

_HEADER = struct.Struct("!6s6sHB")
_DIGEST_BYTES = 16
_COUNTER = struct.Struct("!QH")
_CONTENT_AT = _HEADER.size + _DIGEST_BYTES
_SHORTEST = _CONTENT_AT + _COUNTER.size


class Seal:
    """Makes and checks digests.

    Args:
        password: of the mesh; None = there is none.
        person: what is sealed, 16 bytes at most: one kind's seal is none of another's.
    """

    def __init__(self, password: bytes | None, person: bytes = b"weave-ryu hello") -> None:
        # A password may be longer than a key of BLAKE2b.
        key = hashlib.sha256(password).digest() if password is not None else b""
        self._start = hashlib.blake2b(digest_size=_DIGEST_BYTES, key=key, person=person)

    def digest(self, content: bytes) -> bytes:
        """16 bytes."""
        digest = self._start.copy()
        digest.update(content)
        return digest.digest()


def source_mac(name: PeerName, port: str) -> bytes:
    """The sender's address: no host's, so that no switch moves a host to a closed port by it."""
    made = hashlib.blake2b(f"{name} {port}".encode(), digest_size=5).digest()
    return b"\x0a" + made


class Draft:
    """What a hello says, ten times a second, until the record changes.

    Args:
        record: with the one port that it leaves by.
    """

    def __init__(self, record: GatewayRecord) -> None:
        group = bytes.fromhex(HELLO_GROUP.replace(":", ""))
        source = source_mac(record.name, record.ports[0].port)
        self._header = _HEADER.pack(group, source, ETHERTYPE, VERSION)
        self._document = encode([record])

    def sealed(self, counter: int, seal: Seal) -> bytes:
        """One hello, padded to 60 bytes; `counter` is higher than in every hello before."""
        content = _COUNTER.pack(counter, len(self._document)) + self._document
        return (self._header + seal.digest(content) + content).ljust(60, b"\0")


def parse(frame: bytes, seal: Seal) -> tuple[GatewayRecord, int]:
    """The sender's record and its counter.

    Args:
        frame: as it came from the segment; anybody there may have made it.
        seal: of the mesh.

    Raises:
        RemoteProtocolError: it is no hello of this mesh.
    """
    if len(frame) < _SHORTEST:
        raise RemoteProtocolError("hello", f"{len(frame)} bytes are too few")
    _, _, ethertype, version = _HEADER.unpack_from(frame)
    if (ethertype, version) != (ETHERTYPE, VERSION):
        raise RemoteProtocolError("hello", f"type 0x{ethertype:04x} version {version}")
    counter, length = _COUNTER.unpack_from(frame, _CONTENT_AT)
    if length > MAX_DOCUMENT_BYTES or len(frame) < _SHORTEST + length:
        raise RemoteProtocolError("hello", f"a document of {length} bytes does not fit")
    sealed = seal.digest(frame[_CONTENT_AT : _SHORTEST + length])
    if not hmac.compare_digest(frame[_HEADER.size : _CONTENT_AT], sealed):
        raise RemoteProtocolError("hello", "its seal is wrong: another password?")
    message = decode(frame[_SHORTEST : _SHORTEST + length])
    if len(message.records) != 1 or len(message.records[0].ports) != 1:
        raise RemoteProtocolError("hello", "not about one port of one gateway")
    return message.records[0], counter
