"""Messages to nftables for the fence of one gateway port. Sans-IO.

The fence is a table of family ``netdev`` with two chains on the port's device, one where frames
come in and one where they go out. Both drop what they are not told to accept, and accept while a
set has the device among its elements. The element has a timeout. Two rules of the chain out are for
us: a frame with one secret sets the element's time anew, a frame with another lets it end at the
next tick of the kernel's clock, and neither leaves the host. Frames that never cross a gateway pass
at any time: hellos and probes of gateways, and what switches say to their neighbours.

So whoever holds the secrets keeps the port open by sending frames to it, which is one system call;
when nobody sends, the kernel closes it. The rules are written once. Renewing by messages instead
would raise the generation of all nftables some times a second, and programs that read or write
large rulesets would have to begin anew each time, and would keep us waiting meanwhile.

Formats: linux/netfilter/nfnetlink.h, linux/netfilter/nf_tables.h; hooks ``egress`` need Linux 5.16.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from weave_ryu.names import HELLO_GROUP

PREFIX = "weave-ryu/"
"""Of the names of our tables: no link's name has a slash."""
PRIORITY = -500
"""Of the chains: before those of firewalls, so that what they count has passed here."""
ETHERTYPE = 0x88B5
"""IEEE's for local experiments."""
SECRET_LENGTH = 14
"""Bytes; with the EtherType one register is full."""
CHAIN_IN, CHAIN_OUT, SET = "in", "out", "open"
NEVER_FORWARDED = (
    (HELLO_GROUP, "ff:ff:ff:ff:ff:fe"),
    ("01:80:c2:00:00:00", "ff:ff:ff:ff:ff:f0"),
    ("01:00:0c:cc:cc:c0", "ff:ff:ff:ff:ff:f0"),
)
"""Addresses, with their masks, that no flow forwards (`pipeline.reserved`): the port's own daemons,
such as lldpd, go on talking to the next switch while it is closed."""
RULE_COUNT = {CHAIN_IN: 1 + len(NEVER_FORWARDED), CHAIN_OUT: 3 + len(NEVER_FORWARDED)}
"""Of rules in each chain: fewer or more were not written by us."""

_NETDEV = 5  # NFPROTO_NETDEV
_SUBSYSTEM = 10  # NFNL_SUBSYS_NFTABLES
_BATCH_BEGIN, _BATCH_END, _ERROR, _DONE = 0x10, 0x11, 0x2, 0x3
_NEW_TABLE, _GET_TABLE, _DELETE_TABLE, _NEW_CHAIN, _GET_CHAIN = 0, 1, 2, 3, 4
_NEW_RULE, _NEW_SET, _NEW_GENERATION, _GET_GENERATION = 6, 9, 15, 16
_REQUEST, _ACK, _DUMP, _CREATE, _NEW = 0x1, 0x4, 0x300, 0x400, 0xC00
_NESTED = 0x8000
_INGRESS, _EGRESS = 0, 1
_DROP, _ACCEPT = 0, 1
_IIF, _OIF = 4, 5
_IFINDEX = 20
"""The type of the set's keys, for those who list it: libnftables' number."""
_TIMEOUT, _EVAL = 0x10, 0x20
_UPDATE = 1
_REGISTER, _VERDICT = 1, 0
_SET_SIZE = 1024
"""One element lives; those whose time is over wait up to a second until they are collected."""
_HEADER = struct.Struct("=IHHII")
_GENERIC = struct.Struct(">BBH")
_NEXT_TICK_MS = 1


@dataclass(frozen=True, slots=True)
class Layout:
    """One fence.

    Args:
        table: its name.
        device: the gateway port.
        timeout_ms: how long it stays open after a renewal.
        renewal: what a frame that renews it begins with, behind the EtherType.
        closing: the same of a frame that closes it.
    """

    table: str
    device: str
    timeout_ms: int
    renewal: bytes
    closing: bytes


def table_of(bridge: str, port: str) -> str:
    """The name of a port's table."""
    return f"{PREFIX}{bridge}/{port}"


def frame(secret: bytes) -> bytes:
    """What carries a secret to the chain out: an Ethernet frame that goes to nobody."""
    # From itself to itself: if ever one got out, the next switch would have nowhere to send it.
    address = bytes((0x02, 0, 0, 0, 0, 0))
    return (address + address + struct.pack(">H", ETHERTYPE) + secret).ljust(60, b"\0")


# --- requests -----------------------------------------------------------------------------------


