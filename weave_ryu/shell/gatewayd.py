"""Carries out what gateway ports decide: opens and closes them, renews permits, tells the mesh.

The order of a promotion: forget what was learnt behind the other gateways; open the port, confirmed
by the switch; tell the mesh, so that everybody forgets; announce the MACs of both sides.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from weave_ryu.config import GatewaySpec
from weave_ryu.errors import ConfigError, OpenFlowError, WeaveRyuError
from weave_ryu.gateway import records
from weave_ryu.gateway.registry import Change, Registry
from weave_ryu.gateway.role import Input, PortRole, Role, State
from weave_ryu.names import PeerName, ShortId
from weave_ryu.pipeline import rules
from weave_ryu.pipeline.cookies import SUBJECT_MASK, Kind, subject_cookie
from weave_ryu.pipeline.state import GatewayPort
from weave_ryu.shell import hub
from weave_ryu.shell.announce import Announcer
from weave_ryu.shell.macs import MacReader
from weave_ryu.shell.openflow import Switch

_log = structlog.get_logger()

PERMIT_S = 1
"""Life of a permit in the switch: whole seconds is all that OpenFlow offers."""

RENEW_S = 0.25
"""Three renewals may be lost or late before the switch closes the port by itself."""

ARM_S = 1.0
"""How long a gateway that is in the mesh listens for other gateways before it opens."""

ARM_ALONE_S = 4.0
"""The same for a gateway that found no peer at all: its connections may still come up."""

FORGET_AT_S = (0.0, 0.6, 2.0)
"""When to forget after news of a role change.

Once is not enough: the switch credits frames of before to cached flows up to half a second later
(ovs-vswitchd.conf.db(5), max-revalidator), and in doing so learns from them once more.
"""

SYNC_S = 2.0
"""How often an active gateway looks whether the MACs that it must tell the standbys changed."""


class Mesh(Protocol):
    """What a gateway needs of the mesh."""

    def broadcast(self, payload: bytes) -> None:
        """Tell all peers."""

    def tell(self, peer: PeerName, payload: bytes) -> None:
        """Tell one peer."""

    def raise_version(self) -> None:
        """Make unmodified Weave peers recalculate their routes, so that they drop their flows."""

    def peer_count(self) -> int:
        """Neighbours with an established connection."""

    def short_id_of(self, peer: PeerName) -> ShortId | None:
        """A peer's short id."""


@dataclass(slots=True)
class _Port:
    """A gateway port with what the shell keeps beside its role."""

    spec: GatewaySpec
    role: PortRole
    renewed_at: float = 0.0
    listening_since: float | None = None
    synced: tuple[frozenset[str], frozenset[str]] | None = None


