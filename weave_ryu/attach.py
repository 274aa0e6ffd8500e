"""Plugging a network namespace into the bridge, and unplugging it.

A veth pair joins the two: one end in the namespace, the other a port of the bridge. The port's
record in the Open vSwitch database says which namespace it serves, so that nothing else need be
remembered. Every step can be repeated; a step that fails takes back what was made before it.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from weave_ryu import links, namespaces
from weave_ryu.addresses import check_remote
from weave_ryu.errors import ConfigError, NetworkError, OvsdbError
from weave_ryu.ovsdb.bridge import ATTACHED_KEY, NAMESPACE_KEY

DEFAULT_BRIDGE: Final = "weave"
DEFAULT_IFNAME: Final = "ethwe"
DEFAULT_MTU_BYTES: Final = 1376
"""Of a bridge that no daemon has given one yet: the daemon's own default."""

_IFNAME_KEY: Final = "weave-ryu-ifname"
_VSCTL_TIMEOUT_S: Final = 10


@dataclass(frozen=True, slots=True)
class Request:
    """What to plug in where.

    Args:
        namespace: name, path or process id, as the user gave it.
        cidr: address with prefix length.
        ifname: name of the link inside the namespace.
        mtu_bytes: None means the bridge's for a new link, and no change of an existing one.
        mac: None lets the kernel choose.
        ovs_db: None means the socket in ``$OVS_RUNDIR``.
        host_namespace: where the bridge is; None is the caller's own namespace.
    """

    namespace: str
    cidr: str
    ifname: str = DEFAULT_IFNAME
    bridge: str = DEFAULT_BRIDGE
    mtu_bytes: int | None = None
    mac: str | None = None
    ovs_db: str | None = None
    host_namespace: Path | None = None


