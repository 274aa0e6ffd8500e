"""Whatever strangers put on a wire and peers say of it, nobody's port is closed by a lie."""

import json
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weave_ryu.errors import RemoteProtocolError
from weave_ryu.gateway import probe as probes
from weave_ryu.gateway.joint import Kind, Place, place_document, place_of
from weave_ryu.gateway.wiring import MAX_HEARD, MAX_JOINTS, Send, SendProbe
from weave_ryu.names import MAX_UID, PeerName

sys.path.append(str(Path(__file__).resolve().parents[1] / "unit" / "gateway"))

from wiring_world import WiringWorld

A, B, X = (PeerName(ord(letter)) for letter in "ABX")
SECRET, NO_SECRET = probes.seal(b"secret" * 20), probes.seal(None)

ports = st.from_regex(probes.PORT_PATTERN, fullmatch=True).filter(lambda p: len(p.encode()) < 256)
segments = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", fullmatch=True)
nonces = st.binary(min_size=8, max_size=8)
peer_names = st.integers(0, (1 << 48) - 1).map(PeerName)
made = st.builds(probes.Probe, peer_names, ports, segments, st.integers(0, MAX_UID), nonces)
places = st.one_of(
    st.builds(Place, st.just(Kind.PORT), ports.filter(str.isprintable)),
    st.builds(Place, st.just(Kind.SEGMENT), ports.filter(str.isprintable), segments),
    st.builds(Place, st.just(Kind.MESH), peer_names.map(str)),
)


@given(made, st.sampled_from([SECRET, NO_SECRET]))
def test_probe_comes_back_as_it_was(probe, seal):
    frame = probes.encode(probe, seal)
    assert 60 <= len(frame) < 400
    assert probes.is_probe(frame)
    assert probes.parse(frame, seal) == probe
    assert probes.parse(frame + bytes(20), seal) == probe, "bridges pad"


@given(made, st.data())
def test_damaged_probe_is_refused(probe, data):
    frame = bytearray(probes.encode(probe, SECRET))
    end = 14 + 1 + 16 + 22 + 2 + len(probe.port.encode()) + len(probe.segment)
    # The addresses are not sealed: they only say how the frame travels.
    frame[data.draw(st.integers(12, end - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(RemoteProtocolError):
        probes.parse(bytes(frame), SECRET)


@given(st.binary(max_size=300))
def test_any_other_frame_is_refused(frame):
    with pytest.raises(RemoteProtocolError):
        probes.parse(frame, NO_SECRET)


@given(made)
def test_probe_of_another_mesh_is_refused(probe):
    with pytest.raises(RemoteProtocolError, match="seal"):
        probes.parse(probes.encode(probe, NO_SECRET), SECRET)


@given(places)
def test_place_comes_back_as_it_was(place):
    assert place_of(json.loads(json.dumps(place_document(place)))) == place


jsons = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=20) | st.sampled_from(list(Kind)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@given(
    st.binary(max_size=1100)
    | jsons.map(lambda found: json.dumps(found).encode())
    | st.builds(
        lambda what, word, at: json.dumps({what: word, "at": at}).encode(),
        st.sampled_from(["heard", "sent"]),
        jsons | nonces.map(bytes.hex),
        jsons | places.map(place_document) | st.dictionaries(
            st.sampled_from(["kind", "name", "segment"]), jsons
        ),
    )
)  # fmt: skip
def test_message_that_nobody_would_send_is_refused_and_changes_nothing(payload):
    world = WiringWorld(A={"gw0": "vlan"}, B={"gw0": "office"})
    world.run(0.5)
    for letter in "AB":
        with pytest.raises(RemoteProtocolError):
            world.peers[letter].wiring.received(X, payload, world.now)
    assert world.is_calm


@settings(max_examples=50)
@given(places, st.lists(nonces, max_size=80), st.booleans())
def test_who_has_not_heard_a_probe_closes_nobodys_port(place, guesses, pretends_to_be_b):
    """A peer that does not know a nonce of A's, and makes frames if there is no password."""
    password = None if pretends_to_be_b else b"secret"
    world = WiringWorld(password, A={"gw0": "vlan"}, B={"gw0": "office"})
    world.run(0.5)
    liar = B if pretends_to_be_b else X
    forged = probes.seal(password if pretends_to_be_b else b"guessed")
    for guess in guesses:
        nonce = (int.from_bytes(guess, "big") | 1 << 62).to_bytes(8, "big")  # none of the world's
        for what in ("heard", "sent"):
            payload = json.dumps({what: nonce.hex(), "at": place_document(place)}).encode()
            with pytest.raises(RemoteProtocolError):
                world.peers["A"].wiring.received(liar, payload, world.now)
        frame = probes.encode(probes.Probe(A, "gw0", "vlan", 1, nonce), forged)
        for letter, where in (("A", place), ("B", Place(Kind.SEGMENT, "gw0", "office"))):
            try:
                world.hear(letter, where, frame)
            except RemoteProtocolError:
                continue
    answers = sum(isinstance(c, Send) for c in world.peers["B"].wiring.poll_commands())
    assert answers <= min(MAX_HEARD, len(guesses)), "no flood of questions"
    assert world.is_calm


def test_what_is_kept_is_bounded_whatever_is_heard():
    world = WiringWorld(A={"gw0": "vlan"})
    world.peers["A"].wiring.handle_timer(world.now)
    (sent,) = (c for c in world.peers["A"].wiring.poll_commands() if isinstance(c, SendProbe))
    for number in range(3 * MAX_JOINTS):
        world.hear("A", Place(Kind.PORT, f"c{number}"), sent.frame)
    assert len(world.peers["A"].wiring.joints(world.now)) == MAX_JOINTS
