"""Peers that have just come, and may turn out to be gateways. Sans-IO."""

from __future__ import annotations

from collections.abc import Iterable

from weave_ryu.gateway.registry import Registry
from weave_ryu.names import PeerName

STRANGER_S = 1.0
"""For so long a peer that has just come may turn out to be a gateway: its record is on its way."""


class Strangers:
    """Until one has told that it is a gateway, it counts as one of all own segments.

    Args:
        registry: of those that have told.
        segments: the own ones.
    """

    def __init__(self, registry: Registry, segments: Iterable[str]) -> None:
        self._registry = registry
        self._segments = frozenset(segments)
        self._until: dict[PeerName, float] = {}

    def met(self, names: Iterable[PeerName], now: float) -> None:
        """Peers have become part of the mesh."""
        self._until = {name: until for name, until in self._until.items() if now < until}
        self._until |= dict.fromkeys(names, now + STRANGER_S)

    def segments_of(self, name: PeerName, now: float) -> frozenset[str]:
        """The segments that a peer is a gateway of, or may be."""
        is_known = self._registry.record(name) is not None
        if not is_known and now < self._until.get(name, float("-inf")):
            return self._segments
        return self._registry.segments_of(name)
