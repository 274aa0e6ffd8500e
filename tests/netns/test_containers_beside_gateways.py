"""A container beside a gateway that another gateway has taken for a host is found again."""

from testbed import bench_on

from weave_ryu.lab import topology
from weave_ryu.pipeline import render
from weave_ryu.pipeline import tables as t
from weave_ryu.pipeline.cookies import Kind, subject_cookie
from weave_ryu.pipeline.parts import LEARN_PRIORITY_SECOND_HAND, learn_mac

SHAPE = """
peers = ["W", "X", "A", "B"]
containers = {W-c1 = "W", X-c1 = "X", A-c1 = "A", B-c1 = "B"}
[segments.vlan]
gateways = ["A", "B"]
hosts = ["Host1", "Host2"]
"""


def short_id(peer):
    peers = peer.http("GET", "/report").body["Router"]["Peers"]
    (own,) = (entry for entry in peers if entry["NickName"] == peer.nick_name)
    return own["ShortID"]


def place_of(peer, mac):
    """Nick name and port; where it is not known, nothing."""
    found = [entry for entry in peer.http("GET", "/macs").body if entry["Mac"] == mac]
    return (found[0]["NickName"], found[0]["Port"]) if found else ()


def teach(peer, learn, mac):
    """As if the switch had learnt it."""
    peer.ofctl("add-flow", "weave", render.learnt_text(learn, mac))


def test_container_taken_for_a_host_is_reached_again_by_all(build_lab, eventually, tmp_path):
    (tmp_path / "shape.toml").write_text(SHAPE)
    shape = topology.load(tmp_path / "shape.toml")
    lab = build_lab(topology=shape, roles={"A": "active", "B": "standby"})
    with bench_on(lab) as bench:
        active, plain = lab.peers["A"], lab.peers["W"]
        mac, port = lab.station("B-c1").mac, active.gateway_port
        number = int(active.switch.run("ovs-vsctl", "get", "interface", port, "ofport"))
        where = short_id(active)
        at_port = learn_mac(
            subject_cookie(Kind.LEARNT_PORT, number), t.KNOWN_PORT, t.OUT_PORT, number
        )
        behind = learn_mac(
            subject_cookie(Kind.LEARNT_PEER, where),
            t.KNOWN_PEER,
            t.DST_PEER,
            where,
            LEARN_PRIORITY_SECOND_HAND,
        )
        eventually(lambda: place_of(active, mac) == ("B", None))
        hosts = [lab.station(name).mac for name in ("Host1", "Host2")]
        teach(active, at_port, mac)
        teach(plain, behind, mac)
        eventually(lambda: place_of(active, mac) == ("B", None), 15, "A's switch is set right")
        eventually(lambda: place_of(plain, mac) == ("B", None), 15, "W's switch is set right")
        for host in hosts:
            assert place_of(active, host) == ("A", port)
        streams = [bench.traffic.stream(name, "B-c1") for name in ("A-c1", "W-c1")]
        bench.traffic.send(streams, 50, 200)
        assert bench.traffic.settle()
        for stream in streams:
            assert bench.traffic.delivery(stream, "B-c1").is_exact
