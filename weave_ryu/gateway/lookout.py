"""Signs of life of the other gateways, and what they mean. Sans-IO."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from weave_ryu.gateway.detection import ALIVE, Bfd, Evidence, Judgement, judge
from weave_ryu.gateway.hearing import Hearing
from weave_ryu.gateway.records import GatewayRecord
from weave_ryu.gateway.registry import Registry
from weave_ryu.gateway.surroundings import Other
from weave_ryu.gateway.timers import Timers
from weave_ryu.names import PeerName

FRESH_LEASES = 2
"""A claim counts in a conflict while its lease is not older than this many times `silent_s`."""

ROUNDED_S = 1e-6
"""More than what is lost where times are added."""

_DOWN = Bfd.DOWN  # asked for some twenty times a second, and slow to look up before Python 3.12

_NEVER: tuple[int, float, list[Other]] = -1, 0.0, []


@dataclass(slots=True)
class Signs:
    """Signs of life of one other gateway; times are monotonic seconds."""

    heard_at: float
    doubted_at: float = float("-inf")
    deaf_until: float = float("-inf")
    """It has said that it does not hear this peer."""
    bfd: Bfd = Bfd.NONE
    bfd_at: float = 0.0
    lease: bytes | None = None
    """The last that it sent, if there was nothing else in it."""
    sure_until: float = float("-inf")
    """Until then the way to it is in no doubt, whatever else is to be looked at after that."""

    def heard(self, now: float, doubt_s: float) -> None:
        """A message has come straight from it."""
        self.heard_at = now
        is_doubted = now < self.deaf_until or self.bfd is _DOWN
        self.sure_until = float("-inf") if is_doubted else now + doubt_s


@dataclass(frozen=True, slots=True)
class PeerView:
    """What is known of another gateway, for status pages."""

    name: PeerName
    lease_age_s: float
    bfd: Bfd
    judgement: Judgement
    hello_age_s: float | None = None
    """Since its last hello on a segment; None if none was heard."""


class Lookout:
    """See the module's docstring.

    Args:
        registry: of all gateways.
        hearing: of hellos on the own segments.
        timers: all times.
    """

    def __init__(self, registry: Registry, hearing: Hearing, timers: Timers) -> None:
        self._registry = registry
        self._hearing = hearing
        self._timers = timers
        self.signs: dict[PeerName, Signs] = {}
        self._living: dict[tuple[PeerName, str], tuple[GatewayRecord, list[Other]]] = {}
        """Gateways that are heard, as `others` shows them: the same until their records change."""
        self._looked: dict[str, tuple[int, float, list[Other]]] = {}
        """`registry.changes`, until when that is right, and the last answer of `others`: the same
        list as long as nothing in it changes."""
        self._seen: dict[str, list[Other]] | None = None

    # What happens.

    def known(self, name: PeerName, now: float) -> Signs:
        """Signs of a gateway; one that is new counts as heard now."""
        return self.signs.setdefault(name, Signs(heard_at=now))

    def left(self, gone: Collection[PeerName]) -> None:
        """Peers are no longer part of the mesh."""
        self.signs = {name: signs for name, signs in self.signs.items() if name not in gone}
        self._living.clear()

    def slept(self, slept_s: float) -> None:
        """Nothing could be heard for so long: that is not silence of the others."""
        for signs in self.signs.values():
            signs.heard_at += slept_s

    def bfd(self, peer: PeerName, state: Bfd, now: float) -> bool:
        """A BFD session is in this state; True if that is news.

        One that never was up says nothing when it is down.
        """
        signs = self.known(peer, now)
        if (state is Bfd.DOWN and signs.bfd is Bfd.NONE) or state is signs.bfd:
            return False
        signs.bfd, signs.bfd_at, signs.sure_until = state, now, float("-inf")
        return True

    def hold_still(self) -> None:
        """From now on `others` shows nothing new: who looks several times sees the same."""
        self._seen = {}

    def go_on(self) -> None:
        """`others` shows what is new again."""
        self._seen = None

    # What it means.

    def is_heard(self, name: PeerName, now: float) -> bool:
        """Its lease is not silent."""
        signs = self.signs.get(name)
        return signs is not None and now - signs.heard_at < self._timers.silent_s

    def silent(self, for_s: float, now: float) -> frozenset[PeerName]:
        """Gateways of which nothing was heard straight from themselves for so long."""
        names = (record.name for record in self._registry.records())
        others = (name for name in names if name != self._registry.own)
        return frozenset(n for n in others if now - self._heard_at(n) >= for_s)

    def _heard_at(self, name: PeerName) -> float:
        signs = self.signs.get(name)
        return float("-inf") if signs is None else signs.heard_at

    def others(self, segment: str, now: float) -> list[Other]:
        """The other gateways of a segment, sorted by name."""
        changes, until, before = self._looked.get(segment, _NEVER)
        if changes == self._registry.changes and now < until:
            return before  # all of them have been heard since then, or lately enough
        if self._seen is None:
            return self._look_around(segment, now)
        if segment not in self._seen:
            self._seen[segment] = self._look_around(segment, now)
        return self._seen[segment]

    def _look_around(self, segment: str, now: float) -> list[Other]:
        silent_s = self._timers.silent_s
        until, found = float("inf"), list[Other]()
        for name in self._registry.others_of(segment):
            record = self._registry.record(name)
            if record is None:
                continue
            signs = self.signs.get(name)
            if signs is not None and now - signs.heard_at < silent_s:
                found.extend(self._alive(record, segment))
                until = min(until, signs.heard_at + silent_s - ROUNDED_S)
                continue
            until = float("-inf")
            view = self.view(name, now)
            fresh = view.lease_age_s < FRESH_LEASES * silent_s
            ports = (port for port in record.ports if port.segment == segment)
            found.extend(Other(name, port, view.judgement, fresh) for port in ports)
        _, _, before = self._looked.get(segment, _NEVER)
        if before == found:
            found = before  # what follows from it is known to those who keep it
        self._looked[segment] = self._registry.changes, until, found
        return found

    def _alive(self, record: GatewayRecord, segment: str) -> list[Other]:
        known, others = self._living.get((record.name, segment), (None, []))
        if known is not record:
            ports = (port for port in record.ports if port.segment == segment)
            others = [Other(record.name, port, ALIVE, True) for port in ports]
            self._living[record.name, segment] = record, others
        return others

    def elsewhere(self, segment: str, now: float) -> tuple[PeerName, ...]:
        """Gateways that say on the segment that they forward, but are not in this mesh."""
        heard = self._hearing.forwarding(segment, self._timers.silent_s, now)
        return tuple(name for name in heard if self._registry.record(name) is None)

    def view(self, name: PeerName, now: float) -> PeerView:
        """Signs of life of another gateway, and what they mean together."""
        signs = self.signs.get(name) or Signs(heard_at=float("-inf"))
        hello_age = self._hearing.age_s(name, now)
        record = self._registry.record(name)
        fence_s = record.fence_ms / 1000 if record is not None else 0.0
        ages = now - signs.heard_at, signs.bfd, now - signs.bfd_at, hello_age
        evidence = Evidence(*ages, fence_s)
        judgement = judge(evidence, self._timers)
        return PeerView(name, evidence.lease_age_s, signs.bfd, judgement, hello_age)

    def doubt_at(self, signs: Signs, now: float) -> float:
        """When the next lease to a gateway takes a detour, if nothing is heard of it before."""
        again_at = signs.doubted_at + self._timers.lease_s
        if now < signs.deaf_until or signs.bfd is _DOWN:
            return again_at
        return max(signs.heard_at + self._timers.doubt_s, again_at)
