"""A mesh of many peers as one daemon's forwarding sees it, and changes of it."""

from __future__ import annotations

import random

from weave_ryu.names import PeerName, ShortId
from weave_ryu.pipeline.state import ForwardingState, LocalPort
from weave_ryu.shell.coordinator import (
    BridgePorts,
    ForwardingView,
    PeerInfo,
    Underlay,
    forwarding_state,
)

DEGREE = 6
"""Connections of a peer in a sparse mesh, on average."""
TUNNEL_PORT = 40
SHAPES = ("sparse", "full")

Edges = set[tuple[int, int]]


def sparse(peers: int, degree: int = DEGREE, seed: int = 1) -> Edges:
    """A connected random graph."""
    rng = random.Random(seed)  # noqa: S311  (not for keys)
    edges = {(rng.randrange(1, number), number) for number in range(2, peers + 1)}
    while len(edges) < min(peers * degree, peers * (peers - 1)) // 2:
        one, other = sorted(rng.sample(range(1, peers + 1), 2))
        edges.add((one, other))
    return edges


def full(peers: int) -> Edges:
    """Everybody with everybody."""
    return {(one, other) for other in range(2, peers + 1) for one in range(1, other)}


class Mesh:
    """Peers 1 to N; this daemon is number 1."""

    def __init__(self, peers: int, shape: str) -> None:
        edges = full(peers) if shape == "full" else sparse(peers)
        self._names = [_name(number) for number in range(peers + 1)]
        self._beside: list[set[int]] = [set() for _ in range(peers + 1)]
        self._adjacency: dict[PeerName, set[PeerName]] = {name: set() for name in self._names[1:]}
        self._lost: list[tuple[int, int]] = []
        self._far = max(edges)
        for one, other in edges:
            self._join(one, other)
        self._infos = {
            self._names[n]: PeerInfo(f"host{n}", ShortId(n)) for n in range(1, peers + 1)
        }
        # Nothing is held: a change takes effect at once, as it does when the hold has run out.
        self._view = ForwardingView(self._names[1], hold_s=0.0)
        local = tuple(LocalPort(number, f"p{number}") for number in (1, 2))
        self._ports = BridgePorts({6784: TUNNEL_PORT}, local, ())

    def state(self) -> ForwardingState:
        """What the flows must express now: the way from the topology that a daemon goes, too."""
        own = self._names[1]
        underlays = {
            self._names[n]: Underlay(_address(n), _address(1), 6784)
            for n in sorted(self._beside[1])
        }
        self._view.observe(self._adjacency, self._infos, underlays, now=0.0)
        return forwarding_state(self._view, own, ShortId(1), self._ports, {})

    def lose_neighbour(self) -> None:
        """The connection to the neighbour with the most connections ends."""
        self._part(1, max(self._beside[1], key=lambda n: (len(self._beside[n]), n)))

    def lose_far(self) -> None:
        """A connection between two others ends."""
        self._part(*self._far)

    def restore(self) -> None:
        """All connections are there again."""
        while self._lost:
            self._join(*self._lost.pop())

    def _join(self, one: int, other: int) -> None:
        for here, there in ((one, other), (other, one)):
            self._beside[here].add(there)
            self._adjacency[self._names[here]].add(self._names[there])

    def _part(self, one: int, other: int) -> None:
        self._lost.append((one, other))
        for here, there in ((one, other), (other, one)):
            self._beside[here].discard(there)
            self._adjacency[self._names[here]].discard(self._names[there])


def _name(number: int) -> PeerName:
    return PeerName(0x7A << 40 | number)


def _address(number: int) -> str:
    return f"10.99.{number >> 8}.{number & 255}"