@dataclass(frozen=True, slots=True)
class _Port:
    """A port of the bridge that serves a namespace."""

    name: str
    ifname: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done.

    Args:
        sentence: for a human.
        has_changed: False if everything was as asked before.
        ports: of the bridge that were made, changed or removed.
    """

    sentence: str
    has_changed: bool = True
    ports: tuple[str, ...] = ()


def attach(request: Request) -> Outcome:
    """Plug a namespace into the bridge, or give the link it has there one more address.

    Raises:
        ConfigError: an argument cannot be used.
        NetworkError: a link could not be made.
        OvsdbError: Open vSwitch did not take the port. In all cases nothing was changed.
    """
    interface = links.parse_cidr(request.cidr)
    links.check_ifname(request.ifname)
    _check_switch(request)
    if request.mtu_bytes is not None:
        links.check_mtu(request.mtu_bytes)
    mac = None if request.mac is None else links.check_mac(request.mac)
    namespace = namespaces.resolve_namespace(request.namespace)
    _require_root("attach")
    switch = _Switch(request.ovs_db or default_ovs_db(), request.bridge)
    is_userspace = switch.is_userspace()
    identity = namespaces.namespace_id(namespace)
    if identity == namespaces.namespace_id(request.host_namespace):
        raise ConfigError("NETNS", request.namespace, "this is the host's own namespace")
    port = port_name(identity, request.bridge, request.ifname)
    inner = links.find_link(request.ifname, namespace)
    if links.find_link(port, request.host_namespace) is not None and switch.has_port(port):
        return _attach_again(request, namespace, str(interface), mac, port)
    if inner is not None:
        raise ConfigError(
            "--ifname",
            request.ifname,
            f"namespace {request.namespace} has another link of this name: choose a different one",
        )
    # A link or a port without the other is left over from a namespace that has gone.
    links.delete_link(port, request.host_namespace)
    switch.delete_port(port)
    with ExitStack() as undo:
        links.create_veth(port, request.host_namespace, request.ifname, namespace, peer_mac=mac)
        undo.callback(links.delete_link, port, request.host_namespace)
        mtu_bytes = request.mtu_bytes or switch.mtu_bytes() or DEFAULT_MTU_BYTES
        links.set_link(request.ifname, namespace, mtu_bytes=mtu_bytes)
        links.set_link(port, request.host_namespace, mtu_bytes=mtu_bytes, is_up=True)
        if is_userspace:
            links.disable_tx_checksum_offload(request.ifname, namespace)
        links.add_address(request.ifname, str(interface), namespace)
        links.set_link(request.ifname, namespace, is_up=True)
        undo.callback(switch.delete_port, port)
        switch.add_port(
            port,
            {
                ATTACHED_KEY: identity,
                NAMESPACE_KEY: request.namespace,
                _IFNAME_KEY: request.ifname,
            },
        )
        undo.pop_all()
    return Outcome(
        f"attached {request.namespace} to bridge {request.bridge}: "
        f"{request.ifname} has {interface}, port {port}",
        ports=(port,),
    )


def detach(request: Request, cidr: str | None = None) -> Outcome:
    """Unplug a namespace, or take one address away from it.

    Args:
        request: only the namespace, the bridge and the database are looked at.
        cidr: take only this address away; the link goes with the last one.
    """
    interface = None if cidr is None else links.parse_cidr(cidr)
    _check_switch(request)
    _require_root("detach")
    switch = _Switch(request.ovs_db or default_ovs_db(), request.bridge)
    switch.is_userspace()
    namespace, identity = _find_namespace(request.namespace)
    ports = switch.ports_of(request.namespace, identity)
    if not ports:
        if namespace is None:
            namespaces.resolve_namespace(request.namespace)
        return Outcome(
            f"{request.namespace} is not attached to bridge {request.bridge}: nothing to do", False
        )
    if interface is not None and namespace is not None:
        port = _port_with_address(ports, str(interface), namespace)
        if port is None:
            return Outcome(f"{request.namespace} does not have {interface}: nothing to do", False)
        if len(links.list_addresses(port.ifname, namespace)) > 1:
            links.delete_address(port.ifname, str(interface), namespace)
            sentence = f"took {interface} away from {port.ifname} of {request.namespace}"
            return Outcome(sentence, ports=(port.name,))
        ports = [port]
    for port in ports:
        switch.delete_port(port.name)
        links.delete_link(port.name, request.host_namespace)
    names = tuple(port.name for port in ports)
    return Outcome(
        f"detached {request.namespace} from bridge {request.bridge}: removed {', '.join(names)}",
        ports=names,
    )


def default_ovs_db() -> str:
    """The database of this host: its socket in ``$OVS_RUNDIR``."""
    return f"unix:{os.environ.get('OVS_RUNDIR', '/var/run/openvswitch')}/db.sock"


def port_name(identity: str, bridge: str, ifname: str) -> str:
    """The name of the host's end: always the same for a namespace, bridge and link name."""
    digest = hashlib.sha256(f"{identity}/{bridge}/{ifname}".encode()).hexdigest()
    return f"wv{digest[:10]}"


def _attach_again(
    request: Request, namespace: Path, cidr: str, mac: str | None, port: str
) -> Outcome:
    """Change what differs on a link that is there already."""
    links.set_link(request.ifname, namespace, mtu_bytes=request.mtu_bytes, mac=mac)
    # A veth takes no frame that is longer than the MTU of the end where it comes out.
    links.set_link(port, request.host_namespace, mtu_bytes=request.mtu_bytes)
    if cidr in links.list_addresses(request.ifname, namespace):
        return Outcome(
            f"{request.namespace} is attached to bridge {request.bridge} with {cidr} already: "
            "nothing to do",
            False,
            (port,),
        )
    links.add_address(request.ifname, cidr, namespace)
    sentence = f"gave {request.ifname} of {request.namespace} one more address, {cidr}"
    return Outcome(sentence, ports=(port,))


def _find_namespace(text: str) -> tuple[Path | None, str | None]:
    """The namespace and its number; neither when it has gone, for then its port can still go."""
    try:
        namespace = namespaces.resolve_namespace(text)
    except ConfigError:
        return None, None
    return namespace, namespaces.namespace_id(namespace)


def _port_with_address(ports: list[_Port], cidr: str, namespace: Path) -> _Port | None:
    for port in ports:
        if cidr in links.list_addresses(port.ifname, namespace):
            return port
    return None


def _check_switch(request: Request) -> None:
    links.check_ifname(request.bridge, "--bridge")
    if request.ovs_db is not None:
        check_remote("--ovs-db", request.ovs_db)


