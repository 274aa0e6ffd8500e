"""HTTPS for the API: hands over connections whose handshake is done.

Each handshake has a green thread of its own, so that a client that says nothing keeps nobody
waiting; what fails there never comes to the HTTP server.
"""

from __future__ import annotations

import socket
import ssl
from typing import Any

import structlog

from weave_ryu.shell import hub, listening

_log = structlog.get_logger()

HANDSHAKE_TIMEOUT_S = 5.0
HANDSHAKES_AT_ONCE = 32


class Listener(listening.Listener):
    """A listening socket, as `eventlet.wsgi` uses one.

    Args:
        listener: the plain one.
        context: with certificate and key.
    """

    def __init__(self, listener: socket.socket, context: ssl.SSLContext) -> None:
        super().__init__(listener)
        self._context = context
        self._shaken: Any = hub.Queue(HANDSHAKES_AT_ONCE)
        self._slots = hub.Semaphore(HANDSHAKES_AT_ONCE)
        self._is_accepting = False

    def renew(self, context: ssl.SSLContext) -> None:
        """Use another certificate from the next connection on."""
        self._context = context

    def accept(self) -> tuple[socket.socket, Any]:
        """Wait for the next connection that is ready."""
        if not self._is_accepting:
            self._is_accepting = True
            hub.spawn(self._accept)
        found: tuple[socket.socket, Any] = self._shaken.get()
        return found

    def _accept(self) -> None:
        while True:
            connection, address = super().accept()
            self._slots.acquire()
            hub.spawn(self._shake, connection, address)

    def _shake(self, connection: socket.socket, address: Any) -> None:  # noqa: ANN401
        try:
            wrapped = self._context.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
            wrapped.settimeout(HANDSHAKE_TIMEOUT_S)
            # The time of the whole: each byte of a slow client would begin the other one anew.
            with hub.Timeout(HANDSHAKE_TIMEOUT_S, TimeoutError("the handshake took too long")):
                wrapped.do_handshake()
            self._shaken.put((wrapped, address))
        except OSError as error:
            _log.debug("tls_handshake_failed", client=str(address[0]), error=str(error))
            connection.close()
        finally:
            self._slots.release()
