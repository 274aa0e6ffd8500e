"""The vocabulary of the pipeline: tables, registers, matches, actions, flows.

Everything here is plain data. `tables.py` declares the tables with it, `rules.py` says which flows
should be there, and four readers use both: the installer (`shell/openflow.py`), the documentation
and introspection (`render.py`), the difference (`diff.py`) and the table model of the tests.

Sources: ovs-fields(7) for fields and registers, ovs-actions(7) for actions.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field


class Field(enum.Enum):
    """A field that a flow can match; the value is the name that ovs-ofctl(8) uses."""

    IN_PORT = "in_port"
    ETH_SRC = "dl_src"
    ETH_DST = "dl_dst"
    TUN_SRC = "tun_src"
    TUN_DST = "tun_dst"
    TUN_ID = "tun_id"
    ETH_TYPE = "dl_type"
    IP_PROTO = "nw_proto"
    ICMP_TYPE = "icmp_type"
    ICMP_CODE = "icmp_code"
    ICMPV6_TYPE = "icmpv6_type"


@dataclass(frozen=True, slots=True)
class Mark:
    """A named range of bits in a Nicira register.

    Args:
        name: how documents and `weave-ryu flows` call it.
        register: number N of ``NXM_NX_REGN``.
        first_bit: lowest bit of the range.
        bits: width.
        meaning: one clause for the documentation.
    """

    name: str
    register: int
    first_bit: int
    bits: int
    meaning: str

    @property
    def mask(self) -> int:
        """The bits of the register that belong to this mark."""
        return ((1 << self.bits) - 1) << self.first_bit

    @property
    def nxm(self) -> str:
        """The notation of ovs-actions(7), such as ``NXM_NX_REG0[0..11]``."""
        last = self.first_bit + self.bits - 1
        if self.bits == 32:
            return f"NXM_NX_REG{self.register}[]"
        if self.bits == 1:
            return f"NXM_NX_REG{self.register}[{self.first_bit}]"
        return f"NXM_NX_REG{self.register}[{self.first_bit}..{last}]"


@dataclass(frozen=True, slots=True)
class Term:
    """One condition of a match: a field or a mark, a value, and for fields maybe a mask.

    Values are numbers, MAC addresses as ``aa:bb:cc:dd:ee:ff``, or IPv4 addresses as text.
    """

    what: Field | Mark
    value: int | str
    mask: int | str | None = None


Match = tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Output:
    """Send the frame out of one port; never out of the port that it came from."""

    port: int


@dataclass(frozen=True, slots=True)
class OutputMark:
    """Send the frame out of the port whose number is in a mark."""

    mark: Mark


@dataclass(frozen=True, slots=True)
class ToController:
    """Send the whole frame to the daemon, through a meter."""

    meter: int


@dataclass(frozen=True, slots=True)
class Load:
    """Write a constant into a mark."""

    mark: Mark
    value: int


@dataclass(frozen=True, slots=True)
class ClearInPort:
    """Forget the ingress port, so that the frame may leave by it again (relaying)."""


@dataclass(frozen=True, slots=True)
class MoveTunnelIds:
    """Copy the 12-bit source and destination short ids of the tunnel id into two marks."""

    source: Mark
    destination: Mark


@dataclass(frozen=True, slots=True)
class SetTunnel:
    """Set outer addresses and, if given, the tunnel id, for the next output to a tunnel port.

    Args:
        remote_ip: outer destination.
        local_ip: outer source.
        tun_id: ``destination short id << 12 | source short id``; None keeps the frame's own.
    """

    remote_ip: str
    local_ip: str
    tun_id: int | None


@dataclass(frozen=True, slots=True)
class Resubmit:
    """Look the frame up in a table, then go on with the next action."""

    table: str


@dataclass(frozen=True, slots=True)
class LearnLoad:
    """What a learnt flow does: load a constant into a mark."""

    mark: Mark
    value: int


@dataclass(frozen=True, slots=True)
class Learn:
    """Make or refresh a flow for the frame's source MAC (``learn()`` of ovs-actions(7)).

    Args:
        table: where the flow is put.
        by: the field that the learnt flow matches with the source MAC as its value.
        loads: what the learnt flow does.
        cookie: the owner's cookie: all that one owner taught is forgotten by one delete.
        priority: of the learnt flow.
        hard_timeout_s: seconds after the last frame with that source.
    """

    table: str
    by: Field
    loads: tuple[LearnLoad, ...]
    cookie: int
    priority: int
    hard_timeout_s: int


@dataclass(frozen=True, slots=True)
class Goto:
    """Continue in a later table; always the last action."""

    table: str


Action = (
    Output
    | OutputMark
    | ToController
    | Load
    | ClearInPort
    | MoveTunnelIds
    | SetTunnel
    | Resubmit
    | Learn
    | Goto
)


@dataclass(frozen=True, slots=True)
class Table:
    """One OpenFlow table.

    Args:
        number: table id; a frame only ever moves to higher numbers by `Goto`.
        name: the name in OVSDB, so that ``ovs-ofctl dump-flows`` shows it.
        purpose: the sentence printed in the documentation.
        matches: fields and marks that flows of this table may match.
        goes_to: tables that flows of this table may continue in or consult.
        miss: what happens to a frame that no flow matches, as a clause.
        learnt: True if its flows are made by the switch itself.
    """

    number: int
    name: str
    purpose: str
    matches: tuple[Field | Mark, ...]
    goes_to: tuple[str, ...]
    miss: str
    learnt: bool = False


@dataclass(frozen=True, slots=True)
class FlowSpec:
    """One flow that should be in the switch.

    Args:
        table: name of the table.
        priority: higher wins.
        match: conditions, all of which must hold.
        actions: done in order; empty = drop.
        kind: what the flow is for (`cookies.Kind` value), part of its cookie.
        subject: what it is about (short id, port number), part of its cookie.
        why: one short sentence for ``weave-ryu flows --explain``.
        hard_timeout_s: seconds after which the switch removes it by itself; 0 = never.
    """

    table: str
    priority: int
    match: Match
    actions: tuple[Action, ...]
    kind: int
    subject: int
    why: str
    hard_timeout_s: int = 0
    cookie: int = field(default=0, init=False, repr=False, compare=False)
    """Once `cookies.flow_cookie` has been asked for it: it follows from the rest."""
