"""Builds a lab, finds one again, describes it, and takes it down."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from weave_ryu import attach, links
from weave_ryu.errors import DaemonUnreachableError, LabError
from weave_ryu.lab import daemon as daemons
from weave_ryu.lab import netns, ovs, processes, topology
from weave_ryu.lab.patience import stretched
from weave_ryu.lab.peer import BRIDGE, UNDERLAY_SCRIPT, LabPeer, LabStation, Plan
from weave_ryu.lab.state import DEFAULT_PREFIX, STATE_ROOT, State
from weave_ryu.lab.topology import Station, Topology

STATION_IFNAME = "eth0"
STATION_MTU_BYTES = 1376

HEAD_START_S = 10.0
"""For so long at the most the gateways that come second wait until the first one listens."""

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Options:
    """How to build a lab.

    Args:
        roles: of the gateways at the start, by nick name; auto for those not named.
        datapath_type: ``auto``, ``system`` or ``netdev``.
        ready_timeout_s: how long the mesh may take to come together.
        daemon_command: what to run as the daemon.
        disk_mib: size of each peer's own disk for its database and logs; 0: the machine's.
    """

    prefix: str = DEFAULT_PREFIX
    topology: Topology = field(default_factory=topology.build)
    roles: Mapping[str, str] = field(default_factory=dict)
    datapath_type: str = "auto"
    ready_timeout_s: float = 60.0
    daemon_command: Sequence[str] = daemons.DEFAULT_COMMAND
    state_root: Path = STATE_ROOT
    disk_mib: int = 0


class Lab:
    """A lab that exists or is about to.

    Make one with :func:`up`, find one with :func:`find`.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.state = plan.state
        self.prefix = plan.prefix
        self.topology = plan.topology
        self.roles = dict(plan.roles)
        self.underlay = netns.namespace_path(f"{self.prefix}-net")
        self.peers = {spec.nick_name: LabPeer(plan, spec) for spec in plan.topology.peers}
        self.containers = {item.name: self._station(item) for item in plan.topology.containers}
        self.hosts = {item.name: self._station(item) for item in plan.topology.hosts}

    def peer(self, nick_name: str) -> LabPeer:
        """The peer of this nick name."""
        self.topology.peer(nick_name)
        return self.peers[nick_name]

    def station(self, name: str) -> LabStation:
        """The container or host of this name."""
        return {**self.containers, **self.hosts}[name]

    def segment_netns(self, segment: str) -> Path:
        """The namespace that holds a segment's bridge."""
        return netns.namespace_path(f"{self.prefix}-{segment}")

    def set_underlay_link(self, peer: LabPeer, *, is_up: bool) -> None:
        """Cut a peer off from the underlay, as if its cable were pulled, or join it again."""
        links.set_link(segment_port(peer.nick_name), self.underlay, is_up=is_up)

    def set_segment_link(self, gateway: LabPeer, *, is_up: bool) -> None:
        """Take the carrier from a gateway's port on its segment, or give it back."""
        if gateway.segment is None:
            raise LabError(f"{gateway.nick_name} is no gateway", "it has no port on a segment")
        port = segment_port(gateway.nick_name)
        links.set_link(port, self.segment_netns(gateway.segment), is_up=is_up)

    def delete_segment_link(self, gateway: LabPeer) -> None:
        """Take a gateway's link to its segment away, as if its card were pulled out."""
        links.delete_link(topology.GATEWAY_PORT, gateway.netns)

    def make_segment_link(self, gateway: LabPeer) -> None:
        """Give a gateway a link to its segment, and plug in the far end."""
        if gateway.segment is None:
            raise LabError(f"{gateway.nick_name} is no gateway", "it has no port on a segment")
        port, namespace = segment_port(gateway.nick_name), self.segment_netns(gateway.segment)
        links.create_veth(port, namespace, topology.GATEWAY_PORT, gateway.netns)
        links.set_link(port, namespace, bridge=segment_bridge(gateway.segment), is_up=True)
        links.set_link(topology.GATEWAY_PORT, gateway.netns, is_up=True)

    def down(self) -> bool:
        """Take everything down; return whether there was anything."""
        return self.state.remove()

    def describe(self) -> dict[str, Any]:
        """The lab as ``lab status --json`` shows it."""
        with ThreadPoolExecutor(max_workers=len(self.peers)) as pool:
            peers = dict(
                zip(self.peers, pool.map(LabPeer.describe, self.peers.values()), strict=True)
            )
        return {
            "prefix": self.prefix,
            "peers": peers,
            "containers": {
                item.name: {"peer": item.place, **_describe_link(item)}
                for item in self.containers.values()
            },
            "hosts": {
                item.name: {"segment": item.place, **_describe_link(item)}
                for item in self.hosts.values()
            },
            "segments": {
                segment.name: {
                    "netns": self.segment_netns(segment.name).name,
                    "bridge": segment_bridge(segment.name),
                    "ports": {
                        name: segment_port(name)
                        for name in (
                            *segment.gateways,
                            *(
                                host.name
                                for host in self.hosts.values()
                                if host.place == segment.name
                            ),
                        )
                    },
                }
                for segment in self.topology.segments
            },
        }

    def missing_links(self) -> list[str]:
        """Mesh connections that some daemon does not know as established; empty when ready.

        Raises:
            LabError: a daemon has ended.
        """
        wanted = {pair for a, b in self.topology.links for pair in ((a, b), (b, a))}
        missing = []
        for peer in self.peers.values():
            if not peer.daemon.is_alive:
                tail = processes.log_tail(peer.daemon.log)
                raise LabError(f"the daemon of {peer.nick_name} has ended; its log ends", tail)
            try:
                reply = peer.http("GET", "/report", timeout_s=2.0)
            except DaemonUnreachableError:
                missing.append(f"{peer.nick_name} does not answer")
                continue
            known = daemons.established_links(reply.body) if reply.status == 200 else set()
            missing += [f"{peer.nick_name}: {a}→{b}" for a, b in sorted(wanted - known)]
        return missing

    def wait_ready(self, timeout_s: float, progress: Progress, *, check_roles: bool = True) -> None:
        """Wait until every daemon knows every link, and the gateways are in their first roles.

        With a gateway of role active or auto, that is when one of its segment forwards.

        Args:
            timeout_s: how long at the most.
            progress: told every other second what is missing.
            check_roles: False if the roles have been changed since the start.

        Raises:
            LabError: not within the time, or a daemon has ended.
        """
        timeout_s = stretched(timeout_s)
        deadline = time.monotonic() + timeout_s
        told = 0.0
        while True:
            missing = self.missing_links() or (self._gateways_not_in_role() if check_roles else [])
            if not missing:
                return
            now = time.monotonic()
            if now > deadline:
                raise LabError(
                    f"the lab is not ready after {timeout_s:.0f} s",
                    f"missing: {', '.join(missing[:6])}; logs are in {self.state.directory}",
                )
            if now - told > 2:
                told = now
                progress(f"waiting: {len(missing)} still missing, as {missing[0]}")
            # Who asks takes processor time from those that are to answer.
            time.sleep(stretched(0.1))

    def build(self, progress: Progress) -> None:
        """Make everything, start everything; the mesh is not waited for."""
        namespaces = self.build_wires()
        progress(f"{namespaces} namespaces made; starting {len(self.peers)} switches")
        with ThreadPoolExecutor(max_workers=len(self.peers)) as pool:
            list(pool.map(LabPeer.start_switch, self.peers.values()))
        progress(f"starting {len(self.peers)} daemons")
        favourites, later = self._elected_first()
        for name, peer in self.peers.items():
            if name not in later:
                peer.start_daemon()
        progress(f"attaching {len(self.containers)} containers")
        self._attach_containers(name for name in self.peers if name not in later)
        processes.poll_until(
            lambda: not any(self._is_coming(self.peers[name]) for name in favourites),
            HEAD_START_S,
        )
        for name in later:
            self.peers[name].start_daemon()
        self._attach_containers(later)

    def _elected_first(self) -> tuple[list[str], list[str]]:
        """Gateways that are to win their first election, and those that start after them.

        The election is won by who listens first if a busy machine lets one start much later than
        the other; what the documents tell to do begins with the first gateway forwarding.
        """
        elected = [
            [name for name in segment.gateways if self.roles.get(name) == "auto"]
            for segment in self.topology.segments
        ]
        favourites = [names[0] for names in elected if len(names) > 1]
        return favourites, [name for names in elected for name in names[1:]]

    @staticmethod
    def _is_coming(peer: LabPeer) -> bool:
        return peer.daemon.is_alive and peer.gateway_state()["state"] in {"unknown", "blocked"}

    def build_wires(self) -> int:
        """Make the namespaces, the underlay and the segments; return how many namespaces."""
        names = [
            self.underlay.name,
            *(peer.netns.name for peer in self.peers.values()),
            *(item.netns.name for item in (*self.containers.values(), *self.hosts.values())),
            *(self.segment_netns(segment.name).name for segment in self.topology.segments),
        ]
        self.state.add_namespaces(names)
        for name in names:
            netns.create_namespace(name)
        self._build_underlay()
        for segment in self.topology.segments:
            self._build_segment(segment.name, segment.gateways)
        return len(names)

    def _station(self, spec: Station) -> LabStation:
        namespace = netns.namespace_path(f"{self.prefix}-{spec.name}")
        return LabStation(spec.name, spec.place, namespace, STATION_IFNAME, spec.mac, spec.cidr)

    def _build_underlay(self) -> None:
        links.create_bridge("underlay", self.underlay)
        for peer in self.peers.values():
            port = segment_port(peer.nick_name)
            links.create_veth(port, self.underlay, ovs.UNDERLAY_LINK, peer.netns)
            links.set_link(port, self.underlay, bridge="underlay", is_up=True)
            links.set_link(ovs.UNDERLAY_LINK, peer.netns, is_up=True)

    def _build_segment(self, name: str, gateways: Sequence[str]) -> None:
        namespace = self.segment_netns(name)
        links.create_bridge(segment_bridge(name), namespace)
        for gateway in gateways:
            self.make_segment_link(self.peers[gateway])
        for host in self.hosts.values():
            if host.place != name:
                continue
            port = segment_port(host.name)
            links.create_veth(port, namespace, host.ifname, host.netns, peer_mac=host.mac)
            links.set_link(port, namespace, bridge=segment_bridge(name), is_up=True)
            links.set_link(host.ifname, host.netns, is_up=True)
            links.set_link(host.ifname, host.netns, mtu_bytes=STATION_MTU_BYTES)
            links.disable_tx_checksum_offload(host.ifname, host.netns)
            links.add_address(host.ifname, host.cidr, host.netns)

    def _attach_containers(self, places: Iterable[str]) -> None:
        wanted = set(places)
        containers = [item for item in self.containers.values() if item.place in wanted]
        with ThreadPoolExecutor(max_workers=max(1, len(containers))) as pool:
            list(pool.map(self._attach_container, containers))

    def _attach_container(self, container: LabStation) -> None:
        peer = self.peers[container.place]
        # The daemon makes the bridge: without it there is nothing to attach to.
        deadline = time.monotonic() + stretched(30)
        while BRIDGE not in peer.switch.vsctl("list-br").split():
            if not peer.daemon.is_alive or time.monotonic() > deadline:
                tail = processes.log_tail(peer.daemon.log)
                raise LabError(
                    f"the daemon of {peer.nick_name} made no bridge {BRIDGE}; its log ends", tail
                )
            time.sleep(stretched(0.1))
        attach.attach(
            attach.Request(
                namespace=str(container.netns),
                cidr=container.cidr,
                ifname=container.ifname,
                bridge=BRIDGE,
                mtu_bytes=STATION_MTU_BYTES,
                mac=container.mac,
                ovs_db=peer.switch.remote,
                host_namespace=peer.netns,
            )
        )

    def _gateways_not_in_role(self) -> list[str]:
        found = {name: self.peers[name].gateway_state() for name in self.roles}
        return [
            line
            for segment in self.topology.segments
            for line in missing_roles(
                segment.name,
                {name: self.roles[name] for name in segment.gateways if name in self.roles},
                found,
            )
        ]


