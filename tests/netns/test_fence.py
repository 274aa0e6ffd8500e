"""The fence of a gateway port, before a bridge of the kernel.

The kernel's own bridge stands for Open vSwitch's kernel datapath: both take frames by the device's
receive handler, behind the hook for what comes in, and send by the device's queue, before the hook
for what goes out.
"""

import contextlib
import ctypes
import os
import socket
import subprocess
import sys
import textwrap
import time

import pytest

from weave_ryu import nft
from weave_ryu.errors import NetworkError
from weave_ryu.shell import fence

pytestmark = pytest.mark.netns

TIMEOUT_S = 0.3
FRAME = b"\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x07\x88\xb6".ljust(60, b"x")
LLDP = b"\x01\x80\xc2\x00\x00\x0e\x02\x00\x00\x00\x00\x07\x88\xcc".ljust(60, b"x")
HELLO = b"\x03\x77\x72\x79\x75\x00\x02\x00\x00\x00\x00\x07\x88\xb5".ljust(60, b"x")


def ip(*words):
    subprocess.run(["ip", *words], check=True)


def nft_tool(text):
    done = subprocess.run(
        ["nft", "-f", "-"], check=False, input=text, text=True, capture_output=True
    )
    assert done.returncode == 0, done.stderr


def port_pair(name, far):
    ip("link", "add", name, "type", "veth", "peer", "name", far)
    ip("link", "set", name, "up")
    ip("link", "set", far, "up")


@contextlib.contextmanager
def own_namespace():
    before = os.open("/proc/self/ns/net", os.O_RDONLY)
    _unshare()
    try:
        yield
    finally:
        _setns(before)
        os.close(before)


def _unshare():
    assert ctypes.CDLL(None, use_errno=True).unshare(0x40000000) == 0


def _setns(descriptor):
    assert ctypes.CDLL(None, use_errno=True).setns(descriptor, 0x40000000) == 0


def tables():
    netlink = fence.Netlink()
    found = nft.tables_in(netlink.ask(nft.ask_tables()))
    netlink.close()
    return found


class Wire:
    """A segment and a container, joined by a bridge; the gateway port is gw0."""

    def __init__(self):
        ip("link", "set", "lo", "up")
        ip("link", "add", "br0", "type", "bridge")
        ip("link", "set", "br0", "up")
        for name, far in (("gw0", "seg"), ("c0", "con")):
            port_pair(name, far)
            ip("link", "set", name, "master", "br0")
        self._ends = {"seg": self._listen("seg"), "con": self._listen("con")}

    @staticmethod
    def _listen(name):
        end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        end.bind((name, 0))
        end.settimeout(0.05)
        return end

    def passes(self, source, to, frame=FRAME):
        """A frame comes from one end to the other."""
        marked = frame[:40] + os.urandom(8) + frame[48:]
        self._ends[source].send(marked)
        with contextlib.suppress(TimeoutError):
            while True:
                if self._ends[to].recv(2000) == marked:
                    return True
        return False

    @property
    def open_ways(self):
        return self.passes("seg", "con"), self.passes("con", "seg")

    def close(self):
        for end in self._ends.values():
            end.close()


OPEN, CLOSED = (True, True), (False, False)


@pytest.fixture
def wire():
    with own_namespace():
        made = Wire()
        deadline = time.monotonic() + 5.0
        while made.open_ways != OPEN:  # the bridge's ports come up one after the other
            assert time.monotonic() < deadline
        yield made
        made.close()


@pytest.fixture
def fences(wire):
    made = fence.Fences("weave", ["gw0"], TIMEOUT_S)
    made.look_after()
    yield made
    made.let_go()


@pytest.fixture
def one(fences):
    return fences.of("gw0")


def test_this_kernel_can(wire):
    assert fence.obstacle() is None
    assert tables() == []


def test_is_made_closed(wire, one):
    assert wire.open_ways == CLOSED
    assert not one.is_open


def test_opens_both_ways_and_runs_out(wire, one):
    one.renew()
    assert wire.open_ways == OPEN
    one.renew()
    renewed_at, last = time.monotonic(), 0.0
    while time.monotonic() - renewed_at < TIMEOUT_S + 0.2:
        if wire.passes("con", "seg"):
            last = time.monotonic() - renewed_at
    assert TIMEOUT_S - 0.1 < last < TIMEOUT_S + 0.03
    assert wire.open_ways == CLOSED
    assert not one.is_open


def test_stays_open_while_it_is_renewed(wire, one):
    for _ in range(12):
        one.renew()
        assert wire.passes("con", "seg")
        time.sleep(0.1)
    assert one.counts.renewals == 12
    assert one.counts.mended == 0


def test_closes_at_once(wire, one):
    for _ in range(80):  # more often than the set has room for
        one.renew()
        one.close()
        assert not one.is_open
    assert wire.open_ways == CLOSED
    one.renew()
    assert wire.open_ways == OPEN


def test_its_frames_stay_in_the_host(wire, one):
    end = wire._ends["seg"]
    end.settimeout(0.2)
    for _ in range(20):
        one.renew()
        one.close()
    with contextlib.suppress(TimeoutError):
        while True:
            assert end.recv(2000)[12:14] != b"\x88\xb5"


