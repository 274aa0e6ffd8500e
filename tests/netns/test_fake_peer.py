"""A daemon on real Open vSwitch against peers that were written from the protocol document."""

import contextlib
import re
import time

import pytest
from fakes import (
    BROADCAST,
    CONTROL,
    FASTDP_ACK,
    GOSSIP,
    HIGH,
    LOW,
    UNICAST,
    Fakes,
    RefusedError,
    encode_gossip,
    encode_topology,
    entry,
    heartbeat_frame,
    line,
    name_text,
    post_peer,
)

from weave_ryu.lab import topology

ROUTER = "10.99.0.1"
ROUTER_NAME = 0x7A0000000001


@pytest.fixture(scope="module")
def lab(build_lab):
    return build_lab(topology=topology.build(["W"]))


@pytest.fixture(scope="module")
def places(lab):
    fakes = Fakes(lab)
    yield fakes
    fakes.close()


@pytest.fixture
def fakes(places, report, eventually):
    """Fake peers that end with the test; the router has forgotten them by then."""
    yield places
    places.close_peers()
    eventually(lambda: list(peers_of(report())) == [ROUTER_NAME], what="the router is alone again")


@pytest.fixture
def report(lab):
    return lambda: lab.peer("W").http("GET", "/report").body


@pytest.fixture
def log(lab):
    """What the daemon has logged since the test began."""
    path = lab.peer("W").daemon.log
    start = path.stat().st_size
    return lambda: re.sub(r"\x1b\[[0-9;]*m", "", path.read_bytes()[start:].decode())


@pytest.fixture
def established(eventually, report):
    """Connects a fake peer and waits until both sides have acknowledged a heartbeat."""

    def connect(fake, **settings):
        session = fake.connect(ROUTER, **settings)
        fake.tell(session)
        eventually(lambda: session.is_acknowledged, what=f"the ack for {fake.name:x}")
        eventually(lambda: session.of_tag(CONTROL) and states(report())[fake.ip] == "established")
        return session

    return connect


def is_established(session):
    """Both have acknowledged, and the router has told so: that takes it a second."""
    lines = session.latest(session.router_name).get("Connections", {})
    mine = lines.get(session.peer.name, {})
    return session.is_acknowledged and session.datagrams and mine.get("Established")


def peers_of(report):
    return {int(peer["Name"].replace(":", ""), 16): peer for peer in report["Router"]["Peers"]}


def states(report):
    return {
        entry["Address"].split(":")[0]: entry["State"] for entry in report["Router"]["Connections"]
    }


def own_short_id(report):
    return peers_of(report())[ROUTER_NAME]["ShortID"]


# Handshake and overlay.


def test_handshake_says_what_weave_says(fakes):
    session = fakes.peer(101).connect(ROUTER)
    assert session.header[:5] == b"weave"
    assert session.header[5] <= 2 <= session.header[6]
    assert session.flag == b"\0"
    assert session.router["PeerNameFlavour"] == "mac"
    assert session.router["Name"] == name_text(ROUTER_NAME)
    assert session.router["NickName"] == "W"
    assert session.router["Overlays"] == "fastdp"
    assert session.router["Trusted"] == "false"
    assert 0 < int(session.router["UID"]) < 1 << 64
    assert 0 <= int(session.router["ShortID"]) < 4096


def test_heartbeat_arrives_full_size_with_df_and_the_right_network_identifier(
    fakes, established, report
):
    fake = fakes.peer(101, short_id=0xABC)
    session = established(fake)
    first = session.datagrams[0]
    assert first.source == ROUTER
    assert first.dont_fragment
    assert (first.ttl, first.tos, first.flags) == (64, 0, 0x08000000)
    assert first.vni == fake.short_id << 12 | own_short_id(report)
    assert len(first.frame) == 1390
    assert first.frame == heartbeat_frame(session.uid)
    assert states(report())[fake.ip] == "established"
    (link,) = report()["Router"]["Connections"]
    assert link["Info"] == f"unencrypted fastdp {name_text(fake.name)}(fake101) mtu=1376"


def test_acks_cross_once_and_heartbeats_slow_down_after_them(fakes, established, eventually):
    fake = fakes.peer(101)
    session = established(fake)
    acked_at = session.of_tag(CONTROL)[0].at
    eventually(lambda: time.monotonic() > acked_at + 1.6, what="time for three more")
    assert [message.body for message in session.of_tag(CONTROL)] == [FASTDP_ACK]
    later = [datagram for datagram in session.datagrams if datagram.at > acked_at + 0.6]
    assert later == []


