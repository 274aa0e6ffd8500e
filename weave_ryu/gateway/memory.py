"""The MACs on both sides of each gateway port, as far as any gateway knows them. Sans-IO."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from weave_ryu.gateway.records import MacTable
from weave_ryu.names import PeerName

REMEMBER_S = 300.0
"""For so long MACs are remembered that the switch has forgotten: as long as it would have."""

Sides = tuple[frozenset[str], frozenset[str]]
"""MACs of the mesh and MACs of the segment, as 12 hex digits."""

NOTHING: Sides = (frozenset(), frozenset())


@dataclass(frozen=True, slots=True)
class Details:
    """More about what a switch has learnt.

    Args:
        own: MACs of the mesh that are beside this peer.
        relayed: MACs behind other gateways. On the wire nothing tells hosts that one of them let in
            from containers beside it: that it tells itself.
        unclear: MACs of which it is not known; they stay on the side where they were, if on any.
        before: MACs that the switch was told are in the mesh, by the daemon before this one.
    """

    own: frozenset[str] = frozenset()
    relayed: frozenset[str] = frozenset()
    unclear: frozenset[str] = frozenset()
    before: frozenset[str] = frozenset()


NO_DETAILS = Details()


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
        self._details: dict[str, Details] = {}
        self._told: dict[tuple[PeerName, str], MacTable] = {}
        self._before: dict[str, tuple[float, Sides]] = {}
        self._recalled: dict[str, tuple[float, frozenset[str]]] = {}

    def sides(self, port: str) -> Sides:
        """All that is known; a MAC may be on both sides."""
        mesh, hosts = self._seen(port)
        return mesh | (self._recalled_at(port) - hosts), hosts

    def not_hosts(self, port: str) -> Sides:
        """MACs of the mesh that no gateway port of this peer may take for hosts.

        Returns:
            Those behind peers that are no gateways, or beside this one; and those beside gateways.
        """
        hosts = NOTHING[0].union(*(self._seen(each)[1] for each in self._segments))
        mesh, beside = self._seen(port)[0] - hosts, self._beside_others(port) - hosts
        return mesh - beside - self.details(port).relayed, beside

    def read(
        self,
        port: str,
        mesh: frozenset[str],
        hosts: frozenset[str],
        now: float,
        details: Details = NO_DETAILS,
    ) -> Sides:
        """The switch has been read.

        Args:
            port: which.
            mesh: MACs behind the mesh.
            hosts: MACs behind the segment.
            now: monotonic seconds.
            details: more about them.

        Returns:
            That, and what was known before the switch or the daemon started anew.
        """
        self._details[port] = details
        if details.before:
            self._recall(port, details.before, now)
        containers, unclear = hosts & details.relayed & self._beside_others(port), details.unclear
        mesh, hosts = mesh | containers, hosts - containers
        old_mesh, old_hosts = self._read.get(port, (mesh, hosts))
        mesh, hosts = mesh | (old_mesh & unclear), hosts | (old_hosts & unclear)
        self._correct(self._segments[port], self._own, mesh - old_mesh, hosts - old_hosts)
        until, (old_mesh, old_hosts) = self._before.pop(port, (now, NOTHING))
        if now < until:
            # What is seen on the other side now has moved: that it was here counts no more.
            before = old_mesh - hosts, old_hosts - mesh
            self._before[port] = until, before
            mesh, hosts = mesh | before[0], hosts | before[1]
        self._read[port] = mesh, hosts
        self._doubt_recalled(port, hosts)
        if port in self._recalled and now >= self._recalled[port][0]:
            del self._recalled[port]
        return mesh | self._recalled_at(port), hosts

    def details(self, port: str) -> Details:
        """Of the last reading."""
        return self._details.get(port, NO_DETAILS)

    def told(self, table: MacTable) -> None:
        """Another gateway has told its table."""
        key = table.name, table.segment
        if key in self._told:
            old = self._told[key]
            news = table.mesh - old.mesh, table.hosts - old.hosts
            self._correct(table.segment, table.name, *news)
        self._told[key] = table
        for port, segment in self._segments.items():
            if segment == table.segment:
                self._doubt_recalled(port, table.hosts)

    def switch_lost(self, now: float) -> None:
        """The switch may start anew, with empty tables: remember what was read."""
        self._before = {port: (now + REMEMBER_S, sides) for port, sides in self._read.items()}

    def forget(self, port: str) -> None:
        """What was read at a port has proved wrong."""
        self._read.pop(port, None)
        self._before.pop(port, None)

    def left(self, peers: Collection[PeerName]) -> None:
        """Peers have left, and what they told is nobody's word any more.

        But for what was beside them: when they are back, it is taken for no host of the segment.
        """
        for key, table in self._told.items():
            if table.name in peers:
                self._told[key] = MacTable(table.name, table.segment, own=table.own)

    def _seen(self, port: str) -> Sides:
        mesh, hosts = self._read.get(port, NOTHING)
        here = hosts - self.details(port).relayed
        for (_, segment), table in sorted(self._told.items()):
            if segment == self._segments[port]:
                mesh |= table.mesh
                hosts |= table.hosts
        return mesh, hosts - (self._beside_others(port) - here)

    def _beside_others(self, port: str) -> frozenset[str]:
        """Containers beside other gateways of the port's segment, by their own word."""
        segment = self._segments[port]
        tables = (table.own for (_, told_of), table in self._told.items() if told_of == segment)
        return NOTHING[0].union(*tables)

    def _recall(self, port: str, mesh: frozenset[str], now: float) -> None:
        """An earlier daemon was told that these are in the mesh; what anybody knows counts more.

        With more than one gateway port nothing is recalled: it may have been about another segment.
        """
        if len(self._segments) == 1:
            self._recalled[port] = now + REMEMBER_S, mesh - self._seen(port)[1]

    def _recalled_at(self, port: str) -> frozenset[str]:
        return self._recalled.get(port, (0.0, NOTHING[0]))[1]

    def _doubt_recalled(self, port: str, hosts: frozenset[str]) -> None:
        if port in self._recalled:
            until, mesh = self._recalled[port]
            self._recalled[port] = until, mesh - hosts

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
                told = replace(old, mesh=old.mesh - hosts, hosts=old.hosts - mesh)
                self._told[key] = told
        for port, (until, (old_mesh, old_hosts)) in self._before.items():
            if self._segments[port] == segment:
                self._before[port] = until, (old_mesh - hosts, old_hosts - mesh)
