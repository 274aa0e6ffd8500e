"""Faults that a lab can make, and what must hold while they last, for each role of who is struck.

:mod:`weave_ryu.lab.matrix` runs them under traffic. What is promised here is what
``docs/explanation/failover.md`` says; bounds are the timers' with room for a busy machine.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from weave_ryu import links
from weave_ryu.errors import LabError
from weave_ryu.lab import cuts, delay, disks, memory, processes
from weave_ryu.lab import lab as labs
from weave_ryu.lab.lab import Lab
from weave_ryu.lab.peer import BRIDGE, LabPeer

ACTIVE: Final = "active"
STANDBY: Final = "standby"
PEER: Final = "peer"
ROLES: Final = (ACTIVE, STANDBY, PEER)

LOSS_PERCENT: Final = 5
DELAY_MS: Final = 200

TAKE_OVER_S: Final = 2.5
"""Of silence a standby waits 1.6 s at most; then it opens, and announces itself."""
CLOSE_S: Final = 2.0
"""A permit runs out within 1.3 s."""
HEAL_S: Final = 5.0
"""Until a restarted switch forwards, or an underlay that was cut."""
LASTS_S: Final = 4.0
HEARD_AGAIN_S: Final = 3.0
"""How long two gateways may both forward once the way between them is whole: until TCP sends again,
which waits twice as long each time, 3.2 s at the end of 4 s."""
LEFT_OVER_S: Final = 0.5
"""A switch that stood still and goes on passes what waited in its sockets, and looks only then
whether its permits have run out."""
HAND_OVER_S: Final = 0.25
FLOWS_BACK_S: Final = 5.0
BRIDGE_BACK_S: Final = 10.0
LINK_BACK_S: Final = 4.0
TWITCH_S: Final = 0.6
"""Announcements of a standby that believes itself alone draw frames away until stations speak."""

Repair = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Scene:
    """Who is struck, and who else is there.

    Attributes:
        role: of the victim, one of `ROLES`.
        active: the gateway that forwards.
        standby: the other one.
    """

    lab: Lab
    role: str
    victim: LabPeer
    active: LabPeer
    standby: LabPeer

    @property
    def others(self) -> list[LabPeer]:
        """All peers but the victim."""
        return [peer for peer in self.lab.peers.values() if peer is not self.victim]

    @property
    def partner(self) -> LabPeer:
        """The other gateway; for a plain peer the active one."""
        return self.standby if self.victim is self.active else self.active


@dataclass(frozen=True, slots=True)
class Promise:
    """What may go wrong with traffic, and for how long. The default: nothing at all.

    Attributes:
        takes_over_s: longest silence across the gateways; 0: not a frame is lost.
        closes_s: after this nothing passes the victim's gateway port any more; 0: no such promise.
        severed: nothing is promised to the victim's own traffic until it heals.
        severed_segment: nor to that between it and the segment.
        splits: gateways cannot hear each other: silent stations are reached again only when the
            mesh has healed.
        doubles_s: for how long two gateways may forward the same frames.
        lost_share: of the frames that pass the victim.
    """

    takes_over_s: float = 0.0
    closes_s: float = 0.0
    severed: bool = False
    severed_segment: bool = False
    splits: bool = False
    doubles_s: float = 0.0
    lost_share: float = 0.0


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that happens to a host.

    Attributes:
        what: a clause.
        strike: makes it happen; returns what ends it.
        promises: by role; a role that is missing cannot be struck.
        lasts_s: until it is ended.
    """

    name: str
    what: str
    strike: Callable[[Scene], Repair]
    promises: dict[str, Promise]
    lasts_s: float = LASTS_S


# Daemon.


def _killed(scene: Scene) -> Repair:
    scene.victim.kill_daemon(signal.SIGKILL)
    return lambda: scene.victim.start_daemon("auto")


def _stopped(scene: Scene) -> Repair:
    scene.victim.kill_daemon(signal.SIGSTOP)
    return lambda: scene.victim.kill_daemon(signal.SIGCONT)


