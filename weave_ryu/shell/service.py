"""The daemon as a service: says when it is ready and that it lives, and reads its settings anew."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import structlog

from weave_ryu.config import DaemonConfig, tls_context
from weave_ryu.errors import ConfigError
from weave_ryu.gateway.role import State
from weave_ryu.shell import hub, logs, meshd
from weave_ryu.shell.auth import Guard
from weave_ryu.shell.sdnotify import Notifier
from weave_ryu.shell.tls import Listener

if TYPE_CHECKING:
    from weave_ryu.shell.daemon import Daemon

_log = structlog.get_logger()

LOOK_EVERY_S = 0.5
OVERDUE_S = 2.0
"""A timer of gateways or mesh that is this late is a reason to be started anew."""

SAFE_KEYS = frozenset({"log_level", "log_json", "peer", "api_token_file", "api_token"})
"""What can be changed while frames flow."""


@dataclass(frozen=True, slots=True)
class Change:
    """The difference between two configurations.

    Args:
        keys: that differ and are safe, sorted.
        later: that differ and need a restart, sorted.
        connect: peers to dial from now on.
        forget: peers to dial no more.
    """

    keys: tuple[str, ...]
    later: tuple[str, ...]
    connect: tuple[str, ...]
    forget: tuple[str, ...]


def compare(old: DaemonConfig, new: DaemonConfig) -> Change:
    """What a reload would change."""
    names = [f.name for f in fields(DaemonConfig)]
    differing = sorted(name for name in names if getattr(old, name) != getattr(new, name))
    return Change(
        tuple(name for name in differing if name in SAFE_KEYS),
        tuple(name for name in differing if name not in SAFE_KEYS),
        tuple(peer for peer in new.peer if peer not in old.peer),
        tuple(peer for peer in old.peer if peer not in new.peer),
    )


class Service:
    """See the module's docstring.

    Args:
        daemon: what is served.
        guard: of the API; gets the new token.
        notifier: the way to systemd.
        load: reads it as at the start; values that cannot be used stay as they are in the old one.
        listener: of the API, if it speaks HTTPS; gets the certificate anew.
    """

    def __init__(
        self,
        daemon: Daemon,
        guard: Guard,
        notifier: Notifier,
        load: Callable[[DaemonConfig], tuple[DaemonConfig, list[ConfigError]]],
        listener: Listener | None = None,
    ) -> None:
        self._daemon = daemon
        self._guard = guard
        self._notifier = notifier
        self._load = load
        self._listener = listener
        self._is_ready = False
        self._status = ""

    def watch(self) -> None:
        """Tell systemd, for ever."""
        while True:
            self.look(time.monotonic())
            hub.sleep(LOOK_EVERY_S)

    def look(self, now: float) -> None:
        """Tell systemd what has changed, and that this daemon lives.

        Args:
            now: monotonic seconds.
        """
        if not self._is_ready and self.is_forwarding_known():
            self._is_ready = self._notifier.tell(READY="1")
            if self._is_ready:
                _log.info("service_ready")
        status = self.status()
        if status != self._status and self._notifier.tell(STATUS=status):
            self._status = status
        if self._notifier.watchdog_s and self.is_alive(now):
            self._notifier.tell(WATCHDOG="1")

    def is_forwarding_known(self) -> bool:
        """The flows are in place, and each gateway port has found out what it is to do."""
        daemon = self._daemon
        ports = daemon.gateways.core.ports.values()
        settled = all(port.state not in (State.BLOCKED, State.ARMING) for port in ports)
        return daemon.switch.is_connected and daemon.forwarder.is_in_sync and settled

    def is_alive(self, now: float) -> bool:
        """The timers fire: without them nobody renews permits, or looks after connections."""
        deadlines = self._daemon.gateways.core.deadline(), self._daemon.router.deadline()
        return all(due is None or now - due < OVERDUE_S for due in deadlines)

    def status(self) -> str:
        """One line for ``systemctl status``."""
        daemon = self._daemon
        words = [
            f"{port.spec.segment}: {port.state} ({port.spec.port})"
            for port in daemon.gateways.core.ports.values()
        ]
        if not daemon.switch.is_connected:
            words.append("the switch is not connected")
        up = sum(1 for connection in daemon.router.connections() if connection.established)
        return "; ".join([*words, f"{up} connections"])

    def stopping(self) -> None:
        """The daemon hands over and ends."""
        self._notifier.tell(STOPPING="1", STATUS="handing over")

    def reload(self) -> None:
        """Read the configuration anew, and take over what is safe.

        A value that cannot be used keeps no other one from being taken over: whoever replaces a
        token that has leaked must not depend on a peer that is misspelt. Of a file that cannot be
        read nothing is taken.
        """
        self._notifier.tell(STATUS="reading the configuration anew")
        self._status = ""
        old = self._daemon.config
        try:
            new, errors = self._load(old)
        except ConfigError as error:
            _log.error("reload_refused", error=str(error))
            return
        new = self._without_wrong_peers(new, errors)
        change = compare(old, new)
        self._daemon.config = replace(old, **{key: getattr(new, key) for key in change.keys})
        self._guard.token = new.api_token
        self._renew_certificate(old, errors)
        logs.configure(new.log_level, new.log_json)
        now = time.monotonic()
        router, names = self._daemon.router, self._daemon.names
        gone = names.forget(change.forget)
        if gone:
            router.forget_targets(gone, now)
        addresses, asked = names.split(change.connect)
        names.ask(asked)
        if addresses:
            router.connect_targets(addresses, False, now)
        self._daemon.mesh.pump()
        for wrong in errors:
            _log.error("reload_incomplete", error=str(wrong))
        shown = [key for key in change.keys if key != "api_token"]
        _log.info("reloaded", changed=shown)
        if change.later:
            _log.warning("reload_needs_restart", keys=list(change.later))

    def _without_wrong_peers(self, new: DaemonConfig, errors: list[ConfigError]) -> DaemonConfig:
        good = []
        for peer in new.peer:
            try:
                meshd.parse_target(peer)
            except ConfigError as error:
                errors.append(error)
            else:
                good.append(peer)
        return replace(new, peer=tuple(good))

    def _renew_certificate(self, old: DaemonConfig, errors: list[ConfigError]) -> None:
        """The files of the start: others need a restart, but these may have been renewed."""
        try:
            context = tls_context(old)
        except ConfigError as error:
            errors.append(error)
            return
        if self._listener is not None and context is not None:
            self._listener.renew(context)
