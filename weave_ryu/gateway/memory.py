"""The MACs on both sides of each gateway port, as far as any gateway knows them. Sans-IO.

Whose word counts, from the strongest to the weakest: a gateway's on the containers beside it; what
came in by a gateway port; what is learnt behind another gateway; what was known before.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from weave_ryu.gateway.reading import Reading
from weave_ryu.gateway.records import MacTable
from weave_ryu.names import PeerName

REMEMBER_S = 300.0
"""For so long MACs are remembered that the switch has forgotten: as long as it would have."""

Sides = tuple[frozenset[str], frozenset[str]]
"""MACs of the mesh and MACs of the segment, as 12 hex digits."""

NO_MACS: frozenset[str] = frozenset()
_NOTHING = Reading()


@dataclass(frozen=True, slots=True)
class Findings:
    """What follows from a reading.

    Args:
        table: for the other gateways: what was read, and what was known before the switch or the
            daemon started anew.
        misplaced: containers of this peer that another gateway takes for hosts.
        disowned: containers beside other gateways that the switch has behind the gateway port.
    """

    table: MacTable
    misplaced: frozenset[str]
    disowned: frozenset[str]


class MacMemory:
    """What the own switch has learnt, what other gateways have told, and what was known before.

    Args:
        own: this peer.
        segments: gateway port of this peer → its segment.
    """

    def __init__(self, own: PeerName, segments: Mapping[str, str]) -> None:
        self._own = own
        self._segments = dict(segments)
        self._read: dict[str, Reading] = {}
        self._told: dict[tuple[PeerName, str], MacTable] = {}
        self._before: dict[str, tuple[float, Reading]] = {}
        self._recalled: dict[str, tuple[float, frozenset[str]]] = {}
        self._gone: dict[tuple[PeerName, str], frozenset[str]] = {}
        """What was beside gateways that have left."""

    def sides(self, port: str) -> Sides:
        """All that is known; a MAC may be on both sides."""
        mesh, hosts = self._seen(port)
        return mesh | (self._recalled_at(port) - hosts), hosts

    def not_hosts(self, port: str) -> Sides:
        """MACs of the mesh that no gateway port of this peer may take for hosts.

        Returns:
            Those behind peers that are no gateways, or beside this one; and those beside gateways.
        """
        hosts = NO_MACS.union(*(self._seen(each)[1] for each in self._segments))
        segment = self._segments[port]
        beside = (self._beside_others(segment) | self._beside_gone(segment)) - hosts
        mesh = self._seen(port)[0] - hosts
        return mesh - beside - self.last(port).relayed, beside

    def last(self, port: str) -> Reading:
        """The last reading, with what it was corrected and completed by."""
        return self._read.get(port, _NOTHING)

    def read(self, port: str, reading: Reading, now: float) -> Findings:
        """The switch has been read.

        Args:
            port: which.
            reading: what it has learnt.
            now: monotonic seconds.
        """
        segment = self._segments[port]
        if reading.before:
            self._recall(port, reading.before, now)
        beside = self._beside_others(segment)
        disowned = reading.heard & beside
        containers = reading.hosts & beside
        containers |= reading.hosts & reading.relayed & self._beside_gone(segment)
        mesh, hosts, own = reading.mesh | containers, reading.hosts - containers, reading.own
        misplaced = own & self._told_hosts(segment)
        old = self._read.get(port)
        if old is not None:
            mesh |= old.mesh & reading.unclear
            hosts |= old.hosts & reading.unclear - beside
            self._correct(segment, self._own, mesh - old.mesh, hosts - old.hosts)
        self._correct(segment, self._own, misplaced, NO_MACS)
        until, before = self._before.pop(port, (now, _NOTHING))
        if now < until:
            # What is seen on the other side now has moved: that it was here counts no more.
            before = Reading(
                before.mesh - hosts, before.hosts - mesh - beside, before.own - hosts - mesh
            )
            self._before[port] = until, before
            mesh, hosts, own = mesh | before.mesh, hosts | before.hosts, own | before.own
        self._read[port] = replace(reading, mesh=mesh, hosts=hosts, own=own)
        self._doubt_recalled(port, hosts)
        if port in self._recalled and now >= self._recalled[port][0]:
            del self._recalled[port]
        # Whoever the disowned are beside learns of it by that, and sets it right everywhere.
        told = hosts | disowned
        table = MacTable(self._own, segment, mesh | self._recalled_at(port), told, own)
        return Findings(table, misplaced, disowned)

    def told(self, table: MacTable) -> bool:
        """Another gateway has told its table.

        Returns:
            It contradicts what was read last: the switch should be read again.
        """
        key = table.name, table.segment
        self._gone.pop(key, None)
        if key in self._told:
            old = self._told[key]
            news = table.mesh - old.mesh, table.hosts - old.hosts
            self._correct(table.segment, table.name, *news)
        self._told[key] = table
        is_contradiction = False
        for port, segment in self._segments.items():
            if segment == table.segment:
                self._doubt_recalled(port, table.hosts)
                last = self.last(port)
                is_contradiction |= bool(table.hosts & last.own or table.own & last.hosts)
        return is_contradiction

    def switch_lost(self, now: float) -> None:
        """The switch may start anew, with empty tables: remember what was read."""
        self._before = {port: (now + REMEMBER_S, last) for port, last in self._read.items()}

    def forget(self, port: str) -> None:
        """What was read at a port has proved wrong."""
        self._read.pop(port, None)
        self._before.pop(port, None)

    def left(self, peers: Collection[PeerName]) -> None:
        """Peers have left, and what they told is nobody's word any more.

        But for what was beside them: when they are back, it is taken for no host of the segment,
        unless it is heard there.
        """
        for key in [key for key in self._told if key[0] in peers]:
            self._gone[key] = self._told.pop(key).own

    def _seen(self, port: str) -> Sides:
        last, segment = self.last(port), self._segments[port]
        mesh, hosts = last.mesh, last.hosts
        for table in self._tables(segment):
            mesh |= table.mesh
            hosts |= table.hosts
        gone = self._beside_gone(segment) - last.heard
        return mesh, hosts - self._beside_others(segment) - gone

    def _tables(self, segment: str) -> list[MacTable]:
        return [table for (_, told_of), table in self._told.items() if told_of == segment]

    def _told_hosts(self, segment: str) -> frozenset[str]:
        return NO_MACS.union(*(table.hosts for table in self._tables(segment)))

    def _beside_others(self, segment: str) -> frozenset[str]:
        """Containers beside other gateways of the segment, by their own word."""
        return NO_MACS.union(*(table.own for table in self._tables(segment)))

    def _beside_gone(self, segment: str) -> frozenset[str]:
        return NO_MACS.union(*(own for (_, of), own in self._gone.items() if of == segment))

    def _recall(self, port: str, mesh: frozenset[str], now: float) -> None:
        """An earlier daemon was told that these are in the mesh; what anybody knows counts more.

        With more than one gateway port nothing is recalled: it may have been about another segment.
        """
        if len(self._segments) == 1:
            self._recalled[port] = now + REMEMBER_S, mesh - self._seen(port)[1]

    def _recalled_at(self, port: str) -> frozenset[str]:
        return self._recalled.get(port, (0.0, NO_MACS))[1]

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
        for port, (until, before) in self._before.items():
            if self._segments[port] == segment:
                left = replace(before, mesh=before.mesh - hosts, hosts=before.hosts - mesh)
                self._before[port] = until, left
