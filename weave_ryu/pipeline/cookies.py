"""Cookies: what each flow is, in 64 bits.

::

    63      56 55      48 47            32 31                             0
    +---------+----------+----------------+--------------------------------+
    |  owner  |   kind   |    subject     |          fingerprint           |
    +---------+----------+----------------+--------------------------------+

The *owner* marks this program's flows, so that nothing else on the bridge is ever touched. The
*kind* says what the flow is for, the *subject* which peer (short id) or port (OpenFlow port number)
it is about. The *fingerprint* is a hash of the flow's match and actions: comparing what is in the
switch with what should be there needs no decoding of matches and actions, and a stale flow is
deleted by its cookie alone. Learnt flows have fingerprint 0: all flows that one peer or port taught
share one cookie and are forgotten with one message.
"""

from __future__ import annotations

import enum
import zlib

from weave_ryu.pipeline.model import FlowSpec

OWNER = 0x57
"""ASCII W."""

OWNER_MASK = 0xFF << 56
KIND_MASK = OWNER_MASK | 0xFF << 48
"""Owner and kind: selects all flows of a kind."""
SUBJECT_MASK = KIND_MASK | 0xFFFF << 32
"""Owner, kind and subject: selects all flows about one subject."""

EXACT = (1 << 64) - 1


class Kind(enum.IntEnum):
    """What a flow is for."""

    FRAME = 0x01
    """Part of the fixed frame of the pipeline."""
    LOCAL_PORT = 0x02
    """About a container's port or the bridge's own port; subject: port number."""
    TUNNEL = 0x03
    """About a tunnel port; subject: port number."""
    PEER = 0x04
    """About a peer of the mesh; subject: short id."""
    GATEWAY = 0x05
    """About a gateway port, present whatever its role; subject: port number."""
    SPLIT_HORIZON = 0x06
    """Keeps a frame off the segment that it came from; subject: port number."""
    PERMIT = 0x07
    """Opens a gateway port for a while; runs out by itself; subject: port number."""
    LEARNT_PEER = 0x08
    """Made by the switch: a MAC behind a peer; subject: short id."""
    LEARNT_PORT = 0x09
    """Made by the switch: a MAC behind a port of this bridge; subject: port number."""
    NEIGHBOUR = 0x0A
    """About a neighbour's underlay address; subject: the neighbour's short id."""


UNMANAGED = frozenset({Kind.PERMIT, Kind.LEARNT_PEER, Kind.LEARNT_PORT})
"""Kinds that the difference between desired and installed flows leaves alone."""


def subject_cookie(kind: Kind, subject: int) -> int:
    """The cookie of a learnt flow, or the value to select all flows of a subject.

    Args:
        kind: what for.
        subject: short id or port number, 0 to 65535 (a reserved port is cut to 16 bits).
    """
    return OWNER << 56 | int(kind) << 48 | (subject & 0xFFFF) << 32


def flow_cookie(flow: FlowSpec) -> int:
    """The cookie of a flow that the daemon installs."""
    if not flow.cookie:
        content = repr((flow.table, flow.priority, flow.match, flow.actions)).encode()
        cookie = subject_cookie(Kind(flow.kind), flow.subject) | zlib.crc32(content)
        object.__setattr__(flow, "cookie", cookie)
    return flow.cookie


def parse(cookie: int) -> tuple[Kind, int] | None:
    """Kind and subject of a cookie, or None if the flow is not this program's."""
    if cookie >> 56 != OWNER:
        return None
    try:
        return Kind(cookie >> 48 & 0xFF), cookie >> 32 & 0xFFFF
    except ValueError:
        return None
