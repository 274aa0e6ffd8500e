"""What the acceptance tests share: a lab under traffic, and questions about it."""

import contextlib
import itertools
import socket
import time

from weave_ryu.lab.demo import Demo
from weave_ryu.lab.stations import stations, taps
from weave_ryu.lab.traffic import Traffic
from weave_ryu.namespaces import run_inside

BY_HAND = {"A": "active", "B": "standby"}
"""Roles for tests that set roles themselves."""


ETHERTYPE = b"\x88\xb6"
_marks = itertools.count(1)


def tell(text):
    print(text)


class Bench:
    """A lab with senders and captures at all stations; the demo's phases run on it."""

    def __init__(self, lab, traffic):
        self.lab = lab
        self.traffic = traffic
        self.active, self.standby = (lab.peers[name] for name in lab.topology.gateways()[:2])

    def demo(self):
        """A fresh demo, with a report of its own."""
        return Demo(self.lab, self.traffic, tell)

    def reset(self):
        """The first gateway active, the second standby, every address known."""
        demo = self.demo()
        demo.set_role(self.standby, "standby")
        demo.set_role(self.active, "active")
        demo.wait_calm()
        demo.warm_up()

    @contextlib.contextmanager
    def streams(self, *pairs, rate_per_s=200.0):
        """Streams from and to the named stations (None: to all) while the block runs."""
        made = [self.traffic.stream(*filter(None, pair)) for pair in pairs]
        self.traffic.start(made, rate_per_s)
        try:
            yield made
        finally:
            self.traffic.stop()
            self.traffic.settle()

    def arrivals_after(self, stream, place, at_ns):
        """When copies came after a moment, in seconds since then."""
        return [(t - at_ns) / 1e9 for t in self.traffic.arrivals(stream, place) if t > at_ns]

    def silence_s(self, stream, place):
        """For how long nothing has come."""
        came = self.traffic.arrivals(stream, place)
        return (time.time_ns() - came[-1]) / 1e9 if came else float("inf")

    def flow_packets(self, peer, wanted):
        """Sum of the packet counters of a peer's flows that a predicate takes."""
        return sum(flow["packets"] for flow in peer.http("GET", "/flows").body if wanted(flow))


@contextlib.contextmanager
def bench_on(lab):
    with Traffic(stations(lab), taps(lab)) as traffic:
        bench = Bench(lab, traffic)
        demo = bench.demo()
        demo.wait_calm()
        demo.warm_up()
        yield bench
        assert traffic.missed_by_captures() == 0, "the counts are not to be trusted"


class Wire:
    """A raw socket at one station."""

    def __init__(self, station):
        def create():
            opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            opened.bind((station.ifname, 0x88B6))
            return opened

        self.socket = run_inside(station.netns, create)
        self.socket.setblocking(False)
        self.mac = station.mac

    def send(self, destination, source=None):
        """Send a frame; returns what tells it from others."""
        mark = next(_marks).to_bytes(6, "big")
        ends = bytes.fromhex(f"{destination}{source or self.mac}".replace(":", ""))
        self.socket.send(ends + ETHERTYPE + mark + bytes(40))
        return mark

    def copies(self):
        """Marks of the frames that have come, each as often as it came."""
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                found.append(self.socket.recv(2048)[14:20])
        return found

    def came(self):
        """Marks of the frames that have come."""
        return set(self.copies())
