"""``weave-ryu gateway``: look at roles, change them."""

from __future__ import annotations

import argparse
import json
import time
from typing import Any
from urllib.parse import quote

from weave_ryu.cli import client, glance, tables, verbs
from weave_ryu.cli.status import show_gateways
from weave_ryu.errors import ConfigError, DaemonUnreachableError

_EXAMPLE = """example:
  weave-ryu gateway status --watch
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
    status = _add(actions, "status", "who forwards, and why", "--watch")
    status.add_argument("--json", action="store_true", help="print one JSON document")
    status.add_argument("--watch", action="store_true", help="go on, until Ctrl-C")
    status.add_argument(
        "--interval",
        default="1",
        metavar="SECONDS",
        help="between two looks of --watch, 0.1 to 60 (default: %(default)s)",
    )
    client.add_address(status)
    status.set_defaults(handler=_status)
    state = _add(actions, "state", "state and readiness of one port, for scripts", "eth1")
    state.add_argument("port", metavar="PORT")
    state.add_argument("--json", action="store_true", help="print the whole state as JSON")
    client.add_address(state)
    state.set_defaults(handler=_state)
    history = _add(actions, "history", "what all gateways did lately, and why", "--json")
    history.add_argument("--json", action="store_true", help="print one JSON document")
    client.add_address(history)
    history.set_defaults(handler=_history)
    for action, text in (
        ("activate", "forward between the segment and the mesh"),
        ("standby", "stop forwarding, stay in the mesh"),
        ("auto", "leave the decision to the election"),
        ("drain", "hand over and stay out of elections until a role is set"),
    ):
        change = _add(actions, action, text, "eth1")
        change.add_argument("port", metavar="PORT")
        change.add_argument("--json", action="store_true", help="print the new state as JSON")
        if action == "activate":
            change.add_argument(
                "--force",
                action="store_true",
                help="open whoever else forwards, and yield to nobody; both then carry every frame",
            )
        client.add_address(change)
        change.set_defaults(handler=_change)


def _add(
    actions: argparse._SubParsersAction[argparse.ArgumentParser],
    action: str,
    text: str,
    example: str,
) -> argparse.ArgumentParser:
    return verbs.add(actions, action, text, f"example:\n  weave-ryu gateway {action} {example}")


def _status(arguments: argparse.Namespace) -> int:
    interval_s = _interval(arguments.interval)
    if arguments.watch:
        if arguments.json:
            raise ConfigError("--watch", "--json", "choose one: JSON is one document")
        return _watch(client.of(arguments), interval_s)
    api = client.of(arguments)
    gateways = api.get_json("/gateways")
    if arguments.json:
        print(json.dumps(gateways, indent=1))
    else:
        show_gateways(api, gateways)
    return 0


def _change(arguments: argparse.Namespace) -> int:
    path = f"/gateways/{quote(arguments.port, safe='')}"
    with client.waiting("the switch, and the other gateway if it hands over"):
        request = _REQUESTS[arguments.action]
        if getattr(arguments, "force", False):
            request = {**request, "force": True}
        state = client.of(arguments).put_json(path, request)
    if arguments.json:
        print(json.dumps(state, indent=1))
    else:
        print(f"{state['port']} ({state['segment']}): {state['state']}, epoch {state['epoch']}")
    return 0


def _state(arguments: argparse.Namespace) -> int:
    """Two words: the state, and whether it could forward: ``standby ready``."""
    path = f"/gateways/{quote(arguments.port, safe='')}"
    state = client.of(arguments).get_json(path)
    if arguments.json:
        print(json.dumps(state, indent=1))
    else:
        print(state["state"], "ready" if state["ready"] else "not-ready")
    return 0


def _history(arguments: argparse.Namespace) -> int:
    """The timeline of the web page: role changes as their own daemons tell them."""
    mesh = client.of(arguments).get_json("/mesh")
    events: list[dict[str, Any]] = mesh["events"]
    if arguments.json:
        print(json.dumps(events, indent=1))
        return 0
    rows = [
        [
            event["at"][:23].replace("T", " "),
            f"{event['nick_name']} {event['port']}",
            event["segment"],
            f"{event['before'] or '-'} → {event['state']}",
            event["epoch"],
            event["reason"],
        ]
        for event in events
    ]
    tables.show("", ["TIME (UTC)", "GATEWAY", "SEGMENT", "STATE", "EPOCH", "WHY"], rows)
    return 0


def _interval(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 60:  # false for NaN, too
        raise ConfigError("--interval", text, "must be a number of seconds from 0.1 to 60")
    return seconds


def _watch(api: client.Api, interval_s: float) -> int:
    """Show the gateways until Ctrl-C; a daemon that goes away is waited for."""
    api.get_json("/gateways")  # whoever is not there at the start is an error
    try:
        watch = _watch_in_place if tables.can_draw() else _watch_as_text
        watch(api, interval_s)
    except KeyboardInterrupt:
        return 0
    return 0


def _look(api: client.Api) -> glance.Shown:
    try:
        gateways: list[dict[str, Any]] = api.get_json("/gateways")
        found = glance.shown(gateways, None if gateways else api.get_json("/mesh"))
    except DaemonUnreachableError as error:
        found = glance.Shown(str(error), glance.HEADERS, [], ())
    return found._replace(title=f"{time.strftime('%H:%M:%S')}  {found.title}")


def _watch_in_place(api: client.Api, interval_s: float) -> None:
    from rich.live import Live  # noqa: PLC0415

    with Live(auto_refresh=False) as live:
        while True:
            found = _look(api)
            table = tables.fitting(live.console.width, found.headers, found.rows, found.spare)
            live.update(tables.as_rich(found.title, *table), refresh=True)
            time.sleep(interval_s)


def _watch_as_text(api: client.Api, interval_s: float) -> None:
    """Each state once: ages and leases change all the time."""
    before = None
    while True:
        found = _look(api)
        state = (found.title.split("  ", 1)[1], [row[:6] for row in found.rows])
        if state != before:
            before = state
            print(tables.as_text(found.title, found.headers, found.rows), flush=True)
        time.sleep(interval_s)
