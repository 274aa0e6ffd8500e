"""All gateway ports of one peer, and what it knows of all gateways. Sans-IO.

Inputs return None and queue commands; `poll_commands` drains them; `deadline` says when
`handle_timer` is due. `now` is monotonic seconds. Every peer runs one, gateway or not: those
without a port only merge records and forget what has moved.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from weave_ryu.errors import LocalProtocolError
from weave_ryu.gateway.commands import (
    Broadcast,
    Command,
    ForgetBehind,
    Introduce,
    RememberRole,
    SayHello,
    Tell,
)
from weave_ryu.gateway.detection import ALIVE, Bfd, Evidence, Judgement, judge
from weave_ryu.gateway.hearing import Hearing
from weave_ryu.gateway.port import PortMachine
from weave_ryu.gateway.reading import Reading
from weave_ryu.gateway.records import GatewayRecord, decode, encode
from weave_ryu.gateway.registry import Registry
from weave_ryu.gateway.role import Role, State
from weave_ryu.gateway.sharing import MacSharing
from weave_ryu.gateway.surroundings import Other, PortSpec
from weave_ryu.gateway.timers import Timers
from weave_ryu.names import PeerName

FRESH_LEASES = 2
"""A claim counts in a conflict while its lease is not older than this many times `silent_s`."""

_DOWN = Bfd.DOWN  # asked for some twenty times a second, and slow to look up before Python 3.12

_NEVER: tuple[int, float, list[Other]] = -1, 0.0, []

ROUNDED_S = 1e-6
"""More than what is lost where times are added."""

OVERSLEPT_LEASES = 2
"""A process that was called so many leases late reads what has come meanwhile before it judges."""

STRANGER_S = 1.0
"""For so long a peer that has just come may turn out to be a gateway: its record is on its way."""


@dataclass(slots=True)
class _Signs:
    """Signs of life of one other gateway; times are monotonic seconds."""

    heard_at: float
    doubted_at: float = float("-inf")
    deaf_until: float = float("-inf")
    """It has said that it does not hear this peer."""
    bfd: Bfd = Bfd.NONE
    bfd_at: float = 0.0
    lease: bytes | None = None
    """The last that it sent, if there was nothing else in it."""
    sure_until: float = float("-inf")
    """Until then the way to it is in no doubt, whatever else is to be looked at after that."""

    def heard(self, now: float, doubt_s: float) -> None:
        """A message has come straight from it."""
        self.heard_at = now
        is_doubted = now < self.deaf_until or self.bfd is _DOWN
        self.sure_until = float("-inf") if is_doubted else now + doubt_s


@dataclass(frozen=True, slots=True)
class PeerView:
    """What is known of another gateway, for status pages."""

    name: PeerName
    lease_age_s: float
    bfd: Bfd
    judgement: Judgement
    hello_age_s: float | None = None
    """Since its last hello on a segment; None if none was heard."""


class GatewayCore:
    """See the module's docstring. Implements `port.Surroundings`.

    Args:
        own: this peer.
        incarnation: its UID.
        sequence: where its record starts to count, see `Registry`.
        specs: its gateway ports.
        timers: all times; checked.
        now: monotonic seconds.
        password: of the mesh; it seals hellos.
    """

    def __init__(
        self,
        own: PeerName,
        incarnation: int,
        sequence: int,
        specs: Sequence[PortSpec],
        timers: Timers,
        now: float,
        password: bytes | None = None,
    ) -> None:
        self._own = own
        self.timers = timers.check()
        self.registry = Registry(own, incarnation, sequence)
        self._commands: list[Command] = []
        self._signs: dict[PeerName, _Signs] = {}
        self._hearing = Hearing(own, sequence, password)
        self._carrier: dict[str, bool] = {}
        self.is_switch_up = False
        """It is connected and holds its flows."""
        self._peer_count = 0
        self._lease: tuple[GatewayRecord | None, tuple[PeerName, ...], list[Tell]] = (None, (), [])
        self._encoded: tuple[GatewayRecord | None, bytes] = None, b""
        self._detours: dict[tuple[PeerName, bool], tuple[GatewayRecord, bytes]] = {}
        self._living: dict[tuple[PeerName, str], tuple[GatewayRecord, list[Other]]] = {}
        """Gateways that are heard, as `others` shows them: the same until their records change."""
        self._looked: dict[str, tuple[int, float, list[Other]]] = {}
        """`registry.changes`, until when that is right, and the last answer of `others`: the same
        list as long as nothing in it changes."""
        self._now = now
        self._next_lease = now
        self._next_sync = now + timers.sync_s
        self._seen: dict[str, list[Other]] | None = None
        self._segments = tuple(sorted({spec.segment for spec in specs}))
        self._companions: tuple[int, tuple[PeerName, ...]] = -1, ()
        self._watched: tuple[int, tuple[_Signs, ...]] = -1, ()
        self._strangers: dict[PeerName, float] = {}
        self.ports = {
            spec.port: PortMachine(spec, self, self._commands.append, now)
            for spec in sorted(specs, key=lambda spec: spec.port)
        }
        self._sharing = MacSharing(own, self.registry, self.ports, self._commands.append)

    # `port.Surroundings`.

    @property
    def own(self) -> PeerName:
        """This peer."""
        return self._own

    @property
    def peer_count(self) -> int:
        """Neighbours with an established connection."""
        return self._peer_count

    def has_carrier(self, port: str) -> bool:
        """The link is a port of the bridge, and is up."""
        return self._carrier.get(port, False)

    def epoch(self, segment: str) -> int:
        """The highest epoch heard of."""
        return self.registry.epoch(segment)

    def gateways(self, segment: str) -> tuple[PeerName, ...]:
        """The other gateways of a segment, sorted."""
        return self.registry.others_of(segment)

    def others(self, segment: str, now: float) -> list[Other]:
        """The other gateways of a segment, sorted by name."""
        changes, until, before = self._looked.get(segment, _NEVER)
        if changes == self.registry.changes and now < until:
            return before  # all of them have been heard since then, or lately enough
        if self._seen is None:
            return self._look_around(segment, now)
        if segment not in self._seen:
            self._seen[segment] = self._look_around(segment, now)
        return self._seen[segment]

    def _look_around(self, segment: str, now: float) -> list[Other]:
        until, found = float("inf"), list[Other]()
        for name in self.registry.others_of(segment):
            record = self.registry.record(name)
            if record is None:
                continue
            signs = self._signs.get(name)
            if signs is not None and now - signs.heard_at < self.timers.silent_s:
                found.extend(self._alive(record, segment))
                until = min(until, signs.heard_at + self.timers.silent_s - ROUNDED_S)
                continue
            until = float("-inf")
            view = self.peer_view(name, now)
            fresh = view.lease_age_s < FRESH_LEASES * self.timers.silent_s
            ports = (port for port in record.ports if port.segment == segment)
            found.extend(Other(name, port, view.judgement, fresh) for port in ports)
        _, _, before = self._looked.get(segment, _NEVER)
        if before == found:
            found = before  # what follows from it is known to those who keep it
        self._looked[segment] = self.registry.changes, until, found
        return found

    def _alive(self, record: GatewayRecord, segment: str) -> list[Other]:
        known, others = self._living.get((record.name, segment), (None, []))
        if known is not record:
            ports = (port for port in record.ports if port.segment == segment)
            others = [Other(record.name, port, ALIVE, True) for port in ports]
            self._living[record.name, segment] = record, others
        return others

    def elsewhere(self, segment: str, now: float) -> tuple[PeerName, ...]:
        """Gateways that say on the segment that they forward, but are not in this mesh."""
        heard = self._hearing.forwarding(segment, self.timers.silent_s, now)
        return tuple(name for name in heard if self.registry.record(name) is None)

    def macs(self, port: str) -> tuple[frozenset[str], frozenset[str]]:
        """MACs of the mesh and of the segment, as far as any gateway knows them."""
        return self._sharing.sides(port)

    def beside(self, port: str) -> frozenset[str]:
        """MACs beside this peer, as far as is known."""
        return self._sharing.memory.own(port)

    def behind_gateways(
        self, segment: str, now: float
    ) -> tuple[frozenset[PeerName], frozenset[PeerName]]:
        """What is learnt behind other gateways.

        Returns:
            Those behind which there are hosts of the segment: they forward, or did a moment ago.
            Those of which that is unknown: news of them may be late. Behind all others there are
            containers only.
        """
        hosts, unknown = set(), set()
        for name in self.gateways(segment):
            record, signs = self.registry.record(name), self._signs.get(name)
            is_heard = signs is not None and now - signs.heard_at < self.timers.silent_s
            if record is not None and self._sharing.admission.lets_in(record, segment, now):
                hosts.add(name)
            elif not (is_heard and self._sharing.admission.is_idle(name, now)):
                unknown.add(name)
        return frozenset(hosts), frozenset(unknown)

    def not_hosts(self, port: str) -> tuple[frozenset[str], frozenset[str]]:
        """MACs that the switch must not take for hosts, whatever comes by the port.

        Returns:
            Those in the mesh, and those beside other gateways.
        """
        return self._sharing.memory.not_hosts(port)

    def publish(self) -> None:
        """Tell everybody this peer's record: all by broadcast, gateways of its segments at once."""
        own = self._refresh_record()
        self._commands.append(Broadcast(self._payload_of(own)))
        self._send_leases()

    # Looking.

    def peer_view(self, name: PeerName, now: float) -> PeerView:
        """Signs of life of another gateway."""
        signs = self._signs.get(name) or _Signs(heard_at=float("-inf"))
        hello_age = self._hearing.age_s(name, now)
        evidence = Evidence(now - signs.heard_at, signs.bfd, now - signs.bfd_at, hello_age)
        judgement = judge(evidence, self.timers)
        return PeerView(name, evidence.lease_age_s, signs.bfd, judgement, hello_age)

    @property
    def is_quiet(self) -> bool:
        """No port forwards or is about to change."""
        busy = (State.ACTIVE, State.DRAINING)
        return all(port.state not in busy and port.is_settled for port in self.ports.values())

    def is_coming(self, name: PeerName) -> bool:
        """It forwards on one of its segments, or is about to."""
        record = self.registry.record(name)
        states = {port.state for port in record.ports} if record else set()
        return bool(states & {State.ACTIVE, State.ARMING})

    def companions(self) -> tuple[PeerName, ...]:
        """All other gateways of this peer's segments, sorted."""
        layout, found = self._companions
        if layout != self.registry.layout:
            names = {name for s in self._segments for name in self.registry.others_of(s)}
            found = tuple(sorted(names))
            self._companions = self.registry.layout, found
        return found

    def _signs_of_companions(self) -> tuple[_Signs, ...]:
        """Looked up some twenty times a second, and the same until gateways come or go."""
        layout, found = self._watched
        if layout != self.registry.layout:
            found = tuple(self._signs[name] for name in self.companions())
            self._watched = self.registry.layout, found
        return found

    # Inputs.

    def start(self, now: float) -> None:
        """Begin."""
        self._set_now(now)
        if self.ports:
            self.publish()
        self._tick(now)

    def handle_timer(self, now: float) -> None:
        """Time has passed."""
        if self.ports and now >= self._next_sync:
            self._next_sync = now + self.timers.sync_s
            self._sharing.sync(self.is_switch_up, now)
        self._tick(now)
        if self.ports and now >= self._next_lease:
            self._next_lease = now + self.timers.lease_s
            self._refresh_record_if_stale()
            self._send_leases()
            self._say_hello()
        self._send_detours()

    def deadline(self) -> float | None:
        """When `handle_timer` is due; None for a peer without gateway ports."""
        if not self.ports:
            return None
        due_at = self._next_lease if self._next_lease < self._next_sync else self._next_sync
        for port in self.ports.values():
            due_at = port.deadline(due_at)
        for signs in self._signs_of_companions():
            if signs.sure_until < due_at:
                due_at = min(due_at, self._doubt_at(signs))
        return due_at

    def poll_commands(self) -> list[Command]:
        """What is to be done, in this order."""
        if not self._commands:
            return []
        commands = self._commands.copy()
        self._commands.clear()
        return commands

    def switch_state(self, is_up: bool, carrier: Mapping[str, bool], now: float) -> None:
        """The switch connected or went away, or a link changed.

        Args:
            is_up: it is connected, and its flows are in place.
            carrier: gateway port → its link is up; missing ports are down.
            now: monotonic seconds.
        """
        if self.is_switch_up and not is_up:
            self._sharing.memory.switch_lost(now)
        if is_up and not self.is_switch_up:
            # Who has forwarded meanwhile could not be told from who has not, nor be forgotten.
            self._sharing.admission.start_anew(now)
            self._sharing.prime(now)
            self._forget_behind_standbys(record.name for record in self.registry.records())
        self.is_switch_up = is_up
        self._carrier = dict(carrier)
        self._tick(now)

    def mesh_state(self, peer_count: int, now: float) -> None:
        """The number of established connections changed."""
        if peer_count and not self._peer_count:
            # Nobody could be heard before.
            for port in self.ports.values():
                port.listen_anew(now, is_new=True)
        self._peer_count = peer_count
        self._set_now(now)

    def peers_left(self, names: Iterable[PeerName]) -> None:
        """Peers are no longer part of the mesh."""
        gone = set(names)
        self.registry.remove(gone)
        self._signs = {name: signs for name, signs in self._signs.items() if name not in gone}
        self._sharing.left(gone)
        self._living.clear()

    def segments_of(self, name: PeerName, now: float) -> frozenset[str]:
        """The segments that a peer is a gateway of, or may be, as far as it concerns this one.

        What another gateway has brought to a segment of ours must not go there again. Until it has
        told that it is one, a peer that has just come counts as a gateway of all of ours.
        """
        is_known = self.registry.record(name) is not None
        if not is_known and now < self._strangers.get(name, float("-inf")):
            return frozenset(self._segments)
        return self.registry.segments_of(name)

    def peers_joined(self, names: Iterable[PeerName], now: float) -> None:
        """Peers have become part of the mesh, and their short ids are known.

        Ask for `segments_of` again after `STRANGER_S`.
        """
        self._strangers = {n: until for n, until in self._strangers.items() if now < until}
        if any(port.state not in (State.BLOCKED, State.ARMING) for port in self.ports.values()):
            # Who has just started listens before it opens, and keeps what its switch has learnt.
            self._strangers |= dict.fromkeys(names, now + STRANGER_S)
        self._forget_behind_standbys(names)

    def received(self, source: PeerName, payload: bytes, is_direct: bool, now: float) -> None:
        """A message on the gateway channel.

        Args:
            source: who made it (or passed it on, if not direct).
            payload: at most 4 MiB.
            is_direct: it was made by `source` now: a sign of life.
            now: monotonic seconds.

        Raises:
            RemoteProtocolError: it is malformed; nothing of it was used.
        """
        self._set_now(now)
        signs = self._signs.get(source)
        if is_direct and signs is not None and payload == signs.lease:
            signs.heard(now, self.timers.doubt_s)  # the same again, as nearly always
            return
        message = decode(payload)
        if is_direct and signs is not None:
            signs.lease = payload if message.is_lease_of(source) else None
        changes, own_is_stale = self.registry.merge(message.records)
        stale, callers = set[PeerName](), {c.record.name for c in changes if c.has_opened}
        for change in changes:
            self._signs.setdefault(change.record.name, _Signs(heard_at=now))
            stale |= change.forget
            self._sharing.admission.note(change.old, change.record, now)
            self._sharing.met(change.old, change.record)
            self._sharing.reclaim(change.old, change.record)
        signs = self._signs.get(source)
        if is_direct and signs is not None:
            if self._own in message.unheard:
                signs.deaf_until = now + self.timers.silent_s
            signs.heard(now, self.timers.doubt_s)
            if self._own in message.unheard:
                self._send_detours()
        if stale:
            self._commands.append(ForgetBehind(tuple(sorted(stale))))
        for table in message.tables:
            if table.name == source:
                self._sharing.told(table)
        for step in message.hand_overs:
            for port in self.ports.values():
                if port.spec.segment == step.segment and source in self.gateways(step.segment):
                    port.hand_over(source, step, now)
        if message.is_call and self.registry.record(source) is not None:
            callers.add(source)
        if message.asks_macs:
            self._sharing.asked(source)
        self._commands.extend(Introduce(name) for name in sorted(callers - {self._own}))
        if own_is_stale:
            self.publish()
        if changes or message.hand_overs:
            self._tick(now)

    def bfd(self, peer: PeerName, state: Bfd, now: float) -> None:
        """A BFD session changed. One that never was up says nothing when it is down."""
        signs = self._signs.setdefault(peer, _Signs(heard_at=now))
        if state is Bfd.DOWN and signs.bfd is Bfd.NONE:
            return
        if state is not signs.bfd:
            signs.bfd, signs.bfd_at, signs.sure_until = state, now, float("-inf")
            self._tick(now)

    def hello(self, port: str, frame: bytes, now: float) -> None:
        """A hello came in by a gateway port.

        Args:
            port: its name.
            frame: as it came; anybody on the segment may have made it.
            now: monotonic seconds.

        Raises:
            RemoteProtocolError: it is not for us, or older than one before; nothing was noted.
        """
        segment = self._port(port).spec.segment
        heard = self._hearing.take(segment, frame, now)
        self.registry.raise_epoch(segment, heard.epoch)
        self._set_now(now)

    def macs_read(self, port: str, reading: Reading, now: float) -> None:
        """The answer to `ReadMacs`."""
        self._set_now(now)
        self._sharing.read(self.ports[port], reading, now)

    def set_role(self, port: str, role: Role, now: float, *, force: bool = False) -> None:
        """The operator's wish; see `PortMachine.set_role`.

        Raises:
            NotReadyError: it cannot be fulfilled now; nothing was changed.
        """
        self._port(port).set_role(role, now, force=force)
        self._commands.append(RememberRole(port, role))
        self._tick(now)

    def drain(self, port: str, now: float) -> None:
        """Hand over, and stay out of elections until a role is set."""
        self._port(port).drain(now)
        self._tick(now)

    def shut_down(self, now: float) -> None:
        """The daemon is about to end: hand over or close every port; see `is_quiet`."""
        for port in self.ports.values():
            port.shut_down(now)
        self._tick(now)

    def gate_set(self, port: str, token: int, sent_at: float, now: float) -> None:
        """The switch has confirmed `SetGate`; the permits were sent at `sent_at`."""
        machine = self._port(port)
        before = machine.state
        machine.gate_set(token, sent_at, now)
        if machine.state is State.ACTIVE and before is not State.ACTIVE:
            # Whoever forwarded before may be gone with what only it knew.
            self._commands.append(Broadcast(encode(is_call=True)))
        self._tick(now)

    def gate_failed(self, port: str, token: int | None, error: str, now: float) -> None:
        """The switch has not confirmed `SetGate` (or `RenewGate`: token None)."""
        self._port(port).gate_failed(token, error, now)
        self._tick(now)

    def renewed(self, port: str, sent_at: float, now: float) -> None:
        """The switch has confirmed `RenewGate`; the permits were sent at `sent_at`."""
        self._port(port).renewed(sent_at)
        self._set_now(now)

    # Small things.

    def _port(self, name: str) -> PortMachine:
        if name not in self.ports:
            raise LocalProtocolError(f"no gateway port {name}")
        return self.ports[name]

    def _set_now(self, now: float) -> None:
        """Do not take for silence of others that this process was stopped, or its host stalled."""
        slept_s = now - self._now
        self._now = now
        if slept_s > OVERSLEPT_LEASES * self.timers.lease_s:
            for signs in self._signs.values():
                signs.heard_at += slept_s
            for port in self.ports.values():
                port.listen_anew(now)

    def _forget_behind_standbys(self, names: Iterable[PeerName]) -> None:
        """They may have forwarded before, and what was learnt then could not be forgotten."""
        records = map(self.registry.record, sorted(set(names) - {self._own}))
        stand_by = tuple(r.name for r in records if r and r.segments() - r.serving())
        if stand_by:
            self._commands.append(ForgetBehind(stand_by))

    def _tick(self, now: float) -> None:
        self._set_now(now)
        # A port looks at the others several times, and they do not change under its eyes.
        self._seen = {}
        for port in self.ports.values():
            port.now = now
            port.tick(now)
        self._seen = None

    def _wanted_ports(self) -> tuple[object, ...]:
        return tuple([port.record(self._now) for port in self.ports.values()])

    def _refresh_record(self) -> GatewayRecord:
        return self.registry.set_own(port.record(self._now) for port in self.ports.values())

    def _refresh_record_if_stale(self) -> None:
        """Readiness and damping change without a change of state."""
        own = self.registry.own_record
        if own is None or own.ports != self._wanted_ports():
            self.publish()

    def _send_leases(self) -> None:
        own = self.registry.own_record
        if own is not None:
            others = self.companions()
            if own is not self._lease[0] or others != self._lease[1]:
                payload = self._payload_of(own)
                self._lease = own, others, [Tell(name, payload) for name in others]
            self._commands.extend(self._lease[2])

    def _payload_of(self, own: GatewayRecord) -> bytes:
        if self._encoded[0] is not own:
            self._encoded = own, encode([own])
        return self._encoded[1]

    def _doubt_at(self, signs: _Signs) -> float:
        """When the next lease to a gateway takes a detour, if nothing is heard of it before."""
        again_at = signs.doubted_at + self.timers.lease_s
        if self._now < signs.deaf_until or signs.bfd is _DOWN:
            return again_at
        return max(signs.heard_at + self.timers.doubt_s, again_at)

    def _send_detours(self) -> None:
        """Where the way to a gateway is in doubt, let it know by others that this one lives.

        It cannot tell a dead gateway from a dead way, and would open.
        """
        own = self.registry.own_record
        if own is None:
            return
        now = self._now
        for name, signs in zip(self.companions(), self._signs_of_companions(), strict=True):
            if now >= signs.sure_until and now >= self._doubt_at(signs):
                signs.doubted_at = now
                is_unheard = now - signs.heard_at >= self.timers.doubt_s
                known, payload = self._detours.get((name, is_unheard), (None, b""))
                if known is not own:
                    payload = encode([own], unheard=[name] if is_unheard else ())
                    self._detours[name, is_unheard] = own, payload
                self._commands.append(Tell(name, payload, detour=True))

    def _say_hello(self) -> None:
        """Also while closed: that this gateway lives is what the others must know."""
        own = self.registry.own_record
        if own is None or not self.is_switch_up:
            return
        for record in own.ports:
            if self.ports[record.port].spec.hello and self.has_carrier(record.port):
                self._commands.append(SayHello(record.port, self._hearing.say(own, record)))