def missing_roles(
    segment: str, roles: Mapping[str, str], found: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """What is not yet as the roles of a segment's gateways want it; empty when all is.

    Args:
        segment: its name.
        roles: of its gateways, by nick name.
        found: gateway objects of the API, by nick name.
    """
    states = {name: str(found[name]["state"]) for name in roles}
    missing = []
    if "active" not in states.values() and set(roles.values()) & {"active", "auto"}:
        seen = [
            f"{name} (role {role}) is {states[name]}"
            + (f": {found[name]['reason']}" if found[name].get("reason") else "")
            for name, role in roles.items()
        ]
        missing.append(f"a gateway of {segment} that forwards ({'; '.join(seen)})")
    for name, role in roles.items():
        # Of several that are told to be active, or left to the election, one is.
        wanted = {"standby"} if role == "standby" else {"active", "standby"}
        if states[name] not in wanted:
            missing.append(f"gateway {name} is {states[name]}, not {' or '.join(sorted(wanted))}")
    return missing


def up(options: Options, progress: Progress, *, keep: bool = False) -> Lab:
    """Build a lab and wait until it is ready.

    Args:
        options: what to build.
        progress: told what is going on.
        keep: leave what was made when it fails, to look at; otherwise it is removed.

    Raises:
        LabError: something did not come up.
    """
    require_root()
    _require_tools()
    roles = {
        **topology.parse_roles([], options.topology),
        **dict(options.roles),
    }
    is_userspace = options.datapath_type == "netdev" or (
        options.datapath_type == "auto" and not ovs.kernel_datapath_exists()
    )
    state = State(options.prefix, options.state_root)
    state.settings = {
        "topology": topology.to_document(options.topology),
        "roles": roles,
        "is_userspace": is_userspace,
        "daemon_command": list(options.daemon_command),
    }
    state.claim()
    lab = Lab(
        Plan(
            state,
            options.topology,
            roles,
            is_userspace,
            options.daemon_command,
            options.disk_mib,
        )
    )
    try:
        lab.build(progress)
        lab.wait_ready(options.ready_timeout_s, progress)
    except BaseException:
        # Also on an interrupt: what was begun is not left lying about.
        if not keep:
            progress("that failed: removing what was made")
            lab.down()
        raise
    return lab


def find(prefix: str, root: Path = STATE_ROOT) -> Lab:
    """The lab of this prefix.

    Raises:
        LabError: there is none.
    """
    state = State(prefix, root)
    state.load()
    settings = state.settings
    declared = topology.from_document(settings["topology"], str(state.directory))
    lab = Lab(
        Plan(
            state,
            declared,
            settings["roles"],
            settings["is_userspace"],
            settings["daemon_command"],
        )
    )
    for nick_name, peer in lab.peers.items():
        peer.daemon.process = state.processes.get(f"{nick_name}.daemon")
        peer.switch.vswitchd = state.processes.get(f"{nick_name}.ovs-vswitchd")
        peer.switch.database_server = state.processes.get(f"{nick_name}.ovsdb-server")
    return lab


def require_root() -> None:
    """Refuse to begin what only root can finish.

    Raises:
        LabError: we are not root.
    """
    if os.geteuid() != 0:
        raise LabError("a lab is made of network namespaces", "that needs root: use sudo")


def segment_bridge(segment: str) -> str:
    """The name of a segment's kernel bridge."""
    return f"br-{segment}"[: links.MAX_IFNAME_LENGTH]


def segment_port(name: str) -> str:
    """The name of the bridge port that leads to a peer or a host."""
    return f"p-{name}"


def _require_tools() -> None:
    for tool in ("ip", "ovsdb-tool", "ovsdb-server", "ovs-vswitchd", "ovs-vsctl"):
        if shutil.which(tool) is None:
            raise LabError(f"`{tool}` is not installed", "run ovs_scripts/install-deps as root")
    if not UNDERLAY_SCRIPT.exists():
        raise LabError(
            f"{UNDERLAY_SCRIPT} is missing",
            "the lab runs from a checkout: install it with `make install` there",
        )


def _describe_link(station: LabStation) -> dict[str, str]:
    return {
        "netns": station.netns.name,
        "ifname": station.ifname,
        "mac": station.mac,
        "ip": station.ip,
    }
