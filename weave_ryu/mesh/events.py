"""Facts that the mesh core reports; nothing in the core waits for an answer to them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from weave_ryu.mesh.config import ConnectionId
from weave_ryu.names import PeerName, PeerUID, ShortId


class GossipKind(StrEnum):
    """How a gossip message came: tags 5, 6 and 4."""

    UNICAST = "unicast"
    BROADCAST = "broadcast"
    NEIGHBOUR = "neighbour"


@dataclass(frozen=True, slots=True)
class TopologyChanged:
    """Peers, connections or short ids changed and routes were recalculated: forwarding is stale."""


@dataclass(frozen=True, slots=True)
class ConnectionAdded:
    """The handshake is done and the peer is in our entry; the overlay is not up yet."""

    connection: ConnectionId
    peer: PeerName
    nick_name: str
    remote: tuple[str, int]
    outbound: bool
    encrypted: bool


@dataclass(frozen=True, slots=True)
class ConnectionEstablished:
    """The overlay works in our direction: the neighbour acknowledged a heartbeat."""

    connection: ConnectionId
    peer: PeerName
    nick_name: str
    remote: tuple[str, int]
    outbound: bool


@dataclass(frozen=True, slots=True)
class ConnectionEnded:
    """A TCP connection is over, whoever ended it; exactly one for each connection.

    Attributes:
        peer: None if it never got as far as being added.
        code: of the reason: as of a refusal, or ``closed`` if the other side or the way ended it.
        established: whether it had been; anybody who reaches our port can cause others.
    """

    connection: ConnectionId
    peer: PeerName | None
    remote: tuple[str, int]
    reason: str
    code: str = "closed"
    established: bool = False


@dataclass(frozen=True, slots=True)
class HandshakeRefused:
    """We ended a connection before it was added; ``ConnectionEnded`` follows.

    Attributes:
        code: short machine-readable reason, e.g. ``wrong-password``.
        reason: a sentence for the operator.
    """

    remote: tuple[str, int]
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class DialFailed:
    """A TCP connection could not be opened; the maker tries again later."""

    host: str
    port: int
    reason: str


@dataclass(frozen=True, slots=True)
class OverlayHealthChanged:
    """No VXLAN heartbeat for 60 s, or the first one after that."""

    connection: ConnectionId
    peer: PeerName
    healthy: bool


@dataclass(frozen=True, slots=True)
class PeersCollected:
    """These peers cannot be reached any more and were forgotten; sorted."""

    names: tuple[PeerName, ...]


@dataclass(frozen=True, slots=True)
class PeerRestarted:
    """A peer that was known came back with another UID."""

    peer: PeerName
    old: PeerUID
    new: PeerUID


@dataclass(frozen=True, slots=True)
class NameTaken:
    """Another host has our name too.

    Attributes:
        reason: a sentence that names both addresses.
        refused: it is we who must have another one.
    """

    reason: str
    refused: bool


@dataclass(frozen=True, slots=True)
class NameFree:
    """We were refused because of our name, and are not any more."""


@dataclass(frozen=True, slots=True)
class ShortIdChanged:
    """Our own short id had to be given up (None: we have none at the moment); keep the new one."""

    old: ShortId | None
    new: ShortId | None


@dataclass(frozen=True, slots=True)
class GossipReceived:
    """A message on a registered channel.

    Attributes:
        source: the neighbour that sent it for ``NEIGHBOUR``, else the original source.
    """

    channel: str
    source: PeerName
    kind: GossipKind
    payload: bytes = field(repr=False)
    from_connection: ConnectionId


@dataclass(frozen=True, slots=True)
class MessageIgnored:
    """A message was dropped, as Weave drops it, and the connection goes on."""

    connection: ConnectionId
    reason: str


Event = (
    TopologyChanged
    | ConnectionAdded
    | ConnectionEstablished
    | ConnectionEnded
    | HandshakeRefused
    | DialFailed
    | OverlayHealthChanged
    | PeersCollected
    | PeerRestarted
    | NameTaken
    | NameFree
    | ShortIdChanged
    | GossipReceived
    | MessageIgnored
)
