"""Verbs ``weave-ryu attach`` and ``weave-ryu detach``."""

from __future__ import annotations

import argparse
import json

from weave_ryu import attach

_ATTACH_EXAMPLE = """\
examples:
  weave-ryu attach c1 10.32.0.5/24              a namespace by name, see `ip netns list`
  weave-ryu attach 4711 10.32.0.5/24            the namespace of a process, such as a container's
  weave-ryu attach c1 10.32.0.6/24              again: a second address
"""
_DETACH_EXAMPLE = """\
examples:
  weave-ryu detach c1                           unplug it
  weave-ryu detach c1 10.32.0.6/24              take one address away
"""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verbs."""
    plug = subparsers.add_parser(
        "attach",
        help="plug a network namespace into the bridge",
        epilog=_ATTACH_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_common(plug)
    plug.add_argument("cidr", metavar="CIDR", help="address with prefix length")
    plug.add_argument(
        "--ifname",
        default=attach.DEFAULT_IFNAME,
        help="name of the link in the namespace (default: %(default)s)",
    )
    plug.add_argument(
        "--mtu",
        type=int,
        metavar="BYTES",
        help="MTU of the link (default: the bridge's, that is, `mtu` of the daemon)",
    )
    plug.add_argument("--mac", help="MAC address of the link (default: the kernel chooses)")
    plug.set_defaults(handler=_attach)
    unplug = subparsers.add_parser(
        "detach",
        help="unplug a network namespace from the bridge",
        epilog=_DETACH_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_common(unplug)
    unplug.add_argument("cidr", metavar="CIDR", nargs="?", help="take only this address away")
    unplug.set_defaults(handler=_detach)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "namespace", metavar="NETNS|PID", help="name, path or process id of the namespace"
    )
    parser.add_argument(
        "--bridge",
        default=attach.DEFAULT_BRIDGE,
        help="bridge of the overlay (default: %(default)s)",
    )
    parser.add_argument(
        "--ovs-db",
        metavar="REMOTE",
        help="Open vSwitch database (default: unix:$OVS_RUNDIR/db.sock)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def _attach(arguments: argparse.Namespace) -> int:
    request = attach.Request(
        namespace=arguments.namespace,
        cidr=arguments.cidr,
        ifname=arguments.ifname,
        bridge=arguments.bridge,
        mtu_bytes=arguments.mtu,
        mac=arguments.mac,
        ovs_db=arguments.ovs_db,
    )
    return _tell(arguments, attach.attach(request))


def _detach(arguments: argparse.Namespace) -> int:
    request = attach.Request(
        namespace=arguments.namespace,
        cidr="",
        bridge=arguments.bridge,
        ovs_db=arguments.ovs_db,
    )
    return _tell(arguments, attach.detach(request, arguments.cidr))


def _tell(arguments: argparse.Namespace, outcome: attach.Outcome) -> int:
    if arguments.json:
        document = {
            "namespace": arguments.namespace,
            "bridge": arguments.bridge,
            "ports": outcome.ports,
            "changed": outcome.has_changed,
            "message": outcome.sentence,
        }
        print(json.dumps(document, indent=1))
    else:
        print(outcome.sentence)
    return 0
