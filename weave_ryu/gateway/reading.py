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
        subject: OpenFlow number of the port (its low 16 bits, as those of all ports here), or short
            id of the peer.
    """

    mac: str
    is_here: bool
    subject: int


@dataclass(frozen=True, slots=True)
class Reading:
    """MACs as 12 hex digits, by the side of a gateway port that they are on.

    Args:
        mesh: of the mesh.
        hosts: of the segment.
        own: those of `mesh` that are beside this peer.
        relayed: those behind other gateways, or beside them. On the wire nothing tells hosts that
            one of them let in from containers beside it: that it tells itself.
        unclear: those of `relayed` of which it is not known; they stay where they were.
        before: those that the switch was told are in the mesh, by the daemon before this one.
    """

    mesh: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()
    own: frozenset[str] = frozenset()
    relayed: frozenset[str] = frozenset()
    unclear: frozenset[str] = frozenset()
    before: frozenset[str] = frozenset()

    @property
    def heard(self) -> frozenset[str]:
        """Hosts that came in by the gateway port itself."""
        return self.hosts - self.relayed


def sort(
    learnt: Iterable[Learnt],
    port: int,
    ports: Collection[int],
    gateways: Collection[ShortId],
    letting_in: Collection[ShortId],
    unknown: Collection[ShortId],
    peers: Collection[ShortId],
    before: Collection[str] = (),
) -> Reading:
    """Which MACs are on which side of a gateway port.

    Args:
        learnt: what the switch has learnt; for each MAC the entry that counts.
        port: OpenFlow number of the gateway port.
        ports: those of all gateway ports of this peer: hosts of their segments are beside nobody.
        gateways: short ids of the other gateways of its segment.
        letting_in: those of them behind which the segment's hosts are.
        unknown: those of them of which that is not known.
        peers: short ids of all peers that are known. What an earlier daemon's flows learnt
            behind somebody else may be on either side: announced to the wrong one it would
            draw frames away from where the MAC is.
        before: see `Reading`.
    """
    mesh: set[str] = set()
    hosts: set[str] = set()
    own: set[str] = set()
    relayed: set[str] = set()
    unclear: set[str] = set()
    for mac, is_here, subject in learnt:
        if is_here:
            if subject == port:
                hosts.add(mac)
            else:
                mesh.add(mac)
                if subject not in ports:
                    own.add(mac)
            continue
        if subject in gateways:
            relayed.add(mac)
        if subject in unknown:
            unclear.add(mac)
        elif subject in letting_in:
            hosts.add(mac)
        elif subject in peers:
            mesh.add(mac)
    return Reading(*map(frozenset, (mesh, hosts, own, relayed, unclear, before)))