def test_lets_neighbours_talk_while_closed(wire, one):
    """A bridge forwards neither; so the port's own socket sends, and the segment's end."""
    out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    out.bind(("gw0", 0))
    for frame_ in (LLDP, HELLO):
        out.send(frame_)
        assert wire._ends["seg"].recv(2000) == frame_
    with pytest.raises(OSError, match="No buffer space"):
        out.send(FRAME)
    assert wire.passes("seg", "con", HELLO)  # the kernel's bridge knows no hellos
    out.close()


@pytest.mark.parametrize(
    "meddling",
    [
        "flush ruleset",
        "delete table netdev weave-ryu/weave/gw0",
        "flush table netdev weave-ryu/weave/gw0",
        "flush chain netdev weave-ryu/weave/gw0 in",
        "add rule netdev weave-ryu/weave/gw0 in accept",
        "insert rule netdev weave-ryu/weave/gw0 out accept",
    ],
)
def test_is_mended_at_the_next_renewal(wire, one, meddling):
    one.renew()
    nft_tool(meddling)
    one.renew()
    assert one.counts.mended == 1
    assert wire.open_ways == OPEN
    one.close()
    assert wire.open_ways == CLOSED


def test_is_mended_while_closed(wire, fences, one):
    nft_tool("flush ruleset")
    assert wire.open_ways == OPEN
    fences.look_after()
    assert wire.open_ways == CLOSED
    assert one.counts.mended == 1


def test_closing_works_without_its_table(wire, one):
    one.renew()
    nft_tool("flush ruleset")
    one.close()
    assert wire.open_ways == CLOSED


def test_tables_of_others_stay(wire, fences, one):
    others = (
        "table netdev mine { chain c { type filter hook ingress device gw0 priority 0; }; }\n"
        "table inet weave-ryu { chain c { type filter hook input priority 0; }; }\n"
        "table netdev weave-ryu/weave2/gw7 { }\n"
    )
    nft_tool(others)
    one.renew()
    one.close()
    fences.look_after()
    assert "weave-ryu/weave/gw0" in tables()
    fences.remove()
    listed = subprocess.run(
        ["nft", "list", "tables"], check=True, capture_output=True, text=True
    ).stdout
    assert sorted(listed.splitlines()) == [
        "table inet weave-ryu",
        "table netdev mine",
        "table netdev weave-ryu/weave2/gw7",
    ]
    assert wire.open_ways == OPEN


def test_is_not_mended_for_what_others_do(wire, one):
    one.renew()
    nft_tool("table inet other { chain c { type filter hook input priority 0; }; }")
    one.renew()
    nft_tool("flush table inet other")
    one.renew()
    assert one.counts.mended == 0
    assert wire.open_ways == OPEN


def test_a_new_link_of_that_name_gets_a_new_fence(wire, one):
    one.renew()
    ip("link", "del", "gw0")
    with pytest.raises(NetworkError):
        one.renew()
    port_pair("gw0", "seg")
    one.renew()
    assert one.counts.mended == 1
    assert tables() == ["weave-ryu/weave/gw0"]


def test_a_link_that_is_down_cannot_be_opened(wire, one):
    ip("link", "set", "gw0", "down")
    with pytest.raises(NetworkError, match="link down"):
        one.renew()
    one.close()
    ip("link", "set", "gw0", "up")
    one.renew()
    assert one.is_open


def test_no_link_yet(wire, capsys):
    made = fence.Fences("weave", ["later"], TIMEOUT_S)
    made.look_after()
    with pytest.raises(NetworkError, match="later"):
        made.of("later").renew()
    port_pair("later", "far")
    made.look_after()
    made.of("later").renew()
    assert made.of("later").is_open
    made.let_go()


def test_what_a_dead_daemon_has_left_is_removed(wire, one):
    nft_tool("table netdev weave-ryu/weave/gone { }\ntable netdev weave-ryu/old/gw0 { }")
    made = fence.Fences("weave", ["gw0"], TIMEOUT_S)
    made.start()
    made.let_go()
    assert tables() == ["weave-ryu/weave/gw0"]


HOLDER = """
import sys, time
from weave_ryu.shell import fence
made = fence.Fences("weave", ["gw0"], float(sys.argv[1]))
made.look_after()
while True:
    made.of("gw0").renew()
    print("renewed", flush=True)
    time.sleep(0.05)
"""


@pytest.mark.parametrize("signal", ["KILL", "STOP"])
def test_closes_when_its_holder_dies(wire, signal):
    command = [sys.executable, "-c", textwrap.dedent(HOLDER), str(TIMEOUT_S)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        for _ in range(5):
            holder.stdout.readline()
        assert wire.open_ways == OPEN
        subprocess.run(["kill", f"-{signal}", str(holder.pid)], check=True)
        struck_at, last = time.monotonic(), 0.0
        while time.monotonic() - struck_at < TIMEOUT_S + 0.2:
            if wire.passes("con", "seg"):
                last = time.monotonic() - struck_at
        assert last < TIMEOUT_S + 0.03
        assert wire.open_ways == CLOSED
        holder.kill()