def test_connection_is_not_established_before_the_ack(fakes, report, eventually):
    fake = fakes.peer(101, beats=False)
    session = fake.connect(ROUTER)
    fake.tell(session)
    eventually(lambda: len(fake.stray) + len(session.datagrams) >= 3, what="unanswered heartbeats")
    gaps = [b.at - a.at for a, b in zip(session.datagrams, session.datagrams[1:], strict=False)]
    assert all(0.3 < gap < 0.9 for gap in gaps)
    assert states(report())[fake.ip] == "pending"
    (link,) = report()["Router"]["Connections"]
    assert "full-size frames must pass on UDP 6784" in link["Info"]
    session.send(CONTROL, FASTDP_ACK)
    eventually(lambda: states(report())[fake.ip] == "established")


def info_of(report, fake):
    (link,) = [e for e in report()["Router"]["Connections"] if e["Address"].startswith(fake.ip)]
    return link["Info"]


def test_side_behind_a_nat_that_forwards_nothing_says_what_must_be_forwarded(
    fakes, report, eventually
):
    """Ours arrive, for the NAT translates them; what the other side sends ends at the NAT."""
    fake = fakes.peer(101, beats=False)
    session = fake.connect(ROUTER)
    session.send(CONTROL, FASTDP_ACK)
    fake.version += 1
    seen = line(session.router_name, "203.0.113.9:40000", established=False)
    session.gossip("topology", encode_topology([fake.entry(seen)]))
    hint = f"NAT: the other side sees us as 203.0.113.9, which must forward UDP 6784 to {ROUTER}"
    eventually(lambda: hint in info_of(report, fake))
    assert "no heartbeat heard yet, the other side does not hear us" in info_of(report, fake)
    assert states(report())[fake.ip] == "pending"


def test_side_outside_of_a_nat_says_that_ours_do_not_arrive(fakes, report, eventually):
    fake = fakes.peer(101, beats=False)
    session = fake.connect(ROUTER)
    fake.tell(session)
    eventually(lambda: session.datagrams, what="the flow that lets heartbeats in is there")
    eventually(lambda: fake.beat(session) or session.of_tag(CONTROL))
    hint = f"if {fake.ip} is a NAT's address, that must forward UDP 6784 to the other side"
    eventually(lambda: hint in info_of(report, fake))
    assert "no heartbeat acknowledged yet" in info_of(report, fake)
    assert states(report())[fake.ip] == "pending"


def test_wrong_heartbeats_are_not_acknowledged(fakes, eventually):
    fake = fakes.peer(101, beats=False)
    session = fake.connect(ROUTER)
    router = int(session.router["ShortID"])
    eventually(lambda: session.datagrams, what="the flow that lets heartbeats in is there")
    fake.beat(session, uid=session.uid ^ 1)
    fake.beat(session, to=router ^ 1)
    short = heartbeat_frame(session.uid)[:-1]
    fake.send_frame(session, short, router, fake.short_id)
    fake.send_frame(session, heartbeat_frame(session.uid), router, fake.short_id ^ 1)
    beaten = len(session.datagrams)
    eventually(lambda: len(session.datagrams) > beaten + 1)
    assert not session.of_tag(CONTROL)
    eventually(lambda: fake.beat(session) or session.of_tag(CONTROL))


def test_router_dials_when_told_and_uses_the_other_polarity(lab, fakes, report, eventually):
    fake = fakes.peer(102)
    fake.listen()
    post_peer(lab, "W", "connect", fake.ip)
    try:
        eventually(lambda: fake.sessions, what="the router has dialled")
        fake.tell(fake.sessions[0])
        eventually(lambda: states(report()).get(fake.ip) == "established")
        lines = peers_of(report())[ROUTER_NAME]["Connections"]
        assert [(entry["Outbound"], entry["Address"]) for entry in lines] == [
            (True, f"{fake.ip}:6783")
        ]
    finally:
        post_peer(lab, "W", "forget", fake.ip)


# Topology.


def test_complete_topology_comes_at_once_and_changes_after_a_second(fakes, eventually):
    fake = fakes.peer(101)
    session = fake.connect(ROUTER)
    connected_at = time.monotonic()
    eventually(session.topologies, what="the complete topology")
    assert set(session.topologies()[0]) == {ROUTER_NAME, fake.name}
    assert session.of_tag(GOSSIP)[0].at - connected_at < 0.5
    eventually(lambda: is_established(session))
    # An update may be empty: those whom it was about have been collected before it was written.
    versions = [told[ROUTER_NAME]["Version"] for told in session.topologies() if told]
    assert versions == sorted(versions)
    assert versions[-1] >= versions[0] + 1


