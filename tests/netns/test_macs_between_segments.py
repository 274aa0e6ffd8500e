"""A MAC that moves from one segment of the mesh to another one."""

import time

import pytest
from testbed import Wire, bench_on

from weave_ryu.lab import topology

SHAPE = """
peers = ["W", "A", "B", "C"]
containers = {W-c1 = "W", B-c1 = "B"}
[segments.vlan]
gateways = ["A", "C"]
hosts = ["Host1", "Host2"]
[segments.office]
gateways = ["B"]
hosts = ["Host3", "Host4"]
"""
MAC, BROADCAST = "02:c0:00:00:00:99", "ff:ff:ff:ff:ff:ff"
REACHED_S = 1.0
QUIET_S = 1.8
"""As in `test_macs_that_move.py`."""


@pytest.fixture(scope="module")
def lab(build_lab, tmp_path_factory):
    path = tmp_path_factory.mktemp("between") / "shape.toml"
    path.write_text(SHAPE)
    roles = {"A": "active", "B": "active", "C": "standby"}
    return build_lab(topology=topology.load(path), roles=roles)


@pytest.fixture
def wires(lab):
    with bench_on(lab) as bench:
        opened = {name: Wire(station) for name, station in bench.traffic.stations.items()}
        yield opened
        for wire in opened.values():
            wire.socket.close()


def reached_after_s(wires, sender, place, within_s):
    started, marks = time.monotonic(), set()
    while time.monotonic() - started < within_s:
        marks.add(wires[sender].send(MAC))
        time.sleep(0.02)
        if marks & wires[place].came():
            return time.monotonic() - started
    return None


def test_a_station_that_moves_to_another_segment_is_reached_there_within_a_second(wires):
    for place in ("Host1", "Host3", "Host2", "W-c1", "Host4"):
        time.sleep(QUIET_S)
        wires[place].send(BROADCAST, MAC)
        took = {}
        for sender in wires:
            if sender != place:
                took[sender] = reached_after_s(wires, sender, place, REACHED_S)
        assert None not in took.values(), (place, took)


def test_one_that_speaks_on_both_stays_where_it_was_and_is_shown(lab, wires, eventually):
    time.sleep(QUIET_S)
    wires["Host1"].send(BROADCAST, MAC)
    assert reached_after_s(wires, "W-c1", "Host1", REACHED_S) is not None
    time.sleep(1.0)  # it is made known twice, and its frames may be under way

    def shown():
        wires["Host1"].send(BROADCAST, MAC)
        wires["Host3"].send(BROADCAST, MAC)
        macs = lab.peers["B"].http("GET", "/macs").body
        return any(entry["Conflict"] for entry in macs if entry["Mac"] == MAC)

    eventually(shown, 6.0, "shown as a MAC at two places")
    assert reached_after_s(wires, "W-c1", "Host1", 1.0) is not None
