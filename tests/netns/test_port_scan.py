"""Port scans and health checks on the mesh's port: counted, and hardly a line in the log."""

import re
import socket
import struct
import subprocess

import pytest
from fakes import HIGH, Fakes

from weave_ryu.lab import topology
from weave_ryu.namespaces import run_inside

ROUTER = ("10.99.0.1", 6783)
ADDRESSES = [f"10.99.0.{number}" for number in range(200, 220)]
ABORT = struct.pack("ii", 1, 0)
WORDS = {
    "health check": b"",
    "HTTP": b"GET / HTTP/1.0\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(50),
    "half a header": b"wea",
    "header only": b"weave\1\2",
    "another version": b"weave\3\4",
    "a password": b"weave\1\2\1" + bytes(32),
    "long length": b"weave\1\2\0\xff\xff\xff\xff",
    "empty features": b"weave\1\2\0\0\0\0\0",
}


@pytest.fixture(scope="module")
def lab(build_lab):
    return build_lab(topology=topology.build(["W"]))


@pytest.fixture(scope="module")
def peer(lab):
    return lab.peers["W"]


@pytest.fixture(scope="module")
def fakes(lab):
    places = Fakes(lab)
    yield places
    places.close()


def failed(peer):
    found = re.findall(
        r"mesh_failed_connections_total\{[^}]*\} (\d+)", peer.http("GET", "/metrics").body
    )
    return sum(map(int, found))


def lines(peer):
    return peer.daemon.log.read_text().splitlines()


def knock(address, words, *, aborts):
    with socket.create_connection(ROUTER, 5, (address, 0)) as sock:
        sock.sendall(words)
        if aborts:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)


def test_strangers_of_every_kind_are_counted_and_write_two_lines_at_most(peer, fakes, eventually):
    place = fakes.place(200)
    for address in ADDRESSES[1:]:
        command = ["ip", "-n", place.name, "addr", "add", f"{address}/24", "dev", "eth0"]
        subprocess.run(command, check=True)
    eventually(lambda: any("service_ready" in line for line in lines(peer)), timeout_s=20.0)
    before, told = failed(peer), len(lines(peer))

    def scan():
        for number, address in enumerate(ADDRESSES):
            for words in WORDS.values():
                knock(address, words, aborts=number % 2)

    run_inside(place, scan)
    # Those that shake hands as a peer does, and go again.
    for number in range(5):
        fake = fakes.peer(200, name=HIGH + 900 + number, short_id=900 + number, overlay=False)
        fake.connect(ROUTER[0])
        fake.close()
    knocks = len(ADDRESSES) * len(WORDS) + 5
    # The accept limiter lets 20 a second in.
    eventually(lambda: failed(peer) >= before + knocks, timeout_s=30.0, what="all are counted")
    assert failed(peer) == before + knocks
    new = lines(peer)[told:]
    # One that says it has a password is told of once, too: it may be a peer.
    assert sum("connections_failed" in line for line in new) <= 1, new
    assert sum("password-unexpected" in line for line in new if "refused" in line) <= 1, new
    assert len(new) <= 2, new