def _out_of_memory(scene: Scene) -> Repair:
    process = scene.victim.daemon.process
    if process is None:
        raise LabError(f"{scene.victim.nick_name} has no daemon")
    memory.kill_by_memory(process, f"weave-ryu-{scene.lab.prefix}")
    return lambda: scene.victim.start_daemon("auto")


# Switch, database, disk.


def _switch_killed(scene: Scene) -> Repair:
    scene.victim.kill_vswitchd()
    return scene.victim.restart_vswitchd


def _database_killed(scene: Scene) -> Repair:
    scene.victim.kill_database()
    return scene.victim.start_database


def _disk_full(scene: Scene) -> Repair:
    """And something is to be written: a key in the database, and that the roles change hands."""
    long_and_new = str(time.time_ns()) * 512
    write = ("set", "Open_vSwitch", ".", f"external_ids:filler={long_and_new}")
    disks.fill(scene.victim.directory)
    try:
        scene.victim.switch.vsctl("--no-wait", *write)
    except LabError as refused:
        if "No space" not in str(refused):
            raise
    else:
        raise LabError(f"the database of {scene.victim.nick_name} took what has no room")
    path = f"/gateways/{scene.standby.gateway_port}"
    reply = scene.standby.http("PUT", path, {"role": "active"}, timeout_s=10.0)
    if reply.status != 200:
        raise LabError(f"{scene.standby.nick_name} did not become active", str(reply.body))

    def repair() -> None:
        disks.empty(scene.victim.directory)
        scene.victim.switch.vsctl("--no-wait", *write)
        scene.standby.http("PUT", path, {"role": "auto"}, timeout_s=10.0)

    return repair


# What an operator does to the bridge. Nothing ends it but the daemon.


def _put_back() -> None:
    """The daemon does."""


def _flows_deleted(scene: Scene) -> Repair:
    scene.victim.ofctl("del-flows")
    return _put_back


def _controller_deleted(scene: Scene) -> Repair:
    forwards_alone = ("--", "set-fail-mode", BRIDGE, "standalone")
    scene.victim.switch.vsctl("del-controller", BRIDGE, *forwards_alone)
    return _put_back


def _left_to_itself(scene: Scene) -> Repair:
    scene.victim.kill_daemon(signal.SIGKILL)
    _controller_deleted(scene)
    return lambda: scene.victim.start_daemon("auto")


def _bridge_deleted(scene: Scene) -> Repair:
    scene.victim.switch.vsctl("del-br", BRIDGE)
    return _put_back


# Underlay and segment.


def _link_down(scene: Scene) -> Repair:
    scene.lab.set_underlay_link(scene.victim, is_up=False)
    return lambda: scene.lab.set_underlay_link(scene.victim, is_up=True)


def _carrier_lost(scene: Scene) -> Repair:
    scene.lab.set_segment_link(scene.victim, is_up=False)
    return lambda: scene.lab.set_segment_link(scene.victim, is_up=True)


def _link_made_anew(scene: Scene) -> Repair:
    """And it is tried: the gateway whose link it is gets the role."""
    victim = scene.victim
    scene.lab.delete_segment_link(victim)

    def repair() -> None:
        scene.lab.make_segment_link(victim)
        if not processes.poll_until(
            lambda: victim.gateway_state().get("ready") is True, LINK_BACK_S
        ):
            raise LabError(f"{victim.nick_name} is not ready", str(victim.gateway_state()))
        path = f"/gateways/{victim.gateway_port}"
        for role in ("active", "auto"):
            reply = victim.http("PUT", path, {"role": role}, timeout_s=10.0)
            if reply.status != 200:
                raise LabError(f"{victim.nick_name} did not become {role}", str(reply.body))

    return repair


def _cut_ways(scene: Scene, ways: list[tuple[str, str]], percent: int = 100) -> Repair:
    cuts.cut(scene.lab.underlay, ways, percent)
    return lambda: cuts.heal(scene.lab.underlay)


