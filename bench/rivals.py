"""What one would use instead of weave-ryu so that a gateway may fail: each on plain bridges.

All have the lab's star of tunnels with the first peer in its middle, so that the one loop there is
goes through both gateways and the segment. keepalived plugs one gateway's segment link in and out
of the kernel's bridge; the spanning trees leave both in and block one.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench.plain import KERNEL, NORMAL, PlainLab, ping
from bench.plan import Plan
from weave_ryu import links
from weave_ryu.errors import LabError
from weave_ryu.lab import failover, processes, topology
from weave_ryu.lab import lab as labs
from weave_ryu.lab.failover import Event
from weave_ryu.lab.lab import Lab
from weave_ryu.lab.ovs import UNDERLAY_LINK
from weave_ryu.lab.peer import BRIDGE, LabPeer

SETTLE_S = 90.0
"""A spanning tree with its default times needs half of that."""

LONG_S = 30.0
"""A rival that takes longer is measured with one failure only."""

WATCH_S = 6.0
"""For keepalived: with its default timers it needs up to four seconds."""

_KEEPALIVED = """\
global_defs {{
    vrrp_version 3
    script_user root
}}
vrrp_instance gateway {{
    state BACKUP
    nopreempt
    interface {interface}
    virtual_router_id 51
    priority {priority}
    advert_int {advert_s}
    track_interface {{
        {port}
    }}
    virtual_ipaddress {{
        10.99.0.200/32 dev {interface}
    }}
    notify "{script}"
}}
"""

_SCRIPT = """\
#!/bin/sh
case $3 in
    MASTER) exec ip link set {port} master {bridge} ;;
    *) exec ip link set {port} nomaster ;;
esac
"""


@dataclass(frozen=True, slots=True)
class Rival:
    """One way to survive the loss of a gateway.

    Args:
        name: as the tables show it.
        make: the lab with it, not yet begun.
        watch_s: how long it may take to recover.
        is_slow: measured less often.
    """

    name: str
    make: Callable[[str], RivalLab]
    watch_s: float
    is_slow: bool = False


class RivalLab(PlainLab):
    """A plain lab whose gateways can fail and come back."""

    def __init__(
        self,
        prefix: str,
        kind: str,
        *,
        prepare: Callable[[PlainLab, LabPeer], None] | None = None,
        advert_s: float | None = None,
    ) -> None:
        self._advert_s = advert_s
        attached = None if advert_s is None else ()
        super().__init__(prefix, topology.build(shape="star"), kind, prepare, attached)
        self._running: dict[str, processes.ProcessRef] = {}

    def make(self) -> None:
        """The lab, and keepalived if it is to decide."""
        super().make()
        for name in self.topology.gateways():
            self.start_control(self.peer(name))

    def start_control(self, peer: LabPeer) -> None:
        """Start what decides on a gateway, if that is a process."""
        if self._advert_s is None:
            return
        place = self.topology.gateways().index(peer.nick_name)
        script, conf = peer.directory / "notify", peer.directory / "keepalived.conf"
        port = topology.GATEWAY_PORT
        script.write_text(_SCRIPT.format(port=port, bridge=BRIDGE), encoding="ascii")
        script.chmod(0o755)
        text = _KEEPALIVED.format(
            interface=UNDERLAY_LINK,
            priority=150 - 50 * place,
            advert_s=self._advert_s,
            port=port,
            script=script,
        )
        conf.write_text(text, encoding="ascii")
        command = ["keepalived", "--dont-fork", "--log-console", "--vrrp", "--use-file", str(conf)]
        command += ["--pid", str(peer.directory / "keepalived.pid")]
        command += ["--vrrp_pid", str(peer.directory / "vrrp.pid")]
        process = processes.spawn(
            command,
            log=peer.directory / "keepalived.log",
            environment={processes.MARKER: self.prefix},
            namespace=peer.netns,
        )
        self._running[peer.nick_name] = process
        self.state.set_process(f"{peer.nick_name}.keepalived", process)

    def role_changes(self) -> int:
        """How often keepalived has changed its mind so far, on all gateways."""
        logs = [self.peer(name).directory / "keepalived.log" for name in self.topology.gateways()]
        texts = [log.read_text(encoding="utf-8", errors="replace") for log in logs if log.exists()]
        return sum(text.count(") Entering ") for text in texts)

    def kill_control(self, peer: LabPeer) -> None:
        """Kill it and its children, as a host dies."""
        parent = self._running.pop(peer.nick_name, None)
        if parent is None:
            return
        family = (peer.directory / "vrrp.pid").read_text(encoding="ascii").split()
        parent.send(signal.SIGKILL)
        for process in processes.find_marked(self.prefix):
            if str(process.pid) in family:
                processes.kill(process)
        processes.kill(parent)

    def detach(self, peer: LabPeer) -> None:
        """Unplug a gateway's link to the segment, if it is not there from the start."""
        if self._advert_s is not None:
            self.run(peer, "ip", "link", "set", topology.GATEWAY_PORT, "nomaster")

    def forwarder(self) -> str | None:
        """The gateway by which the segment's bridge reaches the first container."""
        container = min(self.containers.values(), key=lambda item: item.name)
        host = min(self.hosts.values(), key=lambda item: item.name)
        if not ping(container.netns, host.ip, 1, 0.2):
            return None
        table = links.forwarding_table(self.segment_netns(self.topology.segments[0].name))
        for name in self.topology.gateways():
            if table.get(container.mac) == labs.segment_port(name):
                return name
        return None


