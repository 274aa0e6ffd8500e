"""What a switch has learnt, sorted by the two sides of a gateway port. Sans-IO."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from weave_ryu.names import ShortId


class Learnt(NamedTuple):
    """Where the switch has learnt a MAC.

    Args:
        mac: 12 hex digits.
        is_here: behind a port of this peer's bridge, and not behind another peer.
        subject: OpenFlow number of the port, or short id of the peer.
    """

    mac: str
    is_here: bool
    subject: int


@dataclass(frozen=True, slots=True)
class Reading:
    """The MACs of both sides, as 12 hex digits.

    Args:
        mesh: behind the mesh: at peers, beside this one, or on other segments.
        hosts: behind the port's segment.
        beyond: those of `mesh` that are on other segments.
    """

    mesh: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()
    beyond: frozenset[str] = frozenset()


def sort(
    learnt: Iterable[Learnt],
    segment: ShortId,
    peers: Collection[ShortId],
    unclear: Collection[ShortId],
    segments: Collection[ShortId] = (),
) -> Reading:
    """Sort what was learnt.

    Args:
        learnt: all of it.
        segment: short id of the port's segment.
        peers: short ids of all peers that are known: what an earlier daemon's flows learnt behind
            somebody else may be on either side.
        unclear: of gateways that let the segment's frames in under their own short ids.
        segments: short ids of all segments that are known.
    """
    mesh: set[str] = set()
    hosts: set[str] = set()
    beyond: set[str] = set()
    for mac, is_here, subject in learnt:
        if is_here:
            mesh.add(mac)
        elif subject == segment:
            hosts.add(mac)
        elif subject in peers and subject not in unclear:
            mesh.add(mac)
            if subject in segments:
                beyond.add(mac)
    return Reading(frozenset(mesh), frozenset(hosts), frozenset(beyond))