def _ways(scene: Scene) -> list[tuple[str, str]]:
    others = [peer.spec.underlay_ip for peer in scene.others]
    return cuts.both_ways(scene.victim.spec.underlay_ip, others)


def _isolated(scene: Scene) -> Repair:
    return _cut_ways(scene, _ways(scene))


def _mute(scene: Scene) -> Repair:
    own = scene.victim.spec.underlay_ip
    return _cut_ways(scene, [way for way in _ways(scene) if way[0] == own])


def _cut_from_partner(scene: Scene) -> Repair:
    ends = scene.victim.spec.underlay_ip, scene.partner.spec.underlay_ip
    return _cut_ways(scene, [ends, ends[::-1]])


def _lossy(scene: Scene) -> Repair:
    return _cut_ways(scene, _ways(scene), LOSS_PERCENT)


def _delayed(scene: Scene) -> Repair:
    underlay, lab = scene.lab.underlay, scene.lab
    port = labs.segment_port(scene.victim.nick_name)
    log = lab.state.directory / "delay.log"
    log.unlink(missing_ok=True)
    links.create_veth("late", underlay, "late-far", underlay)
    # A bridge with one port forwards nothing: what comes at the port is for the process alone.
    links.create_bridge("aside", underlay)
    line = processes.spawn(
        [sys.executable, "-m", delay.__name__, port, "late-far", str(DELAY_MS)],
        log=log,
        environment=scene.victim.switch.environment,
        namespace=underlay,
    )
    lab.state.set_process("delay", line)

    def repair() -> None:
        processes.kill(line)
        links.set_link(port, underlay, bridge="underlay")
        links.delete_link("late", underlay)
        links.delete_link("aside", underlay)

    if not processes.poll_until(lambda: delay.READY in processes.log_tail(log), 5.0):
        repair()
        raise LabError("frames cannot be delayed", processes.log_tail(log))
    links.set_link("late-far", underlay, is_up=True)
    links.set_link("late", underlay, bridge="underlay", is_up=True)
    links.set_link(port, underlay, bridge="aside")
    line.send(signal.SIGUSR1)
    return repair


_NOTHING = Promise()
_TAKEN_OVER = Promise(takes_over_s=TAKE_OVER_S, closes_s=CLOSE_S)
_SEVERED = Promise(severed=True)
_DAEMON = {ACTIVE: _TAKEN_OVER, STANDBY: _NOTHING, PEER: _NOTHING}
_UNHEARD = {
    ACTIVE: Promise(takes_over_s=TAKE_OVER_S, splits=True, doubles_s=HEARD_AGAIN_S),
    STANDBY: Promise(takes_over_s=TWITCH_S, splits=True, doubles_s=HEARD_AGAIN_S),
    PEER: _SEVERED,
}
# It still hears the mesh, and passes that on; nobody else knows.
_MUTE = {
    role: replace(promise, doubles_s=LASTS_S + HEARD_AGAIN_S if promise.splits else 0.0)
    for role, promise in _UNHEARD.items()
}
_SWITCH = {
    ACTIVE: Promise(takes_over_s=TAKE_OVER_S, doubles_s=LEFT_OVER_S),
    STANDBY: _NOTHING,
    PEER: _SEVERED,
}
_HANDED_OVER = Promise(takes_over_s=HAND_OVER_S)
_LOSS = Promise(lost_share=LOSS_PERCENT / 100)
# What the line holds when the delay begins and ends is late, or lost; and BFD takes it for a cut.
_BLINK = {
    ACTIVE: Promise(takes_over_s=TAKE_OVER_S, splits=True, doubles_s=HEARD_AGAIN_S),
    STANDBY: Promise(takes_over_s=TWITCH_S, splits=True, doubles_s=HEARD_AGAIN_S),
    PEER: _SEVERED,
}

