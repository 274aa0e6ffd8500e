"""Pictures of connections for status reports."""

from __future__ import annotations

from dataclasses import dataclass

from weave_ryu.mesh.connection import HANDSHAKE_STATES, ConnectionMachine, State
from weave_ryu.mesh.overlay import UNHEALTHY_AFTER_S, FastdpOverlay
from weave_ryu.mesh.peers import Connection
from weave_ryu.mesh.views import ConnectionView


@dataclass(frozen=True, slots=True)
class FarEnd:
    """What is known of a connection's other side.

    Attributes:
        nick_name: None if its entry is not known.
        line: the connection in its entry; None if it is not there (yet).
    """

    nick_name: str | None = None
    line: Connection | None = None

    @property
    def hears_us(self) -> bool:
        """So it says."""
        return self.line is not None and self.line.established


def connection_view(
    machine: ConnectionMachine, overlay: FastdpOverlay | None, far_end: FarEnd
) -> ConnectionView:
    """What can be told of a connection.

    It is established if both sides say so: frames take no other.
    """
    features = machine.remote_features
    handshake = machine.state in HANDSHAKE_STATES
    established = machine.state is State.ESTABLISHED and far_end.hears_us
    joined = features if not handshake else None
    name = None if joined is None else joined.name
    nick_name = far_end.nick_name
    if joined is not None and nick_name is None:
        nick_name = joined.nick_name
    state = "handshake" if handshake else ("established" if established else "pending")
    return ConnectionView(
        connection=machine.link.connection,
        state=state,
        name=name,
        nick_name=nick_name,
        outbound=machine.link.outbound,
        remote=machine.link.remote,
        local=machine.link.local,
        encrypted=machine.encrypted,
        established=established,
        connection_uid=None if joined is None else machine.connection_uid,
        overlay=None if overlay is None else overlay.view(),
        opened_at=machine.opened_at,
        heard_at=machine.heard_at,
        info="handshake" if overlay is None else _info(machine, overlay, far_end),
    )


def _info(machine: ConnectionMachine, overlay: FastdpOverlay, far_end: FarEnd) -> str:
    """What is amiss, in words: of each direction what this side knows."""
    words = []
    if not overlay.healthy:
        words.append(f"unhealthy: no heartbeat for {UNHEALTHY_AFTER_S:.0f} s")
    elif overlay.heard_at is None:
        words.append("no heartbeat heard yet")
    if not overlay.acknowledged:
        words.append("no heartbeat acknowledged yet")
    elif not far_end.hears_us:
        words.append("the other side does not hear us")
    if not words:
        return ""
    where = f"{overlay.local_ip} and {overlay.remote_ip}"
    text = f"{', '.join(words)}: full-size frames must pass on UDP {overlay.udp_port} between "
    return f"{text}{where}, both ways{_translation(machine, overlay, far_end)}"


def _translation(machine: ConnectionMachine, overlay: FastdpOverlay, far_end: FarEnd) -> str:
    """A hint if addresses are translated on the way, as far as this side can see it."""
    seen = "" if far_end.line is None else far_end.line.remote_tcp_addr.rpartition(":")[0]
    own = overlay.local_ip
    if seen and seen != own:
        return (
            f"; NAT: the other side sees us as {seen}, which must forward UDP "
            f"{overlay.udp_port} to {own}"
        )
    if not machine.link.outbound and not overlay.acknowledged and overlay.heard_at is not None:
        return (
            f"; if {overlay.remote_ip} is a NAT's address, that must forward UDP "
            f"{overlay.udp_port} to the other side"
        )
    return ""
