"""Reads what the switch says of its flows: OpenFlow 1.3.5, section 7.3.5.2.

Ryu makes a dozen objects of each flow, 0.15 ms of processor time: with ten thousand MACs the daemon
would be a second late with everything else, and lose the role of a gateway for it. So a part of a
reply is kept as it came (`postpone`), and of each flow only what is asked for is read.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from ryu.lib.packet import in_proto  # noqa: F401  (ryu needs it loaded before nicira matches)
from ryu.ofproto import ofproto_v1_3, ofproto_v1_3_parser

from weave_ryu.errors import OpenFlowError

_HEAD = struct.Struct("!HBxIIHHHH4xQQQ")
_MATCH = struct.Struct("!HH")
_FIELD = struct.Struct("!HBB")
_OXM_BASIC = 0x8000
_WHOLE_MACS = ofproto_v1_3.OFPXMT_OFB_ETH_DST << 1, ofproto_v1_3.OFPXMT_OFB_ETH_SRC << 1
_MAC_BYTES = 6


@dataclass(frozen=True, slots=True)
class FlowStats:
    """One flow.

    Args:
        table_id: number of its table.
        priority: of the flow.
        cookie: of the flow.
        duration_sec: whole seconds since it was installed.
        hard_timeout: seconds after which it ends, 0 = never.
        packet_count: frames that it has matched.
        byte_count: octets of them.
        has_instructions: False = what it matches is dropped.
        mac: the first MAC that its match names whole, destination or source, as
            ``aa:bb:cc:dd:ee:ff``; None if there is none.
        digest: of its match and instructions, as the switch shows them.
    """

    table_id: int
    priority: int
    cookie: int
    duration_sec: int
    hard_timeout: int
    packet_count: int
    byte_count: int
    has_instructions: bool
    mac: str | None
    digest: int


class RawFlows:
    """All flows of one part of a reply, unread. `length` is what Ryu goes on by."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.length = len(data)

    @classmethod
    def parser(cls, message: bytes, offset: int) -> RawFlows:
        """What Ryu calls to read the first flow: takes all of them."""
        return cls(bytes(message[offset:]))


def postpone() -> None:
    """Make Ryu leave the flows of replies to `read`."""
    ofproto_v1_3_parser.OFPFlowStatsReply.cls_stats_body_cls = RawFlows


def read(data: bytes) -> Iterator[FlowStats]:
    """Read the flows of one part.

    Raises:
        OpenFlowError: a length leads out of the data, or is too small.
    """
    offset = 0
    while offset < len(data):
        if len(data) - offset < _HEAD.size + _MATCH.size:
            raise OpenFlowError("flow dump", f"{len(data) - offset} bytes are left: no whole flow")
        length, table, seconds, _, priority, _, hard, _, cookie, packets, octets = (
            _HEAD.unpack_from(data, offset)
        )
        match_at = offset + _HEAD.size
        _, match_length = _MATCH.unpack_from(data, match_at)
        end, match_end = offset + length, match_at + match_length
        if not match_at + _MATCH.size <= match_end <= end <= len(data):
            raise OpenFlowError(
                "flow dump", f"a flow of {length} bytes has a match of {match_length}"
            )
        mac = _mac(data, match_at + _MATCH.size, match_end)
        # The match is padded to a multiple of eight octets.
        acts = match_at + (match_length + 7) // 8 * 8 < end
        digest = zlib.crc32(data[match_at:end])
        yield FlowStats(table, priority, cookie, seconds, hard, packets, octets, acts, mac, digest)
        offset = end


def _mac(data: bytes, offset: int, end: int) -> str | None:
    while offset + _FIELD.size <= end:
        class_, field, length = _FIELD.unpack_from(data, offset)
        offset += _FIELD.size
        if class_ == _OXM_BASIC and field in _WHOLE_MACS:
            if length != _MAC_BYTES or offset + length > end:
                raise OpenFlowError("flow dump", f"a MAC of {length} bytes")
            return data[offset : offset + length].hex(":")
        offset += length
    return None
