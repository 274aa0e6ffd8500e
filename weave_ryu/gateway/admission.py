"""Which other gateways let a segment's frames into the mesh, as far as news of them goes. Sans-IO.

On the wire nothing tells a host that a gateway has let in from a container beside it.
"""

from __future__ import annotations

from weave_ryu.gateway.records import GatewayRecord
from weave_ryu.names import PeerName

LET_IN_S = 3.0
"""For so long after a gateway has closed frames that it let in may still be learnt: switches credit
them late, and the last time that they are forgotten is after 2 s."""


class Admission:
    """When other gateways forwarded last, and since when they have been idle."""

    def __init__(self) -> None:
        self._served_at: dict[PeerName, float] = {}
        self._idle_since: dict[PeerName, float] = {}

    def note(self, old: GatewayRecord | None, new: GatewayRecord, now: float) -> None:
        """A record is new."""
        if new.serving() or (old is not None and (old.serving() or new.served_since(old))):
            self._served_at[new.name] = now
            self._idle_since.pop(new.name, None)
        if new.is_idle:
            self._idle_since.setdefault(new.name, now)
        else:
            self._idle_since.pop(new.name, None)

    def start_anew(self, now: float) -> None:
        """The switch has just connected: what it learnt meanwhile may be from any time."""
        self._idle_since = dict.fromkeys(self._idle_since, now)

    def lets_in(self, record: GatewayRecord, segment: str, now: float) -> bool:
        """It forwards, or did a moment ago: hosts are learnt behind it."""
        served_at = self._served_at.get(record.name, float("-inf"))
        return segment in record.serving() or now < served_at + LET_IN_S

    def is_idle(self, name: PeerName, now: float) -> bool:
        """It has been idle for long: only containers are learnt behind it, if it is still heard."""
        return now >= self._idle_since.get(name, now) + LET_IN_S
