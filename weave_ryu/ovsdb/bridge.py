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
    """

    name: str
    bridge: str
    number: int
    error: str
    up: bool | None
    external_ids: dict[str, str]
