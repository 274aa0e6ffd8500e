"""Properties of the mesh core: round trips, cuts, merge, routes."""

from __future__ import annotations

import contextlib
import itertools
import random

import networkx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weave_ryu.errors import RemoteProtocolError
from weave_ryu.mesh import routes
from weave_ryu.mesh.config import ConnectionId
from weave_ryu.mesh.connection import ConnectionMachine, FeaturesRead, Link
from weave_ryu.mesh.crypto import KeyPair, Opener, Sealer
from weave_ryu.mesh.describe import describe_bytes
from weave_ryu.mesh.features import (
    Features,
    decode_features,
    decode_map,
    encode_features,
    encode_map,
    printable,
)
from weave_ryu.mesh.framing import StreamBuffer, frame
from weave_ryu.mesh.messages import (
    Gossip,
    UnicastGossip,
    decode_gossip,
    decode_unicast,
    encode_gossip,
    encode_unicast,
)
from weave_ryu.mesh.peers import Connection, Peer, Peers, connections_by_name
from weave_ryu.mesh.topology import decode_update, encode_update
from weave_ryu.names import PeerName, PeerUID, ShortId

FEW = settings(max_examples=60, deadline=None)

names = st.integers(1, 2**48 - 1).map(PeerName)
uids = st.integers(1, 2**64 - 1).map(PeerUID)
short_ids = st.none() | st.integers(0, 4095).map(ShortId)
texts = st.text(max_size=20)
shown = texts.map(lambda text: printable(text, 1024))
"""Names and addresses come so: what cannot be shown is replaced when it is read."""
channels = st.text(max_size=30)
all_names = st.integers(0, 2**48 - 1).map(PeerName)


@st.composite
def entries(draw, name=names) -> Peer:
    lines = draw(
        st.lists(st.builds(Connection, name, shown, st.booleans(), st.booleans()), max_size=6)
    )
    return Peer(
        draw(name), draw(shown), draw(uids), draw(st.integers(0, 2**64 - 1)), draw(short_ids),
        connections_by_name(lines),
    )  # fmt: skip


features = st.builds(
    Features, names, shown, uids, st.integers(0, 2**64 - 1), short_ids, st.booleans(),
    st.none() | st.lists(st.sampled_from(["fastdp", "sleeve", "x"]), unique=True).map(tuple),
)  # fmt: skip


@given(features)
@FEW
def test_features_survive(value):
    assert decode_features(encode_features(value)) == value


@given(texts)
@FEW
def test_what_is_shown_is_printable_and_stays_as_it_is(text):
    once = printable(text, 1024)
    assert once.isprintable()
    assert len(once) == len(text)
    assert printable(once, 1024) == once


@given(st.dictionaries(texts, texts, max_size=20))
@FEW
def test_maps_survive(pairs):
    assert decode_map(encode_map(pairs)) == pairs


@given(st.lists(entries(), max_size=8))
@FEW
def test_updates_survive(update):
    assert decode_update(encode_update(update)) == update


@given(channels, all_names, all_names, st.binary(max_size=300))
@FEW
def test_gossip_survives(channel, source, destination, payload):
    gossip = Gossip(channel, source, payload)
    assert decode_gossip(encode_gossip(gossip)) == gossip
    unicast = UnicastGossip(channel, source, destination, payload)
    assert decode_unicast(encode_unicast(unicast)) == unicast


@given(st.binary(max_size=400))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_read_or_refused_and_nothing_else(raw):
    for decode in (decode_update, decode_map, decode_gossip, decode_unicast, describe_bytes):
        with contextlib.suppress(RemoteProtocolError):
            decode(raw)


@given(st.lists(entries(), min_size=1, max_size=3), st.data())
@settings(max_examples=200, deadline=None)
def test_a_damaged_update_is_read_or_refused_and_nothing_else(update, data):
    raw = bytearray(encode_update(update))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(RemoteProtocolError):
        decode_update(bytes(raw))


@st.composite
def cuts(draw, stream: bytes) -> list[bytes]:
    places = sorted(draw(st.sets(st.integers(1, max(1, len(stream) - 1)), max_size=12)))
    return [stream[a:b] for a, b in itertools.pairwise([0, *places, len(stream)])]


@given(st.lists(st.binary(max_size=60), max_size=8), st.data())
@FEW
def test_framing_does_not_depend_on_the_cuts(messages, data):
    stream = b"".join(map(frame, messages))
    buffer, found = StreamBuffer(), []
    for part in data.draw(cuts(stream)):
        buffer.append(part)
        while (message := buffer.take_message()) is not None:
            found.append(message)
    assert found == messages


OURS = Features(PeerName(1), "us", PeerUID(1), 1, ShortId(1), False, ("fastdp",))


@given(features, st.lists(st.binary(max_size=60), max_size=6), st.data())
@FEW
def test_a_connection_does_not_depend_on_the_cuts(theirs, messages, data):
    stream = b"weave\1\2\0" + b"".join(map(frame, [encode_features(theirs), *messages]))

    def run(parts: list[bytes]) -> tuple[list[object], bytes]:
        link = Link(ConnectionId(1), False, True, ("10.0.0.1", 1), ("10.0.0.2", 2))
        one = ConnectionMachine(link, lambda: OURS, None, lambda: KeyPair(b"", b""), 0.0)
        signals: list[object] = []
        for part in parts:
            one.receive_bytes(part)
            while (signal := one.next_signal(0.0)) is not None:
                signals.append(signal)
                if isinstance(signal, FeaturesRead):
                    one.add(0.0)
        return signals, one.take_output()

    assert run(data.draw(cuts(stream))) == run([stream])


