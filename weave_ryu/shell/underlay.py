"""Looks after the underlay of a userspace datapath, which `ovs_scripts/underlay-setup` has made.

VXLAN in userspace needs the underlay address on the internal port of a bridge. That port is a TUN
device of ovs-vswitchd: when the process ends the device vanishes, and comes back without its
address. The script notes the address in the bridge's external_ids; the daemon puts it back.

The link in the bridge stays a link of the kernel, which by default answers ARP on it for every
address of the host: with the link's MAC, beside the bridge with its own. Frames for the link's MAC
never reach the tunnel, so another switch that heard this answer last loses all it sends here. The
script tells the link to be silent, which a restart of the host undoes; the daemon tells it again,
and warns of links that the script has not been told of.

With the kernel datapath there is no such bridge, and nothing to do.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import structlog
from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from weave_ryu.ovsdb.bridge import UnderlayBridge

_log = structlog.get_logger()

LOOK_EVERY_S = 60.0
"""Between two looks, if nothing changes in the database."""

_CONF = Path("/proc/sys/net/ipv4/conf")
_SILENT = frozenset({1, 2, 8})
"""Values of ``arp_ignore`` with which a link does not answer for addresses of others
(net/ipv4/arp.c, arp_ignore)."""
_OWN_ONLY, _OWN_SUBNET, _NEVER = 1, 2, 8
_BEST_LOCAL = 2
"""``arp_announce``: a question names no address of another link as the one who asks."""

# linux/rtnetlink.h, linux/if_link.h, linux/ip.h
_RTM_SETLINK = 19
_REQUEST_ACK = 0x1 | 0x4
_NLMSG_ERROR = 2
_NESTED = 0x8000
_IFLA_AF_SPEC = 26
_IFLA_INET_CONF = 1
_ARP_ANNOUNCE, _ARP_IGNORE = 18, 19
_REPLY_TIMEOUT_S = 2.0


class ArpWatch:
    """Finds links of a bridge that answer ARP for the bridge's address.

    Args:
        mend: told the name of a link and the ``arp_ignore`` that makes it silent; may fail with
            OSError.
        conf: where the kernel shows the settings of the links.
    """

    def __init__(self, mend: Callable[[str, int], None], conf: Path = _CONF) -> None:
        self._mend = mend
        self._conf = conf
        self._told: set[str] = set()

    def look(self, bridge: UnderlayBridge, carried: Mapping[str, str]) -> None:
        """Make the links silent that are to be, and warn once of each that is not.

        Args:
            bridge: one whose internal port carries an address, or is to.
            carried: links that carry an address of the bridge, too, such as after the host's own
                configuration has put it there at boot → that address with its prefix length.
        """
        for link in bridge.links:
            if link in bridge.silenced and self._answers(link, is_own=False):
                self._silence(bridge.name, link)
            if not self._answers(link, is_own=link in carried):
                self._told.discard(link)
            elif link not in self._told:
                self._told.add(link)
                remedy = self._remedy(bridge, link, carried.get(link))
                _log.warning(
                    "underlay_link_answers_arp", link=link, bridge=bridge.name, remedy=remedy
                )

    def _silence(self, bridge: str, link: str) -> None:
        try:
            self._mend(link, self._silent_value())
        except OSError as error:
            _log.debug("underlay_link_not_silenced", link=link, error=str(error))
        else:
            _log.info("underlay_link_silenced", link=link, bridge=bridge)

    def _remedy(self, bridge: UnderlayBridge, link: str, carried: str | None) -> str:
        if bridge.address is not None and (carried or link not in bridge.silenced):
            return (
                f"ovs_scripts/underlay-setup --bridge {bridge.name} --link {link} "
                f"--address {bridge.address}"
            )
        if carried is not None:
            return f"ip addr del {carried} dev {link}"
        return f"sysctl -w net/ipv4/conf/{link}/arp_ignore={self._silent_value()}"

    def _answers(self, link: str, *, is_own: bool) -> bool:
        own = self._read(link)
        if own is None:
            return False  # the link is gone, or not in our namespace
        effective = max(own, self._read("all") or 0)
        return effective != _NEVER if is_own else effective not in _SILENT

    def _silent_value(self) -> int:
        """The kernel takes the greater of the link's own value and what is set for all."""
        return _OWN_ONLY if (self._read("all") or 0) <= _OWN_SUBNET else _NEVER

    def _read(self, link: str) -> int | None:
        try:
            return int((self._conf / link / "arp_ignore").read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None


class Keeper:
    """Keeps the underlay's bridges as they were set up."""

    def __init__(self) -> None:
        self._watch = ArpWatch(silence)

    def look_after(self, bridges: Iterable[UnderlayBridge]) -> None:
        """Put missing addresses on internal ports, set those up, and see that links are silent."""
        bridges = list(bridges)
        if not bridges:
            return
        with IPRoute() as ip:
            for bridge in bridges:
                addresses = set(_addresses(ip, bridge.name))
                if bridge.address is not None:
                    addresses.add(bridge.address.partition("/")[0])
                if not addresses:
                    continue
                carried = {
                    link: cidr
                    for link in bridge.links
                    for address, cidr in _addresses(ip, link).items()
                    if address in addresses
                }
                # Before the address is there: at no time do two answer for it.
                self._watch.look(bridge, carried)
                if bridge.address is not None:
                    _restore(ip, bridge.name, bridge.address)


def silence(link: str, arp_ignore: int) -> None:
    """Make the kernel mute on a link but for the link's own addresses.

    Over netlink: /proc/sys is closed to the daemon that systemd runs, and pyroute2 does not write
    this attribute.

    Raises:
        OSError: no such link, or not permitted.
    """
    settings = _attribute(_ARP_IGNORE, struct.pack("=I", arp_ignore))
    settings += _attribute(_ARP_ANNOUNCE, struct.pack("=I", _BEST_LOCAL))
    inet = _attribute(_IFLA_INET_CONF | _NESTED, settings)
    spec = _attribute(_IFLA_AF_SPEC | _NESTED, _attribute(socket.AF_INET | _NESTED, inet))
    message = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, socket.if_nametoindex(link), 0, 0) + spec
    header = struct.pack("=IHHII", 16 + len(message), _RTM_SETLINK, _REQUEST_ACK, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.settimeout(_REPLY_TIMEOUT_S)
        kernel.sendto(header + message, (0, 0))
        reply = kernel.recv(4096)
    kind, code = struct.unpack_from("=4xH10xi", reply)
    if kind == _NLMSG_ERROR and code:
        raise OSError(-code, f"the kernel refused settings of {link}")


def _attribute(kind: int, content: bytes) -> bytes:
    """A netlink attribute, padded to four bytes."""
    return struct.pack("=HH", 4 + len(content), kind) + content + bytes(-len(content) % 4)


def _restore(ip: IPRoute, bridge: str, text: str) -> None:
    try:
        _restore_one(ip, bridge, ipaddress.IPv4Interface(text))
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


def _addresses(ip: IPRoute, name: str) -> dict[str, str]:
    """A link's IPv4 addresses → the same with their prefix lengths."""
    found = ip.link_lookup(ifname=name)
    if not found:
        return {}
    return {
        address: f"{address}/{message['prefixlen']}"
        for message in ip.get_addr(index=found[0], family=socket.AF_INET)
        if (address := str(message.get_attr("IFA_LOCAL")))
    }
