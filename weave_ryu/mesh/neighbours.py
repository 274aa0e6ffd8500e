"""The life of a connection inside the router: opened, judged, joined, ended.

Source: mesh/connection.go, local_peer.go.
"""

from __future__ import annotations

from collections.abc import Callable

from weave_ryu.errors import LocalProtocolError, RemoteProtocolError
from weave_ryu.mesh import events
from weave_ryu.mesh.commands import CloseConnection, SendBytes, SendHeartbeat
from weave_ryu.mesh.config import Address, ConnectionId
from weave_ryu.mesh.connection import ConnectionMachine, Link, State
from weave_ryu.mesh.core import Core, Neighbour
from weave_ryu.mesh.crypto import KeyPair
from weave_ryu.mesh.features import OVERLAY, Features
from weave_ryu.mesh.gossip import TOPOLOGY, TopologyData
from weave_ryu.mesh.joining import Admission, Candidate, Refusal, judge
from weave_ryu.mesh.namesakes import Namesakes
from weave_ryu.mesh.overlay import FastdpOverlay, heartbeat_frame
from weave_ryu.mesh.peers import Connection, Peer
from weave_ryu.names import PeerName

MAX_HANDSHAKES = 64
"""Accepted connections that have not said who they are; above it the oldest one is dropped."""


