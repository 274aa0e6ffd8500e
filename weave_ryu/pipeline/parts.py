"""Pieces that flows of several stages are made of."""

from __future__ import annotations

from weave_ryu.names import SHORT_ID_BITS, ShortId
from weave_ryu.pipeline import tables as t
from weave_ryu.pipeline.cookies import Kind, subject_cookie
from weave_ryu.pipeline.model import (
    Action,
    Field,
    FlowSpec,
    Learn,
    LearnLoad,
    Mark,
    Match,
    Output,
    SetTunnel,
)
from weave_ryu.pipeline.state import Hop, RemotePeer


def tunnel_id(destination: ShortId, source: ShortId) -> int:
    """Weave's VXLAN network identifier (router/fastdp.go)."""
    return destination << SHORT_ID_BITS | source


def frame(
    table: str, priority: int, match: Match, actions: tuple[Action, ...], why: str
) -> FlowSpec:
    """A flow of the fixed frame of the pipeline."""
    return FlowSpec(table, priority, match, actions, Kind.FRAME, 0, why)


def send(hop: Hop, tun_id: int | None) -> tuple[Action, ...]:
    """Send through the tunnel; None keeps the frame's own tunnel id."""
    return (SetTunnel(hop.remote_ip, hop.local_ip, tun_id), Output(hop.port))


def label(peer: RemotePeer) -> str:
    """A peer, for humans."""
    return f"{peer.name} ({peer.nick_name})"


ZERO_MAC = "00:00:00:00:00:00"
GROUP_BIT = "01:00:00:00:00:00"
LEARN_PRIORITY = 20
"""Of a MAC known at first hand: heard on a container's port, or from a peer with a host."""

LEARN_PRIORITY_HEARSAY = 15
"""Of a MAC that another gateway has in the mesh: where it is there, only first hand knows."""

LEARN_PRIORITY_SECOND_HAND = 10
"""Of a MAC heard from a segment: it may be a host's, or of a frame of the mesh that the segment
returned. The mesh wins over the segments, everywhere.
"""


def learn_mac(
    cookie: int, flag: Mark, where: Mark, value: int, priority: int = LEARN_PRIORITY
) -> Learn:
    """Learn behind which port or peer the source MAC is."""
    loads = (LearnLoad(where, value), LearnLoad(flag, 1))
    return Learn(t.MAC.name, Field.ETH_DST, loads, cookie, priority, t.MAC_AGE_S)


def learn_origin(cookie: int, where: int, priority: int = LEARN_PRIORITY) -> Learn:
    """Learn whose the source MAC is."""
    loads = (LearnLoad(t.ORIGIN, where),)
    return Learn(t.ORIGINS.name, Field.ETH_SRC, loads, cookie, priority, t.MAC_AGE_S)


def learn_behind_segment(segment: ShortId) -> tuple[Learn, Learn]:
    """Learn a MAC of a segment: the same in every switch of the mesh, its gateways' too."""
    cookie, priority = subject_cookie(Kind.LEARNT_PEER, segment), LEARN_PRIORITY_SECOND_HAND
    return (
        learn_mac(cookie, t.KNOWN_PEER, t.DST_PEER, segment, priority),
        learn_origin(cookie, t.origin_segment(segment), priority),
    )
