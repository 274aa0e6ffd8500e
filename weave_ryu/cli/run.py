"""``weave-ryu run``: the daemon, in the foreground.

The only verb that imports the shell; all others talk to a running daemon by HTTP.
"""

from __future__ import annotations

import argparse
import os

from weave_ryu import config
from weave_ryu.errors import ConfigError

_EXAMPLE = """example:
  weave-ryu run --nickname gw1 --peer 192.0.2.2 --peer 192.0.2.3 \\
      --gateway eth1,segment=office,role=active

exit status: 0 stopped by a signal, 1 failed, 2 a flag or key cannot be used"""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "run",
        help="run the daemon in the foreground",
        description="Run the daemon: mesh router, bridge and gateways of this host.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--config", metavar="FILE", help="TOML file; keys are these flags with underscores")
    add("--name", help="peer name, six hex bytes (default: kept with the bridge)")
    add("--nickname", help="name for humans (default: host name)")
    add("--password-file", metavar="FILE", help="mesh password (or environment WEAVE_PASSWORD)")
    add("--gateway-key-file", metavar="FILE", help="key that only gateways have, as one line")
    add(
        "--gateway-key-optional",
        action="store_true",
        default=None,
        help="believe gateways without the key, too: until all have it",
    )
    add("--port", help="TCP port of the mesh; VXLAN uses the next UDP port (default 6783)")
    add("--host", metavar="ADDRESS", help="IPv4 address to listen on and dial from (default all)")
    add("--peer", action="append", metavar="HOST[:PORT]", help="peer to connect to (repeatable)")
    add("--no-discovery", action="store_true", default=None, help="dial only --peer addresses")
    add("--conn-limit", metavar="N", help="most connections, 0 = no limit (default 200)")
    add("--mtu", metavar="BYTES", help="MTU of the overlay (default 1376)")
    add("--trusted-subnets", metavar="CIDR,…", help="underlay subnets that need no encryption")
    add("--http-addr", metavar="ADDRESS:PORT", help="API address (default 127.0.0.1:6784)")
    add("--api-token-file", metavar="FILE", help="token of the API; needed off 127.0.0.1")
    add("--api-cert-file", metavar="FILE", help="certificate of the API, PEM: it speaks HTTPS")
    add("--api-key-file", metavar="FILE", help="key of that certificate")
    add("--bridge", help="name of the bridge (default weave)")
    add("--datapath-type", metavar="auto|system|netdev", help="default auto: kernel if it can")
    add("--ovs-db", metavar="REMOTE", help="database (default unix:$OVS_RUNDIR/db.sock)")
    add("--local-ports", metavar="all|attached", help="ports open for containers (default all)")
    add(
        "--gateway",
        action="append",
        metavar="PORT[,segment=NAME][,role=active|standby|auto][,priority=N][,preempt=true]",
        help="link that meets a segment, and the role at the start (repeatable)",
    )
    add("--restart-hold", metavar="SECONDS", help="how long a restarting peer's flows stay")
    add("--failover", metavar="default|fast", help="timers of the gateway election")
    add("--log-level", metavar="debug|info|warning|error", help="default info")
    add("--log-json", action="store_true", default=None, help="log lines as JSON")
    parser.set_defaults(handler=_run)


def _run(arguments: argparse.Namespace) -> int:
    flags = {key: getattr(arguments, key) for key in config.FILE_KEYS}

    def load(old: config.DaemonConfig) -> tuple[config.DaemonConfig, list[ConfigError]]:
        return config.reload(old, arguments.config, flags, os.environ)

    settings = config.load(arguments.config, flags, os.environ)
    from weave_ryu.shell import start  # noqa: PLC0415  (eventlet must not patch the other verbs)

    return start.run(settings, load)
