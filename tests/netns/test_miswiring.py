"""Wires that join what nobody has configured: named in words, and nothing circles for long."""

import contextlib
import itertools
import time

import pytest

from weave_ryu import links
from weave_ryu.errors import DaemonUnreachableError
from weave_ryu.lab import topology
from weave_ryu.lab.lab import segment_bridge
from weave_ryu.lab.patience import stretched
from weave_ryu.lab.stations import stations
from weave_ryu.lab.traffic import Traffic

NAMED_WITHIN_S = 2.0
OPEN_WITHIN_S = 12.0
COPIES = 20
STATIONS = ("W-c1", "Host1", "Host2")
ONE_WIRE = "segment office of B gw0 and segment vlan of A gw0 are one wire"

TOPOLOGY = topology.from_document(
    {
        "peers": ["W", "A", "B"],
        "segments": {
            "vlan": {"gateways": ["A"], "hosts": ["Host1"]},
            "office": {"gateways": ["B"], "hosts": ["Host2"]},
        },
    },
    "two segments",
)


@pytest.fixture(scope="module")
def lab(build_lab):
    return build_lab(topology=TOPOLOGY, roles={"A": "auto", "B": "auto"})


@pytest.fixture
def traffic(lab, eventually):
    eventually(lambda: states(lab) == ("active", "active"), 20, "both forward, nothing is wrong")
    eventually(lambda: not any(wiring(lab, name) for name in "WAB"), 20)
    with Traffic(stations(lab)) as made:
        made.send([made.stream(name) for name in STATIONS], 5, 20)
        made.settle()
        yield made


def states(lab):
    return tuple(lab.peers[name].gateway_state()["state"] for name in "AB")


def wiring(lab, name):
    """What a peer says of the wiring."""
    try:
        return lab.peers[name].http("GET", "/report").body["Router"]["Wiring"]
    except DaemonUnreachableError:
        return []


def namespace_of(lab, place):
    """Of a segment's bridge, a container, or a peer."""
    if place in ("vlan", "office"):
        return lab.segment_netns(place)
    return lab.containers[place].netns if place in lab.containers else lab.peers[place].netns


@contextlib.contextmanager
def cable(lab, one, other, name="cable0"):
    """A pair of links between two places; into the bridge of a segment."""
    ends = namespace_of(lab, one), namespace_of(lab, other)
    links.create_veth(name, ends[0], name, ends[1])
    try:
        for place, end in zip((one, other), ends, strict=True):
            bridge = segment_bridge(place) if place in ("vlan", "office") else None
            links.set_link(name, end, bridge=bridge, is_up=True)
        yield
    finally:
        links.delete_link(name, ends[0])


def still(traffic):
    """Nothing moves with nobody sending."""
    return traffic.settle(quiet_s=0.5, timeout_s=8.0)


def copies(traffic):
    """Of broadcasts of each station at each other one, and back at the sender."""
    streams = [traffic.stream(name) for name in STATIONS]
    traffic.send(streams, COPIES, 50)
    assert still(traffic), "frames go on moving with nobody sending"
    return {
        (stream.source, name): traffic.delivery(stream, name).copies
        for stream in streams
        for name in STATIONS
    }


def exactly_once(traffic, within_s=10.0, but=()):
    """Each frame comes once, none at its sender; a MAC that was seen elsewhere needs some seconds.

    Args:
        traffic: to send with.
        within_s: after that.
        but: pairs of which frames may be lost for longer.
    """
    wanted = {(one, to): COPIES * (one != to) for one in STATIONS for to in STATIONS}
    until = time.monotonic() + stretched(within_s)
    while True:
        found = copies(traffic)
        assert all(found[pair] <= wanted[pair] for pair in wanted), found
        short = {pair: found[pair] for pair in wanted if found[pair] < wanted[pair]}
        if not short.keys() - set(but):
            return
        assert time.monotonic() < until, short


MOST_COPIES = 200
"""The aim is 50. Between the first copy and the closed port are some 40 ms of two daemons and two
switches; what was measured is in docs/explanation/miswiring.md. Without a verdict it is thousands.
"""
WATCHED_S = 1.0
"""How long is looked after the verdict; a loop that goes on shows itself in less."""


@contextlib.contextmanager
def watched(traffic):
    """All send while something is joined: what circles until it is closed is a few copies."""
    streams = [traffic.stream(name) for name in STATIONS]
    traffic.start(streams, 20)
    time.sleep(0.5)
    yield
    time.sleep(WATCHED_S)
    traffic.stop()
    assert still(traffic), "frames go on moving with nobody sending"
    most = {(s.source, n): traffic.delivery(s, n).most_copies for s in streams for n in STATIONS}
    print(f"at most {max(most.values())} copies of a frame")
    assert max(most.values()) <= MOST_COPIES, most


