"""Outputs of the mesh core that the shell must perform, in the order given."""

from __future__ import annotations

from dataclasses import dataclass, field

from weave_ryu.mesh.config import Address, ConnectionId
from weave_ryu.names import PeerName, ShortId


@dataclass(frozen=True, slots=True)
class Dial:
    """Open a TCP connection, then call ``Router.dialled`` or ``Router.dial_failed``.

    Attributes:
        target: always with a port; hand the same value back.
    """

    target: Address


@dataclass(frozen=True, slots=True)
class SendBytes:
    """Write to a TCP connection, after everything given before."""

    connection: ConnectionId
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class CloseConnection:
    """Close abruptly (linger 0, so that a RST is sent). No input about it is expected after."""

    connection: ConnectionId
    reason: str


@dataclass(frozen=True, slots=True)
class SendHeartbeat:
    """Send one VXLAN heartbeat through the data path.

    Attributes:
        connection: on whose behalf.
        peer: the neighbour it goes to.
        source: our short id.
        destination: the neighbour's short id.
        remote_ip: outer destination address.
        local_ip: outer source address, that of the TCP connection.
        udp_port: outer destination port.
        frame: the complete inner Ethernet frame, 14 + MTU bytes.
    """

    connection: ConnectionId
    peer: PeerName
    source: ShortId
    destination: ShortId
    remote_ip: str
    local_ip: str
    udp_port: int
    frame: bytes = field(repr=False)


Command = Dial | SendBytes | CloseConnection | SendHeartbeat
