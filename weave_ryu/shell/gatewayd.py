"""Performs what the gateway core decides: gates, leases, claims, announcements."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Protocol, TypeGuard, assert_never

import structlog

from weave_ryu import links
from weave_ryu.errors import ConfigError, NetworkError, OpenFlowError, RemoteProtocolError
from weave_ryu.gate import Gate
from weave_ryu.gateway import reading
from weave_ryu.gateway.commands import (
    Announce,
    Broadcast,
    Claim,
    Command,
    Doubt,
    ForgetBehind,
    Introduce,
    Prime,
    ReadMacs,
    Release,
    RememberRole,
    RenewFence,
    RenewGate,
    Report,
    SayHello,
    SetGate,
    TakeBack,
    Tell,
)
from weave_ryu.gateway.core import GatewayCore
from weave_ryu.gateway.detection import Bfd
from weave_ryu.gateway.port import PortMachine
from weave_ryu.gateway.role import Role, State
from weave_ryu.gateway.states import Entry
from weave_ryu.gateway.surroundings import NotReadyError, PortSpec
from weave_ryu.gateway.wish import Outcome
from weave_ryu.names import PeerName, ShortId
from weave_ryu.pipeline import diff, rules
from weave_ryu.pipeline.cookies import SUBJECT_MASK, Kind, subject_cookie
from weave_ryu.pipeline.model import FlowSpec, Output
from weave_ryu.pipeline.state import GatewayPort
from weave_ryu.shell import encode, hub
from weave_ryu.shell import fence as fencing
from weave_ryu.shell.announce import INTRODUCE_AT_S, INTRODUCE_LATE_S, Announcer
from weave_ryu.shell.givingback import GivingBack
from weave_ryu.shell.macs import MacReader
from weave_ryu.shell.openflow import MAX_BATCHES, HandOverFrame, Switch

_log = structlog.get_logger()

REST_S = 0.02
"""Between two looks whether a rest is over."""

READ_SHARE = 4
"""MACs are read again after so many times the time that it took."""

STALE_S = 0.4
"""A command to open that has waited this long is not carried out: this process was paused."""

LATE_S = 1.0
"""The API waits so long for the word about a wish beyond the time in which it is due."""

POLL_S = 0.005

LOOK_AGAIN_S = 0.3
"""After a link went down: perhaps it is taken out."""

ASK_FOR_CARRIER_S = 0.05
"""How often the kernel is asked, so that the switch hears of a lost carrier soon."""


@dataclass(frozen=True, slots=True)
class _Permits:
    """What was installed for a port, and when all of it was last renewed."""

    flows: frozenset[diff.InstalledFlow]
    renewed_at: float


@lru_cache(maxsize=MAX_BATCHES)
def _permits_of(
    port: GatewayPort, gate: Gate, permit_s: int
) -> tuple[tuple[FlowSpec, ...], frozenset[diff.InstalledFlow]]:
    """The permits, and how they show in the switch: the same objects for each renewal."""
    flows = tuple(rules.permits(port, gate, permit_s))
    return flows, frozenset(diff.installed(flow) for flow in flows)


def _closes(command: Command) -> TypeGuard[SetGate]:
    return isinstance(command, SetGate) and command.gate is Gate.CLOSED


class Mesh(Protocol):
    """What gateways need of the mesh."""

    def broadcast(self, payload: bytes) -> None:
        """Tell all peers."""

    def tell(self, peer: PeerName, payload: bytes, *, detour: bool = False) -> None:
        """Tell one peer; with `detour` by other ways than the one that routes name."""

    def claim(self, segment: str, epoch: int, *, arriving: bool) -> None:
        """Connect a segment to this peer in the topology; see `commands.Claim`."""

    def release(self, segment: str) -> None:
        """Connect it to this peer no more."""

    def doubt(self, segment: str, macs: frozenset[str]) -> None:
        """Find out whether MACs are on a segment or in the mesh."""

    def is_away(self, mac: str) -> bool:
        """Whether a MAC of the mesh seems to be, or is known to be, on a segment now."""

    def segment_name(self, segment: str) -> PeerName:
        """A segment's name as a peer."""

    def segment_id(self, segment: str) -> ShortId:
        """A segment's short id."""

    def short_id_of(self, peer: PeerName) -> ShortId | None:
        """A peer's short id."""

    def short_ids(self, *, of_segments: bool = False) -> set[ShortId]:
        """Short ids of all peers that are known, or of the segments among them."""