def test_what_a_neighbour_tells_is_believed_passed_on_and_collected(
    fakes, established, report, eventually
):
    teller, hearer = fakes.peer(101), fakes.peer(102)
    one, two = established(teller), established(hearer)
    behind = HIGH + 50
    told = entry(behind, 77, 5, 3000, [line(teller.name)])
    teller.version += 1
    lines = [line(ROUTER_NAME), line(behind)]
    one.gossip("topology", encode_topology([teller.entry(*lines), told]))
    eventually(lambda: two.latest(behind), what="passed on to the other neighbour")
    assert two.latest(behind)["UID"] == 77
    assert two.latest(behind)["ShortID"] == 3000
    assert peers_of(report())[behind]["Version"] == 5
    teller.tell(one)
    eventually(lambda: behind not in peers_of(report()), what="collected when nothing leads there")


def test_topology_is_also_taken_as_a_broadcast_as_old_routers_send_it(
    fakes, established, report, eventually
):
    fake = fakes.peer(101)
    session = established(fake)
    fake.tell(session, tag=BROADCAST)
    eventually(lambda: peers_of(report())[fake.name]["Version"] == fake.version)


# Who is who.


def test_restart_with_another_uid_and_short_id_heals(fakes, established, report, eventually):
    fake, witness = fakes.peer(101, short_id=501), fakes.peer(102)
    session, other = established(fake), established(witness)
    fake.version += 1
    both = [line(ROUTER_NAME), line(witness.name)]
    session.gossip("topology", encode_topology([fake.entry(*both)]))
    witness.version += 1
    lines = [line(ROUTER_NAME), line(fake.name)]
    other.gossip("topology", encode_topology([witness.entry(*lines)]))
    eventually(lambda: peers_of(report())[witness.name]["Version"] == witness.version)
    old_uid, old_short_id = fake.uid, fake.short_id
    session.close()
    eventually(lambda: fake.ip not in states(report()))
    assert peers_of(report())[fake.name]["UID"] == old_uid, "the witness still knows it"

    fake.uid, fake.short_id, fake.version = fake.uid + 7, 502, 0
    again = fake.connect(ROUTER)
    old = eventually(lambda: again.latest(fake.name), what="it is told of its old life")
    assert (old["UID"], old["ShortID"]) == (old_uid, old_short_id)
    fake.version = old["Version"]
    fake.tell(again)
    eventually(lambda: is_established(again), what="established with the new short id")
    entry_now = peers_of(report())[fake.name]
    assert (entry_now["UID"], entry_now["ShortID"]) == (fake.uid, fake.short_id)
    assert again.datagrams[-1].vni >> 12 == fake.short_id != old_short_id


def test_short_id_is_given_up_for_a_peer_with_a_lower_name(
    lab, fakes, established, report, eventually
):
    taken = own_short_id(report)
    version = peers_of(report())[ROUTER_NAME]["Version"]
    fake = fakes.peer(101, name=LOW, short_id=taken)
    session = established(fake)
    told = eventually(lambda: session.latest(ROUTER_NAME))
    assert told["ShortID"] not in (taken, None)
    assert told["Version"] > version
    assert session.datagrams[-1].vni == taken << 12 | told["ShortID"]
    vsctl = lab.peer("W").switch.vsctl

    def kept():
        text = vsctl("get", "Bridge", "weave", "external_ids:weave-ryu-short-id")
        return text.strip().strip('"') == str(told["ShortID"])

    eventually(kept, what="the new short id is kept for the next start")


def test_short_id_is_kept_against_a_peer_with_a_higher_name(fakes, established, report, eventually):
    mine = own_short_id(report)
    fake = fakes.peer(101, short_id=mine)
    session = fake.connect(ROUTER)
    eventually(session.topologies)
    assert own_short_id(report) == mine
    assert fake.short_id != mine, "as the higher name it has taken another"
    fake.tell(session)
    eventually(lambda: is_established(session), what="established once it has an id of its own")


def test_peer_with_our_name_is_refused_and_named_in_the_log(fakes, log, report, eventually):
    fake = fakes.peer(101, name=ROUTER_NAME)
    session = fake.connect(ROUTER)
    assert session.router["UID"] != str(fake.uid), "it is told whose name it has before the end"
    eventually(lambda: "reset" in session.ended, what="a RST")
    eventually(lambda: "name-taken" in log())
    assert list(peers_of(report())) == [ROUTER_NAME]


