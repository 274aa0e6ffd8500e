"""The main job: a lab under traffic, its gateways switched and killed, everything counted."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final, NoReturn

from weave_ryu.errors import ConfigError, DaemonUnreachableError, LabError
from weave_ryu.lab import lab as labs
from weave_ryu.lab import processes
from weave_ryu.lab.failover import CALM_S, since_change_s
from weave_ryu.lab.lab import Lab, Options, Progress
from weave_ryu.lab.patience import stretched
from weave_ryu.lab.peer import LabPeer
from weave_ryu.lab.report import Gap, Report
from weave_ryu.lab.stations import stations, taps
from weave_ryu.lab.topology import Topology
from weave_ryu.lab.traffic import Stream, Traffic

BURST_FRAMES: Final = 200
BURST_RATE_PER_S: Final = 200.0
STREAM_RATE_PER_S: Final = 250.0
FLOW_AGAIN_BOUND_MS: Final = 1000.0
DEAD_MAN_BOUND_MS: Final = 2000.0
ROLE_CHANGE_TIMEOUT_S: Final = 10.0
CALM_TIMEOUT_S: Final = 15.0
"""The daemon itself gives up after 6 s, and says why."""

UNPROTECTED_COPIES: Final = 3369
"""Copies of ONE broadcast that came back to Host1 within two seconds, with two unmodified Weave
routers on one segment. Source: measured with the real routers, issue630.json."""


class Demo:
    """The phases of the demo on a lab that is up. The first gateway starts active."""

    def __init__(self, lab: Lab, traffic: Traffic, tell: Progress) -> None:
        segment = lab.topology.segments[0]
        self.lab = lab
        self.traffic = traffic
        self.report = Report()
        self._wishes: list[tuple[float, bool]] = []
        """How long each role took that was asked for, in ms, and whether it was there then."""
        self.first = lab.peer(segment.gateways[0])
        self.second = lab.peer(segment.gateways[1])
        self.containers = list(lab.containers)
        self.hosts = list(lab.hosts)
        self._tell = tell

    def run(self) -> Report:
        """All phases, in order."""
        self.wait_calm()
        self.warm_up()
        self.stable("baseline")
        first, second = self.first, self.second
        self.change_by_hand(f"{first.nick_name}→{second.nick_name} by hand", first, second)
        self.change_by_hand(f"{second.nick_name}→{first.nick_name} by hand", second, first)
        self.kill_active(first, second)
        self.restart_daemon(first, "standby")
        self.force_both_active()
        self.set_role(second, "standby")
        self.set_role(first, "active")
        # A unicast to a MAC that nobody knows goes to all, as it must: make all known again.
        self.warm_up()
        self.stable("at the end")
        self._check_wishes()
        missed = self.traffic.missed_by_captures()
        if missed:
            raise LabError(
                f"the captures missed {missed} frames, so the counts are not to be trusted",
                "run the demo again on a machine that is less busy",
            )
        return self.report

    # --- phases ---

    def wait_calm(self) -> None:
        """Until peers have forgotten for the last time what the last role change moved."""
        deadline = time.monotonic() + stretched(CALM_TIMEOUT_S)
        while time.monotonic() < deadline:
            states = [peer.gateway_state() for peer in (self.first, self.second)]
            if all("since" in one and since_change_s(one) > CALM_S for one in states):
                return
            time.sleep(stretched(0.1))

    def warm_up(self) -> None:
        """Every station speaks once or twice, so that all addresses are known."""
        self._tell("every station speaks")
        streams = [self.traffic.stream(name) for name in self.traffic.stations]
        self.traffic.send(streams, 5, 10)
        self.traffic.settle()

    def stable(self, phase: str) -> None:
        """One active, one standby: everything arrives exactly once, the standby is silent."""
        container, host = self.containers[0], self.hosts[0]
        self._tell(f"{phase}: {BURST_FRAMES} broadcasts each from {host} and {container}")
        standby = f"{self.second.nick_name}/in"
        foreign_before = self._foreign_at(standby)
        streams = [self.traffic.stream(host), self.traffic.stream(container)]
        self._burst(streams)
        for stream in streams:
            self._account_broadcast(phase, stream)
        pairs = self._pairs()
        self._tell(f"{phase}: {BURST_FRAMES} unicasts each of {len(pairs)} directions")
        unicasts = [self.traffic.stream(*pair) for pair in pairs]
        self._burst(unicasts)
        for stream, (source, receiver) in zip(unicasts, pairs, strict=True):
            self._account_unicast(phase, stream, source, receiver)
        silent = sum(self.traffic.delivery(s, standby).copies for s in (*streams, *unicasts))
        silent += self._foreign_at(standby) - foreign_before
        self.report.check(
            "standby_silent",
            f"{phase}: frames out of the standby port of {self.second.nick_name}",
            str(silent),
            "0",
            ok=silent == 0,
        )
        learnt = [
            entry for entry in self._macs(self.second) if entry["Port"] == self.second.gateway_port
        ]
        self.report.check(
            "standby_silent",
            f"{phase}: MACs learnt from the standby port of {self.second.nick_name}",
            str(len(learnt)),
            "0",
            ok=not learnt,
        )

    def change_by_hand(self, event: str, old: LabPeer, new: LabPeer) -> None:
        """Switch the roles over HTTP while streams run both ways."""
        self._tell(f"{event}: roles switched over HTTP under {STREAM_RATE_PER_S:.0f} frames/s")
        observer = self.lab.peer(self.lab.containers[self.containers[0]].place)
        with self._streams() as streams:
            time.sleep(0.7)
            place_before = self._place_of_segment(observer)
            start_ns = time.time_ns()
            self.set_role(old, "standby")
            self.set_role(new, "active")
            changed_ns = time.time_ns()
            time.sleep(1.5)
            place_after = self._place_of_segment(observer)
        self._report_change(event, streams, start_ns, changed_ns)
        self.report.check(
            "no_blackhole",
            f"{event}: behind whom {observer.nick_name} has the segment",
            f"{place_before}, then {place_after}",
            f"{old.nick_name}, then {new.nick_name}",
            ok=(place_before, place_after) == (old.nick_name, new.nick_name),
        )

    def kill_active(self, old: LabPeer, new: LabPeer) -> None:
        """Kill the active's daemon: its switch closes the port itself; promote the other."""
        event = f"daemon of {old.nick_name} killed"
        self._tell(f"{event} (SIGKILL) while active; its switch must close the port by itself")
        tap = f"{old.nick_name}/in"
        with self._streams() as streams:
            time.sleep(0.7)
            killed_ns = time.time_ns()
            old.kill_daemon(signal.SIGKILL)
            to_host = self._stream_of(streams, self.containers[0], self.hosts[0])
            processes.poll_until(
                lambda: time.time_ns() - self._last_arrival(to_host, tap, killed_ns) > 500_000_000,
                timeout_s=DEAD_MAN_BOUND_MS / 1000 + 1.5,
            )
            promoting_ns = time.time_ns()
            self.set_role(new, "active")
            changed_ns = time.time_ns()
            time.sleep(1.5)
        last_ns = self._last_arrival(to_host, tap, killed_ns)
        from_host = self._stream_of(streams, self.hosts[0], self.containers[0])
        inbound = self.traffic.arrivals(from_host, self.containers[0])
        last_ns = max([last_ns, *(at for at in inbound if at < promoting_ns)])
        closed_ms = (last_ns - killed_ns) / 1e6
        self.report.check(
            "fail_closed",
            f"{event}: last frame through its gateway port, after",
            f"{closed_ms:.0f} ms",
            f"≤ {DEAD_MAN_BOUND_MS:.0f} ms",
            ok=closed_ms <= DEAD_MAN_BOUND_MS,
        )
        self._report_change(f"{event}, {new.nick_name} promoted", streams, killed_ns, changed_ns)

    def restart_daemon(self, peer: LabPeer, role: str) -> None:
        """Start a killed daemon again, then kill and start one on the way of a stream."""
        on_path = self.lab.peer(self.lab.containers[self.containers[0]].place)
        self._tell(f"daemons of {peer.nick_name} and {on_path.nick_name} started anew")
        with self._streams() as streams:
            peer.start_daemon(role)
            self._wait_for_state(peer, role)
            on_path.kill_daemon(signal.SIGKILL)
            on_path.start_daemon()
            # 30 s is how often peers gossip everything: by then the last one has heard of it.
            self.lab.wait_ready(45.0, self._tell, check_roles=False)
            time.sleep(0.5)
        self._check_hitless(f"daemon of {on_path.nick_name} killed and started", streams)

    def force_both_active(self) -> None:
        """The problem: both gateways active. With ours no frame circles."""
        phase = "both active"
        container, host = self.containers[0], self.hosts[0]
        self._tell(f"{phase}: the fault that turns one frame into {UNPROTECTED_COPIES:,}")
        self.set_role(self.first, "active", force=True)
        self.set_role(self.second, "active", force=True)
        streams = [self.traffic.stream(host), self.traffic.stream(container)]
        self.traffic.send(streams, 10, 10)
        settled = self.traffic.settle(quiet_s=1.0, timeout_s=5.0)
        from_host, from_container = streams
        returned = self.traffic.delivery(from_host, host).copies
        most_at_container = max(
            self.traffic.delivery(from_host, name).most_copies for name in self.containers
        )
        most_at_host = max(
            self.traffic.delivery(from_container, name).most_copies for name in self.hosts
        )
        self._account_broadcast(phase, from_host, expect_exact=False)
        self._account_broadcast(phase, from_container, expect_exact=False)
        self.report.problem = {
            "copies_back_at_sender_per_broadcast": returned / from_host.sent,
            "copies_back_at_sender_with_two_plain_weave_routers": UNPROTECTED_COPIES,
            "most_copies_of_a_frame_at_a_container": most_at_container,
            "most_copies_of_a_frame_at_a_host": most_at_host,
        }
        echoed = self.traffic.delivery(from_container, container).copies
        for situation, measured, bound in (
            (f"copies of {host}'s broadcast back at {host}", returned, 0),
            (f"copies of {container}'s broadcast back at {container}", echoed, 0),
            (f"copies of {host}'s broadcast at a container", most_at_container, 2),
            (f"copies of {container}'s broadcast at a host", most_at_host, 2),
        ):
            self.report.check(
                "no_loop",
                f"{phase}: {situation}",
                str(measured),
                f"≤ {bound}",
                ok=measured <= bound,
            )
        self.report.check(
            "no_loop",
            f"{phase}: frames still moving afterwards",
            "none" if settled else "some",
            "none",
            ok=settled,
        )

    # --- steps ---

    def set_role(self, peer: LabPeer, role: str, *, force: bool = False) -> None:
        """Ask a gateway's daemon for a role; it answers when the switch has confirmed."""
        path = f"/gateways/{peer.gateway_port}"
        wish: dict[str, object] = {"role": role} | ({"force": True} if force else {})
        asked_at = time.monotonic()
        reply = peer.http("PUT", path, wish, timeout_s=ROLE_CHANGE_TIMEOUT_S)
        took_ms = (time.monotonic() - asked_at) * 1000
        self._wishes.append((took_ms, peer.gateway_state()["state"] == role))
        if reply.status != 200:
            raise LabError(
                f"gateway {peer.nick_name} did not become {role}", f"{reply.status}: {reply.body}"
            )

    def _check_wishes(self) -> None:
        """Every role that was asked for was there when the daemon said so."""
        count, slowest_ms = len(self._wishes), max(took_ms for took_ms, _ in self._wishes)
        kept = sum(there for _, there in self._wishes)
        path = f"/gateways/{self.first.gateway_port}"
        bound_ms = self.first.http("GET", path).body["wish"]["within_s"] * 1000
        self.report.check(
            "wish_kept",
            "roles that were asked for and were there when that was answered, and the slowest",
            f"{kept} of {count}, {slowest_ms:.0f} ms",
            f"{count} of {count}, ≤ {bound_ms:.0f} ms",
            ok=kept == count and slowest_ms <= bound_ms,
        )

    def _pairs(self) -> list[tuple[str, str]]:
        """Directions of unicast: both ways between mesh and segment, and inside the mesh.

        The last host only receives: it stands for the silent ones.
        """
        one, other = self.containers[:2]
        return [(one, self.hosts[0]), (self.hosts[0], one), (other, self.hosts[-1]), (one, other)]

    def _burst(self, streams: list[Stream]) -> None:
        self.traffic.send(streams, BURST_FRAMES, BURST_RATE_PER_S)
        self.traffic.settle()

    @contextmanager
    def _streams(self) -> Iterator[list[Stream]]:
        """Streams in all directions, for as long as the block lasts."""
        streams = [self.traffic.stream(*pair) for pair in self._pairs()]
        streams += [self.traffic.stream(self.hosts[0]), self.traffic.stream(self.containers[0])]
        self.traffic.start(streams, STREAM_RATE_PER_S)
        try:
            yield streams
        finally:
            self.traffic.stop()
            self.traffic.settle()

    def _stream_of(self, streams: list[Stream], source: str, receiver: str) -> Stream:
        return streams[self._pairs().index((source, receiver))]

    def _last_arrival(self, stream: Stream, place: str, not_before_ns: int) -> int:
        return max([not_before_ns, *self.traffic.arrivals(stream, place)[-1:]])

    def _foreign_at(self, place: str) -> int:
        return sum(count for (at, _), count in self.traffic.foreign.items() if at == place)

    def _wait_for_state(self, peer: LabPeer, state: str) -> None:
        if not processes.poll_until(lambda: peer.gateway_state()["state"] == state, 20.0):
            raise LabError(
                f"gateway {peer.nick_name} is {peer.gateway_state()['state']}, not {state}",
                processes.log_tail(peer.daemon.log),
            )

    def _macs(self, peer: LabPeer) -> list[dict[str, Any]]:
        """The MACs that a peer's switch has learnt; none if its daemon does not answer."""
        try:
            entries = peer.http("GET", "/macs").body
        except DaemonUnreachableError:
            return []
        return entries if isinstance(entries, list) else []

    def _place_of_segment(self, observer: LabPeer) -> str:
        """The nick name of the gateway that a peer sends the segment's frames to."""
        segment = self.lab.topology.segments[0].name
        peers = observer.http("GET", "/report").body["Router"]["Peers"]
        edges = [p["Connections"] for p in peers if p["Segment"] and p["NickName"] == segment]
        return str(edges[0][0]["NickName"]) if edges and edges[0] else "nowhere"

    # --- verdicts ---

    def _account_broadcast(self, phase: str, stream: Stream, *, expect_exact: bool = True) -> None:
        """Add the accounts of a broadcast: at the containers, at the hosts, back at the sender."""
        for label, names in (("containers", self.containers), ("hosts", self.hosts)):
            receivers = [name for name in names if name != stream.source]
            deliveries = [self.traffic.delivery(stream, name) for name in receivers]
            if not deliveries:
                continue
            self.report.account(phase, "broadcast", (stream.source, label), deliveries)
            if expect_exact:
                worst, name = min(
                    zip(deliveries, receivers, strict=True),
                    key=lambda pair: (pair[0].is_exact, pair[0].arrived),
                )
                where = "" if worst.is_exact else f" at {name}"
                self.report.check(
                    "exactly_once",
                    f"{phase}: broadcasts of {stream.source} at {len(deliveries)} {label}",
                    f"{worst.arrived} once, {worst.duplicated} more{where}",
                    f"{worst.sent} once, 0 more",
                    ok=all(item.is_exact for item in deliveries),
                )
        returned = self.traffic.delivery(stream, stream.source).copies
        if expect_exact:
            self.report.check(
                "no_loop",
                f"{phase}: broadcasts of {stream.source} back at {stream.source}",
                str(returned),
                "0",
                ok=returned == 0,
            )

    def _account_unicast(self, phase: str, stream: Stream, source: str, receiver: str) -> None:
        delivery = self.traffic.delivery(stream, receiver)
        self.report.account(phase, "unicast", (source, receiver), [delivery])
        strays = sum(
            self.traffic.delivery(stream, name).copies
            for name in self.traffic.stations
            if name != receiver
        )
        self.report.check(
            "exactly_once",
            f"{phase}: unicasts {source} to {receiver}, and strays elsewhere",
            f"{delivery.arrived} once, {delivery.duplicated} more, {strays} strays",
            f"{delivery.sent} once, 0 more, 0 strays",
            ok=delivery.is_exact and strays == 0,
        )

    def _report_change(
        self, event: str, streams: list[Stream], start_ns: int, changed_ns: int
    ) -> None:
        """Add gaps of the directions that pass the gateway, and what must hold meanwhile."""
        end_ns = changed_ns + 1_000_000_000
        again_ms = 0.0
        for stream, (source, receiver) in zip(streams, self._pairs(), strict=False):
            if receiver in self.containers and source in self.containers:
                continue
            delivery = self.traffic.delivery(stream, receiver)
            gap_ms = self.traffic.gap_ms(stream, receiver, start_ns, end_ns)
            after = [t for t in self.traffic.arrivals(stream, receiver) if t >= changed_ns]
            again_ms = max(again_ms, (after[0] - changed_ns) / 1e6 if after else float("inf"))
            pause_ms = stream.longest_pause_ns / 1e6
            self.report.gaps.append(Gap(event, source, receiver, gap_ms, delivery.lost, pause_ms))
            self.report.account(event, "unicast", (source, receiver), [delivery])
        self.report.check(
            "no_blackhole",
            f"{event}: all directions flow again after the change, also to the silent host, after",
            f"{again_ms:.0f} ms",
            f"≤ {FLOW_AGAIN_BOUND_MS:.0f} ms",
            ok=again_ms <= FLOW_AGAIN_BOUND_MS,
        )
        for stream in streams[-2:]:
            self._account_broadcast(event, stream, expect_exact=False)
        returned = sum(self.traffic.delivery(s, s.source).copies for s in streams[-2:])
        self.report.check(
            "no_loop",
            f"{event}: broadcasts back at their senders",
            str(returned),
            "0",
            ok=returned == 0,
        )
        self._check_hitless(event, streams)

    def _check_hitless(self, event: str, streams: list[Stream]) -> None:
        """Traffic between containers must not have noticed."""
        one, other = self.containers[:2]
        delivery = self.traffic.delivery(self._stream_of(streams, one, other), other)
        self.report.account(event, "unicast", (one, other), [delivery])
        self.report.check(
            "hitless",
            f"{event}: frames lost from {one} to {other}, of {delivery.sent}",
            str(delivery.lost),
            "0",
            ok=delivery.lost == 0 and delivery.duplicated == 0,
        )


