"""The daemon: wires the cores to the switch, the database, the sockets and each other."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Collection, Mapping
from dataclasses import replace

import structlog

from weave_ryu.config import DaemonConfig, GatewaySpec
from weave_ryu.errors import RemoteProtocolError, WeaveRyuError
from weave_ryu.gateway import movemessages, sealing, wiring
from weave_ryu.gateway.admission import REFRESH_S
from weave_ryu.gateway.core import GatewayCore
from weave_ryu.gateway.detection import Bfd
from weave_ryu.gateway.records import CHANNEL, decode, encode
from weave_ryu.gateway.role import Role
from weave_ryu.gateway.surroundings import PortSpec
from weave_ryu.gateway.timers import FENCES, PROFILES, FenceTimes
from weave_ryu.mesh import events as mesh_events
from weave_ryu.mesh import routes, segments
from weave_ryu.mesh.commands import SendHeartbeat
from weave_ryu.mesh.config import Address, RouterConfig
from weave_ryu.mesh.router import Router
from weave_ryu.names import PeerName, PeerUID, ShortId
from weave_ryu.ovsdb.bridge import BFD_PREFIX, BfdSpec
from weave_ryu.pipeline.model import Output, SetTunnel
from weave_ryu.pipeline.rules import tunnel_id
from weave_ryu.pipeline.state import ForwardingState, LocalPort
from weave_ryu.shell import (
    fence,
    hub,
    leftovers,
    meshd,
    moving,
    peernames,
    reach,
    replug,
    restoring,
    setup,
    strangers,
    traced,
    underlay,
    waiting,
    wires,
)
from weave_ryu.shell.coordinator import (
    BridgePorts,
    ForwardingView,
    PeerInfo,
    Underlay,
    forwarding_state,
)
from weave_ryu.shell.encode import actions_of
from weave_ryu.shell.forwarder import Forwarder
from weave_ryu.shell.gatewayd import Gateways
from weave_ryu.shell.macs import MacReader
from weave_ryu.shell.openflow import HandOverFrame, MovedFrame, ProbeFrame, Switch, TunnelFrame
from weave_ryu.shell.ovsdbd import Ovsdb
from weave_ryu.shell.portuse import PortUse
from weave_ryu.shell.standings import Standings

_log = structlog.get_logger()

MAX_UNSEALED_BYTES = 128 << 10
"""Where gateways have a key: what others pass on has no more, and anybody may send it."""

ASK_DELAY_S = 0.3
"""After a peer appeared: others that come with it are asked about together."""


class Daemon:
    """Everything of one peer. Implements `gatewayd.Mesh`.

    Args:
        config: checked configuration.
        ovsdb_remote: the database.
        controller: OpenFlow target for the bridge, where `app.WeaveApp` is reached.

    Raises:
        WeaveRyuError: something of the host is not as it must be; nothing was changed.
    """

    def __init__(self, config: DaemonConfig, ovsdb_remote: str, controller: str) -> None:
        self.config = config
        self.started_at = time.time()
        self._ovsdb = Ovsdb(ovsdb_remote)
        self.datapath = setup.choose_datapath(config, self._ovsdb)
        specs = setup.remembered_roles(config, self._ovsdb)
        unfenced = setup.check_fence(specs, self.datapath, self._ovsdb)
        timers = PROFILES[config.failover]
        if self.datapath == "system" and specs and unfenced is None:
            timers = replace(timers, fence=FENCES[config.failover])
        missing = setup.check_gateway_links(config, self._ovsdb)
        self.names = peernames.Names(self._connect, self._forget, self._is_connected)
        targets, self._names_to_ask = self.names.split(config.peer)
        waiting.wait_for_addresses(config, self._ovsdb)
        identity = setup.identity(config, self._ovsdb)
        self.router = Router(
            RouterConfig(
                name=identity.name,
                nick_name=identity.nick_name,
                uid=PeerUID(secrets.randbelow((1 << 64) - 1) + 1),
                short_id=identity.short_id,
                port=config.port,
                password=config.password,
                peer_discovery=not config.no_discovery,
                connection_limit=config.conn_limit,
                trusted_subnets=config.trusted_subnets,
                targets=tuple(targets),
                mtu_bytes=config.mtu,
            ),
            rng=random.Random(secrets.randbits(64)),  # noqa: S311  (jitter, not keys)
        )
        self.mesh = meshd.MeshDaemon(
            self.router, config.host, config.port, self._mesh_events, self._send_heartbeat
        )
        self.switch = Switch(
            self._ports_changed,
            self._tunnel_frame,
            self._hello,
            self._hand_over_frame,
            self._moved_frame,
            self._probe_frame,
        )
        self.macs = MacReader(self.switch)
        self.view = ForwardingView(identity.name, config.restart_hold)
        self.forwarder = Forwarder(
            self.switch,
            self._wanted,
            self.view.deadline,
            self._switch_ready,
            self._flows_lost,
            config.restart_hold,
        )
        self._sequence = setup.first_sequence(config.bridge, self._ovsdb, int(time.time() * 1000))
        core = GatewayCore(
            identity.name,
            self.router.uid,
            self._sequence,
            [_port_spec(spec) for spec in specs],
            timers,
            time.monotonic(),
            sealing.hello_key(config.gateway_key, config.password),
        )
        self.registry = core.registry
        self.registry.admission.is_present = self.router.peers.is_known
        self.sealing = self._seals()
        self.gateways = Gateways(
            core,
            self.switch,
            self,
            self._remember_role,
            self.own_short_id,
            self._fences(timers.fence),
            unfenced,
        )
        spec = setup.bridge_spec(config, self.datapath, controller, identity.name)
        present = tuple(port for port in spec.gateway_ports if port not in missing)
        self._spec = replace(spec, gateway_ports=present)
        self._links = waiting.Links(missing, self._check_link, self._add_link)
        self.tracer = traced.Tracer(self, ovsdb_remote)
        self.moving = moving.Moving(self, ovsdb_remote)
        self.standings = Standings(self)
        self.wires = wires.Wires(self)
        self._known_peers: frozenset[PeerName] = frozenset()
        self._identity = identity
        self._bfd_specs: tuple[BfdSpec, ...] = ()
        self._underlay_changed = hub.Signal()
        self._strangers = strangers.StrangerLog(lambda at: hub.spawn(self._tell_of_strangers, at))
        self._reach = reach.ReachLog()
        self._leftovers = leftovers.Collector(self._ovsdb, config.bridge)
        self._uses = PortUse(
            config.bridge,
            [spec.port for spec in config.gateway],
            only_attached=config.local_ports == "attached",
            is_tunnel=self._is_tunnel,
        )
        self._replugger = replug.Replugger(
            self._ovsdb, config.bridge, lambda: self._spec.gateway_ports
        )
        self._restorer = restoring.Restorer(self._ovsdb, lambda: self._spec, self._bridge_made_anew)
        self._is_asking = False
        self._layout = 0
        self._graphs = routes.GraphBuilder(established_only=True)

    def _seals(self) -> sealing.MessageSeal:
        """Of the gateways' key, for messages; records and claims are judged by it, too."""
        key, is_strict = self.config.gateway_key, not self.config.gateway_key_optional
        if key is not None:
            self.registry.admission.seal = sealing.RecordSeal(key, is_needed=is_strict)
            self.router.judge_claims(self._may_claim)
        name, first = self.router.name, self._sequence << 16
        return sealing.MessageSeal(name, key, first, is_needed=is_strict)

    def _fences(self, times: FenceTimes | None) -> fence.Fences | None:
        ports = [spec.port for spec in self.config.gateway]
        return None if times is None else fence.Fences(self.config.bridge, ports, times.open_s)

    def start(self) -> None:
        """Change the host: make the bridge, join the mesh, watch the gateway ports."""
        if self.gateways.fences is None:
            # Of an earlier life, with another datapath: nobody would open it any more.
            fence.clean_up(self.config.bridge, [spec.port for spec in self.config.gateway])
        self._ovsdb.ensure(self._spec)
        setup.remember_identity(self._identity, self.config.bridge, self._ovsdb)
        setup.remember_sequence(self._sequence, self.config.bridge, self._ovsdb)
        self._ovsdb.on_change = self._database_changed
        self._ovsdb.on_lost = self._database_lost
        hub.spawn(self._underlay_loop)
        hub.spawn(self._leftovers.run)
        hub.spawn(self._watch_reach)
        hub.spawn_vital("gateways of others", self._watch_gateways)
        hub.spawn(self._restorer.run)
        hub.spawn(self._replugger.run)
        hub.spawn(self._links.run)
        self._database_changed()
        self.forwarder.start()
        self.router.register_channel(CHANNEL)
        self.router.register_channel(traced.CHANNEL)
        self.router.register_channel(movemessages.CHANNEL)
        self.router.register_channel(wiring.CHANNEL)
        self.router.set_complete_state(CHANNEL, lambda: encode(self.registry.records()))
        self.mesh.start()
        self.names.ask(self._names_to_ask)
        self.gateways.start()
        if self.config.gateway and self.config.gateway_key is None:
            _log.warning(
                "no_gateway_key",
                reason="every peer of the mesh can decide who forwards; see --gateway-key-file",
            )
        self.wires.start()
        _log.info(
            "daemon_started",
            name=str(self.router.name),
            nick_name=self.router.nick_name,
            short_id=self.router.short_id,
            bridge=self.config.bridge,
            datapath=self.datapath,
        )

    def stop(self) -> None:
        """Hand gateway ports over, leave the mesh; all other flows stay."""
        self.gateways.stop()
        self.mesh.stop()

    # What gateways need (`gatewayd.Mesh`).

    def broadcast(self, payload: bytes) -> None:
        """Tell all peers on the gateway channel."""
        payload = self.sealing.seal(CHANNEL, payload, None)
        self.router.gossip_broadcast(CHANNEL, payload, time.monotonic())
        self.mesh.pump()

    def tell(self, peer: PeerName, payload: bytes, *, detour: bool = False) -> None:
        """Tell one peer on the gateway channel; with `detour` around the way that routes name."""
        payload = self.sealing.seal(CHANNEL, payload, peer)
        send = self.router.gossip_detour if detour else self.router.gossip_unicast
        send(CHANNEL, peer, payload, time.monotonic())
        self.mesh.pump()

    def claim(self, segment: str, epoch: int, *, arriving: bool) -> None:
        """Connect a segment to this peer in the topology."""
        identity = self._segment(segment)
        self.router.claim_segment(identity, epoch, time.monotonic(), arriving=arriving)
        self.mesh.pump()

    def release(self, segment: str) -> None:
        """Connect it to this peer no more."""
        self.router.release_segment(self._segment(segment).name, time.monotonic())
        self.mesh.pump()

    def doubt(self, segment: str, macs: frozenset[str]) -> None:
        """Find out whether MACs are on a segment or in the mesh."""
        self.moving.doubted(segment, macs)

    def is_away(self, mac: str) -> bool:
        """Whether a MAC of the mesh seems to be, or is known to be, on a segment now."""
        return self.moving.is_away(mac)

    def segment_name(self, segment: str) -> PeerName:
        """A segment's name as a peer."""
        return self._segment(segment).name

    def segment_id(self, segment: str) -> ShortId:
        """A segment's short id: as the mesh knows it, or as it would be claimed with."""
        return self.router.short_id_of_segment(self._segment(segment))

    def _segment(self, segment: str) -> segments.Segment:
        return segments.identity_of(segment, self.config.password)

    def short_id_of(self, peer: PeerName) -> ShortId | None:
        """A peer's short id, also while it is only held."""
        info = self.view.infos.get(peer)
        return info.short_id if info else None

    def short_ids(self, *, of_segments: bool = False) -> set[ShortId]:
        """Short ids of all peers, also of those that are only held, or of the segments."""
        infos = [i for i in self.view.infos.values() if i.is_segment or not of_segments]
        return {info.short_id for info in infos if info.short_id is not None}

    # From the cores and the host.

    def _mesh_events(self, events: list[mesh_events.Event]) -> None:
        for event in events:
            match event:
                case mesh_events.GossipReceived(channel=traced.CHANNEL):
                    self.tracer.received(event.source, event.payload)
                case mesh_events.GossipReceived(channel=movemessages.CHANNEL):
                    is_for_all = event.kind is mesh_events.GossipKind.BROADCAST
                    self.moving.received(event.source, event.payload, is_for_all=is_for_all)
                case mesh_events.GossipReceived(channel=wiring.CHANNEL):
                    self.wires.received(event.source, event.payload)
                case mesh_events.GossipReceived():
                    self._gossip(event)
                case mesh_events.TopologyChanged() | mesh_events.ConnectionAdded():
                    self._note_epochs()
                    self.forwarder.changed()
                case mesh_events.NameTaken():
                    log = _log.error if event.refused else _log.warning
                    log("name_taken", reason=event.reason, refused=event.refused)
                    self.gateways.refused(self.router.refusal())
                case mesh_events.NameFree():
                    _log.info("name_free")
                    self.gateways.refused("")
                case mesh_events.ConnectionEstablished():
                    _log.info("peer_connected", peer=str(event.peer), nick_name=event.nick_name)
                    self.forwarder.changed()
                case mesh_events.ConnectionEnded(established=False):
                    self._strangers.ended(event.remote, event.code, event.reason, time.monotonic())
                    self.forwarder.changed()
                case mesh_events.ConnectionEnded():
                    _log.info(
                        "connection_ended",
                        peer=str(event.peer) if event.peer is not None else None,
                        remote="{}:{}".format(*event.remote),
                        reason=event.reason,
                    )
                    self.forwarder.changed()
                case mesh_events.ShortIdChanged():
                    _log.info("short_id_changed", old=event.old, new=event.new)
                    if event.new is not None:
                        hub.spawn(setup.remember_short_id, self.config, self._ovsdb, event.new)
                    self.forwarder.changed()
                case _:
                    _log.debug("mesh", detail=str(event))

    def _note_epochs(self) -> None:
        """A segment's entry may outlive the records of the gateway that wrote it."""
        for spec in self.config.gateway:
            entry = self.router.peers.get(self._segment(spec.segment).name)
            owner = None if entry is None else entry.owner
            is_sure = owner is not None and owner in self.registry.gateways_of(spec.segment)
            if entry is not None and (is_sure or self.config.gateway_key is None):
                epoch = segments.epoch_of(entry.version)
                self.registry.raise_epoch(spec.segment, epoch)

    def _may_claim(self, segment: PeerName, peer: PeerName) -> bool:
        """Whether a peer is a gateway of a segment of ours; of others it need not be known."""
        ours = (s.segment for s in self.config.gateway if self.segment_name(s.segment) == segment)
        return all(peer in self.registry.gateways_of(name) for name in ours)

    def _watch_reach(self) -> None:
        while True:
            hub.sleep(reach.LOOK_EVERY_S)
            self._reach.look(self.router.connections(), time.monotonic())

    def _watch_gateways(self) -> None:
        """Say that the own record stands, and drop those of whom nobody says it."""
        refused = 0
        while True:
            hub.sleep(REFRESH_S)
            own, admission = self.registry.own_record, self.registry.admission
            if own is not None and own.ports:
                self.broadcast(encode([own]))
            self.gateways.forget_strangers()
            if admission.refused != refused:
                _log.warning("gateway_records_refused", count=admission.refused - refused)
                refused = admission.refused
            self._look_at_layout()

    def _tell_of_strangers(self, at: float) -> None:
        hub.sleep(max(0.0, at - time.monotonic()))
        self._strangers.due(time.monotonic())

    def _gossip(self, event: mesh_events.GossipReceived) -> None:
        is_direct = event.kind is not mesh_events.GossipKind.NEIGHBOUR
        is_for_all = event.kind is mesh_events.GossipKind.BROADCAST
        source, payload = event.source, event.payload
        opened = self.sealing.open(CHANNEL, source, payload, is_for_all=is_for_all)
        try:
            if not opened.is_trusted and len(payload) > MAX_UNSEALED_BYTES:
                raise RemoteProtocolError("gateway-gossip", f"{len(payload)} bytes without seal")
            is_sure = opened.is_trusted
            self.gateways.received(source, opened.payload, is_direct, is_sure=is_sure)
        except RemoteProtocolError as error:
            _log.warning("gateway_gossip_ignored", source=str(event.source), reason=str(error))
            return
        if event.kind is mesh_events.GossipKind.NEIGHBOUR:
            # A neighbour told us all it knows; those behind us may not have heard it.
            self._relay_if_new(event)
            self._answer_if_more(event)
        self._look_at_layout()

    def _look_at_layout(self) -> None:
        if self._layout != self.registry.layout:
            self._layout = self.registry.layout
            self.forwarder.changed()

    def _relay_if_new(self, event: mesh_events.GossipReceived) -> None:
        state = encode(self.registry.records())
        if state != getattr(self, "_last_relayed", b""):
            self._last_relayed = state
            self.router.gossip_neighbours(CHANNEL, state, time.monotonic(), exclude=event.source)

    def _answer_if_more(self, event: mesh_events.GossipReceived) -> None:
        """A neighbour that knows fewer gateways than we do is told ours."""
        told = {record.name for record in decode(event.payload).records}
        records = self.registry.records()
        if any(record.name not in told for record in records):
            self.tell(event.source, encode(records))

    def _ask_for_gateways(self) -> None:
        """Show the neighbours what we know of gateways, so that they tell what they know more."""
        hub.sleep(ASK_DELAY_S)
        self._is_asking = False
        payload = encode(self.registry.records())
        self.router.gossip_neighbours(CHANNEL, payload, time.monotonic())
        self.mesh.pump()

    def _tunnel_frame(self, frame: TunnelFrame) -> None:
        self.router.heartbeat_received(
            ShortId(frame.tun_id & 0xFFF),
            ShortId(frame.tun_id >> 12 & 0xFFF),
            frame.from_ip,
            frame.frame,
            time.monotonic(),
        )
        self.mesh.pump()

    def _hello(self, port: int, frame: bytes) -> None:
        self.gateways.hello(port, frame)

    def _hand_over_frame(self, frame: HandOverFrame) -> None:
        self.gateways.hand_over_frame(frame)

    def _moved_frame(self, frame: MovedFrame) -> None:
        self.moving.seen(frame)

    def _probe_frame(self, frame: ProbeFrame) -> None:
        self.wires.seen(frame)

    def _send_heartbeat(self, command: SendHeartbeat) -> None:
        port = self._tunnels().get(command.udp_port)
        if port is None:
            # Somebody was dialled on another port than ours: it listens on the one above.
            if command.udp_port not in self._spec.tunnels.values():
                hub.spawn(self._add_tunnel, command.udp_port)
            return
        vni = tunnel_id(command.destination, command.source)
        actions = actions_of((SetTunnel(command.remote_ip, command.local_ip, vni), Output(port)))
        self.switch.send_frame(command.frame, actions)

    def _add_tunnel(self, udp_port: int) -> None:
        self._spec.tunnels[setup.tunnel_name(udp_port)] = udp_port
        try:
            self._ovsdb.ensure(self._spec)
        except WeaveRyuError as error:
            _log.warning("tunnel_port_not_made", udp_port=udp_port, error=str(error))

    def _connect(self, addresses: list[Address]) -> None:
        self.router.connect_targets(addresses, False, time.monotonic())
        self.mesh.pump()

    def _forget(self, addresses: list[Address]) -> None:
        self.router.forget_targets(addresses, time.monotonic())
        self.mesh.pump()

    def _is_connected(self, hosts: Collection[str]) -> bool:
        links = self.router.connections()
        return any(link.name is not None and link.remote[0] in hosts for link in links)

    def _check_link(self, name: str) -> None:
        setup.check_gateway_links(self.config, self._ovsdb, name)

    def _add_link(self, name: str) -> None:
        spec = replace(self._spec, gateway_ports=(*self._spec.gateway_ports, name))
        self._ovsdb.ensure(spec)
        self._spec = spec

    def _ports_changed(self) -> None:
        self.wires.look()  # before the flows: a new port may have to wait
        self.forwarder.changed()
        self.gateways.ports_changed()

    def _database_changed(self) -> None:
        self._read_bfd()
        self._underlay_changed.set()
        self._leftovers.database_changed()
        self._restorer.database_changed()
        if self._uses.look(self._ovsdb.interfaces()):
            self.forwarder.changed()

    def _bridge_made_anew(self) -> None:
        """Somebody has deleted it: what was noted with it is noted again."""
        setup.remember_identity(self._identity, self.config.bridge, self._ovsdb)
        setup.remember_sequence(self._sequence, self.config.bridge, self._ovsdb)
        for name in self.gateways.names():
            self._remember_role(name, self.gateways.port(name).intent.role)
        self._bfd_specs = ()
        self.forwarder.changed()

    def _database_lost(self) -> None:
        """The switch stands still until it has its database again, which it first asks for in 1 s.

        It then carries out what it was sent meanwhile: nothing that opens a port must be among it.
        """
        _log.warning("database_lost", bridge=self.config.bridge)
        self.gateways.switch_lost()
        # Its flows are read until it answers; that makes the ports ready again.
        self.forwarder.switch_changed()

    def _underlay_loop(self) -> None:
        """One at a time: pyroute2 is not to be used by two green threads."""
        keeper = underlay.Keeper(waiting.note_seen(self._ovsdb))
        while True:
            # The kernel tells nobody that somebody has changed a setting.
            self._underlay_changed.wait(underlay.LOOK_EVERY_S)
            keeper.look_after(self._ovsdb.underlays(self.config.bridge))

    def _read_bfd(self) -> None:
        interfaces = self._ovsdb.interfaces()
        for spec in self._bfd_specs:
            found = interfaces.get(spec.port)
            state = found.bfd.get("state") if found is not None else None
            if state is not None:
                self.gateways.bfd(spec.peer, Bfd.UP if state == "up" else Bfd.DOWN)

    def _watch_companions(self, underlays: Mapping[PeerName, Underlay]) -> None:
        """Run BFD with the gateways that are direct neighbours."""
        core = self.gateways.core
        specs = tuple(
            BfdSpec(name, at.remote_ip, at.local_ip, at.udp_port, core.timers.bfd_interval_ms)
            for name in core.companions()
            if (at := underlays.get(name)) is not None
        )
        if specs != self._bfd_specs:
            self._bfd_specs = specs
            hub.spawn(self._set_bfd, specs)

    def _set_bfd(self, specs: tuple[BfdSpec, ...]) -> None:
        try:
            self._ovsdb.ensure_bfd(self.config.bridge, specs)
        except WeaveRyuError as error:
            _log.warning("bfd_not_set", error=str(error))
        else:
            # After a restart the sessions are there already, and nothing in the database changes.
            self._read_bfd()

    def switch_connected(self) -> None:
        """The switch connected (`app.WeaveApp`)."""
        _log.info("switch_connected", bridge=self.config.bridge)
        self.forwarder.switch_changed()

    def switch_disconnected(self) -> None:
        """The switch went away (`app.WeaveApp`)."""
        _log.warning("switch_disconnected", bridge=self.config.bridge)
        self.forwarder.switch_changed()
        self.gateways.switch_lost()

    def _flows_lost(self) -> None:
        """What others have taken from the switch does not come back: it cannot be a gateway's."""
        self.gateways.switch_lost()

    def _switch_ready(self) -> None:
        _log.info("switch_ready", flows=len(self.forwarder.desired))
        self.gateways.switch_ready()
        self.wires.look()

    def _remember_role(self, port: str, role: Role) -> None:
        setup.remember_role(self.config, self._ovsdb, port, role)

    # The desired state.

    def own_short_id(self) -> ShortId:
        """Of this peer; 0 while it has none."""
        return self.router.short_id if self.router.short_id is not None else ShortId(0)

    def _wanted(self) -> ForwardingState:
        peers = self.router.peers
        infos = {
            peer.name: PeerInfo(
                peer.nick_name,
                peer.short_id if self._owns(peer.name) else None,
                peer.owner is not None,
                segments.is_arriving(peer),
            )
            for peer in peers
        }
        working = {}
        addresses = []
        established = 0
        for connection in self.router.connections():
            if connection.name is None or connection.overlay is None:
                continue
            overlay = connection.overlay
            addresses.append(overlay.remote_ip)
            established += connection.established
            if overlay.established and overlay.healthy:
                working[connection.name] = Underlay(
                    overlay.remote_ip, overlay.local_ip, overlay.udp_port
                )
        graph = routes.both_ways(self._graphs.build(peers))
        now = time.monotonic()
        self.view.observe(graph, infos, working, now)
        self._drop_left(frozenset(self.view.infos))
        self.gateways.mesh_changed(established)
        self.wires.look()
        self._watch_companions(self.view.underlays)
        return forwarding_state(
            self.view,
            self.router.name,
            self.own_short_id(),
            self.bridge_ports(),
            self.registry.lets_in(),
            addresses,
        )

    def _owns(self, name: PeerName) -> bool:
        peer = self.router.peers.get(name)
        if peer is None or peer.short_id is None:
            return False
        owner = self.router.peers.by_short_id(peer.short_id)
        return owner is not None and owner.name == name

    def _drop_left(self, present: frozenset[PeerName]) -> None:
        left, joined = self._known_peers - present, present - self._known_peers
        self._known_peers = present
        # Some were in the mesh for less time than there is between two looks.
        left |= {
            r.name for r in self.registry.records() if r.name not in self.router.peers
        } - present
        if left:
            self.gateways.peers_left(left)
        if joined and not self._is_asking:
            # What was known of them went when they left; they tell it anew only to neighbours.
            self._is_asking = True
            hub.spawn(self._ask_for_gateways)

    def bridge_ports(self) -> BridgePorts:
        """The ports of the bridge, by what they are for."""
        gateway_specs = {spec.port: spec for spec in self.config.gateway}
        tunnels = self._tunnels()
        local, gateways = [], []
        for port in sorted(self.switch.ports.values(), key=lambda port: port.number):
            spec = gateway_specs.get(port.name)
            if spec is not None:
                found = self.gateways.gateway_port(port.number, _port_spec(spec))
                is_home = self._segment(spec.segment).name in self.router.peers.own.connections
                gateways.append(replace(found, is_home=is_home))
            elif self.is_for_containers(port.name) and not self.wires.is_closed(port.name):
                local.append(LocalPort(port.number, port.name))
        return BridgePorts(tunnels, tuple(local), tuple(gateways))

    def is_for_containers(self, name: str) -> bool:
        """Whether a port that is no gateway port is for containers, or for this host."""
        return not self._is_tunnel(name) and self._uses.is_open(name)

    def is_by_hand(self, name: str) -> bool:
        """The same, and somebody else than `weave-ryu attach` has plugged it in."""
        return self.is_for_containers(name) and not self._uses.is_known(name)

    def _is_tunnel(self, name: str) -> bool:
        return name in self._spec.tunnels or name.startswith(BFD_PREFIX)

    def _tunnels(self) -> dict[int, int]:
        names = dict(self._spec.tunnels.items())
        return {
            names[port.name]: port.number
            for port in self.switch.ports.values()
            if port.name in names
        }


def _port_spec(spec: GatewaySpec) -> PortSpec:
    return PortSpec(
        spec.port,
        spec.segment,
        spec.role,
        spec.priority,
        spec.preempt,
        spec.preempt_delay,
        spec.hello,
    )
