"""Which addresses to dial, and when (mesh/connection_maker.go)."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache

from weave_ryu.mesh.config import Address
from weave_ryu.mesh.peers import Peers
from weave_ryu.mesh.views import TargetView

FIRST_INTERVAL_S = 2.0
LOST_INTERVAL_S = 0.5
"""The first interval after a neighbour was lost. Its flows, and ours to it, outlive a restart for
10 s; with Weave's 2 s (mesh/connection_maker.go) one unlucky draw could take longer."""
MAX_INTERVAL_S = 360.0
SETTLED_S = 2.0
"""A connection that ends earlier was not a neighbour lost, but one that would not have us."""
INTERVAL_GROWTH = 1.5
LONG_LIVED_S = 60.0
"""A connection that was begun longer ago than this before it ended is dialled again at once."""

_REMEMBERED = 1 << 14
_HOST_AND_PORT = re.compile(r"((?:[0-9]{1,3}\.){3}[0-9]{1,3}):([0-9]{1,5})")


class TargetState(Enum):
    """What the maker does about an address."""

    WAITING = auto()
    ATTEMPTING = auto()
    CONNECTED = auto()
    SUSPENDED = auto()


@dataclass(slots=True)
class _Target:
    """An address that is looked after.

    Attributes:
        try_at: earliest next attempt, or when the current one began; None: never again.
    """

    direct: bool
    try_at: float | None
    state: TargetState = TargetState.WAITING
    interval_s: float = FIRST_INTERVAL_S
    attempts: int = 0
    last_error: str | None = None

    def retry_now(self, now: float) -> None:
        self.try_at = now
        self.interval_s = FIRST_INTERVAL_S

    def retry_later(self, now: float, rng: random.Random) -> None:
        self.try_at = now + self.interval_s / 2 + rng.random() * self.interval_s
        self.interval_s = min(self.interval_s * INTERVAL_GROWTH, MAX_INTERVAL_S)


