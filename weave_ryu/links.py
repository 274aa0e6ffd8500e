"""Links and addresses over netlink: what attaching a container and building a lab share.

Every function takes the namespace it works in; ``None`` is the caller's own.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import ipaddress
import os
import re
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weave_ryu.errors import ConfigError, NetworkError
from weave_ryu.namespaces import run_inside

MAX_IFNAME_LENGTH = 15

_SIOCETHTOOL = 0x8946
_ETHTOOL_GLINK = 0x0A
_ETHTOOL_STXCSUM = 0x17
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_IFNAME = re.compile(r"[A-Za-z0-9_.@-]{1,15}")


@dataclass(frozen=True, slots=True)
class Link:
    """One network interface as the kernel shows it."""

    index: int
    name: str
    mac: str
    mtu: int
    is_up: bool


# --- checks of what a user typed ----------------------------------------------------------------


_SCOPE_GLOBAL = 0
"""RT_SCOPE_UNIVERSE (linux/rtnetlink.h)."""
_IFA_PERMANENT = 0x80
"""IFA_F_PERMANENT (linux/if_addr.h)."""

_PERMANENT = 0x80
"""NUD_PERMANENT (linux/neighbour.h)."""


def parse_cidr(text: str, key: str = "CIDR") -> ipaddress.IPv4Interface | ipaddress.IPv6Interface:
    """Read an address with its prefix length, such as ``10.32.0.5/24``.

    Raises:
        ConfigError: not an address, no prefix length, or not the address of a host.
    """
    if "/" not in text:
        raise ConfigError(key, text, "the prefix length is missing: write it as in 10.32.0.5/24")
    try:
        interface = ipaddress.ip_interface(text)
    except ValueError:
        raise ConfigError(key, text, "not an address: write it as in 10.32.0.5/24") from None
    network = interface.network
    if interface.ip.is_multicast or interface.ip.is_unspecified or interface.ip.is_loopback:
        raise ConfigError(key, text, "not the address of one host: write it as in 10.32.0.5/24")
    if interface.version == 4 and network.prefixlen < 31:
        if interface.ip == network.network_address:
            raise ConfigError(key, text, "this is the network itself: choose an address inside it")
        if interface.ip == network.broadcast_address:
            raise ConfigError(key, text, "this is the broadcast address: choose another inside it")
    return interface


def check_ifname(text: str, key: str = "--ifname") -> str:
    """Refuse what the kernel would not take as a link name.

    Raises:
        ConfigError: too long, empty, or with characters that no link name has.
    """
    if not _IFNAME.fullmatch(text) or text in {".", ".."}:
        raise ConfigError(key, text, "a link name has 1 to 15 letters, digits, dots or dashes")
    return text


def check_mtu(mtu_bytes: int, key: str = "--mtu") -> int:
    """Refuse an MTU below what IPv4 needs or above what Ethernet links carry.

    Raises:
        ConfigError: out of range.
    """
    if not 576 <= mtu_bytes <= 65535:
        raise ConfigError(
            key, mtu_bytes, "give an MTU between 576 and 65535; the default is the bridge's"
        )
    return mtu_bytes


def check_mac(text: str, key: str = "--mac") -> str:
    """Normalise a unicast MAC address to lower case.

    Raises:
        ConfigError: not a MAC address, a group address, or all zeros.
    """
    mac = text.lower()
    if not _MAC.fullmatch(mac) or mac == "00:00:00:00:00:00":
        raise ConfigError(key, text, "write a MAC address as six hex bytes, 02:00:00:00:00:05")
    if int(mac[:2], 16) & 1:
        raise ConfigError(key, text, "this is a group address: the first byte must be even")
    return mac


# --- links --------------------------------------------------------------------------------------


def find_link(name: str, namespace: Path | None = None) -> Link | None:
    """The link of this name, or None."""
    return run_inside(namespace, lambda: _find_link(name))


def exists(name: str) -> bool:
    """Whether the caller's own namespace has a link of this name; cheaper than `find_link`."""
    try:
        socket.if_nametoindex(name)
    except OSError:
        return False
    return True


