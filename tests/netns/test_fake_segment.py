"""Scripted Weave routers, which know of no gateways, beside two of them that share a segment.

They see the segment as a peer, send to it, learn at it, and follow it: by what any router does with
the topology, and by nothing else.
"""

import contextlib
import signal
import threading
import time

import pytest
from fakes import FakeRouter, Fakes
from testbed import ETHERTYPE, Wire

from weave_ryu.lab import topology
from weave_ryu.names import PeerName

SHAPE = """
peers = ["A", "B"]
containers = {A-c1 = "A", B-c1 = "B"}
[segments.vlan]
gateways = ["A", "B"]
hosts = ["Host1", "Host2"]
"""
NEAR, FAR = 101, 102
"""The near router is connected to both gateways, the far one to A alone."""
BROADCAST = b"\xff" * 6
DEAD_S = 2.5
TOLD_S = 1.5
"""Until topology has reached everybody."""


def container_mac(number):
    return bytes((2, 0xFA, 0xCE, 0, 0, number))


@pytest.fixture(scope="module")
def lab(build_lab, tmp_path_factory):
    path = tmp_path_factory.mktemp("segment") / "shape.toml"
    path.write_text(SHAPE)
    return build_lab(topology=topology.load(path), roles={"A": "active", "B": "standby"})


@pytest.fixture(scope="module")
def places(lab):
    fakes = Fakes(lab)
    yield fakes
    fakes.close()


@pytest.fixture
def set_role(lab):
    def put(name, role, **more):
        peer = lab.peer(name)
        path = f"/gateways/{peer.gateway_port}"
        reply = peer.http("PUT", path, {"role": role, **more}, timeout_s=10.0)
        assert reply.status == 200, reply

    return put


@pytest.fixture
def near(lab, places, set_role, eventually):
    """A router that all know, A active."""
    set_role("B", "standby")
    set_role("A", "active")
    router = places.peer(NEAR, kind=FakeRouter)
    for name in "AB":
        router.join(lab.peer(name).spec.underlay_ip)
    eventually(lambda: home_of(router) == "A" and neighbours(router) == {"A", "B"})
    yield router
    places.close_peers()


@pytest.fixture
def far(lab, near, places, eventually):
    router = places.peer(FAR, kind=FakeRouter)
    router.join(lab.peer("A").spec.underlay_ip)
    eventually(lambda: home_of(router) == "A" and neighbours(router) == {"A"})
    eventually(lambda: near.first_hop(router.name) and router.first_hop(near.name))
    return router


@pytest.fixture
def host(lab):
    wire = Wire(lab.station("Host1"))
    yield wire
    wire.socket.close()


@pytest.fixture
def bare(lab):
    """Sockets at all stations, by name."""
    opened = {name: Wire(lab.station(name)) for name in ("A-c1", "B-c1", "Host1", "Host2")}
    yield opened
    for wire in opened.values():
        wire.socket.close()


def neighbours(router):
    """Nick names of the peers that frames go to without a relay."""
    with router.changing:
        near = [name for name in router.table if router.first_hop(name) == name]
        return {router.table[name]["NickName"] for name in near}


def home_of(router):
    """Nick name of the gateway that the segment is behind, with a way to it; None: no segment."""
    found = router.by_nick_name("vlan")
    if found is None or router.first_hop(found[0]) is None:
        return None
    (gateway,) = found[1]["Connections"]
    return router.table[gateway]["NickName"]


def raw(mac):
    return bytes.fromhex(mac.replace(":", ""))


class Frames:
    """What a router's container sends to one place, and hears."""

    def __init__(self, router, number=1):
        self.router, self.mac, self.count = router, container_mac(number), 0

    def send(self, destination):
        """Returns the mark of the frame."""
        self.count += 1
        mark = self.mac[5:] + self.count.to_bytes(5, "big")
        self.router.capture(destination + self.mac + ETHERTYPE + mark + bytes(40))
        return mark

    def sent(self, mark):
        """Copies of a frame in the mesh."""
        return [s for s in list(self.router.sent) if s.frame[14:20] == mark]

    def heard(self, mark):
        """Copies that came for the container."""
        return [one for one in list(self.router.local) if one.frame[14:20] == mark]


def most_copies(router):
    """Of one frame of a test that came for the router's container."""
    marks = [one.frame[14:20] for one in router.local if one.frame[12:14] == ETHERTYPE]
    return max(marks.count(mark) for mark in marks)


def teach(router, host, eventually):
    """The host speaks once; returns the segment's name."""
    mark = host.send("ff:ff:ff:ff:ff:ff")
    segment, _ = router.by_nick_name("vlan")
    (came,) = eventually(lambda: Frames(router).heard(mark), what="the host's broadcast")
    assert came.source == segment
    assert router.macs[raw(host.mac)] == segment
    return segment


