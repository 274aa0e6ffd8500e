"""UDP between two peers fails while TCP goes on: frames go by others, and both sides say so."""

import re
import time

import pytest

from weave_ryu.lab import cuts, topology
from weave_ryu.lab.stations import stations
from weave_ryu.lab.traffic import Traffic

WITHIN_S = 75.0
HEALED_WITHIN_S = 20.0
RATE_PER_S = 20.0

VXLAN = "udp dport 6784"
KINDS = {
    "both-ways": ("WX", "XW", VXLAN),
    "one-way": ("WX", None, VXLAN),
    # What carries frames of full size no more, and says nothing of it.
    "mtu": ("WX", "XW", f"{VXLAN} ip length > 1300"),
}


@pytest.fixture(scope="module")
def lab(build_lab):
    return build_lab(topology=topology.build(["W", "X", "A"]))


@pytest.fixture(scope="module")
def traffic(lab):
    with Traffic(stations(lab)) as made:
        yield made


def address(lab, name):
    return lab.peers[name].spec.underlay_ip


def connection(lab, name, other):
    """What a peer says of its connection to another: state, info, metric and route."""
    report = lab.peers[name].http("GET", "/report").body["Router"]
    (found,) = [line for line in report["Connections"] if f"({other})" in line["Info"]]
    metrics = lab.peers[name].http("GET", "/metrics").body
    (value,) = re.findall(
        rf'mesh_connection_established\{{[^}}]*nick_name="{other}"[^}}]*\}} (\S+)', metrics
    )
    return found["State"], found["Info"], float(value)


def next_hop(lab, name, other):
    report = lab.peers[name].http("GET", "/report").body["Router"]
    names = {peer["NickName"]: peer["Name"] for peer in report["Peers"]}
    (route,) = [r for r in report["UnicastRoutes"] if r["Dest"] == names[other]]
    return {full: nick for nick, full in names.items()}[route["Via"]]


def log_of(lab, name):
    text = re.sub(r"\x1b\[[0-9;]*m", "", lab.peers[name].daemon.log.read_text())
    return [line for line in text.splitlines() if "peer_not_reached" in line]


@pytest.mark.parametrize("kind", KINDS)
def test_frames_go_by_others_until_the_way_works_again(lab, traffic, eventually, kind):
    first, back, match = KINDS[kind]
    ways = [tuple(address(lab, name) for name in way) for way in (first, back) if way]
    pairs = (("W", "X"), ("X", "W"))
    told = {name: len(log_of(lab, name)) for name in "WX"}
    for name, other in pairs:
        assert connection(lab, name, other)[::2] == ("established", 1.0)
        assert next_hop(lab, name, other) == other
    streams = [traffic.stream(f"{a}-c1", f"{b}-c1") for a, b in pairs]
    traffic.start(streams, RATE_PER_S)
    try:
        time.sleep(2.0)
        cuts.cut(lab.underlay, ways, match=match)
        cut_at, cut_ns = time.monotonic(), time.time_ns()

        def all_go_by_a():
            return all(next_hop(lab, a, b) == "A" for a, b in pairs)

        eventually(all_go_by_a, WITHIN_S, "the route by A")
        print(f"{kind}: by others after {time.monotonic() - cut_at:.1f} s")
        for name, other in pairs:
            state, info, metric = connection(lab, name, other)
            assert (state, metric) == ("pending", 0.0)
            assert "full-size frames must pass on UDP 6784" in info
        eventually(lambda: all(len(log_of(lab, n)) > told[n] for n in "WX"), 15, "a line on both")
        assert time.monotonic() - cut_at < WITHIN_S + 15
        from_ns = cut_ns + int(WITHIN_S * 1e9)
        time.sleep(max(0.0, cut_at + WITHIN_S + 5.0 - time.monotonic()))
        for stream, (_, other) in zip(streams, pairs, strict=True):
            came = [at for at in traffic.arrivals(stream, f"{other}-c1") if at > from_ns]
            assert len(came) >= 0.9 * 5.0 * RATE_PER_S
        cuts.heal(lab.underlay)
        healed_at = time.monotonic()

        def all_direct():
            return all(
                next_hop(lab, a, b) == b and connection(lab, a, b)[::2] == ("established", 1.0)
                for a, b in pairs
            )

        eventually(all_direct, HEALED_WITHIN_S, "the direct route")
        print(f"{kind}: directly {time.monotonic() - healed_at:.1f} s after healing")
        healed_ns = time.time_ns()
        time.sleep(3.0)
        for stream, (_, other) in zip(streams, pairs, strict=True):
            came = [at for at in traffic.arrivals(stream, f"{other}-c1") if at > healed_ns]
            assert len(came) >= 0.9 * 3.0 * RATE_PER_S
    finally:
        traffic.stop()
        cuts.heal(lab.underlay)
