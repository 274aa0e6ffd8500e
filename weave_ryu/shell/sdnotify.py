"""Tells systemd how the service is (sd_notify(3)); does nothing where there is no systemd."""

from __future__ import annotations

import socket
from collections.abc import Mapping

import structlog

from weave_ryu.shell import hub

_log = structlog.get_logger()


class Notifier:
    """The way to the service manager.

    Args:
        environment: ``NOTIFY_SOCKET`` and ``WATCHDOG_USEC`` are read from it.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        path = environment.get("NOTIFY_SOCKET", "")
        # A leading @ stands for the zero byte of an abstract socket.
        self._path = f"\0{path[1:]}" if path.startswith("@") else path
        self._is_failing = False
        micros = environment.get("WATCHDOG_USEC", "")
        self.watchdog_s = int(micros) / 1e6 if micros.isdecimal() and self._path else 0.0

    def tell(self, **fields: str) -> bool:
        """Send fields such as ``READY="1"``; that nobody listens is no reason to stop, nor to wait.

        Returns:
            False if it is to be told again: the manager has not read what it was told before.
        """
        if not self._path:
            return True
        lines = "\n".join(f"{key}={' '.join(value.split())}" for key, value in fields.items())
        try:
            with hub.plain_socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as way:
                # To wait here would be in vain: of such a socket the kernel says that it is
                # writable, whoever it writes to.
                way.setblocking(False)
                way.sendto(lines.encode(errors="replace"), self._path)
        except OSError as error:
            if not self._is_failing:
                _log.warning("service_manager_not_told", error=str(error))
            self._is_failing = True
            return not isinstance(error, BlockingIOError)
        self._is_failing = False
        return True