def _require_root(verb: str) -> None:
    if os.geteuid() != 0:
        raise NetworkError(f"`weave-ryu {verb}` changes links and must run as root: use sudo")


class _Switch:
    """One bridge, by way of ``ovs-vsctl``."""

    def __init__(self, ovs_db: str, bridge: str) -> None:
        self._ovs_db = ovs_db
        self._bridge = bridge

    def is_userspace(self) -> bool:
        """Whether the bridge forwards in userspace; the first question to it, so it must exist."""
        socket_path = Path(self._ovs_db.removeprefix("unix:"))
        if self._ovs_db.startswith("unix:") and not socket_path.exists():
            raise OvsdbError(
                f"connecting to {self._ovs_db}",
                "there is no such socket; start Open vSwitch, or name its database with --ovs-db",
            )
        bridges = self._vsctl("list-br").split()
        if self._bridge not in bridges:
            known = ", ".join(bridges) or "none"
            raise ConfigError(
                "--bridge",
                self._bridge,
                f"Open vSwitch has no such bridge (it has: {known}); `weave-ryu run` makes it",
            )
        datapath_type = self._vsctl("get", "Bridge", self._bridge, "datapath_type")
        return datapath_type.strip().strip('"') == "netdev"

    def mtu_bytes(self) -> int | None:
        """The overlay's MTU, which the daemon asks for on the bridge's own port; None before that.

        Not the MTU that this port has: without a wish it follows the smallest of the other ports.
        """
        asked = self._vsctl("get", "Interface", self._bridge, "mtu_request").strip()
        return int(asked) if asked.isdecimal() else None

    def has_port(self, port: str) -> bool:
        """Whether the port is one of the bridge."""
        return port in self._vsctl("list-ports", self._bridge).split()

    def add_port(self, port: str, external_ids: dict[str, str]) -> None:
        """Add a port, and see that the switch could open it."""
        settings = [f'external_ids:{key}="{value}"' for key, value in external_ids.items()]
        self._vsctl("add-port", self._bridge, port, "--", "set", "Interface", port, *settings)
        error = self._vsctl("get", "Interface", port, "error").strip()
        if error not in {"[]", ""}:
            raise OvsdbError(f"adding port {port} to bridge {self._bridge}", error)

    def delete_port(self, port: str) -> None:
        """Remove a port if it is there.

        Without waiting for ``ovs-vswitchd``: what cannot be added must still be taken back when
        that does not run.
        """
        self._vsctl("--no-wait", "--if-exists", "del-port", self._bridge, port)

    def ports_of(self, namespace: str, identity: str | None) -> list[_Port]:
        """The ports that serve a namespace; by the name it was given when it has gone."""
        condition = (
            f'external_ids:{NAMESPACE_KEY}="{namespace}"'
            if identity is None
            else f'external_ids:{ATTACHED_KEY}="{identity}"'
        )
        answer = json.loads(
            self._vsctl(
                "--format=json", "--columns=name,external_ids", "find", "Interface", condition
            )
        )
        own = set(self._vsctl("list-ports", self._bridge).split())
        return [
            _Port(name, dict(external_ids[1]).get(_IFNAME_KEY, DEFAULT_IFNAME))
            for name, external_ids in answer["data"]
            if name in own
        ]

    def _vsctl(self, *arguments: str) -> str:
        command = ["ovs-vsctl", f"--db={self._ovs_db}", f"--timeout={_VSCTL_TIMEOUT_S}"]
        try:
            result = subprocess.run(
                [*command, *arguments], capture_output=True, text=True, check=False
            )
        except FileNotFoundError:
            raise OvsdbError(
                "running ovs-vsctl",
                "Open vSwitch is not installed; run ovs_scripts/install-deps as root",
            ) from None
        if result.returncode < 0:
            raise OvsdbError(
                f"`{' '.join(arguments)}`",
                f"no answer within {_VSCTL_TIMEOUT_S} s; is ovs-vswitchd running?",
            )
        if result.returncode != 0:
            raise OvsdbError(f"`{' '.join(arguments)}`", result.stderr.strip())
        return result.stdout
