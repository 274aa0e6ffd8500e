"""``weave-ryu gateway``: look at roles, change them."""

from __future__ import annotations

import argparse
import json
import urllib.parse

from weave_ryu.cli import client
from weave_ryu.cli.status import show_gateways

_EXAMPLE = """example:
  weave-ryu gateway status
  weave-ryu gateway standby eth1      # on the gateway that forwards
  weave-ryu gateway activate eth1     # on the one that takes over

The command returns when the switch has confirmed the change.
exit status: 0 ok, 1 failed, 2 usage, 3 daemon not reachable"""

_REQUESTS: dict[str, dict[str, object]] = {
    "activate": {"role": "active"},
    "standby": {"role": "standby"},
    "auto": {"role": "auto"},
    "drain": {"drain": True},
}


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb with its actions."""
    parser = subparsers.add_parser(
        "gateway",
        help="show or change the roles of gateway ports",
        description="Show or change the roles of this peer's gateway ports.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    status = actions.add_parser("status", help="who forwards, and why")
    status.add_argument("--json", action="store_true", help="print one JSON document")
    client.add_address(status)
    status.set_defaults(handler=_status)
    for action, text in (
        ("activate", "forward between the segment and the mesh"),
        ("standby", "stop forwarding, stay in the mesh"),
        ("auto", "leave the decision to the election"),
        ("drain", "hand over and stay out of elections until a role is set"),
    ):
        change = actions.add_parser(action, help=text)
        change.add_argument("port", metavar="PORT")
        change.add_argument("--json", action="store_true", help="print the new state as JSON")
        client.add_address(change)
        change.set_defaults(handler=_change)


def _status(arguments: argparse.Namespace) -> int:
    gateways = client.get_json(arguments.http_addr, "/gateways")
    if arguments.json:
        print(json.dumps(gateways, indent=1))
    else:
        show_gateways(gateways)
    return 0


def _change(arguments: argparse.Namespace) -> int:
    path = f"/gateways/{urllib.parse.quote(arguments.port, safe='')}"
    state = client.put_json(arguments.http_addr, path, _REQUESTS[arguments.action])
    if arguments.json:
        print(json.dumps(state, indent=1))
    else:
        print(f"{state['port']} ({state['segment']}): {state['state']}, epoch {state['epoch']}")
    return 0
