"""Flows that live by their own rules: permits of gateway ports, and announcements."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

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
    LEARN_PRIORITY_SECOND_HAND,
    learn_mac,
    learn_origin,
)
from weave_ryu.pipeline.state import GatewayPort

_Permit = Callable[[Table, Match, tuple[Action, ...], str], FlowSpec]

_GROUP = Term(Field.ETH_DST, GROUP_BIT, GROUP_BIT)

HEARSAY, HEARSAY_BESIDE = 0xFFFF, 0xFFFD
"""Subjects of what was learnt on the word of another gateway, which may have said that it is beside
itself: the numbers of no port."""


def permits(
    port: GatewayPort,
    own: ShortId,
    gate: Gate,
    hard_timeout_s: int,
    partner: ShortId | None = None,
) -> list[FlowSpec]:
    """The flows that open a gateway port; the switch removes them by itself (dead-man switch).

    Args:
        port: the gateway port.
        own: this peer's short id, the source peer of the segment's frames.
        gate: how far it is open.
        hard_timeout_s: seconds, whole, at least 1.
        partner: the other side of a hand-over, if there is one and it is known.
    """
    if gate is Gate.CLOSED:
        return []
    in_port, out_port = Term(Field.IN_PORT, port.number), Term(t.OUT_PORT, port.number)
    cookie = subject_cookie(Kind.LEARNT_PORT, port.number)
    # What was learnt goes with the permit: a closed gateway port attracts no frames.
    learn = replace(learn_mac(cookie, t.KNOWN_PORT, t.OUT_PORT, port.number), with_parent=True)
    origin = replace(learn_origin(cookie, port.number), with_parent=True)
    let_in: tuple[Action, ...] = (learn, origin, Goto(t.LOOKUP.name))
    if gate is Gate.DRAINING:
        # One that knows its successor keeps its hosts in mind, to redirect what is for them.
        keep = () if partner is None else (learn,)
        let_in = (*keep, Goto(t.LOOKUP.name))

    def permit(table: Table, match: Match, actions: tuple[Action, ...], why: str) -> FlowSpec:
        why = f"{port.name} is {gate}: {why}"
        return FlowSpec(
            table.name, 200, match, actions, Kind.PERMIT, port.number, why, hard_timeout_s
        )

    found = [
        permit(
            t.GATE_IN,
            (in_port,),
            (Load(t.SRC_PEER, own), Resubmit(t.ORIGINS.name), Goto(t.SEGMENT_SOURCE.name)),
            f"frames of segment {port.segment} may come in",
        ),
        permit(
            t.SEGMENT_SOURCE,
            (in_port, Term(t.ORIGIN, 0)),
            let_in,
            f"new hosts of segment {port.segment}",
        ),
        permit(
            t.SEGMENT_SOURCE,
            (in_port, Term(t.ORIGIN, port.number)),
            let_in,
            f"known hosts of segment {port.segment}",
        ),
    ]
    if gate in (Gate.KNOWN, Gate.TAKING, Gate.OPEN):
        found.append(
            permit(
                t.GATE_OUT,
                (out_port, Term(t.FLOODED, 0)),
                (OutputMark(t.OUT_PORT),),
                f"frames for known hosts may go out to segment {port.segment}",
            )
        )
    if gate is Gate.DRAINING:
        found.append(
            # Only for a moment: a copy of a flooded frame looks the same, and would arrive twice.
            replace(
                permit(
                    t.FORWARD,
                    (Term(t.KNOWN_PEER, 1), Term(t.FROM_TUNNEL, 1)),
                    (Goto(t.REDIRECT.name),),
                    "senders do not know yet where its hosts have gone",
                ),
                # By port: two ports that drain at once must not share one flow.
                priority=100 + port.number % 64,
            )
        )
    if gate is Gate.DRAINING and partner is not None:
        found.append(
            # The switch may not have learnt yet where its hosts are now: it credits frames late.
            replace(
                permit(
                    t.FORWARD,
                    (Term(t.KNOWN_PORT, 1), Term(t.OUT_PORT, port.number), Term(t.FROM_TUNNEL, 1)),
                    (Load(t.DST_PEER, partner), Goto(t.REDIRECT.name)),
                    "its own hosts are reached by its successor",
                ),
                priority=210,
            )
        )
    if gate is Gate.OPEN:
        found.append(
            permit(
                t.GATE_OUT,
                (out_port, Term(t.FLOODED, 1)),
                (OutputMark(t.OUT_PORT),),
                f"broadcasts and unknown unicasts may go out to segment {port.segment}",
            )
        )
        found.append(
            permit(
                t.GATE_FLOOD,
                (in_port,),
                (Goto(t.FLOOD.name),),
                f"broadcasts and unknown unicasts of segment {port.segment} may come in",
            )
        )
    if gate in (Gate.KNOWN, Gate.TAKING) and partner is not None:
        found += _let_in_by(port, partner, permit, is_watched=gate is Gate.TAKING)
    if gate is Gate.TAKING:
        found += _watched(port, permit)
    return found


def _let_in_by(
    port: GatewayPort, other: ShortId, permit: _Permit, *, is_watched: bool
) -> list[FlowSpec]:
    """The other gateway lets in the segment's broadcasts, although their senders are known here.

    They are for this peer's containers and for the peers behind it, too.
    """
    cookie = subject_cookie(Kind.LEARNT_PEER, other)
    note = learn_mac(cookie, t.KNOWN_PEER, t.DST_PEER, other, LEARN_PRIORITY_SECOND_HAND)
    go_on: tuple[Action, ...] = (Goto(t.LOOKUP.name),)
    if is_watched:
        # The meter must not cost anybody the frame: whatever else is done comes first.
        go_on = (
            Resubmit(t.LOOKUP.name),
            Load(t.OUT_PORT, port.number),
            Goto(t.SIGHTED.name),
        )
    return [
        permit(
            t.GATEWAY_SOURCE,
            (Term(t.SRC_PEER, other), Term(t.ORIGIN, origin), _GROUP),
            (note, Resubmit(t.REVERSE_PATH.name), *go_on),
            f"broadcasts of segment {port.segment}, let in by the other gateway",
        )
        for origin in (0, port.number)
    ]


def _watched(port: GatewayPort, permit: _Permit) -> list[FlowSpec]:
    """What shows the daemon the broadcasts that the two sides send to each other.

    Its own switch's go to `held`, in place of the drop; what the other gateway has let out goes to
    `sighted`: it is on the segment, and its sender in the mesh.
    """
    in_port, out_port = Term(Field.IN_PORT, port.number), Term(t.OUT_PORT, port.number)
    about = Load(t.OUT_PORT, port.number)
    show = (ToController(t.METER_HAND_OVER),)
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
        *(
            permit(
                t.SEGMENT_SOURCE,
                (in_port, Term(t.ORIGIN, origin), _GROUP),
                (about, Goto(t.SIGHTED.name)),
                f"broadcasts of the mesh, let out to segment {port.segment} by the other gateway",
            )
            for origin in (t.ORIGIN_BESIDE, t.ORIGIN_MESH)
        ),
        permit(t.HELD, (out_port,), show, "broadcasts that this gateway does not pass yet"),
        permit(t.SIGHTED, (out_port,), show, "broadcasts that the other gateway has passed"),
    ]


def let_in(own: ShortId) -> tuple[Action, ...]:
    """What to do with a broadcast of the segment that nobody has let in (a packet-out)."""
    return (Load(t.SRC_PEER, own), Resubmit(t.FLOOD.name))


def priming(port: int) -> tuple[Action, ...]:
    """What to do with a frame of a host of the segment so that only this switch knows the host."""
    cookie = subject_cookie(Kind.LEARNT_PORT, port)
    return (
        learn_mac(cookie, t.KNOWN_PORT, t.OUT_PORT, port),
        learn_origin(cookie, port),
    )


def hearsay(*, is_beside: bool = False) -> tuple[Action, ...]:
    """What to do with a frame of a container that others know, so that no segment may claim it.

    Where it is, this switch does not learn by that: only that it is in the mesh.

    Args:
        is_beside: it is beside another gateway.
    """
    subject = HEARSAY_BESIDE if is_beside else HEARSAY
    where = t.ORIGIN_BESIDE if is_beside else t.ORIGIN_MESH
    return (learn_origin(subject_cookie(Kind.LEARNT_PORT, subject), where),)


def introduction(to: ShortId) -> tuple[Action, ...]:
    """What to do with a frame in the name of a container of this peer that is for one gateway.

    It goes the way of a unicast to that peer, whatever its destination MAC.
    """
    return (Load(t.DST_PEER, to), Resubmit(t.UNICAST.name))


def to_all_peers(own: ShortId) -> tuple[Action, ...]:
    """What to do with a frame that is for all peers, and for no segment (a packet-out).

    They learn its sender behind this one.
    """
    return (Load(t.SRC_PEER, own), Resubmit(t.FLOOD_MESH.name))


def announcement(port: int, own: ShortId, again: bool = False) -> tuple[Action, ...]:
    """What to do with a frame that tells the mesh of a host of the segment (a packet-out).

    The host is learnt behind the gateway port, and the frame goes to all peers; not through the
    gate, which may be open for known unicast only.

    Args:
        port: the gateway port.
        own: this peer's short id.
        again: it was announced before, and may have moved since: this switch knows better.
    """
    known = () if again else priming(port)
    return (*known, *to_all_peers(own))