def set_up(layout: Layout) -> bytes:
    """A transaction that makes the table, closed, in place of one of that name."""
    table = _text(1, layout.table)
    comment = f"{layout.device} passes frames while its gateway lives".encode() + b"\0"
    always = [(_load(0, 6), *_masked(*one), _verdict(_ACCEPT)) for one in NEVER_FORWARDED]
    inwards = (_pass_if_open(_IIF), *always)
    outwards = (
        _on(layout.renewal, layout.timeout_ms),
        # An update with the shortest time: some kernels lose memory where a rule deletes.
        _on(layout.closing, _NEXT_TICK_MS),
        _pass_if_open(_OIF),
        *always,
    )
    return _batch(
        (_NEW_TABLE, _CREATE, table),
        (_DELETE_TABLE, 0, table),
        (_NEW_TABLE, _CREATE, table + _attribute(6, bytes((0, len(comment))) + comment)),
        (_NEW_SET, _CREATE, _set(layout)),
        (_NEW_CHAIN, _CREATE, _chain(layout, CHAIN_IN, _INGRESS, _DROP)),
        (_NEW_CHAIN, _CREATE, _chain(layout, CHAIN_OUT, _EGRESS, _DROP)),
        *((_NEW_RULE, _NEW, _rule(layout, CHAIN_IN, rule)) for rule in inwards),
        *((_NEW_RULE, _NEW, _rule(layout, CHAIN_OUT, rule)) for rule in outwards),
    )


def trial() -> bytes:
    """A transaction that makes chains at both hooks of the loopback device and removes them."""
    layout = Layout(f"{PREFIX}trial", "lo", 1000, b"", b"")
    return _batch(
        (_NEW_TABLE, _CREATE, _text(1, layout.table)),
        (_NEW_CHAIN, _CREATE, _chain(layout, CHAIN_IN, _INGRESS, _ACCEPT)),
        (_NEW_CHAIN, _CREATE, _chain(layout, CHAIN_OUT, _EGRESS, _ACCEPT)),
        (_DELETE_TABLE, 0, _text(1, layout.table)),
    )


def removal(table: str) -> bytes:
    """A transaction that removes a table, if it is there."""
    return _batch((_NEW_TABLE, _CREATE, _text(1, table)), (_DELETE_TABLE, 0, _text(1, table)))


def ask_generation() -> bytes:
    """A request for the number of transactions that nftables has seen; see `generation_in`."""
    return _message(_GET_GENERATION, _REQUEST, b"", family=0)


def ask_chain(table: str, chain: str) -> bytes:
    """A request for one chain; see `is_whole`."""
    return _message(_GET_CHAIN, _REQUEST, _text(1, table) + _text(3, chain))


def ask_tables() -> bytes:
    """A request for all tables of the family; see `tables_in`."""
    return _message(_GET_TABLE, _REQUEST | _DUMP, b"")


# --- answers ------------------------------------------------------------------------------------


def error_in(answers: bytes) -> int:
    """The first error (an errno), 0 if everything was done."""
    for kind, body in _messages(answers):
        code = int.from_bytes(body[:4], sys.byteorder, signed=True)
        if kind == _ERROR and code:
            return -code
    return 0


def generation_in(answers: bytes) -> int | None:
    """The answer to `ask_generation`."""
    for kind, body in _messages(answers):
        if kind == _SUBSYSTEM << 8 | _NEW_GENERATION:
            return int.from_bytes(_attributes(body).get(1, b""), "big")
    return None


def is_whole(answers: bytes, chain: str) -> bool:
    """The answer to `ask_chain`: it drops by default, and has as many rules as we gave it."""
    for kind, body in _messages(answers):
        if kind == _SUBSYSTEM << 8 | _NEW_CHAIN:
            found = _attributes(body)
            policy, rules = (int.from_bytes(found.get(key, b""), "big") for key in (5, 6))
            return 4 in found and policy == _DROP and rules == RULE_COUNT[chain]
    return False


def tables_in(answers: bytes) -> list[str]:
    """The answer to `ask_tables`."""
    return [
        _attributes(body).get(1, b"").rstrip(b"\0").decode(errors="replace")
        for kind, body in _messages(answers)
        if kind == _SUBSYSTEM << 8 | _NEW_TABLE
    ]


def is_part(answers: bytes) -> bool:
    """They are of a list, and its last message is not among them."""
    kinds = [kind for kind, _ in _messages(answers)]
    return _NEW_TABLE | _SUBSYSTEM << 8 in kinds and _DONE not in kinds


# --- what rules and chains consist of -----------------------------------------------------------


def _set(layout: Layout) -> bytes:
    return (
        _text(1, layout.table)
        + _text(2, SET)
        + _number(3, _TIMEOUT | _EVAL)
        + _number(4, _IFINDEX)
        + _number(5, 4)
        + _nest(9, _number(1, _SET_SIZE))
        + _number(10, 1)
        + _long(11, layout.timeout_ms)
        # For those who list it: keys are in the byte order of this host.
        + _attribute(13, struct.pack("=BBI", 0, 4, 1))
    )