FAULTS: Final = {
    fault.name: fault
    for fault in (
        Fault("kill", "daemon killed, and started after 4 s", _killed, _DAEMON),
        Fault("stop", "daemon stopped for 4 s (SIGSTOP)", _stopped, _DAEMON),
        Fault("oom", "daemon killed by the kernel for lack of memory", _out_of_memory, _DAEMON),
        Fault(
            "vswitchd",
            "ovs-vswitchd killed, and started after 2 s",
            _switch_killed,
            _SWITCH,
            2.0,
        ),
        Fault(
            "ovsdb",
            "ovsdb-server killed, and started after 2 s",
            _database_killed,
            # The userspace datapath stands still without its database: its links are polled by a
            # loop that returns before that as long as there is no connection (bridge_run).
            _SWITCH,
            2.0,
        ),
        Fault(
            "disk",
            "disk of database and logs full, and the roles change hands",
            _disk_full,
            dict.fromkeys(ROLES, _HANDED_OVER),
        ),
        Fault(
            "flows",
            "all flows deleted (ovs-ofctl del-flows)",
            _flows_deleted,
            {
                ACTIVE: Promise(takes_over_s=FLOWS_BACK_S),
                STANDBY: _NOTHING,
                PEER: _SEVERED,
            },
            FLOWS_BACK_S,
        ),
        Fault(
            "controller",
            "controller deleted, and the bridge set to forward by itself",
            _controller_deleted,
            {
                ACTIVE: Promise(takes_over_s=FLOWS_BACK_S),
                STANDBY: _NOTHING,
                PEER: _SEVERED,
            },
            FLOWS_BACK_S,
        ),
        Fault(
            "standalone",
            "daemon killed, controller deleted, and the bridge set to forward by itself for 4 s",
            _left_to_itself,
            # A plain peer has no flows until it has found its neighbours again: no promise.
            {ACTIVE: _TAKEN_OVER, STANDBY: _NOTHING},
        ),
        Fault(
            "bridge",
            "bridge deleted",
            _bridge_deleted,
            # On a plain peer the container's port is gone with it, until it is attached anew.
            {ACTIVE: _TAKEN_OVER, STANDBY: _NOTHING},
            BRIDGE_BACK_S,
        ),
        Fault("link", "underlay link down for 4 s", _link_down, _UNHEARD),
        Fault("isolate", "cut off from all peers for 4 s, link up", _isolated, _UNHEARD),
        Fault("mute", "nothing it sends arrives, for 4 s", _mute, _MUTE),
        Fault(
            "between",
            "cut off from one gateway for 4 s",
            _cut_from_partner,
            # A way that is dead counts as alive for a minute, and frames have only that way.
            {ACTIVE: _NOTHING, STANDBY: _NOTHING, PEER: Promise(severed_segment=True)},
        ),
        Fault(
            "carrier",
            "gateway port without carrier for 4 s",
            _carrier_lost,
            {ACTIVE: Promise(takes_over_s=TAKE_OVER_S), STANDBY: _NOTHING},
        ),
        Fault(
            "relink",
            "gateway's link deleted, made anew after 2 s, and the role given to that gateway",
            _link_made_anew,
            {ACTIVE: Promise(takes_over_s=TAKE_OVER_S), STANDBY: _HANDED_OVER},
            2.0,
        ),
        Fault(
            "loss",
            f"{LOSS_PERCENT} % of what it sends and gets is lost",
            _lossy,
            {ACTIVE: _LOSS, STANDBY: _NOTHING, PEER: _LOSS},
            6.0,
        ),
        Fault(
            "delay",
            f"all it sends and gets is {DELAY_MS} ms late",
            _delayed,
            _BLINK,
            6.0,
        ),
    )
}

QUICK: Final = (
    ("ovsdb", STANDBY),
    ("disk", ACTIVE),
    ("loss", PEER),
    ("standalone", STANDBY),
    ("relink", STANDBY),
)
"""What no other test does, in under a minute."""
