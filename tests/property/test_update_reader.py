"""Reading only what is news gives the same as reading everything."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from weave_ryu.mesh.peers import Connection, Peer, Peers, connections_by_name
from weave_ryu.mesh.topology import UpdateReader, decode_update, encode_update
from weave_ryu.names import PeerName, PeerUID, ShortId

OWN = PeerName(5)


def entry(number: int, uid: int, version: int) -> Peer:
    """As in life: what a peer says in one version of one incarnation is always the same."""
    rng = random.Random(f"{number} {uid} {version}")
    far_ends = [PeerName(far) for far in range(1, 9) if far != number and rng.random() < 0.4]
    lines = [Connection(far, f"10.0.0.{far}:6783", True, True) for far in far_ends]
    short_id = ShortId(number) if version else None
    name = PeerName(number)
    return Peer(name, f"n{number}", PeerUID(uid), version, short_id, connections_by_name(lines))


entries = st.builds(entry, st.integers(1, 8), st.integers(1, 2), st.integers(0, 3))
updates = st.lists(entries, max_size=6, unique_by=lambda peer: peer.name)


@given(st.lists(st.tuples(updates, st.booleans()), max_size=8))
@settings(max_examples=200, deadline=None)
def test_tables_and_results_are_the_same(steps):
    own = Peer(OWN, "us", PeerUID(9), 0, ShortId(5))
    quick, thorough = Peers(own, random.Random(1)), Peers(own, random.Random(1))
    reader = UpdateReader(quick)
    for update, collects in steps:
        raw = encode_update(update)
        assert quick.merge(reader.read(raw)) == thorough.merge(decode_update(raw))
        if collects:
            assert quick.collect([PeerName(1)]) == thorough.collect([PeerName(1)])
        assert list(quick) == list(thorough)