def _chain(layout: Layout, name: str, hook: int, policy: int) -> bytes:
    at = _number(1, hook) + _number(2, PRIORITY & 0xFFFFFFFF) + _text(3, layout.device)
    return (
        _text(1, layout.table)
        + _text(3, name)
        + _nest(4, at)
        + _number(5, policy)
        + _text(7, "filter")
    )


def _rule(layout: Layout, chain: str, expressions: Iterable[bytes]) -> bytes:
    listed = b"".join(_nest(1, expression) for expression in expressions)
    return _text(1, layout.table) + _text(2, chain) + _nest(4, listed)


def _pass_if_open(key: int) -> tuple[bytes, ...]:
    return _meta(key), _lookup(), _verdict(_ACCEPT)


def _on(secret: bytes, timeout_ms: int) -> tuple[bytes, ...]:
    wanted = struct.pack(">H", ETHERTYPE) + secret
    return _load(12, len(wanted)), _compare(wanted), _meta(_OIF), _put(timeout_ms), _verdict(_DROP)


def _expression(name: str, data: bytes) -> bytes:
    return _text(1, name) + _nest(2, data)


def _meta(key: int) -> bytes:
    return _expression("meta", _number(1, _REGISTER) + _number(2, key))


def _lookup() -> bytes:
    return _expression("lookup", _text(1, SET) + _number(2, _REGISTER) + _number(4, 1))


def _load(offset: int, length: int) -> bytes:
    place = _number(2, 0) + _number(3, offset) + _number(4, length)
    return _expression("payload", _number(1, _REGISTER) + place)


def _compare(value: bytes) -> bytes:
    wanted = _nest(3, _attribute(1, value))
    return _expression("cmp", _number(1, _REGISTER) + _number(2, 0) + wanted)


def _masked(address: str, mask: str) -> tuple[bytes, bytes]:
    """The MAC in the register is one of these."""
    wanted, bits = (bytes.fromhex(text.replace(":", "")) for text in (address, mask))
    place = _number(1, _REGISTER) + _number(2, _REGISTER) + _number(3, 6)
    values = _nest(4, _attribute(1, bits)) + _nest(5, _attribute(1, bytes(6)))
    return _expression("bitwise", place + values), _compare(wanted)


def _put(timeout_ms: int) -> bytes:
    which = _text(1, SET) + _number(2, 1) + _number(3, _UPDATE) + _number(4, _REGISTER)
    return _expression("dynset", which + _long(6, timeout_ms))


def _verdict(code: int) -> bytes:
    return _expression("immediate", _number(1, _VERDICT) + _nest(2, _nest(2, _number(1, code))))


# --- bytes --------------------------------------------------------------------------------------


def _batch(*changes: tuple[int, int, bytes]) -> bytes:
    """All of it is done or nothing; the last one is answered in any case."""
    bounds = [
        _HEADER.pack(20, kind, _REQUEST, 0, 0) + _GENERIC.pack(0, 0, _SUBSYSTEM)
        for kind in (_BATCH_BEGIN, _BATCH_END)
    ]
    last = len(changes) - 1
    middle = (
        _message(kind, _REQUEST | flags | (_ACK if number == last else 0), body)
        for number, (kind, flags, body) in enumerate(changes)
    )
    return b"".join((bounds[0], *middle, bounds[1]))


def _message(kind: int, flags: int, body: bytes, family: int = _NETDEV) -> bytes:
    header = _HEADER.pack(20 + len(body), _SUBSYSTEM << 8 | kind, flags, 0, 0)
    return header + _GENERIC.pack(family, 0, 0) + body


def _attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(data), kind) + data.ljust((len(data) + 3) & ~3, b"\0")


def _nest(kind: int, data: bytes) -> bytes:
    return _attribute(kind | _NESTED, data)


def _text(kind: int, text: str) -> bytes:
    return _attribute(kind, text.encode() + b"\0")


def _number(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack(">I", value))


def _long(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack(">Q", value))


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Kind and content of each message."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, *_ = _HEADER.unpack_from(data, at)
        if length < _HEADER.size:
            return
        yield kind, data[at + _HEADER.size : at + length]
        at += (length + 3) & ~3


def _attributes(body: bytes) -> dict[int, bytes]:
    """Those of one message, behind the generic header."""
    found, at = {}, _GENERIC.size
    while at + 4 <= len(body):
        length, kind = struct.unpack_from("=HH", body, at)
        if length < 4:
            break
        found[kind & ~_NESTED] = body[at + 4 : at + length]
        at += (length + 3) & ~3
    return found
