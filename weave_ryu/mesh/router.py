"""One peer's mesh control plane: composes connections, topology, gossip and the maker.

Inputs return None and queue outputs; ``poll_commands`` and ``poll_events`` drain them. ``now`` is
monotonic seconds (mesh/router.go, local_peer.go).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from weave_ryu.errors import LocalProtocolError, RemoteProtocolError
from weave_ryu.mesh import events, status
from weave_ryu.mesh.commands import CloseConnection, Command, Dial, SendBytes, SendHeartbeat
from weave_ryu.mesh.config import Address, ConnectionId, RouterConfig
from weave_ryu.mesh.connection import (
    HANDSHAKE_STATES,
    ConnectionMachine,
    FeaturesRead,
    Link,
    MessageRead,
)
from weave_ryu.mesh.crypto import KeyPair
from weave_ryu.mesh.crypto import new_key_pair as default_key_pair
from weave_ryu.mesh.features import OVERLAY, Features
from weave_ryu.mesh.framing import MAX_MESSAGE_BYTES
from weave_ryu.mesh.gossip import GOSSIP_INTERVAL_S, TOPOLOGY, PayloadData, TopologyData
from weave_ryu.mesh.gossiper import Gossiper
from weave_ryu.mesh.joining import Admission, Candidate, Refusal, judge
from weave_ryu.mesh.limiter import TokenBucket
from weave_ryu.mesh.maker import Maker
from weave_ryu.mesh.messages import (
    OverlayControl,
    Tag,
    UnicastGossip,
    decode_control,
    decode_gossip,
    decode_unicast,
    encode_control,
    encode_unicast,
)
from weave_ryu.mesh.overlay import FASTDP_INDEX, SUB_TAG_ACK, FastdpOverlay, heartbeat_frame
from weave_ryu.mesh.peers import Connection, MergeResult, Peer, Peers
from weave_ryu.mesh.routes import Graph
from weave_ryu.mesh.routing import RoutingTables
from weave_ryu.mesh.topology import decode_update
from weave_ryu.mesh.views import ConnectionView, TargetView
from weave_ryu.names import PeerName, PeerUID, ShortId

UPDATE_DELAY_S = 1.0
COLLECTION_DELAY_S = 1.0
MAX_HANDSHAKES = 64
"""Accepted connections that have not said who they are; above it the oldest one is dropped."""


@dataclass(slots=True)
class Neighbour:
    """A TCP connection with what belongs to it; peer and overlay are None during the handshake."""

    machine: ConnectionMachine
    target: Address | None
    peer: PeerName | None = None
    overlay: FastdpOverlay | None = None

    @property
    def connection(self) -> ConnectionId:
        """Its number."""
        return self.machine.link.connection


class Router:
    """See the module's docstring."""

    def __init__(
        self,
        config: RouterConfig,
        *,
        rng: random.Random,
        new_key_pair: Callable[[], KeyPair] = default_key_pair,
    ) -> None:
        self._config = config
        self._rng = rng
        self._new_key_pair = new_key_pair
        own = Peer(config.name, config.nick_name, config.uid, 0, config.short_id)
        self.peers = Peers(own, rng)
        self._tables = RoutingTables(self.peers)
        self._gossiper = Gossiper(config.name, self._tables, rng)
        self._maker = Maker(config.port, config.peer_discovery, rng)
        self._bucket = TokenBucket()
        self._neighbours: dict[ConnectionId, Neighbour] = {}
        self._by_peer: dict[PeerName, ConnectionId] = {}
        self._commands: list[Command] = []
        self._events: list[events.Event] = []
        self._update_at: float | None = None
        self._update_names: set[PeerName] = set()
        self._collect_at: float | None = None
        self._round_at: float | None = None
        self._check_targets = False
        self._short_id_told: ShortId | None = config.short_id

    # Views.

    @property
    def name(self) -> PeerName:
        """Our identity."""
        return self._config.name

    @property
    def nick_name(self) -> str:
        """Our label for humans."""
        return self._config.nick_name

    @property
    def uid(self) -> PeerUID:
        """Our incarnation."""
        return self._config.uid

    @property
    def short_id(self) -> ShortId | None:
        """Our number at the moment; None while all are taken."""
        return self.peers.own.short_id

    @property
    def version(self) -> int:
        """Of our own entry."""
        return self.peers.own.version

    @property
    def frame_graph(self) -> Graph:
        """Established and symmetric connections, as of the last recalculation."""
        return self._tables.frame_graph

    @property
    def frame_next_hops(self) -> dict[PeerName, PeerName]:
        """Unicast routes for frames, as of the last recalculation; ourself → the unknown peer."""
        return self._tables.frame_unicast

    def connections(self) -> list[ConnectionView]:
        """All TCP connections, by number."""
        return [
            status.connection_view(one.machine, one.overlay, self._nick_name_of(one.peer))
            for _, one in sorted(self._neighbours.items())
        ]

    def targets(self) -> list[TargetView]:
        """All addresses that are looked after, sorted."""
        return self._maker.views()

    def _nick_name_of(self, name: PeerName | None) -> str | None:
        peer = None if name is None else self.peers.get(name)
        return None if peer is None else peer.nick_name

    # Outputs.

    def poll_commands(self) -> list[Command]:
        """What the shell must do, in this order; drained."""
        commands, self._commands = self._commands, []
        return commands

    def poll_events(self) -> list[events.Event]:
        """What has happened, in this order; drained."""
        happened, self._events = self._events, []
        return happened

    def deadline(self) -> float | None:
        """When ``handle_timer`` must be called at the latest."""
        times = [
            self._update_at,
            self._collect_at,
            self._round_at,
            self._tables.due_at,
            self._maker.deadline(),
        ]
        for one in self._neighbours.values():
            times.append(one.machine.deadline())
            if one.overlay is not None:
                times.append(one.overlay.deadline())
        return min((time for time in times if time is not None), default=None)

    # Inputs: the operator.

    def start(self, now: float) -> None:
        """Begin: dial the targets, gossip every 30 s."""
        self._round_at = now + GOSSIP_INTERVAL_S
        self.connect_targets(self._config.targets, replace=False, now=now)

    def stop(self, now: float) -> None:
        """End all connections."""
        for connection in sorted(self._neighbours):
            self._end(self._neighbours[connection], "stopping", "this router stops", now)
        self._update_at = self._collect_at = self._round_at = None
        self._maker.connect((), replace=True, now=now)
        self._flush()

    def connect_targets(self, targets: Sequence[Address], replace: bool, now: float) -> None:
        """Dial these addresses from now on; with ``replace`` no others."""
        self._maker.connect(targets, replace, now)
        self._check_targets = True
        self._settle(now)

    def forget_targets(self, targets: Sequence[Address], now: float) -> None:
        """Dial these addresses no more; existing connections stay."""
        self._maker.forget(targets)
        self._check_targets = True
        self._settle(now)

    def raise_own_version(self, now: float) -> None:
        """Own version + 1, told to the neighbours at once.

        Unmodified Weave peers recalculate and delete all their flows when they hear of it. That is
        the purpose, so it does not wait for the delay of topology updates.
        """
        self.peers.raise_own_version()
        self._tables.schedule(now)
        names = frozenset({self.name})
        self._gossiper.tell_some(TOPOLOGY, TopologyData(self.peers, names))
        self._settle(now)

    # Inputs: TCP.

    def accept_delay(self, now: float) -> float:
        """Ask before each accept: 0.0 = go on (a token is taken), else seconds to wait."""
        return self._bucket.take(now)

    def dialled(
        self,
        connection: ConnectionId,
        target: Address,
        local: tuple[str, int],
        remote: tuple[str, int],
        now: float,
    ) -> None:
        """A ``Dial`` has succeeded."""
        told = self._maker.is_direct(target)
        self._open(Link(connection, True, told, local, remote), target, now)
        self._settle(now)

    def accepted(
        self, connection: ConnectionId, local: tuple[str, int], remote: tuple[str, int], now: float
    ) -> None:
        """Somebody has connected to us."""
        silent = [
            one
            for _, one in sorted(self._neighbours.items())
            if not one.machine.link.outbound and one.machine.state in HANDSHAKE_STATES
        ]
        if len(silent) >= MAX_HANDSHAKES:
            self._end(silent[0], "too-many-handshakes", "too many unfinished handshakes", now)
        self._open(Link(connection, False, True, local, remote), None, now)
        self._settle(now)

    def dial_failed(self, target: Address, reason: str, now: float) -> None:
        """A ``Dial`` has not succeeded."""
        port = target.port if target.port is not None else self._config.port
        self._events.append(events.DialFailed(target.host, port, reason))
        self._maker.dial_failed(target, reason, now)
        self._check_targets = True
        self._settle(now)

    def receive_bytes(self, connection: ConnectionId, data: bytes, now: float) -> None:
        """Bytes have come, cut anyhow. Ignored if the connection is over already."""
        one = self._neighbours.get(connection)
        if one is None:
            return
        one.machine.receive_bytes(data)
        try:
            while (signal := one.machine.next_signal(now)) is not None:
                if isinstance(signal, FeaturesRead):
                    self._judge(one, signal.features, now)
                else:
                    self._read_message(one, signal, now)
        except RemoteProtocolError as error:
            self._end(one, error.code, error.detail, now)
        self._settle(now)

    def receive_eof(self, connection: ConnectionId, reason: str, now: float) -> None:
        """The connection is over; the shell has closed it."""
        one = self._neighbours.get(connection)
        if one is not None:
            self._forget_connection(one, reason, False, now)
            self._settle(now)

    def write_blocked(self, connection: ConnectionId, blocked: bool, now: float) -> None:
        """The shell's buffer for a connection is full, or has room again.

        Gossip for it waits, merged, meanwhile.
        """
        one = self._neighbours.get(connection)
        if one is not None and one.peer is not None:
            self._gossiper.set_blocked(one.peer, blocked)
            self._settle(now)

    # Inputs: time and the overlay.

    def handle_timer(self, now: float) -> None:
        """Do what is due."""
        for connection in sorted(self._neighbours):
            self._handle_neighbour_timer(self._neighbours[connection], now)
        if self._collect_at is not None and now >= self._collect_at:
            self._collect_at = None
            self._collect(now)
        if self._update_at is not None and now >= self._update_at:
            self._update_at = None
            names = frozenset(self._update_names | {self.name})
            self._update_names.clear()
            self._gossiper.tell_some(TOPOLOGY, TopologyData(self.peers, names))
        if self._round_at is not None and now >= self._round_at:
            self._round_at = now + GOSSIP_INTERVAL_S
            self._gossiper.tell_some(TOPOLOGY, self._complete_topology())
            for channel, state in self._gossiper.complete_states():
                self._gossiper.tell_some(channel, state)
        if self._tables.due_at is not None and now >= self._tables.due_at:
            self._tables.recalculate()
            self._events.append(events.TopologyChanged())
        due = self._maker.deadline()
        self._check_targets = self._check_targets or (due is not None and now >= due)
        self._settle(now)

    def heartbeat_received(
        self, source: ShortId, destination: ShortId, from_ip: str, frame: bytes, now: float
    ) -> None:
        """A special frame has come by the overlay. Anything that is no good heartbeat is dropped.

        The connection is found by the source's short id; the destination must be ours.
        """
        peer = self.peers.by_short_id(source)
        if peer is None or destination != self.short_id or peer.name not in self._by_peer:
            return
        one = self._neighbours[self._by_peer[peer.name]]
        if one.overlay is None:
            return
        was_healthy = one.overlay.healthy
        if one.overlay.heartbeat_received(frame, from_ip, now):
            ack = OverlayControl(FASTDP_INDEX, SUB_TAG_ACK, b"")
            one.machine.send(Tag.OVERLAY_CONTROL, encode_control(ack))
        self._note_health(one, was_healthy)
        self._settle(now)

    # Inputs: gossip.

    def register_channel(self, name: str) -> None:
        """Gossip on this channel becomes an event; it is no longer only passed on.

        Tag 4 on a registered channel is not passed on by itself: the consumer knows what is news,
        and calls ``gossip_neighbours`` with it.
        """
        if name == TOPOLOGY:
            raise LocalProtocolError("channel topology is the router's own")
        self._gossiper.register(name)

    def set_complete_state(self, channel: str, payload_provider: Callable[[], bytes]) -> None:
        """What a new neighbour is told, and some neighbours every 30 s; b'' = nothing."""
        self._gossiper.set_provider(channel, payload_provider)

    def gossip_unicast(
        self, channel: str, destination: PeerName, payload: bytes, now: float
    ) -> None:
        """Tag 5: at once, to one peer, however far away. Dropped if nobody knows the way."""
        _check_size(payload)
        body = encode_unicast(UnicastGossip(channel, self.name, destination, payload))
        self._gossiper.pass_to(destination, body)
        self._settle(now)

    def gossip_broadcast(self, channel: str, payload: bytes, now: float) -> None:
        """Tag 6: to all peers, once each."""
        _check_size(payload)
        self._gossiper.tell_all(channel, self.name, PayloadData((payload,)))
        self._settle(now)

    def gossip_neighbours(
        self, channel: str, payload: bytes, now: float, exclude: PeerName | None = None
    ) -> None:
        """Tag 4: to a random subset of the neighbours, without the one it came from."""
        _check_size(payload)
        self._gossiper.tell_some(channel, PayloadData((payload,)), exclude)
        self._settle(now)

    # Connections.

    def _open(self, link: Link, target: Address | None, now: float) -> None:
        connection_id = self._rng.getrandbits(64)
        trusted = self._config.is_trusted(link.remote[0])

        def describe() -> Features:
            return Features(
                name=self.name,
                nick_name=self.nick_name,
                uid=self.uid,
                connection_id=connection_id,
                short_id=self.short_id,
                trusted=trusted,
                overlays=(OVERLAY,),
            )

        machine = ConnectionMachine(link, describe, self._config.password, self._new_key_pair, now)
        self._neighbours[link.connection] = Neighbour(machine, target)

    def _judge(self, one: Neighbour, features: Features, now: float) -> None:
        """Steps 1 to 8 of what follows the features (mesh/connection.go, local_peer.go)."""
        machine = one.machine
        uid = machine.connection_uid
        if uid is None:
            raise LocalProtocolError("features without a connection UID")
        rival = self._neighbours.get(self._by_peer.get(features.name, ConnectionId(-1)))
        verdict = judge(
            Candidate(
                features,
                uid,
                machine.link.told,
                not machine.encrypted or machine.mutually_trusted,
            ),
            self.peers.own,
            self.peers.get(features.name),
            None if rival is None else rival.machine.connection_uid,
            self._config.connection_limit,
        )
        if rival is not None and (
            verdict.ends_rival if isinstance(verdict, Refusal) else verdict.replaces_rival
        ):
            self._end(rival, "duplicate", "another connection to this peer is kept", now, features)
        if isinstance(verdict, Refusal):
            self._end(one, verdict.code, verdict.reason, now, never_again=verdict.never_again)
        else:
            self._join(one, features, uid, verdict, now)

    def _join(
        self, one: Neighbour, features: Features, uid: int, verdict: Admission, now: float
    ) -> None:
        """Steps 9 to 12."""
        link = one.machine.link
        known = self.peers.get(features.name)
        if verdict.restarted and known is not None and not known.is_placeholder:
            self._events.append(events.PeerRestarted(known.name, known.uid, features.uid))
        self.peers.take_in(
            Peer(features.name, features.nick_name, features.uid, 0, features.short_id)
        )
        one.peer = features.name
        one.machine.add(now)
        self._by_peer[features.name] = link.connection
        host, port = link.remote
        self.peers.add_own_connection(
            Connection(features.name, f"{host}:{port}", link.outbound, established=False)
        )
        if one.target is not None:
            self._maker.joined(one.target)
        self._gossiper.add_neighbour(features.name, link.connection)
        if verdict.restarted or features.name not in self._tables.frame_unicast:
            self._gossiper.tell(features.name, TOPOLOGY, self._complete_topology())
            for channel, state in self._gossiper.complete_states():
                self._gossiper.tell(features.name, channel, state)
        udp_port = (port if link.outbound else self._config.port) + 1
        one.overlay = FastdpOverlay(uid, host, link.local[0], udp_port, now)
        self._topology_changed(now, {features.name})
        self._events.append(
            events.ConnectionAdded(
                link.connection,
                features.name,
                features.nick_name,
                link.remote,
                link.outbound,
                one.machine.encrypted,
            )
        )
        self._handle_neighbour_timer(one, now)

    def _end(
        self,
        one: Neighbour,
        code: str,
        reason: str,
        now: float,
        successor: Features | None = None,
        never_again: bool = False,
    ) -> None:
        """We end a connection.

        Args:
            one: which.
            code: short machine-readable reason.
            reason: a sentence.
            now: monotonic seconds.
            successor: who is about to join in its place, and must not be collected.
            never_again: do not dial this address any more.
        """
        output = one.machine.take_output()
        if output:
            self._commands.append(SendBytes(one.connection, output))
        self._commands.append(CloseConnection(one.connection, f"{code}: {reason}"))
        if one.peer is None:
            self._events.append(events.HandshakeRefused(one.machine.link.remote, code, reason))
        keep = None if successor is None else successor.name
        self._forget_connection(one, f"{code}: {reason}", never_again, now, keep)

    def _forget_connection(
        self,
        one: Neighbour,
        reason: str,
        never_again: bool,
        now: float,
        keep: PeerName | None = None,
    ) -> None:
        one.machine.close()
        del self._neighbours[one.connection]
        self._events.append(
            events.ConnectionEnded(one.connection, one.peer, one.machine.link.remote, reason)
        )
        if one.target is not None:
            self._maker.ended(one.target, reason, never_again, now)
        self._check_targets = True
        if one.peer is None:
            return
        del self._by_peer[one.peer]
        self._gossiper.remove_neighbour(one.peer)
        self.peers.delete_own_connection(one.peer)
        self._collect(now, keep)
        self._topology_changed(now)

    def _handle_neighbour_timer(self, one: Neighbour, now: float) -> None:
        try:
            one.machine.handle_timer(now)
        except RemoteProtocolError as error:
            self._end(one, error.code, error.detail, now)
            return
        if one.overlay is None:
            return
        was_healthy = one.overlay.healthy
        if one.overlay.handle_timer(now):
            self._send_heartbeat(one, one.overlay)
        self._note_health(one, was_healthy)

    def _send_heartbeat(self, one: Neighbour, overlay: FastdpOverlay) -> None:
        """Nothing is sent as long as one of the two has no short id: it is tried again soon."""
        peer = None if one.peer is None else self.peers.get(one.peer)
        if peer is None or peer.short_id is None or self.short_id is None:
            return
        self._commands.append(
            SendHeartbeat(
                one.connection,
                peer.name,
                self.short_id,
                peer.short_id,
                overlay.remote_ip,
                overlay.local_ip,
                overlay.udp_port,
                heartbeat_frame(overlay.connection_uid, self._config.mtu_bytes),
            )
        )

    def _note_health(self, one: Neighbour, was_healthy: bool) -> None:
        if one.overlay is None or one.peer is None or one.overlay.healthy == was_healthy:
            return
        self._events.append(
            events.OverlayHealthChanged(one.connection, one.peer, one.overlay.healthy)
        )

    # Messages.

    def _read_message(self, one: Neighbour, message: MessageRead, now: float) -> None:
        match message.tag:
            case Tag.HEARTBEAT:
                pass
            case Tag.GOSSIP:
                self._read_gossip(one, message.body, now)
            case Tag.GOSSIP_UNICAST:
                self._read_unicast(one, message.body)
            case Tag.GOSSIP_BROADCAST:
                self._read_broadcast(one, message.body, now)
            case Tag.OVERLAY_CONTROL:
                self._read_control(one, message.body, now)
            case None:
                self._ignore(one, "a blank message")
            case tag:
                self._ignore(one, f"a message with tag {tag}")

    def _ignore(self, one: Neighbour, reason: str) -> None:
        self._events.append(events.MessageIgnored(one.connection, reason))

    def _read_gossip(self, one: Neighbour, body: bytes, now: float) -> None:
        message = decode_gossip(body)
        if message.channel == TOPOLOGY:
            result = self._merge(message.payload, now)
            if result.delta:
                news = TopologyData(self.peers, frozenset(result.delta))
                self._gossiper.tell_some(TOPOLOGY, news, one.peer)
        elif self._gossiper.is_registered(message.channel):
            self._publish(one, message.channel, None, events.GossipKind.NEIGHBOUR, message.payload)
        else:
            memory = self._gossiper.surrogate(message.channel)
            if memory is None:
                self._ignore(one, f"gossip on channel {message.channel!r}: too many channels")
            elif memory.is_news(message.payload, now):
                news_data = PayloadData((message.payload,))
                self._gossiper.tell_some(message.channel, news_data, one.peer)

    def _read_unicast(self, one: Neighbour, body: bytes) -> None:
        message = decode_unicast(body)
        if message.destination != self.name:
            if not self._gossiper.pass_to(message.destination, body):
                self._ignore(one, f"gossip to {message.destination}: no way there")
        elif message.channel == TOPOLOGY:
            raise RemoteProtocolError("bad-gossip", "topology gossip to one peer")
        elif self._gossiper.is_registered(message.channel):
            kind = events.GossipKind.UNICAST
            self._publish(one, message.channel, message.source, kind, message.payload)
        else:
            self._ignore(one, f"gossip to us on channel {message.channel!r}, which is not ours")

    def _read_broadcast(self, one: Neighbour, body: bytes, now: float) -> None:
        message = decode_gossip(body)
        if message.source == self.name:
            # On equal data nobody sends us our own. Weave would start it over to all neighbours.
            self._ignore(one, "our own broadcast came back")
            return
        if message.channel == TOPOLOGY:
            result = self._merge(message.payload, now)
            news = TopologyData(self.peers, frozenset(result.update))
            self._gossiper.tell_all(TOPOLOGY, message.source, news, one.peer)
            return
        if self._gossiper.is_registered(message.channel):
            kind = events.GossipKind.BROADCAST
            self._publish(one, message.channel, message.source, kind, message.payload)
        elif self._gossiper.surrogate(message.channel) is None:
            self._ignore(one, f"gossip on channel {message.channel!r}: too many channels")
            return
        payload = PayloadData((message.payload,))
        self._gossiper.tell_all(message.channel, message.source, payload, one.peer)

    def _publish(
        self,
        one: Neighbour,
        channel: str,
        source: PeerName | None,
        kind: events.GossipKind,
        payload: bytes,
    ) -> None:
        """A neighbour is who shook hands with us, whatever name is in its message."""
        sender = source if source is not None else one.peer
        if sender is not None:
            event = events.GossipReceived(channel, sender, kind, payload, one.connection)
            self._events.append(event)

    def _read_control(self, one: Neighbour, body: bytes, now: float) -> None:
        message = decode_control(body)
        if one.overlay is None or one.peer is None:
            return
        if not one.overlay.control_received(message, now):
            return
        link = one.machine.link
        one.machine.acknowledge()
        self.peers.establish_own_connection(one.peer)
        self._topology_changed(now)
        self._events.append(
            events.ConnectionEstablished(
                link.connection,
                one.peer,
                self._nick_name_of(one.peer) or "",
                link.remote,
                link.outbound,
            )
        )

    # Topology.

    def _complete_topology(self) -> TopologyData:
        return TopologyData(self.peers, frozenset(peer.name for peer in self.peers))

    def _merge(self, payload: bytes, now: float) -> MergeResult:
        result = self.peers.merge(decode_update(payload))
        if result.delta:
            self._tables.schedule(now)
            self._check_targets = True
        if result.old_life:
            self._schedule_update(now)
        if self._collect_at is None:
            self._collect_at = now + COLLECTION_DELAY_S
        return result

    def _collect(self, now: float, keep: PeerName | None = None) -> None:
        referenced = set(self._by_peer) | ({keep} if keep is not None else set())
        removed = self.peers.collect(name for name in referenced if name in self.peers)
        if removed:
            self._events.append(events.PeersCollected(removed))
            self._tables.schedule(now)
            self._check_targets = True

    def _topology_changed(self, now: float, about: set[PeerName] | None = None) -> None:
        """Our own entry has changed: recalculate, and tell it after a second."""
        self._tables.schedule(now)
        self._check_targets = True
        self._schedule_update(now, about)

    def _schedule_update(self, now: float, about: set[PeerName] | None = None) -> None:
        self._update_names |= about or set()
        if self._update_at is None:
            self._update_at = now + UPDATE_DELAY_S

    def _note_short_id(self, now: float) -> None:
        if self.short_id != self._short_id_told:
            self._events.append(events.ShortIdChanged(self._short_id_told, self.short_id))
            self._short_id_told = self.short_id
            self._topology_changed(now)

    # After each input.

    def _settle(self, now: float) -> None:
        """Send what can be sent, dial whom to dial."""
        self._note_short_id(now)
        for connection in self._gossiper.overfull():
            one = self._neighbours[connection]
            self._end(one, "too-slow", "the peer does not read what it is told", now)
        for connection, tag, body in self._gossiper.drain():
            self._neighbours[connection].machine.send(tag, body)
        self._flush()
        if self._check_targets:
            self._check_targets = False
            self._commands += [Dial(address) for address in self._maker.check(self.peers, now)]

    def _flush(self) -> None:
        for connection, one in self._neighbours.items():
            output = one.machine.take_output()
            if output:
                self._commands.append(SendBytes(connection, output))


def _check_size(payload: bytes) -> None:
    if len(payload) > MAX_MESSAGE_BYTES - 1024:
        raise LocalProtocolError(f"a payload of {len(payload)} bytes does not fit in a message")
