"""Flows of a peer, kept for all schedules: the same mesh has the same flows each time."""

from __future__ import annotations

from functools import lru_cache

from sim_tables import prepare

from weave_ryu.mesh.segments import Segment
from weave_ryu.names import PeerName, PeerUID, ShortId
from weave_ryu.pipeline import rules
from weave_ryu.pipeline.cookies import Kind
from weave_ryu.pipeline.state import GatewayPort, LocalPort
from weave_ryu.shell.coordinator import BridgePorts, forwarding_state

TUNNEL, CONTAINER, GATEWAY, CONTAINER_2 = 1, 2, 3, 4
SEGMENT = Segment(PeerName(0x02000000005E), "vlan", PeerUID(1), ShortId(0x513))
MAX_KEPT = 60_000

OF_THE_MESH = frozenset({Kind.PEER, Kind.NEIGHBOUR, Kind.SPLIT_HORIZON})
"""`shell/forwarder.py`: kinds that a daemon that has just started must not judge."""

_kept = {}
_parts = {}


def _prepared(part):
    """Place → prepared flow, of a part that is mostly one of before: then the same object."""
    found = _parts.get(id(part))
    if found is None or found[0] is not part:
        if len(_parts) > MAX_KEPT:
            _parts.clear()
        # It holds the part, so that nothing else can get its id.
        flows = [prepare(flow) for _, flow in part]
        found = _parts[id(part)] = part, {flow.place: flow for flow in flows}
    return found[1]


def place(flow):
    """As `diff.installed`, as one number: table number, priority, cookie."""
    return flow.place


class Wanted:
    """What should be in a switch.

    Attributes:
        state: `ForwardingState`.
    """

    __slots__ = ("_parts", "state")

    def __init__(self, state):
        self.state = state
        # No two parts have a flow in common.
        self._parts = {id(flows): flows for flows in map(_prepared, rules.parts(state))}

    @property
    def flows(self):
        """Place → prepared flow."""
        return {key: flow for part in self._parts.values() for key, flow in part.items()}

    @property
    def frame(self):
        """Those of `flows` that a daemon which does not know the mesh yet may judge."""
        return {key: flow for key, flow in self.flows.items() if flow.flow.kind not in OF_THE_MESH}

    def since(self, before):
        """Flows to add where `before` is installed, and places to delete: few parts differ."""
        parts, old = self._parts, before._parts
        gone = {key for part in old if part not in parts for key in old[part]}
        come = [flow for part in parts if part not in old for flow in parts[part].values()]
        add = [flow for flow in come if flow.place not in gone]
        return add, gone.difference([flow.place for flow in come])


def wanted(view, peer, mesh_key, port, lets_in):
    """The flows of a peer.

    Args:
        view: its `ForwardingView`.
        peer: `SimPeer`.
        mesh_key: whatever the view's content follows from.
        port: its gateway port as its daemon sees it; None if it has none.
        lets_in: names of gateways that do not know segments as peers.
    """
    key = (peer.letter, peer.world.letters, mesh_key, port, lets_in)
    found = _kept.get(key)
    if found is None:
        gateways = (port,) if port is not None else ()
        local = (LocalPort(CONTAINER, "c1"), LocalPort(CONTAINER_2, "c2"))
        ports = BridgePorts({6784: TUNNEL}, local, gateways)
        old = dict.fromkeys(lets_in, frozenset({SEGMENT.nick_name}))
        state = forwarding_state(view, peer.name, peer.short_id, ports, old)
        if len(_kept) > MAX_KEPT:
            _kept.clear()
        found = _kept[key] = Wanted(state)
    return found


def gateway_port(short_id, is_peer):
    """As the pipeline sees it."""
    return GatewayPort(GATEWAY, "gw0", SEGMENT.nick_name, short_id, is_peer=is_peer)


@lru_cache(maxsize=256)
def permits(port, gate, permit_s):
    """Prepared permits, and their places."""
    flows = [prepare(f) for f in rules.permits(port, gate, permit_s)]
    return flows, {place(flow) for flow in flows}
