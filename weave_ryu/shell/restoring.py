"""Puts back what others change of the bridge: controller, fail mode, tables, the bridge itself.

An operator who tries something, another controller's script, a tool that "cleans up": without its
controller the switch is deaf to the daemon, and in fail mode ``standalone`` it forwards by itself
as soon as the daemon is away, with the gate's drops gone. What is not the daemon's stays: ports
that were added or taken out by hand, other bridges, settings that it has no opinion of.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from weave_ryu.errors import WeaveRyuError
from weave_ryu.ovsdb.bridge import BridgeSpec
from weave_ryu.shell import hub
from weave_ryu.shell.ovsdbd import Ovsdb

_log = structlog.get_logger()

SOON_S = 0.2
"""After a change in the database: a script that makes several is not interrupted at each."""

PAUSE_S = 1.0
"""Between two repairs: whoever changes it again and again shall not find us as stubborn."""


class Restorer:
    """Looks after one bridge.

    Args:
        ovsdb: its database.
        spec: what is wanted of it now.
        on_new_bridge: called when it was gone and has been made anew.
    """

    def __init__(
        self, ovsdb: Ovsdb, spec: Callable[[], BridgeSpec], on_new_bridge: Callable[[], None]
    ) -> None:
        self._ovsdb = ovsdb
        self._spec = spec
        self._on_new_bridge = on_new_bridge
        self._changed = hub.Signal()

    def database_changed(self) -> None:
        """Look soon."""
        self._changed.set()

    def run(self) -> None:
        """Look after each change; for a green thread of its own."""
        while True:
            self._changed.wait()
            hub.sleep(SOON_S)
            if self.look():
                hub.sleep(PAUSE_S)

    def look(self) -> bool:
        """Put back what has been changed, and say so; True if there was anything."""
        spec = self._spec()
        changed = self._ovsdb.deviations(spec)
        if not changed:
            return False
        is_gone = self._ovsdb.bridge_datapath(spec.name) is None
        _log.warning(
            "bridge_changed_by_others",
            bridge=spec.name,
            changed=changed,
            remedy="it is put back; to work on the bridge by hand, stop the daemon first",
        )
        try:
            self._ovsdb.ensure(spec)
        except WeaveRyuError as error:
            _log.warning("bridge_not_put_back", bridge=spec.name, error=str(error))
            self._changed.set()
        else:
            if is_gone:
                self._on_new_bridge()
        return True
