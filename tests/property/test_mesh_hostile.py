"""A hostile neighbour: whatever it sends, the router stays up and its other neighbour too."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from weave_ryu.mesh.commands import CloseConnection
from weave_ryu.mesh.config import ConnectionId, RouterConfig
from weave_ryu.mesh.features import Features, encode_features
from weave_ryu.mesh.framing import frame
from weave_ryu.mesh.messages import Gossip, UnicastGossip, encode_gossip, encode_unicast
from weave_ryu.mesh.peers import Connection, Peer, connections_by_name
from weave_ryu.mesh.router import Router
from weave_ryu.mesh.topology import encode_update
from weave_ryu.names import PeerName, PeerUID, ShortId

OWN, GOOD, BAD = PeerName(5), PeerName(6), PeerName(7)
FEW_NAMES = st.integers(1, 12).map(PeerName)


def joined() -> Router:
    router = Router(RouterConfig(OWN, "us", PeerUID(1), ShortId(1)), rng=random.Random(1))
    router.start(0.0)
    for number, name in ((1, GOOD), (2, BAD)):
        features = Features(name, "", PeerUID(1), number, ShortId(number), False, ("fastdp",))
        link = (ConnectionId(number), ("10.0.0.1", 6783), (f"10.0.0.{name}", 40000))
        router.accepted(*link, 0.0)
        stream = b"weave\1\2\0" + frame(encode_features(features)) + frame(b"\7\0\0")
        router.receive_bytes(ConnectionId(number), stream, 0.0)
    return router


@st.composite
def updates(draw) -> bytes:
    peers = []
    for name in draw(st.lists(FEW_NAMES, max_size=5)):
        far_ends = draw(st.sets(FEW_NAMES, max_size=4))
        lines = [Connection(far, draw(st.text(max_size=9)), True, True) for far in sorted(far_ends)]
        peers.append(
            Peer(
                name,
                "",
                PeerUID(draw(st.integers(0, 3))),
                draw(st.sampled_from([0, 1, 2, 99, 2**64 - 1])),
                draw(st.sampled_from([None, 0, 1, 2])),
                connections_by_name(lines),
            )
        )
    return encode_update(peers)


payloads = updates() | st.binary(max_size=30)
channels = st.sampled_from(["topology", "other", ""])
messages = st.one_of(
    st.builds(lambda *parts: b"\4" + encode_gossip(Gossip(*parts)), channels, FEW_NAMES, payloads),
    st.builds(lambda *parts: b"\6" + encode_gossip(Gossip(*parts)), channels, FEW_NAMES, payloads),
    st.builds(
        lambda *parts: b"\5" + encode_unicast(UnicastGossip(*parts)),
        channels,
        FEW_NAMES,
        FEW_NAMES,
        payloads,
    ),
    st.binary(max_size=12),
    st.sampled_from([b"", b"\0", b"\7\0\0", b"\7\0\1", b"\7\1\0", b"\7"]),
)


@given(st.lists(messages, max_size=12), st.binary(max_size=8))
@settings(max_examples=150, deadline=None)
def test_the_router_and_its_other_neighbour_survive(sent, rest):
    router = joined()
    now = 0.0
    for data in [*map(frame, sent), rest]:
        router.receive_bytes(ConnectionId(2), data, now)
        now += 0.4
        router.handle_timer(now)
    router.receive_bytes(ConnectionId(1), frame(b"\0"), now)
    router.handle_timer(now + 1.5)
    ended = {c.connection for c in router.poll_commands() if isinstance(c, CloseConnection)}
    assert 1 not in ended
    # Anybody may tell anything of a third peer, as in Weave; only that may cut it off.
    told = router.peers[GOOD].connections.get(OWN)
    assert GOOD in router.frame_next_hops or told is None or not told.established
    assert router.peers.own.connections[GOOD].established
    assert len(router.peers) < 40
    owner = None if router.short_id is None else router.peers.by_short_id(router.short_id)
    assert owner is not None
    assert owner.name == OWN


@given(st.binary(max_size=60), st.booleans())
@settings(max_examples=150, deadline=None)
def test_a_hostile_handshake_touches_nothing(data, with_header):
    router = joined()
    version = router.version
    link = (ConnectionId(3), ("10.0.0.1", 6783), ("10.0.0.66", 40000))
    router.accepted(*link, 0.0)
    router.receive_bytes(ConnectionId(3), (b"weave\1\2" if with_header else b"") + data, 0.0)
    router.handle_timer(10.0 if not with_header else 60.0)
    assert router.version >= version
    assert ConnectionId(3) not in {view.connection for view in router.connections()}
