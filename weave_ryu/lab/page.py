"""The web page of a lab's daemon in the browser of this machine.

A daemon of a lab listens on the loopback address of its own namespace, which no browser outside
reaches. A relay listens on that of this machine and connects from within the namespace.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path
from typing import Final

from weave_ryu.errors import LabError
from weave_ryu.lab import netns
from weave_ryu.lab.daemon import HTTP_HOST, HTTP_PORT

CONNECT_TIMEOUT_S: Final = 5.0
_CHUNK_BYTES: Final = 1 << 16


class Relay:
    """Passes TCP connections on to a daemon; see the module's docstring.

    Args:
        namespace: of the daemon.
        port: on this machine's loopback address; 0 takes a free one.

    Raises:
        LabError: the port is taken.
    """

    def __init__(self, namespace: Path, port: int) -> None:
        self._namespace = namespace
        try:
            self._listener = socket.create_server((HTTP_HOST, port))
        except OSError as error:
            raise LabError(
                f"cannot listen on {HTTP_HOST}:{port} ({error.strerror})",
                "choose another port with --port",
            ) from error

    @property
    def url(self) -> str:
        """What to open."""
        host, port = self._listener.getsockname()
        return f"http://{host}:{port}/"

    def serve(self) -> None:
        """Serve until the process ends."""
        while True:
            browser, _ = self._listener.accept()
            threading.Thread(target=self._relay, args=(browser,), daemon=True).start()

    def _relay(self, browser: socket.socket) -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(browser.close)
            try:
                daemon = netns.connect_inside(
                    self._namespace, HTTP_HOST, HTTP_PORT, CONNECT_TIMEOUT_S
                )
            except OSError:
                return  # the browser sees that nobody is there, and tries again
            stack.callback(daemon.close)
            daemon.settimeout(None)
            there = threading.Thread(target=_pump, args=(browser, daemon), daemon=True)
            there.start()
            _pump(daemon, browser)
            there.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    """Pass bytes on until either end has gone; then neither gets more."""
    try:
        while chunk := source.recv(_CHUNK_BYTES):
            sink.sendall(chunk)
    except OSError:
        pass
    finally:
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
