"""What the gateway core wants done; the shell performs it in the order given."""

from __future__ import annotations

from dataclasses import dataclass, field

from weave_ryu.gate import Gate
from weave_ryu.gateway.role import Intent, Role
from weave_ryu.gateway.states import Entry
from weave_ryu.names import PeerName


@dataclass(frozen=True, slots=True)
class SetGate:
    """Open or close a port, atomically; answer with `core.gate_set` or `core.gate_failed`.

    Args:
        port: its name.
        gate: how far.
        token: to be handed back.
    """

    port: str
    gate: Gate
    token: int


@dataclass(frozen=True, slots=True)
class RenewGate:
    """Renew the permits of a port; answer with `core.renewed` or `core.gate_failed`."""

    port: str
    gate: Gate


@dataclass(frozen=True, slots=True)
class RenewFence:
    """Keep the fence of an open port open, before what follows; then call `GateKeeper.fenced`."""

    port: str


@dataclass(frozen=True, slots=True)
class Broadcast:
    """Gossip to all peers on the gateway channel."""

    payload: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Tell:
    """Gossip to one peer on the gateway channel; `detour` = around the way that routes name."""

    peer: PeerName
    payload: bytes = field(repr=False)
    detour: bool = False


@dataclass(frozen=True, slots=True)
class SayHello:
    """Send a frame out of a gateway port, past its gate."""

    port: str
    frame: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Claim:
    """Connect a segment to this peer in the topology of the mesh, with this epoch."""

    segment: str
    epoch: int
    arriving: bool = False
    """Its broadcasts still come by the gateway that hands over."""


@dataclass(frozen=True, slots=True)
class Release:
    """Connect a segment to this peer no more."""

    segment: str


@dataclass(frozen=True, slots=True)
class Announce:
    """Announce MACs of the mesh (12 hex digits) to a segment; repeated and rate limited."""

    port: str
    macs: frozenset[str]


@dataclass(frozen=True, slots=True)
class Prime:
    """Let the own switch know that MACs (12 hex digits) are in the mesh; tell nobody else.

    The segment may return frames of theirs.
    """

    port: str
    macs: frozenset[str]


@dataclass(frozen=True, slots=True)
class Doubt:
    """Find out where MACs (12 hex digits) are that are known on both sides of a port."""

    port: str
    macs: frozenset[str]


@dataclass(frozen=True, slots=True)
class ForgetBehind:
    """Forget the MACs behind a gateway that marks its segment's frames as its own.

    It has lost the role, or another one has taken it: its hosts are somewhere else now.
    """

    peer: PeerName
    segment: str


@dataclass(frozen=True, slots=True)
class ReadMacs:
    """Read the switch's MAC table; answer with `core.macs_read`."""

    port: str


@dataclass(frozen=True, slots=True)
class Introduce:
    """Let a gateway's switch, and its segment, know the containers of this peer.

    By frames in their name, so that they are learnt as if they had spoken.
    """

    to: PeerName


@dataclass(frozen=True, slots=True)
class RememberRole:
    """Keep the operator's choice over restarts."""

    port: str
    role: Role


@dataclass(frozen=True, slots=True)
class TakeBack:
    """What was wanted of a port is not any more, and nobody asked for that: log it.

    Args:
        port: its name.
        segment: its segment.
        wanted: until now.
        why: in a clause.
    """

    port: str
    segment: str
    wanted: Intent
    why: str


@dataclass(frozen=True, slots=True)
class Report:
    """A port has entered a state: log it, count it."""

    port: str
    segment: str
    entry: Entry


Command = (
    SetGate
    | RenewGate
    | RenewFence
    | Broadcast
    | Tell
    | SayHello
    | Claim
    | Release
    | Announce
    | Prime
    | Doubt
    | ForgetBehind
    | ReadMacs
    | Introduce
    | RememberRole
    | TakeBack
    | Report
)