def create_veth(
    name: str,
    namespace: Path | None,
    peer_name: str,
    peer_namespace: Path | None,
    *,
    peer_mac: str | None = None,
) -> None:
    """Make a veth pair with one end in each namespace; both ends stay down.

    The kernel makes both ends in one step, so a name that is taken at either end changes nothing.

    Raises:
        NetworkError: a name is taken, a namespace is gone, or not permitted.
    """
    target = peer_namespace or Path("/proc/thread-self/ns/net")
    try:
        descriptor = os.open(target, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise NetworkError(f"namespace {target} cannot be opened: {error.strerror}") from error
    peer: dict[str, Any] = {"ifname": peer_name, "net_ns_fd": descriptor}
    if peer_mac is not None:
        peer["address"] = peer_mac

    def create() -> None:
        with _netlink(f"veth {name} to {peer_name} cannot be made") as route:
            route.link("add", ifname=name, kind="veth", peer=peer)

    try:
        run_inside(namespace, create)
    finally:
        os.close(descriptor)


def create_bridge(name: str, namespace: Path | None = None) -> None:
    """Make a plain kernel bridge that forwards at once: no STP, no snooping, no delay; set it up.

    Raises:
        NetworkError: the name is taken, or not permitted.
    """

    def create() -> None:
        with _netlink(f"bridge {name} cannot be made") as route:
            route.link(
                "add",
                ifname=name,
                kind="bridge",
                br_stp_state=0,
                br_forward_delay=0,
                br_mcast_snooping=0,
            )
            route.link("set", index=route.link_lookup(ifname=name)[0], state="up")

    run_inside(namespace, create)


def set_link(
    name: str,
    namespace: Path | None = None,
    *,
    mtu_bytes: int | None = None,
    mac: str | None = None,
    bridge: str | None = None,
    is_up: bool | None = None,
) -> None:
    """Change a link: MTU, MAC address, the kernel bridge it belongs to, up or down.

    Raises:
        NetworkError: no such link or bridge, or the kernel refused a value.
    """

    def change() -> None:
        with _netlink(f"link {name} cannot be changed") as route:
            index = _index_of(route, name)
            if mac is not None:
                route.link("set", index=index, address=mac)
            if mtu_bytes is not None:
                route.link("set", index=index, mtu=mtu_bytes)
            if bridge is not None:
                route.link("set", index=index, master=_index_of(route, bridge))
            if is_up is not None:
                route.link("set", index=index, state="up" if is_up else "down")

    run_inside(namespace, change)


def delete_link(name: str, namespace: Path | None = None) -> bool:
    """Remove a link; a veth takes its other end with it.

    Returns:
        Whether there was one.
    """

    def delete() -> bool:
        with _netlink(f"link {name} cannot be removed") as route:
            indexes = route.link_lookup(ifname=name)
            if indexes:
                route.link("del", index=indexes[0])
            return bool(indexes)

    return run_inside(namespace, delete)


def list_addresses(name: str, namespace: Path | None = None) -> list[str]:
    """The addresses of a link with their prefix lengths, without link-local IPv6, sorted."""

    def read() -> list[str]:
        with _netlink(f"addresses of {name} cannot be read") as route:
            index = _index_of(route, name)
            found = [
                f"{message.get_attr('IFA_ADDRESS')}/{message['prefixlen']}"
                for message in route.get_addr(index=index)
            ]
        return sorted(text for text in found if not ipaddress.ip_interface(text).is_link_local)

    return run_inside(namespace, read)


def host_addresses(name: str, *, with_advertised: bool = True) -> list[str]:
    """Addresses of a link by which others reach this host, with their prefix lengths, sorted.

    Args:
        name: of the link, in the caller's own namespace.
        with_advertised: also those that the kernel has made itself after a router's advertisement.

    Raises:
        NetworkError: no such link.
    """
    with _netlink(f"addresses of {name} cannot be read") as route:
        found = []
        for message in route.get_addr(index=_index_of(route, name)):
            flags = message.get_attr("IFA_FLAGS") or message["flags"]
            is_advertised = message["family"] == socket.AF_INET6 and not flags & _IFA_PERMANENT
            if message["scope"] == _SCOPE_GLOBAL and (with_advertised or not is_advertised):
                local = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
                found.append(f"{local}/{message['prefixlen']}")
        return sorted(found)


def add_address(name: str, cidr: str, namespace: Path | None = None) -> None:
    """Give a link an address.

    Raises:
        NetworkError: it has it already, or the kernel refused it.
    """
    _change_address("add", name, cidr, namespace)


def delete_address(name: str, cidr: str, namespace: Path | None = None) -> None:
    """Take an address away from a link, and no other.

    Raises:
        NetworkError: it did not have it.
    """
    others = [other for other in list_addresses(name, namespace) if other != cidr]
    _change_address("del", name, cidr, namespace)
    # With the first address of a subnet the kernel drops the further ones of it.
    for other in sorted(set(others) - set(list_addresses(name, namespace))):
        add_address(name, other, namespace)


def forwarding_table(namespace: Path | None = None) -> dict[str, str]:
    """What the bridges of a namespace have learnt: MAC → the port that it was last seen at.

    Raises:
        NetworkError: the kernel refused.
    """

    def read() -> dict[str, str]:
        with _netlink("the forwarding table cannot be read") as route:
            names = {link["index"]: link.get_attr("IFLA_IFNAME") for link in route.get_links()}
            return {
                str(entry.get_attr("NDA_LLADDR")): str(names.get(entry["ifindex"]))
                for entry in route.fdb("dump")
                # What is permanent are the ports' own addresses.
                if not entry["state"] & _PERMANENT
            }

    return run_inside(namespace, read)


def disable_tx_checksum_offload(name: str, namespace: Path | None = None) -> None:
    """Make the kernel finish checksums before a frame leaves by this link.

    A userspace datapath reads frames as they are: with the offload on, TCP and UDP that start in a
    namespace arrive with unfinished checksums and are dropped.

    Raises:
        NetworkError: no such link, or its driver cannot.
    """

    def ask_driver() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            try:
                _ethtool(control.fileno(), name, _ETHTOOL_STXCSUM)
            except OSError as error:
                raise NetworkError(
                    f"checksum offload of {name} cannot be switched off: {error.strerror}"
                ) from error

    run_inside(namespace, ask_driver)


def has_carrier(control: int, name: str) -> bool | None:
    """Whether a link has its carrier; None if nobody can tell.

    Being asked makes the kernel tell everybody what it holds back: it reports a lost carrier up to
    a second late if some link of the host has changed within the last one (net/core/link_watch.c).
    It may wait for a lock of the kernel's.

    Args:
        control: descriptor of any socket of the link's namespace.
        name: of the link.
    """
    try:
        return bool(_ethtool(control, name, _ETHTOOL_GLINK))
    except OSError:
        return None


# --- inside -------------------------------------------------------------------------------------


def _ethtool(control: int, name: str, command: int) -> int:
    """One command with a value of 32 bits, 0 on the way there; returns the value (ethtool(8))."""
    value = ctypes.create_string_buffer(struct.pack("=II", command, 0), 8)
    request = struct.pack("16sP", name.encode(), ctypes.addressof(value))
    fcntl.ioctl(control, _SIOCETHTOOL, request)
    return int(struct.unpack("=II", value.raw)[1])


@contextmanager
def _netlink(what: str) -> Iterator[Any]:
    """A netlink socket of the thread's namespace; its errors become one sentence."""
    # Importing pyroute2 takes 0.1 s, which the verbs that touch no link need not pay.
    from pyroute2 import IPRoute  # noqa: PLC0415
    from pyroute2.netlink.exceptions import NetlinkError  # noqa: PLC0415

    try:
        with IPRoute() as route:
            yield route
    except NetlinkError as error:
        reasons = {
            errno.EPERM: "not permitted: run this as root",
            errno.EEXIST: "the name or address is in use already: remove it or choose another",
            errno.ENODEV: "there is no such link",
        }
        reason = reasons.get(error.code, os.strerror(error.code))
        raise NetworkError(f"{what}: {reason}") from error


def _index_of(route: Any, name: str) -> int:  # noqa: ANN401  # pyroute2 has no types
    indexes = route.link_lookup(ifname=name)
    if not indexes:
        raise NetworkError(f"there is no link {name!r} in this namespace")
    return int(indexes[0])


def _find_link(name: str) -> Link | None:
    with _netlink(f"link {name} cannot be read") as route:
        for message in route.get_links():
            if message.get_attr("IFLA_IFNAME") == name:
                return Link(
                    index=int(message["index"]),
                    name=name,
                    mac=str(message.get_attr("IFLA_ADDRESS")),
                    mtu=int(message.get_attr("IFLA_MTU")),
                    is_up=bool(message["flags"] & 1),
                )
    return None


def _change_address(verb: str, name: str, cidr: str, namespace: Path | None) -> None:
    interface = parse_cidr(cidr)

    def change() -> None:
        with _netlink(f"address {cidr} of {name} cannot be changed") as route:
            arguments: dict[str, Any] = {
                "index": _index_of(route, name),
                "address": str(interface.ip),
                "prefixlen": interface.network.prefixlen,
            }
            if verb == "add" and interface.version == 4 and interface.network.prefixlen < 31:
                arguments["broadcast"] = str(interface.network.broadcast_address)
            route.addr(verb, **arguments)

    run_inside(namespace, change)
