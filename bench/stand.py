"""What benchmarks build of the lab's parts: namespaces, a switch, containers, processes."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from weave_ryu import links, namespaces
from weave_ryu.errors import LabError
from weave_ryu.lab import lab as labs
from weave_ryu.lab import netns
from weave_ryu.lab.ovs import Switch
from weave_ryu.lab.state import State
from weave_ryu.pipeline import render, rules
from weave_ryu.pipeline.state import ForwardingState
from weave_ryu.pipeline.tables import METER_RATES

ROOT = Path(__file__).resolve().parents[1]
BRIDGE = "weave"


@dataclass(frozen=True, slots=True)
class End:
    """Where frames begin or end.

    Args:
        namespace: that the link is in.
        ifname: of the link.
        mac: of the link.
    """

    namespace: Path
    ifname: str
    mac: str


class Temporary:
    """Something of the lab's parts that goes at the end of a block."""

    state: State

    def __enter__(self) -> Self:
        # One that an interrupted run has left behind is ours.
        self.state.remove()
        self.state.claim()
        try:
            self.make()
        except BaseException:
            self.state.remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.state.remove()

    def make(self) -> None:
        """Make what is in it."""


class Stand(Temporary):
    """Something in namespaces of one prefix.

    Args:
        prefix: of its names; `weave-ryu lab down --prefix` removes it, too.
    """

    def __init__(self, prefix: str) -> None:
        labs.require_root()
        self.state = State(prefix)
        self.prefix = prefix

    def namespace(self, name: str) -> Path:
        """Make a namespace of this stand."""
        full = f"{self.prefix}-{name}"
        self.state.add_namespaces([full])
        return netns.create_namespace(full)

    def switch(self, name: str, namespace: Path) -> Switch:
        """Start an Open vSwitch with the userspace datapath."""
        directory = self.state.directory / name
        directory.mkdir(parents=True, exist_ok=True)
        switch = Switch(self.prefix, namespace, directory, is_userspace=True)
        try:
            switch.start()
        finally:
            for part, process in switch.processes().items():
                self.state.set_process(f"{name}.{part}", process)
        return switch


class Solo(Stand):
    """One switch with one bridge, and containers at it."""

    def __init__(self, prefix: str, containers: int = 0) -> None:
        super().__init__(prefix)
        self._containers = containers
        self.containers: list[Path] = []
        self._has_meters = False

    def make(self) -> None:
        """One namespace for the switch, one for each container."""
        host = self.namespace("host")
        self.ovs = self.switch("host", host)
        self.ovs.vsctl(
            "add-br",
            BRIDGE,
            "--",
            "set",
            "bridge",
            BRIDGE,
            "datapath_type=netdev",
            "fail_mode=secure",
            "protocols=OpenFlow10,OpenFlow13,OpenFlow14",
        )
        controller = f"unix:{controller_path(str(self.ovs.rundir), BRIDGE)}"
        self.ovs.vsctl(
            "set-controller",
            BRIDGE,
            controller,
            "--",
            "set",
            "controller",
            BRIDGE,
            "max_backoff=1000",
        )
        for number in range(1, self._containers + 1):
            inside = self.namespace(f"c{number}")
            links.create_veth(f"p{number}", host, "eth0", inside, peer_mac=mac_of(number))
            links.set_link(f"p{number}", host, is_up=True)
            links.set_link("eth0", inside, is_up=True, mtu_bytes=labs.STATION_MTU_BYTES)
            links.disable_tx_checksum_offload("eth0", inside)
            links.add_address("eth0", f"10.32.0.{number}/24", inside)
            self.ovs.vsctl(
                "add-port",
                BRIDGE,
                f"p{number}",
                "--",
                "set",
                "interface",
                f"p{number}",
                f"ofport_request={number}",
            )
            self.containers.append(inside)

    def end(self, number: int) -> End:
        """A container, counted from 1, as measurements take it."""
        return End(self.containers[number - 1], "eth0", mac_of(number))

    def add_pipeline(self, state: ForwardingState) -> None:
        """Put this project's flows for a state into the bridge, and the meters they use."""
        if not self._has_meters:
            for meter, rate in METER_RATES.items():
                band = f"meter={meter},pktps,burst,band=type=drop,rate={rate},burst_size={rate}"
                self.ovs.ofctl("add-meter", BRIDGE, band)
            self._has_meters = True
        self.add_flows([render.flow_text(flow) for flow in rules.flows(state)])

    def add_flows(self, lines: list[str], *, instead: bool = True) -> None:
        """Put flows into the bridge, as ``ovs-ofctl`` reads them."""
        path = self.state.directory / "flows"
        path.write_text("\n".join(lines) + "\n", encoding="ascii")
        command = "replace-flows" if instead else "add-flows"
        management = f"unix:{self.ovs.rundir}/{BRIDGE}.mgmt"
        # In one bundle: one by one, flows that time out cost the more the more there are.
        self.ovs.run("ovs-ofctl", "-O", "OpenFlow14", "--bundle", command, management, str(path))


def controller_path(rundir: str, bridge: str) -> str:
    """Where a worker listens for the switch.

    The bridge has it as its controller from the start: one that is given its first controller
    forgets its flows.
    """
    return f"{rundir}/{bridge}.bench.sock"


def mac_of(number: int) -> str:
    """The address of a container of a solo stand."""
    return f"02:c0:00:00:00:{number:02x}"


def start_inside(namespace: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start a module of this package in a namespace; what it prints can be read."""

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return namespaces.run_inside(namespace, start)


def result_of(process: subprocess.Popen[str], timeout_s: float) -> str:
    """What a process printed.

    Raises:
        LabError: it failed, or did not end in time.
    """
    try:
        said, complained = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise LabError(f"a measuring process did not end within {timeout_s:.0f} s") from None
    if process.returncode != 0:
        raise LabError("a measuring process failed", complained.strip()[-800:])
    return said
