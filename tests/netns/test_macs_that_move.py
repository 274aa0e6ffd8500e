"""A MAC is believed at its new place with its first frame there; a copy moves nothing."""

import contextlib
import selectors
import socket
import threading
import time

import pytest
from testbed import ETHERTYPE, Wire, bench_on

from weave_ryu.lab import topology
from weave_ryu.namespaces import run_inside

SHAPE = """
peers = ["W", "X", "A", "B"]
containers = {W-c1 = "W", X-c1 = "X", A-c1 = "A", B-c1 = "B"}
[segments.vlan]
gateways = ["A", "B"]
hosts = ["Host1", "Host2"]
"""
MAC, BROADCAST = "02:c0:00:00:00:99", "ff:ff:ff:ff:ff:ff"
REACHED_S = 1.0
QUIET_S = 1.8
"""Nobody speaks at the old place for so long before a station speaks at the new one: one that has
spoken within the last second counts as still there, and the switch says it up to 0.5 s late."""


@pytest.fixture(scope="module")
def lab(build_lab, tmp_path_factory):
    path = tmp_path_factory.mktemp("moves") / "shape.toml"
    path.write_text(SHAPE)
    return build_lab(topology=topology.load(path), roles={"A": "active", "B": "standby"})


@pytest.fixture(scope="module")
def bench(lab):
    with bench_on(lab) as bench:
        yield bench


@pytest.fixture
def wires(bench):
    opened = {name: Wire(station) for name, station in bench.traffic.stations.items()}
    yield opened
    for wire in opened.values():
        wire.socket.close()


def reached_after_s(wires, sender, place):
    """Until a unicast to the MAC comes to its place; None if that takes too long."""
    started, marks = time.monotonic(), set()
    while time.monotonic() - started < REACHED_S:
        marks.add(wires[sender].send(MAC))
        time.sleep(0.02)
        if marks & wires[place].came():
            return time.monotonic() - started
    return None


ROUTE = ["X-c1", "Host1", "W-c1", "A-c1", "Host1", "B-c1", "Host2", "X-c1", "A-c1", "W-c1"]


def test_a_station_is_reached_within_a_second_of_its_first_frame_at_each_new_place(bench, wires):
    bench.reset()
    for place in ROUTE:
        time.sleep(QUIET_S)
        wires[place].send(BROADCAST, MAC)
        took = {}
        for sender in wires:
            if sender != place:
                took[sender] = reached_after_s(wires, sender, place)
        assert None not in took.values(), (place, took)


def test_one_whose_first_frame_is_for_one_station_is_reached_by_all(bench, wires):
    bench.reset()
    for place, to in [("Host1", "W-c1"), ("X-c1", "W-c1"), ("Host2", "X-c1"), ("B-c1", "Host1")]:
        time.sleep(QUIET_S)
        wires[place].send(bench.traffic.stations[to].mac, MAC)
        took = {s: reached_after_s(wires, s, place) for s in wires if s != place}
        assert None not in took.values(), (place, took)


@contextlib.contextmanager
def reflecting(wire):
    """Everything that comes to a station is sent back, as a faulty switch would."""
    ended = threading.Event()
    seen = []

    def work():
        watch = selectors.DefaultSelector()
        watch.register(wire, selectors.EVENT_READ)
        while not ended.is_set():
            if watch.select(0.1):
                with contextlib.suppress(OSError):
                    frame = wire.recv(2048)
                    seen.append(frame)
                    wire.send(frame)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def place_of(peer, mac):
    return [entry["NickName"] for entry in peer.http("GET", "/macs").body if entry["Mac"] == mac]


def test_no_mac_is_taken_from_its_container_by_a_segment_that_returns_all(bench, wires, eventually):
    bench.reset()
    lab = bench.lab
    for name in "AB":
        bench.demo().set_role(lab.peers[name], "active", force=True)
    station = bench.traffic.stations["Host2"]

    def create():
        opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        opened.bind((station.ifname, 3))
        opened.setsockopt(263, 23, 1)  # SOL_PACKET, PACKET_IGNORE_OUTGOING
        return opened

    mirror = run_inside(station.netns, create)
    talkers = ("W-c1", "X-c1", "A-c1", "B-c1")
    with reflecting(mirror) as seen:
        for count in range(60):
            wires[talkers[count % len(talkers)]].send(BROADCAST)
            time.sleep(0.05)
        time.sleep(1.5)
        # After a rest each of them once: the switches keep cached ways for 10 s.
        for name in talkers:
            wires[name].send(BROADCAST)
        time.sleep(2.0)
        returned = [frame for frame in seen if frame[12:14] == ETHERTYPE]
        shown = [e for name in "AB" for e in lab.peers[name].http("GET", "/macs").body]
    mirror.close()
    assert len(returned) >= 60
    for name in talkers:
        mac, home = bench.traffic.stations[name].mac, name.partition("-")[0]
        for peer in lab.peers.values():
            assert place_of(peer, mac) in ([home], []), (name, peer.nick_name)
    double = {entry["Mac"]: entry["Conflict"] for entry in shown if entry["Conflict"]}
    assert {bench.traffic.stations[name].mac for name in talkers} <= set(double), double
    assert all(conflict["Confirmed"] for conflict in double.values()), double