class Maker:
    """Keeps the list of targets; ``check`` says whom to dial now."""

    def __init__(self, port: int, discovery: bool, rng: random.Random) -> None:
        self._port = port
        self._discovery = discovery
        self._rng = rng
        self._direct: set[Address] = set()
        self._targets: dict[Address, _Target] = {}
        self._due: float | None = None
        self._due_is_known = True

    # Facts.

    def connect(self, addresses: Iterable[Address], replace: bool, now: float) -> None:
        """The operator wants these; with ``replace`` only these."""
        self._due_is_known = False
        if replace:
            self._direct.clear()
        for address in addresses:
            self._direct.add(address)
            target = self._targets.get(address.with_default_port(self._port))
            if target is not None:
                target.retry_now(now)

    def forget(self, addresses: Iterable[Address]) -> None:
        """The operator wants these no more; existing connections stay."""
        self._direct.difference_update(addresses)

    def is_direct(self, address: Address) -> bool:
        """The operator gave this address."""
        target = self._targets.get(address)
        return target is not None and target.direct

    def dial_failed(self, address: Address, reason: str, now: float) -> None:
        """No TCP connection."""
        self._due_is_known = False
        target = self._targets.get(address)
        if target is not None:
            target.state = TargetState.WAITING
            target.last_error = reason
            target.retry_later(now, self._rng)

    def joined(self, address: Address) -> None:
        """The connection is in our entry."""
        self._due_is_known = False
        target = self._targets.get(address)
        if target is not None:
            target.state = TargetState.CONNECTED

    def ended(self, address: Address, reason: str, never_again: bool, now: float) -> None:
        """A connection that we dialled is over."""
        self._due_is_known = False
        target = self._targets.get(address)
        if target is None:
            return
        was_joined = target.state is TargetState.CONNECTED
        target.state = TargetState.WAITING
        target.last_error = reason
        if never_again:
            target.try_at = None
        elif target.try_at is not None and now > target.try_at + LONG_LIVED_S:
            target.retry_now(now)
            target.interval_s = LOST_INTERVAL_S
        elif was_joined and target.try_at is not None and now > target.try_at + SETTLED_S:
            target.interval_s = LOST_INTERVAL_S
            target.retry_later(now, self._rng)
        else:
            target.retry_later(now, self._rng)

    # Decisions.

    def check(self, peers: Peers, now: float) -> list[Address]:
        """Look at everything again.

        Returns:
            Whom to dial now, sorted.
        """
        self._due_is_known = False
        direct, wanted = self._wanted(peers)
        for address in sorted(wanted - self._targets.keys()):
            self._targets[address] = _Target(direct=address in direct, try_at=now)
        dial: list[Address] = []
        for address, target in list(self._targets.items()):
            target.direct = address in direct
            if target.state not in (TargetState.WAITING, TargetState.SUSPENDED):
                continue
            if address not in wanted:
                self._drop(address, target)
                continue
            target.state = TargetState.WAITING
            if target.try_at is not None and target.try_at <= now:
                target.state = TargetState.ATTEMPTING
                target.try_at = now
                target.attempts += 1
                dial.append(address)
        return sorted(dial)

    def deadline(self) -> float | None:
        """When the next target is due."""
        if not self._due_is_known:
            times = [
                target.try_at
                for target in self._targets.values()
                if target.state is TargetState.WAITING and target.try_at is not None
            ]
            self._due = min(times, default=None)
            self._due_is_known = True
        return self._due

    def views(self) -> list[TargetView]:
        """For status, by address."""
        return [_view(address, self._targets[address]) for address in sorted(self._targets)]

    def _drop(self, address: Address, target: _Target) -> None:
        """A discovered address is forgotten when nobody suggests it; a direct one is suspended."""
        if target.direct:
            target.state = TargetState.SUSPENDED
        else:
            del self._targets[address]

    def _wanted(self, peers: Peers) -> tuple[set[Address], set[Address]]:
        """Direct addresses, and all that should be connected and are not."""
        own_lines = list(peers.own.connections.values())
        connected = {line.remote_tcp_addr for line in own_lines}
        inbound_hosts = {
            address.host
            for line in own_lines
            if not line.outbound and (address := _parse(line.remote_tcp_addr)) is not None
        }
        direct = {address.with_default_port(self._port) for address in self._direct}
        wanted = {
            address.with_default_port(self._port)
            for address in self._direct
            if address.port is not None or address.host not in inbound_hosts
        }
        if self._discovery:
            wanted |= self._suggested(peers)
        return direct, {address for address in wanted if str(address) not in connected}

    def _suggested(self, peers: Peers) -> set[Address]:
        """Addresses at which others are connected to peers that we are not connected to."""
        own = peers.own
        suggested: set[Address] = set()
        missing = peers.names - own.connections.keys() - {own.name}
        if not missing:
            return suggested
        for teller in peers.names - {own.name}:
            connections = peers[teller].connections
            for name in missing & connections.keys():
                line = connections[name]
                address = _parse(line.remote_tcp_addr)
                if address is not None and line.outbound:
                    suggested.add(address)
                elif address is not None:
                    # The recorded port of a connection that was accepted is ephemeral.
                    suggested.add(Address(address.host, self._port))
        return suggested


@lru_cache(maxsize=_REMEMBERED)
def _parse(text: str) -> Address | None:
    """``1.2.3.4:5``; None for anything else, such as IPv6, which is not dialled."""
    match = _HOST_AND_PORT.fullmatch(text)
    if match is None:
        return None
    port = int(match[2])
    if not 0 < port < 1 << 16 or any(int(part) > 255 for part in match[1].split(".")):
        return None
    return Address(match[1], port)


def _view(address: Address, target: _Target) -> TargetView:
    match target.state:
        case TargetState.ATTEMPTING:
            state = "connecting" if target.last_error is None else "retrying"
        case TargetState.CONNECTED:
            state = "connected"
        case TargetState.SUSPENDED:
            state = "suspended"
        case _:
            state = "waiting" if target.last_error is None else "failed"
    waiting = target.state is TargetState.WAITING
    return TargetView(
        address=address,
        direct=target.direct,
        state=state,
        attempts=target.attempts,
        next_try_at=target.try_at if waiting else None,
        never=target.try_at is None,
        last_error=target.last_error,
    )
