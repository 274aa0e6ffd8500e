"""Containers beside the gateways reach the segment, and are reached, whichever gateway forwards."""

import itertools
import signal
import time
from collections import Counter
from dataclasses import dataclass, field

import pytest
from testbed import Wire

from weave_ryu.lab import failover, topology
from weave_ryu.lab.stations import stations

SHAPE = """
peers = ["W", "A", "B"]
containers = {W-c1 = "W", A-c1 = "A", B-c1 = "B"}
[segments.vlan]
gateways = ["A", "B"]
hosts = ["Host1", "Host2"]
"""
CONTAINERS, HOSTS = ("W-c1", "A-c1", "B-c1"), ("Host1", "Host2")
BROADCAST = "ff:ff:ff:ff:ff:ff"
REACHED_S = 1.0
CHANGED_S = 4.0
"""Until a role is taken from a daemon that does not answer, as in test_failover.py."""
BURST = 20


@pytest.fixture(scope="module")
def lab(build_lab, tmp_path_factory):
    path = tmp_path_factory.mktemp("beside") / "shape.toml"
    path.write_text(SHAPE)
    return build_lab(topology=topology.load(path), roles={"A": "auto", "B": "auto"})


@pytest.fixture(scope="module")
def bench(lab):
    return failover.Bench(lab, print)


@pytest.fixture
def wires(lab):
    opened = {station.name: Wire(station) for station in stations(lab)}
    yield opened
    for wire in opened.values():
        wire.socket.close()


_macs = (f"02:be:51:de:{n >> 8:02x}:{n & 255:02x}" for n in itertools.count(1))


@dataclass
class Inhabitants:
    """At each station three MACs: one that speaks, and two that do not.

    Attributes:
        loud: speaks whenever asked.
        quiet: has spoken once, before the change.
        mute: has never spoken.
    """

    loud: dict = field(default_factory=lambda: dict(zip(CONTAINERS + HOSTS, _macs, strict=False)))
    quiet: dict = field(default_factory=lambda: dict(zip(CONTAINERS + HOSTS, _macs, strict=False)))
    mute: dict = field(default_factory=lambda: dict(zip(CONTAINERS + HOSTS, _macs, strict=False)))


def pairs(containers):
    """Sender and receiver: between each container and Host1, both ways."""
    return [pair for name in containers for pair in ((name, "Host1"), ("Host1", name))]


def reached_after_s(wires, sender, receiver, source, destination):
    """Until a frame of one MAC to another comes; None if that takes too long."""
    started, marks = time.monotonic(), set()
    while time.monotonic() - started < REACHED_S:
        marks.add(wires[sender].send(destination, source))
        time.sleep(0.01)
        if marks & wires[receiver].came():
            return time.monotonic() - started
    return None


def not_reached(wires, who, containers, silent):
    """Pairs where a frame to a silent MAC (`quiet` or `mute`) does not come within a second."""
    failed = []
    for sender, receiver in pairs(containers):
        source, destination = who.loud[sender], getattr(who, silent)[receiver]
        if reached_after_s(wires, sender, receiver, source, destination) is None:
            failed.append((sender, receiver, silent))
    return failed


def not_heard(wires, who, containers, silent):
    """Pairs where a silent MAC speaks, to one station alone, and is not answered."""
    failed = []
    for sender, receiver in pairs(containers):
        source, destination = getattr(who, silent)[sender], who.loud[receiver]
        there = reached_after_s(wires, sender, receiver, source, destination)
        back = reached_after_s(wires, receiver, sender, destination, source)
        if None in (there, back):
            failed.append((sender, receiver, silent, there, back))
    return failed


def miscounted(wires, who, containers):
    """Pairs where frames between those who speak do not come exactly once."""
    failed = {}
    for sender, receiver in pairs(containers):
        source, destination = who.loud[sender], who.loud[receiver]
        wires[receiver].came()
        marks = []
        for _ in range(BURST):
            marks.append(wires[sender].send(destination, source))
            time.sleep(0.005)
        time.sleep(0.2)
        came = Counter(wires[receiver].copies())
        if any(came[mark] != 1 for mark in marks):
            failed[sender, receiver] = [came[mark] for mark in marks]
    return failed


def say(wires, macs, names=CONTAINERS + HOSTS):
    for name in names:
        wires[name].send(BROADCAST, macs[name])


def put(peer, **wish):
    reply = peer.http("PUT", f"/gateways/{peer.gateway_port}", wish, timeout_s=10.0)
    assert reply.status == 200, reply


def by_hand(_lab, _active, standby):
    put(standby, role="active")
    return lambda: put(standby, role="auto")


def by_force(_lab, active, standby):
    put(standby, role="active", force=True)

    def repair():
        put(standby, role="auto")

    return repair


def drained(_lab, active, _standby):
    put(active, drain=True)
    return lambda: put(active, role="auto")


def daemon_killed(_lab, active, _standby):
    active.kill_daemon(signal.SIGKILL)
    return lambda: active.start_daemon("auto")


def switch_killed(_lab, active, _standby):
    active.kill_vswitchd()
    return active.restart_vswitchd


def carrier_lost(lab, active, _standby):
    lab.set_segment_link(active, is_up=False)
    return lambda: lab.set_segment_link(active, is_up=True)


CHANGES = {
    "activate": by_hand,
    "force": by_force,
    "drain": drained,
    "kill": daemon_killed,
    "switch": switch_killed,
    "carrier": carrier_lost,
}
SEVERED = {"kill", "switch"}
"""Without its daemon a switch cannot hear that the segment has moved; without its switch a
container beside it has nobody. Both are there again when what was killed is."""


@pytest.mark.parametrize("change", CHANGES)
def test_containers_beside_both_gateways_and_hosts_reach_each_other(
    lab, bench, wires, eventually, change
):
    active, standby = bench.wait_ready()
    who = Inhabitants()
    say(wires, who.quiet)
    for _ in range(2):
        say(wires, who.loud)
    time.sleep(0.3)
    assert miscounted(wires, who, CONTAINERS) == {}
    assert not_reached(wires, who, CONTAINERS, "quiet") == []
    assert not_reached(wires, who, CONTAINERS, "mute") == []

    repair = CHANGES[change](lab, active, standby)
    try:
        eventually(
            lambda: (
                standby.gateway_state()["state"] == "active"
                and active.gateway_state()["state"] != "active"
            ),
            CHANGED_S,
            "the other one forwards, and it alone",
        )
        here = CONTAINERS
        if change in SEVERED:
            here = tuple(name for name in CONTAINERS if not name.startswith(active.nick_name))
        assert not_reached(wires, who, here, "quiet") == []
        assert not_reached(wires, who, here, "mute") == []
        assert miscounted(wires, who, here) == {}
    finally:
        repair()
    bench.wait_ready()
    assert not_reached(wires, who, CONTAINERS, "quiet") == []
    assert not_reached(wires, who, CONTAINERS, "mute") == []
    for silent in ("quiet", "mute"):
        assert not_heard(wires, who, CONTAINERS, silent) == []
    assert miscounted(wires, who, CONTAINERS) == {}
