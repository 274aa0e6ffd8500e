"""What the daemon finds out and checks before it changes anything, and what it keeps for later.

Kept in the database, with the bridge: the peer's name and short id, so that a restarted daemon is
the same peer and the flows in its switch stay right; with each gateway port: the role that the
operator set last.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Sequence
from dataclasses import dataclass, replace

from weave_ryu.config import DaemonConfig, GatewaySpec
from weave_ryu.errors import ConfigError, NetworkError, OvsdbError
from weave_ryu.gateway.records import OUTLIVED_BELOW
from weave_ryu.gateway.role import Role
from weave_ryu.links import host_addresses
from weave_ryu.names import MAX_SHORT_ID, PeerName, ShortId
from weave_ryu.ovsdb.bridge import ROLE_KEY, BridgeSpec, Datapath, FlowTableSpec
from weave_ryu.pipeline.tables import MAC_LIMIT, TABLES
from weave_ryu.shell import fence
from weave_ryu.shell.ovsdbd import Ovsdb

NAME_KEY = "weave-ryu-name"
SHORT_ID_KEY = "weave-ryu-short-id"
CONFIGURED_ROLE_KEY = "weave-ryu-configured-role"
SEQUENCE_KEY = "weave-ryu-sequence"

SEQUENCE_BLOCK = 100_000
"""So far a life of the daemon may count before the next one begins above it: a gateway counts once
for each change of its record, and once for 65,536 hellos."""
MAX_DIGITS = 19


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this peer is."""

    name: PeerName
    nick_name: str
    short_id: ShortId


def check_privileges() -> None:
    """Refuse early what would fail late.

    Raises:
        NetworkError: not root.
    """
    if os.geteuid() != 0:
        raise NetworkError(
            f"weave-ryu run needs root to set up links and Open vSwitch, "
            f"but runs as user id {os.geteuid()}: start it with sudo or as a system service"
        )


def run_directory() -> str:
    """Open vSwitch's run directory on this host."""
    return os.environ.get("OVS_RUNDIR", "/var/run/openvswitch")


def database_remote(config: DaemonConfig) -> str:
    """Where the database listens."""
    return config.ovs_db or f"unix:{run_directory()}/db.sock"


def controller_target(config: DaemonConfig) -> tuple[str, str]:
    """Path of the OpenFlow socket, and how Open vSwitch spells it.

    Each process has a path of its own. To a controller it knows, Open vSwitch 3.1 waits up to 8 s
    between attempts, whatever `max_backoff` says; a new one it connects to at once.

    Raises:
        OvsdbError: the run directory is missing, so Open vSwitch does not run.
    """
    directory = run_directory()
    if not os.path.isdir(directory):  # noqa: PTH112
        raise OvsdbError(
            f"look for the run directory {directory}",
            "it does not exist: start Open vSwitch, or set OVS_RUNDIR",
        )
    path = f"{directory}/{config.bridge}.weave-ryu.{os.getpid()}.sock"
    return path, f"unix:{path}"


def choose_datapath(config: DaemonConfig, ovsdb: Ovsdb) -> Datapath:
    """The kernel datapath where there is one, else userspace.

    Raises:
        ConfigError: the bridge exists with another type, or the type is not supported.
    """
    existing = ovsdb.bridge_datapath(config.bridge)
    wanted = config.datapath_type
    if existing is not None:
        if wanted not in ("auto", existing):
            raise ConfigError(
                "--datapath-type",
                wanted,
                f"bridge {config.bridge} exists with type {existing}: use that, or delete it first",
            )
        return "netdev" if existing == "netdev" else "system"
    if wanted == "auto":
        return "system" if _kernel_has_datapath() else "netdev"
    if wanted not in ovsdb.datapath_types():
        raise ConfigError("--datapath-type", wanted, "this Open vSwitch does not support it")
    if wanted == "system" and not _kernel_has_datapath():
        raise ConfigError(
            "--datapath-type",
            wanted,
            "the kernel has no openvswitch module: load it, or use netdev",
        )
    return "netdev" if wanted == "netdev" else "system"


