"""Who owns which short id: the peer with the lowest name of those that have it (mesh/peers.go)."""

from __future__ import annotations

import random
from bisect import bisect_left, insort

from weave_ryu.names import MAX_SHORT_ID, PeerName, ShortId

_RANDOM_TRIES = 10


class ShortIdIndex:
    """Short id → the names that have it, lowest first."""

    __slots__ = ("_names",)

    def __init__(self) -> None:
        self._names: dict[ShortId, list[PeerName]] = {}

    def add(self, short_id: ShortId, name: PeerName) -> None:
        """Note that a peer has it; twice is once."""
        names = self._names.setdefault(short_id, [])
        if name not in names:
            insort(names, name)

    def remove(self, short_id: ShortId, name: PeerName) -> None:
        """Note that a peer has it no more."""
        names = self._names.get(short_id, [])
        at = bisect_left(names, name)
        if at < len(names) and names[at] == name:
            del names[at]
        if not names:
            self._names.pop(short_id, None)

    def owner(self, short_id: ShortId) -> PeerName | None:
        """The lowest name that has it."""
        names = self._names.get(short_id)
        return names[0] if names else None

    def owners(self) -> dict[ShortId, PeerName]:
        """All owners, by number."""
        return {short_id: self._names[short_id][0] for short_id in sorted(self._names)}

    def draw(self, rng: random.Random) -> ShortId | None:
        """A number nobody has: ten random tries, then one of the free ones; None if none is."""
        for _ in range(_RANDOM_TRIES):
            short_id = ShortId(rng.randrange(MAX_SHORT_ID + 1))
            if short_id not in self._names:
                return short_id
        free = [number for number in range(MAX_SHORT_ID + 1) if ShortId(number) not in self._names]
        return ShortId(rng.choice(free)) if free else None
