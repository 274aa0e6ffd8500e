"""The MACs of the mesh, as far as any gateway of a segment knows them. Sans-IO.

Whoever takes over tells them to the segment, whose switches must move them to its port. Of hosts
nobody tells anything: they are behind the segment, wherever that is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace

from weave_ryu.gateway.commands import Announce, Broadcast, Command, Doubt, Prime, ReadMacs, Tell
from weave_ryu.gateway.port import PortMachine
from weave_ryu.gateway.reading import Reading
from weave_ryu.gateway.records import MAX_MACS, MacTable, encode
from weave_ryu.gateway.registry import Change, Registry
from weave_ryu.names import PeerName

REMEMBER_S = 300.0
"""For so long MACs are remembered that the switch has lost: as long as it would have."""

MAX_KEPT = 2 * MAX_MACS
"""Of all gateways together, some 25 MB; of each at most `MAX_MACS`."""

_NONE: frozenset[str] = frozenset()
_NOTHING = Reading()


class MacSharing:
    """See the module's docstring.

    Args:
        own: this peer.
        registry: of all gateways.
        ports: its gateway ports.
        emit: takes commands.
    """

    def __init__(
        self,
        own: PeerName,
        registry: Registry,
        ports: Mapping[str, PortMachine],
        emit: Callable[[Command], None],
    ) -> None:
        self._own = own
        self._registry = registry
        self._ports = ports
        self._emit = emit
        self._read: dict[str, Reading] = {}
        self._lost: dict[str, tuple[float, frozenset[str]]] = {}
        """Of a switch that was lost: until when it counts, and what was in the mesh."""
        self._told: dict[tuple[PeerName, str], frozenset[str]] = {}
        self._announced: dict[str, frozenset[str]] = {}
        self._synced: dict[str, object] = {}

    def mesh(self, port: str) -> frozenset[str]:
        """MACs of the mesh, without those that this switch has seen on the segment since."""
        segment, last = self._ports[port].spec.segment, self._read.get(port, _NOTHING)
        told = (macs for (_, of), macs in self._told.items() if of == segment)
        return self._own_mesh(port).union(*told) - last.hosts

    def to_prime(self, port: str) -> frozenset[str]:
        """Of those, what the segment must not claim, and this switch may not know of.

        Where it knows that a MAC is on another segment, hearsay would make it forget that, and
        frames from there would be taken for something that a segment has returned.
        """
        return self.mesh(port) - self._read.get(port, _NOTHING).beyond

    def hosts(self, port: str) -> frozenset[str]:
        """MACs of the segment that this switch has seen last."""
        return self._read.get(port, _NOTHING).hosts

    def _own_mesh(self, port: str) -> frozenset[str]:
        return self._read.get(port, _NOTHING).mesh | self._lost.get(port, (0.0, _NONE))[1]

    def announce(self, port: str) -> None:
        """Tell the segment all of them."""
        self._announced[port] = macs = self.mesh(port)
        self._emit(Announce(port, macs))

    def changed(self, change: Change) -> None:
        """A gateway's record is new.

        One that has come, or has restarted, is told everything, and asked for the same. Where one
        has forwarded beside this peer, the segment's switches know the mesh at its port.
        """
        old, new = change.old, change.record
        is_new = old is None or old.incarnation != new.incarnation
        for name, port in self._ports.items():
            if port.spec.segment in change.ended and port.may_announce:
                self.announce(name)
                self._emit(Broadcast(encode(is_call=True)))
            if is_new and port.spec.segment in new.segments():
                self._synced.pop(name, None)
                self._emit(Tell(new.name, encode(asks_macs=True)))
                self._share(port)

    def told(self, table: MacTable) -> None:
        """Another gateway has told what it knows; kept only of segments that both serve."""
        segments = {port.spec.segment for port in self._ports.values()}
        is_ours = table.segment in segments
        if not is_ours or table.name not in self._registry.others_of(table.segment):
            return
        key = table.name, table.segment
        before = self._told.get(key, _NONE)
        kept = self._room_for(key)
        if len(table.mesh) > kept:
            table = replace(table, mesh=frozenset(sorted(table.mesh)[:kept]))
        self._told[key] = table.mesh
        for name, port in self._ports.items():
            if port.spec.segment == table.segment:
                hosts = self.hosts(name)
                news = table.mesh - before - hosts - self._own_mesh(name)
                if port.may_announce and news:
                    # The segment may return their frames before this switch has heard them.
                    self._emit(Prime(name, news))
                if port.may_announce and table.mesh & hosts:
                    self._emit(Doubt(name, table.mesh & hosts))
                self._announce_news(name)

    def _room_for(self, key: tuple[PeerName, str]) -> int:
        """How many MACs of a table are kept: each gateway has a share of its own."""
        same = sum(len(m) for k, m in self._told.items() if k[0] == key[0] and k != key)
        everything = sum(len(m) for k, m in self._told.items() if k != key)
        return max(0, min(MAX_MACS - same, MAX_KEPT - everything))

    def left(self, peers: Collection[PeerName]) -> None:
        """Peers are no gateways any more."""
        self._told = {key: macs for key, macs in self._told.items() if key[0] not in peers}

    def sync(self, is_switch_up: bool, now: float) -> None:
        """It is time to look what there is, and to tell the others."""
        for name, port in self._ports.items():
            if now >= self._lost.get(name, (now, _NONE))[0]:
                self._lost.pop(name, None)
            if is_switch_up:
                self._emit(ReadMacs(name))
            else:
                self._share(port)

    def asked(self, by: PeerName) -> None:
        """Another gateway has none of what it was told."""
        if self._registry.record(by) is not None:
            self._synced.clear()

    def read(self, port: PortMachine, reading: Reading, now: float) -> None:
        """A switch has been read: tell the others, and the segment what it has not heard of."""
        name = port.spec.port
        self._read[name] = reading
        until, lost = self._lost.get(name, (0.0, _NONE))
        if lost:
            self._lost[name] = until, lost - reading.hosts
        self._share(port)
        self._announce_news(name)
        port.hand_overs.macs_told(now)

    def settled(self, segment: str, mac: str) -> None:
        """A MAC has turned out to be on the segment: nobody is to announce it there any more."""
        gone = frozenset({mac})
        self._told = {
            key: macs - gone if key[1] == segment else macs for key, macs in self._told.items()
        }
        for name, port in self._ports.items():
            if port.spec.segment == segment:
                last = self._read.get(name, _NOTHING)
                self._read[name] = Reading(last.mesh - gone, last.hosts | gone, last.beyond - gone)
                self._announced[name] = self._announced.get(name, _NONE) - gone
                if name in self._lost:
                    until, lost = self._lost[name]
                    self._lost[name] = until, lost - gone

    def switch_lost(self, now: float) -> None:
        """The switch may start anew, with empty tables: remember what was read."""
        for name in self._ports:
            self._lost[name] = now + REMEMBER_S, self._own_mesh(name)
        self._read.clear()

    def _announce_news(self, name: str) -> None:
        port = self._ports[name]
        if port.may_announce:
            mesh = self.mesh(name)
            news = mesh - self._announced.get(name, _NONE)
            self._announced[name] = mesh
            if news:
                self._emit(Announce(name, news))

    def _share(self, port: PortMachine) -> None:
        """Tell the others, unless they know."""
        name, segment = port.spec.port, port.spec.segment
        others = self._registry.others_of(segment)
        table = MacTable(self._own, segment, self._own_mesh(name))
        # One that has restarted has forgotten what it was told.
        lives = tuple((other, self._incarnation_of(other)) for other in others)
        if others and self._synced.get(name) != (table, lives):
            self._synced[name] = table, lives
            self._tell(others, table)

    def _tell(self, others: Iterable[PeerName], table: MacTable) -> None:
        # With the own record: one that has just come does not know yet that this is a gateway.
        own = self._registry.own_record
        payload = encode([] if own is None else [own], tables=[table])
        for other in others:
            self._emit(Tell(other, payload))

    def _incarnation_of(self, name: PeerName) -> int:
        record = self._registry.record(name)
        return record.incarnation if record else 0