def check_fence(specs: Sequence[GatewaySpec], datapath: Datapath, ovsdb: Ovsdb) -> str | None:
    """Why no gateway port can be fenced here, in a clause; None if it can, or needs none.

    Args:
        specs: the gateway ports, with the roles that they start with.
        datapath: of the bridge.
        ovsdb: knows whether cards forward past the kernel.

    Raises:
        ConfigError: it cannot, and a port is to open by itself.
    """
    if datapath != "system" or not specs:
        return None
    why = fence.obstacle()
    if ovsdb.setting("hw-offload") == "true":
        why = "other_config:hw-offload is on: the kernel does not see what cards forward themselves"
    bold = [spec for spec in specs if spec.role is not Role.STANDBY]
    if why is not None and bold:
        raise ConfigError(
            "role",
            str(bold[0].role),
            f"{bold[0].port} would go on forwarding when ovs-vswitchd dies, for nothing can close "
            f"it then: {why}. Use role standby here, or --datapath-type netdev",
        )
    return why


def check_gateway_links(
    config: DaemonConfig, ovsdb: Ovsdb, only: str | None = None
) -> frozenset[str]:
    """Every gateway port that exists must be free.

    Args:
        config: names them.
        ovsdb: says whose ports they are.
        only: look at this one and no other.

    Returns:
        Ports that are neither a link nor a port yet: drivers, VLANs and bonds may be late at boot.

    Raises:
        ConfigError: a port belongs to another bridge, or carries an address.
    """
    missing = set()
    interfaces = ovsdb.interfaces()
    links = {name for _, name in socket.if_nameindex()}
    for spec in config.gateway:
        if only is not None and spec.port != only:
            continue
        present = interfaces.get(spec.port)
        if present is not None and present.bridge != config.bridge:
            raise ConfigError(
                "--gateway", spec.port, f"this link is already a port of bridge {present.bridge}"
            )
        if present is None and spec.port not in links:
            missing.add(spec.port)
        if spec.port in links:
            check_addresses(spec.port, is_ours=present is not None)
        if spec.port == config.bridge:
            raise ConfigError("--gateway", spec.port, "the bridge cannot be its own gateway port")
    return frozenset(missing)


def check_addresses(link: str, *, is_ours: bool) -> None:
    """A gateway's link must not be the way to this host.

    In a bridge of the kernel's datapath the host's own stack hears nothing more on it: whoever set
    it up over that address would be locked out.

    Args:
        link: that exists.
        is_ours: it is a port of our bridge already. Then the kernel may have made itself an
            address after an advertisement of the segment's router, which is nobody's way in.

    Raises:
        ConfigError: it carries an address.
    """
    found = host_addresses(link, with_advertised=not is_ours)
    if found:
        raise ConfigError(
            "--gateway",
            link,
            f"this link carries {', '.join(found)}, an address of this host, which nobody would "
            "reach any more: take it away first, or name another link",
        )


def identity(config: DaemonConfig, ovsdb: Ovsdb) -> Identity:
    """Who this peer is: as configured, else as before, else new.

    Raises:
        OvsdbError: what the database holds is unusable.
    """
    kept_name = ovsdb.bridge_setting(config.bridge, NAME_KEY)
    kept_short_id = ovsdb.bridge_setting(config.bridge, SHORT_ID_KEY)
    try:
        name = config.name or (PeerName.parse(kept_name) if kept_name else _new_name())
        # A peer with another name is another peer: its short id starts anew, too.
        is_same = kept_short_id is not None and kept_name == str(name)
        short_id = int(kept_short_id or 0) if is_same else secrets.randbelow(MAX_SHORT_ID + 1)
        if not 0 <= short_id <= MAX_SHORT_ID:
            raise ValueError(f"short id {short_id} is out of range")
    except ValueError as error:
        raise OvsdbError(f"reading external_ids of bridge {config.bridge}", str(error)) from error
    return Identity(name, config.nickname or socket.gethostname(), ShortId(short_id))


