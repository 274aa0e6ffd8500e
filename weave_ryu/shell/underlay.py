"""Brings back underlay addresses that a restart of Open vSwitch took away.

The userspace datapath needs the underlay address on the internal port of a bridge. That port is a
TUN device of ovs-vswitchd: when the process ends the device vanishes, and comes back without its
address. `ovs_scripts/underlay-setup` notes the address in the bridge's external_ids; the daemon
puts it back. With the kernel datapath there is no such bridge, and nothing to do.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping

import structlog
from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

_log = structlog.get_logger()

KEY = "weave-ryu-underlay"
"""Key in the bridge's external_ids; the value is an IPv4 address with prefix length."""


def restore(bridges: Mapping[str, str]) -> None:
    """Put missing addresses on the internal ports of bridges, and set those up.

    Args:
        bridges: bridge name → ``ADDRESS/PREFIX``.
    """
    if not bridges:
        return
    with IPRoute() as ip:
        for bridge, text in bridges.items():
            try:
                wanted = ipaddress.IPv4Interface(text)
                _restore_one(ip, bridge, wanted)
            except (ValueError, NetlinkError) as error:
                _log.warning("underlay_not_restored", bridge=bridge, value=text, error=str(error))


def _restore_one(ip: IPRoute, bridge: str, wanted: ipaddress.IPv4Interface) -> None:
    found = ip.link_lookup(ifname=bridge)
    if not found:
        return  # Open vSwitch has not made the device yet; its next change calls us again
    index = found[0]
    present = {
        (message.get_attr("IFA_ADDRESS"), message["prefixlen"])
        for message in ip.get_addr(index=index, family=socket.AF_INET)
    }
    is_up = ip.get_links(index)[0]["flags"] & 1
    if not is_up:
        ip.link("set", index=index, state="up")
    if (str(wanted.ip), wanted.network.prefixlen) not in present:
        ip.addr("add", index=index, address=str(wanted.ip), prefixlen=wanted.network.prefixlen)
        _log.info("underlay_restored", bridge=bridge, address=str(wanted))
