"""What ryu 4.34 needs to run here; the reasons stand in docs/explanation/building-ryu.md.

`apply` must run before the first import of ryu.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import socket
import sys
import warnings
from pathlib import Path
from typing import Any

from weave_ryu.shell import hub


def apply() -> None:
    """Make ryu importable with today's eventlet, and soon."""
    _use_own_distutils()
    # ryu compares numbers with `is not`; Python says so each time it compiles that file, and a user
    # would read it before our own sentence.
    warnings.filterwarnings("ignore", category=SyntaxWarning, module=r".*[/.]ryu[/.]")
    # ryu.app.wsgi imports this name, which eventlet removed in 0.30.3. A list, since eventlet
    # iterates over what a WSGI application returns.
    if not hasattr(hub.wsgi, "ALREADY_HANDLED"):
        hub.wsgi.ALREADY_HANDLED = []
    # ryu's own log configuration would add handlers; ours are set up in `logs.py`.
    logging.getLogger("ryu").setLevel(logging.WARNING)


def _use_own_distutils() -> None:
    """Give ryu, which compares versions with ``distutils``, the one of Python while there is one.

    setuptools puts its own in the way of that import, and all of itself with it: a fifth of the
    time that the daemon takes to start. From Python 3.12 on there is no other.
    """
    if sys.version_info < (3, 12):
        with contextlib.suppress(ImportError):
            importlib.import_module("_distutils_hack").remove_shim()


READ_AHEAD_BYTES = 1 << 16


class _UnixConnection:
    """A Unix socket as ryu's Datapath can use it.

    It shrugs off TCP options, which Datapath sets on every connection, and reads ahead: Datapath
    asks for the eight bytes of a header, then for the rest.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._ahead = b""
        self._taken = 0

    def recv(self, size: int) -> bytes:
        """At most so many bytes; waits for the first."""
        if self._taken >= len(self._ahead):
            self._ahead, self._taken = self._connection.recv(READ_AHEAD_BYTES), 0
        taken = self._taken
        self._taken = taken + size
        return self._ahead[taken : self._taken]

    def setsockopt(self, level: int, *arguments: Any) -> None:  # noqa: ANN401
        if level != socket.IPPROTO_TCP:
            self._connection.setsockopt(level, *arguments)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._connection, name)


class UnixOpenFlowServer:
    """Accepts the local switch on a Unix socket in Open vSwitch's run directory.

    A TCP port would let any local user play switch, and would collide with other controllers.
    Open vSwitch only connects to Unix sockets below its run directory (ovs-vswitchd.conf.db(5),
    Controller, target).
    """

    def __init__(self, path: str) -> None:
        from ryu.controller.controller import datapath_connection_factory  # noqa: PLC0415

        self._path = path
        self._serve_switch = datapath_connection_factory
        # Names end in `.PID.sock`: those of earlier processes go, too.
        bridge_prefix = Path(path).name.removesuffix(".sock").rpartition(".")[0]
        for earlier in Path(path).parent.iterdir():
            if earlier.name.startswith(f"{bridge_prefix}.") and earlier.suffix == ".sock":
                with contextlib.suppress(FileNotFoundError):
                    earlier.unlink()
        before = os.umask(0o177)
        try:
            self._server = hub.listen(path, family=socket.AF_UNIX)
        finally:
            os.umask(before)

    def __call__(self) -> None:
        """Accept for ever; ryu spawns this."""
        while True:
            connection, _ = self._server.accept()
            hub.spawn(self._serve_switch, _UnixConnection(connection), (self._path, 0))


def serve_openflow_on(path: str) -> None:
    """Let ryu's OpenFlow handler listen on a Unix socket instead of TCP 6653 and 6633."""
    handler: Any = importlib.import_module("ryu.controller.ofp_handler")
    handler.OpenFlowController = lambda: UnixOpenFlowServer(path)
