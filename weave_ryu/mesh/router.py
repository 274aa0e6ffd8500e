"""One peer's mesh control plane: composes connections, topology, gossip and the maker.

Inputs return None and queue outputs; ``poll_commands`` and ``poll_events`` drain them. ``now`` is
monotonic seconds (mesh/router.go, local_peer.go).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from weave_ryu.errors import LocalProtocolError, RemoteProtocolError
from weave_ryu.mesh import events, status
from weave_ryu.mesh.commands import Command, Dial, SendBytes
from weave_ryu.mesh.config import Address, ConnectionId, RouterConfig
from weave_ryu.mesh.connection import FeaturesRead, Link
from weave_ryu.mesh.core import Core
from weave_ryu.mesh.crypto import KeyPair
from weave_ryu.mesh.crypto import new_key_pair as default_key_pair
from weave_ryu.mesh.framing import MAX_MESSAGE_BYTES
from weave_ryu.mesh.gossip import TOPOLOGY, PayloadData
from weave_ryu.mesh.inbox import Inbox
from weave_ryu.mesh.limiter import TokenBucket
from weave_ryu.mesh.messages import (
    OverlayControl,
    Tag,
    UnicastGossip,
    encode_control,
    encode_unicast,
)
from weave_ryu.mesh.namesakes import Notice
from weave_ryu.mesh.neighbours import Neighbours
from weave_ryu.mesh.overlay import FASTDP_INDEX, SUB_TAG_ACK
from weave_ryu.mesh.peers import Peers
from weave_ryu.mesh.routes import Graph
from weave_ryu.mesh.segments import Segment
from weave_ryu.mesh.views import ConnectionView, TargetView
from weave_ryu.names import PeerName, PeerUID, ShortId


class Router:
    """See the module's docstring."""

    def __init__(
        self,
        config: RouterConfig,
        *,
        rng: random.Random,
        new_key_pair: Callable[[], KeyPair] = default_key_pair,
    ) -> None:
        self._core = Core(config, rng)
        self._neighbours = Neighbours(self._core, new_key_pair)
        self._inbox = Inbox(self._core, self._neighbours)
        self._bucket = TokenBucket()

    # Views.

    @property
    def peers(self) -> Peers:
        """The table; to be read only."""
        return self._core.peers

    @property
    def name(self) -> PeerName:
        """Our identity."""
        return self._core.config.name

    @property
    def nick_name(self) -> str:
        """Our label for humans."""
        return self._core.config.nick_name

    @property
    def uid(self) -> PeerUID:
        """Our incarnation."""
        return self._core.config.uid

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
        return self._core.tables.frame_graph

    @property
    def frame_next_hops(self) -> dict[PeerName, PeerName]:
        """Unicast routes for frames, as of the last recalculation; ourself → the unknown peer."""
        return self._core.tables.frame_unicast

    def connections(self) -> list[ConnectionView]:
        """All TCP connections, by number."""
        return [
            status.connection_view(one.machine, one.overlay, self._core.far_end(one))
            for _, one in sorted(self._core.neighbours.items())
        ]

    def namesakes(self, now: float) -> list[Notice]:
        """Other hosts that have our name, as far as it was noticed in the last minutes."""
        return self._neighbours.namesakes.notices(now)

    def refusal(self) -> str:
        """Why this peer is refused by others, because of its name; empty if it is not."""
        found = self._neighbours.namesakes.notices(0.0)
        return next((str(notice) for notice in found if notice.refused), "")

    def targets(self) -> list[TargetView]:
        """All addresses that are looked after, sorted."""
        return self._core.maker.views()

    def failed_connections(self) -> dict[str, int]:
        """Connections that ended without having been established, by the code of the reason."""
        return dict(self._core.failed)

    # Outputs.

    def poll_commands(self) -> list[Command]:
        """What the shell must do, in this order; drained."""
        commands, self._core.commands = self._core.commands, []
        return commands

    def poll_events(self) -> list[events.Event]:
        """What has happened, in this order; drained."""
        happened, self._core.events = self._core.events, []
        return happened

    def deadline(self) -> float | None:
        """When ``handle_timer`` must be called at the latest."""
        core = self._core
        times = [*core.deadlines(), core.maker.deadline(), core.agenda.first()]
        return min((time for time in times if time is not None), default=None)

    # Inputs: the operator.

    def start(self, now: float) -> None:
        """Begin: dial the targets, gossip every 30 s."""
        self._core.start_rounds(now)
        self.connect_targets(self._core.config.targets, replace=False, now=now)

    def stop(self, now: float) -> None:
        """End all connections."""
        for connection in sorted(self._core.neighbours):
            self._neighbours.end(
                self._core.neighbours[connection], "stopping", "this router stops", now
            )
        self._core.stop_timers()
        self._core.maker.connect((), replace=True, now=now)
        self._flush()

    def connect_targets(self, targets: Sequence[Address], replace: bool, now: float) -> None:
        """Dial these addresses from now on; with ``replace`` no others."""
        self._core.maker.connect(targets, replace, now)
        self._core.check_targets = True
        self._settle(now)

    def forget_targets(self, targets: Sequence[Address], now: float) -> None:
        """Dial these addresses no more; existing connections stay."""
        self._core.maker.forget(targets)
        self._core.check_targets = True
        self._settle(now)

    def claim_segment(
        self, segment: Segment, epoch: int, now: float, *, arriving: bool = False
    ) -> None:
        """We forward for a segment, with that epoch: be where its frames are sent to.

        With `arriving` its broadcasts still come by the gateway that it was connected to before.
        All neighbours are told at once. Of two that claim it one is believed, see `Claims`.
        """
        self._core.claims.add(segment, epoch, arriving=arriving)
        self._core.settle_claims(now)
        self._settle(now)

    def judge_claims(self, is_gateway: Callable[[PeerName, PeerName], bool]) -> None:
        """Believe claims of segments (first argument) only if their peers (second) may have them.

        Others are outbid at once.
        """
        self._core.claims.is_gateway = is_gateway

    def release_segment(self, name: PeerName, now: float) -> None:
        """We forward for it no more. If nobody else claims it, all peers forget what is there."""
        if self._core.claims.drop(name):
            self._core.tell_at_once([self.name], now)
        self._settle(now)

    def short_id_of_segment(self, segment: Segment) -> ShortId:
        """A segment's number, as the mesh knows it, or as it would probably have."""
        known = self.peers.get(segment.name)
        if known is not None and known.short_id is not None:
            return known.short_id
        return self.peers.free_short_id(segment.name, segment.short_id)

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
        told = self._core.maker.is_direct(target)
        self._neighbours.open(Link(connection, True, told, local, remote), target, now)
        self._settle(now)

    def accepted(
        self, connection: ConnectionId, local: tuple[str, int], remote: tuple[str, int], now: float
    ) -> None:
        """Somebody has connected to us."""
        self._neighbours.make_room(now)
        self._neighbours.open(Link(connection, False, True, local, remote), None, now)
        self._settle(now)

    def dial_failed(self, target: Address, reason: str, now: float) -> None:
        """A ``Dial`` has not succeeded."""
        port = target.port if target.port is not None else self._core.config.port
        self._core.events.append(events.DialFailed(target.host, port, reason))
        self._core.maker.dial_failed(target, reason, now)
        self._core.check_targets = True
        self._settle(now)

    def receive_bytes(self, connection: ConnectionId, data: bytes, now: float) -> None:
        """Bytes have come, cut anyhow. Ignored if the connection is over already."""
        one = self._core.neighbours.get(connection)
        if one is None:
            return
        self._core.touched.add(connection)
        one.machine.receive_bytes(data)
        try:
            while (signal := one.machine.next_signal(now)) is not None:
                if isinstance(signal, FeaturesRead):
                    self._neighbours.judge(one, signal.features, now)
                else:
                    self._inbox.read(one, signal, now)
        except RemoteProtocolError as error:
            self._neighbours.end(one, error.code, error.detail, now)
        self._settle(now)

    def receive_eof(self, connection: ConnectionId, reason: str, now: float) -> None:
        """The connection is over; the shell has closed it."""
        one = self._core.neighbours.get(connection)
        if one is not None:
            self._neighbours.forget(one, reason, False, now)
            self._settle(now)

    def write_blocked(self, connection: ConnectionId, blocked: bool, now: float) -> None:
        """The shell's buffer for a connection is full, or has room again.

        Gossip for it waits, merged, meanwhile.
        """
        one = self._core.neighbours.get(connection)
        if one is not None and one.peer is not None:
            self._core.gossiper.set_blocked(one.peer, blocked)
            self._settle(now)

    # Inputs: time and the overlay.

    def handle_timer(self, now: float) -> None:
        """Do what is due."""
        for connection in self._core.agenda.take_due(now):
            self._core.touched.add(connection)
            one = self._core.neighbours.get(connection)
            if one is not None:
                self._neighbours.handle_timer(one, now)
        self._core.handle_timers(now)
        due = self._core.maker.deadline()
        self._core.check_targets = self._core.check_targets or (due is not None and now >= due)
        self._settle(now)

    def heartbeat_received(
        self, source: ShortId, destination: ShortId, from_ip: str, frame: bytes, now: float
    ) -> None:
        """A special frame has come by the overlay. Anything that is no good heartbeat is dropped.

        The connection is found by the source's short id; the destination must be ours.
        """
        peer = self.peers.by_short_id(source)
        if peer is None or destination != self.short_id or peer.name not in self._core.by_peer:
            return
        one = self._core.neighbours[self._core.by_peer[peer.name]]
        if one.overlay is None:
            return
        self._core.touched.add(one.connection)
        if one.overlay.heartbeat_received(frame, from_ip, now):
            ack = OverlayControl(FASTDP_INDEX, SUB_TAG_ACK, b"")
            one.machine.send(Tag.OVERLAY_CONTROL, encode_control(ack))
        self._neighbours.note_overlay(one, now)
        self._settle(now)

    # Inputs: gossip.

    def register_channel(self, name: str) -> None:
        """Gossip on this channel becomes an event; it is no longer only passed on.

        Tag 4 on a registered channel is not passed on by itself: the consumer knows what is news,
        and calls ``gossip_neighbours`` with it.
        """
        if name == TOPOLOGY:
            raise LocalProtocolError("channel topology is the router's own")
        self._core.gossiper.register(name)

    def set_complete_state(self, channel: str, payload_provider: Callable[[], bytes]) -> None:
        """What a new neighbour is told, and some neighbours every 30 s; b'' = nothing."""
        self._core.gossiper.set_provider(channel, payload_provider)

    def gossip_unicast(
        self, channel: str, destination: PeerName, payload: bytes, now: float
    ) -> None:
        """Tag 5: at once, to one peer, however far away. Dropped if nobody knows the way."""
        _check_size(payload)
        body = encode_unicast(UnicastGossip(channel, self.name, destination, payload))
        self._core.gossiper.pass_to(destination, body)
        self._settle(now)

    def gossip_detour(
        self, channel: str, destination: PeerName, payload: bytes, now: float
    ) -> None:
        """As `gossip_unicast`, but around the way that the routes name, by two other neighbours.

        A connection counts as alive for up to a minute after its way has failed (60 s,
        mesh/connection.go); until then routes lead there, and what takes them is lost.
        """
        _check_size(payload)
        body = encode_unicast(UnicastGossip(channel, self.name, destination, payload))
        self._core.gossiper.pass_around(destination, body)
        self._settle(now)

    def gossip_broadcast(self, channel: str, payload: bytes, now: float) -> None:
        """Tag 6: to all peers, once each."""
        _check_size(payload)
        self._core.gossiper.tell_all(channel, self.name, PayloadData((payload,)))
        self._settle(now)

    def gossip_neighbours(
        self, channel: str, payload: bytes, now: float, exclude: PeerName | None = None
    ) -> None:
        """Tag 4: to a random subset of the neighbours, without the one it came from."""
        _check_size(payload)
        self._core.gossiper.tell_some(channel, PayloadData((payload,)), exclude)
        self._settle(now)

    # After each input.

    def _settle(self, now: float) -> None:
        """Send what can be sent, dial whom to dial."""
        self._core.note_short_id(now)
        for connection in self._core.gossiper.overfull():
            one = self._core.neighbours[connection]
            self._neighbours.end(one, "too-slow", "the peer does not read what it is told", now)
        for connection, tag, body in self._core.gossiper.drain():
            if len(body) > MAX_MESSAGE_BYTES - _MARGIN_BYTES:
                reason = f"{len(body)} bytes of gossip do not fit in a message"
                self._core.events.append(events.MessageIgnored(connection, reason))
                continue
            self._core.touched.add(connection)
            self._core.neighbours[connection].machine.send(tag, body)
        self._flush()
        if self._core.check_targets:
            self._core.check_targets = False
            self._core.commands += [
                Dial(address) for address in self._core.maker.check(self.peers, now)
            ]

    def _flush(self) -> None:
        core = self._core
        for connection in sorted(core.touched):
            one = core.neighbours.get(connection)
            output = b"" if one is None else one.machine.take_output()
            if output:
                core.commands.append(SendBytes(connection, output))
            core.agenda.put(connection, None if one is None else one.deadline())
        core.touched.clear()


_MARGIN_BYTES = 1024
"""More than headers and a seal need."""


def _check_size(payload: bytes) -> None:
    if len(payload) > MAX_MESSAGE_BYTES - 2 * _MARGIN_BYTES:
        raise LocalProtocolError(f"a payload of {len(payload)} bytes does not fit in a message")
