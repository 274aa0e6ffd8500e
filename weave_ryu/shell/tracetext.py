"""Reads what ``ofproto/trace`` of Open vSwitch says of one frame in one bridge (ovs-vswitchd(8)).

The text is a walk through the tables: a line for each flow that matched, its actions below, deeper
where a table was consulted on the way. Other bridges' walks (a tunnel's underlay) stand within.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_BRIDGE = re.compile(r'( *)bridge\("(.*)"\)$')
_ROW = re.compile(
    r"(?P<table>\d+)\. "
    r"(?:No match\.|.*?(?:, )?priority (?P<priority>\d+)(?:, cookie 0x(?P<cookie>[0-9a-f]+))?)$"
)
_SET = re.compile(r"set_field:([^ ]+)->(tun_id|tun_src|tun_dst)$")
_OUTPUT = re.compile(r"output:(\d+)$")
_OUTPUT_IS = re.compile(r"-> output port is (\d+)$")

LOCAL_PORT = 0xFFFFFFFE
"""OpenFlow's number of the bridge's own port."""


@dataclass(frozen=True, slots=True)
class Row:
    """A flow that matched.

    Args:
        table: number.
        priority: of the flow.
        cookie: of the flow; 0 if it has none.
        drops: it has no actions.
    """

    table: int
    priority: int
    cookie: int
    drops: bool


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy of the frame that leaves the bridge; the tunnel's fields as they are then."""

    port: int
    tun_src: str
    tun_dst: str
    tun_id: int


@dataclass(slots=True)
class Walk:
    """What became of the frame."""

    rows: list[Row] = field(default_factory=list)
    copies: list[Copy] = field(default_factory=list)


class UnreadableTraceError(ValueError):
    """The text is no trace."""


def parse(text: str, bridge: str, tun_id: int = 0) -> Walk:
    """Read a trace.

    Args:
        text: the answer of ``ofproto/trace``.
        bridge: whose walk is wanted.
        tun_id: with which the frame came in.

    Raises:
        UnreadableTraceError: there is no walk through this bridge in it.
    """
    walk = Walk()
    tunnel = {"tun_src": "", "tun_dst": "", "tun_id": str(tun_id)}
    inside: int | None = None  # indentation of another bridge's walk
    found = False
    for line in text.splitlines():
        words = line.strip()
        indent = len(line) - len(line.lstrip())
        if not words or set(words) == {"-"}:
            continue
        heading = _BRIDGE.match(line)
        if heading:
            if heading[2] == bridge and inside is None:
                found = True
            elif inside is None:
                inside = indent
            continue
        if inside is not None:
            if indent > inside:
                continue
            inside = None
        if not found:
            continue
        if indent == 0 and words.startswith(("Final flow:", "Megaflow:")):
            break
        _read(words, walk, tunnel)
    if not found:
        raise UnreadableTraceError(text.strip().splitlines()[0] if text.strip() else "empty")
    return walk


def _read(words: str, walk: Walk, tunnel: dict[str, str]) -> None:
    row = _ROW.match(words)
    if row:
        cookie = int(row["cookie"] or "0", 16)
        walk.rows.append(Row(int(row["table"]), int(row["priority"] or 0), cookie, False))
        return
    change = _SET.match(words)
    if change:
        tunnel[change[2]] = change[1]
        return
    output = _OUTPUT.match(words) or _OUTPUT_IS.match(words)
    if output or words == "LOCAL":
        number = int(output[1]) if output else LOCAL_PORT
        tun_id = int(tunnel["tun_id"], 0)
        walk.copies.append(Copy(number, tunnel["tun_src"], tunnel["tun_dst"], tun_id))
    elif words.startswith(">> skipping output") and walk.copies:
        walk.copies.pop()
    elif words == "drop" and walk.rows:
        last = walk.rows[-1]
        walk.rows[-1] = Row(last.table, last.priority, last.cookie, last.cookie != 0)