@given(st.binary(min_size=32, max_size=32), st.lists(st.binary(max_size=50)), st.booleans())
@FEW
def test_sealing_survives_and_order_matters(key, messages, opened):
    sealer, opener = Sealer(key, sender_opened=opened), Opener(key, sender_opened=opened)
    sealed = [sealer.seal(message) for message in messages]
    assert [opener.open(one) for one in sealed] == messages
    if len(sealed) > 1:
        with pytest.raises(RemoteProtocolError):
            Opener(key, sender_opened=opened).open(sealed[1])


# Merge.

few_names = st.integers(1, 6).map(PeerName)
OWN = PeerName(100)


@st.composite
def honest_entries(draw) -> dict[tuple[PeerName, int], Peer]:
    """Histories: a version of a peer's incarnation says one thing only, as with real routers."""
    history = {}
    for name in range(1, 6):
        uid = PeerUID(name)
        for version in range(1, 4):
            lines = draw(st.sets(few_names, max_size=3))
            history[PeerName(name), version] = Peer(
                PeerName(name), f"n{name}", uid, version, ShortId(name),
                connections_by_name(Connection(far, "", True, True) for far in sorted(lines)),
            )  # fmt: skip
    return history


def merged(updates: list[list[Peer]]) -> list[Peer]:
    table = Peers(Peer(OWN, "us", PeerUID(1), 0, ShortId(4000)), random.Random(1))
    for update in updates:
        table.merge(update)
    return list(table)


@given(honest_entries(), st.data())
@FEW
def test_merging_does_not_depend_on_the_order(history, data):
    update = st.lists(st.sampled_from(sorted(history)), max_size=4, unique_by=lambda key: key[0])
    updates = [
        [history[key] for key in keys]
        for keys in data.draw(st.lists(update, min_size=1, max_size=5))
    ]
    shuffled = data.draw(st.permutations(updates))
    assert merged(updates) == merged(shuffled)


@given(st.lists(entries(few_names), max_size=6, unique_by=lambda one: one.name))
@FEW
def test_merging_again_changes_nothing(update):
    table = Peers(Peer(OWN, "us", PeerUID(1), 0, ShortId(4000)), random.Random(1))
    table.merge(update)
    before = list(table)
    again = table.merge(update)
    assert again.delta == ()
    assert list(table) == before


@given(st.lists(entries(few_names), max_size=8))
@FEW
def test_the_short_id_index_agrees_with_the_table(update):
    table = Peers(Peer(PeerName(3), "us", PeerUID(1), 0, ShortId(5)), random.Random(1))
    table.merge(update)
    table.collect()
    owners: dict[int, PeerName] = {}
    for peer in table:
        if peer.short_id is not None:
            owners[peer.short_id] = min(peer.name, owners.get(peer.short_id, peer.name))
    assert table.short_id_owners() == owners
    own_short_id = table.own.short_id
    assert own_short_id is not None
    assert owners[own_short_id] == 3


# Routes.


@st.composite
def connected_graphs(draw) -> networkx.Graph:
    size = draw(st.integers(1, 14) | st.integers(15, 60))
    rng = random.Random(draw(st.integers(0, 2**32)))
    places = rng.sample(range(1, 1000), size)
    graph = networkx.Graph()
    graph.add_nodes_from(map(PeerName, places))
    for place in range(1, size):
        graph.add_edge(PeerName(places[place]), PeerName(places[rng.randrange(place)]))
    for _ in range(draw(st.integers(0, 2 * size))):
        a, b = rng.choice(places), rng.choice(places)
        if a != b:
            graph.add_edge(PeerName(a), PeerName(b))
    return graph


def ours(graph: networkx.Graph) -> routes.Graph:
    return routes.Graph.from_adjacency({name: list(graph.adj[name]) for name in graph})


@given(connected_graphs())
@FEW
def test_a_broadcast_reaches_every_peer_exactly_once(graph):
    one = ours(graph)
    tables = {name: routes.broadcast_tables(one, name) for name in one.names}
    for source in one.names:
        heard: list[PeerName] = []
        waiting = [source]
        while waiting:
            here = waiting.pop(0)
            for hop in tables[here][source].next_hops:
                assert tables[hop][source].parent == here
                heard.append(hop)
                waiting.append(hop)
        assert sorted([*heard, source]) == list(one.names)


@given(connected_graphs())
@FEW
def test_unicast_follows_a_shortest_path(graph):
    one = ours(graph)
    tables = {name: routes.unicast_next_hops(one, name) for name in one.names}
    distances = dict(networkx.all_pairs_shortest_path_length(graph))
    for source, destination in itertools.product(one.names, repeat=2):
        here, steps = source, 0
        while here != destination:
            here = tables[here][destination]
            steps += 1
            assert steps <= len(one.names)
        assert steps == distances[source][destination]


@given(st.integers(1, 12), st.sets(st.tuples(st.integers(1, 12), st.integers(1, 12))), st.data())
@settings(max_examples=150, deadline=None)
def test_the_tables_for_all_sources_agree_with_the_one_for_each(size, edges, data):
    adjacency: dict[PeerName, list[PeerName]] = {PeerName(n): [] for n in range(1, size + 1)}
    for near, far in sorted(edges):
        if near <= size and far <= size and near != far:
            adjacency[PeerName(near)].append(PeerName(far))
    graph = routes.Graph.from_adjacency(adjacency)
    here = PeerName(data.draw(st.integers(1, size)))
    table = routes.broadcast_tables(graph, here)
    for source in graph.names:
        assert table[source].next_hops == routes.broadcast_next_hops(graph, here, source)
