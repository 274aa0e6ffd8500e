"""Hostile input to a running daemon; a well-behaved neighbour watches that it notices nothing."""

import collections
import itertools
import random
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fakes import (
    BROADCAST,
    CONTROL,
    GOSSIP,
    HIGH,
    Fakes,
    define_slice,
    encode_gossip,
    encode_topology,
    entry,
    line,
)

from weave_ryu.lab import topology

ROUTER = "10.99.0.1"
RSS_GROWTH_KIB = 96 << 10
STATUS_WITHIN_S = 2.0


class Daemon:
    """What is measured of the daemon under attack."""

    def __init__(self, lab):
        self.lab = lab
        self.peer = lab.peer("W")
        self.slowest_s = 0.0
        self.log_from = 0

    def status(self):
        started = time.monotonic()
        assert self.peer.http("GET", "/status", timeout_s=5.0).status == 200
        self.slowest_s = max(self.slowest_s, time.monotonic() - started)
        return True

    def rss_kib(self, key="VmRSS"):
        text = Path(f"/proc/{self.peer.daemon.process.pid}/status").read_text()
        return int(re.search(rf"{key}:\s+(\d+)", text)[1])

    def failed(self):
        """Connections that were never established, by reason; as the metrics have them."""
        found = collections.Counter()
        for code, number in re.findall(
            r'mesh_failed_connections_total\{reason="([^"]+)"\} (\d+)',
            self.peer.http("GET", "/metrics").body,
        ):
            found[code] = int(number)
        return found

    def log(self):
        """Of this test."""
        written = self.peer.daemon.log.read_bytes()[self.log_from :]
        return re.sub(r"\x1b\[[0-9;]*m", "", written.decode())


@pytest.fixture(scope="module")
def daemon(build_lab):
    return Daemon(build_lab(topology=topology.build(["W"])))


@pytest.fixture(scope="module")
def fakes(daemon):
    places = Fakes(daemon.lab)
    yield places
    places.close()


@pytest.fixture(scope="module")
def good(fakes, eventually):
    """Two established neighbours that go on talking through the daemon."""
    sessions = []
    for number in (101, 102):
        fake = fakes.peer(number)
        session = fake.connect(ROUTER)
        fake.tell(session)
        sessions.append(session)
    for session in sessions:
        eventually(lambda session=session: session.is_acknowledged and session.datagrams)
    return sessions


@pytest.fixture(autouse=True)
def nobody_notices(daemon, good, eventually):
    """After each attack: alive, quick, small, and the others' gossip still crosses."""
    pid, before = daemon.peer.daemon.process.pid, daemon.rss_kib()
    daemon.slowest_s, daemon.log_from = 0.0, daemon.peer.daemon.log.stat().st_size
    yield
    daemon.status()
    print(f"status in {daemon.slowest_s:.3f} s at the most, {daemon.rss_kib() - before:+} KiB")
    assert daemon.peer.daemon.process.pid == pid
    assert daemon.peer.daemon.is_alive
    assert daemon.slowest_s < STATUS_WITHIN_S
    assert daemon.rss_kib() - before < RSS_GROWTH_KIB
    assert "Traceback" not in daemon.log()
    one, two = good
    token = random.randbytes(12)
    one.gossip("IPallocation", token, BROADCAST)
    eventually(lambda: any(token in m.body for m in two.of_tag(BROADCAST)), what="still relayed")
    assert not one.ended
    assert not two.ended


_numbers = itertools.count(1)


@pytest.fixture
def attackers(fakes):
    """Makes peers that speak TCP only; they end with the test."""
    made = []

    def make(**settings):
        # A name of its own each time: a namesake of the last one could still be a neighbour.
        settings.setdefault("name", HIGH + (next(_numbers) << 8) + 154)
        made.append(fakes.peer(103, overlay=False, **settings))
        return made[-1]

    yield make
    for fake in made:
        fake.close()


@pytest.fixture
def attack(attackers):
    """A neighbour that has shaken hands."""
    return attackers().connect(ROUTER)


def test_random_bytes_are_refused(daemon, attackers, eventually):
    fake = attackers()
    rng = random.Random(6783)
    before = daemon.failed()
    for start in [b"", b"weave\1\2", b"weave\1\2\0", b"weave\1\2\1"] * 6:
        sock = fake.dial(ROUTER)
        sock.sendall(start + rng.randbytes(rng.choice([1, 60, 3000])))
        daemon.status()
    eventually(lambda: sum(daemon.failed().values()) >= sum(before.values()) + 12)


@pytest.mark.parametrize("start", [b"weave\2\2", b"weave\1\2\0", b"weave\3\4", b"HELO"])
def test_announced_lengths_and_versions_are_refused_at_once(start, daemon, attackers, eventually):
    fake = attackers()
    sock = fake.dial(ROUTER)
    sock.sendall(start + b"\0" * (start == b"weave\2\2") + b"\xff" * 4)
    sock.settimeout(5)

    def is_reset():
        try:
            return sock.recv(4096) == b""
        except ConnectionResetError:
            return True

    eventually(is_reset)


