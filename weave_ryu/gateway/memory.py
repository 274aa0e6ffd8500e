"""The MACs on both sides of each gateway port, as far as any gateway knows them. Sans-IO."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from weave_ryu.gateway.records import MacTable
from weave_ryu.names import PeerName

REMEMBER_S = 300.0
"""For so long MACs are remembered that the switch has forgotten: as long as it would have."""

Sides = tuple[frozenset[str], frozenset[str]]
"""MACs of the mesh and MACs of the segment, as 12 hex digits."""

NOTHING: Sides = (frozenset(), frozenset())


class MacMemory:
    """What the own switch has learnt, what other gateways have told, and what was known before.

    Args:
        own: this peer.
        segments: gateway port of this peer → its segment.
    """

    def __init__(self, own: PeerName, segments: Mapping[str, str]) -> None:
        self._own = own
        self._segments = dict(segments)
        self._read: dict[str, Sides] = {}
        self._told: dict[tuple[PeerName, str], MacTable] = {}
        self._before: dict[str, tuple[float, Sides]] = {}

    def sides(self, port: str) -> Sides:
        """All that is known; a MAC may be on both sides."""
        mesh, hosts = self._read.get(port, NOTHING)
        for (_, segment), table in sorted(self._told.items()):
            if segment == self._segments[port]:
                mesh |= table.mesh
                hosts |= table.hosts
        return mesh, hosts

    def read(self, port: str, mesh: frozenset[str], hosts: frozenset[str], now: float) -> Sides:
        """The switch has been read.

        Returns:
            That, and what was known before the switch or the daemon started anew.
        """
        old_mesh, old_hosts = self._read.get(port, (mesh, hosts))
        self._correct(self._segments[port], self._own, mesh - old_mesh, hosts - old_hosts)
        until, (old_mesh, old_hosts) = self._before.pop(port, (now, NOTHING))
        if now < until:
            # What is seen on the other side now has moved: that it was here counts no more.
            before = old_mesh - hosts, old_hosts - mesh
            self._before[port] = until, before
            mesh, hosts = mesh | before[0], hosts | before[1]
        self._read[port] = mesh, hosts
        return mesh, hosts

    def told(self, table: MacTable) -> None:
        """Another gateway has told its table."""
        key = table.name, table.segment
        if key in self._told:
            old = self._told[key]
            news = table.mesh - old.mesh, table.hosts - old.hosts
            self._correct(table.segment, table.name, *news)
        self._told[key] = table

    def switch_lost(self, now: float) -> None:
        """The switch may start anew, with empty tables: remember what was read."""
        self._before = {port: (now + REMEMBER_S, sides) for port, sides in self._read.items()}

    def recall(self, port: str, mesh: frozenset[str], now: float) -> None:
        """An earlier daemon knew these to be in the mesh; what is read from now on counts more."""
        if mesh:
            self._before[port] = now + REMEMBER_S, (mesh, frozenset())

    def forget(self, port: str) -> None:
        """What was read at a port has proved wrong."""
        self._read.pop(port, None)
        self._before.pop(port, None)

    def left(self, peers: Collection[PeerName]) -> None:
        """Peers have left, and what they told is nobody's word any more."""
        self._told = {key: table for key, table in self._told.items() if key[0] not in peers}

    def _correct(
        self, segment: str, by: PeerName, mesh: frozenset[str], hosts: frozenset[str]
    ) -> None:
        """MACs have turned up on the other side: what was told or known before is out of date.

        Args:
            segment: of which there is news.
            by: whose news it is.
            mesh: MACs that it did not know in the mesh before.
            hosts: MACs that it did not know on the segment before.
        """
        if not mesh and not hosts:
            return
        for key, old in self._told.items():
            if old.segment == segment and old.name != by:
                told = MacTable(old.name, segment, old.mesh - hosts, old.hosts - mesh)
                self._told[key] = told
        for port, (until, (old_mesh, old_hosts)) in self._before.items():
            if self._segments[port] == segment:
                self._before[port] = until, (old_mesh - hosts, old_hosts - mesh)
