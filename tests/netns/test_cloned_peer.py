"""A host and its clone, with one peer name: who lives keeps it and loses nothing, both are told."""

import itertools
import re
import time

import pytest

from weave_ryu.lab import topology
from weave_ryu.lab.daemon import DaemonUnreachableError
from weave_ryu.lab.stations import stations
from weave_ryu.lab.traffic import BROADCAST, Traffic

RATE_PER_S = 50.0
WATCHED_S = 15.0


@pytest.fixture(scope="module")
def lab(build_lab):
    return build_lab(
        topology=topology.build(["W", "X", "A", "B"]), roles={"A": "auto", "B": "auto"}
    )


@pytest.fixture(scope="module")
def traffic(lab):
    with Traffic(stations(lab)) as made:
        yield made


def log_of(lab, name):
    return re.sub(r"\x1b\[[0-9;]*m", "", lab.peers[name].daemon.log.read_text())


def router(lab, name):
    return lab.peers[name].http("GET", "/report").body["Router"]


def knows(lab, name, nick_name):
    return nick_name in {peer["NickName"] for peer in router(lab, name)["Peers"]}


def restart_as(lab, name, other, role):
    """Start a peer anew, with the name of another one."""
    peer = lab.peers[name]
    if peer.daemon.is_alive:
        peer.kill_daemon()
    command = peer.daemon._command
    command[command.index("--name") + 1] = str(lab.peers[other].spec.name)
    peer.start_daemon(role)


@pytest.mark.parametrize("original", ["X", "A"])
def test_the_original_loses_nothing_and_a_refused_gateway_never_opens(
    lab, traffic, eventually, original
):
    if lab.peers["B"].daemon.is_alive:
        lab.peers["B"].kill_daemon()
    eventually(lambda: not any(knows(lab, n, "B") for n in "WXA"), 30, "B is forgotten")
    eventually(lambda: lab.peers["A"].gateway_state()["state"] == "active", 20)
    uids = {n: [p["UID"] for p in router(lab, n)["Peers"]] for n in "WXA"}
    pairs = [("X-c1", "W-c1"), ("W-c1", "X-c1"), ("Host1", "W-c1"), ("W-c1", "Host1")]
    watched = [(traffic.stream(*pair), pair[1]) for pair in pairs]
    watched.append((traffic.stream("Host1", BROADCAST), "X-c1"))
    streams = [stream for stream, _ in watched]
    traffic.send(streams, 3, RATE_PER_S)
    traffic.settle()
    traffic.start(streams, RATE_PER_S)
    began_ns = time.time_ns()
    restart_as(lab, "B", original, "auto")

    def is_told():
        try:
            return router(lab, "B")["NameTaken"]
        except DaemonUnreachableError:
            return []

    eventually(is_told, 30, "the clone knows")
    until = time.monotonic() + WATCHED_S
    while time.monotonic() < until:
        state = lab.peers["B"].gateway_state()
        assert state["state"] not in ("active", "arming", "draining"), state
        time.sleep(0.2)
    assert any("two hosts have the peer name" in text for text in state["obstacles"])
    traffic.stop()
    traffic.settle()
    for stream, place in watched:
        arrived = traffic.delivery(stream, place)
        print(original, stream, place, arrived)
        came = [at for at in traffic.arrivals(stream, place) if at >= began_ns]
        assert len(came) >= 0.999 * RATE_PER_S * WATCHED_S
        assert max(b - a for a, b in itertools.pairwise(came)) < 0.5e9
    for name in "WXA":
        assert [p["UID"] for p in router(lab, name)["Peers"]] == uids[name]
    here, there = lab.peers[original].spec.underlay_ip, lab.peers["B"].spec.underlay_ip
    for name in (original, "B"):
        (line,) = router(lab, name)["NameTaken"]
        assert f"at {here} keeps it" in line
        assert f"at {there} is refused" in line
        assert "name_taken" in log_of(lab, name)
        status = lab.peers[name].http("GET", "/status").body
        assert "NameTaken" in str(status)
    assert "name-taken" in log_of(lab, "W")
