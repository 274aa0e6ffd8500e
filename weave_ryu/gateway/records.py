"""What gateways tell each other, and every other peer, on the gossip channel ``gateway``.

A message is a JSON document: a version and a list of gateway records. Routers that do not know the
channel relay it (mesh/surrogate_gossiper.go), so it crosses unmodified Weave routers. Each gateway
writes only its own record; the newest sequence number wins.
"""

from __future__ import annotations

import enum
import functools
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from weave_ryu.errors import RemoteProtocolError
from weave_ryu.names import PeerName

CHANNEL = "gateway"
VERSION = 1

MAX_PAYLOAD_BYTES = 4 << 20
MAX_CACHED_BYTES = 2048
MAX_RECORDS = 256
MAX_PORTS = 256
MAX_MACS = 65536
"""Of a table: more are not told."""
MAX_REASON = 200
MAX_FENCE_MS = 10_000
MAX_COUNTER = (1 << 63) - 1
OUTLIVED_BELOW = MAX_COUNTER - (1 << 32)
"""Numbers from here on are lies; above them there must be room to count on."""

EPOCH_BELOW = 1 << 31
"""As the mesh has room for in the version of a segment's entry (mesh/segments.py)."""

SEGMENT_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
"""Names of segments: as in file and interface names, so that they need no quoting anywhere."""

_MAC_HEX = re.compile(r"[0-9a-f]{12}")


class Peering(enum.IntEnum):
    """How a gateway's switch marks what it lets in from its segment."""

    UNKNOWN = 0
    """As its own: it is of a version that does not know segments as peers."""
    ABLE = 1
    """As its own, as long as there is one of those among the segment's gateways."""
    PEER = 2
    """As the segment's, which is a peer of the mesh."""


@dataclass(frozen=True, slots=True)
class PortRecord:
    """One gateway port as its owner describes it.

    Args:
        segment: name of the segment.
        port: name of the port, for humans.
        state: state of the port, see `role.State`.
        epoch: of the segment when the port last became active; 0 if it never was.
        role: what was asked for, see `role.Role`.
        priority: for the election.
        ready: it could take over now.
        damped: it has lost the role by faults too often lately.
        reason: why it is in this state, for humans; others never decide on it.
        forced: active whoever else is: the operator insists.
        word: counts what operators of the segment asked for; of two that were made active, the one
            with the higher word was asked later. 0 = nobody asked.
        peering: see `Peering`.
    """

    segment: str
    port: str
    state: str
    epoch: int
    role: str = "standby"
    priority: int = 100
    ready: bool = False
    damped: bool = False
    reason: str = ""
    forced: bool = False
    word: int = 0
    peering: int = 0

    @property
    def is_active(self) -> bool:
        """True if the port forwards."""
        return self.state == "active"


@dataclass(frozen=True, slots=True)
class GatewayRecord:
    """One gateway.

    Args:
        name: of the peer.
        incarnation: its UID.
        sequence: grows with each change, over restarts too.
        ports: all its gateway ports, sorted by name.
        fence_ms: so old is its last lease at least when its ports are closed although its switch
            is dead; 0: dead switches pass nothing.
        seal: of all of it, by those who have the gateways' key (`sealing`); empty: none.
    """

    name: PeerName
    incarnation: int
    sequence: int
    ports: tuple[PortRecord, ...]
    fence_ms: int = 0
    seal: str = ""

    def segments(self) -> frozenset[str]:
        """The segments that it is a gateway of, whatever its roles."""
        return frozenset(port.segment for port in self.ports)

    def lets_in(self) -> frozenset[str]:
        """The segments whose frames it marks as its own."""
        return frozenset(p.segment for p in self.ports if p.peering != Peering.PEER)

    def active_epochs(self) -> dict[str, int]:
        """Segment → epoch, where it forwards."""
        return {port.segment: port.epoch for port in self.ports if port.is_active}


@dataclass(frozen=True, slots=True)
class MacTable:
    """The MACs that a gateway knows, for the others: one of them may take over.

    Args:
        name: of the gateway that tells.
        segment: whose gateway port it is about.
        mesh: MACs behind the mesh, as 12 hex digits.
    """

    name: PeerName
    segment: str
    mesh: frozenset[str] = field(default=frozenset())


