"""Follows a frame hop by hop through the mesh. Pure: the questions are asked by somebody else.

A *question* says how the frame comes to a peer: ``{"port": name, "src": mac, "dst": mac}``, or with
``tun_src``, ``tun_dst`` and ``tun_id`` instead of the port; or it asks where a MAC is: ``{"find":
mac}``. An *answer* has the way through the tables and the copies that leave; or an ``error``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from weave_ryu.names import PeerName

Question = dict[str, Any]
Answer = dict[str, Any]
Ask = Callable[[Sequence[tuple[PeerName, Question]]], list[Answer | None]]

MAX_HOPS = 64
MAX_STEPS = 2000
"""Of one trace; peers may answer anything, so the questions of one round count as well."""

MAX_COPIES = 1024
"""Of one answer, as a broadcast at the root of a large mesh has them."""

MAX_PLACES = 4096
MAX_ROWS = 128
MAX_PROBLEMS = 100
BROADCAST = "ff:ff:ff:ff:ff:ff"

SILENT = "no answer: a router without this function, or not reachable"


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway port of some peer."""

    peer: PeerName
    port: str
    segment: str


@dataclass(frozen=True, slots=True)
class Arrival:
    """The frame comes to a peer.

    Args:
        peer: where.
        how: in words, such as ``from W by the mesh``.
        question: what to ask it.
        depth: hops so far.
    """

    peer: PeerName
    how: str
    question: Question = field(hash=False)
    depth: int

    def key(self) -> tuple[Any, ...]:
        """The same frame twice at one peer has the same key."""
        return (self.peer, *sorted((k, str(v)) for k, v in self.question.items()))


@dataclass(slots=True)
class Trace:
    """What became of the frame.

    Args:
        steps: one for each arrival, in order.
        delivered: where copies ended: peer, port, and segment if it is one; `host` marks a bridge's
            own port.
        problems: sentences about what should not be.
    """

    steps: list[dict[str, Any]] = field(default_factory=list)
    delivered: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def locate(mac: str, peers: Iterable[PeerName], ask: Ask) -> list[tuple[PeerName, str]]:
    """Peers and ports behind which a MAC is."""
    names = sorted(peers)
    answers = ask([(name, {"find": mac}) for name in names])
    return [
        (name, str(answer["port"]))
        for name, answer in zip(names, answers, strict=True)
        if answer is not None and answer.get("port")
    ]


def follow(
    starts: Sequence[tuple[PeerName, str]],
    source: str,
    destination: str,
    gateways: Sequence[Gateway],
    label: Callable[[PeerName], str],
    ask: Ask,
) -> Trace:
    """Follow a frame from the ports where it comes in.

    Args:
        starts: peers and ports.
        source: its source MAC.
        destination: its destination MAC.
        gateways: all that are known, to say who else hears what goes out to a segment.
        label: how to call a peer.
        ask: asks peers, all at once.
    """
    trace = Trace()
    frame = {"src": source, "dst": destination}
    is_group = bool(int(destination[:2], 16) & 1)
    todo = [
        Arrival(peer, f"comes in by {port}", {"port": port, **frame}, 0) for peer, port in starts
    ]
    seen: set[tuple[Any, ...]] = set()
    is_cut = False
    while todo and not is_cut:
        fresh: list[Arrival] = []
        for arrival in todo:
            if arrival.key() in seen:
                trace.problems.append(f"{label(arrival.peer)} gets the frame twice: {arrival.how}")
            elif len(trace.steps) + len(fresh) >= MAX_STEPS:
                is_cut = True
            elif arrival.depth > MAX_HOPS:
                trace.problems.append(f"more than {MAX_HOPS} hops: {label(arrival.peer)}")
            else:
                seen.add(arrival.key())
                fresh.append(arrival)
        answers = ask([(arrival.peer, arrival.question) for arrival in fresh])
        todo = []
        for arrival, answer in zip(fresh, answers, strict=True):
            following = _step(trace, arrival, answer, label)
            for place in trace.steps[-1]["out"]:
                if "segment" in place and is_group:
                    following += _heard(arrival, place["segment"], gateways, frame, label)
            todo = (todo + following)[: MAX_STEPS + 1]
    del trace.problems[MAX_PROBLEMS:]
    if is_cut:
        trace.problems.append(f"given up after {MAX_STEPS} steps")
    return trace


def _step(
    trace: Trace, arrival: Arrival, answer: Answer | None, label: Callable[[PeerName], str]
) -> list[Arrival]:
    """Note what a peer does; returns where the frame goes next."""
    if answer is None:
        answer = {"error": SILENT}
    most = MAX_COPIES if len(trace.delivered) < MAX_PLACES else 0
    copies = [copy for copy in _list(answer, "copies")[:most] if isinstance(copy, dict)]
    path = [
        {"table": _text(row, "table"), "why": _text(row, "why"), "drop": _text(row, "drop") or None}
        for row in _list(answer, "path")[:MAX_ROWS]
    ]
    out = []
    following = []
    for copy in copies:
        if "tunnel" not in copy:
            place: dict[str, Any] = {"peer": str(arrival.peer), "nick_name": label(arrival.peer)}
            place["port"] = _text(copy, "port")
            if "segment" in copy:
                place["segment"] = _text(copy, "segment")
            place["host"] = copy.get("host") is True
            out.append(place)
            continue
        peer = _peer(copy["tunnel"])
        if peer is None:
            where = _text(copy, "tun_dst")
            trace.problems.append(
                f"{label(arrival.peer)} sends to {where}, which is no peer's address"
            )
            continue
        question = {k: copy.get(k) for k in ("tun_src", "tun_dst", "tun_id")}
        how = f"from {label(arrival.peer)} by the mesh"
        keys = {k: arrival.question[k] for k in ("src", "dst")}
        following.append(Arrival(peer, how, question | keys, arrival.depth + 1))
    trace.delivered += out
    trace.steps.append(
        {
            "peer": str(arrival.peer),
            "nick_name": label(arrival.peer),
            "depth": arrival.depth,
            "how": arrival.how,
            "error": _text(answer, "error") or None,
            "path": path,
            "drops": [step for step in path if step.get("drop")],
            "out": out,
            "next": [str(further.peer) for further in following],
        }
    )
    return following


def _heard(
    arrival: Arrival,
    segment: str,
    gateways: Sequence[Gateway],
    frame: Question,
    label: Callable[[PeerName], str],
) -> list[Arrival]:
    """A broadcast that goes out to a segment comes to its other gateways, too."""
    return [
        Arrival(
            other.peer,
            f"from segment {segment}, where {label(arrival.peer)} put it, by {other.port}",
            {"port": other.port, **frame},
            arrival.depth + 1,
        )
        for other in gateways
        if other.segment == segment and other.peer != arrival.peer
    ]


def _list(answer: Answer, key: str) -> list[Any]:
    value = answer.get(key)
    return value if isinstance(value, list) else []


def _text(answer: object, key: str) -> str:
    """What another peer said, cut to size and to what can be printed."""
    value = answer.get(key) if isinstance(answer, dict) else None
    text = value[:300] if isinstance(value, str) else ""
    return text if text.isprintable() else ascii(text)


def _peer(value: object) -> PeerName | None:
    try:
        return PeerName.parse(value) if isinstance(value, str) else None
    except ValueError:
        return None
