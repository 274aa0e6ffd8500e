"""The desired bridge as data.

Source: ovs-vswitchd.conf.db(5), tables Bridge, Port, Interface, Controller and Flow_Table.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from weave_ryu.names import PeerName

Datapath = Literal["system", "netdev"]


@dataclass(frozen=True, slots=True)
class FlowTableSpec:
    """Name of a table, and the number of flows that it may hold; None = no limit."""

    name: str
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class BridgeSpec:
    """What must be in the database for one bridge.

    Args:
        name: of the bridge and its internal port.
        datapath: ``system`` (kernel module) or ``netdev`` (userspace).
        hardware_address: of the internal port; None lets Open vSwitch choose one.
        mtu_bytes: requested for the internal port.
        controller: where the daemon listens for OpenFlow, such as ``unix:/run/…``.
        tunnels: VXLAN port name → UDP destination port.
        gateway_ports: names of links that are added to the bridge.
        tables: OpenFlow table number → its name and limit.
        settings: ``other_config`` of the bridge.
    """

    name: str
    datapath: Datapath
    controller: str
    tunnels: dict[str, int]
    gateway_ports: tuple[str, ...]
    tables: dict[int, FlowTableSpec]
    hardware_address: PeerName | None = None
    mtu_bytes: int = 1376
    settings: dict[str, str] = field(default_factory=lambda: {"disable-in-band": "true"})


def tunnel_options(udp_port: int) -> dict[str, str]:
    """Options of the flow-based VXLAN port: Weave's datagrams (DF set, TTL 64, no checksum)."""
    return {
        "remote_ip": "flow",
        "local_ip": "flow",
        "key": "flow",
        "dst_port": str(udp_port),
        "df_default": "true",
        "ttl": "64",
        "csum": "false",
    }


BFD_KEY = 0xFFFFFF
"""Tunnel key of BFD between gateways: as a Weave tunnel id it would go from 4095 to 4095, which no
peer sends. So the session shares the UDP port, and nobody else takes it for a frame."""

BFD_PREFIX = "bf-"


@dataclass(frozen=True, slots=True)
class BfdSpec:
    """A BFD session with another gateway, on a tunnel of its own (ovs-vswitchd.conf.db(5), bfd).

    Args:
        peer: the other gateway.
        remote_ip: its underlay address.
        local_ip: this host's.
        udp_port: that it listens on.
        interval_ms: between two packets.
    """

    peer: PeerName
    remote_ip: str
    local_ip: str
    udp_port: int
    interval_ms: int

    @property
    def port(self) -> str:
        """Name of the tunnel port: 15 characters, the most that a link name may have."""
        return BFD_PREFIX + self.peer.to_bytes6().hex()

    def options(self) -> dict[str, str]:
        """The tunnel's."""
        return {
            "remote_ip": self.remote_ip,
            "local_ip": self.local_ip,
            "key": str(BFD_KEY),
            "dst_port": str(self.udp_port),
            "df_default": "true",
        }

    def bfd(self) -> dict[str, str]:
        """The session's."""
        interval = str(self.interval_ms)
        return {"enable": "true", "min_tx": interval, "min_rx": interval}


@dataclass(frozen=True, slots=True)
class InterfaceState:
    """What Open vSwitch says of an interface.

    Args:
        name: of the link.
        bridge: that it belongs to.
        number: OpenFlow port number; -1 while it could not be added.
        error: why it could not be added, or empty.
        up: carrier; None if unknown.
        external_ids: free text kept with the interface.
        bfd: ``bfd_status``; empty if the interface runs no BFD.
    """

    name: str
    bridge: str
    number: int
    error: str
    up: bool | None
    external_ids: dict[str, str]
    bfd: dict[str, str] = field(default_factory=dict)


ATTACHED_KEY = "weave-ryu-attached"
"""Key in the ``external_ids`` of an interface that `weave-ryu attach` made: the kernel's number of
the namespace that it serves."""

NAMESPACE_KEY = "weave-ryu-netns"
"""The same: the namespace, as whoever attached it has called it."""


GATEWAY_KEY = "weave-ryu-gateway"
"""The same of one that the daemon made a gateway port: what it is for, also when the daemon is not
told of it any more. Its value is the link that was plugged in: the host's boot id and the kernel's
number, as ``UUID/IFINDEX``, or ``yes`` until that is known."""

ROLE_KEY = "weave-ryu-role"
"""The same: the role that an operator has set."""


@dataclass(frozen=True, slots=True)
class AttachedPort:
    """A port that `weave-ryu attach` made.

    Args:
        row: identifies its record: a port of the same name that is made later has another one.
        namespace: that it serves, as it was called.
    """

    row: str
    namespace: str


UNDERLAY_KEY = "weave-ryu-underlay"
"""Key in the ``external_ids`` of a bridge that `ovs_scripts/underlay-setup` made: its address."""

SEEN_KEY = "weave-ryu-underlay-seen"
"""The same: which device the daemon has seen there last, and with which addresses."""

BEFORE_PREFIX = "weave-ryu-before-"
"""With the name of a link behind it: what that had set before the script made it silent."""


@dataclass(frozen=True, slots=True)
class UnderlayBridge:
    """A bridge in userspace whose internal port may carry the underlay's address.

    Args:
        name: of the bridge and its internal port.
        links: links of the kernel that are its ports.
        address: ``ADDRESS/PREFIX`` that the script has noted; None if it has not made the bridge.
        silenced: those of the links that the script has made silent.
        seen: what the daemon has noted of the internal port; None if nothing.
    """

    name: str
    links: tuple[str, ...]
    address: str | None = None
    silenced: frozenset[str] = frozenset()
    seen: str | None = None
