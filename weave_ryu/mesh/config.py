"""What a router is told at the start: values only, checked once."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import NewType

from weave_ryu.names import MAX_SHORT_ID, UNKNOWN_PEER, PeerName, PeerUID, ShortId

DEFAULT_PORT = 6783
DEFAULT_CONNECTION_LIMIT = 200
DEFAULT_MTU_BYTES = 1376

ConnectionId = NewType("ConnectionId", int)
"""A TCP connection, numbered by the shell; never used twice in the life of a process."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a peer may be reached.

    Attributes:
        host: dotted IPv4, resolved already.
        port: TCP port; None means "given without a port", which is dialled on the default port and
            not at all while that host is connected to us (mesh/connection_maker.go).
    """

    host: str
    port: int | None = None

    def with_default_port(self, port: int) -> Address:
        """The same address with a port in any case."""
        return self if self.port is not None else Address(self.host, port)

    def __lt__(self, other: Address) -> bool:
        return (self.host, self.port or 0) < (other.host, other.port or 0)

    def __str__(self) -> str:
        return self.host if self.port is None else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class RouterConfig:
    """Everything that stays the same during the life of a router.

    Attributes:
        name: our identity; not 0.
        nick_name: label for humans, usually the host name.
        uid: random number of this start; not 0.
        short_id: 12 bits, kept over restarts by the shell.
        port: TCP port of the control connection; VXLAN uses the next one.
        password: None for plain connections.
        peer_discovery: dial the peers that others know of.
        connection_limit: most connections to peers; 0 = none.
        trusted_subnets: remote addresses in them need no encryption of the overlay.
        targets: addresses to dial from the start.
        mtu_bytes: MTU of the overlay; a heartbeat frame is 14 bytes longer.
    """

    name: PeerName
    nick_name: str
    uid: PeerUID
    short_id: ShortId
    port: int = DEFAULT_PORT
    password: bytes | None = field(default=None, repr=False)
    peer_discovery: bool = True
    connection_limit: int = DEFAULT_CONNECTION_LIMIT
    trusted_subnets: tuple[ipaddress.IPv4Network, ...] = ()
    targets: tuple[Address, ...] = ()
    mtu_bytes: int = DEFAULT_MTU_BYTES

    def __post_init__(self) -> None:
        """Refuse what the protocol reserves."""
        if self.name == UNKNOWN_PEER:
            raise ValueError('peer name 0 means "unknown": choose another name')
        if self.uid == 0:
            raise ValueError("UID 0 marks a placeholder: draw another one")
        if not 0 <= self.short_id <= MAX_SHORT_ID:
            raise ValueError(f"short id {self.short_id} does not fit in 12 bits")

    def is_trusted(self, host: str) -> bool:
        """True if that address is in one of the trusted subnets."""
        try:
            address = ipaddress.IPv4Address(host)
        except ValueError:
            return False
        return any(address in subnet for subnet in self.trusted_subnets)
