"""What a host may not have yet when the daemon starts, and is waited for: addresses and links.

At boot the order is nobody's. A daemon that ended for such a reason would be started again by
systemd at best, and stay away for good if it called the reason a wrong setting. So each of them
makes one line in the log, and what does not depend on it goes on.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterable

import structlog

from weave_ryu.addresses import parse_http_address
from weave_ryu.config import DaemonConfig
from weave_ryu.errors import ConfigError, WeaveRyuError
from weave_ryu.links import exists
from weave_ryu.ovsdb.bridge import SEEN_KEY
from weave_ryu.shell import hub, underlay
from weave_ryu.shell.ovsdbd import Ovsdb

_log = structlog.get_logger()

ADDRESS_EVERY_S = 0.5
LINK_EVERY_S = 1.0
"""Between two looks."""


def wait_for_addresses(config: DaemonConfig, ovsdb: Ovsdb) -> None:
    """Return when the host has the addresses that are to be listened on.

    One of them may be the underlay's, which nobody but this daemon puts back.
    """
    http_host, _ = parse_http_address("--http-addr", config.http_addr)
    wanted = [address for address in (config.host, http_host) if address]
    missing = _missing(wanted)
    if not missing:
        return
    _log.warning("address_missing", addresses=missing, reason="no link has it; it is waited for")
    keeper = underlay.Keeper(note_seen(ovsdb))
    while missing:
        keeper.look_after(ovsdb.underlays(config.bridge))
        missing = _missing(wanted)
        if missing:
            hub.sleep(ADDRESS_EVERY_S)
    _log.info("address_there", addresses=wanted)


def note_seen(ovsdb: Ovsdb) -> Callable[[str, str], None]:
    """What `underlay.Keeper` is told goes into the database."""
    return lambda bridge, seen: ovsdb.set_bridge_setting(bridge, SEEN_KEY, seen)


def _missing(addresses: Iterable[str]) -> list[str]:
    return [address for address in addresses if not _is_there(address)]


def _is_there(address: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError as error:
            # Whatever else is wrong shows when it is listened on.
            return error.errno != errno.EADDRNOTAVAIL
    return True


class Links:
    """Gateway ports whose links are not there yet.

    Args:
        missing: their names.
        check: refuses a link that cannot be one, with a ConfigError.
        add: makes a link a port; may fail with a WeaveRyuError.
    """

    def __init__(
        self,
        missing: Iterable[str],
        check: Callable[[str], None],
        add: Callable[[str], None],
    ) -> None:
        self.missing = set(missing)
        self._check = check
        self._add = add
        self._refused: dict[str, str] = {}

    def run(self) -> None:
        """Look again and again, until all are there; for a green thread of its own."""
        while self.missing:
            hub.sleep(LINK_EVERY_S)
            self.look()

    def look(self) -> None:
        """Take what is there now."""
        for name in sorted(self.missing):
            if not exists(name):
                continue
            try:
                self._check(name)
                self._add(name)
            except WeaveRyuError as error:
                if self._refused.get(name) != str(error):
                    self._refused[name] = str(error)
                    event = "gateway_link_refused"
                    if not isinstance(error, ConfigError):
                        event = "gateway_link_not_added"
                    _log.error(event, port=name, error=str(error))
                continue
            self.missing.discard(name)
            _log.info("gateway_link_there", port=name)
