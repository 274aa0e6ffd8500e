"""Measures failovers: gap, losses, duplicates and loops for each kind of event, over many runs.

The traffic is 1,000 frames a second in each direction between a host of the segment and a
container, broadcasts of both every 10 ms, and frames for a host and a container that never send.
All figures come from captures at the receivers; times are the kernel's.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import datetime
import json
import random
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from weave_ryu import links
from weave_ryu.errors import LabError
from weave_ryu.lab import lab as labs
from weave_ryu.lab import processes
from weave_ryu.lab.lab import Lab, Progress
from weave_ryu.lab.patience import stretched
from weave_ryu.lab.peer import LabPeer
from weave_ryu.lab.stations import stations
from weave_ryu.lab.traffic import BROADCAST, Stream, Traffic

RATE_PER_S = 1000
BROADCAST_RATE_PER_S = 100
CALM_S = 4.0
"""Rest between two events: until then peers still forget and relearn what the last one moved."""
LEAD_S = 0.6
"""Traffic before the event."""
READY_TIMEOUT_S = 40.0

_PREEMPT_DELAY_S = 5.0
"""Longer than others' tables move after a daemon's restart."""

_SECOND_UNDERLAY = "underlay2"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens to the gateway that forwards.

    Args:
        name: for the command line and the table.
        what: a clause.
        strike: makes it happen; returns what puts it right again.
        watch_s: how long to look after it.
        prepare: what must have happened before the traffic begins.
    """

    name: str
    what: str
    strike: Callable[[Lab, LabPeer, LabPeer], Callable[[], None]]
    watch_s: float
    prepare: Callable[[LabPeer, LabPeer], None] | None = None


@dataclass(slots=True)
class Run:
    """What one event did.

    Attributes:
        gaps_ms: direction → longest silence; directions to silent stations among them.
        lost: direction → unicast frames lost.
        broadcasts_lost: direction → broadcasts that some receiver on that side did not get.
        duplicates: copies beyond the first, all streams and receivers.
        most_copies: of one frame at one receiver.
        loops: copies that came back to their senders.
        misplaced: containers whose frames the segment's bridge sends to another gateway's port
            (its forwarding table), silent ones among them.
        sender_pause_ms: the longest time in which this program itself did not send.
    """

    event: str
    gaps_ms: dict[str, float] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)
    broadcasts_lost: dict[str, int] = field(default_factory=dict)
    duplicates: int = 0
    most_copies: int = 0
    loops: int = 0
    misplaced: tuple[str, ...] = ()
    sender_pause_ms: float = 0.0


