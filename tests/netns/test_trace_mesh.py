"""`weave-ryu trace` on real switches: what it says is what happens to real frames."""

import json
import subprocess
import sys

import pytest

from weave_ryu import namespaces
from weave_ryu.lab import topology
from weave_ryu.lab.stations import stations
from weave_ryu.lab.traffic import BROADCAST, Traffic

STATIONS = ("W-c1", "X-c1", "Host1", "Host2")


def watched(lab):
    return [station for station in stations(lab) if station.name in STATIONS]


@pytest.fixture(scope="module")
def line(build_lab):
    """W-A-B-X in a line; A forwards, B stands by; every station has spoken."""
    shape = topology.build(["W", "X", "A", "B"], "line")
    lab = build_lab(topology=shape, roles={"A": "active", "B": "standby"})
    with Traffic(watched(lab)) as traffic:
        traffic.send([traffic.stream(name) for name in STATIONS], 3, 100)
        assert traffic.settle()
    return lab


def weave_ryu(peer, *words):
    return namespaces.run_inside(
        peer.netns,
        lambda: subprocess.run(
            [sys.executable, "-m", "weave_ryu", *words],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        ),
    )


def trace(line, at, *words):
    result = weave_ryu(line.peers[at], "trace", *words, "--json")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def copies(line, source, destination=BROADCAST):
    """How many copies of a real frame come to each station."""
    with Traffic(watched(line)) as traffic:
        stream = traffic.stream(source, destination)
        traffic.send([stream], 1, 10)
        traffic.settle()
        others = [name for name in STATIONS if name != source]
        return {name: traffic.delivery(stream, name).copies for name in others}


def reached(line, found):
    """Stations that should get a copy, by what the trace says."""
    names = []
    for place in found["delivered"]:
        if "segment" in place:
            names += ["Host1", "Host2"]
        elif not place["host"]:
            names.append(f"{place['nick_name']}-c1")
    return sorted(names)


def test_broadcast_goes_where_the_trace_says(line):
    found = trace(line, "X", line.station("W-c1").mac, "--broadcast")
    assert reached(line, found) == ["Host1", "Host2", "X-c1"]
    assert copies(line, "W-c1") == {"X-c1": 1, "Host1": 1, "Host2": 1}
    assert found["problems"] == []
    standby = [step for step in found["steps"] if step["nick_name"] == "B"]
    assert {drop["table"] for step in standby for drop in step["drops"]} == {"gate_in", "gate_out"}


def test_broadcast_of_a_host_comes_to_both_gateways_and_passes_one(line):
    found = trace(line, "W", line.station("Host1").mac, "--broadcast")
    assert reached(line, found) == ["W-c1", "X-c1"]
    assert copies(line, "Host1") == {"W-c1": 1, "X-c1": 1, "Host2": 1}
    first = {step["nick_name"]: step for step in found["steps"] if step["depth"] == 0}
    assert set(first) == {"A", "B"}
    assert [drop["table"] for drop in first["B"]["drops"]] == ["gate_in"]


def test_unicast_takes_the_shortest_way(line):
    found = trace(line, "W", line.station("X-c1").mac, line.station("Host1").mac)
    assert [step["nick_name"] for step in found["steps"]] == ["X", "B", "A"]
    assert found["summary"].startswith(f"{line.station('Host1').mac} is reached by A/")
    assert copies(line, "X-c1", "Host1")["Host1"] == 1


def test_host_behind_the_standby_is_not_reached_and_the_reason_is_said(line):
    port = line.peers["B"].gateway_port
    found = trace(line, "W", f"B/{port}", line.station("W-c1").mac)
    way = {step["nick_name"]: step for step in found["steps"]}
    assert "is not active" in way["B"]["drops"][0]["why"]
    assert way["W"]["out"][0]["nick_name"] == "W"


def test_daemon_that_is_down_is_named(line, eventually):
    line.peers["X"].daemon.kill()
    try:
        found = trace(line, "W", line.station("W-c1").mac, "--broadcast")
        silent = [step for step in found["steps"] if step["error"]]
        assert [step["nick_name"] for step in silent] == ["X"]
        assert "not known what becomes of it at X" in found["summary"]
    finally:
        line.peers["X"].daemon.start()
        eventually(
            lambda: (
                trace(line, "B", line.station("W-c1").mac, "--broadcast")["steps"][0]["error"]
                is None
            ),
            20,
        )


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("x", "--broadcast"), "'x'"),
        (("02:00:00:00:00:01",), "''"),
        (("02:00:00:00:00:99", "--broadcast"), "02:00:00:00:00:99"),
        (("nobody/eth1", "--broadcast"), "'nobody'"),
    ],
)
def test_wrong_words_are_named(line, words, named):
    result = weave_ryu(line.peers["B"], "trace", *words)
    assert result.returncode == 2
    assert named in result.stderr
    assert result.stderr.count("\n") == 1
