"""Whatever claims meet in whatever order: all tables end with one owner of a segment."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from weave_ryu.mesh.peers import Peer, Peers
from weave_ryu.mesh.routes import established_graph
from weave_ryu.mesh.segments import Claims, epoch_of, identity_of
from weave_ryu.names import PeerName, PeerUID, ShortId

VLAN = identity_of("vlan", None)
GATEWAYS = 3


class Mesh:
    """Gateways that hear each other's table only when told to."""

    def __init__(self) -> None:
        self.tables = [
            Peers(Peer(PeerName(n), f"g{n}", PeerUID(n), 0, ShortId(n)), random.Random(n))
            for n in range(1, GATEWAYS + 1)
        ]
        self.claims = [Claims(table) for table in self.tables]
        self.epochs: dict[int, int] = {}

    def claim(self, gateway: int, epoch: int) -> None:
        self.epochs[gateway] = max(epoch, self.epochs.get(gateway, 0))
        self.claims[gateway].add(VLAN, self.epochs[gateway])
        self.claims[gateway].settle()

    def release(self, gateway: int) -> None:
        self.epochs.pop(gateway, None)
        self.claims[gateway].drop(VLAN.name)

    def hear(self, listener: int, speaker: int) -> None:
        self.tables[listener].merge(list(self.tables[speaker]))
        self.claims[listener].settle()


gateways = st.integers(0, GATEWAYS - 1)
steps = st.one_of(
    st.tuples(st.just("claim"), gateways, st.integers(0, 3)),
    st.tuples(st.just("release"), gateways),
    st.tuples(st.just("hear"), gateways, gateways),
)


@given(st.lists(steps, max_size=25))
@settings(max_examples=300, deadline=None)
def test_all_tables_come_to_one_owner_who_claims_it(happened):
    mesh = Mesh()
    for what, *values in happened:
        getattr(mesh, what)(*values)
    for _ in range(4):
        for listener in range(GATEWAYS):
            for speaker in range(GATEWAYS):
                mesh.hear(listener, speaker)
    at_rest = [list(table) for table in mesh.tables]
    for listener in range(GATEWAYS):
        for speaker in range(GATEWAYS):
            mesh.hear(listener, speaker)
    assert [list(table) for table in mesh.tables] == at_rest  # nobody raises for ever
    connected = {established_graph(table).neighbours(VLAN.name) for table in mesh.tables}
    if not mesh.epochs:
        assert connected == {()}
        return
    (owners,) = connected
    (owner,) = owners
    assert int(owner) - 1 in mesh.epochs
    entry = mesh.tables[0][VLAN.name]
    assert entry.owner == owner
    assert epoch_of(entry.version) >= max(mesh.epochs.values())
