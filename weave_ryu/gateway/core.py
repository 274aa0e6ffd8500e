"""All gateway ports of one peer, and what it knows of all gateways. Sans-IO.

Inputs return None and queue commands; `poll_commands` drains them; `deadline` says when
`handle_timer` is due. `now` is monotonic seconds. Every peer runs one, gateway or not: those
without a port only merge records.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from weave_ryu.errors import LocalProtocolError
from weave_ryu.gateway.admission import EXPIRED_S
from weave_ryu.gateway.commands import (
    Broadcast,
    Command,
    ForgetBehind,
    Introduce,
    RememberRole,
    SayHello,
)
from weave_ryu.gateway.detection import Bfd
from weave_ryu.gateway.hearing import Hearing
from weave_ryu.gateway.leases import Leases
from weave_ryu.gateway.lookout import Lookout, PeerView
from weave_ryu.gateway.port import PortMachine
from weave_ryu.gateway.reading import Reading
from weave_ryu.gateway.records import Message, decode, encode
from weave_ryu.gateway.registry import Change, Registry
from weave_ryu.gateway.role import Role, State
from weave_ryu.gateway.sharing import MacSharing
from weave_ryu.gateway.surroundings import Other, PortSpec
from weave_ryu.gateway.timers import Timers
from weave_ryu.names import PeerName

OVERSLEPT_LEASES = 2
"""A process that was called so many leases late reads what has come meanwhile before it judges."""


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
        self.timers = timers.check()
        self.registry = Registry(own, incarnation, sequence, self.timers.dead_ms)
        self._commands: list[Command] = []
        self._hearing = Hearing(own, sequence, password)
        self.lookout = Lookout(self.registry, self._hearing, self.timers)
        self._troubles: dict[str, str] = {}
        self._carrier: dict[str, bool] = {}
        self.is_switch_up = False
        self.peer_count = 0
        self._now = now
        self.next_lease = now
        self._next_sync = now + timers.sync_s
        segments = tuple(sorted({spec.segment for spec in specs}))
        emit = self._commands.append
        self.leases = Leases(self.registry, self.lookout, segments, self.timers, emit)
        self.ports = {
            spec.port: PortMachine(spec, self, emit, now)
            for spec in sorted(specs, key=lambda spec: spec.port)
        }
        self._sharing = MacSharing(own, self.registry, self.ports, emit)

    # `port.Surroundings`.

    @property
    def own(self) -> PeerName:
        """This peer."""
        return self.registry.own

    def has_carrier(self, port: str) -> bool:
        """The link is a port of the bridge, is up, and nothing else keeps the port closed."""
        return self._carrier.get(port, False) and port not in self._troubles

    def trouble(self, port: str) -> str:
        """What keeps the port closed, if it is not that its link is down; else empty."""
        return self._troubles.get(port, "")

    def epoch(self, segment: str) -> int:
        """The highest epoch heard of."""
        return self.registry.epoch(segment)

    def gateways(self, segment: str) -> tuple[PeerName, ...]:
        """The other gateways of a segment, sorted."""
        return self.registry.others_of(segment)

    def others(self, segment: str, now: float) -> list[Other]:
        """The other gateways of a segment, sorted by name."""
        return self.lookout.others(segment, now)

    def elsewhere(self, segment: str, now: float) -> tuple[PeerName, ...]:
        """Gateways that say on the segment that they forward, but are not in this mesh."""
        return self.lookout.elsewhere(segment, now)

    def mesh_macs(self, port: str) -> frozenset[str]:
        """MACs of the mesh, as far as any gateway knows them."""
        return self._sharing.mesh(port)

    def macs_to_prime(self, port: str) -> frozenset[str]:
        """Those that the switch is to know of before the port opens."""
        return self._sharing.to_prime(port)

    def hosts(self, port: str) -> frozenset[str]:
        """MACs of the segment that the own switch knows."""
        return self._sharing.hosts(port)

    def announce(self, port: str) -> None:
        """Tell the segment all MACs of the mesh."""
        self._sharing.announce(port)

    def is_peer(self, segment: str) -> bool:
        """All gateways of a segment know that it is a peer of the mesh."""
        return self.registry.is_peer(segment)

    def publish(self) -> None:
        """Tell everybody this peer's record: all by broadcast, gateways of its segments at once."""
        self.leases.publish(port.record(self._now) for port in self.ports.values())

    # Looking.

    def peer_view(self, name: PeerName, now: float) -> PeerView:
        """Signs of life of another gateway."""
        return self.lookout.view(name, now)

    @property
    def is_quiet(self) -> bool:
        """No port forwards or is about to change."""
        busy = (State.ACTIVE, State.DRAINING)
        return all(port.state not in busy and port.is_settled for port in self.ports.values())

    def companions(self) -> tuple[PeerName, ...]:
        """All other gateways of this peer's segments, sorted."""
        return self.leases.companions()

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
        if self.ports and now >= self.next_lease:
            self.next_lease = now + self.timers.lease_s
            for port in self.ports.values():
                port.keeper.renew_fence(now)
            self._publish_if_stale()
            self.leases.send()
            self._say_hello()
        self.leases.send_detours(now)

    def deadline(self) -> float | None:
        """When `handle_timer` is due; None for a peer without gateway ports."""
        if not self.ports:
            return None
        due_at = self.next_lease if self.next_lease < self._next_sync else self._next_sync
        for port in self.ports.values():
            due_at = port.deadline(due_at)
        return self.leases.deadline(due_at, self._now)

    def poll_commands(self) -> list[Command]:
        """What is to be done, in this order."""
        if not self._commands:
            return []
        commands = self._commands.copy()
        self._commands.clear()
        return commands

    def switch_state(
        self,
        is_up: bool,
        carrier: Mapping[str, bool],
        now: float,
        troubles: Mapping[str, str] | None = None,
    ) -> None:
        """The switch connected (its flows are in place) or went away, or a link changed.

        `carrier` is gateway port → its link is up; missing ports are down. `troubles` is port →
        what else keeps it closed, in a clause.
        """
        if self.is_switch_up and not is_up:
            self._sharing.switch_lost(now)
        self.is_switch_up = is_up
        self._carrier, self._troubles = dict(carrier), dict(troubles or {})
        self._tick(now)

    def mesh_state(self, peer_count: int, now: float) -> None:
        """The number of established connections changed."""
        if peer_count and not self.peer_count:
            # Nobody could be heard before.
            for port in self.ports.values():
                port.listen_anew(now, is_new=True)
        self.peer_count = peer_count
        self._set_now(now)

    def peers_left(self, gone: Collection[PeerName]) -> None:
        """Peers are no longer part of the mesh."""
        self.registry.remove(gone)
        self.lookout.left(gone)
        self._sharing.left(gone)

    def forget_strangers(self, now: float) -> None:
        """Drop gateways that have not told their records themselves for long."""
        self._set_now(now)
        gone = self.lookout.silent(EXPIRED_S, now)
        self.registry.admission.expire(r for r in self.registry.records() if r.name in gone)
        self.peers_left(gone)

    def received(
        self, source: PeerName, payload: bytes, is_direct: bool, now: float, *, is_sure: bool = True
    ) -> None:
        """A message on the gateway channel, at most 4 MiB.

        It was made by `source` now, which is a sign of life; or only passed on, if not direct. Of
        what is not sure only records count, which may have seals of their own.

        Raises:
            RemoteProtocolError: it is malformed; nothing of it was used.
        """
        self._set_now(now)
        signs = self.lookout.signs.get(source)
        if is_sure and is_direct and signs is not None and payload == signs.lease:
            signs.heard(now, self.timers.doubt_s)  # the same again, as nearly always
            return
        message = decode(payload)
        if not is_sure:
            message, is_direct = Message(message.records), False
        changes, own_is_stale = self.registry.merge(message.records, source if is_direct else None)
        if is_direct and signs is not None:
            is_taken = message.records == (self.registry.record(source),)
            signs.lease = payload if is_taken and message.is_lease_of(source) else None
        callers = {change.record.name for change in changes if change.has_opened}
        for change in changes:
            self.lookout.known(change.record.name, now)
            self._sharing.changed(change)
            self._forget_behind(change)
        signs = self.lookout.signs.get(source)
        if is_direct and signs is not None:
            if self.own in message.unheard:
                signs.deaf_until = now + self.timers.silent_s
            signs.heard(now, self.timers.doubt_s)
            if self.own in message.unheard:
                self.leases.send_detours(now)
        for table in message.tables:
            if table.name == source:
                self._sharing.told(table)
        for step in message.hand_overs:
            for port in self.ports.values():
                if port.spec.segment == step.segment and source in self.gateways(step.segment):
                    port.hand_overs.heard(source, step, now)
        if message.is_call and self.registry.record(source) is not None:
            callers.add(source)
        if message.asks_macs:
            self._sharing.asked(source)
        self._commands.extend(Introduce(name) for name in sorted(callers - {self.own}))
        if own_is_stale:
            self.publish()
        if changes or message.hand_overs:
            self._tick(now)

    def _forget_behind(self, change: Change) -> None:
        """Hosts behind gateways of before segments were peers move with the role."""
        opened = change.record.active_epochs().keys() if change.has_opened else frozenset()
        for segment in sorted((change.ended | opened) & change.record.lets_in()):
            others = {name for name in self.registry.gateways_of(segment) if name != self.own}
            still = {change.record.name} if segment in opened else set()
            self._commands.extend(ForgetBehind(name, segment) for name in sorted(others - still))

    def bfd(self, peer: PeerName, state: Bfd, now: float) -> None:
        """A BFD session changed. One that never was up says nothing when it is down."""
        if self.lookout.bfd(peer, state, now):
            self._tick(now)

    def hello(self, port: str, frame: bytes, now: float) -> None:
        """A hello came in by a gateway port; anybody on the segment may have made it.

        Raises:
            RemoteProtocolError: it is not for us, or older than one before; nothing was noted.
        """
        segment = self._port(port).spec.segment
        heard = self._hearing.take(segment, frame, now)
        if self._hearing.is_sealed:  # else anybody on the segment may have made it up
            self.registry.raise_epoch(segment, heard.epoch)
        self._set_now(now)

    def mac_settled(self, segment: str, mac: str) -> None:
        """A MAC (12 hex digits) of the mesh has turned out to be on a segment."""
        self._sharing.settled(segment, mac)

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
        machine, before = self._port(port), self._port(port).state
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
        self._port(port).keeper.renewed(sent_at)
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
        if self.ports and slept_s > OVERSLEPT_LEASES * self.timers.lease_s:
            self.lookout.slept(slept_s)
            for port in self.ports.values():
                port.listen_anew(now)

    def _tick(self, now: float) -> None:
        self._set_now(now)
        # A port looks at the others several times, and they do not change under its eyes.
        self.lookout.hold_still()
        for port in self.ports.values():
            port.tick(now)
        self.lookout.go_on()

    def _publish_if_stale(self) -> None:
        """Readiness and damping change without a change of state."""
        own = self.registry.own_record
        ports = tuple([port.record(self._now) for port in self.ports.values()])
        if own is None or own.ports != ports:
            self.publish()

    def _say_hello(self) -> None:
        """Also while closed: that this gateway lives is what the others must know."""
        own = self.registry.own_record
        if own is None or not self.is_switch_up:
            return
        for record in own.ports:
            if self.ports[record.port].spec.hello and self.has_carrier(record.port):
                self._commands.append(SayHello(record.port, self._hearing.say(own, record)))