def test_message_of_four_gibibytes_ends_the_connection_without_room_for_it(
    daemon, attack, eventually
):
    before = daemon.failed()["message-too-long"]
    attack.send_raw(b"\xff\xff\xff\xff" + bytes(1000))
    eventually(lambda: attack.ended)
    eventually(lambda: daemon.failed()["message-too-long"] > before)


def test_messages_that_never_end_hold_little(daemon, attackers):
    sessions = []
    for number in range(4):
        fake = attackers(name=HIGH + 700 + number, short_id=2000 + number)
        sessions.append(fake.connect(ROUTER))
        sessions[-1].send_raw((10 << 20).to_bytes(4, "big"))
    for _ in range(16):
        for session in sessions:
            session.send_raw(bytes(256 << 10))
        daemon.status()


def test_half_a_handshake_and_silence_block_nobody(daemon, fakes, attackers, eventually):
    """200 connections that say nothing; the accept limiter lets 20 a second in."""
    fake = attackers()
    with ThreadPoolExecutor(20) as pool:
        silent = list(pool.map(lambda _: fake.dial(ROUTER), range(200)))
    for sock in silent[::2]:
        sock.sendall(b"weave\1\2\0\0\0")
    newcomer = fakes.peer(104)
    session = newcomer.connect(ROUTER)
    newcomer.tell(session)
    eventually(lambda: daemon.status() and session.is_acknowledged, timeout_s=15.0)
    connections = daemon.peer.http("GET", "/report").body["Router"]["Connections"]
    assert len(connections) < 75


@pytest.mark.parametrize(
    "body", [b"", b"\0", b"\1\0", b"\xff\0"], ids=["empty", "one byte", "index 1", "index 255"]
)
def test_overlay_control_that_kills_a_weave_router_ends_only_the_connection(
    body, daemon, attack, eventually
):
    reason = "short-control" if len(body) < 2 else "bad-overlay-index"
    before = daemon.failed()[reason]
    attack.send(CONTROL, body)
    eventually(lambda: attack.ended)
    eventually(lambda: daemon.failed()[reason] > before)


@pytest.mark.parametrize("tag", [1, 2, 3, 8, 255])
def test_tags_of_others_are_ignored_as_weave_ignores_them(tag, attack, eventually):
    attack.send(tag)
    attack.send_raw(bytes(4))
    attack.send(CONTROL, b"\0\x07unknown sub-tag")
    attack.peer.tell(attack)
    eventually(lambda: attack.latest(attack.router_name))
    assert not attack.ended


def test_ten_thousand_peers_in_one_update_end_the_connection(daemon, attack, eventually):
    names = range(HIGH + 1000, HIGH + 11000)
    crowd = [entry(name, 1, 1, name & 0xFFF, [line(attack.peer.name)]) for name in names]
    attack.gossip("topology", encode_topology(crowd))
    eventually(lambda: daemon.status() and attack.ended)
    assert daemon.failed()["too-many-peers"] == 1
    assert len(daemon.peer.http("GET", "/report").body["Router"]["Peers"]) < 20


@pytest.mark.parametrize(
    "payload",
    [
        b"".join(define_slice(1000 + n, 1001 + n) for n in range(20_000)),
        b"\xf8" + b"\xff" * 8,
        b"\x05\xff\x82\x01\x02\x03",
        random.Random(1).randbytes(1 << 20),
    ],
    ids=["endless definitions", "huge length", "bad definition", "noise"],
)
def test_broken_topology_ends_the_connection(payload, daemon, attack, eventually):
    before = daemon.failed()["bad-gob"]
    attack.gossip("topology", payload)
    eventually(lambda: daemon.status() and attack.ended)
    eventually(lambda: daemon.failed()["bad-gob"] > before)


def test_flood_of_channels_and_gossip_stays_bounded(daemon, attack, eventually):
    for number in range(2000):
        attack.gossip(f"channel{number}", random.randbytes(2000))
    attack.gossip("topology", b"", GOSSIP)
    attack.send(BROADCAST, encode_gossip("x", attack.peer.name, payload=bytes(9 << 20)))
    attack.peer.tell(attack)
    version = attack.peer.version

    def is_read():
        daemon.status()
        peers = daemon.peer.http("GET", "/report").body["Router"]["Peers"]
        return any(p["NickName"] == "fake154" and p["Version"] == version for p in peers)

    eventually(is_read, timeout_s=10.0)


def test_neighbours_have_had_their_heartbeats_all_along(daemon, good, eventually):
    """Last of this module: every 10 s from the ack on, whatever went on meanwhile."""
    one, _ = good
    eventually(lambda: len(one.datagrams) > 1, timeout_s=12.0)
    times = [datagram.at for datagram in one.datagrams]
    assert max(b - a for a, b in itertools.pairwise([*times, time.monotonic()])) < 11.0
    daemon.log_from = 0
    not_reached = [text for text in daemon.log().splitlines() if "peer_not_reached" in text]
    assert not [text for text in not_reached for session in good if session.peer.ip in text]
