"""Plugs a gateway's link in anew when the link itself is another one under the same name.

A USB card, a virtual function, a bond that is made again: the link vanishes and comes back, and
Open vSwitch may go on with the socket of the one that is gone. The port then shows carrier and
hears nothing. The kernel gives each link a number of its own (ifindex), which is noted with the
port: while the two differ the port is taken out and put in again, closed as any port that comes up.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from pathlib import Path

import structlog

from weave_ryu.errors import WeaveRyuError
from weave_ryu.ovsdb.bridge import GATEWAY_KEY
from weave_ryu.shell import hub
from weave_ryu.shell.ovsdbd import Ovsdb

_log = structlog.get_logger()

LOOK_EVERY_S = 0.5
"""A system call for each gateway port; the kernel's news of links come late where it is busy."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Replugger:
    """Looks after the gateway ports of one bridge.

    Args:
        ovsdb: its database.
        bridge: whose ports they are.
        ports: names of those that are to be in the bridge now.
    """

    def __init__(self, ovsdb: Ovsdb, bridge: str, ports: Callable[[], Iterable[str]]) -> None:
        self._ovsdb = ovsdb
        self._bridge = bridge
        self._ports = ports
        self._boot = _BOOT_ID.read_text(encoding="ascii").strip()

    def run(self) -> None:
        """Look again and again; for a green thread of its own."""
        while True:
            hub.sleep(LOOK_EVERY_S)
            try:
                self.look()
            except WeaveRyuError as error:
                _log.warning("gateway_link_not_plugged_in", error=str(error))

    def look(self) -> None:
        """Plug in what is another link than the one that was plugged in.

        Raises:
            OvsdbError: the database refused, or did not confirm in time.
        """
        for name in self._ports():
            device = self._device(name)
            noted = self._ovsdb.interface_setting(self._bridge, name, GATEWAY_KEY)
            if device is None or noted in (None, device):
                continue  # the link or the port is not there, or all is as it was
            if noted.startswith(f"{self._boot}/"):
                _log.warning("gateway_link_replaced", port=name, remedy="none: it is plugged in")
                self._ovsdb.replug(self._bridge, name)
            # After a start of the host, and of an older daemon, it is the one that was opened.
            self._ovsdb.set_interface_settings(name, {GATEWAY_KEY: device})

    def _device(self, name: str) -> str | None:
        """What no other link ever has; None if there is no link of this name."""
        try:
            return f"{self._boot}/{socket.if_nametoindex(name)}"
        except OSError:
            return None
