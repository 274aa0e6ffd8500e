"""``weave-ryu run``: patches, checks, starts ryu and the daemon, waits for a signal.

The order of imports is the point of this module: eventlet patches the standard library first, the
shims of `compat` come second, and only then may anything import ryu.
"""

from __future__ import annotations

import signal

from weave_ryu.config import DaemonConfig
from weave_ryu.shell import compat, hub, logs


def run(config: DaemonConfig) -> int:
    """Run the daemon until SIGTERM or SIGINT.

    Returns:
        Exit status 0.

    Raises:
        WeaveRyuError: it could not start; nothing was changed.
    """
    hub.patch()
    compat.apply()
    logs.configure(config.log_level, config.log_json)
    return _run(config)


def _run(config: DaemonConfig) -> int:
    from ryu.base.app_manager import AppManager  # noqa: PLC0415

    from weave_ryu.shell import api, setup  # noqa: PLC0415
    from weave_ryu.shell.app import WeaveApp  # noqa: PLC0415
    from weave_ryu.shell.daemon import Daemon  # noqa: PLC0415

    setup.check_privileges()
    remote = setup.database_remote(config)
    path, target = setup.controller_target(config)
    listener = api.listen(config.http_addr)
    daemon = Daemon(config, remote, target)

    WeaveApp.daemon = daemon
    compat.serve_openflow_on(path)
    manager = AppManager.get_instance()
    manager.load_apps(["weave_ryu.shell.app", "ryu.controller.ofp_handler"])
    manager.instantiate_apps(**manager.create_contexts())

    stopped = hub.Signal()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    daemon.start()
    hub.spawn(api.serve, listener, daemon)
    stopped.wait()
    daemon.stop()
    return 0