class Neighbours:
    """Makes and ends the entries of ``Core.neighbours``."""

    def __init__(self, core: Core, new_key_pair: Callable[[], KeyPair]) -> None:
        self._core = core
        self._new_key_pair = new_key_pair
        self.namesakes = Namesakes(core)
        self._unfinished: set[ConnectionId] = set()
        """Accepted connections whose handshake is not over."""

    def make_room(self, now: float) -> None:
        """Drop the oldest unfinished handshake if there are too many."""
        if len(self._unfinished) >= MAX_HANDSHAKES:
            oldest = self._core.neighbours[min(self._unfinished)]
            self.end(oldest, "too-many-handshakes", "too many unfinished handshakes", now)

    def open(self, link: Link, target: Address | None, now: float) -> None:
        """A TCP connection is there; the target is the address that was dialled."""
        connection_id = self._core.rng.getrandbits(64)
        trusted = self._core.config.is_trusted(link.remote[0])
        began = self._core.started_at
        keeps_name = began is not None and not self.namesakes.is_refused
        uptime_ms = int(1000 * (now - began)) + 1 if began is not None and keeps_name else 0

        def describe() -> Features:
            return Features(
                name=self._core.name,
                nick_name=self._core.config.nick_name,
                uid=self._core.config.uid,
                connection_id=connection_id,
                short_id=self._core.short_id,
                trusted=trusted,
                overlays=(OVERLAY,),
                uptime_ms=uptime_ms,
            )

        machine = ConnectionMachine(
            link, describe, self._core.config.password, self._new_key_pair, now
        )
        self._core.neighbours[link.connection] = Neighbour(machine, target)
        self._core.touched.add(link.connection)
        if not link.outbound:
            self._unfinished.add(link.connection)

    def judge(self, one: Neighbour, features: Features, now: float) -> None:
        """Steps 1 to 8 of what follows the features (mesh/connection.go, local_peer.go)."""
        machine = one.machine
        uid = machine.connection_uid
        if uid is None:
            raise LocalProtocolError("features without a connection UID")
        rival = self._core.neighbours.get(self._core.by_peer.get(features.name, ConnectionId(-1)))
        notice = None
        if features.name != self._core.name:
            notice = self.namesakes.notice(features, machine.link, rival, now)
        if rival is not None and notice is not None and self.namesakes.is_silent(rival, now):
            self.end(rival, "silent", f"it is silent, and {notice.newcomer} lives", now, features)
            notice = rival = None
        namesake = "" if notice is None else str(notice)
        if features.name in self._core.claims:
            namesake = f"{features.name} is a segment, and has no host"
        verdict = judge(
            Candidate(
                features,
                uid,
                machine.link.told,
                not machine.encrypted or machine.mutually_trusted,
                (machine.link.local[0], machine.link.remote[0]),
                namesake,
            ),
            self._core.peers.own,
            self._core.peers.get(features.name),
            None if rival is None else rival.machine.connection_uid,
            self._core.config.connection_limit,
        )
        if rival is not None and (
            verdict.ends_rival if isinstance(verdict, Refusal) else verdict.replaces_rival
        ):
            # If both end, nobody takes the place: the peer is collected at once.
            successor = features if isinstance(verdict, Admission) else None
            self.end(rival, "duplicate", "there is another connection to it", now, successor)
        if isinstance(verdict, Refusal):
            if verdict.code == "name-taken" and notice is not None:
                self.namesakes.tell(one, notice, now)
            elif verdict.code == "name-taken":
                self.namesakes.met(one, features, now)
            self.end(one, verdict.code, verdict.reason, now, never_again=verdict.never_again)
        else:
            self._join(one, features, uid, verdict, now)

    def _join(
        self, one: Neighbour, features: Features, uid: int, verdict: Admission, now: float
    ) -> None:
        """Steps 9 to 12."""
        link = one.machine.link
        known = self._core.peers.get(features.name)
        if verdict.restarted and known is not None and not known.is_placeholder:
            self._core.events.append(events.PeerRestarted(known.name, known.uid, features.uid))
        self._core.peers.take_in(
            Peer(features.name, features.nick_name, features.uid, 0, features.short_id)
        )
        one.peer = features.name
        one.machine.add(now)
        self._unfinished.discard(link.connection)
        self._core.by_peer[features.name] = link.connection
        self.namesakes.joined(one, features)
        host, port = link.remote
        self._core.peers.add_own_connection(
            Connection(features.name, f"{host}:{port}", link.outbound, established=False)
        )
        if one.target is not None:
            self._core.maker.joined(one.target)
        self._core.gossiper.add_neighbour(features.name, link.connection)
        # The routes may be 100 ms old: whom we had forgotten, and whose other connection has just
        # been cut off with what was on its way, may be in them still.
        is_cut_off = known is None or verdict.restarted or verdict.replaces_rival
        if is_cut_off or features.name not in self._core.tables.frame_unicast:
            self._core.gossiper.tell(features.name, TOPOLOGY, self._core.complete_topology())
            for channel, state in self._core.gossiper.complete_states():
                self._core.gossiper.tell(features.name, channel, state)
        udp_port = (port if link.outbound else self._core.config.port) + 1
        one.overlay = FastdpOverlay(uid, host, link.local[0], udp_port, now)
        self._core.topology_changed(now, {features.name})
        self._core.events.append(
            events.ConnectionAdded(
                link.connection,
                features.name,
                features.nick_name,
                link.remote,
                link.outbound,
                one.machine.encrypted,
            )
        )
        self.handle_timer(one, now)

    def end(
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
            self._core.commands.append(SendBytes(one.connection, output))
        self._core.commands.append(CloseConnection(one.connection, f"{code}: {reason}"))
        if one.peer is None:
            self._core.events.append(events.HandshakeRefused(one.machine.link.remote, code, reason))
        keep = None if successor is None else successor.name
        self.forget(one, f"{code}: {reason}", never_again, now, keep, code)

    def forget(
        self,
        one: Neighbour,
        reason: str,
        never_again: bool,
        now: float,
        keep: PeerName | None = None,
        code: str = "closed",
    ) -> None:
        """A connection is over, whoever ended it; ``keep`` takes its place and stays known."""
        established = one.has_worked
        one.machine.close()
        if not established:
            self._core.failed[code] += 1
        del self._core.neighbours[one.connection]
        self._core.touched.add(one.connection)
        self._unfinished.discard(one.connection)
        self._core.events.append(
            events.ConnectionEnded(
                one.connection, one.peer, one.machine.link.remote, reason, code, established
            )
        )
        if one.target is not None:
            self._core.maker.ended(one.target, reason, never_again, now)
        self._core.check_targets = True
        if one.peer is None:
            return
        del self._core.by_peer[one.peer]
        self.namesakes.left(one.peer, now)
        self._core.gossiper.remove_neighbour(one.peer)
        self._core.peers.delete_own_connection(one.peer)
        self._core.collect(now, keep)
        self._core.topology_changed(now)

    def handle_timer(self, one: Neighbour, now: float) -> None:
        """Deadlines, heartbeats on TCP and heartbeats on the overlay."""
        try:
            one.machine.handle_timer(now)
        except RemoteProtocolError as error:
            self.end(one, error.code, error.detail, now)
            return
        if one.overlay is None:
            return
        if one.overlay.handle_timer(now):
            self._send_heartbeat(one, one.overlay)
        self.note_overlay(one, now)

    def _send_heartbeat(self, one: Neighbour, overlay: FastdpOverlay) -> None:
        """Nothing is sent as long as one of the two has no short id: it is tried again soon."""
        peer = None if one.peer is None else self._core.peers.get(one.peer)
        if peer is None or peer.short_id is None or self._core.short_id is None:
            return
        self._core.commands.append(
            SendHeartbeat(
                one.connection,
                peer.name,
                self._core.short_id,
                peer.short_id,
                overlay.remote_ip,
                overlay.local_ip,
                overlay.udp_port,
                heartbeat_frame(overlay.connection_uid, self._core.config.mtu_bytes),
            )
        )

    def note_overlay(self, one: Neighbour, now: float) -> None:
        """The overlay works, or works no more: say so in our entry.

        Its sockets may be fine while frames are lost: a firewall, or an MTU that has become
        smaller. Weave lets fastdp give way to sleeve then, and the other side learns nothing of it.
        Without a second overlay frames have to go by other peers, so the connection is entered as
        not established: all routers leave out what one of its ends does not call established
        (mesh/routes.go), and gossip goes on.
        """
        overlay, peer, link = one.overlay, one.peer, one.machine.link
        if overlay is None or peer is None:
            return
        if overlay.healthy != one.was_healthy:
            one.was_healthy = overlay.healthy
            self._core.events.append(
                events.OverlayHealthChanged(link.connection, peer, overlay.healthy)
            )
        if overlay.works == (one.machine.state is State.ESTABLISHED):
            return
        is_new = overlay.works and not one.has_worked
        if overlay.works:
            one.machine.acknowledge()
            one.has_worked = True
            features = one.machine.remote_features
            if features is not None and features.uptime_ms is not None:
                self.namesakes.vouched()
            nick_name = self._core.nick_name_of(peer) or ""
            self._core.events.append(
                events.ConnectionEstablished(
                    link.connection, peer, nick_name, link.remote, link.outbound
                )
            )
        else:
            one.machine.lapse()
        self._core.peers.establish_own_connection(peer, overlay.works)
        self._core.topology_changed(now)
        if not is_new:
            # The other side may see nothing of it, and is to say the same as we do.
            own = frozenset({self._core.name})
            self._core.gossiper.tell(peer, TOPOLOGY, TopologyData(self._core.peers, own))
