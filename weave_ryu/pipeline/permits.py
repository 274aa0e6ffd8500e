"""Flows that live by their own rules: permits of gateway ports; and what packet-outs do."""

from __future__ import annotations

from collections.abc import Callable

from weave_ryu.gate import Gate
from weave_ryu.names import ShortId
from weave_ryu.pipeline import tables as t
from weave_ryu.pipeline.cookies import Kind, subject_cookie
from weave_ryu.pipeline.model import (
    Action,
    Field,
    FlowSpec,
    Goto,
    Load,
    Match,
    OutputMark,
    Resubmit,
    Table,
    Term,
    ToController,
)
from weave_ryu.pipeline.parts import (
    GROUP_BIT,
    LEARN_PRIORITY_HEARSAY,
    learn_behind_segment,
    learn_origin,
)
from weave_ryu.pipeline.state import GatewayPort

_Permit = Callable[..., FlowSpec]

_GROUP = Term(Field.ETH_DST, GROUP_BIT, GROUP_BIT)

HEARSAY = 0xFFFF
"""Subject of what was learnt on the word of another gateway: the number of no port."""


def permits(port: GatewayPort, gate: Gate, hard_timeout_s: int) -> list[FlowSpec]:
    """The flows that open a gateway port; the switch removes them by itself (dead-man switch).

    Without them a frame for the segment takes its route, as one for any other peer.

    Args:
        port: the gateway port.
        gate: how far it is open.
        hard_timeout_s: seconds, whole, at least 1.
    """
    if gate is Gate.CLOSED:
        return []
    in_port, out_port = Term(Field.IN_PORT, port.number), Term(t.OUT_PORT, port.number)
    for_segment = Term(t.DST_PEER, port.short_id)

    def permit(
        table: Table, match: Match, actions: tuple[Action, ...], why: str, priority: int = 300
    ) -> FlowSpec:
        why = f"{port.name} is {gate}: {why}"
        return FlowSpec(
            table.name, priority, match, actions, Kind.PERMIT, port.number, why, hard_timeout_s
        )

    found = [
        permit(
            t.GATE_IN,
            (in_port,),
            (
                Load(t.SRC_PEER, port.short_id),
                Resubmit(t.ORIGINS.name),
                Goto(t.SEGMENT_SOURCE.name),
            ),
            f"frames of segment {port.segment} may come in",
        )
    ]
    if gate is not Gate.DRAINING:
        out = (Load(t.OUT_PORT, port.number), Goto(t.GATE_OUT.name))
        found += [
            *(
                permit(table, (for_segment,), out, f"segment {port.segment} is here")
                for table in (t.UNICAST, t.RELAY)
            ),
            permit(
                t.GATE_OUT,
                (out_port, Term(t.FLOODED, 0)),
                (OutputMark(t.OUT_PORT),),
                f"frames for known hosts may go out to segment {port.segment}",
            ),
        ]
    if gate is Gate.OPEN:
        found += [
            permit(
                t.GATE_OUT,
                (out_port, Term(t.FLOODED, 1)),
                (OutputMark(t.OUT_PORT),),
                f"broadcasts and unknown unicasts may go out to segment {port.segment}",
            ),
            permit(
                t.FORWARD,
                (Term(t.KNOWN_PEER, 1), for_segment, Term(t.FROM_TUNNEL, 1)),
                (Goto(t.UNICAST.name),),
                f"a flooded frame for a known host of segment {port.segment} has arrived",
                195,
            ),
            permit(
                t.GATE_FLOOD,
                (in_port,),
                (Goto(t.FLOOD.name),),
                f"broadcasts and unknown unicasts of segment {port.segment} may come in",
            ),
        ]
    if gate is Gate.TAKING:
        found += _watched(port, permit)
    return found


def _watched(port: GatewayPort, permit: _Permit) -> list[FlowSpec]:
    """What shows the daemon the broadcasts that the two sides of a hand-over send to each other.

    Its own switch's go to `held`, in place of the drop; what the other gateway has let out goes to
    `sighted`: it is on the segment, and its sender in the mesh; and what it has let in, too.
    """
    in_port, out_port = Term(Field.IN_PORT, port.number), Term(t.OUT_PORT, port.number)
    about = Load(t.OUT_PORT, port.number)
    show = (ToController(t.METER_HAND_OVER),)
    let_in = (
        *learn_behind_segment(port.short_id),
        Resubmit(t.REVERSE_PATH.name),
        # The meter must not cost anybody the frame: whatever else is done comes first.
        Resubmit(t.LOOKUP.name),
        about,
        Goto(t.SIGHTED.name),
    )
    return [
        permit(
            t.GATE_FLOOD,
            (in_port, _GROUP),
            (about, Goto(t.HELD.name)),
            f"broadcasts of segment {port.segment} are the other gateway's, as yet",
        ),
        permit(
            t.GATE_OUT,
            (out_port, Term(t.FLOODED, 1), _GROUP),
            (Goto(t.HELD.name),),
            f"broadcasts for segment {port.segment} are the other gateway's, as yet",
        ),
        permit(
            t.SEGMENT_SOURCE,
            (in_port, _GROUP),
            (about, Goto(t.SIGHTED.name)),
            f"broadcasts of the mesh, let out to segment {port.segment} by the other gateway",
            60,
        ),
        *(
            permit(
                t.SEGMENT_SOURCE,
                (
                    Term(t.SRC_PEER, port.short_id),
                    Term(t.FROM_TUNNEL, 1),
                    Term(t.ORIGIN, origin),
                    _GROUP,
                ),
                let_in,
                f"broadcasts of segment {port.segment}, let in by the other gateway",
            )
            for origin in (0, t.origin_segment(port.short_id))
        ),
        permit(t.HELD, (out_port,), show, "broadcasts that this gateway does not pass yet"),
        permit(t.SIGHTED, (out_port,), show, "broadcasts that the other gateway has passed"),
    ]


def let_in(source: ShortId) -> tuple[Action, ...]:
    """What to do with a broadcast of a segment, or of this peer, that nobody has let in.

    As with all that follows, the frame is a packet-out.
    """
    return (Load(t.SRC_PEER, source), Resubmit(t.FLOOD.name))


def settle(segment: ShortId) -> tuple[Action, ...]:
    """What to do with a frame in the name of a MAC that has moved to a segment: all learn it."""
    return (*learn_behind_segment(segment), *let_in(segment))


def hearsay() -> tuple[Action, ...]:
    """What to do with a frame of a container that others know, so that no segment may claim it.

    Where it is, this switch does not learn by that: only that it is in the mesh.
    """
    cookie = subject_cookie(Kind.LEARNT_PORT, HEARSAY)
    return (learn_origin(cookie, t.ORIGIN_MESH, LEARN_PRIORITY_HEARSAY),)


def introduction(own: ShortId, to: ShortId) -> tuple[Action, ...]:
    """What to do with a frame in the name of a container of this peer that is for one gateway.

    It goes the way of a unicast to that peer, whatever its destination MAC.
    """
    return (Load(t.SRC_PEER, own), Load(t.DST_PEER, to), Resubmit(t.UNICAST.name))
