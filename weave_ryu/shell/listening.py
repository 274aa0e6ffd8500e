"""The API's listening socket: no connection that cannot be accepted ends it."""

from __future__ import annotations

import socket
from typing import Any

import structlog

from weave_ryu.shell import hub

_log = structlog.get_logger()

RETRY_S = 0.1


class Listener:
    """A listening socket, as `eventlet.wsgi` uses one; that would close it on the first error.

    Args:
        listener: the socket itself.
    """

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self.family = listener.family

    def getsockname(self) -> Any:  # noqa: ANN401
        """The address."""
        return self._listener.getsockname()

    def close(self) -> None:
        """Listen no more."""
        self._listener.close()

    def accept(self) -> tuple[socket.socket, Any]:
        """Wait for the next connection.

        Raises:
            OSError: the socket is closed.
        """
        while True:
            try:
                return self._listener.accept()
            except OSError as error:
                # The process has no file left, or the client has gone already.
                if self._listener.fileno() < 0:
                    raise
                _log.warning("accept_failed", error=str(error))
            hub.sleep(RETRY_S)