def test_cable_between_two_segments(lab, traffic, eventually):
    exactly_once(traffic)
    with contextlib.ExitStack() as plugged:
        with watched(traffic):
            plugged.enter_context(cable(lab, "vlan", "office"))
            plugged_at = time.monotonic()
            eventually(lambda: ONE_WIRE in wiring(lab, "A"), NAMED_WITHIN_S, "A names it")
            eventually(lambda: ONE_WIRE in wiring(lab, "B"), NAMED_WITHIN_S, "B names it")
            print(f"named after {time.monotonic() - plugged_at:.2f} s")
            eventually(lambda: sorted(states(lab)) == ["active", "fault"], 1.0, "one closes")
        closed = lab.peers["AB"[states(lab).index("fault")]]
        state = closed.gateway_state()
        assert ONE_WIRE in state["reason"]
        assert not state["ready"]
        assert any(ONE_WIRE in text for text in state["obstacles"])
        reply = closed.http("PUT", "/gateways/gw0", {"role": "active"}, timeout_s=10)
        assert reply.status == 503
        assert "are one wire" in str(reply.body)
        closed.http("PUT", "/gateways/gw0", {"role": "auto"}, timeout_s=10)
        exactly_once(traffic)
        # It is looked at again and again, and the wire is not right.
        time.sleep(stretched(OPEN_WITHIN_S + 1))
        assert sorted(states(lab)) == ["active", "fault"]
    unplugged_at = time.monotonic()
    eventually(lambda: states(lab) == ("active", "active"), OPEN_WITHIN_S, "both open again")
    print(f"open again after {time.monotonic() - unplugged_at:.2f} s")
    assert not wiring(lab, "A")
    exactly_once(traffic)


def test_two_names_for_one_wire_from_the_start(lab, traffic, eventually):
    """Both daemons start on a wire that is joined: one of them never opens."""
    for name in "AB":
        lab.peers[name].kill_daemon()
    with cable(lab, "vlan", "office"):
        for name in "AB":
            lab.peers[name].start_daemon()
        seen = set()

        def is_named():
            seen.add(states(lab))
            return all(ONE_WIRE in wiring(lab, name) for name in "AB")

        eventually(is_named, 15, "both name it")
        eventually(lambda: "active" in states(lab), 10, "one of them opens")
        until = time.monotonic() + stretched(5)
        while time.monotonic() < until:
            seen.add(states(lab))
            time.sleep(0.05)
        assert ("active", "active") not in seen
        exactly_once(traffic)


@pytest.mark.parametrize("peer", ["W", "A"])
def test_second_link_of_the_wire_plugged_in_by_hand(lab, traffic, eventually, peer):
    switch = lab.peers[peer].switch
    text = f"what A gw0 sends on segment vlan comes back through port gw9 of {peer}"
    with cable(lab, "vlan", peer, "gw9"):
        try:
            with watched(traffic):
                switch.vsctl("add-port", "weave", "gw9")
                plugged_at = time.monotonic()
                eventually(lambda: text in wiring(lab, peer), NAMED_WITHIN_S, "named there")
                eventually(lambda: text in wiring(lab, "A"), NAMED_WITHIN_S, "and at the gateway")
                print(f"named after {time.monotonic() - plugged_at:.2f} s")
            assert states(lab) == ("active", "active"), "the gateway is not to blame"
            exactly_once(traffic)
            assert "local_port_closed" in lab.peers[peer].daemon.log.read_text()
        finally:
            switch.vsctl("del-port", "weave", "gw9")
    eventually(lambda: not wiring(lab, peer), OPEN_WITHIN_S, "nothing is wrong any more")
    assert "local_port_opened" in lab.peers[peer].daemon.log.read_text()


def test_container_host_that_bridges_its_network_to_the_segment(lab, traffic, eventually):
    container = lab.containers["W-c1"]
    text = "what A gw0 sends on segment vlan comes back through port "
    with cable(lab, "vlan", "W-c1"):
        links.create_bridge("br0", container.netns)
        try:
            with watched(traffic):
                for name in ("cable0", container.ifname):
                    links.set_link(name, container.netns, bridge="br0", is_up=True)
                plugged_at = time.monotonic()
                eventually(lambda: any(text in w for w in wiring(lab, "W")), NAMED_WITHIN_S)
                print(f"named after {time.monotonic() - plugged_at:.2f} s")
            assert states(lab) == ("active", "active")
            # The container itself hears both sides, and is heard on the segment alone.
            lost = [pair for pair in itertools.product(STATIONS, repeat=2) if "W-c1" in pair]
            exactly_once(traffic, but=lost)
        finally:
            links.delete_link("br0", container.netns)
    eventually(lambda: not wiring(lab, "W"), OPEN_WITHIN_S, "the port is open again")
    eventually(lambda: not wiring(lab, "A"), 2)
    exactly_once(traffic)