def arrives_once(frames, destination, wire, eventually):
    """Send a frame to a MAC; it comes once. Returns how it was sent."""
    mark = frames.send(destination)
    (sent,) = frames.sent(mark)
    came = []
    eventually(lambda: came.extend(wire.copies()) or mark in came, what="the frame at the host")
    time.sleep(0.1)
    assert (came + wire.copies()).count(mark) == 1
    return sent


def test_segment_is_a_peer_behind_the_gateway_that_forwards(lab, near, far):
    for router in (near, far):
        name, entry = router.by_nick_name("vlan")
        ((gateway, edge),) = entry["Connections"].items()
        mirror = router.table[gateway]["Connections"][name]
        assert router.table[gateway]["NickName"] == "A"
        for told in (edge, mirror):
            assert told == {"Outbound": False, "Established": True, "RemoteTCPAddr": ""}
        assert entry["ShortID"] is not None
        assert name >> 40 & 0b11 == 0b10, "a locally administered name of one"
        assert router.first_hop(name) == gateway
        other = router.by_nick_name("B")[1]
        assert name not in other["Connections"]


def test_nobody_dials_a_segment(lab, near, far):
    time.sleep(TOLD_S)
    addresses = {f"{lab.peer(x).spec.underlay_ip}:6783" for x in "AB"}
    addresses |= {f"{router.ip}:6783" for router in (near, far)}
    assert near.targets() | far.targets() <= addresses
    known = {address.rpartition(":")[0] for address in addresses}
    for name in "AB":
        links = lab.peer(name).http("GET", "/report").body["Router"]["Connections"]
        assert {link["Address"].rpartition(":")[0] for link in links} <= known


def test_frames_go_to_the_segment_and_its_hosts_are_learnt_there(lab, near, host, eventually):
    segment = teach(near, host, eventually)
    sent = arrives_once(Frames(near), raw(host.mac), host, eventually)
    assert sent.to == lab.peer("A").spec.underlay_ip
    assert sent.vni == near.table[segment]["ShortID"] << 12 | near.short_id


def test_broadcasts_cross_once_and_never_come_back(near, far, bare, eventually):
    frames = Frames(near)
    for source in ("Host1", "A-c1", "B-c1"):
        mark = bare[source].send("ff:ff:ff:ff:ff:ff")
        for router in (near, far):
            eventually(lambda r=router, m=mark: Frames(r).heard(m), what=f"{source} at {router.ip}")
    mark = frames.send(BROADCAST)
    for wire in bare.values():
        eventually(lambda w=wire, m=mark: m in w.came())
    eventually(lambda: Frames(far).heard(mark))
    time.sleep(0.3)
    assert most_copies(near) == most_copies(far) == 1
    assert not frames.heard(mark)


@contextlib.contextmanager
def steady(frames, destination, gap_s=0.005):
    """200 frames/s while the block lasts, and a rest after it; their marks."""
    marks, ended = [], threading.Event()

    def work():
        while not ended.wait(gap_s):
            marks.append(frames.send(destination))

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.3)
    try:
        yield marks
    finally:
        time.sleep(0.3)
        ended.set()
        thread.join()
        time.sleep(0.3)


def test_new_version_of_the_segment_alone_moves_its_frames(lab, near, host, set_role, eventually):
    """A planned change: no frame is lost, none is doubled, nothing is learnt anew."""
    segment = teach(near, host, eventually)
    frames = Frames(near)
    arrives_once(frames, raw(host.mac), host, eventually)
    before, macs, count = near.table[segment], dict(near.macs), len(near.learnt)
    with steady(frames, raw(host.mac)) as marks:
        set_role("B", "active")
        eventually(lambda: home_of(near) == "B", TOLD_S)
    after = near.table[segment]
    assert after["Version"] > before["Version"]
    assert (after["UID"], after["ShortID"]) == (before["UID"], before["ShortID"])
    sent = [one for mark in marks for one in frames.sent(mark)]
    a, b = (lab.peer(name).spec.underlay_ip for name in "AB")
    to = [one.to for one in sent]
    assert set(to) == {a, b}
    assert to == sorted(to, key=[a, b].index), "first all to A, then all to B"
    assert {one.vni for one in sent} == {before["ShortID"] << 12 | near.short_id}
    asks = PeerName(segment).to_bytes6()  # the segment itself, for members of multicast groups
    assert {mac: of for mac, of in near.macs.items() if mac != asks} == macs
    assert [mac for _, mac, _ in near.learnt[count:] if mac != asks] == []
    assert sorted(host.copies()) == sorted(marks)


