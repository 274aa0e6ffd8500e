"""Where a segment is joined to something that nobody has configured: values and their words."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from weave_ryu.errors import RemoteProtocolError
from weave_ryu.gateway.probe import PORT_PATTERN
from weave_ryu.gateway.records import SEGMENT_PATTERN
from weave_ryu.names import PeerName


class Kind(enum.StrEnum):
    """What a probe was heard at."""

    SEGMENT = "segment"
    """A gateway port."""
    PORT = "port"
    """A container's port."""
    MESH = "mesh"
    """The tunnel: a router that knows no probes has let it in."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where at a peer a probe was heard.

    Args:
        kind: see `Kind`.
        name: of the port; of the router that has let it in, if it came through the mesh.
        segment: of the gateway port; empty for others.
    """

    kind: Kind
    name: str
    segment: str = ""


End = tuple[PeerName, str, str]
"""A gateway port: peer, port, segment."""


@dataclass(frozen=True, slots=True)
class Joint:
    """What a gateway port sends is heard where it should not be.

    Args:
        maker: the gateway.
        port: its gateway port.
        segment: of that port.
        hearer: the peer that hears it.
        place: where.
        since: when it was heard first, monotonic seconds.
        last: when it was heard last.
    """

    maker: PeerName
    port: str
    segment: str
    hearer: PeerName
    place: Place
    since: float
    last: float

    def ends(self) -> tuple[End, End]:
        """The two gateway ports on one wire, if it was heard at one."""
        place = self.place
        return (self.maker, self.port, self.segment), (self.hearer, place.name, place.segment)

    def text(self) -> str:
        """In a clause; peers by their names."""
        if self.place.kind is Kind.SEGMENT:
            # From both sides the same words, whoever has heard whom.
            ends = sorted(self.ends(), key=lambda end: (end[2], end[0], end[1]))
            one, other = (f"segment {segment} of {name} {port}" for name, port, segment in ends)
            return f"{one} and {other} are one wire"
        what = f"what {self.maker} {self.port} sends on segment {self.segment}"
        if self.place.kind is Kind.PORT:
            return f"{what} comes back through port {self.place.name} of {self.hearer}"
        return f"{what} comes back through the mesh, let in by {self.place.name}"


def place_document(place: Place) -> dict[str, str]:
    """As peers tell each other."""
    return {"kind": str(place.kind), "name": place.name, "segment": place.segment}


def place_of(document: Any) -> Place:  # noqa: ANN401
    """Read what a peer says.

    Raises:
        RemoteProtocolError: it is no such thing.
    """
    found = document if isinstance(document, dict) else {}
    kind, name, segment = (_word(found, key) for key in ("kind", "name", "segment"))
    if kind not in list(Kind):
        raise RemoteProtocolError("wiring", "a place is of no known kind")
    if kind == Kind.MESH:
        try:
            name = str(PeerName.parse(name))
        except ValueError as error:
            raise RemoteProtocolError("wiring", str(error)) from error
    elif not PORT_PATTERN.fullmatch(name) or not name.isprintable():
        raise RemoteProtocolError("wiring", "a port's name is not of the right form")
    if bool(SEGMENT_PATTERN.fullmatch(segment)) is not (kind == Kind.SEGMENT):
        raise RemoteProtocolError("wiring", "a segment's name is not of the right form")
    return Place(Kind(kind), name, segment)


def _word(document: dict[str, Any], key: str) -> str:
    value = document.get(key)
    if not isinstance(value, str):
        raise RemoteProtocolError("wiring", f"{key} is missing or not a word")
    return value
