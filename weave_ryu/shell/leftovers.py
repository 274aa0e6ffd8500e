"""Removes ports of containers that have gone without `weave-ryu detach`.

With its namespace a container's link vanishes, and the host's end of it; the port's record stays in
the database for ever, and Open vSwitch tries to open it after each change. Every batch of jobs
would leave some more.

A port is removed only if `weave-ryu attach` has made it, which its record says, and no link of its
name is there. What others have added to the bridge is theirs, whatever state it is in.
"""

from __future__ import annotations

import socket

import structlog

from weave_ryu.errors import WeaveRyuError
from weave_ryu.shell import hub
from weave_ryu.shell.ovsdbd import Ovsdb

_log = structlog.get_logger()

LOOK_EVERY_S = 5.0
"""Between two looks, if nothing changes in the database: Open vSwitch need not notice at once."""


class Collector:
    """Looks after one bridge.

    Args:
        ovsdb: its database.
        bridge: whose ports are looked at.
    """

    def __init__(self, ovsdb: Ovsdb, bridge: str) -> None:
        self._ovsdb = ovsdb
        self._bridge = bridge
        self._changed = hub.Signal()
        self._has_failed = False

    def database_changed(self) -> None:
        """Look soon."""
        self._changed.set()

    def run(self) -> None:
        """Look again and again; for a green thread of its own."""
        while True:
            self._changed.wait(LOOK_EVERY_S)
            self.look()

    def look(self) -> None:
        """Remove what is left over, and say so once."""
        try:
            links = {name for _, name in socket.if_nameindex()}
        except OSError:
            return  # such as no descriptor left: who cannot look removes nothing
        attached = self._ovsdb.attached_ports(self._bridge)
        gone = sorted(name for name in attached if name not in links)
        if not gone:
            return
        try:
            removed = self._ovsdb.remove_attached(self._bridge, {n: attached[n].row for n in gone})
        except WeaveRyuError as error:
            if not self._has_failed:
                _log.warning("left_ports_not_removed", ports=gone, error=str(error))
            self._has_failed = True
            return
        self._has_failed = False
        for name in removed:
            _log.info(
                "left_port_removed",
                port=name,
                namespace=attached[name].namespace,
                reason="its namespace has gone",
            )
