"""Identities in a mesh: values only, parse and format.

Source: mesh/peer_name_mac.go and mesh/peer.go (weaveworks/mesh 58dbcc3).
"""

from __future__ import annotations

import re
from typing import NewType

ShortId = NewType("ShortId", int)
"""A peer's 12-bit number, 0 to 4095, used in VXLAN network identifiers."""

PeerUID = NewType("PeerUID", int)
"""A peer's incarnation: 64 bits, new at each start; 0 marks a placeholder."""

HELLO_GROUP = "03:77:72:79:75:00"
"""Group address of the hellos between gateways on a segment: locally administered."""

PROBE_GROUP = "03:77:72:79:75:01"
"""Group address of the probes by which gateways find out where their segments are joined."""

SHORT_ID_BITS = 12
MAX_SHORT_ID = (1 << SHORT_ID_BITS) - 1
MAX_UID = (1 << 64) - 1

_FULL_NAME = re.compile(r"[0-9a-fA-F]{1,2}(:[0-9a-fA-F]{1,2}){5}")
_GROUP = re.compile(r"[0-9a-fA-F]{1,2}")


class PeerName(int):
    """A peer's identity: 48 bits, printed like a MAC address; ordered by number."""

    __slots__ = ()

    def __new__(cls, value: int) -> PeerName:
        """Refuse what does not fit in 48 bits."""
        if not 0 <= value < 1 << 48:
            raise ValueError(f"peer name {value:#x} does not fit in 48 bits")
        return super().__new__(cls, value)

    @classmethod
    def parse(cls, text: str) -> PeerName:
        """Read ``7a:00:00:00:00:01``; one ``::`` may stand for a run of zero bytes.

        Raises:
            ValueError: the text is not a peer name; the message says how one looks.
        """
        if _FULL_NAME.fullmatch(text):
            return cls(int("".join(part.zfill(2) for part in text.split(":")), 16))
        if text.count("::") == 1:
            left, right = text.split("::")
            head = left.split(":") if left else []
            tail = right.split(":") if right else []
            groups = head + tail
            if len(groups) < 6 and all(_GROUP.fullmatch(group) for group in groups):
                zeros = ["0"] * (6 - len(groups))
                full = [group.zfill(2) for group in head + zeros + tail]
                return cls(int("".join(full), 16))
        raise ValueError(f"{text!r} is not a peer name: write six hex bytes, 7a:00:00:00:00:01")

    @classmethod
    def from_bytes6(cls, raw: bytes) -> PeerName:
        """Read the six bytes of ``NameByte``."""
        if len(raw) != 6:
            raise ValueError(f"a peer name has 6 bytes, not {len(raw)}")
        return cls(int.from_bytes(raw, "big"))

    def to_bytes6(self) -> bytes:
        """The six bytes of ``NameByte``, big endian."""
        return int(self).to_bytes(6, "big")

    def __str__(self) -> str:
        return self.to_bytes6().hex(":")

    def __repr__(self) -> str:
        return f"PeerName({str(self)!r})"


UNKNOWN_PEER = PeerName(0)
"""The name 0 means "unknown" and is never used by a peer."""