def run(options: Options, tell: Progress, *, as_json: bool, keep: bool) -> int:
    """Build a lab, run the demo on it, print the report, remove the lab.

    Args:
        options: what to build; it needs two gateways, two containers and a host.
        tell: told what is going on.
        as_json: print one JSON document instead of tables.
        keep: leave the lab up.

    Returns:
        0, or 1 if an invariant was violated.
    """
    _require_enough(options.topology)
    with _terminate_as_interrupt():
        lab = labs.up(options, tell)
        try:
            with Traffic(stations(lab), taps(lab)) as traffic:
                report = Demo(lab, traffic, tell).run()
        finally:
            if keep:
                tell(f"the lab stays; remove it with `weave-ryu lab down --prefix {lab.prefix}`")
            else:
                lab.down()
                tell("the lab is removed")
    if as_json:
        print(json.dumps(report.as_document(), indent=2, ensure_ascii=False))
    else:
        report.print_tables()
        problem = report.problem
        print(
            "\nBoth gateways forced active: each broadcast of a host came back to it "
            f"{problem['copies_back_at_sender_per_broadcast']:.0f} times. Two plain Weave routers "
            f"in its place: {UNPROTECTED_COPIES:,} copies of one broadcast within two seconds.\n"
        )
    for check in report.violated:
        tell(f"VIOLATED {check.invariant}: {check.situation}: {check.measured} ({check.bound})")
    if not report.violated:
        tell(f"all {len(report.checks)} checks hold")
    return 1 if report.violated else 0


def _require_enough(topology: Topology) -> None:
    if not topology.segments or len(topology.segments[0].gateways) < 2:
        raise ConfigError("--gateways", len(topology.gateways()), "the demo needs two gateways")
    if len(topology.containers) < 2 or not topology.hosts:
        raise ConfigError(
            "--peers", len(topology.peers), "the demo needs two peers that are no gateways"
        )


@contextmanager
def _terminate_as_interrupt() -> Iterator[None]:
    """Treat SIGTERM like Ctrl-C, so that the lab is removed then too."""

    def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before: Callable[[int, FrameType | None], Any] | int | None
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
