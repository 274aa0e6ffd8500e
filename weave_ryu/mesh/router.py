"""One peer's mesh control plane: composes connections, topology, gossip and the maker.

Inputs return None and queue outputs; ``poll_commands`` and ``poll_events`` drain them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from weave_ryu.mesh.commands import Command
from weave_ryu.mesh.config import Address, ConnectionId, RouterConfig
from weave_ryu.mesh.crypto import KeyPair
from weave_ryu.mesh.crypto import new_key_pair as default_key_pair
from weave_ryu.mesh.events import Event
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
        raise NotImplementedError

    # inputs
    def start(self, now: float) -> None: ...
    def accept_delay(self, now: float) -> float:
        """Seconds to wait before the next accept; 0 takes a token."""
        raise NotImplementedError

    def dialled(
        self,
        connection: ConnectionId,
        target: Address,
        local: tuple[str, int],
        remote: tuple[str, int],
        now: float,
    ) -> None: ...
    def accepted(
        self, connection: ConnectionId, local: tuple[str, int], remote: tuple[str, int], now: float
    ) -> None: ...
    def dial_failed(self, target: Address, reason: str, now: float) -> None: ...
    def receive_bytes(self, connection: ConnectionId, data: bytes, now: float) -> None: ...
    def receive_eof(self, connection: ConnectionId, reason: str, now: float) -> None: ...
    def write_blocked(self, connection: ConnectionId, blocked: bool, now: float) -> None:
        """The shell's send buffer is full / has room again: gossip waits merged meanwhile."""

    def handle_timer(self, now: float) -> None: ...
    def deadline(self) -> float | None: ...
    def connect_targets(self, targets: Sequence[Address], replace: bool, now: float) -> None: ...
    def forget_targets(self, targets: Sequence[Address], now: float) -> None: ...
    def register_channel(self, name: str) -> None: ...
    def set_complete_state(self, channel: str, payload_provider: Callable[[], bytes]) -> None: ...
    def gossip_unicast(
        self, channel: str, destination: PeerName, payload: bytes, now: float
    ) -> None: ...
    def gossip_broadcast(self, channel: str, payload: bytes, now: float) -> None: ...
    def gossip_neighbours(
        self, channel: str, payload: bytes, now: float, exclude: ConnectionId | None = None
    ) -> None: ...
    def raise_own_version(self, now: float) -> None: ...
    def heartbeat_received(
        self, source: ShortId, destination: ShortId, from_ip: str, frame: bytes, now: float
    ) -> None: ...

    # outputs
    def poll_commands(self) -> list[Command]:
        raise NotImplementedError

    def poll_events(self) -> list[Event]:
        raise NotImplementedError

    # views
    @property
    def name(self) -> PeerName:
        raise NotImplementedError

    @property
    def nick_name(self) -> str:
        raise NotImplementedError

    @property
    def uid(self) -> PeerUID:
        raise NotImplementedError

    @property
    def short_id(self) -> ShortId | None:
        raise NotImplementedError

    @property
    def version(self) -> int:
        raise NotImplementedError

    def connections(self) -> list[ConnectionView]:
        raise NotImplementedError

    def targets(self) -> list[TargetView]:
        raise NotImplementedError