class Bench:
    """Runs events on a lab with two gateways in role auto."""

    def __init__(self, lab: Lab, tell: Progress) -> None:
        self._lab = lab
        self._tell = tell
        containers = sorted(lab.containers)
        hosts = sorted(lab.hosts)
        self._container, self._silent_container = containers[0], containers[1]
        self._host, self._silent_host = hosts[0], hosts[1]
        self.gateways = [lab.peer(name) for name in lab.topology.segments[0].gateways]

    def measure(self, event: Event) -> Run:
        """One run; the lab is whole again afterwards."""
        active, standby = self.wait_ready()
        repair: Callable[[], None] = _nothing
        if event.prepare is not None:
            event.prepare(active, standby)
        with Traffic(stations(self._lab)) as traffic:
            pairs = {
                "mesh→segment": (self._container, self._host),
                "segment→mesh": (self._host, self._container),
            }
            silent = {
                "→silent host": (self._container, self._silent_host),
                "→silent container": (self._host, self._silent_container),
            }
            streams = {name: traffic.stream(*ends) for name, ends in (pairs | silent).items()}
            floods = [traffic.stream(name, BROADCAST) for name in (self._container, self._host)]
            # Every station has been heard once, as in life; the silent ones say no more.
            for name in traffic.stations:
                traffic.send([traffic.stream(name, BROADCAST)], 2, 50)
            traffic.start([streams[name] for name in pairs], RATE_PER_S)
            traffic.start([*floods, *(streams[name] for name in silent)], BROADCAST_RATE_PER_S)
            time.sleep(LEAD_S)
            start_ns = time.time_ns()
            try:
                repair = event.strike(self._lab, active, standby)
                time.sleep(event.watch_s)
                misplaced = self._misplaced()
            finally:
                end_ns = time.time_ns()
                traffic.stop()
                traffic.settle()
                repair()
            ends = pairs | silent
            run = self._account(event, traffic, streams, floods, ends, (start_ns, end_ns))
            run.misplaced = misplaced
            return run

    def _misplaced(self) -> tuple[str, ...]:
        """Containers whose frames the segment's bridge sends to the wrong gateway, or to none."""
        segment = self._lab.topology.segments[0].name
        forwarders = [p for p in self.gateways if p.gateway_state()["state"] == "active"]
        right = {labs.segment_port(peer.nick_name) for peer in forwarders}
        table = links.forwarding_table(self._lab.segment_netns(segment))
        containers = self._lab.containers.values()
        return tuple(c.name for c in containers if table.get(c.mac) not in right)

    def _account(
        self,
        event: Event,
        traffic: Traffic,
        streams: dict[str, Stream],
        floods: list[Stream],
        ends: dict[str, tuple[str, str]],
        window: tuple[int, int],
    ) -> Run:
        run = Run(event.name)
        for name, stream in streams.items():
            source, receiver = ends[name]
            delivery = traffic.delivery(stream, receiver)
            run.gaps_ms[name] = round(traffic.gap_ms(stream, receiver, *window), 1)
            run.lost[name] = delivery.lost
            run.duplicates += delivery.duplicated
            run.most_copies = max(run.most_copies, delivery.most_copies)
            run.loops += traffic.delivery(stream, source).copies
            run.sender_pause_ms = max(run.sender_pause_ms, stream.longest_pause_ns / 1e6)
        for stream in floods:
            run.loops += traffic.delivery(stream, stream.source).copies
            for station in traffic.stations:
                if station != stream.source:
                    delivery = traffic.delivery(stream, station)
                    direction = f"{self._side(stream.source)}→{self._side(station)}"
                    before = run.broadcasts_lost.get(direction, 0)
                    run.broadcasts_lost[direction] = max(before, delivery.lost)
                    run.duplicates += delivery.duplicated
                    run.most_copies = max(run.most_copies, delivery.most_copies)
        run.sender_pause_ms = round(run.sender_pause_ms, 1)
        return run

    def _side(self, station: str) -> str:
        return "segment" if station in self._lab.hosts else "mesh"

    def wait_ready(self) -> tuple[LabPeer, LabPeer]:
        """Wait until one gateway forwards and another could take over."""
        deadline = time.monotonic() + stretched(READY_TIMEOUT_S)
        while True:
            states = {peer.nick_name: peer.gateway_state() for peer in self.gateways}
            active = [n for n, s in states.items() if s.get("state") == "active"]
            ready = [n for n, s in states.items() if s.get("state") == "standby" and s.get("ready")]
            sees = all(
                other.get("bfd") == "up"
                for s in states.values()
                for other in s.get("peer_states", {}).values()
            )
            missing = self._lab.missing_links()
            calm = all(since_change_s(s) > CALM_S for s in states.values() if "since" in s)
            if len(active) == 1 and ready and sees and calm and not missing:
                return self._lab.peer(active[0]), self._lab.peer(ready[0])
            if time.monotonic() > deadline:
                shown = {name: state.get("state") for name, state in states.items()}
                raise LabError("the gateways did not come to rest", f"{shown}, {missing}")
            time.sleep(stretched(0.2))


def since_change_s(state: dict[str, Any]) -> float:
    """How long ago a gateway port, as the API shows it, came into its state."""
    entered = datetime.datetime.fromisoformat(state["since"])
    return (datetime.datetime.now(datetime.UTC) - entered).total_seconds()


# Events.


def _nothing() -> None:
    pass


def _host_dies(lab: Lab, active: LabPeer, _standby: LabPeer) -> Callable[[], None]:
    # Links first: a host that loses its power says no good-bye.
    lab.set_underlay_link(active, is_up=False)
    lab.set_segment_link(active, is_up=False)
    active.kill_vswitchd()
    active.kill_daemon(signal.SIGKILL)

    def repair() -> None:
        lab.set_underlay_link(active, is_up=True)
        lab.set_segment_link(active, is_up=True)
        active.restart_vswitchd()
        active.start_daemon("auto")

    return repair


def _carrier_lost(lab: Lab, active: LabPeer, _standby: LabPeer) -> Callable[[], None]:
    lab.set_segment_link(active, is_up=False)
    return lambda: lab.set_segment_link(active, is_up=True)


def _daemon_killed(_lab: Lab, active: LabPeer, _standby: LabPeer) -> Callable[[], None]:
    active.kill_daemon(signal.SIGKILL)
    return lambda: active.start_daemon("auto")


