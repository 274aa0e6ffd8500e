"""What gateways tell each other of MACs, and what each does with it. Sans-IO."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from weave_ryu.gate import Gate
from weave_ryu.gateway.admission import Admission
from weave_ryu.gateway.commands import (
    Announce,
    Broadcast,
    Command,
    Disown,
    Prime,
    RaiseVersion,
    ReadMacs,
    Reassert,
    Tell,
)
from weave_ryu.gateway.memory import MacMemory, Sides
from weave_ryu.gateway.port import PortMachine
from weave_ryu.gateway.reading import Reading
from weave_ryu.gateway.records import GatewayRecord, MacTable, encode
from weave_ryu.gateway.registry import Registry
from weave_ryu.gateway.role import State
from weave_ryu.names import PeerName

_NONE: frozenset[str] = frozenset()


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
        self.memory = MacMemory(own, {name: port.spec.segment for name, port in ports.items()})
        self.admission = Admission()
        self._synced: dict[str, object] = {}
        self._reclaiming: set[str] = set()
        self._news: dict[str, frozenset[str]] = {}
        """MACs of which the last reading knew nothing, told since."""

    def sides(self, port: str) -> Sides:
        """MACs of the mesh and of the segment, as far as any gateway knows them."""
        return self.memory.sides(port)

    def met(self, old: GatewayRecord | None, new: GatewayRecord) -> None:
        """A gateway that is new, or has restarted, is told what this one remembers."""
        if old is not None and old.incarnation == new.incarnation:
            return
        for name, port in self._ports.items():
            segment = port.spec.segment
            if segment not in new.segments():
                continue
            mesh, hosts = self.sides(name)
            if old is None:
                # What was learnt behind it counted as the mesh's: announced to the segment, it
                # would draw the frames for its own hosts away from them.
                self.memory.forget(name)
                self._emit(ReadMacs(name))
            elif mesh or hosts:
                own = self.memory.last(name).own
                self._tell([new.name], MacTable(self._own, segment, mesh, hosts, own))

    def reclaim(self, old: GatewayRecord | None, new: GatewayRecord) -> None:
        """Another one has forwarded beside this one, or may have: what it announced is wrong."""
        ended = new.segments() - new.active_epochs().keys()
        if old is not None and old.incarnation == new.incarnation:
            epochs, before = new.epochs(), old.epochs()
            ended = frozenset(
                segment
                for segment in ended
                if segment in old.active_epochs() or epochs[segment] > before.get(segment, 0)
            )
        for name, port in self._ports.items():
            if port.spec.segment in ended and port.state is State.ACTIVE and port.may_announce:
                # A host may have moved since the tables were read: that first.
                self._reclaiming.add(name)
                self._emit(ReadMacs(name))
                self._emit(Broadcast(encode(is_call=True)))

    def told(self, table: MacTable) -> None:
        """Another gateway has told its table: learn from it, and look again if that is news."""
        ports = {n: port for n, port in self._ports.items() if port.spec.segment == table.segment}
        known = {name: _NONE.union(*self.sides(name)) for name in ports}
        beside = {name: self.memory.not_hosts(name)[1] for name in ports}
        is_contradiction = self.memory.told(table)
        for name, port in ports.items():
            more = self.memory.not_hosts(name)[1] - beside[name]
            if more and port.gate is not Gate.CLOSED:
                self._emit(Prime(name, _NONE, _NONE, more))
            news = _NONE.union(*self.sides(name)) - known[name]
            if news and port.state is State.ACTIVE and port.may_announce:
                self._news[name] = self._news.get(name, _NONE) | news
            if is_contradiction or name in self._news:
                # Who told it may have it from a time before, or take containers for hosts.
                self._emit(ReadMacs(name))

    def read(self, port: PortMachine, reading: Reading, now: float) -> None:
        """A switch has been read: tell, correct, and announce what nobody here knew."""
        name = port.spec.port
        known = _NONE.union(*self.sides(name)) - self._news.get(name, _NONE)
        found = self.memory.read(name, reading, now)
        others = self._registry.others_of(port.spec.segment)
        # One that has restarted has forgotten what it was told.
        lives = tuple((other, self._incarnation_of(other)) for other in others)
        # One that stands by tells, too: it may remember hosts that the active one never heard.
        if others and (found.misplaced or self._synced.get(name) != (found.table, lives)):
            self._synced[name] = found.table, lives
            self._tell(others, found.table)
        if found.misplaced:
            self._emit(Reassert(name, found.misplaced))
            self._emit(RaiseVersion())
        if found.disowned and port.gate is not Gate.CLOSED:
            self._emit(Disown(name, found.disowned))
        port.macs_told(now)
        news = self._news.pop(name, _NONE)
        if port.state is not State.ACTIVE or not port.may_announce:
            self._reclaiming.discard(name)
            return
        mesh, hosts = self.sides(name)
        to_segment, to_peers = mesh - hosts, hosts - mesh
        if name in self._reclaiming:
            # What came through the gate is known on the segment; but it was learnt before,
            # perhaps, behind peers that the mesh had not told of yet.
            self._reclaiming.discard(name)
        else:
            # What this switch sees behind another gateway is not behind this one.
            to_segment, to_peers = to_segment - known, to_peers & news - reading.relayed
        if to_segment or to_peers:
            self._emit(Announce(name, to_segment, to_peers))

    def _tell(self, others: Iterable[PeerName], table: MacTable) -> None:
        payload = encode(tables=[table])
        for other in others:
            self._emit(Tell(other, payload))

    def _incarnation_of(self, name: PeerName) -> int:
        record = self._registry.record(name)
        return record.incarnation if record else 0
