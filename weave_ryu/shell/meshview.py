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
from weave_ryu.gateway.role import Entry
from weave_ryu.names import PeerName
from weave_ryu.shell import hub
from weave_ryu.shell.chronicle import Chronicle, Event
from weave_ryu.shell.problems import ApiError

if TYPE_CHECKING:
    from weave_ryu.shell.daemon import Daemon

LOOK_EVERY_S = 0.25
KEEP_ALIVE_S = 5.0
MAX_LABELS = 1000
"""Gateways whose label is remembered."""
MAX_LISTENERS = 16
SHOWN_EVENTS = 100


class MeshView:
    """Makes the document, and tells listeners when it changes. Implements `gatewayd.Observer`.

    Args:
        daemon: what is shown.
    """

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._labels: dict[PeerName, str] = {}
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
        self._note_gateways_names()
        if self._listeners:
            self._refresh()

    def _refresh(self) -> None:
        key = self._fingerprint()
        if key != self._key:
            self._key = key
            self._version += 1
            self._text = json.dumps(self.document(), separators=(",", ":")).encode()

    def _fingerprint(self) -> object:
        """Changes when the document does, ages left out; much cheaper than the document."""
        daemon, core = self._daemon, self._daemon.gateways.core
        now = time.monotonic()
        return (
            self.chronicle.count,
            tuple((peer.name, peer.version, peer.nick_name) for peer in daemon.router.peers),
            tuple((record.name, record.sequence) for record in core.registry.records()),
            tuple((p.intent, p.state, tuple(p.obstacles())) for p in core.ports.values()),
            tuple(
                (name, view.bfd, view.judgement.verdict)
                for name in core.companions()
                for view in (core.peer_view(name, now),)
            ),
            daemon.switch.is_connected,
            daemon.forwarder.is_in_sync,
        )

    def _note_gateways_names(self) -> None:
        """Keep the labels of gateways: the mesh forgets them when they have gone."""
        gateways = {record.name for record in self._daemon.gateways.core.registry.records()}
        known = {p.name: p.nick_name for p in self._daemon.router.peers if p.name in gateways}
        if len(self._labels) > MAX_LABELS:
            self._labels.clear()
        self._labels.update(known)

    # What the API asks for.

    def document(self) -> dict[str, Any]:
        """Everything that the page shows but the MACs."""
        daemon = self._daemon
        peers = sorted(daemon.router.peers, key=lambda peer: peer.name)
        places = {peer.name: number for number, peer in enumerate(peers)}
        links = [
            (places[peer.name], places[line.remote], int(line.established))
            for peer in peers
            for line in peer.sorted_connections()
            if line.remote in places and line.outbound
        ]
        self._note_gateways_names()
        names = self._labels | {peer.name: peer.nick_name for peer in peers}
        former = [name for name in sorted(self._labels) if name not in places]
        return {
            "version": __version__,
            "at": _time(time.time()),
            "own": str(daemon.router.name),
            "nick_name": daemon.router.nick_name,
            "ready": daemon.switch.is_connected and daemon.forwarder.is_in_sync,
            "needs_token": daemon.config.api_token is not None,
            "peers": [{"name": str(p.name), "nick_name": p.nick_name} for p in peers],
            "former": [{"name": str(n), "nick_name": self._labels[n]} for n in former],
            "links": links,
            "segments": self._segments(names, set(places)),
            "events": [_event(event, names) for event in self.chronicle.events()[-SHOWN_EVENTS:]],
        }

    def _segments(self, names: dict[PeerName, str], present: set[PeerName]) -> list[dict[str, Any]]:
        core, own = self._daemon.gateways.core, self._daemon.router.name
        now = time.monotonic()
        found: dict[str, list[dict[str, Any]]] = {}
        # Leases and BFD go from gateway to gateway of a segment; others would call each one silent.
        watched = set(core.companions())
        for record in core.registry.records():
            is_own = record.name == own
            view = core.peer_view(record.name, now) if record.name in watched else None
            for port in record.ports:
                found.setdefault(port.segment, []).append(
                    {
                        "peer": str(record.name),
                        "nick_name": names.get(record.name, ""),
                        "own": is_own,
                        # Its record is kept for a while, its connections are not.
                        "away": record.name not in present,
                        "port": port.port,
                        "segment": port.segment,
                        "state": port.state,
                        "role": port.role,
                        "priority": port.priority,
                        "epoch": port.epoch,
                        "ready": port.ready,
                        "damped": port.damped,
                        "drained": is_own and core.ports[port.port].intent.drained,
                        "obstacles": core.ports[port.port].obstacles() if is_own else [],
                        "reason": port.reason,
                        "bfd": None if view is None else str(view.bfd),
                        "verdict": None if view is None else str(view.judgement.verdict),
                    }
                )
        return [
            {"name": name, "epoch": core.epoch(name), "gateways": found[name]}
            for name in sorted(found)
        ]

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


def _event(event: Event, names: dict[PeerName, str]) -> dict[str, Any]:
    return {
        "number": event.number,
        "at": _time(event.at),
        "peer": str(event.peer),
        "nick_name": names.get(event.peer, ""),
        "port": event.port,
        "segment": event.segment,
        "before": event.before,
        "state": event.state,
        "epoch": event.epoch,
        "reason": event.reason,
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
