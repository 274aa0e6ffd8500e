"""Streams of frames between stations, and what became of each."""

from __future__ import annotations

from dataclasses import dataclass, field

from sim_world import BROADCAST


@dataclass
class Stream:
    """Frames of one sender for one destination.

    Args:
        name: for reports.
        sender: station.
        receiver: station, or None for a broadcast.
        rate: per second.
    """

    name: str
    sender: str
    receiver: str | None
    rate: float
    flights: list = field(default_factory=list)

    def lost(self, station, start, end):
        """Frames sent in the period that did not reach a station."""
        return [f for f in self.flights if start <= f.sent_at < end and not f.received[station]]

    def duplicated(self, start, end):
        """(frame, station, copies) of those that came more than once."""
        return [
            (f, station, count)
            for f in self.flights
            if start <= f.sent_at < end
            for station, count in f.received.items()
            if count > 1
        ]


class Traffic:
    """Sends the streams of a world while switched on."""

    def __init__(self, world):
        self.world = world
        self.streams = []
        self.is_on = True

    def say_hello(self, times=2, gap_s=0.02):
        """Every station is heard once, as in life."""
        world = self.world
        stations = sorted(world.macs)
        for time in range(times):
            for place, station in enumerate(stations):
                wait_s = time * gap_s + place * 0.001
                world.clock.after(wait_s, world.send, "hello", time, station, BROADCAST)

    def start(self, stream):
        self.streams.append(stream)
        self.world.clock.after(self.world.rng.uniform(0, 1 / stream.rate), self._send, stream)

    def _send(self, stream):
        world = self.world
        if self.is_on:
            dst = BROADCAST if stream.receiver is None else world.macs[stream.receiver]
            flight = world.send(stream, len(stream.flights), stream.sender, dst)
            stream.flights.append(flight)
        world.clock.after(1 / stream.rate, self._send, stream)