class Gateways:
    """All gateway ports of this peer, and the knowledge of all gateways.

    Args:
        specs: the ports, as configured.
        registry: what is known of all gateways.
        switch: the local bridge.
        mesh: the way to the other peers.
        remember: keeps the role that the operator set last, over restarts.
        own_short_id: of this peer.
    """

    def __init__(
        self,
        specs: Sequence[GatewaySpec],
        registry: Registry,
        switch: Switch,
        mesh: Mesh,
        remember: Callable[[str, Role], None],
        own_short_id: Callable[[], ShortId],
    ) -> None:
        self.registry = registry
        self._switch = switch
        self._mesh = mesh
        self._remember = remember
        self._own_short_id = own_short_id
        self._ports = {
            spec.port: _Port(spec, PortRole(spec.port, spec.segment, spec.role, time.time()))
            for spec in specs
        }
        self._lock = hub.Semaphore()
        self._started_at = time.monotonic()
        self._macs = MacReader(switch)
        self._announcer = Announcer(switch)
        self._told: dict[tuple[PeerName, str], records.MacTable] = {}

    def start(self) -> None:
        """Begin to watch the ports."""
        if self._ports:
            self._publish()
            hub.spawn(self._keep_loop)
            hub.spawn(self._sync_loop)

    # What the API asks for.

    def names(self) -> list[str]:
        """The gateway ports, sorted."""
        return sorted(self._ports)

    def roles(self) -> list[PortRole]:
        """Their roles, sorted by port name."""
        return [self._ports[name].role for name in self.names()]

    def set_role(self, port: str, role: Role) -> PortRole:
        """Change a role by hand; returns when the switch has confirmed it.

        Raises:
            ConfigError: no such port, or this role cannot be taken.
            OpenFlowError: the switch did not confirm; the port is closed or unchanged.
        """
        entry = self._ports.get(port)
        if entry is None:
            known = ", ".join(self.names()) or "none"
            raise ConfigError("port", port, f"is no gateway port of this peer (it has: {known})")
        if role is Role.AUTO:
            raise ConfigError("role", str(role), "there is no election yet: use active or standby")
        with self._lock:
            if role is Role.ACTIVE:
                self._activate(entry)
            else:
                self._deactivate(entry)
            entry.role.role = role
        self._remember(port, role)
        return entry.role

    def peer_states(self, segment: str) -> dict[str, dict[str, object]]:
        """What the other gateways of a segment say of themselves, by peer name."""
        return {
            str(record.name): {"port": port.port, "state": port.state, "epoch": port.epoch}
            for record in self.registry.records()
            for port in record.ports
            if port.segment == segment and record.name != self._own_name()
        }

    # What the daemon tells.

    def received(self, source: PeerName, payload: bytes) -> None:
        """A message on the gateway channel came in.

        Raises:
            RemoteProtocolError: it is malformed; nothing of it was used.
        """
        message = records.decode(payload)
        changes, own_is_stale = self.registry.merge(message.records)
        for change in changes:
            self._log_change(change)
            self.forget_behind(change.forget)
        for table in message.tables:
            if table.name == source:
                self._told[table.name, table.segment] = table
        if own_is_stale:
            self._publish()

    def peers_left(self, names: Iterable[PeerName]) -> None:
        """Peers are no longer part of the mesh."""
        gone = set(names)
        self.registry.remove(gone)
        self._told = {key: table for key, table in self._told.items() if key[0] not in gone}

    def switch_lost(self) -> None:
        """The switch is not connected: nothing is known of the ports."""
        for entry in self._ports.values():
            if entry.role.apply(Input.SWITCH_LOST, time.time()):
                self._changed(entry)

    def forget_behind(self, peers: Iterable[PeerName]) -> None:
        """Forget, now and again, all MACs learnt behind some peers: one message for each."""
        short_ids = [self._mesh.short_id_of(peer) for peer in sorted(peers)]
        selectors = [
            (subject_cookie(Kind.LEARNT_PEER, short_id), SUBJECT_MASK)
            for short_id in short_ids
            if short_id is not None
        ]
        if selectors:
            hub.spawn(self._forget_repeatedly, selectors)

    # Roles.

    def _activate(self, entry: _Port) -> None:
        if entry.role.state is State.ACTIVE:
            return
        if not entry.role.can(Input.ACTIVATED):
            raise OpenFlowError(
                f"activation of {entry.spec.port}", f"the port is in state {entry.role.state}"
            )
        self._open(entry)
        entry.role.epoch = self.registry.epoch(entry.spec.segment) + 1
        self._apply(entry, Input.ACTIVATED, "the operator asked for active")
        self._promoted(entry)

    def _deactivate(self, entry: _Port) -> None:
        self._close(entry)
        self._apply(entry, Input.DEACTIVATED, "the operator asked for standby")

    def _open(self, entry: _Port) -> None:
        """Install the permits, after forgetting what would turn the segment's frames back."""
        port = self._bridge_port(entry)
        others = [
            short_id
            for name in self.registry.gateways_of(entry.spec.segment)
            if name != self._own_name() and (short_id := self._mesh.short_id_of(name)) is not None
        ]
        self._told.update(self._known_before(entry))
        self._switch.delete(
            [(subject_cookie(Kind.LEARNT_PEER, short_id), SUBJECT_MASK) for short_id in others]
        )
        entry.renewed_at = time.monotonic()
        self._switch.install(rules.permits(port, self._own_short_id(), PERMIT_S))

    def _close(self, entry: _Port) -> None:
        """Remove the permits and what was learnt behind the port."""
        port = self._bridge_port(entry)
        self._switch.delete(
            [
                (subject_cookie(Kind.PERMIT, port.number), SUBJECT_MASK),
                (subject_cookie(Kind.LEARNT_PORT, port.number), SUBJECT_MASK),
            ]
        )

    def _promoted(self, entry: _Port) -> None:
        """Tell everybody, and move the MACs of both sides to this gateway."""
        segment = entry.spec.segment
        mesh: set[str] = set()
        hosts: set[str] = set()
        for (_, told_segment), table in self._told.items():
            if told_segment == segment:
                mesh |= table.mesh
                hosts |= table.hosts
        self._mesh.raise_version()
        number = self._bridge_port(entry).number
        others = self._short_ids_of_gateways(segment)
        snapshot = self._macs.read(number, others)
        mesh |= snapshot.mesh
        hosts |= snapshot.hosts
        self._announcer.announce(number, mesh - hosts, hosts - mesh, lambda: self._is_open(entry))

    def _known_before(self, entry: _Port) -> dict[tuple[PeerName, str], records.MacTable]:
        """What this gateway itself had learnt behind the others, before it forgets it."""
        segment = entry.spec.segment
        try:
            snapshot = self._macs.read(
                self._bridge_port(entry).number, self._short_ids_of_gateways(segment)
            )
        except OpenFlowError:
            return {}
        own = records.MacTable(self._own_name(), segment, snapshot.mesh, snapshot.hosts)
        return {(self._own_name(), segment): own}

    # Green threads.

    def _keep_loop(self) -> None:
        while True:
            for name in self.names():
                entry = self._ports[name]
                try:
                    with self._lock:
                        self._keep(entry)
                except WeaveRyuError as error:
                    _log.warning("gateway_port_not_kept", port=name, error=str(error))
            hub.sleep(RENEW_S)

    def _keep(self, entry: _Port) -> None:
        """One look at one port: renew its permit, or bring it on its way up."""
        role = entry.role
        link = self._find_bridge_port(entry)
        if not self._switch.is_connected:
            return
        if link is None or not self._switch.ports[link.number].up:
            if role.state is not State.FAULT:
                if link is not None:
                    self._close(entry)
                self._apply(entry, Input.LINK_LOST)
            return
        if role.state is State.ACTIVE:
            self._renew(entry, link)
        elif role.state in (State.BLOCKED, State.FAULT):
            # Permits of an earlier life must be gone before anything else is decided.
            self._close(entry)
            entry.listening_since = None
            wants_active = role.role is Role.ACTIVE
            self._apply(entry, Input.READY_TO_ARM if wants_active else Input.READY_TO_STAND_BY)
        elif role.state is State.ARMING:
            self._arm(entry)

    def _renew(self, entry: _Port, link: GatewayPort) -> None:
        late_s = time.monotonic() - entry.renewed_at
        if late_s >= PERMIT_S:
            self._close(entry)
            entry.listening_since = None
            self._apply(entry, Input.LATE, f"the permit was renewed {late_s:.1f} s late: paused?")
            return
        sent_at = time.monotonic()
        self._switch.install(rules.permits(link, self._own_short_id(), PERMIT_S))
        entry.renewed_at = sent_at

    def _arm(self, entry: _Port) -> None:
        now = time.monotonic()
        if entry.listening_since is None:
            entry.listening_since = now
        listened_s = now - entry.listening_since
        enough_s = ARM_S if self._mesh.peer_count() else ARM_ALONE_S
        newer = {
            name: epoch
            for name, epoch in self.registry.other_actives(entry.spec.segment).items()
            if epoch > entry.role.epoch
        }
        if newer:
            holder = max(newer, key=lambda name: newer[name])
            self._apply(
                entry,
                Input.SUPERSEDED,
                f"{holder} forwards since epoch {newer[holder]}; activate this port to take over",
            )
        elif listened_s >= enough_s:
            self._open(entry)
            entry.role.epoch = self.registry.epoch(entry.spec.segment) + 1
            self._apply(entry, Input.ARMED, f"no other gateway of {entry.spec.segment} forwards")
            self._promoted(entry)

    def _sync_loop(self) -> None:
        """Tell the other gateways which MACs this one knows, whenever that changed."""
        while True:
            hub.sleep(SYNC_S)
            for entry in self._ports.values():
                others = [
                    name
                    for name in self.registry.gateways_of(entry.spec.segment)
                    if name != self._own_name()
                ]
                if entry.role.state is not State.ACTIVE or not others:
                    entry.synced = None
                    continue
                try:
                    self._sync(entry, others)
                except OpenFlowError as error:
                    _log.debug("mac_sync_skipped", port=entry.spec.port, error=str(error))

    def _sync(self, entry: _Port, others: Iterable[PeerName]) -> None:
        segment = entry.spec.segment
        snapshot = self._macs.read(
            self._bridge_port(entry).number, self._short_ids_of_gateways(segment)
        )
        if entry.synced == (snapshot.mesh, snapshot.hosts):
            return
        table = records.MacTable(self._own_name(), segment, snapshot.mesh, snapshot.hosts)
        payload = records.encode((), (table,))
        for name in others:
            self._mesh.tell(name, payload)
        entry.synced = (snapshot.mesh, snapshot.hosts)

    def _forget_repeatedly(self, selectors: Sequence[tuple[int, int]]) -> None:
        started = time.monotonic()
        for at in FORGET_AT_S:
            hub.sleep(max(0.0, started + at - time.monotonic()))
            try:
                self._switch.delete(selectors)
            except OpenFlowError as error:
                _log.warning("forgetting_failed", error=str(error))

    # Small things.

    def _apply(self, entry: _Port, happened: Input, cause: str = "") -> None:
        if entry.role.apply(happened, time.time(), cause):
            self._changed(entry)

    def _changed(self, entry: _Port) -> None:
        role = entry.role
        _log.info(
            "gateway_state",
            port=role.port,
            segment=role.segment,
            state=str(role.state),
            epoch=role.epoch,
            reason=role.reason,
        )
        self._publish()

    def _publish(self) -> None:
        own = self.registry.set_own(
            records.PortRecord(role.segment, role.port, str(role.state), role.epoch)
            for role in self.roles()
        )
        self._mesh.broadcast(records.encode([own]))

    def _log_change(self, change: Change) -> None:
        for port in change.record.ports:
            _log.info(
                "other_gateway",
                peer=str(change.record.name),
                segment=port.segment,
                state=port.state,
                epoch=port.epoch,
            )

    def _is_open(self, entry: _Port) -> bool:
        return entry.role.state is State.ACTIVE

    def _own_name(self) -> PeerName:
        return self.registry.own

    def _short_ids_of_gateways(self, segment: str) -> frozenset[ShortId]:
        found = (
            self._mesh.short_id_of(name)
            for name in self.registry.gateways_of(segment)
            if name != self._own_name()
        )
        return frozenset(short_id for short_id in found if short_id is not None)

    def _find_bridge_port(self, entry: _Port) -> GatewayPort | None:
        for port in self._switch.ports.values():
            if port.name == entry.spec.port:
                return GatewayPort(port.number, port.name, entry.spec.segment)
        return None

    def _bridge_port(self, entry: _Port) -> GatewayPort:
        port = self._find_bridge_port(entry)
        if port is None:
            raise OpenFlowError(
                f"change of {entry.spec.port}", "the bridge has no such port, or is not connected"
            )
        return port
