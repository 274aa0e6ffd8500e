"""Compares what a switch holds with what it was given, time and again. Sans-IO.

A fingerprint in each cookie (`cookies`) says what the daemon gave. What somebody makes of a flow
afterwards leaves the cookie as it is (``ovs-ofctl mod-flows``); so the digest of what the switch
shows of a flow is noted when it is first seen, and has to stay the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from weave_ryu.pipeline.diff import InstalledFlow


@dataclass(frozen=True, slots=True)
class Deviation:
    """What others have done to flows of this program.

    Args:
        missing: flows that are not there any more.
        foreign: flows that carry this program's cookies and were not given by it.
        altered: flows that do something else than they did, or are there more than once.
    """

    missing: frozenset[InstalledFlow] = frozenset()
    foreign: frozenset[InstalledFlow] = frozenset()
    altered: frozenset[InstalledFlow] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.missing or self.foreign or self.altered)


class FlowAudit:
    """Remembers how each flow looked when it was seen first."""

    def __init__(self) -> None:
        self._digests: dict[InstalledFlow, int] = {}

    def compare(
        self, found: Iterable[tuple[InstalledFlow, int]], given: set[InstalledFlow]
    ) -> Deviation:
        """What is not as it was given.

        Args:
            found: all managed flows of the switch, each with a digest of its match and actions.
            given: what was installed and confirmed.
        """
        seen = list(found)
        times = Counter(flow for flow, _ in seen)
        altered = {flow for flow, count in times.items() if count > 1}
        altered |= {flow for flow, digest in seen if self._digests.get(flow, digest) != digest}
        self._digests = {flow: digest for flow, digest in seen if flow not in altered}
        return Deviation(
            missing=frozenset(given - times.keys()),
            foreign=frozenset(times.keys() - given - altered),
            altered=frozenset(altered),
        )

    def forget(self) -> None:
        """The flows may have been made anew by another switch process."""
        self._digests.clear()