class Step(enum.StrEnum):
    """Messages of a planned hand-over between the gateway that forwards and its successor."""

    REQUEST = "request"
    """Successor: let me take over."""
    PREPARE = "prepare"
    """Old one: open for known unicast."""
    READY = "ready"
    """Successor: it is open, and has claimed the segment in the mesh."""
    YOURS = "yours"
    """Old one: it sends nothing to the segment any more; open fully."""
    ABORT = "abort"
    """Either: forget it."""


@dataclass(frozen=True, slots=True)
class HandOver:
    """One step of a hand-over; `epoch` is the one that the successor will have."""

    segment: str
    step: Step
    epoch: int


@dataclass(frozen=True, slots=True)
class Message:
    """The content of one payload."""

    records: tuple[GatewayRecord, ...] = ()
    tables: tuple[MacTable, ...] = ()
    hand_overs: tuple[HandOver, ...] = ()
    unheard: frozenset[PeerName] = frozenset()
    """Gateways whose leases do not reach the sender: they are to take other ways."""
    is_call: bool = False
    """The sender has just begun to forward: all peers are to let it know their containers."""
    asks_macs: bool = False
    """The sender may have dropped what it was told: gateways are to tell it their tables."""

    def is_lease_of(self, sender: PeerName) -> bool:
        """It holds the sender's record and nothing else: repeated, it says only that it lives."""
        is_more = self.tables or self.hand_overs or self.unheard or self.is_call or self.asks_macs
        return not is_more and [record.name for record in self.records] == [sender]


def encode(
    records: Iterable[GatewayRecord] = (),
    tables: Iterable[MacTable] = (),
    hand_overs: Iterable[HandOver] = (),
    unheard: Iterable[PeerName] = (),
    is_call: bool = False,
    asks_macs: bool = False,
) -> bytes:
    """The payload; empty bytes if there is nothing to say."""
    gateways = [
        {
            "name": str(record.name),
            "incarnation": record.incarnation,
            "sequence": record.sequence,
            **({"fence_ms": record.fence_ms} if record.fence_ms else {}),
            **({"seal": record.seal} if record.seal else {}),
            "ports": [
                {
                    "segment": p.segment,
                    "port": p.port,
                    "state": p.state,
                    "epoch": p.epoch,
                    "role": p.role,
                    "priority": p.priority,
                    "ready": p.ready,
                    "damped": p.damped,
                    "reason": p.reason,
                    **({"forced": True} if p.forced else {}),
                    **({"word": p.word} if p.word else {}),
                    **({"peering": p.peering} if p.peering else {}),
                }
                for p in record.ports
            ],
        }
        for record in sorted(records, key=lambda record: record.name)
    ]
    macs = [
        {
            "name": str(table.name),
            "segment": table.segment,
            "mesh": sorted(table.mesh)[:MAX_MACS],
            "hosts": [],  # gateways of before insist on it
        }
        for table in tables
    ]
    steps = [{"segment": h.segment, "step": str(h.step), "epoch": h.epoch} for h in hand_overs]
    if not (gateways or macs or steps or is_call or asks_macs):
        return b""
    document = {"version": VERSION, "gateways": gateways, "macs": macs, "hand_overs": steps}
    if names := [str(name) for name in sorted(unheard)]:
        document["unheard"] = names
    if is_call:
        document["call"] = True
    if asks_macs:
        document["ask"] = True
    return json.dumps(document, separators=(",", ":")).encode()


def decode(payload: bytes) -> Message:
    """Read a payload.

    Args:
        payload: at most 4 MiB; empty = nothing.

    Raises:
        RemoteProtocolError: it is not such a document; nothing of it may be used.
    """
    if not payload:
        return Message()
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise RemoteProtocolError("gateway-gossip", f"{len(payload)} bytes are too many")
    if len(payload) <= MAX_CACHED_BYTES:
        return _decode_lease(payload)
    return _decode(payload)


@functools.lru_cache(maxsize=256)
def _decode_lease(payload: bytes) -> Message:
    """Leases come many times a second and rarely say anything new."""
    return _decode(payload)


def _decode(payload: bytes) -> Message:
    try:
        document = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise RemoteProtocolError("gateway-gossip", f"not JSON: {error}") from error
    if not isinstance(document, dict) or document.get("version") != VERSION:
        raise RemoteProtocolError("gateway-gossip", f"not a version {VERSION} document")
    return Message(
        tuple(_record(entry) for entry in _list(document, "gateways", MAX_RECORDS)),
        tuple(_table(entry) for entry in _list(document, "macs", MAX_PORTS)),
        tuple(_hand_over(entry) for entry in _list(document, "hand_overs", MAX_PORTS)),
        frozenset(
            _name({"name": n}) for n in _list({"unheard": [], **document}, "unheard", MAX_PORTS)
        ),
        _flag({"call": False, **document}, "call"),
        _flag({"ask": False, **document}, "ask"),
    )


