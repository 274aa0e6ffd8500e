"""Neighbours that speak to us, but whom frames do not reach: told once, and when it is over."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from weave_ryu.mesh.views import ConnectionView
from weave_ryu.names import PeerName

_log = structlog.get_logger()

LOOK_EVERY_S = 5.0
GRACE_S = 5.0
"""For a connection that is about to be established."""


class ReachLog:
    """Writes the lines, on both sides of a connection: each says what it knows of the reason."""

    def __init__(self) -> None:
        self._since: dict[PeerName, float] = {}
        self._told: set[PeerName] = set()

    def look(self, connections: Iterable[ConnectionView], now: float) -> None:
        """Compare with the last look.

        Args:
            connections: all that there are.
            now: monotonic seconds.
        """
        joined = {view.name: view for view in connections if view.name is not None}
        for name, view in joined.items():
            if view.established:
                self._reached(view, name, now)
                continue
            since = self._since.setdefault(name, now)
            if now - since >= GRACE_S and name not in self._told:
                self._told.add(name)
                _log.warning("peer_not_reached", **_who(view), reason=view.info)
        for name in self._since.keys() - joined.keys():
            del self._since[name]
            self._told.discard(name)

    def _reached(self, view: ConnectionView, name: PeerName, now: float) -> None:
        since = self._since.pop(name, now)
        if name in self._told:
            self._told.discard(name)
            _log.info("peer_reached", **_who(view), after_s=round(now - since, 1))


def _who(view: ConnectionView) -> dict[str, str | None]:
    remote = "{}:{}".format(*view.remote)
    return {"peer": str(view.name), "nick_name": view.nick_name, "remote": remote}