def _daemon_stopped(_lab: Lab, active: LabPeer, _standby: LabPeer) -> Callable[[], None]:
    active.kill_daemon(signal.SIGSTOP)
    return lambda: active.kill_daemon(signal.SIGCONT)


def _stop_until_replaced(active: LabPeer, _standby: LabPeer) -> None:
    active.kill_daemon(signal.SIGSTOP)
    time.sleep(CALM_S)


def _daemon_continued(_lab: Lab, active: LabPeer, _standby: LabPeer) -> Callable[[], None]:
    active.kill_daemon(signal.SIGCONT)
    return _nothing


def _daemon_terminated(_lab: Lab, active: LabPeer, _standby: LabPeer) -> Callable[[], None]:
    active.kill_daemon(signal.SIGTERM)
    return lambda: active.start_daemon("auto")


def _drained(_lab: Lab, active: LabPeer, _standby: LabPeer) -> Callable[[], None]:
    path = f"/gateways/{active.gateway_port}"
    active.http("PUT", path, {"drain": True}, timeout_s=10.0)
    return lambda: _role(active, "auto")


def _activated(_lab: Lab, _active: LabPeer, standby: LabPeer) -> Callable[[], None]:
    _role(standby, "active")
    return lambda: _role(standby, "auto")


def _prefer_standby(_active: LabPeer, standby: LabPeer) -> None:
    """Restart the standby as the preferred one; it takes the role when its delay has passed."""
    standby.kill_daemon(signal.SIGTERM)
    standby.start_daemon("auto", f"priority=200,preempt=true,preempt_delay={_PREEMPT_DELAY_S}")
    _wait_state(standby, "standby", is_ready=True)


def _preempted(_lab: Lab, _active: LabPeer, standby: LabPeer) -> Callable[[], None]:
    _wait_state(standby, "active")

    def repair() -> None:
        standby.kill_daemon(signal.SIGTERM)
        standby.start_daemon("auto")

    return repair


def _wait_state(peer: LabPeer, wanted: str, *, is_ready: bool = False) -> None:
    def is_there() -> bool:
        state = peer.gateway_state()
        return state["state"] == wanted and (not is_ready or bool(state.get("ready")))

    if not processes.poll_until(is_there, READY_TIMEOUT_S):
        state = peer.gateway_state()["state"]
        raise LabError(f"{peer.nick_name} did not become {wanted}", state)