def test_frames_of_one_that_has_only_the_old_gateway_are_relayed(
    far, host, set_role, lab, eventually
):
    segment = teach(far, host, eventually)
    set_role("B", "active")
    eventually(lambda: home_of(far) == "B", TOLD_S)
    sent = arrives_once(Frames(far), raw(host.mac), host, eventually)
    assert sent.to == lab.peer("A").spec.underlay_ip
    assert sent.vni == far.table[segment]["ShortID"] << 12 | far.short_id
    mark = host.send("ff:ff:ff:ff:ff:ff")
    (came,) = eventually(lambda: Frames(far).heard(mark), what="over B and A")
    assert (came.source, came.by) == (segment, lab.peer("A").spec.underlay_ip)


def test_gateway_that_dies_takes_no_mac_of_a_host_away(lab, near, host, eventually):
    segment = teach(near, host, eventually)
    frames, dead, alive = Frames(near), lab.peer("A"), lab.peer("B")
    # Whoever was made active by hand stays it until somebody else is made it by hand: auto.
    for peer in (alive, dead):
        path = f"/gateways/{peer.gateway_port}"
        assert peer.http("PUT", path, {"role": "auto"}, timeout_s=10.0).status == 200
    eventually(lambda: alive.gateway_state().get("ready"), what="B is ready")
    assert home_of(near) == "A"
    try:
        with steady(frames, raw(host.mac)) as marks:
            lab.set_underlay_link(dead, is_up=False)
            lab.set_segment_link(dead, is_up=False)
            dead.kill_vswitchd()
            dead.kill_daemon(signal.SIGKILL)
            eventually(lambda: home_of(near) == "B", DEAD_S)
        assert near.macs[raw(host.mac)] == segment
        came = host.copies()
        assert came[-1] == marks[-1]
        assert len(came) == len(set(came))
    finally:
        lab.set_underlay_link(dead, is_up=True)
        lab.set_segment_link(dead, is_up=True)
        dead.restart_vswitchd()
        dead.start_daemon("active")
    lab.wait_ready(30.0, print, check_roles=False)


def test_segment_is_dropped_with_its_macs_when_nobody_forwards(
    lab, near, far, host, set_role, eventually
):
    for router in (near, far):
        teach(router, host, eventually)
    set_role("A", "standby")
    for router in (near, far):
        eventually(lambda r=router: r.by_nick_name("vlan") is None, 3.0, "collected")
        assert raw(host.mac) not in router.macs
    frames = Frames(near)
    host.came()
    mark = frames.send(raw(host.mac))
    eventually(lambda: Frames(far).heard(mark), what="it is unknown: it goes to all")
    time.sleep(0.3)
    assert mark not in host.came()

    set_role("B", "active")
    eventually(lambda: home_of(near) == home_of(far) == "B", 3.0)
    teach(near, host, eventually)
    sent = arrives_once(frames, raw(host.mac), host, eventually)
    assert sent.to == lab.peer("B").spec.underlay_ip


def test_two_claims_are_one_to_all_and_no_container_is_taken_from_its_router(
    near, far, bare, set_role, eventually
):
    """Both gateways forced: what A puts onto the segment, B hears there."""
    for name in "AB":
        set_role(name, "active", force=True)
    time.sleep(TOLD_S)
    assert home_of(near) == home_of(far) in ("A", "B")
    routers = {near: Frames(near, 1), far: Frames(far, 2)}
    sent = {router: [] for router in routers}
    for _ in range(40):
        for router, frames in routers.items():
            sent[router].append(frames.send(BROADCAST))
        bare["Host1"].send("ff:ff:ff:ff:ff:ff")
        time.sleep(0.02)
    time.sleep(0.5)
    segment, _ = near.by_nick_name("vlan")
    for router, frames in routers.items():
        assert router.macs[frames.mac] == router.name
        assert not any(frames.heard(mark) for mark in sent[router]), "none comes back"
        for other, theirs in routers.items():
            assert router.macs[theirs.mac] == other.name
        assert router.macs[raw(bare["Host1"].mac)] == segment
        assert most_copies(router) <= 2


def test_segment_yields_its_short_id_to_a_peer_of_a_lower_name(lab, near, places, host, eventually):
    segment = teach(near, host, eventually)
    taken = near.table[segment]["ShortID"]
    other = places.peer(103, name=1, short_id=taken, kind=FakeRouter)
    other.join(lab.peer("A").spec.underlay_ip)
    eventually(lambda: near.table[segment]["ShortID"] != taken, 3.0, "another short id")
    eventually(lambda: home_of(other) == "A", 3.0)
    teach(other, host, eventually)
    for number, router in enumerate((near, other), 1):
        sent = arrives_once(Frames(router, number), raw(host.mac), host, eventually)
        assert sent.vni >> 12 == near.table[segment]["ShortID"]
