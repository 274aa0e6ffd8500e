"""Multicast behind a switch that listens to reports of membership, when its gateway dies."""

import contextlib
import itertools
import json
import socket
import struct
import subprocess
import threading
import time

import pytest

from weave_ryu.lab import topology
from weave_ryu.lab.lab import segment_bridge, segment_port
from weave_ryu.namespaces import run_inside

GROUP, PORT = "239.1.2.3", 5007
EVERY_S = 0.05
WITHIN_S = 5.0
"""Taking over takes one, asking and answering up to another three if frames are lost."""


@pytest.fixture(scope="module")
def lab(build_lab):
    made = build_lab(
        topology=topology.build(["W", "X", "A", "B"]), roles={"A": "auto", "B": "auto"}
    )
    listen_to_reports(made)
    return made


def listen_to_reports(lab):
    """The segment's bridge snoops, and is its own querier, which asks every two minutes."""
    words = ("mcast_snooping", "1", "mcast_querier", "1", "mcast_query_interval", "12500")
    words += ("mcast_startup_query_count", "2", "mcast_query_response_interval", "100")
    command = ["ip", "link", "set", segment_bridge("vlan"), "type", "bridge", *words]
    namespace = lab.segment_netns("vlan")
    run_inside(namespace, lambda: subprocess.run(command, check=True))


class Member:
    """A member of the group at a station; notes when frames come."""

    def __init__(self, station):
        self.came = []
        self._socket = run_inside(station.netns, lambda: self._join(station.ip))
        threading.Thread(target=self._listen, daemon=True).start()

    @staticmethod
    def _join(ip):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((GROUP, PORT))
        wish = socket.inet_aton(GROUP) + socket.inet_aton(ip)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, wish)
        return sock

    def _listen(self):
        with contextlib.suppress(OSError):
            while True:
                (number,) = struct.unpack("!I", self._socket.recv(100)[:4])
                self.came.append((time.monotonic(), number))

    def close(self):
        self._socket.close()


def sender(station):
    def make():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        own = socket.inet_aton(station.ip)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, own)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 4)
        return sock

    return run_inside(station.netns, make)


def send_for(sock, seconds, first):
    until, number = time.monotonic() + seconds, first
    while time.monotonic() < until:
        sock.sendto(struct.pack("!I", number), (GROUP, PORT))
        number += 1
        time.sleep(EVERY_S)
    return number


def sent_to(lab, peer):
    """Frames that the segment's bridge has sent to a gateway."""
    command = ["ip", "-json", "-statistics", "link", "show", segment_port(peer.nick_name)]
    namespace = lab.segment_netns("vlan")
    shown = run_inside(namespace, lambda: subprocess.run(command, check=True, capture_output=True))
    return json.loads(shown.stdout)[0]["stats64"]["tx"]["packets"]


def test_members_are_asked_at_once_by_the_gateway_that_takes_over(lab, eventually):
    a, b = lab.peers["A"], lab.peers["B"]
    eventually(lambda: {p.gateway_state()["state"] for p in (a, b)} == {"active", "standby"}, 20)
    active, standby = (a, b) if a.gateway_state()["state"] == "active" else (b, a)
    members = [Member(lab.containers[f"{name}-c1"]) for name in "WX"]
    sock = sender(lab.hosts["Host1"])
    number = 0

    def is_snooping():
        """The bridge sends the group's frames to the active gateway only."""
        nonlocal number
        before = {peer: sent_to(lab, peer) for peer in (active, standby)}
        number = send_for(sock, 1.0, number)
        sent = {peer: sent_to(lab, peer) - before[peer] for peer in before}
        return sent[standby] < 10 and sent[active] >= 0.9 / EVERY_S

    eventually(is_snooping, 60)
    for member in members:
        assert len({n for _, n in member.came}) >= number - 2
    active.kill_daemon()
    died_at = time.monotonic()
    number = send_for(sock, 12.0, number)
    sock.close()
    ended_at = time.monotonic()
    assert standby.gateway_state()["state"] == "active"
    for member in members:
        times = [at for at, _ in member.came if at > died_at]
        gap = max(b - a for a, b in itertools.pairwise([died_at, *times, ended_at]))
        print(f"gap {gap:.2f} s, {len(times)} after")
        assert gap < WITHIN_S
        assert len({n for _, n in member.came}) == len(member.came), "no frame came twice"
        member.close()
