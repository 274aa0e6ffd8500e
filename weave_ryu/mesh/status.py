"""Pictures of connections for status reports."""

from __future__ import annotations

from weave_ryu.mesh.connection import HANDSHAKE_STATES, ConnectionMachine, State
from weave_ryu.mesh.overlay import FastdpOverlay
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
        info=_info(machine, overlay, name is not None, f"{name}({nick_name})"),
    )


def _info(machine: ConnectionMachine, overlay: FastdpOverlay | None, joined: bool, who: str) -> str:
    """Weave's words: encryption, overlay, peer."""
    if not joined or overlay is None:
        return "handshake"
    words = ["encrypted" if machine.encrypted else "", "fastdp", who]
    if not overlay.healthy:
        words.append("unhealthy")
    return " ".join(word for word in words if word)
