"""One connection of the API: how long a client may take to ask, and how many it may hold.

`eventlet.wsgi` limits the wait for each read only: a client that sends a byte now and then would
keep its place for ever, and a hundred of them would keep everybody else out.
"""

from __future__ import annotations

import ssl
from collections import Counter
from typing import Any

import structlog

from weave_ryu.shell import hub

_log = structlog.get_logger()

MAX_CONNECTIONS = 128
MAX_OF_ADDRESS = 48
"""Browsers hold six; `weave-ryu` one."""

ASK_S = 10.0
"""All of a request's head must be there so soon after the last answer, or the beginning."""

SERVE_S = 120.0
"""With its body, its answer, and a client that reads it."""


class _Protocol(hub.wsgi.HttpProtocol):  # type: ignore[misc]
    """Requests of one connection, one after the other."""

    _limit: Any = None

    def handle_one_request(self) -> None:
        """The next one; a client that is too slow ends its connection."""
        self._limit = hub.Timeout(ASK_S)
        try:
            super().handle_one_request()
        except hub.Timeout as limit:
            if limit is not self._limit:
                raise
            self.close_connection = True
        finally:
            self._limit.cancel()

    def handle_one_response(self) -> None:
        """The head is there."""
        self._limit.cancel()
        self._limit = hub.Timeout(SERVE_S)
        super().handle_one_response()


class Connections:
    """Serves connections for `eventlet.wsgi`, as many of each address as are allowed."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    def serve(self, state: Any, server: Any) -> None:  # noqa: ANN401
        """Serve one connection; a client that breaks TLS ends it like one that goes away.

        What fails in TLS `eventlet.wsgi` lets pass, and would leave a traceback.
        """
        client = str(state[0][0])
        if self._open[client] >= MAX_OF_ADDRESS:
            _log.debug("too_many_connections", client=client)
            state[1].close()
            return
        self._open[client] += 1
        try:
            _Protocol(state, server)
        except ssl.SSLError as error:
            _log.debug("tls_broken", client=client, error=str(error))
        finally:
            self._open[client] -= 1
            if not self._open[client]:
                del self._open[client]
