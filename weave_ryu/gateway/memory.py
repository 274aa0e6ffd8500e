"""The MACs on both sides of each gateway port, as far as any gateway knows them. Sans-IO.

Whose word counts, from the strongest to the weakest: a gateway's on the containers beside it, as
long as it is in the mesh; what came in by a gateway port; what is learnt behind another gateway;
what was known before.
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
            daemon started anew. What is disowned is told on both sides: the gateway that it is
            beside learns of it by that, and sets it right everywhere.
        misplaced: containers that are in the own switch, and hosts for another gateway.
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
        self._before: dict[str, list[tuple[float, Reading]]] = {}
        """Of switches that were lost: until when it counts, and what was read last."""
        self._recalled: dict[str, tuple[float, frozenset[str]]] = {}
        self._claimed: dict[str, frozenset[str]] = {}
        """What others have taken for hosts, of what was beside this peer at the last reading."""
        self._unread = set(segments)
        """Ports whose next reading is compared with none before."""

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
        mesh, beside = self._seen(port)[0] - hosts, self.beside_others(port) - hosts
        relayed = self._last(port).relayed.union(*(old.relayed for old in self._old(port)))
        return mesh - beside - relayed, beside

    def beside_others(self, port: str) -> frozenset[str]:
        """Containers beside other gateways of the port's segment, by their own word."""
        return self._beside(self._segments[port])

    def hosts_elsewhere(self, port: str) -> frozenset[str]:
        """Hosts of the segments of this peer's other gateway ports."""
        others = (each for each in self._segments if each != port)
        return NO_MACS.union(*(self._seen(each)[1] for each in others))

    def own(self, port: str) -> frozenset[str]:
        """Containers beside this peer: as read last, and as known before."""
        return self._last(port).own.union(*(old.own for old in self._old(port)))

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
        beside = self._beside(segment)
        disowned = reading.heard & beside
        mesh, hosts = reading.mesh | (reading.hosts & beside), reading.hosts - beside
        claimed = self._told_hosts(segment) | self._claimed.pop(port, NO_MACS)
        misplaced = reading.own & claimed
        old = self._read.get(port, _NOTHING)
        mesh |= old.mesh & reading.unclear
        hosts |= old.hosts & reading.unclear - beside
        if port in self._unread:
            self._unread.discard(port)
        else:
            known_mesh, known_hosts = self._with_before(port)
            self._correct(segment, self._own, mesh - known_mesh, hosts - known_hosts)
        self._correct(segment, self._own, misplaced, NO_MACS)
        self._read[port] = replace(reading, mesh=mesh, hosts=hosts)
        self._doubt_before(port, now)
        self._doubt_recalled(port, hosts)
        if port in self._recalled and now >= self._recalled[port][0]:
            del self._recalled[port]
        return Findings(self._table(port, disowned), misplaced, disowned)

    def age(self, port: str, now: float) -> MacTable:
        """The switch is away: nothing is read, but what is remembered of it ages.

        Returns:
            What is left, for the other gateways.
        """
        before = [(until, old) for until, old in self._before.get(port, ()) if now < until]
        self._before[port] = before
        if not before:
            # Whatever it says when it is back is no news against what others have told since.
            self._unread.add(port)
        return self._table(port, NO_MACS)

    def _table(self, port: str, disowned: frozenset[str]) -> MacTable:
        mesh, hosts = self._with_before(port)
        mesh |= self._recalled_at(port)
        return MacTable(self._own, self._segments[port], mesh, hosts | disowned, self.own(port))

    def told(self, table: MacTable) -> bool:
        """Another gateway has told its table.

        Returns:
            It contradicts what was read last: the switch should be read again.
        """
        key = table.name, table.segment
        if key in self._told:
            old = self._told[key]
            news = table.mesh - old.mesh, table.hosts - old.hosts
            self._correct(table.segment, table.name, *news)
        self._told[key] = table
        is_contradiction = False
        for port, segment in self._segments.items():
            if segment == table.segment:
                self._doubt_recalled(port, table.hosts)
                last = self._last(port)
                claimed = table.hosts & last.own
                if claimed:
                    # It may be told otherwise before the switch is read: peers were told it, too.
                    self._claimed[port] = self._claimed.get(port, NO_MACS) | claimed
                is_contradiction |= bool(claimed or table.own & last.hosts)
        return is_contradiction

    def switch_lost(self, now: float) -> None:
        """The switch may start anew, with empty tables: remember what was read."""
        for port, last in self._read.items():
            if not (last.mesh or last.hosts):
                continue
            # What was read again since is remembered from now on, and once.
            older = [(until, _minus(old, last)) for until, old in self._before.get(port, ())]
            older = [(until, old) for until, old in older if old.mesh or old.hosts]
            self._before[port] = [*older, (now + REMEMBER_S, last)]
        self._read.clear()

    def met(self, port: str) -> None:
        """There is a new gateway: what was learnt at a port may have been behind it.

        What is beside this peer is not.
        """
        self._read[port] = _beside_alone(self._last(port))
        before = self._before.get(port, [])
        self._before[port] = [(until, _beside_alone(old)) for until, old in before]
        self._unread.add(port)

    def left(self, peers: Collection[PeerName], segments: Collection[str] = ()) -> None:
        """Peers are no gateways any more, but of these segments: what they told is nobody's word.

        Args:
            peers: which.
            segments: of which they still are gateways.
        """
        for key in [key for key in self._told if key[0] in peers and key[1] not in segments]:
            del self._told[key]

    def tellers(self) -> set[PeerName]:
        """Whose tables are known."""
        return {name for name, _ in self._told}

    def remembers(self, port: str) -> bool:
        """Something from before the switch was lost may still count."""
        return bool(self._before.get(port))

    def _last(self, port: str) -> Reading:
        return self._read.get(port, _NOTHING)

    def _with_before(self, port: str) -> Sides:
        """What was read last, and what was known before."""
        last, before = self._last(port), self._old(port)
        mesh = last.mesh.union(*(old.mesh for old in before))
        return mesh, last.hosts.union(*(old.hosts for old in before))

    def _old(self, port: str) -> list[Reading]:
        return [old for _, old in self._before.get(port, ())]

    def _seen(self, port: str) -> Sides:
        mesh, hosts = self._with_before(port)
        segment = self._segments[port]
        tables = self._tables(segment)
        mesh = mesh.union(*(table.mesh for table in tables))
        hosts = hosts.union(*(table.hosts for table in tables))
        return mesh, hosts - self._beside(segment)

    def _tables(self, segment: str) -> list[MacTable]:
        return [table for (_, told_of), table in self._told.items() if told_of == segment]

    def _told_hosts(self, segment: str) -> frozenset[str]:
        return NO_MACS.union(*(table.hosts for table in self._tables(segment)))

    def _beside(self, segment: str) -> frozenset[str]:
        return NO_MACS.union(*(table.own for table in self._tables(segment)))

    def _doubt_before(self, port: str, now: float) -> None:
        """What is seen on the other side now has moved: that it was here counts no more."""
        last, beside = self._last(port), self.beside_others(port)
        self._before[port] = [
            (until, _without(old, last.mesh | beside, last.hosts, last.mesh))
            for until, old in self._before.pop(port, ())
            if now < until
        ]

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
                told = replace(old, mesh=old.mesh - (hosts - old.own), hosts=old.hosts - mesh)
                self._told[key] = told
        for port, before in self._before.items():
            if self._segments[port] == segment:
                left = [(until, _without(old, mesh, hosts, NO_MACS)) for until, old in before]
                self._before[port] = left


def _without(
    old: Reading, mesh: frozenset[str], hosts: frozenset[str], elsewhere: frozenset[str]
) -> Reading:
    """What counts still if these are in the mesh or on the segment; and not beside this peer."""
    own = old.own - hosts - elsewhere
    return Reading(old.mesh - hosts, old.hosts - mesh, own, old.relayed)


def _minus(old: Reading, new: Reading) -> Reading:
    return Reading(old.mesh - new.mesh, old.hosts - new.hosts, old.own - new.own, old.relayed)


def _beside_alone(reading: Reading) -> Reading:
    return Reading(reading.own, own=reading.own)
