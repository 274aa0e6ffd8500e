"""What the first frame of a new address costs, and how many of them a second a switch takes."""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path

from bench import rates
from bench.plan import Benchmark, Plan
from bench.sheet import Sheet, interleave
from bench.stand import BRIDGE, Solo, mac_of, result_of, start_inside
from weave_ryu import namespaces
from weave_ryu.errors import LabError
from weave_ryu.lab.traffic import ETHERTYPE, build_frame, parse_frame
from weave_ryu.names import ShortId
from weave_ryu.pipeline.state import ForwardingState, LocalPort

OURS, BASELINE, PACKET_IN = "weave-ryu, learn()", "OVS NORMAL", "packet-in learning"
CASE = "frames of new source addresses on one switch"
KNOWN_RATE, KNOWN_S = 10_000, 3.0
"""How many addresses a switch is shown, so that it knows many: 30,000."""
MANY_RATE = 2_000
"""New addresses a second offered to a switch that knows many."""

Maker = Callable[[], AbstractContextManager[Solo]]

_SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("qq")
_INTERVAL_S = 0.01
"""Between two first frames: longer than any of the contenders takes."""
_PATIENCE_S = 0.5


def measure(plan: Plan) -> Sheet:
    """Three switches with two containers each; they take turns."""
    sheet = Sheet(BASELINE)
    makers: dict[str, Maker] = {
        OURS: _ours,
        BASELINE: _normal,
        PACKET_IN: partial(packet_in_stand, "wrbupktin"),
    }
    with ExitStack() as stack:
        stands = {name: stack.enter_context(make()) for name, make in makers.items()}
        for stand in stands.values():
            _introduce(stand)
        plan.tell("upcalls: first frames")
        interleave(
            {n: partial(_first_frames, plan, sheet, n, stand) for n, stand in stands.items()},
            plan.repeats,
        )
    plan.tell("upcalls: new flows")
    interleave(
        {name: partial(_new_flows, plan, sheet, name, make) for name, make in makers.items()},
        plan.repeats,
    )
    sheet.notes.append(
        f"That the switch knows 30,000 addresses means that it was shown so many, "
        f"{KNOWN_RATE:,} a second; whoever cannot take so many knows fewer."
    )
    return sheet


@contextmanager
def _ours() -> Iterator[Solo]:
    with Solo("wrbuours", 2) as stand:
        ports = tuple(LocalPort(number, f"p{number}") for number in (1, 2))
        stand.add_pipeline(ForwardingState(ShortId(1), local_ports=ports))
        yield stand


@contextmanager
def _normal() -> Iterator[Solo]:
    with Solo("wrbunormal", 2) as stand:
        # Its table holds 2,048 addresses by default; it shall not be measured at its limit.
        stand.ovs.vsctl("set", "bridge", BRIDGE, "other_config:mac-table-size=1000000")
        stand.add_flows(["actions=NORMAL"])
        yield stand


@contextmanager
def packet_in_stand(prefix: str) -> Iterator[Solo]:
    """A switch whose controller learns by packet-in, with two containers.

    Args:
        prefix: of its names.
    """
    with Solo(prefix, 2) as stand:
        learner = start_inside(stand.ovs.namespace, "bench.learner", str(stand.ovs.rundir))
        try:
            if learner.stdout is None or learner.stdout.readline().strip() != "ready":
                raise LabError("the learning controller did not start", result_of(learner, 5))
            yield stand
        finally:
            learner.kill()
            learner.communicate()


def _introduce(stand: Solo) -> None:
    """Let the switch know the second container: frames to it are not flooded."""
    _latencies_us(stand.containers[1], stand.containers[0], mac_of(1), [mac_of(2)])


def _first_frames(plan: Plan, sheet: Sheet, name: str, stand: Solo) -> None:
    start = int.from_bytes(os.urandom(3), "big")
    number = 50 if plan.is_quick else 200
    sources = [
        f"06:02:{start >> 16:02x}:{start >> 8 & 255:02x}:{at >> 8:02x}:{at & 255:02x}"
        for at in range(number)
    ]
    found = _latencies_us(stand.containers[0], stand.containers[1], mac_of(2), sources)
    if len(found) < number * 0.9:
        raise LabError(f"{name}: {number - len(found)} of {number} first frames were lost")
    for percent in (50, 99):
        metric = "first frame, median" if percent == 50 else f"first frame, {percent} %"
        sheet.add(CASE, metric, "µs", rates.percentile(found, percent), contender=name)


def _new_flows(plan: Plan, sheet: Sheet, name: str, make: Maker) -> None:
    # A switch that has learnt before is slower: each time a new one.
    with make() as stand:
        _introduce(stand)
        found = rates.best_rate(stand.end(1), stand.end(2), plan.seconds / 4, "new", 1000)
    with make() as stand:
        _introduce(stand)
        ends = stand.end(1), stand.end(2)
        rates.arrivals(*ends, KNOWN_RATE, 0.5 if plan.is_quick else KNOWN_S, "new")
        later = rates.arrivals(*ends, MANY_RATE, plan.seconds / 2, "new")
    for metric, rate in (
        ("frames of new addresses", found),
        (f"… of {MANY_RATE:,} a second, 30,000 known", later.frames / later.seconds),
    ):
        sheet.add(CASE, metric, "thousand/s", rate / 1e3, contender=name, more_is_better=True)


def _latencies_us(source: Path, target: Path, destination: str, macs: list[str]) -> list[float]:
    """One frame from each address; how long each took, of those that arrived."""
    run = int.from_bytes(os.urandom(4), "big")
    found = []
    with _socket(source, 0) as sender, _socket(target, ETHERTYPE) as receiver:
        receiver.settimeout(_PATIENCE_S)
        receiver.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        for number, mac in enumerate(macs):
            frame = build_frame(mac, destination, run, 0, number)
            sent_ns = time.time_ns()
            sender.send(frame)
            arrived_ns = _wait_for(receiver, run, number)
            if arrived_ns is not None:
                found.append((arrived_ns - sent_ns) / 1e3)
            time.sleep(_INTERVAL_S)
    return found


def _wait_for(receiver: socket.socket, run: int, number: int) -> int | None:
    """When a frame came, by the kernel's clock; None if it did not."""
    while True:
        try:
            frame, ancillary, _, _ = receiver.recvmsg(128, socket.CMSG_SPACE(_TIMESPEC.size))
        except TimeoutError:
            return None
        if parse_frame(frame, run) == (0, number):
            seconds, nanoseconds = _TIMESPEC.unpack(ancillary[0][2])
            return int(seconds * 1_000_000_000 + nanoseconds)


def _socket(namespace: Path, protocol: int) -> socket.socket:
    def create() -> socket.socket:
        return socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)

    opened = namespaces.run_inside(namespace, create)
    opened.bind(("eth0", protocol))
    return opened


BENCHMARK = Benchmark(
    "upcalls",
    "New addresses: first frames and new flows",
    "Two containers hang on one switch with a userspace datapath, and each frame comes from an "
    "address that the switch has never seen, so that it goes up to ovs-vswitchd. weave-ryu "
    "lets the switch learn by itself (learn() in its pipeline); the rival that learns by "
    "packet-in sends each such frame to a controller, and NORMAL has learning built in. First "
    "frames are timed one by one from the sender's call to the receiver's kernel; new flows "
    "are offered to a switch that has just started, at doubled rates until two in a row lose a "
    "tenth, and the best rate of arrival counts, then at one rate to a switch that knows 30,000 "
    "addresses.",
    measure,
)
