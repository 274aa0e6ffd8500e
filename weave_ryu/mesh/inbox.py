"""What the messages of neighbours do (mesh/connection.go, gossip_channel.go, router.go)."""

from __future__ import annotations

from weave_ryu.errors import RemoteProtocolError
from weave_ryu.mesh import events, namesakes
from weave_ryu.mesh.connection import MessageRead
from weave_ryu.mesh.core import Core, Neighbour
from weave_ryu.mesh.gossip import TOPOLOGY, PayloadData, TopologyData
from weave_ryu.mesh.messages import Tag, decode_control, decode_gossip, decode_unicast
from weave_ryu.mesh.neighbours import Neighbours
from weave_ryu.mesh.peers import MergeResult
from weave_ryu.names import PeerName


class Inbox:
    """Reads messages of joined connections."""

    def __init__(self, core: Core, neighbours: Neighbours) -> None:
        self._core = core
        self._neighbours = neighbours

    def read(self, one: Neighbour, message: MessageRead, now: float) -> None:
        """Do what a message asks for.

        Raises:
            RemoteProtocolError: it breaks the protocol; the connection must end.
        """
        match message.tag:
            case Tag.HEARTBEAT:
                pass
            case Tag.GOSSIP:
                self._read_gossip(one, message.body, now)
            case Tag.GOSSIP_UNICAST:
                self._read_unicast(one, message.body, now)
            case Tag.GOSSIP_BROADCAST:
                self._read_broadcast(one, message.body, now)
            case Tag.OVERLAY_CONTROL:
                self._read_control(one, message.body, now)
            case None:
                self._ignore(one, "a blank message")
            case tag:
                self._ignore(one, f"a message with tag {tag}")

    def _ignore(self, one: Neighbour, reason: str) -> None:
        self._core.events.append(events.MessageIgnored(one.connection, reason))

    def _read_gossip(self, one: Neighbour, body: bytes, now: float) -> None:
        message = decode_gossip(body)
        if message.channel == TOPOLOGY:
            result = self._merge(one, message.payload, now)
            if result.delta:
                self._core.gossiper.tell_some(TOPOLOGY, self._core.news(result.delta), one.peer)
        elif self._core.gossiper.is_registered(message.channel):
            self._publish(one, message.channel, None, events.GossipKind.NEIGHBOUR, message.payload)
        else:
            memory = self._core.gossiper.surrogate(message.channel, now)
            if memory is None:
                self._ignore(one, f"gossip on channel {message.channel!r}: too many channels")
            elif memory.is_news(message.payload, now):
                news_data = PayloadData((message.payload,))
                self._core.gossiper.tell_some(message.channel, news_data, one.peer)

    def _merge(self, one: Neighbour, payload: bytes, now: float) -> MergeResult:
        """Take in topology, and settle with its sender at once what differs.

        A peer that we know nothing of but its name is told back as such: the sender knows more,
        corrects us, and Weave ignores it. An incarnation that loses against the one we know is
        corrected, so that a restarted peer soon hears of its old life; and so is a segment's entry
        that is older than ours, so that a gateway that had forgotten it gets above what others have
        written. Without this, each would wait for the next round (mesh/peers.go has only that).
        """
        result = self._core.merge(payload, now, one.peer)
        names = frozenset(result.unknown) | frozenset(result.outdated)
        if names and one.peer is not None:
            self._core.gossiper.tell(one.peer, TOPOLOGY, TopologyData(self._core.peers, names))
        return result

    def _read_unicast(self, one: Neighbour, body: bytes, now: float) -> None:
        message = decode_unicast(body)
        if message.destination != self._core.name:
            if not self._core.gossiper.pass_to(message.destination, body):
                self._ignore(one, f"gossip to {message.destination}: no way there")
        elif message.channel == TOPOLOGY:
            raise RemoteProtocolError("bad-gossip", "topology gossip to one peer")
        elif message.channel == namesakes.CHANNEL:
            self._neighbours.namesakes.told(one, message.source, message.payload, now)
        elif self._core.gossiper.is_registered(message.channel):
            kind = events.GossipKind.UNICAST
            self._publish(one, message.channel, message.source, kind, message.payload)
        else:
            self._ignore(one, f"gossip to us on channel {message.channel!r}, which is not ours")

    def _read_broadcast(self, one: Neighbour, body: bytes, now: float) -> None:
        message = decode_gossip(body)
        if message.source == self._core.name:
            # On equal data nobody sends us our own. Weave would start it over to all neighbours.
            self._ignore(one, "our own broadcast came back")
            return
        if message.channel == TOPOLOGY:
            result = self._merge(one, message.payload, now)
            news = TopologyData(self._core.peers, frozenset(result.update))
            self._core.gossiper.tell_all(TOPOLOGY, message.source, news, one.peer)
            return
        if self._core.gossiper.is_registered(message.channel):
            kind = events.GossipKind.BROADCAST
            self._publish(one, message.channel, message.source, kind, message.payload)
        # On a channel that we do not know it goes on as well: the tree needs no memory.
        payload = PayloadData((message.payload,))
        self._core.gossiper.tell_all(message.channel, message.source, payload, one.peer)

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
            self._core.events.append(event)

    def _read_control(self, one: Neighbour, body: bytes, now: float) -> None:
        message = decode_control(body)
        if one.overlay is None or one.peer is None:
            return
        if one.overlay.control_received(message, now):
            self._neighbours.note_overlay(one, now)
