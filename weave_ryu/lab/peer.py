"""The inhabitants of a lab: peers with their switch and daemon, containers and hosts."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from weave_ryu.errors import DaemonUnreachableError
from weave_ryu.lab import daemon as daemons
from weave_ryu.lab import disks, netns, topology
from weave_ryu.lab.daemon import Daemon, Reply
from weave_ryu.lab.ovs import Switch
from weave_ryu.lab.state import State
from weave_ryu.lab.topology import Peer, Topology

BRIDGE: Final = "weave"
UNDERLAY_SCRIPT: Final = Path(__file__).resolve().parents[2] / "ovs_scripts" / "underlay-setup"


@dataclass(frozen=True, slots=True)
class Plan:
    """What all parts of one lab have in common.

    Args:
        state: the record of what was made.
        topology: what is to be made.
        roles: of the gateways at the start, by nick name.
        is_userspace: keep off the kernel datapath.
        daemon_command: what to run as the daemon, without its options.
        disk_mib: size of each peer's own disk for its database and logs; 0: the machine's.
    """

    state: State
    topology: Topology
    roles: Mapping[str, str]
    is_userspace: bool
    daemon_command: Sequence[str]
    disk_mib: int = 0

    @property
    def prefix(self) -> str:
        """Of all names of the lab."""
        return self.state.prefix


@dataclass(frozen=True, slots=True)
class LabStation:
    """A container or a host, and where to find it."""

    name: str
    place: str
    netns: Path
    ifname: str
    mac: str
    cidr: str

    @property
    def ip(self) -> str:
        """The address without its prefix length."""
        return self.cidr.partition("/")[0]


class LabPeer:
    """One host of the mesh in a lab: its namespace, switch and daemon."""

    def __init__(self, plan: Plan, spec: Peer) -> None:
        self.nick_name = spec.nick_name
        self.spec = spec
        self.netns = netns.namespace_path(f"{plan.prefix}-{spec.nick_name}")
        self.directory = plan.state.directory / spec.nick_name
        self.switch = Switch(
            plan.prefix, self.netns, self.directory, is_userspace=plan.is_userspace
        )
        segment = plan.topology.segment_of(spec.nick_name)
        self.segment = None if segment is None else segment.name
        self.daemon = Daemon(
            self.netns,
            self.directory / "daemon.log",
            self.switch.environment,
            self._daemon_command(plan),
            None if segment is None else topology.gateway_option(segment),
            partial(plan.state.set_process, f"{spec.nick_name}.daemon"),
        )
        self._plan = plan

    @property
    def gateway_port(self) -> str | None:
        """The name of its port on the segment, if it is a gateway."""
        return None if self.segment is None else topology.GATEWAY_PORT

    def start_switch(self) -> None:
        """Start Open vSwitch and give the host its underlay address."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if self._plan.disk_mib:
            disks.mount(self.directory, self._plan.disk_mib)
        try:
            self.switch.start()
        finally:
            self._record_switch()
        self.switch.set_up_underlay(self.spec.underlay_cidr, UNDERLAY_SCRIPT)

    def start_daemon(self, role: str | None = None, options: str = "") -> None:
        """Start the daemon; its gateway port starts in ``role``, or in the lab's first role."""
        self.daemon.start(role or self._plan.roles.get(self.nick_name), options)

    def kill_daemon(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send the daemon a signal; one that ends it is waited for."""
        self.daemon.kill(number)

    def kill_vswitchd(self) -> None:
        """Kill ``ovs-vswitchd``: the host forwards nothing until it is started again."""
        self.switch.kill_vswitchd()

    def restart_vswitchd(self) -> None:
        """Kill ``ovs-vswitchd`` and start it again."""
        self.switch.restart_vswitchd()
        self._record_switch()

    def kill_database(self) -> None:
        """Kill ``ovsdb-server``; the switch goes on with what it knows."""
        self.switch.kill_database()

    def start_database(self) -> None:
        """Start ``ovsdb-server`` again, on the database as it is."""
        self.switch.start_database()
        self._record_switch()

    def http(
        self, method: str, path: str, document: object = None, *, timeout_s: float = 5.0
    ) -> Reply:
        """Ask the daemon; see :meth:`Daemon.http`."""
        return self.daemon.http(method, path, document, timeout_s=timeout_s)

    def ofctl(self, command: str, bridge: str = BRIDGE, *arguments: str) -> str:
        """Run ``ovs-ofctl`` on a bridge of this host."""
        return self.switch.ofctl(command, bridge, *arguments)

    def gateway_state(self) -> dict[str, Any]:
        """The daemon's gateway object of its port; the state is ``unknown`` if it is mute."""
        unknown = {"port": self.gateway_port, "segment": self.segment, "state": "unknown"}
        try:
            gateways = self.http("GET", "/gateways", timeout_s=2.0).body
        except DaemonUnreachableError:
            return unknown
        for gateway in gateways if isinstance(gateways, list) else []:
            if gateway.get("port") == self.gateway_port:
                return dict(gateway)
        return unknown

    def describe(self) -> dict[str, Any]:
        """This peer as ``lab status --json`` shows it."""
        process = self.daemon.process
        vswitchd = self.switch.vswitchd
        gateway = None if self.segment is None else self.gateway_state()
        return {
            "netns": self.netns.name,
            "underlay_ip": self.spec.underlay_ip,
            "name": str(self.spec.name),
            "nickname": self.nick_name,
            "http": f"{daemons.HTTP_HOST}:{daemons.HTTP_PORT}",
            "bridge": BRIDGE,
            "ovs_rundir": str(self.switch.rundir),
            "ovs_db": self.switch.remote,
            "openflow": f"unix:{self.switch.rundir}/{BRIDGE}.mgmt",
            "log": str(self.daemon.log),
            "daemon_pid": process.pid if process and process.is_alive() else None,
            "vswitchd_pid": vswitchd.pid if vswitchd and vswitchd.is_alive() else None,
            "gateway_ports": []
            if gateway is None
            else [
                {
                    key: gateway[key]
                    for key in ("port", "segment", "role", "state")
                    if key in gateway
                }
            ],
        }

    def _record_switch(self) -> None:
        for name, process in self.switch.processes().items():
            self._plan.state.set_process(f"{self.nick_name}.{name}", process)

    def _daemon_command(self, plan: Plan) -> list[str]:
        command = [
            *plan.daemon_command,
            *("--name", str(self.spec.name)),
            *("--nickname", self.nick_name),
            *("--host", self.spec.underlay_ip),
            *("--bridge", BRIDGE),
            *("--datapath-type", "netdev" if plan.is_userspace else "system"),
            *("--ovs-db", self.switch.remote),
        ]
        for other in plan.topology.dials(self.nick_name):
            command += ["--peer", plan.topology.peer(other).underlay_ip]
        if not plan.topology.is_full:
            command.append("--no-discovery")
        return command
