"""``weave-ryu flows``: what is in the switch, by name, and why."""

from __future__ import annotations

import argparse
import json
from typing import Any

from weave_ryu.cli import client, tables

_EXAMPLE = """example:
  weave-ryu flows --explain

exit status: 0 ok, 1 failed, 2 usage, 3 daemon not reachable"""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "flows",
        help="show the flows of the switch by name",
        description="Show the flows of the bridge, table by table, with their counters.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--explain", action="store_true", help="say of each flow why it exists")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    client.add_address(parser)
    parser.set_defaults(handler=_flows)


def _flows(arguments: argparse.Namespace) -> int:
    flows: list[dict[str, Any]] = client.of(arguments).get_json("/flows")
    if arguments.json:
        print(json.dumps(flows, indent=1))
        return 0
    headers = ["TABLE", "PRIORITY", "KIND", "SUBJECT", "PACKETS"]
    headers += ["WHY"] if arguments.explain else ["COOKIE"]
    rows = [
        [
            f"{flow['table_id']} {flow['table']}",
            flow["priority"],
            flow["kind"],
            flow["subject"],
            flow["packets"],
            flow["why"] if arguments.explain else flow["cookie"],
        ]
        for flow in flows
    ]
    if arguments.explain:
        for gateway in client.of(arguments).get_json("/gateways"):
            rows += _fence(gateway)
    tables.show("", headers, rows)
    return 0


def _fence(gateway: dict[str, Any]) -> list[list[object]]:
    """What stands before a gateway port in the kernel; no flow, but no frame passes without it."""
    fence = gateway.get("fence")
    if fence is None:
        return []
    if "table" not in fence:
        return [["nftables", "", "fence", gateway["port"], "", f"there is none: {fence['why']}"]]
    why = (
        f"{fence['state']}; the kernel closes {gateway['port']} {fence['open_s']} s after the last "
        "renewal, whatever has died"
    )
    return [[f"nftables {fence['table']}", "", "fence", gateway["port"], "", fence["why"] or why]]
