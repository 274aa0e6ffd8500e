"""Streams of frames between stations, and what became of each."""

from __future__ import annotations

from dataclasses import dataclass, field

from sim_world import BROADCAST

CALM_RATE = 1.0
"""Frames a second of each stream while nothing happens."""
LIVELY_S = 1.5
"""For so long after something has happened streams run at their own rates."""


@dataclass
class Stream:
    """Frames of one sender for one destination.

    Args:
        name: for reports.
        sender: station.
        receiver: station, or None for a broadcast.
        rate: per second, while something happens or the last look is taken.
        flights: those that were sent while `Traffic.is_kept`.
    """

    name: str
    sender: str
    receiver: str | None
    rate: float
    flights: list = field(default_factory=list)
    count: int = 0
    timer: list | None = None


class Traffic:
    """Sends the streams of a world while switched on."""

    def __init__(self, world):
        self.world, self.clock = world, world.clock
        self.streams = []
        self.is_on = True
        self.is_kept = False
        self.lively_until = 0.0
        world.on_event = self._wake

    def say_hello(self, times=2, gap_s=0.02):
        """Every station is heard once, as in life."""
        for time in range(times):
            for place, station in enumerate(sorted(self.world.macs)):
                self.clock.after(time * gap_s + place * 0.001, self.greet, station)

    def greet(self, station):
        self.world.send("hello", station, BROADCAST)

    def start(self, stream):
        self.streams.append(stream)
        wait_s = self.world.rng.uniform(0, 1 / stream.rate)
        stream.timer = self.clock.after(wait_s, self._send, stream)

    def keep(self):
        """From now on look at every frame."""
        self.is_kept = True
        self._wake(1e9)

    def _wake(self, for_s=LIVELY_S):
        if self.clock.now > self.lively_until:
            for stream in self.streams:
                self.clock.cancel(stream.timer)
                wait_s = self.world.rng.random() / stream.rate
                stream.timer = self.clock.after(wait_s, self._send, stream)
        self.lively_until = max(self.lively_until, self.clock.now + for_s)

    def _send(self, stream):
        if not self.is_on:
            return
        world = self.world
        dst = BROADCAST if stream.receiver is None else world.macs[stream.receiver]
        flight = world.send(stream, stream.sender, dst)
        stream.count += 1
        if self.is_kept or stream.name == "between containers":
            stream.flights.append(flight)
        is_lively = self.clock.now < self.lively_until
        wait_s = 1 / (stream.rate if is_lively else min(CALM_RATE, stream.rate))
        stream.timer = self.clock.after(wait_s, self._send, stream)
