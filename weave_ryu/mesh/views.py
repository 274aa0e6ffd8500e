"""Read-only pictures of the router's state, for status reports and the pipeline."""

from __future__ import annotations

from dataclasses import dataclass

from weave_ryu.mesh.config import Address, ConnectionId
from weave_ryu.names import PeerName


@dataclass(frozen=True, slots=True)
class OverlayView:
    """The overlay half of a connection.

    Attributes:
        name: always ``fastdp``.
        established: the neighbour acknowledged one of our heartbeats.
        healthy: a good heartbeat of the neighbour came in the last 60 s.
        remote_ip: where frames go now.
        local_ip: our address in the outer header.
        udp_port: outer destination port.
        heartbeat_at: monotonic seconds of the last good heartbeat.
    """

    name: str
    established: bool
    healthy: bool
    remote_ip: str
    local_ip: str
    udp_port: int
    heartbeat_at: float | None


@dataclass(frozen=True, slots=True)
class ConnectionView:
    """One TCP connection.

    Attributes:
        state: ``handshake``, ``pending`` (added, overlay not yet acknowledged) or ``established``.
        name: None during the handshake, as are nick_name, connection_uid and overlay.
        opened_at: monotonic seconds when the TCP connection was opened.
        heard_at: monotonic seconds of the last whole message.
        info: what is amiss, empty if nothing is.
    """

    connection: ConnectionId
    state: str
    name: PeerName | None
    nick_name: str | None
    outbound: bool
    remote: tuple[str, int]
    local: tuple[str, int]
    encrypted: bool
    established: bool
    connection_uid: int | None
    overlay: OverlayView | None
    opened_at: float
    heard_at: float
    info: str


@dataclass(frozen=True, slots=True)
class TargetView:
    """One address that the maker looks after.

    Attributes:
        address: always with a port.
        direct: given by the operator, not discovered.
        state: ``connecting``, ``retrying`` (dials again), ``failed`` (waits after
            a failure), ``waiting``, ``connected`` or ``suspended``.
        attempts: dials so far.
        next_try_at: monotonic seconds; None if it is not due or never tried again.
        never: it is ourself or a namesake, and is not tried again.
    """

    address: Address
    direct: bool
    state: str
    attempts: int
    next_try_at: float | None
    never: bool
    last_error: str | None
