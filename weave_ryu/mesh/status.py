"""Pictures of connections for status reports."""

from __future__ import annotations

from weave_ryu.mesh.connection import HANDSHAKE_STATES, ConnectionMachine, State
from weave_ryu.mesh.overlay import UNHEALTHY_AFTER_S, FastdpOverlay
from weave_ryu.mesh.views import ConnectionView


def connection_view(
    machine: ConnectionMachine, overlay: FastdpOverlay | None, nick_name: str | None
) -> ConnectionView:
    """What can be told of a connection."""
    features = machine.remote_features
    handshake = machine.state in HANDSHAKE_STATES
    established = machine.state is State.ESTABLISHED
    joined = features if not handshake else None
    name = None if joined is None else joined.name
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
        info=_info(overlay),
    )


def _info(overlay: FastdpOverlay | None) -> str:
    """What is amiss, in words."""
    if overlay is None:
        return "handshake"
    if not overlay.healthy:
        return f"unhealthy: no heartbeat for {UNHEALTHY_AFTER_S:.0f} s"
    if not overlay.acknowledged:
        port = overlay.udp_port
        return f"no heartbeat acknowledged yet: full-size frames must pass on UDP {port}"
    return ""
