"""Verbs of ``weave-ryu debug``: the mesh code on given data, for comparison with real routers."""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Callable
from typing import Any

from weave_ryu.errors import RemoteProtocolError, WeaveRyuError
from weave_ryu.mesh import routes
from weave_ryu.mesh.describe import describe_bytes
from weave_ryu.mesh.peers import Connection, Peer, Peers, connections_by_name
from weave_ryu.mesh.topology import decode_update
from weave_ryu.names import MAX_SHORT_ID, MAX_UID, UNKNOWN_PEER, PeerName, PeerUID, ShortId

Json = Any

_DECODE_EXAMPLE = """\
example:
  $ echo 77656176650102 | weave-ryu debug decode
  {"protocol": "weave", "min_version": 1, "max_version": 2}
"""
_ROUTES_EXAMPLE = """\
example:
  $ echo '{"peers": ["000000000001", "000000000002"],
           "connections": [[0, 1, true], [1, 0, true]]}' | weave-ryu debug routes
"""
_MERGE_EXAMPLE = """\
example:
  $ weave-ryu debug merge < case.json

case.json is an object with the keys self, state_before and update_gob.
"""
_MISSING = object()


class DebugInputError(WeaveRyuError):
    """What came on standard input cannot be used."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(where, reason)
        self.where = where
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verbs."""
    debug = subparsers.add_parser(
        "debug",
        help="run the mesh code on given data",
        epilog="example: echo 77656176650102 | weave-ryu debug decode",
    )
    verbs = debug.add_subparsers(dest="debug_verb", metavar="WHAT", required=True)
    _add(
        verbs,
        "decode",
        "hex lines of a control connection on standard input, one JSON line per message on output",
        _DECODE_EXAMPLE,
        _decode,
    )
    _add(
        verbs,
        "routes",
        "a topology as JSON on standard input, the routes of each of its peers on output",
        _ROUTES_EXAMPLE,
        _routes,
    )
    _add(
        verbs,
        "merge",
        "peers and a topology update as JSON on standard input, what becomes of them on output",
        _MERGE_EXAMPLE,
        _merge,
    )


