"""Tells systemd how the service is (sd_notify(3)); does nothing where there is no systemd."""

from __future__ import annotations

import socket
from collections.abc import Mapping

import structlog

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
        micros = environment.get("WATCHDOG_USEC", "")
        self.watchdog_s = int(micros) / 1e6 if micros.isdecimal() and self._path else 0.0

    def tell(self, **fields: str) -> None:
        """Send fields such as ``READY="1"``; that nobody listens is no reason to stop."""
        if not self._path:
            return
        lines = "\n".join(f"{key}={' '.join(value.split())}" for key, value in fields.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
                manager.sendto(lines.encode(errors="replace"), self._path)
        except OSError as error:
            _log.warning("service_manager_not_told", error=str(error))
