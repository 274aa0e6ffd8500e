"""``GET /mesh`` and ``GET /events``: the whole mesh as one daemon knows it, and its changes.

One green thread looks for changes as long as somebody listens; what it finds is made into JSON once
for all listeners.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from weave_ryu import __version__
from weave_ryu.gateway.states import Entry
from weave_ryu.names import PeerName
from weave_ryu.shell import hub
from weave_ryu.shell.chronicle import Chronicle, Event
from weave_ryu.shell.problems import ApiError
from weave_ryu.shell.standing import Standing, headline

if TYPE_CHECKING:
    from weave_ryu.shell.daemon import Daemon

LOOK_EVERY_S = 0.25
KEEP_ALIVE_S = 0.5
"""The page takes a daemon that says nothing for four times as long for a dead one."""
MAX_LISTENERS = 16
SHOWN_EVENTS = 100


class MeshView:
    """Makes the document, and tells listeners when it changes. Implements `gatewayd.Observer`.

    Args:
        daemon: what is shown.
    """

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self.chronicle = Chronicle(daemon.router.name)
        self._key: object = None
        self._text = b""
        self._version = 0
        self._listeners = 0

    # What the gateways tell.

    def entered(self, port: str, segment: str, entry: Entry) -> None:
        """An own port has changed its state."""
        self.chronicle.entered(port, segment, entry, time.time())

    def renewed(self, port: str, sent_at: float) -> None:
        """Nothing to show."""

    def watch(self) -> None:
        """Note what other gateways do, for ever."""
        while True:
            self._look()
            hub.sleep(LOOK_EVERY_S)

    def _look(self) -> None:
        registry = self._daemon.gateways.core.registry
        self.chronicle.observe(registry.records(), time.time())
        self._daemon.standings.note()
        if self._listeners:
            self._refresh()

    def _refresh(self) -> None:
        key = self._fingerprint()
        if key != self._key:
            self._key = key
            self._version += 1
            self._text = json.dumps(self.document(), separators=(",", ":")).encode()

    def _fingerprint(self) -> object:
        """Changes when the document does; much cheaper than the document."""
        daemon, core = self._daemon, self._daemon.gateways.core
        now = time.monotonic()
        return (
            self.chronicle.version,
            tuple((peer.name, peer.version, peer.nick_name) for peer in daemon.router.peers),
            tuple((record.name, record.sequence) for record in core.registry.records()),
            tuple((p.intent, p.state, tuple(p.obstacles())) for p in core.ports.values()),
            tuple(
                (name, view.bfd, view.judgement.verdict)
                for name in core.companions()
                for view in (core.peer_view(name, now),)
            ),
            # How long somebody is silent, too, as far as it is shown.
            tuple(
                (one.believed, one.words)
                for segment in daemon.standings.segments()
                for _, one in daemon.standings.of(segment)
            ),
            daemon.switch.is_connected,
            daemon.forwarder.is_in_sync,
        )

    # What the API asks for.

    def document(self) -> dict[str, Any]:
        """Everything that the page shows but the MACs."""
        daemon = self._daemon
        # Segments are shown with their gateways, and not as hosts among the others.
        peers = [peer for peer in daemon.router.peers if peer.owner is None]
        places = {peer.name: number for number, peer in enumerate(peers)}
        links = [
            (places[peer.name], places[line.remote], int(line.established))
            for peer in peers
            for line in peer.sorted_connections()
            if line.remote in places and line.outbound
        ]
        daemon.standings.note()
        former = daemon.standings.former()
        return {
            "version": __version__,
            "at": _time(time.time()),
            "own": str(daemon.router.name),
            "nick_name": daemon.router.nick_name,
            "ready": daemon.switch.is_connected and daemon.forwarder.is_in_sync,
            "needs_token": daemon.config.api_token is not None,
            "peers": [{"name": str(p.name), "nick_name": p.nick_name} for p in peers],
            "former": [{"name": str(name), "nick_name": nick} for name, nick in former.items()],
            "links": links,
            "segments": self._segments(),
            "events": [self._event(event) for event in self.chronicle.events()[-SHOWN_EVENTS:]],
        }

    def _segments(self) -> list[dict[str, Any]]:
        standings, epoch = self._daemon.standings, self._daemon.gateways.core.epoch
        found = []
        for name in standings.segments():
            gateways = standings.of(name)
            line = headline([one for _, one in gateways])
            found.append(
                {
                    "name": name,
                    "epoch": epoch(name),
                    "headline": {"who": line.who, "could": line.could, "tone": line.tone},
                    "gateways": [self._gateway(peer, one) for peer, one in gateways],
                }
            )
        return found

    def _gateway(self, peer: PeerName, one: Standing) -> dict[str, Any]:
        core, readable = self._daemon.gateways.core, self._daemon.standings.readable
        told, is_own = one.seen.told, one.seen.is_own
        view = None if one.seen.judgement is None else core.peer_view(peer, time.monotonic())
        return {
            "peer": str(peer),
            "nick_name": self._daemon.standings.nick_name(peer),
            "own": is_own,
            # Its record is kept for a while, its connections are not.
            "away": one.seen.away_s is not None,
            "port": told.port,
            "segment": told.segment,
            "state": told.state,
            "believed": one.believed,
            "alive": one.is_alive,
            "could": one.could,
            "words": readable(one.words),
            "why": readable(one.why),
            "role": told.role,
            "priority": told.priority,
            "epoch": told.epoch,
            "ready": told.ready,
            "damped": told.damped,
            "drained": is_own and core.ports[told.port].intent.drained,
            "obstacles": core.ports[told.port].obstacles() if is_own else [],
            "reason": readable(told.reason),
            "bfd": None if view is None else str(view.bfd),
            "verdict": None if view is None else str(view.judgement.verdict),
        }

    def _event(self, event: Event) -> dict[str, Any]:
        standings = self._daemon.standings
        return {
            "number": event.number,
            "at": _time(event.at),
            "peer": str(event.peer),
            "nick_name": standings.nick_name(event.peer),
            "port": event.port,
            "segment": event.segment,
            "before": event.before,
            "state": event.state,
            "epoch": event.epoch,
            "reason": standings.readable(event.reason),
        }

    def listen(self) -> Iterator[bytes]:
        """Server-sent events: the document now, and each time that it has changed.

        Raises:
            ApiError: there are too many listeners.
        """
        if self._listeners >= MAX_LISTENERS:
            raise ApiError(429, "too-often", f"{MAX_LISTENERS} listen already: close some pages")
        return self._stream()

    def _stream(self) -> Iterator[bytes]:
        self._listeners += 1
        try:
            self._daemon.standings.note()
            self._refresh()
            sent, sent_at = self._version, time.monotonic()
            yield b"retry: 1000\ndata: " + self._text + b"\n\n"
            while True:
                hub.sleep(LOOK_EVERY_S / 2)
                now = time.monotonic()
                if self._version != sent:
                    sent, sent_at = self._version, now
                    yield b"data: " + self._text + b"\n\n"
                elif now - sent_at > KEEP_ALIVE_S:
                    sent_at = now
                    yield b": still here\n\n"  # finds out that the listener has gone
        finally:
            self._listeners -= 1


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
