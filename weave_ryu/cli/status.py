"""``weave-ryu status``, ``report``, ``connect`` and ``forget``: as in Weave."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any

from weave_ryu.cli import client, glance, tables, verbs

_TOPICS = ("connections", "peers", "targets", "gateways", "macs", "routes")

_PATHS = {
    None: "/status",
    "connections": "/status/connections",
    "peers": "/status/peers",
    "targets": "/status/targets",
    "gateways": "/gateways",
    "macs": "/macs",
    "routes": "/routes",
}

_EXAMPLE = "exit status: 0 ok, 1 failed, 2 usage, 3 daemon not reachable"


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verbs."""
    parser = _add(subparsers, "status", "show what the daemon does", "weave-ryu status connections")
    parser.add_argument("topic", nargs="?", choices=_TOPICS, help="one part only")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(handler=_status)

    parser = _add(subparsers, "report", "print the whole state as JSON", "weave-ryu report")
    parser.add_argument("--json", action="store_true", help="as without: it is JSON always")
    parser.set_defaults(handler=_report)

    for verb, text in (
        ("connect", "connect to further peers"),
        ("forget", "stop connecting to peers"),
    ):
        parser = _add(subparsers, verb, text, f"weave-ryu {verb} 192.0.2.7")
        parser.add_argument("peer", nargs="+", metavar="HOST[:PORT]")
        if verb == "connect":
            parser.add_argument(
                "--replace", action="store_true", help="instead of the present targets"
            )
        parser.add_argument("--json", action="store_true", help="print the targets as JSON")
        parser.set_defaults(handler=_change_targets)


def _add(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser],
    verb: str,
    text: str,
    example: str,
) -> argparse.ArgumentParser:
    parser = verbs.add(subparsers, verb, text, f"example:\n  {example}\n\n{_EXAMPLE}")
    client.add_address(parser)
    return parser


def _status(arguments: argparse.Namespace) -> int:
    path = _PATHS[arguments.topic]
    if arguments.json:
        print(json.dumps(client.of(arguments).get_json(path), indent=1))
    elif arguments.topic in ("gateways", "macs", "routes"):
        api = client.of(arguments)
        _RENDERERS[arguments.topic](api, api.get_json(path))
    else:
        print(client.of(arguments).get_text(path), end="")
    return 0


def _report(arguments: argparse.Namespace) -> int:
    print(json.dumps(client.of(arguments).get_json("/report"), indent=1))
    return 0


def _change_targets(arguments: argparse.Namespace) -> int:
    from urllib.parse import urlencode  # noqa: PLC0415  (not for those who only look)

    form = [("peer", peer) for peer in arguments.peer]
    if getattr(arguments, "replace", False):
        form.append(("replace", "true"))
    client.of(arguments).request(
        "POST",
        f"/{arguments.verb}",
        urlencode(form).encode(),
        "application/x-www-form-urlencoded",
    )
    if arguments.json:
        targets = client.of(arguments).get_json("/status/targets")
        print(json.dumps(targets, indent=1))
    return 0


def show_gateways(api: client.Api, gateways: list[dict[str, Any]]) -> None:
    """The gateway ports at a glance, the other gateways of their segments below.

    Args:
        api: asked for the gateways elsewhere if this peer has none.
        gateways: of this peer.
    """
    found = glance.shown(gateways, None if gateways else api.get_json("/mesh"))
    tables.show(*found)


def _show_macs(_api: client.Api, macs: list[dict[str, Any]]) -> None:
    rows = [
        [mac["Mac"], f"{mac['Name']}({mac['NickName']})", mac["Port"] or "", mac["LastSeen"]]
        for mac in macs
    ]
    tables.show("", ["MAC", "PEER", "PORT", "LEARNT"], rows)
    double = [
        [
            mac["Mac"],
            f"{mac['Name']}({mac['NickName']})",
            mac["Conflict"]["Segment"],
            mac["Conflict"]["Since"],
            str(mac["Conflict"]["Frames"]),
        ]
        for mac in macs
        if mac.get("Conflict")
    ]
    if double:
        tables.show(
            "at two places", ["MAC", "PEER", "AND ON SEGMENT", "SINCE", "FRAMES SEEN"], double
        )


def _show_routes(_api: client.Api, routes: dict[str, list[dict[str, Any]]]) -> None:
    unicast = [[route["Dest"], route["Via"]] for route in routes["unicast"]]
    tables.show("unicast", ["DESTINATION", "VIA"], unicast)
    broadcast = [[route["Source"], " ".join(route["Via"])] for route in routes["broadcast"]]
    tables.show("broadcast", ["SOURCE", "GOES ON TO"], broadcast)


_RENDERERS: dict[str, Callable[[client.Api, Any], None]] = {
    "gateways": show_gateways,
    "macs": _show_macs,
    "routes": _show_routes,
}
