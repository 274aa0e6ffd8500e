"""Measures between two stations: frames a second, TCP throughput, round trips."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

from bench.stand import End, result_of, start_inside
from weave_ryu import namespaces
from weave_ryu.errors import LabError

FIRST_RATE = 10_000
LAST_RATE = 1_300_000
QUIET_S, QUIET_FRAMES, QUIET_TIMEOUT_S = 0.05, 5, 10.0
"""No more frames in such a time are no traffic that is measured."""
PLENTY = 0.9
"""Of what was sent must arrive, or more is not tried."""


def received(end: End) -> int:
    """Frames that a link has received so far."""

    def read() -> str:
        return Path("/proc/thread-self/net/dev").read_text(encoding="ascii")

    for line in namespaces.run_inside(end.namespace, read).splitlines():
        name, _, counters = line.partition(":")
        if name.strip() == end.ifname:
            return int(counters.split()[1])
    raise LabError(f"there is no link {end.ifname}", f"in {end.namespace.name}")


@dataclass(frozen=True, slots=True)
class Arrivals:
    """How many frames arrived of those that were sent in some seconds."""

    frames: int
    sent: int
    seconds: float


def arrivals(source: End, target: End, rate: float, seconds: float, kind: str = "same") -> Arrivals:
    """Offer frames at one rate; the arguments are those of `best_rate`.

    What arrives while they are sent is counted: neither what a controller still passes on of
    before, nor what it passes on later.
    """
    words = (source.ifname, source.mac, target.mac, str(rate), str(seconds), kind)
    blaster = start_inside(source.namespace, "bench.blast", *words)
    if blaster.stdin is None or blaster.stdout is None or not blaster.stdout.readline():
        raise LabError("the sender did not start", result_of(blaster, 5))
    _wait_quiet(target)
    before = received(target)
    blaster.stdin.write("\n")
    blaster.stdin.flush()
    said = blaster.stdout.readline()
    arrived = received(target) - before
    result_of(blaster, 30)
    done = json.loads(said)
    return Arrivals(arrived, done["sent"], done["seconds"])


def _wait_quiet(end: End) -> None:
    """Until nothing arrives any more of what was sent before, or for a while at most."""
    last = received(end) - QUIET_FRAMES - 1
    for _ in range(int(QUIET_TIMEOUT_S / QUIET_S)):
        now = received(end)
        if now - last <= QUIET_FRAMES:
            return
        last = now
        time.sleep(QUIET_S)


def best_rate(
    source: End,
    target: End,
    seconds: float,
    kind: str = "same",
    first_rate: float = FIRST_RATE,
    growth: float = 2.0,
) -> float:
    """The most frames a second that arrived at any rate offered.

    The rate is raised until a tenth is lost at two rates one after the other: an overload that
    no longer lets the receiver work says nothing about what it can do.

    Args:
        source: the sender.
        target: the receiver.
        seconds: for each rate.
        kind: ``same``, or ``new``: a source address of its own for each frame.
        first_rate: to begin with, frames a second.
        growth: from one rate to the next, times.
    """
    best, rate, failures = 0.0, first_rate, 0
    while rate <= LAST_RATE and failures < 2:
        found = arrivals(source, target, rate, seconds, kind)
        best = max(best, found.frames / found.seconds)
        failures = failures + 1 if found.frames < PLENTY * rate * found.seconds else 0
        rate *= growth
    return best


def tcp_mbit_s(source: Path, target: Path, address: str, seconds: float) -> float:
    """Throughput of one TCP connection."""
    server = start_inside(target, "bench.tcp", "serve", address)
    if server.stdout is None or server.stdout.readline().strip() != "ready":
        raise LabError("the TCP server did not start", result_of(server, 5))
    try:
        result_of(start_inside(source, "bench.tcp", "send", address, str(seconds)), seconds + 60)
        return float(result_of(server, 30))
    finally:
        server.kill()


def percentile(values: list[float], percent: float) -> float:
    """The value below which so many are; the nearest one that was measured."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