def _add(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    description: str,
    example: str,
    handler: Callable[[argparse.Namespace], int],
) -> None:
    parser = verbs.add_parser(
        name,
        help=description,
        description=description,
        epilog=example,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(handler=handler)


def _decode(_arguments: argparse.Namespace) -> int:
    for number, line in enumerate(_read_text().splitlines(), 1):
        digits = "".join(line.split())
        if not digits:
            continue
        try:
            described = describe_bytes(bytes.fromhex(digits))
        except ValueError as error:
            raise DebugInputError(
                f"line {number}", "this is not hex: write bytes as 7765"
            ) from error
        except RemoteProtocolError as error:
            raise DebugInputError(f"line {number}", str(error)) from error
        for message in described:
            print(json.dumps(message))
    return 0


def _routes(_arguments: argparse.Namespace) -> int:
    case = _read_object()
    names = [_name(text, "peers") for text in _list(case, "peers")]
    if len(set(names)) != len(names):
        raise DebugInputError("peers", "a name is there twice")
    lines: dict[PeerName, list[Connection]] = {name: [] for name in names}
    for line in _list(case, "connections"):
        if not isinstance(line, list) or len(line) != 3:
            raise DebugInputError("connections", f"{line!r} is not [from, to, established]")
        near, far = (_place(place, names) for place in line[:2])
        lines[near].append(Connection(far, "", outbound=True, established=bool(line[2])))
    peers = [Peer(name, connections=connections_by_name(lines[name])) for name in names]
    graphs = {"": routes.established_graph(peers), "_all": routes.recorded_graph(peers)}
    results = []
    for place, name in enumerate(names):
        result: dict[str, Json] = {"self": place}
        for suffix, graph in graphs.items():
            result["unicast" + suffix] = _unicast(graph, name, names)
            result["broadcast" + suffix] = _broadcast(graph, name, names)
        results.append(result)
    print(json.dumps(results))
    return 0


def _unicast(graph: routes.Graph, own: PeerName, names: list[PeerName]) -> list[int]:
    hops = routes.unicast_next_hops(graph, own) | {own: own}
    places = {name: place for place, name in enumerate(names)}
    return [places[hops[name]] if name in hops else -1 for name in names]


def _broadcast(graph: routes.Graph, own: PeerName, names: list[PeerName]) -> list[list[int]]:
    places = {name: place for place, name in enumerate(names)}
    table = routes.broadcast_tables(graph, own)
    return [sorted(places[hop] for hop in table[source].next_hops) for source in names]


def _merge(_arguments: argparse.Namespace) -> int:
    case = _read_object()
    own = _name(_get(case, "self", str), "self")
    entries = [_entry(entry) for entry in _list(case, "state_before")]
    if own not in {entry.name for entry in entries}:
        raise DebugInputError("state_before", f"there is no entry of ourself, {own}")
    try:
        update = decode_update(bytes.fromhex(_get(case, "update_gob", str)))
    except ValueError as error:
        raise DebugInputError("update_gob", "this is not hex") from error
    except RemoteProtocolError as error:
        raise DebugInputError("update_gob", str(error)) from error
    peers = Peers.from_entries(entries, own, random.SystemRandom())
    short_id = peers.own.short_id
    merged = peers.merge(update)
    result = {
        "delta_names": [str(name) for name in merged.delta],
        "update_names": [str(name) for name in merged.update],
        "local_short_id_changed": peers.own.short_id != short_id,
        "local_version_after": peers.own.version,
        "short_ids_after": {str(key): str(who) for key, who in peers.short_id_owners().items()},
        "state_after": [_show(peer) for peer in peers],
    }
    result["removed_by_gc"] = [str(name) for name in peers.collect()]
    result["state_after_gc"] = [_show(peer) for peer in peers]
    print(json.dumps(result))
    return 0


def _entry(entry: Json) -> Peer:
    if not isinstance(entry, dict):
        raise DebugInputError("state_before", f"{entry!r} is not an object")
    peer = _get(entry, "peer", dict)
    has_short_id = _get(peer, "HasShortID", bool)
    return Peer(
        name=_name(_get(peer, "NameByte", str), "NameByte"),
        nick_name=_get(peer, "NickName", str),
        uid=PeerUID(_number(peer, "UID", MAX_UID)),
        version=_number(peer, "Version", MAX_UID),
        short_id=ShortId(_number(peer, "ShortID", MAX_SHORT_ID)) if has_short_id else None,
        connections=connections_by_name(_line(line) for line in _list(entry, "connections")),
    )


def _line(line: Json) -> Connection:
    if not isinstance(line, dict):
        raise DebugInputError("connections", f"{line!r} is not an object")
    return Connection(
        remote=_name(_get(line, "NameByte", str), "NameByte"),
        remote_tcp_addr=_get(line, "RemoteTCPAddr", str),
        outbound=_get(line, "Outbound", bool),
        established=_get(line, "Established", bool),
    )


def _show(peer: Peer) -> Json:
    return {
        "peer": {
            "NameByte": peer.name.to_bytes6().hex(),
            "NickName": peer.nick_name,
            "UID": str(peer.uid),
            "Version": str(peer.version),
            "ShortID": peer.short_id or 0,
            "HasShortID": peer.short_id is not None,
        },
        "connections": [
            {
                "NameByte": line.remote.to_bytes6().hex(),
                "RemoteTCPAddr": line.remote_tcp_addr,
                "Outbound": line.outbound,
                "Established": line.established,
            }
            for line in peer.sorted_connections()
        ],
    }


def _read_text() -> str:
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise DebugInputError("standard input", "this is not text") from error


def _read_object() -> dict[str, Json]:
    try:
        value = json.loads(_read_text())
    except (ValueError, RecursionError) as error:
        raise DebugInputError("standard input", f"this is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise DebugInputError("standard input", "one JSON object is expected")
    return value


def _get(where: dict[str, Json], key: str, kind: type) -> Json:
    value = where.get(key, _MISSING)
    if value is _MISSING:
        raise DebugInputError(key, "this key is missing")
    if not isinstance(value, kind):
        raise DebugInputError(key, f"{_short(value)} is not of type {kind.__name__}")
    return value


def _list(where: dict[str, Json], key: str) -> list[Json]:
    value: list[Json] = _get(where, key, list)
    return value


def _number(where: dict[str, Json], key: str, highest: int) -> int:
    """Numbers of 64 bits are written as strings, since not every JSON reader keeps them whole."""
    value = where.get(key, _MISSING)
    try:
        number = int(value) if isinstance(value, str | int) else -1
    except ValueError:
        number = -1
    if not 0 <= number <= highest:
        shown = "nothing" if value is _MISSING else _short(value)
        raise DebugInputError(key, f"{shown} is not a number from 0 to {highest}")
    return number


def _name(text: Json, key: str) -> PeerName:
    try:
        if not isinstance(text, str):
            raise TypeError
        name = PeerName.parse(text) if ":" in text else PeerName.from_bytes6(bytes.fromhex(text))
    except (TypeError, ValueError) as error:
        raise DebugInputError(key, f"{_short(text)} is not a peer name of 12 hex digits") from error
    if name == UNKNOWN_PEER:
        raise DebugInputError(key, 'peer name 0 means "unknown"')
    return name


def _place(place: Json, names: list[PeerName]) -> PeerName:
    if not isinstance(place, int) or not 0 <= place < len(names):
        raise DebugInputError("connections", f"{_short(place)} is no index into peers")
    return names[place]


def _short(value: Json) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
