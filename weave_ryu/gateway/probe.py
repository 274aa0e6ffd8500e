"""Probes: what a gateway port sends on its segment to find out where it comes back. Sans-IO.

A probe is one Ethernet frame to a group address of its own. Every bridge of the segment floods it,
and so does one that joins the segment to something else by mistake; no switch of ours forwards it:

    6  03:77:72:79:75:01         6  name of the peer that sends it
    6  a MAC of its own          8  epoch of the segment at that peer
    2  EtherType 0x88b5          8  nonce
    1  version, 2                1  length of the port's name      n  the port's name
    16 keyed BLAKE2b of          1  length of the segment's name   n  the segment's name
       everything that follows

The key is made of the mesh's password, as that of `hello`. The nonce is new in each probe, and only
who has seen the frame can say it; who has made the probe knows whether it is of lately, so that
there is no need for a counter.
"""

from __future__ import annotations

import hmac
import re
import struct
from dataclasses import dataclass

from weave_ryu.errors import RemoteProtocolError
from weave_ryu.gateway.hello import ETHERTYPE, Seal, source_mac
from weave_ryu.gateway.records import SEGMENT_PATTERN
from weave_ryu.names import PROBE_GROUP, PeerName

VERSION = 2
"""Not that of hellos: whoever takes a frame for the wrong kind refuses it."""

PERSON = b"weave-ryu probe"
"""The seal's purpose: a hello's seal is none of a probe."""

NONCE_BYTES = 8
PORT_PATTERN = re.compile(r"[^\s/\x00-\x1f\x7f]{1,15}")
"""Names of links: no slash and no blank (`dev_valid_name`, Linux)."""

_GROUP = bytes.fromhex(PROBE_GROUP.replace(":", ""))
_HEADER = struct.Struct("!6s6sHB")
_DIGEST_BYTES = 16
_FIXED = struct.Struct("!6sQ8s")
_CONTENT_AT = _HEADER.size + _DIGEST_BYTES
_NAMES_AT = _CONTENT_AT + _FIXED.size


@dataclass(frozen=True, slots=True)
class Probe:
    """What a probe says.

    Args:
        name: the peer that has made it.
        port: its gateway port that it left by.
        segment: that the port is configured for.
        epoch: of the segment there.
        nonce: `NONCE_BYTES` random bytes.
    """

    name: PeerName
    port: str
    segment: str
    epoch: int
    nonce: bytes


def seal(password: bytes | None) -> Seal:
    """The seal of a mesh's probes."""
    return Seal(password, PERSON)


def is_probe(frame: bytes) -> bool:
    """Whether a frame is addressed as one."""
    return frame[:6] == _GROUP


def encode(probe: Probe, sealed_by: Seal) -> bytes:
    """The frame, padded to 60 bytes."""
    content = _FIXED.pack(probe.name.to_bytes6(), probe.epoch, probe.nonce)
    for word in (probe.port, probe.segment):
        raw = word.encode()
        content += bytes((len(raw),)) + raw
    header = _HEADER.pack(_GROUP, source_mac(probe.name, probe.port), ETHERTYPE, VERSION)
    return (header + sealed_by.digest(content) + content).ljust(60, b"\0")


def parse(frame: bytes, sealed_by: Seal) -> Probe:
    """Read a frame that anybody may have made.

    Raises:
        RemoteProtocolError: it is no probe of this mesh.
    """
    if len(frame) < _NAMES_AT:
        raise RemoteProtocolError("probe", f"{len(frame)} bytes are too few")
    _, _, ethertype, version = _HEADER.unpack_from(frame)
    if (ethertype, version) != (ETHERTYPE, VERSION):
        raise RemoteProtocolError("probe", f"type 0x{ethertype:04x} version {version}")
    port, at = _word(frame, _NAMES_AT)
    segment, at = _word(frame, at)
    digest = sealed_by.digest(frame[_CONTENT_AT:at])
    if not hmac.compare_digest(frame[_HEADER.size : _CONTENT_AT], digest):
        raise RemoteProtocolError("probe", "its seal is wrong: another mesh?")
    if not PORT_PATTERN.fullmatch(port) or not SEGMENT_PATTERN.fullmatch(segment):
        raise RemoteProtocolError("probe", "a name is not of the right form")
    name, epoch, nonce = _FIXED.unpack_from(frame, _CONTENT_AT)
    return Probe(PeerName.from_bytes6(name), port, segment, epoch, nonce)


def _word(frame: bytes, at: int) -> tuple[str, int]:
    if at >= len(frame) or at + 1 + frame[at] > len(frame):
        raise RemoteProtocolError("probe", "a name is cut short")
    end = at + 1 + frame[at]
    return frame[at + 1 : end].decode(errors="replace"), end
