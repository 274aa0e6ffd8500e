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
        forget: peers behind which nothing learnt may stay when the port opens.
        partner: the other side of a hand-over. A port that drains redirects to it what is for its
            hosts; one that opens for known unicast only watches which broadcasts it passes.
    """

    port: str
    gate: Gate
    token: int
    forget: tuple[PeerName, ...] = ()
    partner: PeerName | None = None


@dataclass(frozen=True, slots=True)
class RenewGate:
    """Renew the permits of a port; answer with `core.renewed` or `core.gate_failed`."""

    port: str
    gate: Gate
    partner: PeerName | None = None


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
class ForgetBehind:
    """Forget, now and again, the MACs learnt behind these peers."""

    peers: tuple[PeerName, ...]


@dataclass(frozen=True, slots=True)
class Announce:
    """Announce MACs (12 hex digits); repeated and rate limited by the shell.

    Args:
        port: the gateway port.
        to_segment: MACs of the mesh.
        to_mesh: MACs of the segment.
    """

    port: str
    to_segment: frozenset[str]
    to_mesh: frozenset[str]


@dataclass(frozen=True, slots=True)
class Prime:
    """Let the own switch know MACs (12 hex digits); tell nobody else.

    Args:
        port: the gateway port.
        hosts: behind it.
        mesh: in the mesh, wherever: the segment returns their frames.
        beside: beside other gateways: so it does with theirs.
    """

    port: str
    hosts: frozenset[str]
    mesh: frozenset[str] = frozenset()
    beside: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Disown:
    """Forget that MACs (12 hex digits) are behind a gateway port: they are beside other gateways.

    And let the own switch know that, as `Prime` does.
    """

    port: str
    macs: frozenset[str]


@dataclass(frozen=True, slots=True)
class ForgetBeside:
    """Forget that MACs (12 hex digits) are beside other gateways: nobody says so any more."""

    port: str
    macs: frozenset[str]


@dataclass(frozen=True, slots=True)
class Reassert:
    """Let the whole mesh know containers (12 hex digits) beside this peer, as if they had spoken.

    Another gateway has taken them for hosts, and may have announced them. Repeated by the shell.
    """

    port: str
    macs: frozenset[str]


@dataclass(frozen=True, slots=True)
class RaiseVersion:
    """Raise the own topology version, so that unmodified Weave peers drop their flows."""


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
    | ForgetBehind
    | Announce
    | Prime
    | Disown
    | ForgetBeside
    | Reassert
    | RaiseVersion
    | ReadMacs
    | Introduce
    | RememberRole
    | TakeBack
    | Report
)
