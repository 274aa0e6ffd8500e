"""Verbs of ``weave-ryu lab`` to play with one that is up: ``page``, ``kill`` and ``start``."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

from weave_ryu.addresses import parse_decimal
from weave_ryu.cli import client
from weave_ryu.errors import ConfigError, DaemonUnreachableError, LabError
from weave_ryu.lab import lab, processes
from weave_ryu.lab.page import Relay
from weave_ryu.lab.peer import LabPeer
from weave_ryu.lab.state import DEFAULT_PREFIX, check_prefix

AddVerb = Callable[[str, str, str], argparse.ArgumentParser]

DEFAULT_PORT = "6784"
START_TIMEOUT_S = 30.0


def register(add_verb: AddVerb) -> None:
    """Add the verbs.

    Args:
        add_verb: adds one: name, summary, example.
    """
    page = add_verb(
        "page", "show a daemon's web page to the browser of this machine", "  weave-ryu lab page W"
    )
    page.add_argument("peer", metavar="PEER", nargs="?", help="whose page (default: the first one)")
    page.add_argument(
        "--port", default=DEFAULT_PORT, help="on this machine, 0 = any (default: %(default)s)"
    )
    _finish(page, _page)
    kill = add_verb("kill", "kill the daemon of a peer, as kill -9 does", "  weave-ryu lab kill A")
    kill.add_argument("peer", metavar="PEER", help="nick name, see `lab status`")
    _finish(kill, _kill)
    start = add_verb("start", "start the daemon of a peer again", "  weave-ryu lab start A")
    start.add_argument("peer", metavar="PEER", help="nick name, see `lab status`")
    _finish(start, _start)


def _finish(parser: argparse.ArgumentParser, handler: Callable[[argparse.Namespace], int]) -> None:
    parser.add_argument(
        "--prefix", default=DEFAULT_PREFIX, help="of the lab (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(handler=handler)


def _peer(arguments: argparse.Namespace) -> LabPeer:
    lab.require_root()
    found = lab.find(check_prefix(arguments.prefix))
    name = arguments.peer or next(iter(found.peers))
    if name not in found.peers:
        known = ", ".join(found.peers)
        raise ConfigError("PEER", name, f"the lab has no such peer (it has: {known})")
    return found.peers[name]


def _page(arguments: argparse.Namespace) -> int:
    port = parse_decimal(arguments.port)
    if port is None or port > 65535:
        raise ConfigError("--port", arguments.port, "must be a number from 0 to 65535")
    peer = _peer(arguments)
    relay = Relay(peer.netns, port)
    if arguments.json:
        print(json.dumps({"peer": peer.nick_name, "url": relay.url}), flush=True)
    else:
        print(f"the page of {peer.nick_name} is at {relay.url}, until Ctrl-C", flush=True)
    try:
        relay.serve()
    except KeyboardInterrupt:
        return 0
    return 0


def _kill(arguments: argparse.Namespace) -> int:
    peer = _peer(arguments)
    was_alive = peer.daemon.is_alive
    peer.daemon.kill()
    return _tell(arguments, peer, was_alive, "is killed" if was_alive else "was not running")


def _start(arguments: argparse.Namespace) -> int:
    peer = _peer(arguments)
    was_alive = peer.daemon.is_alive
    if not was_alive:
        peer.start_daemon()
        with client.waiting(f"the daemon of {peer.nick_name}"):
            _wait_for(peer)
    return _tell(arguments, peer, not was_alive, "runs already" if was_alive else "is started")


def _wait_for(peer: LabPeer) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            peer.daemon.http("GET", "/status")
        except DaemonUnreachableError as error:
            if time.monotonic() > deadline or not peer.daemon.is_alive:
                tail = processes.log_tail(peer.daemon.log)
                raise LabError(f"the daemon of {peer.nick_name} does not answer", tail) from error
            time.sleep(0.1)
        else:
            return


def _tell(arguments: argparse.Namespace, peer: LabPeer, changed: bool, what: str) -> int:
    if arguments.json:
        print(json.dumps({"peer": peer.nick_name, "changed": changed}))
    else:
        print(f"the daemon of {peer.nick_name} {what}")
    return 0
