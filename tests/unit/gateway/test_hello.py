"""Hellos on the segment: who may say them, and what follows from them."""

import pytest
from core_world import World, settled_pair, spec
from hypothesis import given
from hypothesis import strategies as st

from weave_ryu.errors import RemoteProtocolError
from weave_ryu.gate import Gate
from weave_ryu.gateway import hearing
from weave_ryu.gateway.commands import Announce, SayHello, SetGate
from weave_ryu.gateway.detection import Verdict
from weave_ryu.gateway.hearing import Hearing
from weave_ryu.gateway.hello import Draft, Seal, parse, source_mac
from weave_ryu.gateway.reading import Reading
from weave_ryu.gateway.records import GatewayRecord, PortRecord
from weave_ryu.names import PeerName

A, B = PeerName(ord("A")), PeerName(ord("B"))
SECRET, NO_SECRET = Seal(b"secret" * 20), Seal(None)


def record(name=A, segment="vlan", state="active", epoch=7):
    port = PortRecord(segment, "gw0", state, epoch)
    return GatewayRecord(name, 11, 22, (port,))


@pytest.mark.parametrize("seal", [SECRET, NO_SECRET], ids=["password", "none"])
def test_hello_comes_back_as_it_was(seal):
    assert parse(Draft(record()).sealed(5, seal), seal) == (record(), 5)


def test_sender_is_a_local_address_of_its_own_for_each_port():
    assert source_mac(A, "gw0")[0] == 0x0A
    assert len({source_mac(n, p) for n in (A, B) for p in ("gw0", "gw1")}) == 4


@pytest.mark.parametrize("other", [Seal(b"other"), NO_SECRET], ids=["wrong", "none"])
def test_hello_of_another_mesh_is_refused(other):
    with pytest.raises(RemoteProtocolError, match="seal"):
        parse(Draft(record()).sealed(5, other), SECRET)


