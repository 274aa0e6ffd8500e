"""The fast datapath's half of a connection: VXLAN heartbeats and their ack (router/fastdp.go).

Only ``fastdp`` is offered, so it is the first and only name in the list of common overlays, and its
index in overlay control messages is 0.
"""

from __future__ import annotations

from enum import Enum, auto

from weave_ryu.errors import RemoteProtocolError
from weave_ryu.mesh.features import OVERLAY
from weave_ryu.mesh.messages import OverlayControl
from weave_ryu.mesh.views import OverlayView

FASTDP_INDEX = 0
SUB_TAG_ACK = 0

FAST_HEARTBEAT_S = 0.5
SLOW_HEARTBEAT_S = 10.0
UNHEALTHY_AFTER_S = 60.0

_ETHERNET_BYTES = 14
_LEAST_HEARTBEAT_BYTES = _ETHERNET_BYTES + 8 + 2
_ZERO_HEADER = bytes(_ETHERNET_BYTES)


def heartbeat_frame(connection_uid: int, mtu_bytes: int) -> bytes:
    """A heartbeat: zero MACs, ethertype 0, connection UID, length; as long as the MTU allows."""
    size = _ETHERNET_BYTES + mtu_bytes
    head = _ZERO_HEADER + connection_uid.to_bytes(8, "big") + size.to_bytes(2, "big")
    return head.ljust(size, b"\0")


def is_heartbeat_of(frame: bytes, connection_uid: int) -> bool:
    """True for a good heartbeat of that connection."""
    return (
        len(frame) >= _LEAST_HEARTBEAT_BYTES
        and frame[:_ETHERNET_BYTES] == _ZERO_HEADER
        and int.from_bytes(frame[14:22], "big") == connection_uid
        and int.from_bytes(frame[22:24], "big") == len(frame)
    )


class _Phase(Enum):
    PROBING = auto()
    ACKNOWLEDGED = auto()


class FastdpOverlay:
    """Heartbeats of one connection, from the moment it is confirmed."""

    def __init__(
        self, connection_uid: int, remote_ip: str, local_ip: str, udp_port: int, now: float
    ) -> None:
        self.connection_uid = connection_uid
        self.remote_ip = remote_ip
        self.local_ip = local_ip
        self.udp_port = udp_port
        self.healthy = True
        self._phase = _Phase.PROBING
        self._send_at = now
        self._confirmed_at = now
        self._heard_at: float | None = None

    @property
    def acknowledged(self) -> bool:
        """The other side has received one of our heartbeats."""
        return self._phase is _Phase.ACKNOWLEDGED

    @property
    def works(self) -> bool:
        """As far as this side can tell: ours have arrived, and theirs do.

        Weave believes the ack for ever. It is sent once in a connection's life, so a way that fails
        later shows only in what is not heard.
        """
        return self.acknowledged and self.healthy

    @property
    def heard_at(self) -> float | None:
        """When the last good heartbeat came."""
        return self._heard_at

    def heartbeat_received(self, frame: bytes, from_ip: str, now: float) -> bool:
        """Look at a special frame from that peer.

        Returns:
            True if the ack must be sent: at the first good heartbeat, once.
        """
        if not is_heartbeat_of(frame, self.connection_uid):
            return False
        self.remote_ip = from_ip
        first = self._heard_at is None
        self._heard_at = now
        self.healthy = True
        return first

    def control_received(self, message: OverlayControl, now: float) -> bool:
        """Look at an overlay control message.

        Returns:
            True if it is the first ack. Unknown sub-tags and repeated acks are ignored.

        Raises:
            RemoteProtocolError: the index is outside the list of common overlays.
        """
        if message.index != FASTDP_INDEX:
            raise RemoteProtocolError(
                "bad-overlay-index", f"overlay index {message.index}, one overlay is in common"
            )
        if message.sub_tag != SUB_TAG_ACK or self.acknowledged:
            return False
        self._phase = _Phase.ACKNOWLEDGED
        self._send_at = now + SLOW_HEARTBEAT_S
        return True

    def handle_timer(self, now: float) -> bool:
        """Notice silence.

        Returns:
            True if a heartbeat must be sent now.
        """
        if now >= self._unhealthy_at():
            self.healthy = False
        if now < self._send_at:
            return False
        self._send_at = now + (SLOW_HEARTBEAT_S if self.acknowledged else FAST_HEARTBEAT_S)
        return True

    def deadline(self) -> float:
        """When ``handle_timer`` has something to do."""
        return min(self._send_at, self._unhealthy_at()) if self.healthy else self._send_at

    def _unhealthy_at(self) -> float:
        last = self._confirmed_at if self._heard_at is None else self._heard_at
        return last + UNHEALTHY_AFTER_S

    def view(self) -> OverlayView:
        """For status."""
        return OverlayView(
            name=OVERLAY,
            established=self.acknowledged,
            healthy=self.healthy,
            remote_ip=self.remote_ip,
            local_ip=self.local_ip,
            udp_port=self.udp_port,
            heartbeat_at=self._heard_at,
        )
