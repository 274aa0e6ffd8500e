"""What gateways of the whole mesh did lately: a timeline, from this daemon's point of view.

Of its own ports it hears everything as it happens, of others what their records say by gossip, with
the reason that they give. Times are those of this host.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

from weave_ryu.gateway.records import GatewayRecord
from weave_ryu.gateway.states import Entry
from weave_ryu.names import PeerName

MAX_EVENTS = 500

_Place = tuple[PeerName, str, str]


@dataclass(frozen=True, slots=True)
class Event:
    """A gateway port has changed its state.

    Args:
        number: counts up.
        at: seconds since 1970.
        peer: whose port.
        port: its name.
        segment: of the port.
        before: state until then; empty if it was not known.
        state: since then; ``gone`` if the gateway has left the mesh.
        epoch: of the port.
        reason: as its own daemon gives it.
    """

    number: int
    at: float
    peer: PeerName
    port: str
    segment: str
    before: str
    state: str
    epoch: int
    reason: str


class Chronicle:
    """Collects events.

    Args:
        own: this peer.
    """

    def __init__(self, own: PeerName) -> None:
        self._own = own
        self._events: deque[Event] = deque(maxlen=MAX_EVENTS)
        self._states: dict[_Place, tuple[str, int]] = {}
        self._reasons: dict[_Place, str] = {}
        self._counted = 0
        self._corrected = 0

    @property
    def count(self) -> int:
        """How many events there have been."""
        return self._counted

    @property
    def version(self) -> tuple[int, int]:
        """Changes whenever `events` does."""
        return self._counted, self._corrected

    def events(self) -> list[Event]:
        """The newest last."""
        return list(self._events)

    def entered(self, port: str, segment: str, entry: Entry, at: float) -> None:
        """An own port has changed its state.

        Args:
            port: its name.
            segment: of the port.
            entry: state, epoch and reason.
            at: seconds since 1970.
        """
        place = (self._own, port, segment)
        before = self._states.get(place, ("", 0))[0]
        self._states[place] = (str(entry.state), entry.epoch)
        self._add(at, place, before, (str(entry.state), entry.epoch), entry.reason)

    def observe(self, records: Iterable[GatewayRecord], at: float) -> None:
        """Compare what is known of the others with what was.

        Args:
            records: of all gateways.
            at: seconds since 1970.
        """
        present: dict[_Place, tuple[tuple[str, int], str]] = {}
        for record in records:
            if record.name != self._own:
                for port in record.ports:
                    place = (record.name, port.port, port.segment)
                    present[place] = (port.state, port.epoch), port.reason
        for place, (state, reason) in sorted(present.items()):
            known = self._states.get(place)
            if known != state:
                self._states[place] = state
                self._add(at, place, known[0] if known else "", state, reason)
            elif self._reasons.get(place, reason) != reason:
                # Who opens says so before its switch has answered, and why when it has.
                self._correct(place, reason)
            self._reasons[place] = reason
        for place in [p for p in self._states if p[0] != self._own and p not in present]:
            state = self._states.pop(place)
            self._reasons.pop(place, None)
            self._add(at, place, state[0], ("gone", state[1]), "it has left the mesh")

    def _correct(self, place: _Place, reason: str) -> None:
        for index in range(len(self._events) - 1, -1, -1):
            event = self._events[index]
            if (event.peer, event.port, event.segment) == place:
                self._events[index] = replace(event, reason=reason)
                self._corrected += 1
                return

    def _add(
        self, at: float, place: _Place, before: str, state: tuple[str, int], reason: str
    ) -> None:
        self._counted += 1
        self._events.append(Event(self._counted, at, *place, before, *state, reason))
