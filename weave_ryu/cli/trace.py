"""``weave-ryu trace``: where a frame would go, hop by hop, and why it is dropped."""

from __future__ import annotations

import argparse
import json
from typing import Any
from urllib.parse import urlencode

from weave_ryu.cli import client

_EXAMPLE = """examples:
  weave-ryu trace 02:c0:00:00:00:01 02:b0:00:00:00:01
  weave-ryu trace 02:c0:00:00:00:01 --broadcast
  weave-ryu trace gw1/eth1 02:c0:00:00:00:01       a host that nobody knows yet, on this port

Nothing is sent: every daemon asks its own switch what it would do (ofproto/trace). Routers that are
no weave-ryu do not answer. The daemons reach one another through the mesh.
exit status: 0 ok, 1 failed, 2 usage, 3 daemon not reachable"""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "trace",
        help="follow a frame through the mesh without sending one",
        description="Follow a frame hop by hop over all daemons, and say why it is dropped.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", metavar="FROM", help="MAC address, or PEER/PORT")
    parser.add_argument("destination", metavar="TO", nargs="?", default="", help="MAC address")
    parser.add_argument("--broadcast", action="store_true", help="follow a broadcast")
    parser.add_argument("--explain", action="store_true", help="show the way through all tables")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    client.add_address(parser)
    parser.set_defaults(handler=_trace)


def _trace(arguments: argparse.Namespace) -> int:
    query = {"from": arguments.source, "to": arguments.destination}
    if arguments.broadcast:
        query["broadcast"] = "true"
    with client.waiting("the answers of the other daemons"):
        found = client.of(arguments).get_json(f"/trace?{urlencode(query)}")
    if arguments.json:
        print(json.dumps(found, indent=1))
    else:
        print(render(found, arguments.explain), end="")
    return 0


def render(found: dict[str, Any], explain: bool) -> str:
    """The trace as indented text.

    Args:
        found: the API's document.
        explain: with every table on the way.
    """
    lines = [f"{found['source']} → {found['to']}"]
    nick_names = {step["peer"]: step["nick_name"] for step in found["steps"]}
    for step in found["steps"]:
        lines.append(f"  {step['nick_name']}: {step['how']}")
        if step["error"]:
            lines.append(f"    {step['error']}")
        if explain:
            lines += [f"    {row['table']:<15} {row['why']}" for row in step["path"]]
        lines += [f"    dropped in {row['table']}: {row['why']}" for row in step["drops"]]
        for place in step["out"]:
            what = f" to segment {place['segment']}" if "segment" in place else ""
            what += ", the host's own port" if place["host"] else ""
            lines.append(f"    goes out by {place['port']}{what}")
        if step["next"]:
            names = ", ".join(nick_names.get(peer, peer) for peer in step["next"])
            lines.append(f"    goes on through the mesh to {names}")
        if not (step["error"] or step["drops"] or step["out"] or step["next"]):
            lines.append("    goes no further")
    lines += [f"  problem: {problem}" for problem in found["problems"]]
    lines.append(found["summary"])
    return "".join(f"{line}\n" for line in lines)
