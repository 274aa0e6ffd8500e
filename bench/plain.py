"""The lab's hosts, containers and segment without weave-ryu: what one would use instead.

Two kinds of switches: Open vSwitch with the action NORMAL and one static VXLAN port per link, and
the kernel's bridge with one kernel VXLAN device per link. Both learn from what they flood, so the
links between peers must form a tree, or something must block the loops.
"""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from bench.stand import Temporary
from weave_ryu import links, namespaces
from weave_ryu.errors import LabError
from weave_ryu.lab import lab as labs
from weave_ryu.lab import ovs, topology
from weave_ryu.lab.lab import Lab
from weave_ryu.lab.peer import BRIDGE, LabPeer, LabStation, Plan
from weave_ryu.lab.state import State
from weave_ryu.lab.topology import Topology

NORMAL: Final = "ovs-normal"
KERNEL: Final = "kernel-bridge"
VXLAN_PORT: Final = 4789


class PlainLab(Lab, Temporary):
    """A lab whose peers have a plain bridge and no daemon. A context manager.

    Args:
        prefix: of its names.
        declared: what to build; the links between the peers become tunnels.
        kind: `NORMAL` or `KERNEL`.
        prepare: called with each peer when its bridge is there and has no ports yet.
        attached: gateways whose segment's link is a port of the bridge from the start; None: all.
        is_userspace: keep Open vSwitch off the kernel datapath.
    """

    def __init__(
        self,
        prefix: str,
        declared: Topology,
        kind: str,
        prepare: Callable[[PlainLab, LabPeer], None] | None = None,
        attached: tuple[str, ...] | None = None,
        *,
        is_userspace: bool = True,
    ) -> None:
        labs.require_root()
        state = State(prefix)
        super().__init__(Plan(state, declared, {}, is_userspace, ()))
        self.kind = kind
        self._prepare = prepare
        self._attached = declared.gateways() if attached is None else attached
        self._vnis = {link: number for number, link in enumerate(declared.links, 100)}

    def make(self) -> None:
        """Make everything; nobody is told of it."""
        self.build(lambda _: None)

    def missing_links(self) -> list[str]:
        """Nothing to wait for: the tunnels are static."""
        return []

    def run(self, peer: LabPeer, *command: str) -> str:
        """Run a command in a peer's namespace; return what it printed."""
        return peer.switch.run(*command)

    def add_port(self, peer: LabPeer, name: str) -> None:
        """Make a link a port of a peer's bridge."""
        if self.kind == NORMAL:
            peer.switch.vsctl("--may-exist", "add-port", BRIDGE, name)
        else:
            links.set_link(name, peer.netns, bridge=BRIDGE)

    def _switch_on(self, peer: LabPeer) -> None:
        if self.kind == NORMAL:
            peer.start_switch()
            datapath = "netdev" if self.plan.is_userspace else "system"
            made = f"add-br {BRIDGE} -- set bridge {BRIDGE} datapath_type={datapath}"
            peer.switch.vsctl(*made.split())
        else:
            peer.directory.mkdir(parents=True, exist_ok=True)
            links.add_address(ovs.UNDERLAY_LINK, peer.spec.underlay_cidr, peer.netns)
            links.create_bridge(BRIDGE, peer.netns)
        if self._prepare is not None:
            self._prepare(self, peer)
        for number, link in enumerate(self.topology.links):
            if peer.nick_name in link:
                other = self.topology.peer(link[1 - link.index(peer.nick_name)])
                self._add_tunnel(peer, f"vx{number}", other.underlay_ip, self._vnis[link])
        if peer.nick_name in self._attached:
            self.add_port(peer, topology.GATEWAY_PORT)

    def _add_tunnel(self, peer: LabPeer, name: str, remote_ip: str, vni: int) -> None:
        if self.kind == NORMAL:
            peer.switch.vsctl(
                "add-port",
                BRIDGE,
                name,
                "--",
                "set",
                "interface",
                name,
                "type=vxlan",
                f"options:remote_ip={remote_ip}",
                f"options:key={vni}",
            )
        else:
            self.run(
                peer,
                "ip",
                "link",
                "add",
                name,
                "type",
                "vxlan",
                "id",
                str(vni),
                "remote",
                remote_ip,
                "local",
                peer.spec.underlay_ip,
                "dstport",
                str(VXLAN_PORT),
            )
            links.set_link(name, peer.netns, bridge=BRIDGE, is_up=True)

    def build(self, progress: labs.Progress) -> None:
        """Make everything."""
        self.build_wires()
        with ThreadPoolExecutor(max_workers=len(self.peers)) as pool:
            list(pool.map(self._switch_on, self.peers.values()))
        for container in self.containers.values():
            self._attach_container(container)

    def _attach_container(self, container: LabStation) -> None:
        peer = self.peers[container.place]
        port = f"p-{container.name}"
        links.create_veth(
            port, peer.netns, container.ifname, container.netns, peer_mac=container.mac
        )
        links.set_link(port, peer.netns, mtu_bytes=labs.STATION_MTU_BYTES, is_up=True)
        links.set_link(container.ifname, container.netns, mtu_bytes=labs.STATION_MTU_BYTES)
        if self.kind == NORMAL and self.plan.is_userspace:
            links.disable_tx_checksum_offload(container.ifname, container.netns)
        links.add_address(container.ifname, container.cidr, container.netns)
        links.set_link(container.ifname, container.netns, is_up=True)
        self.add_port(peer, port)


def ping(namespace: Path, address: str, count: int, interval_s: float) -> list[float]:
    """Round trips in milliseconds, of those that came back."""
    command = ["ping", "-n", "-c", str(count), "-i", f"{interval_s}", "-W", "1", address]

    def execute() -> str:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=120, check=False
        ).stdout

    said = namespaces.run_inside(namespace, execute)
    found = [line.partition("time=")[2].split()[0] for line in said.splitlines() if "time=" in line]
    return [float(text) for text in found]


def wait_reachable(source: LabStation, address: str, attempts: int = 60) -> None:
    """Wait until a station answers.

    Raises:
        LabError: it does not.
    """
    for _ in itertools.repeat(None, attempts):
        if ping(source.netns, address, 1, 0.2):
            return
    raise LabError(f"{address} does not answer {source.name}", "the bridges are not ready")
