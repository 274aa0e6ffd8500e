"""Collects what `standing.weigh` weighs, and knows the nick names of peers, of former ones, too."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from weave_ryu.gateway.records import PortRecord
from weave_ryu.names import PeerName
from weave_ryu.shell.standing import Seen, Standing, weigh

if TYPE_CHECKING:
    from weave_ryu.shell.daemon import Daemon

MAX_LABELS = 1000
"""Gateways whose label is remembered."""

_PEER = re.compile(r"\b[0-9a-f]{2}(?::[0-9a-f]{2}){5}\b")


class Standings:
    """The gateways of all segments, as this daemon sees them now.

    Args:
        daemon: whose view it is.
    """

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._labels: dict[PeerName, str] = {}
        self._left_at: dict[PeerName, float] = {}

    def note(self) -> None:
        """Keep labels of gateways, and when they left: the mesh forgets both. Call often."""
        now, daemon = time.monotonic(), self._daemon
        gateways = {record.name for record in daemon.gateways.core.registry.records()}
        present = {p.name: p.nick_name for p in daemon.router.peers if p.name in gateways}
        if len(self._labels) > MAX_LABELS:
            self._labels.clear()
        self._labels.update(present)
        gone = gateways - present.keys() - {daemon.router.name}
        self._left_at = {name: self._left_at.get(name, now) for name in gone}

    def former(self) -> dict[PeerName, str]:
        """Nick names of gateways that are no longer part of the mesh."""
        present = {peer.name for peer in self._daemon.router.peers}
        return {n: label for n, label in sorted(self._labels.items()) if n not in present}

    def nick_name(self, name: PeerName) -> str:
        """Of a gateway, a former one, too; empty if it is not known."""
        return self._labels.get(name, "")

    def readable(self, text: str) -> str:
        """A reason with nick names instead of names: gateways know one another by name only."""
        if not _PEER.search(text):
            return text
        labels = self._labels | {peer.name: peer.nick_name for peer in self._daemon.router.peers}
        return _PEER.sub(lambda found: _unique(found[0], labels), text)

    def segments(self) -> list[str]:
        """All segments that a gateway is known of, sorted."""
        records = self._daemon.gateways.core.registry.records()
        return sorted({port.segment for record in records for port in record.ports})

    def of(self, segment: str) -> list[tuple[PeerName, Standing]]:
        """All gateway ports of a segment with their peers, sorted by peer and port.

        `note` is called before, once for all segments of an answer.
        """
        seen = self._seen(segment)
        standings = weigh([one for _, one in seen], self._daemon.gateways.core.timers.give_up_s)
        return [(name, one) for (name, _), one in zip(seen, standings, strict=True)]

    def _seen(self, segment: str) -> list[tuple[PeerName, Seen]]:
        core, own = self._daemon.gateways.core, self._daemon.router.name
        now = time.monotonic()
        # Leases and BFD go from gateway to gateway of a segment; others would call each one silent.
        watched = set(core.companions())
        told: list[tuple[PeerName, PortRecord]] = [
            (record.name, port)
            for record in core.registry.records()
            for port in record.ports
            if port.segment == segment and record.name != own
        ]
        # Of itself a daemon knows more than what it told last.
        ports = core.ports.values() if core.registry.own_record is not None else ()
        told += [(own, port.record(now)) for port in ports if port.spec.segment == segment]
        found = []
        for name, port in sorted(told, key=lambda one: (one[0], one[1].port)):
            label = f"{self.nick_name(name) or name} {port.port}"
            if name == own:
                is_certain = str(core.ports[port.port].state) == port.state
                seen = Seen(label, port, is_own=True, is_certain=is_certain)
            else:
                left_at = self._left_at.get(name)
                away_s = None if left_at is None else now - left_at
                view = core.peer_view(name, now) if name in watched else None
                judgement = None if view is None else view.judgement
                silent_s = 0.0 if view is None else view.lease_age_s
                seen = Seen(label, port, False, True, judgement, silent_s, away_s)
            found.append((name, seen))
        return found


def _unique(text: str, labels: Mapping[PeerName, str]) -> str:
    """The nick name of a peer; its name if it has none, or another has the same."""
    nick_name = labels.get(PeerName.parse(text), "")
    is_unique = list(labels.values()).count(nick_name) == 1
    return nick_name if nick_name and is_unique else text
