"""``weave-ryu run``: patches, checks, starts ryu and the daemon, waits for a signal.

The order of imports is the point of this module: eventlet patches the standard library first, the
shims of `compat` come second, and only then may anything import ryu.
"""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable

from weave_ryu.config import DaemonConfig
from weave_ryu.errors import ConfigError
from weave_ryu.shell import compat, hub, logs

Load = Callable[[DaemonConfig], tuple[DaemonConfig, list[ConfigError]]]


def run(config: DaemonConfig, load: Load) -> int:
    """Run the daemon until SIGTERM or SIGINT; SIGHUP reads the configuration anew.

    Args:
        config: checked.
        load: reads and checks it anew, see `Service`.

    Returns:
        Exit status 0.

    Raises:
        WeaveRyuError: it could not start; nothing was changed.
    """
    hub.patch()
    compat.apply()
    logs.outlive_full_disks()
    logs.configure(config.log_level, config.log_json)
    return _run(config, load)


def _run(config: DaemonConfig, load: Load) -> int:
    from ryu.base.app_manager import AppManager  # noqa: PLC0415

    from weave_ryu.shell import api, setup, tls  # noqa: PLC0415
    from weave_ryu.shell.app import WeaveApp  # noqa: PLC0415
    from weave_ryu.shell.daemon import Daemon  # noqa: PLC0415
    from weave_ryu.shell.sdnotify import Notifier  # noqa: PLC0415
    from weave_ryu.shell.service import Service  # noqa: PLC0415

    setup.check_privileges()
    remote = setup.database_remote(config)
    path, target = setup.controller_target(config)
    daemon = Daemon(config, remote, target)
    listener = api.listen(config)

    WeaveApp.daemon = daemon
    compat.serve_openflow_on(path)
    manager = AppManager.get_instance()
    manager.load_apps(["weave_ryu.shell.app", "ryu.controller.ofp_handler"])
    manager.instantiate_apps(**manager.create_contexts())

    application = api.Api(daemon)
    tls_listener = listener if isinstance(listener, tls.Listener) else None
    service = Service(daemon, application.guard, Notifier(os.environ), load, tls_listener)
    is_stopping = False
    signalled = hub.Signal()

    def stop() -> None:
        nonlocal is_stopping
        is_stopping = True
        signalled.set()

    hub.handle_signals({signal.SIGTERM: stop, signal.SIGINT: stop, signal.SIGHUP: signalled.set})
    # What was loaded stays to the end: no collection looks through it, with all else waiting,
    # nor the last one, when a restart waits.
    gc.freeze()
    daemon.start()
    hub.spawn(api.serve, listener, application)
    hub.spawn_vital("service", service.watch)
    while not is_stopping:
        signalled.wait()
        if not is_stopping:
            service.reload()
    service.stopping()
    daemon.stop()
    return 0