@given(st.data())
def test_damaged_hello_is_refused(data):
    frame = bytearray(Draft(record()).sealed(5, SECRET))
    # The addresses are not sealed: they only say how the frame travels.
    place = data.draw(st.integers(12, len(frame) - 1))
    frame[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(RemoteProtocolError):
        parse(bytes(frame), SECRET)


@given(st.binary(max_size=200))
def test_anything_else_is_refused(frame):
    with pytest.raises(RemoteProtocolError):
        parse(frame, NO_SECRET)


def test_hello_with_more_than_one_port_is_refused():
    crowded = GatewayRecord(A, 1, 1, (*record().ports, PortRecord("vlan", "gw1", "active", 1)))
    with pytest.raises(RemoteProtocolError, match="one port"):
        parse(Draft(crowded).sealed(1, NO_SECRET), NO_SECRET)


def test_replayed_hello_is_refused():
    frame = Draft(record()).sealed(5, SECRET)
    heard = Hearing(B, 1, b"secret" * 20)
    heard.take("vlan", frame, 1.0)
    with pytest.raises(RemoteProtocolError, match="replayed"):
        heard.take("vlan", frame, 2.0)
    assert heard.age_s(A, 2.0) == 1.0


@pytest.mark.parametrize(
    ("name", "segment", "words"), [(A, "office", "wrong cable"), (B, "vlan", "loop")]
)
def test_hello_that_should_not_come_from_there_is_refused(name, segment, words):
    heard = Hearing(B, 1, None)
    with pytest.raises(RemoteProtocolError, match=words):
        heard.take("vlan", Draft(record(name, segment)).sealed(5, NO_SECRET), 1.0)
    assert heard.age_s(name, 1.0) is None


def test_senders_are_bounded_and_the_oldest_makes_place(monkeypatch):
    monkeypatch.setattr(hearing, "MAX_SENDERS", 2)
    heard = Hearing(B, 1, None)

    def say(number, now):
        heard.take("vlan", Draft(record(PeerName(number))).sealed(1, NO_SECRET), now)

    say(101, 1.0)
    say(102, 2.0)
    with pytest.raises(RemoteProtocolError, match="more than 2"):
        say(103, 3.0)
    say(103, 1.0 + hearing.STALE_S)
    assert heard.age_s(PeerName(101), 70.0) is None
    assert heard.age_s(PeerName(103), 70.0) is not None


def test_nothing_is_said_unless_it_is_wanted():
    world = settled_pair()
    world.run(1.0)
    assert not world.all_commands("A", SayHello)


def test_standby_says_hello_too_but_not_into_a_dead_link():
    world = settled_pair(hello=True)
    assert world.all_commands("B", SayHello)
    world.call("B", "switch_state", True, {"gw0": False})
    said = len(world.all_commands("B", SayHello))
    world.run(1.0)
    assert len(world.all_commands("B", SayHello)) == said


def test_cut_mesh_changes_no_role_while_the_segment_says_that_the_other_lives():
    world = settled_pair(hello=True)
    world.cut.add(frozenset("AB"))
    world.run(10.0)
    assert world.states() == {"A": "active", "B": "standby"}
    assert world.cores["B"].peer_view(A, world.now).judgement.verdict is Verdict.ELSEWHERE


def test_other_part_of_the_mesh_gets_a_forwarder_that_announces_only_its_own():
    world = settled_pair(hello=True)
    world.call(
        "A", "macs_read", "gw0", Reading(frozenset({"02c000000001"}), frozenset({"02b000000001"}))
    )
    world.run(0.1)
    world.cut.add(frozenset("AB"))
    world.run(1.0)
    # The topology shows that the mesh has fallen apart.
    world.call_plain("A", "peers_left", {B})
    world.call_plain("B", "peers_left", {A})
    world.call("B", "macs_read", "gw0", Reading(frozenset({"02c000000002"})))
    world.run(1.0)
    assert world.states() == {"A": "active", "B": "active"}
    assert "another part of the mesh" in world.port("B").history[-1].reason
    assert world.port("B").epoch > world.port("A").epoch
    told = frozenset().union(*(c.macs for c in world.all_commands("B", Announce)))
    assert told == {"02c000000002"}
    world.cut.clear()
    for name in "AB":
        world.call(name, "mesh_state", 3)
        world.cores[name].publish()
        world._perform(name)
    world.run(1.0)
    assert world.states() == {"A": "standby", "B": "active"}


def test_daemon_that_dies_is_still_replaced_after_its_permits_have_run_out():
    world = settled_pair(hello=True)
    died_at = world.now
    world.kill("A")
    world.run(5.0)
    assert world.states() == {"B": "active"}
    took_s = world.port("B").history[-1].at - died_at
    assert world.timers.give_up_s < took_s < world.timers.take_over_s + 0.3


def test_wrong_password_on_the_segment_says_nothing():
    world = settled_pair(hello=True)
    with pytest.raises(RemoteProtocolError):
        world.call("B", "hello", "gw0", Draft(record()).sealed(1 << 62, SECRET))
    assert [c.gate for c in world.all_commands("B", SetGate)] == [Gate.CLOSED]


def test_world_with_a_password_hears_its_own():
    world = World(timers=None)
    world.password = b"secret"
    world.start("A", spec(hello=True))
    world.start("B", spec(hello=True))
    world.run(3.0)
    assert world.cores["B"].peer_view(A, world.now).hello_age_s < 0.2


@pytest.mark.parametrize("password", [None, b"secret"])
def test_without_a_key_a_forged_counter_silences_nobody(password):
    ear = Hearing(PeerName(9), 1, password)
    port = PortRecord("vlan", "gw0", "active", 1)
    told = GatewayRecord(PeerName(7), 1, 1, (port,))
    forger = Hearing(PeerName(7), (1 << 48) - 1, password)
    ear.take("vlan", forger.say(told, port), 0.0)
    true = Hearing(PeerName(7), 1, password).say(told, port)
    if password is None:
        ear.take("vlan", true, 5.0)
    else:
        with pytest.raises(RemoteProtocolError, match="replayed"):
            ear.take("vlan", true, 5.0)
    assert ear.age_s(PeerName(7), 5.0) == (0.0 if password is None else 5.0)