class Observer(Protocol):
    """Who wants to know what happens, for figures and histories."""

    def entered(self, port: str, segment: str, entry: Entry) -> None:
        """A port has entered a state."""

    def renewed(self, port: str, sent_at: float) -> None:
        """The switch has confirmed a renewal that was sent then (monotonic seconds)."""


class Gateways:
    """Runs a `GatewayCore` on the local switch and the mesh.

    Args:
        core: decides.
        switch: the local bridge.
        mesh: the way to the other peers.
        remember: keeps the role that the operator set last, over restarts.
        own_short_id: of this peer.
        fences: of the gateway ports; None where the switch forwards in userspace.
        unfenced: why no port may be opened, in a clause; None: they may.
    """

    def __init__(
        self,
        core: GatewayCore,
        switch: Switch,
        mesh: Mesh,
        remember: Callable[[str, Role], None],
        own_short_id: Callable[[], ShortId],
        fences: fencing.Fences | None = None,
        unfenced: str | None = None,
    ) -> None:
        self.core = core
        self.fences = fences
        self.unfenced = unfenced
        self._switch = switch
        self._mesh = mesh
        self._remember = remember
        self._own_short_id = own_short_id
        self._macs = MacReader(switch)
        self._reading = {name: hub.Semaphore() for name in core.ports}
        self._read_again_at = dict.fromkeys(core.ports, 0.0)
        self._is_reading_asked: set[str] = set()
        self._introducing: set[PeerName] = set()
        self._mesh_changes = 0
        self._announcer = Announcer(switch)
        self.observers: list[Observer] = []
        self._permits: dict[str, _Permits] = {}
        self.giving_back = GivingBack(switch, self._find)
        self._gate_queue: hub.Queue = hub.Queue()
        self._alarm = hub.Alarm()
        self._is_pumping = False
        self._is_ready = False
        self._missing: set[str] = set()
        self._down: set[str] = set()
        self._refusal = ""
        self.miswired: dict[str, str] = {}
        """Ports that must not open, as their segments are joined to something else → why."""

    def start(self) -> None:
        """Begin to watch the ports."""
        if self.fences is not None:
            self.fences.start()
            hub.spawn_vital("fences", self._look_after_fences, self.fences)
        self.core.start(time.monotonic())
        hub.spawn_vital("gates", self._gate_loop)
        hub.spawn_vital("gateway timer", self._timer_loop)
        if self.core.ports:
            control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            hub.repeat_beside(partial(self._ask_for_carrier, control), ASK_FOR_CARRIER_S)
        self.pump()

    def stop(self) -> None:
        """Hand over or close all ports; returns when that is done, or took too long."""
        self.core.shut_down(time.monotonic())
        self.pump()
        within_s = max((port.wish.within_s for port in self.core.ports.values()), default=0.0)
        self._wait(lambda: self.core.is_quiet, within_s)
        if self.fences is not None and self.core.is_quiet:
            # The links are others' to use from now on; a port that could not be closed stays shut.
            hub.sleep(self.core.timers.hand_over.cache_s)
            self.fences.remove()

    # What the API asks for.

    def names(self) -> list[str]:
        """The gateway ports, sorted."""
        return sorted(self.core.ports)

    def port(self, name: str) -> PortMachine:
        """One gateway port.

        Raises:
            ConfigError: there is no such port.
        """
        if name not in self.core.ports:
            known = ", ".join(self.names()) or "none"
            raise ConfigError("port", name, f"is no gateway port of this peer (it has: {known})")
        return self.core.ports[name]

    def port_of(self, segment: ShortId) -> str | None:
        """The gateway port that forwards for a segment; None if none of this peer does."""
        for name, port in self.core.ports.items():
            is_here = self._mesh.segment_id(port.spec.segment) == segment
            if is_here and port.state is State.ACTIVE:
                return name
        return None

    def set_role(self, name: str, role: Role, *, force: bool = False) -> None:
        """Change a role by hand; returns when the switch has confirmed it.

        Args:
            name: of the port.
            role: wanted.
            force: with role active, open whoever else forwards.

        Raises:
            ConfigError: no such port.
            NotReadyError: it cannot be done now, or was not completed in time.
        """
        port = self.port(name)
        if self.unfenced is not None and role is not Role.STANDBY:
            raise NotReadyError(f"{name}: role {role} is refused: {self.unfenced}")
        self.core.set_role(name, role, time.monotonic(), force=force)
        self._await_wish(port)

    def drain(self, name: str) -> None:
        """Hand over, and stay out of elections; returns when the port is closed.

        Raises:
            ConfigError: no such port.
            NotReadyError: it was not completed in time.
        """
        port = self.port(name)
        self.core.drain(name, time.monotonic())
        self._await_wish(port)

    def _await_wish(self, port: PortMachine) -> None:
        """Until what was just asked for is done, or is not wanted any more."""
        name, number = port.spec.port, port.wish.number
        self.pump()
        self._wait(
            lambda: port.wish.number != number or port.wish.outcome is not Outcome.PENDING,
            port.wish.within_s + LATE_S,
        )
        wish = port.wish
        if wish.number != number:
            raise NotReadyError(f"{name}: a newer request came in between; it is {port.state}")
        if wish.outcome is Outcome.TAKEN_BACK:
            raise NotReadyError(
                f"{name}: {wish.intent} was taken back: {wish.why}; it is {port.state}, "
                f"{port.intent}"
            )
        if wish.outcome is Outcome.PENDING:
            raise NotReadyError(
                f"{name}: it is still {port.state} ({port.history[-1].reason}); "
                "look at `weave-ryu gateway status`"
            )

    # What the daemon tells.

    def received(self, source: PeerName, payload: bytes, is_direct: bool, is_sure: bool) -> None:
        """A message on the gateway channel came in; see `GatewayCore.received`.

        Raises:
            RemoteProtocolError: it is malformed; nothing of it was used.
        """
        self.core.received(source, payload, is_direct, time.monotonic(), is_sure=is_sure)
        self.pump()

    def forget_strangers(self) -> None:
        """Drop gateways that have not told their records themselves for long."""
        self.core.forget_strangers(time.monotonic())
        self.pump()

    def hello(self, number: int, frame: bytes) -> None:
        """A hello came in by a port; one that is not for us is logged and ignored.

        Args:
            number: OpenFlow number of the port.
            frame: all of it.
        """
        if (port := self._switch.ports.get(number)) is None or port.name not in self.core.ports:
            return
        try:
            self.core.hello(port.name, frame, time.monotonic())
        except RemoteProtocolError as error:
            _log.debug("hello_ignored", port=port.name, reason=str(error))
        self.pump()

    def hand_over_frame(self, seen: HandOverFrame) -> None:
        """The switch shows a broadcast while a port is handed over to this peer."""
        port = self._switch.ports.get(seen.port)
        if port is not None:
            self.giving_back.seen(port.name, seen)

    def bfd(self, peer: PeerName, state: Bfd) -> None:
        """A BFD session is in this state."""
        self.core.bfd(peer, state, time.monotonic())
        self.pump()

    def mesh_changed(self, peer_count: int) -> None:
        """Connections came up or went away."""
        self._mesh_changes += peer_count != self.core.peer_count
        self.core.mesh_state(peer_count, time.monotonic())

    def peers_left(self, gone: Collection[PeerName]) -> None:
        """Peers are no longer part of the mesh."""
        self.core.peers_left(gone)

    def switch_ready(self) -> None:
        """The switch is connected, and its flows are in place."""
        self._is_ready = True
        self.ports_changed()

    def switch_lost(self) -> None:
        """The switch is not connected: nothing is known of the ports.

        The kernel may go on forwarding by what the switch has told it; before others are told that
        these ports are closed, they are.
        """
        self._close_fences()
        self._is_ready = False
        self._permits.clear()
        self.ports_changed()

    def ports_changed(self) -> None:
        """A port appeared, vanished, or changed its link."""
        carrier = {port.name: port.up for port in self._switch.ports.values()}
        troubles = {}
        if self._is_ready and self._switch.is_connected:
            # Open vSwitch shows the port of a link that has vanished as one without carrier.
            down = {name for name in self.core.ports if not carrier.get(name)}
            self._note_missing({name for name in down if not links.exists(name)})
            troubles = {name: f"there is no link {name}" for name in self._missing}
            if down - self._down - self._missing:
                hub.spawn(self._look_again)  # a link that is taken out goes down first
            self._down = down
        else:
            self._close_fences()
        troubles = {**self.miswired, **troubles}
        if self._refusal:
            troubles = dict.fromkeys(self.core.ports, self._refusal)
        self.core.switch_state(
            self._is_ready and self._switch.is_connected, carrier, time.monotonic(), troubles
        )
        self.pump()

    def _look_again(self) -> None:
        hub.sleep(LOOK_AGAIN_S)
        self.ports_changed()

    def refused(self, reason: str) -> None:
        """Why the mesh refuses this peer, which then opens no port; empty if it does not."""
        self._refusal = reason
        self.ports_changed()

    def _note_missing(self, missing: set[str]) -> None:
        """Tell once of each link that is not there; a link without carrier is another matter."""
        for name in sorted(missing - self._missing):
            _log.warning(
                "gateway_link_missing",
                port=name,
                reason=f"there is no link {name}; it is waited for",
            )
        self._missing = missing

    def pump(self) -> None:
        """Carry out what the core wants. Call after every input."""
        if self._is_pumping:
            return
        self._is_pumping = True
        try:
            while commands := self.core.poll_commands():
                # Whatever is told of a port that closes is true when it is told.
                self._close_fences(c.port for c in commands if _closes(c))
                for command in commands:
                    self._perform(command)
        finally:
            self._is_pumping = False
            self._alarm.bring_forward(self.core.deadline())

    def prime(self, macs: frozenset[str]) -> None:
        """Let the own switch know what is in the mesh."""
        hub.spawn(self._announcer.prime, macs)

    # Commands.

    def _perform(self, command: Command) -> None:
        match command:
            case SetGate() | RenewGate():
                self._gate_queue.put((time.monotonic(), command))
            case RenewFence(port):
                self._renew_fence(port)
            case Broadcast(payload):
                self._mesh.broadcast(payload)
            case Tell(peer, payload, detour):
                self._mesh.tell(peer, payload, detour=detour)
            case SayHello(port, frame):
                self._say_hello(port, frame)
            case Claim(segment, epoch, arriving):
                self._mesh.claim(segment, epoch, arriving=arriving)
            case Release(segment):
                self._mesh.release(segment)
            case Announce(port, macs):
                self._announce(port, macs)
            case Prime(_, macs):
                self.prime(macs)
            case Doubt(port, macs):
                self._mesh.doubt(self.core.ports[port].spec.segment, macs)
            case ForgetBehind(peer, segment):
                hub.spawn(self._forget_behind, peer, segment)
            case ReadMacs(port):
                hub.spawn(self._read_macs, port)
            case Introduce(to):
                hub.spawn(self._introduce, to)
            case RememberRole(port, role):
                hub.spawn(self._remember, port, role)
            case TakeBack(port, segment, wanted, why):
                _log.warning(
                    "wish_taken_back", port=port, segment=segment, wish=str(wanted), reason=why
                )
            case Report(port, segment, entry):
                _log.info(
                    "gateway_state",
                    port=port,
                    segment=segment,
                    state=str(entry.state),
                    epoch=self.core.ports[port].epoch,
                    reason=entry.reason,
                )
                for observer in self.observers:
                    observer.entered(port, segment, entry)
                if entry.state is State.ACTIVE:
                    self._ask_for_groups(port, segment)
            case _:
                assert_never(command)

    def _gate_loop(self) -> None:
        while True:
            queued_at, command = self._gate_queue.get()
            token = command.token if isinstance(command, SetGate) else None
            opens = command.gate is not Gate.CLOSED
            sent_at = time.monotonic()
            if isinstance(command, SetGate):
                self.giving_back.prepare(command.port, command.gate)
            try:
                if opens and sent_at - queued_at > STALE_S:
                    raise OpenFlowError(
                        "opening", f"it waited {sent_at - queued_at:.1f} s: paused?"
                    )
                renewed_at = self._set_gate(command, sent_at)
                if opens and isinstance(command, SetGate):
                    self._open_fence(command, sent_at)
            except (OpenFlowError, NetworkError) as error:
                _log.warning("gate_not_set", port=command.port, error=str(error))
                self.core.gate_failed(command.port, token, str(error), time.monotonic())
            else:
                now = time.monotonic()
                if token is None:
                    self.core.renewed(command.port, renewed_at, now)
                    for observer in self.observers:
                        observer.renewed(command.port, sent_at)
                else:
                    self.core.gate_set(command.port, token, renewed_at, now)
                    self.giving_back.go_on(command.port, command.gate, now)
            self.pump()

    def _open_fence(self, command: SetGate, sent_at: float) -> None:
        """Let the port pass what the switch lets pass, if that is wanted still.

        Raises:
            OpenFlowError: the permits that the switch has confirmed have run out meanwhile.
            NetworkError: there is no fence.
        """
        if self.unfenced is not None:
            raise NetworkError(self.unfenced)
        keeper = self.core.ports[command.port].keeper
        if self.fences is None or not keeper.awaits(command.token):
            return
        took_s = time.monotonic() - sent_at
        if took_s >= self.core.timers.permit_s:
            raise OpenFlowError("opening", f"the switch took {took_s:.1f} s")
        fence = self.fences.of(command.port)
        if keeper.is_open and not fence.is_open:
            raise OpenFlowError("opening", "the fence has run out meanwhile: paused?")
        fence.renew()

    def _renew_fence(self, port: str) -> None:
        if self.fences is None:
            return
        now = time.monotonic()
        try:
            self.fences.of(port).renew()
        except NetworkError as error:
            _log.warning("fence_not_renewed", port=port, error=str(error))
        else:
            self.core.ports[port].keeper.fenced(now)

    def _close_fences(self, ports: Iterable[str] | None = None) -> None:
        if self.fences is not None:
            for name in self.core.ports if ports is None else ports:
                self.fences.of(name).close()

    @staticmethod
    def _look_after_fences(fences: fencing.Fences) -> None:
        while True:
            hub.sleep(fencing.LOOK_EVERY_S)
            fences.look_after()

    def _set_gate(self, command: SetGate | RenewGate, now: float) -> float:
        """Install the permits; returns since when the oldest of them lives."""
        port = self._find(command.port)
        if port is None:
            if command.gate is Gate.CLOSED:
                return now  # a port that is not there lets nothing pass
            raise OpenFlowError(f"change of {command.port}", "the bridge has no such port")
        permit_s = self.core.timers.permit_s
        flows, wanted = _permits_of(port, command.gate, permit_s)
        before = self._permits.get(command.port, _Permits(frozenset(), now))
        if isinstance(command, RenewGate) and before.flows <= wanted:
            self._switch.install(flows)
            self._permits[command.port] = _Permits(wanted, now)
            return now
        forget = []
        if command.gate is Gate.CLOSED:
            forget = [(subject_cookie(Kind.PERMIT, port.number), SUBJECT_MASK)]
        if isinstance(command, SetGate) and now - before.renewed_at < permit_s / 2:
            # Only what differs: in a hand-over each millisecond counts.
            flows = tuple(flow for flow in flows if diff.installed(flow) not in before.flows)
        obsolete = tuple(sorted(before.flows - wanted))
        self._switch.commit(diff.BundlePlan(flows, obsolete), forget)
        renewed_at = before.renewed_at if len(flows) < len(wanted) else now
        self._permits[command.port] = _Permits(wanted, renewed_at)
        return renewed_at

    def _announce(self, name: str, macs: frozenset[str]) -> None:
        port, machine = self._find(name), self.core.ports[name]

        def go_on(mac: str) -> bool | None:
            if not machine.may_announce:
                return False
            # A station that has just appeared on the segment would be cut off from it.
            return None if self._mesh.is_away(mac) else True

        if port is not None:
            self._announcer.announce(port.number, macs, go_on)

    def _ask_for_groups(self, of: str, segment: str) -> None:
        port, machine = self._find(of), self.core.ports[of]
        if port is not None:
            name, short_id = self._mesh.segment_name(segment), self._mesh.segment_id(segment)
            self._announcer.ask_for_groups(
                port.number, name, short_id, lambda _: machine.may_announce
            )

    def _say_hello(self, name: str, frame: bytes) -> None:
        port = self._find(name)
        if port is not None:
            self._switch.send_frame(frame, encode.actions_of((Output(port.number),)))

    def _introduce(self, to: PeerName) -> None:
        if to in self._introducing:
            return  # its call and its record come nearly at once
        self._introducing.add(to)
        mesh_changes, waited_s = self._mesh_changes, 0.0
        for at in (*INTRODUCE_AT_S, INTRODUCE_LATE_S):
            hub.sleep(at - waited_s)
            waited_s = at
            self._introducing.discard(to)
            if at != INTRODUCE_LATE_S or self._mesh_changes != mesh_changes:
                self._introduce_once(to)

    def _introduce_once(self, to: PeerName) -> None:
        short_id = self._mesh.short_id_of(to)
        if short_id is None or not self._switch.is_connected:
            return
        try:
            learnt = self._macs.learnt()
        except OpenFlowError as error:
            _log.debug("containers_not_read", error=str(error))
            return
        own = (m.mac.replace(":", "") for m in learnt if m.kind is Kind.LEARNT_PORT)
        self._announcer.introduce(own, self._own_short_id(), short_id)

    def _forget_behind(self, peer: PeerName, segment: str) -> None:
        ids = {self._mesh.short_id_of(peer), self._mesh.segment_id(segment)} - {None}
        cookies = [subject_cookie(Kind.LEARNT_PEER, short_id) for short_id in ids if short_id]
        try:
            self._switch.delete([(cookie, SUBJECT_MASK) for cookie in sorted(cookies)])
        except OpenFlowError as error:
            _log.debug("macs_not_forgotten", peer=str(peer), error=str(error))

    def _read_macs(self, name: str) -> None:
        """Read, after the reading that goes on and a rest: nothing that is asked is left out."""
        if name in self._is_reading_asked:
            return  # the one that waits will show it, too
        self._is_reading_asked.add(name)
        with self._reading[name]:
            # A hand-over waits for the answer: no rest before it.
            while time.monotonic() < self._read_again_at[name] and self.core.ports[name].is_settled:
                hub.sleep(min(REST_S, self._read_again_at[name] - time.monotonic()))
            self._is_reading_asked.discard(name)
            port = self._find(name)
            if port is None or not self._switch.is_connected:
                return
            started = time.monotonic()
            self._read_sides(name)
            took_s = time.monotonic() - started
            self._read_again_at[name] = started + READ_SHARE * took_s

    def _read_sides(self, name: str) -> None:
        try:
            learnt = self._macs.current()
        except OpenFlowError as error:
            _log.debug("macs_not_read", port=name, error=str(error))
            return
        segment = self.core.ports[name].spec.segment
        lets_in = self.core.registry.lets_in()
        old = (peer for peer, segments in lets_in.items() if segment in segments)
        found = reading.sort(
            (one.place() for one in learnt),
            self._mesh.segment_id(segment),
            self._mesh.short_ids(),
            {short_id for p in old if (short_id := self._mesh.short_id_of(p)) is not None},
            self._mesh.short_ids(of_segments=True),
        )
        self.core.macs_read(name, found, time.monotonic())
        self.pump()

    # Small things.

    def _ask_for_carrier(self, control: socket.socket) -> None:
        for name in self.names():
            links.has_carrier(control.fileno(), name)  # the answer comes by the switch

    def _timer_loop(self) -> None:
        while True:
            deadline = self.core.deadline()
            if deadline is not None:
                # Others run, whatever the next deadline is: what it waits for comes from them.
                deadline = max(deadline, time.monotonic() + 0.001)
            self._alarm.wait(deadline)
            deadline = self.core.deadline()
            if deadline is not None and deadline <= time.monotonic():
                self.core.handle_timer(time.monotonic())
                self.pump()

    def _wait(self, is_done: Callable[[], bool], within_s: float) -> None:
        until = time.monotonic() + within_s
        while not is_done() and time.monotonic() < until:
            hub.sleep(POLL_S)

    def _find(self, name: str) -> GatewayPort | None:
        spec = self.core.ports[name].spec
        for port in self._switch.ports.values():
            if port.name == name:
                return self.gateway_port(port.number, spec)
        return None

    def gateway_port(self, number: int, spec: PortSpec) -> GatewayPort:
        """One gateway port as the pipeline sees it now."""
        segment, short_id = spec.segment, self._mesh.segment_id(spec.segment)
        is_peer = self.core.is_peer(segment)
        return GatewayPort(number, spec.port, segment, short_id, spec.hello, is_peer)
