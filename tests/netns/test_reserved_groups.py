"""What switches say to the next switch does not pass: not out of the mesh, and not into it.

A segment's switch with BPDU guard shuts the port at which it hears a BPDU: one container could shut
one gateway's port after the other.
"""

import socket
import struct

import pytest
from testbed import bench_on

from weave_ryu.namespaces import run_inside
from weave_ryu.pipeline.reserved import RESERVED

ORDINARY = ["01:00:5e:00:00:fb", "33:33:00:00:00:01", "01:1b:19:00:00:00", "01:80:c2:00:00:10"]
"""mDNS, all nodes, PTP, and the first address behind those of IEEE 802.1D."""
COPIES = 5
CONTAINERS = ("W-c1", "X-c1", "Y-c1", "Z-c1")
DOT1Q = 0x8100
BPDU, LAST = 50, 0x88B6
"""Length of an LLC frame, as a BPDU is one; and a local experimental type."""


@pytest.fixture(scope="module")
def bench(build_lab):
    with bench_on(build_lab()) as bench:
        bench.reset()
        yield bench


@pytest.mark.parametrize("sender", ["W-c1", "Host1"])
def test_no_reserved_address_passes_a_gateway_and_ordinary_multicast_does(bench, sender):
    traffic = bench.traffic
    reserved = [traffic.stream(sender, group.address) for group in RESERVED]
    ordinary = [traffic.stream(sender, address) for address in ORDINARY]
    traffic.send([*reserved, *ordinary], COPIES, 200)
    assert traffic.settle()
    # The segment's own bridge may pass them between its hosts.
    across = ("A/in", "B/in", "Host1", "Host2") if sender == "W-c1" else CONTAINERS
    others = [name for name in (*CONTAINERS, *across) if name != sender]
    for stream in reserved:
        came = {place: traffic.delivery(stream, place).copies for place in others}
        assert not any(came.values()), (stream.destination, came)
    expected = [place for place in others if place != "B/in"]
    for stream in ordinary:
        came = {place: traffic.delivery(stream, place).copies for place in expected}
        assert came == dict.fromkeys(expected, COPIES), stream.destination


def test_tagged_bpdus_do_not_pass_either(bench, eventually):
    """PVST+ says of every VLAN but the native one what it says under that VLAN's tag."""
    station, foreign = bench.traffic.stations["W-c1"], bench.traffic.foreign
    before = foreign.copy()

    def send():
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
            wire.bind((station.ifname, 0))
            for address, kind in [
                *((group.address, BPDU) for group in RESERVED),
                (ORDINARY[1], LAST),
            ]:
                ends = bytes.fromhex((address + station.mac).replace(":", ""))
                wire.send(ends + struct.pack("!HHH", DOT1Q, 10, kind) + bytes(50))

    run_inside(station.netns, send)
    # The last one goes the same way: when it has come, those before it would have come.
    eventually(lambda: foreign["A/in", LAST] > before["A/in", LAST], what="the last frame came")
    for gateway in ("A/in", "B/in"):
        # A capture shows a frame with its tag, or without, and then the type behind it.
        for kind in (BPDU, DOT1Q):
            assert foreign[gateway, kind] == before[gateway, kind]
