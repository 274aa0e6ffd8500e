"""What gateways tell each other of MACs, and what each does with it. Sans-IO."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from weave_ryu.gate import Gate
from weave_ryu.gateway.admission import Admission
from weave_ryu.gateway.commands import (
    Announce,
    Broadcast,
    Command,
    Disown,
    ForgetBeside,
    Prime,
    RaiseVersion,
    ReadMacs,
    Reassert,
    Tell,
)
from weave_ryu.gateway.lookout import Lookout
from weave_ryu.gateway.memory import MacMemory, Sides
from weave_ryu.gateway.port import PortMachine
from weave_ryu.gateway.reading import Reading
from weave_ryu.gateway.records import GatewayRecord, MacTable, encode
from weave_ryu.gateway.registry import Change, Registry
from weave_ryu.gateway.role import State
from weave_ryu.names import PeerName

PRIME_S = 200.0
"""What the switch was told it forgets after 300 s: until then it is told again."""

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
        self._unknown: set[PeerName] = set()
        """Those that had told something, but had no record, when that was looked at last."""
        self._prime_at = float("-inf")
        self._news: dict[str, frozenset[str]] = {}
        """MACs of which the last reading knew nothing, told since."""

    def sides(self, port: str) -> Sides:
        """MACs of the mesh and of the segment, as far as any gateway knows them."""
        return self.memory.sides(port)

    def changed(self, change: Change, now: float) -> None:
        """A gateway's record is new."""
        self.admission.note(change.old, change.record, now)
        self.met(change.old, change.record)
        self.reclaim(change.old, change.record)

    def behind_gateways(
        self, segment: str, lookout: Lookout, now: float
    ) -> tuple[frozenset[PeerName], frozenset[PeerName]]:
        """What is learnt behind other gateways.

        Returns:
            Those behind which there are hosts of the segment: they forward, or did a moment ago.
            Those of which that is unknown: news of them may be late. Behind all others there are
            containers only.
        """
        hosts, unknown = set(), set()
        for name in self._registry.others_of(segment):
            record = self._registry.record(name)
            if record is not None and self.admission.lets_in(record, segment, now):
                hosts.add(name)
            elif not (lookout.is_heard(name, now) and self.admission.is_idle(name, now)):
                unknown.add(name)
        return frozenset(hosts), frozenset(unknown)

    def met(self, old: GatewayRecord | None, new: GatewayRecord) -> None:
        """A gateway that is new, or has restarted, is told what this one remembers."""
        if old is not None and old.incarnation == new.incarnation:
            return
        self.left([new.name], new.segments())
        for name, port in self._ports.items():
            segment = port.spec.segment
            if segment not in new.segments():
                continue
            mesh, hosts = self.sides(name)
            if old is None:
                # What was learnt behind it counted as the mesh's: announced to the segment, it
                # would draw the frames for its own hosts away from them.
                self.memory.met(name)
                self._emit(ReadMacs(name))
                # It may be back: each of the two may have dropped what it was told.
                self._synced.pop(name, None)
                self._emit(Tell(new.name, encode(asks_macs=True)))
            elif mesh or hosts:
                own = self.memory.own(name)
                self._tell([new.name], MacTable(self._own, segment, mesh, hosts, own))

    def reclaim(self, old: GatewayRecord | None, new: GatewayRecord) -> None:
        """Another one has forwarded beside this one, or may have: what it announced is wrong."""
        ended = new.segments() - new.active_epochs().keys()
        if old is not None and old.incarnation == new.incarnation:
            ended &= old.active_epochs().keys() | new.served_since(old)
        for name, port in self._ports.items():
            if port.spec.segment in ended and port.state is State.ACTIVE and port.may_announce:
                # A host may have moved since the tables were read: that first.
                self._reclaiming.add(name)
                self._emit(ReadMacs(name))
                self._emit(Broadcast(encode(is_call=True)))

    def told(self, table: MacTable) -> None:
        """Another gateway has told its table: learn from it, and look again if that is news."""
        ports = {n: port for n, port in self._ports.items() if port.spec.segment == table.segment}
        announcing = [n for n, p in ports.items() if p.state is State.ACTIVE and p.may_announce]
        known = {name: self.sides(name) for name in announcing}
        beside = self._beside()
        is_contradiction = self.memory.told(table)
        self._beside_changed(beside)
        for name in announcing:
            (mesh, hosts), (old_mesh, old_hosts) = self.sides(name), known[name]
            news = (mesh | hosts) - old_mesh - old_hosts
            news |= (mesh - hosts) - (old_mesh - old_hosts)
            if news:
                self._news[name] = self._news.get(name, _NONE) | news
        for name in ports:
            if is_contradiction or name in self._news:
                # Who told it may have it from a time before, or take containers for hosts.
                self._emit(ReadMacs(name))

    def left(self, peers: Collection[PeerName], segments: Collection[str] = ()) -> None:
        """Peers are no gateways any more, but of these segments."""
        beside = self._beside()
        self.memory.left(peers, segments)
        self._beside_changed(beside)

    def sync(self, is_switch_up: bool, now: float) -> None:
        """It is time to look what there is, and to tell the others."""
        unknown = {name for name in self.memory.tellers() if self._registry.record(name) is None}
        # A table may come before its gateway's record, or late, when that one has left.
        self.left(unknown & self._unknown)
        self._unknown = unknown
        for name, port in self._ports.items():
            if is_switch_up:
                self._emit(ReadMacs(name))
            elif self.memory.remembers(name):
                self._share(port, self.memory.age(name, now))
        if is_switch_up and now >= self._prime_at:
            self.prime(now)

    def prime(self, now: float) -> None:
        """Let the switch know what is beside other gateways: it was away, or will forget it."""
        self._prime_at = now + PRIME_S
        for name in self._ports:
            beside = self.memory.beside_others(name) - self.memory.hosts_elsewhere(name)
            if beside:
                self._emit(Prime(name, _NONE, _NONE, beside))

    def asked(self, by: PeerName) -> None:
        """Another gateway has dropped what it was told."""
        if self._registry.record(by) is not None:
            self._synced.clear()

    def read(self, port: PortMachine, reading: Reading, now: float) -> None:
        """A switch has been read: tell, correct, and announce what nobody here knew."""
        name = port.spec.port
        mesh, hosts = self.sides(name)
        known = mesh - hosts - self._news.get(name, _NONE)
        found = self.memory.read(name, reading, now)
        if found.misplaced:
            self._synced.pop(name, None)
        self._share(port, found.table)
        if found.misplaced:
            # A Weave router drops its flows before it is told, and after it once more.
            self._emit(RaiseVersion())
            self._emit(Reassert(name, found.misplaced))
        if found.disowned and port.gate is not Gate.CLOSED:
            self._emit(Disown(name, found.disowned))
        port.hand_overs.macs_told(now)
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

    def _share(self, port: PortMachine, table: MacTable) -> None:
        """Tell the others, unless they know.

        One that stands by tells, too: it may remember hosts that the active one never heard.
        """
        others = self._registry.others_of(port.spec.segment)
        # One that has restarted has forgotten what it was told.
        lives = tuple((other, self._incarnation_of(other)) for other in others)
        if others and self._synced.get(port.spec.port) != (table, lives):
            self._synced[port.spec.port] = table, lives
            self._tell(others, table)

    def _beside(self) -> dict[str, frozenset[str]]:
        return {name: self.memory.beside_others(name) for name in self._ports}

    def _beside_changed(self, before: Mapping[str, frozenset[str]]) -> None:
        """Let the switch know, whether the port is open or closed.

        What it was told when it opened last may be of a time when nobody knew where they are.
        """
        for name, old in before.items():
            beside = self.memory.beside_others(name)
            if more := beside - old:
                more -= self.memory.hosts_elsewhere(name)
                self._emit(Prime(name, _NONE, _NONE, more))
            # One table of the switch is for all ports.
            if fewer := (old - beside).difference(*self._beside().values()):
                self._emit(ForgetBeside(name, fewer))

    def _tell(self, others: Iterable[PeerName], table: MacTable) -> None:
        payload = encode(tables=[table])
        for other in others:
            self._emit(Tell(other, payload))

    def _incarnation_of(self, name: PeerName) -> int:
        record = self._registry.record(name)
        return record.incarnation if record else 0
