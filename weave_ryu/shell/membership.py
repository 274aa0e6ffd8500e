"""Asks the mesh which multicast groups it wants, in the name of a segment.

A switch of the segment that listens to reports of membership (IGMP and MLD snooping, RFC 4541)
sends a group's frames only to the ports at which members have reported. After a gateway has taken
over, its port is none of these until the querier asks again, up to two minutes later. So the new
gateway asks: the members' answers go out by its port.

The queries go into the mesh, and from there perhaps to other segments, whose queriers they must not
silence: of several, the one with the lowest address asks. 0.0.0.0 does not count (RFC 4541 2.1.1);
IPv6 has no such address, so the sender's is link-local and higher than any made from a MAC.
The sender's MAC is the segment's peer name, whichever gateway asks: no host has it.
"""

from __future__ import annotations

import ipaddress
import struct

ASK_AT_S = (0.2, 1.5, 4.0)
"""After a port has opened: not before all peers know where the segment is now; a frame may be
lost."""

ANSWER_WITHIN_MS = 1000
_ROBUSTNESS = 2
_INTERVAL_S = 125
"""The defaults of RFC 3376 8 and RFC 3810 9: members take them over from whoever asks."""

_ROUTER_ALERT_4 = b"\x94\x04\0\0"
_ROUTER_ALERT_6 = b"\x05\x02\0\0"
_PAD_6 = b"\x01\0"
_ALL_HOSTS = ipaddress.IPv4Address("224.0.0.1")
_ALL_NODES = ipaddress.IPv6Address("ff02::1")
_IGMP, _ICMP_6, _HOP_BY_HOP = 2, 58, 0
_IGMP_QUERY, _MLD_QUERY = 0x11, 130


def igmp_query(mac: bytes) -> bytes:
    """A general query of IGMPv3, from 0.0.0.0 (RFC 3376 4.1): a frame of 60 bytes.

    Older hosts read it as one of their version.

    Args:
        mac: of the sender, 6 bytes.
    """
    head = struct.pack("!BBHIBBH", _IGMP_QUERY, ANSWER_WITHIN_MS // 100, 0, 0, _ROBUSTNESS,
                       _INTERVAL_S, 0)  # fmt: skip
    message = _with_checksum(head, 2, b"")
    length = 24 + len(message)
    header = struct.pack("!BBHHHBBH4s4s", 0x46, 0xC0, length, 0, 0, 1, _IGMP, 0, bytes(4),
                         _ALL_HOSTS.packed)  # fmt: skip
    packet = _with_checksum(header + _ROUTER_ALERT_4, 10, b"") + message
    to = b"\x01\x00\x5e\x00\x00\x01"
    return (to + mac + b"\x08\x00" + packet).ljust(60, b"\0")


def mld_query(mac: bytes) -> bytes:
    """A general query of MLDv2, from a link-local address (RFC 3810 5.1)."""
    head = struct.pack("!BBHHH16sBBH", _MLD_QUERY, 0, 0, ANSWER_WITHIN_MS, 0, bytes(16),
                       _ROBUSTNESS, _INTERVAL_S, 0)  # fmt: skip
    source = b"\xfe\x80" + bytes(6) + b"\xff\xff" + mac
    ends = source + _ALL_NODES.packed
    message = _with_checksum(head, 2, ends + struct.pack("!II", len(head), _ICMP_6))
    options = bytes([_ICMP_6, 0]) + _ROUTER_ALERT_6 + _PAD_6
    header = struct.pack("!IHBB", 6 << 28, len(options) + len(message), _HOP_BY_HOP, 1)
    to = b"\x33\x33\x00\x00\x00\x01"
    return to + mac + b"\x86\xdd" + header + ends + options + message


def _with_checksum(data: bytes, at: int, pseudo_header: bytes) -> bytes:
    """The Internet checksum (RFC 1071) put into its place, which holds zeros."""
    whole = pseudo_header + data
    total = sum(struct.unpack(f"!{len(whole) // 2}H", whole))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return data[:at] + struct.pack("!H", ~total & 0xFFFF) + data[at + 2 :]