def _partitioned(lab: Lab, active: LabPeer, standby: LabPeer) -> Callable[[], None]:
    """The mesh falls apart between the gateways for three seconds; both still have the segment."""
    others = [peer for peer in lab.peers.values() if peer not in (active, standby)]
    far = [standby, *others[len(others) // 2 :]]
    links.create_bridge(_SECOND_UNDERLAY, lab.underlay)
    for peer in far:
        links.set_link(
            labs.segment_port(peer.nick_name), lab.underlay, bridge=_SECOND_UNDERLAY, is_up=True
        )
    time.sleep(3.0)
    for peer in far:
        links.set_link(
            labs.segment_port(peer.nick_name), lab.underlay, bridge="underlay", is_up=True
        )
    links.delete_link(_SECOND_UNDERLAY, lab.underlay)
    return _nothing


def _changed_by_three(_lab: Lab, active: LabPeer, standby: LabPeer) -> Callable[[], None]:
    """24 times in a minute an operator, one of three, wants one of the two gateways to forward."""
    rng = random.Random(24)  # noqa: S311  (not for keys)
    orders = [[rng.choice((active, standby)) for _ in range(8)] for _ in range(3)]

    def work(order: list[LabPeer]) -> None:
        for peer in order:
            started = time.monotonic()
            path = f"/gateways/{peer.gateway_port}"
            # 503: another one's newer word came in between.
            reply = peer.http("PUT", path, {"role": "active"}, timeout_s=15.0)
            if reply.status not in (200, 503):
                raise LabError(f"{peer.nick_name} refused to become active", str(reply.body))
            time.sleep(max(0.0, 7.5 - (time.monotonic() - started)))

    with concurrent.futures.ThreadPoolExecutor(len(orders)) as clients:
        list(clients.map(work, orders))
    forwarders = [p.nick_name for p in (active, standby) if p.gateway_state()["state"] == "active"]
    if len(forwarders) != 1:
        raise LabError("not exactly one gateway forwards", f"{forwarders}")

    def repair() -> None:
        for peer in (active, standby):
            _role(peer, "auto")

    return repair


def _role(peer: LabPeer, role: str) -> None:
    peer.http("PUT", f"/gateways/{peer.gateway_port}", {"role": role}, timeout_s=10.0)


EVENTS = {
    event.name: event
    for event in (
        Event("host", "gateway host dies: daemon and switch killed, links cut", _host_dies, 2.0),
        Event("carrier", "gateway port loses carrier", _carrier_lost, 1.5),
        Event("kill", "daemon killed, its switch lives", _daemon_killed, 4.0),
        Event("stop", "daemon stopped (SIGSTOP), its switch lives", _daemon_stopped, 4.0),
        Event(
            "continue",
            "stopped daemon continued after the take-over",
            _daemon_continued,
            3.0,
            _stop_until_replaced,
        ),
        Event("term", "daemon stopped in good order (SIGTERM)", _daemon_terminated, 2.0),
        Event("drain", "gateway drained", _drained, 1.5),
        Event(
            "preempt",
            "gateway of higher priority comes back and takes the role",
            _preempted,
            1.5,
            _prefer_standby,
        ),
        Event("partition", "mesh in two parts for 3 s, then whole again", _partitioned, 3.0),
        Event("activate", "other gateway activated by hand", _activated, 1.5),
        Event("rapid", "24 changes of role in a minute by three clients", _changed_by_three, 2.0),
    )
}


def run(
    options: labs.Options, names: list[str], runs: int, tell: Progress, *, as_json: bool
) -> int:
    """Measure events on a new lab and print the figures.

    Args:
        options: the lab; its gateways should be in role auto.
        names: of `EVENTS`.
        runs: of each event.
        tell: told what is going on.
        as_json: print one JSON document instead of a table.

    Returns:
        0, or 1 if a frame came back to its sender.
    """
    lab = labs.up(options, tell)
    found: list[Run] = []
    try:
        bench = Bench(lab, tell)
        for name in names:
            for number in range(runs):
                measured = bench.measure(EVENTS[name])
                found.append(measured)
                tell(f"{name} {number + 1}/{runs}: {_line(measured)}")
    finally:
        with contextlib.suppress(LabError):
            lab.down()
    if as_json:
        print(json.dumps({"runs": [asdict(one) for one in found]}, indent=1, ensure_ascii=False))
    else:
        for row in _table(found):
            print(row)
    return 1 if any(one.loops for one in found) else 0


def _line(one: Run) -> str:
    gaps = ", ".join(f"{name} {gap:.0f} ms" for name, gap in one.gaps_ms.items())
    broadcasts = sum(one.broadcasts_lost.values())
    return (
        f"{gaps}; lost {sum(one.lost.values())}, broadcasts lost {broadcasts}, "
        f"duplicates {one.duplicates} (at most {one.most_copies} copies), loops {one.loops}, "
        f"misplaced {len(one.misplaced)} (sender paused {one.sender_pause_ms} ms)"
    )


def _table(found: list[Run]) -> Iterator[str]:
    yield (
        f"{'event':<10}{'runs':>5}  {'direction':<20}{'median':>9}{'worst':>9}{'lost':>7}"
        f"{'bc lost':>9}{'dups':>6}{'copies':>8}{'loops':>7}{'misplaced':>11}"
    )
    for name in dict.fromkeys(one.event for one in found):
        runs = [one for one in found if one.event == name]
        for place, direction in enumerate(runs[0].gaps_ms):
            gaps = [one.gaps_ms[direction] for one in runs]
            lost = max(one.lost[direction] for one in runs)
            floods = [one.broadcasts_lost.get(direction) for one in runs]
            worst = max((lost for lost in floods if lost is not None), default="")
            tail = f"{worst:>9}"
            if place == 0:
                tail += (
                    f"{max(one.duplicates for one in runs):>6}"
                    f"{max(one.most_copies for one in runs):>8}{sum(one.loops for one in runs):>7}"
                    f"{max(len(one.misplaced) for one in runs):>11}"
                )
            yield (
                f"{name if place == 0 else '':<10}{len(runs) if place == 0 else '':>5}  "
                f"{direction:<20}{statistics.median(gaps):>6.0f} ms{max(gaps):>6.0f} ms"
                f"{lost:>7}{tail}"
            )


def as_options(options: labs.Options, gateways: list[str], profile: str) -> labs.Options:
    """The lab's options with the gateways in role auto and a failover profile."""
    changes: dict[str, Any] = {
        "roles": dict.fromkeys(gateways, "auto"),
        "daemon_command": [*options.daemon_command, "--failover", profile],
    }
    return labs.Options(
        **{name: getattr(options, name) for name in options.__dataclass_fields__} | changes
    )