def test_peer_with_a_password_is_refused_by_a_router_without(fakes, log, eventually):
    with pytest.raises(RefusedError):
        fakes.peer(101, password=b"secret", trusted=True).connect(ROUTER)
    eventually(lambda: "password-unexpected" in log())


def test_of_two_peers_with_one_name_the_one_that_lives_stays(fakes, established, log, eventually):
    first, namesake = fakes.peer(101, name=HIGH), fakes.peer(102, name=HIGH)
    session = established(first, uid=1000)
    for uid in (1001, 999):
        refused = namesake.connect(ROUTER, uid=uid)
        eventually(lambda: "reset" in refused.ended)  # noqa: B023
        (told,) = refused.of_tag(UNICAST)
        assert first.ip.encode() in told.body
        assert namesake.ip.encode() in told.body
    assert not session.ended
    eventually(lambda: session.of_tag(UNICAST), what="the one that stays is told, too")
    eventually(lambda: "name-taken" in log())
    first.close()
    winner = fakes.peer(103, name=HIGH).connect(ROUTER, uid=5)
    eventually(lambda: "reset" in winner.ended, what="kept for a minute, if another one wants it")


def test_duplicate_connection_is_decided_by_its_uid_whoever_came_first(
    fakes, established, report, eventually
):
    fake = fakes.peer(101)
    old = established(fake, uid=5000)
    higher = fake.connect(ROUTER, uid=6000)
    eventually(lambda: "reset" in higher.ended)
    assert not old.ended
    lower = fake.connect(ROUTER, uid=4000)
    eventually(lambda: "reset" in old.ended)
    fake.tell(lower)
    eventually(lambda: is_established(lower))
    twin = fake.connect(ROUTER, uid=4000)
    eventually(lambda: "reset" in twin.ended and "reset" in lower.ended, what="equal: both end")


# Gossip of others.


@pytest.mark.parametrize("channel", ["IPallocation", "nameserver"])
def test_foreign_gossip_crosses_byte_for_byte(channel, fakes, established, eventually):
    source, target = fakes.peer(101), fakes.peer(102)
    one, two = established(source), established(target)
    payload = bytes(range(256)) * 300 + channel.encode()

    def arrived(tag):
        return [m for m in two.of_tag(tag) if m.body.find(payload[-300:]) >= 0]

    one.gossip(channel, payload)
    (told,) = eventually(lambda: arrived(GOSSIP), what="tag 4")
    assert told.gossip == (channel, ROUTER_NAME, payload)

    body = encode_gossip(channel, source.name, target.name, payload=payload)
    one.send(UNICAST, body)
    (told,) = eventually(lambda: arrived(UNICAST), what="tag 5")
    assert told.body == body

    one.gossip(channel, payload, BROADCAST)
    (told,) = eventually(lambda: arrived(BROADCAST), what="tag 6")
    assert told.gossip == (channel, source.name, payload)

    # The same neighbour gossip again, and something after it: only the latter comes.
    one.gossip(channel, payload)
    one.gossip(channel, b"last")
    eventually(lambda: [m for m in two.of_tag(GOSSIP) if m.gossip[2] == b"last"])
    assert len(arrived(GOSSIP)) == 1
    assert one.of_tag(BROADCAST) == []


# The end.


def test_killed_peer_is_forgotten_with_all_behind_it(fakes, established, report, eventually):
    victim, witness = fakes.peer(101), fakes.peer(102)
    session, other = established(victim), established(witness)
    behind = HIGH + 60
    victim.version += 1
    lines = [line(ROUTER_NAME), line(behind)]
    session.gossip(
        "topology",
        encode_topology([victim.entry(*lines), entry(behind, 3, 1, 3001, [line(victim.name)])]),
    )
    eventually(lambda: behind in peers_of(report()))
    session.close()
    eventually(lambda: set(peers_of(report())) == {ROUTER_NAME, witness.name}, timeout_s=1.0)
    eventually(
        lambda: list(other.latest(ROUTER_NAME).get("Connections", {})) == [witness.name],
        timeout_s=3.0,
    )
    assert not other.ended


@pytest.mark.parametrize("missing", ["NickName", "UID", "ConnID", "Name", "PeerNameFlavour"])
def test_features_without_a_required_key_are_refused(missing, fakes, log, eventually):
    fake = fakes.peer(101)
    features = fake.features
    fake.features = lambda number: {k: v for k, v in features(number).items() if k != missing}
    with contextlib.suppress(RefusedError):
        session = fake.connect(ROUTER)
        eventually(lambda: session.ended, what="a RST")
    eventually(lambda: f"no {missing} in the features" in log())
