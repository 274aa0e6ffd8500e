"""Looks after the underlay of a userspace datapath, which `ovs_scripts/underlay-setup` has made.

VXLAN in userspace needs the underlay address on the internal port of a bridge. That port is a TUN
device of ovs-vswitchd: when the process ends the device vanishes, and comes back without its
address. The script notes the address in the bridge's external_ids; the daemon puts it back, or what
the device has carried last.

Only then: on a device that stays, an address that is gone was taken away by somebody, such as a
DHCP client that got another one. Put back it would be an address that is another host's by now.

The link in the bridge stays a link of the kernel, which by default answers ARP on it for every
address of the host: with the link's MAC, beside the bridge with its own. Frames for the link's MAC
never reach the tunnel, so another switch that heard this answer last loses all it sends here. The
script tells the link to be silent, which a restart of the host undoes; the daemon tells it again,
and warns of links that the script has not been told of.

With the kernel datapath there is no such bridge, and nothing to do.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog
from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from weave_ryu.errors import WeaveRyuError
from weave_ryu.ovsdb.bridge import UnderlayBridge

_log = structlog.get_logger()

LOOK_EVERY_S = 60.0
"""Between two looks, if nothing changes in the database."""

_CONF = Path("/proc/sys/net/ipv4/conf")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
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
    """Keeps the underlay's bridges as they were set up.

    Args:
        note: told the name of a bridge and what is to be in `UnderlayBridge.seen` from now on; may
            fail with a WeaveRyuError.
    """

    def __init__(self, note: Callable[[str, str], None]) -> None:
        self._watch = ArpWatch(silence)
        self._note = note
        self._seen: dict[tuple[str, str | None], Seen] = {}

    def look_after(self, bridges: Iterable[UnderlayBridge]) -> None:
        """Give new devices their addresses back, and see that links are silent."""
        bridges = list(bridges)
        if not bridges:
            return
        with IPRoute() as ip:
            for bridge in bridges:
                self._look_after(ip, bridge)
        # pyroute2 is not to be used while others run, who may come here, too.
        for bridge in bridges:
            seen = self._seen.get(_key(bridge))
            # What somebody has taken away is noted here only: after a restart of the host it may
            # be there again, as after any `ip addr del`.
            if seen is not None and seen.addresses and str(seen) != bridge.seen:
                with contextlib.suppress(WeaveRyuError):
                    self._note(bridge.name, str(seen))

    def _look_after(self, ip: IPRoute, bridge: UnderlayBridge) -> None:
        present = list(_addresses(ip, bridge.name).values())
        seen = self._seen.get(_key(bridge)) or Seen.parse(bridge.seen)
        noted = [] if bridge.address is None else [bridge.address]
        wanted = noted if seen is None else list(seen.addresses)
        # Whichever of them are there, a link is not to answer for them.
        ours = {cidr.partition("/")[0] for cidr in (present or wanted or noted)}
        if not ours:
            return
        carried = {
            link: cidr
            for link in bridge.links
            for address, cidr in _addresses(ip, link).items()
            if address in ours
        }
        # Before the address is there: at no time do two answer for it.
        self._watch.look(bridge, carried)
        found = ip.link_lookup(ifname=bridge.name)
        if bridge.address is None or not found:
            return  # not ours; or Open vSwitch has yet to make the device: its change calls us
        device = f"{_boot()}/{found[0]}"
        if seen is None or seen.device != device:
            if not _restore(ip, bridge.name, found[0], [] if present else wanted):
                return
            present = present or wanted
        self._seen[_key(bridge)] = Seen(device, tuple(present))


@dataclass(frozen=True, slots=True)
class Seen:
    """A device, and what was on it.

    Args:
        device: a word that no other device ever has.
        addresses: ``ADDRESS/PREFIX``, in the order in which they were given.
    """

    device: str
    addresses: tuple[str, ...]

    @classmethod
    def parse(cls, text: str | None) -> Seen | None:
        """What `str` has made; None if it is no such thing."""
        words = (text or "").split()
        return cls(words[0], tuple(words[1:])) if len(words) > 1 else None

    def __str__(self) -> str:
        return " ".join((self.device, *self.addresses))


def _key(bridge: UnderlayBridge) -> tuple[str, str | None]:
    """A bridge that the script makes anew, with another address, is another one."""
    return bridge.name, bridge.address


def _boot() -> str:
    """Numbers of devices begin anew with each start of the host, which has this name."""
    return _BOOT_ID.read_text(encoding="ascii").strip()


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


def _restore(ip: IPRoute, bridge: str, index: int, wanted: Iterable[str]) -> bool:
    """Set a new device up, and give it addresses; False if that has to be tried again."""
    try:
        if not ip.get_links(index)[0]["flags"] & 1:
            ip.link("set", index=index, state="up")
        for text in wanted:
            cidr = ipaddress.IPv4Interface(text)
            ip.addr("add", index=index, address=str(cidr.ip), prefixlen=cidr.network.prefixlen)
            _log.info("underlay_restored", bridge=bridge, address=text)
    except (ValueError, NetlinkError) as error:
        _log.warning("underlay_not_restored", bridge=bridge, error=str(error))
        return False
    return True


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
