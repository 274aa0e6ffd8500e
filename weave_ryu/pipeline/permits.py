"""Flows that live by their own rules: permits of gateway ports, and announcements."""

from __future__ import annotations

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
)
from weave_ryu.pipeline.parts import learn_mac, learn_origin
from weave_ryu.pipeline.state import GatewayPort

HEARSAY = 0xFFFF
"""Subject of what was learnt on the word of another gateway: the number of no port."""


def permits(
    port: GatewayPort,
    own: ShortId,
    gate: Gate,
    hard_timeout_s: int,
    successor: ShortId | None = None,
) -> list[FlowSpec]:
    """The flows that open a gateway port; the switch removes them by itself (dead-man switch).

    Args:
        port: the gateway port.
        own: this peer's short id, the source peer of the segment's frames.
        gate: how far it is open.
        hard_timeout_s: seconds, whole, at least 1.
        successor: the gateway that has taken over from one that drains, if it is known.
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
        keep = () if successor is None else (learn,)
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
    if gate in (Gate.KNOWN, Gate.OPEN):
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
    if gate is Gate.DRAINING and successor is not None:
        found.append(
            # The switch may not have learnt yet where its hosts are now: it credits frames late.
            replace(
                permit(
                    t.FORWARD,
                    (Term(t.KNOWN_PORT, 1), Term(t.OUT_PORT, port.number), Term(t.FROM_TUNNEL, 1)),
                    (Load(t.DST_PEER, successor), Goto(t.REDIRECT.name)),
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
    return found


def priming(port: int) -> tuple[Action, ...]:
    """What to do with a frame of a host of the segment so that only this switch knows the host."""
    cookie = subject_cookie(Kind.LEARNT_PORT, port)
    return (
        learn_mac(cookie, t.KNOWN_PORT, t.OUT_PORT, port),
        learn_origin(cookie, port),
    )


def hearsay() -> tuple[Action, ...]:
    """What to do with a frame of a container that others know, so that no segment may claim it.

    Where it is, this switch does not learn by that: only that it is in the mesh.
    """
    return (learn_origin(subject_cookie(Kind.LEARNT_PORT, HEARSAY), t.ORIGIN_MESH),)


def introduction(to: ShortId) -> tuple[Action, ...]:
    """What to do with a frame in the name of a container of this peer that is for one gateway.

    It goes the way of a unicast to that peer, whatever its destination MAC.
    """
    return (Load(t.DST_PEER, to), Resubmit(t.UNICAST.name))


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
    return (Load(t.SRC_PEER, own), *known, Resubmit(t.FLOOD_MESH.name))