class RivalBench(failover.Bench):
    """The lab's own measurement, on a lab without weave-ryu."""

    def __init__(self, lab: RivalLab, tell: labs.Progress) -> None:
        super().__init__(lab, tell)
        self._rival = lab

    def wait_ready(self) -> tuple[LabPeer, LabPeer]:
        """Wait until frames have gone through the same gateway for a while."""
        deadline = time.monotonic() + SETTLE_S
        since, last = time.monotonic(), self._rival.forwarder()
        while last is None or time.monotonic() - since < failover.CALM_S:
            if time.monotonic() > deadline:
                where = f"after {SETTLE_S:.0f} s in {self._rival.prefix}"
                raise LabError("no gateway forwards", where)
            time.sleep(0.2)
            found = self._rival.forwarder()
            if found != last:
                since, last = time.monotonic(), found
        others = [name for name in self._rival.topology.gateways() if name != last]
        return self._rival.peer(last), self._rival.peer(others[0])

    def _misplaced(self) -> tuple[str, ...]:
        right = self._rival.forwarder()
        segment = self._rival.topology.segments[0].name
        table = links.forwarding_table(self._rival.segment_netns(segment))
        port = None if right is None else labs.segment_port(right)
        return tuple(c.name for c in self._rival.containers.values() if table.get(c.mac) != port)


def _host_dies(lab: Lab, active: LabPeer, _standby: LabPeer) -> Callable[[], None]:
    assert isinstance(lab, RivalLab)  # noqa: S101  (the events below are for rivals only)
    rival = lab
    rival.set_underlay_link(active, is_up=False)
    rival.set_segment_link(active, is_up=False)
    rival.kill_control(active)
    if rival.kind == NORMAL:
        active.kill_vswitchd()

    def repair() -> None:
        if rival.kind == NORMAL:
            active.restart_vswitchd()
        # A host that starts anew has nothing plugged in.
        rival.detach(active)
        rival.set_underlay_link(active, is_up=True)
        rival.set_segment_link(active, is_up=True)
        rival.start_control(active)

    return repair


def events(plan: Plan, rival: Rival) -> dict[str, Event]:
    """The failures, as `weave_ryu.lab.failover` has them, for a rival."""
    carrier = failover.EVENTS["carrier"]
    host = failover.EVENTS["host"]
    found = {"host": Event("host", host.what, _host_dies, rival.watch_s)}
    if not plan.is_quick and rival.watch_s < LONG_S:
        found["carrier"] = Event("carrier", carrier.what, carrier.strike, rival.watch_s)
    return found


def _rstp(_lab: PlainLab, peer: LabPeer) -> None:
    """OVS RSTP with the shortest times that it takes."""
    first = peer.nick_name == topology.DEFAULT_PEERS[0]
    peer.switch.vsctl(
        *("set", "bridge", BRIDGE, "rstp_enable=true", "other_config:rstp-forward-delay=4"),
        *("other_config:rstp-max-age=6", f"other_config:rstp-priority={4096 if first else 32768}"),
    )


def _stp(forward_delay_s: int, hello_s: int, max_age_s: int) -> Callable[[PlainLab, LabPeer], None]:
    def prepare(lab: PlainLab, peer: LabPeer) -> None:
        first = peer.nick_name == topology.DEFAULT_PEERS[0]
        values: list[str] = []
        for key, value_s in (
            ("forward_delay", forward_delay_s),
            ("hello_time", hello_s),
            ("max_age", max_age_s),
        ):
            # In hundredths of a second.
            values += [key, str(value_s * 100)]
        priority = "4096" if first else "32768"
        lab.run(peer, "ip", "link", "set", BRIDGE, "type", "bridge", *values)
        lab.run(peer, "ip", "link", "set", BRIDGE, "type", "bridge", "priority", priority)
        lab.run(peer, "ip", "link", "set", BRIDGE, "type", "bridge", "stp_state", "1")

    return prepare


def keepalived(name: str, advert_s: float, watch_s: float) -> Rival:
    """Keepalived with a time between advertisements."""
    return Rival(name, lambda p: RivalLab(p, KERNEL, advert_s=advert_s), watch_s)


RIVALS = (
    keepalived("keepalived, default", 1.0, WATCH_S),
    Rival("OVS RSTP, fastest", lambda p: RivalLab(p, NORMAL, prepare=_rstp), 20.0, True),
    Rival("Linux STP, fastest", lambda p: RivalLab(p, KERNEL, prepare=_stp(4, 1, 6)), 20.0, True),
    Rival("Linux STP, default", lambda p: RivalLab(p, KERNEL, prepare=_stp(15, 2, 20)), 60.0, True),
)