def _record(entry: Any) -> GatewayRecord:  # noqa: ANN401
    ports = tuple(
        PortRecord(
            _segment(port),
            _text(port, "port", 64),
            _text(port, "state", 16),
            _number(port, "epoch", EPOCH_BELOW),
            _text(port, "role", 16),
            _number(port, "priority", 256),
            _flag(port, "ready"),
            _flag(port, "damped"),
            _reason(port),
            _flag({"forced": False, **port}, "forced"),
            _number({"word": 0, **port}, "word"),
            _number({"peering": 0, **port}, "peering"),
        )
        for port in _list(entry, "ports", MAX_PORTS)
    )
    count = _number(entry, "incarnation", 1 << 64), _number(entry, "sequence")
    fence_ms = _number({"fence_ms": 0, **entry}, "fence_ms", MAX_FENCE_MS)
    seal = _text({"seal": "", **entry}, "seal", 64)
    return GatewayRecord(_name(entry), *count, ports, fence_ms, seal)


def _hand_over(entry: Any) -> HandOver:  # noqa: ANN401
    step = _text(entry, "step", 16)
    if step not in list(Step):
        raise RemoteProtocolError("gateway-gossip", f"step {step!r} is unknown")
    return HandOver(_segment(entry), Step(step), _number(entry, "epoch", EPOCH_BELOW))


def as_reason(text: str) -> str:
    """A reason as records may carry it; it may quote an error of the switch."""
    return (text if text.isprintable() else ascii(text))[:MAX_REASON]


def _reason(port: Any) -> str:  # noqa: ANN401
    """Optional: gateways of before did not tell it."""
    return _text(port, "reason", MAX_REASON) if "reason" in port else ""


def _flag(entry: Any, key: str) -> bool:  # noqa: ANN401
    value = entry.get(key) if isinstance(entry, dict) else None
    if not isinstance(value, bool):
        raise RemoteProtocolError("gateway-gossip", f"{key} is missing or not a truth value")
    return value


def _table(entry: Any) -> MacTable:  # noqa: ANN401
    return MacTable(_name(entry), _segment(entry), _macs(entry, "mesh"))


def _macs(entry: Any, key: str) -> frozenset[str]:  # noqa: ANN401
    macs = _list(entry, key, MAX_MACS)
    if not all(isinstance(mac, str) and _MAC_HEX.fullmatch(mac) for mac in macs):
        raise RemoteProtocolError("gateway-gossip", f"{key} holds something that is no MAC")
    return frozenset(macs)


def _field(entry: Any, key: str, kind: type) -> Any:  # noqa: ANN401
    value = entry.get(key) if isinstance(entry, dict) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise RemoteProtocolError("gateway-gossip", f"{key} is missing or not a {kind.__name__}")
    return value


def _list(entry: Any, key: str, limit: int) -> list[Any]:  # noqa: ANN401
    value: list[Any] = _field(entry, key, list)
    if len(value) > limit:
        raise RemoteProtocolError("gateway-gossip", f"{len(value)} {key} are more than {limit}")
    return value


def _text(entry: Any, key: str, limit: int) -> str:  # noqa: ANN401
    value: str = _field(entry, key, str)
    if len(value) > limit or not value.isprintable():
        raise RemoteProtocolError("gateway-gossip", f"{key} is too long or not printable")
    return value


def _segment(entry: Any) -> str:  # noqa: ANN401
    value = _text(entry, "segment", 63)
    if not SEGMENT_PATTERN.fullmatch(value):
        raise RemoteProtocolError("gateway-gossip", f"segment {value!r} is not a name")
    return value


def _number(entry: Any, key: str, limit: int = MAX_COUNTER) -> int:  # noqa: ANN401
    value: int = _field(entry, key, int)
    if not 0 <= value < limit:
        raise RemoteProtocolError("gateway-gossip", f"{key} {value} is out of range")
    return value


def _name(entry: Any) -> PeerName:  # noqa: ANN401
    try:
        return PeerName.parse(_text(entry, "name", 17))
    except ValueError as error:
        raise RemoteProtocolError("gateway-gossip", str(error)) from error
