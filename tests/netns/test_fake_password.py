"""Passwords and trusted subnets: what is let in, what is refused, and what the log says of it."""

import re

import pytest
from fakes import HIGH, Fakes, RefusedError, post_peer

from weave_ryu.lab import topology
from weave_ryu.lab.daemon import DEFAULT_COMMAND

PASSWORD = b"one long password"
ROUTER = "10.99.0.1"
TRUSTED = "10.99.0.0/25"
"""Of the fakes, 101 is in it and 201 is not."""


@pytest.fixture(scope="module")
def lab(build_lab, tmp_path_factory):
    file = tmp_path_factory.mktemp("secret") / "password"
    file.write_bytes(PASSWORD + b"\n")
    flags = ["--password-file", str(file), "--trusted-subnets", TRUSTED]
    return build_lab(topology=topology.build(["W", "X"]), daemon_command=[*DEFAULT_COMMAND, *flags])


@pytest.fixture(scope="module")
def places(lab):
    fakes = Fakes(lab)
    yield fakes
    fakes.close()


@pytest.fixture
def fakes(places):
    yield places
    places.close_peers()


@pytest.fixture
def log(lab):
    path = lab.peer("W").daemon.log
    start = path.stat().st_size
    return lambda: re.sub(r"\x1b\[[0-9;]*m", "", path.read_bytes()[start:].decode())


def connections(lab):
    report = lab.peer("W").http("GET", "/report").body
    return {entry["Address"].split(":")[0]: entry for entry in report["Router"]["Connections"]}


def is_refused(fake, eventually):
    """The router ends it, during the handshake or right after; and sends no frame before."""
    try:
        session = fake.connect(ROUTER)
    except RefusedError:
        session = None
    if session is not None:
        eventually(lambda: session.ended, what="a RST")
        assert session.messages == []
    return not fake.stray


def test_daemons_with_a_password_and_trusted_subnets_come_together(lab):
    report = lab.peer("W").http("GET", "/report").body["Router"]
    assert report["Encryption"]
    assert report["TrustedSubnets"] == [TRUSTED]
    (link,) = report["Connections"]
    assert link["State"] == "established"
    assert link["Attrs"]["encrypted"]


def test_peer_with_the_password_and_trust_on_both_sides_is_established(lab, fakes, eventually):
    fake = fakes.peer(101, password=PASSWORD, trusted=True)
    session = fake.connect(ROUTER)
    assert session.flag == b"\1"
    assert session.router["Trusted"] == "true"
    fake.tell(session)
    eventually(lambda: connections(lab).get(fake.ip, {}).get("State") == "established")
    assert connections(lab)[fake.ip]["Attrs"]["encrypted"]
    eventually(lambda: session.datagrams, what="heartbeats, which are plain for the trusted")
    eventually(lambda: fake.name in session.latest(session.router_name)["Connections"])


def test_gossip_is_sealed_on_both_legs_and_crosses(fakes, eventually):
    source = fakes.peer(101, password=PASSWORD, trusted=True)
    target = fakes.peer(102, password=PASSWORD, trusted=True)
    one, two = source.connect(ROUTER), target.connect(ROUTER)
    for fake, session in ((source, one), (target, two)):
        fake.tell(session)
    eventually(lambda: source.name in two.latest(one.router_name).get("Connections", {}))
    one.gossip("IPallocation", b"a ring" * 1000)

    def payloads():
        return [m.gossip[2] for m in two.of_tag(4) if m.gossip[0] == "IPallocation"]

    eventually(lambda: payloads() == [b"a ring" * 1000])


@pytest.mark.parametrize(
    ("number", "settings", "code"),
    [
        (101, {"password": b"another", "trusted": True}, "wrong-password"),
        (101, {"password": None, "trusted": True}, "password-missing"),
        (101, {"password": PASSWORD, "trusted": False}, "overlay-needs-ipsec"),
        (201, {"password": PASSWORD, "trusted": True}, "overlay-needs-ipsec"),
    ],
    ids=["wrong password", "no password", "it does not trust us", "we do not trust it"],
)
def test_peer_is_refused_with_the_reason_in_the_log(
    number, settings, code, lab, fakes, log, eventually
):
    fake = fakes.peer(number, **settings)
    assert is_refused(fake, eventually)
    eventually(lambda: code in log(), what=f"{code} in the log")
    assert fake.ip in log()
    assert fake.ip not in connections(lab)
    assert PASSWORD.decode() not in log()


def test_router_that_is_refused_dials_again_slowly(lab, fakes, log, eventually):
    fake = fakes.peer(103, name=HIGH + 3, password=b"another", trusted=True)
    fake.listen()
    post_peer(lab, "W", "connect", fake.ip)
    try:
        eventually(lambda: len(fake.dialled) >= 3, timeout_s=10.0)
    finally:
        post_peer(lab, "W", "forget", fake.ip)
    gaps = [after - before for before, after in zip(fake.dialled, fake.dialled[1:], strict=False)]
    assert min(gaps) > 0.9
    assert "wrong-password" in log()
    assert not fake.stray