def remember_identity(identity: Identity, bridge: str, ovsdb: Ovsdb) -> None:
    """Keep name and short id with the bridge."""
    ovsdb.set_bridge_setting(bridge, NAME_KEY, str(identity.name))
    ovsdb.set_bridge_setting(bridge, SHORT_ID_KEY, str(identity.short_id))


def first_sequence(bridge: str, ovsdb: Ovsdb, now_ms: int) -> int:
    """Where this life of the daemon begins to count what it tells.

    Above all that the lives before have told, whatever the clock says: hellos on the segment that
    count from below are refused as replays by all who have heard the earlier ones.

    Args:
        bridge: with which it is kept.
        ovsdb: its database.
        now_ms: milliseconds since 1970, for a bridge that knows nothing.
    """
    text = ovsdb.bridge_setting(bridge, SEQUENCE_KEY) or ""
    kept = int(text) if text.isdecimal() and len(text) <= MAX_DIGITS else 0
    return max(now_ms, kept if kept < OUTLIVED_BELOW >> 16 else 0)


def remember_sequence(first: int, bridge: str, ovsdb: Ovsdb) -> None:
    """Let the next life begin above this one; before anything is told."""
    ovsdb.set_bridge_setting(bridge, SEQUENCE_KEY, str(first + SEQUENCE_BLOCK))


def remember_short_id(config: DaemonConfig, ovsdb: Ovsdb, short_id: ShortId) -> None:
    """Keep a short id that had to be changed."""
    ovsdb.set_bridge_setting(config.bridge, SHORT_ID_KEY, str(short_id))


def remember_role(config: DaemonConfig, ovsdb: Ovsdb, port: str, role: Role) -> None:
    """Keep the role that the operator set, and what was configured at that time."""
    configured = next(spec.role for spec in config.gateway if spec.port == port)
    ovsdb.set_interface_settings(port, {ROLE_KEY: str(role), CONFIGURED_ROLE_KEY: str(configured)})


def remembered_roles(config: DaemonConfig, ovsdb: Ovsdb) -> list[GatewaySpec]:
    """The gateway ports with the roles to start with.

    A role set by hand outlives a restart, unless the configuration has been changed since.
    """
    interfaces = ovsdb.interfaces()
    specs = []
    for spec in config.gateway:
        present = interfaces.get(spec.port)
        kept = present.external_ids if present else {}
        role = kept.get(ROLE_KEY, "")
        unchanged = kept.get(CONFIGURED_ROLE_KEY) == str(spec.role)
        specs.append(replace(spec, role=Role(role)) if unchanged and role in list(Role) else spec)
    return specs


def tunnel_name(udp_port: int) -> str:
    """Name of the VXLAN port for a UDP port."""
    return f"vxlan-{udp_port}"


def bridge_spec(
    config: DaemonConfig, datapath: Datapath, controller: str, name: PeerName
) -> BridgeSpec:
    """The bridge as it must be."""
    udp_port = config.port + 1
    return BridgeSpec(
        name=config.bridge,
        datapath=datapath,
        controller=controller,
        tunnels={tunnel_name(udp_port): udp_port},
        gateway_ports=tuple(spec.port for spec in config.gateway),
        tables={
            table.number: FlowTableSpec(table.name, MAC_LIMIT if table.learnt else None)
            for table in TABLES
        },
        hardware_address=name,
        mtu_bytes=config.mtu,
    )


def _new_name() -> PeerName:
    """A random, locally administered unicast MAC."""
    return PeerName((secrets.randbits(48) | 2 << 40) & ~(1 << 40))


def _kernel_has_datapath() -> bool:
    return os.path.exists("/sys/module/openvswitch")  # noqa: PTH110
