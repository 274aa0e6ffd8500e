"""Which gateways are believed to be there: bounds for what others tell. Sans-IO.

Anybody in the mesh may tell records, of himself and of others. Each costs something on every peer:
flows, leases many times a second, a vote in elections. So only peers of the mesh count, few of a
segment, and only as long as they say so themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from weave_ryu.gateway.records import OUTLIVED_BELOW, GatewayRecord
from weave_ryu.gateway.sealing import RecordSeal
from weave_ryu.names import PeerName

MAX_OF_SEGMENT = 16
MAX_GATEWAYS = 256
MAX_PORTS_IN_ALL = 1024
"""All of it fits into one message, `records.MAX_PAYLOAD_BYTES`."""

MAX_EXPIRED = 1024

REFRESH_S = 15.0
"""Each gateway tells everybody its record so often, though nothing changes."""

COUNTED_BELOW = OUTLIVED_BELOW + (1 << 31)
"""A sequence that nobody could go on counting from is a lie."""

SEQUENCE_STEP = 1 << 32
"""A sequence does not grow by more, unless to get above a lie."""

EXPIRED_S = 50.0
"""A record that its gateway has not told itself for so long is dropped: three were missing."""


def _everybody(_: PeerName) -> bool:
    return True


@dataclass(slots=True)
class Admission:
    """See the module's docstring.

    Args:
        is_present: whether a peer is in the mesh.
    """

    is_present: Callable[[PeerName], bool] = _everybody
    seal: RecordSeal | None = None
    """Of the gateways' key, if there is one."""
    refused: int = 0
    """Records that were not taken, for the log."""
    _expired: dict[PeerName, int] = field(default_factory=dict)

    def admits(
        self, record: GatewayRecord, records: Mapping[PeerName, GatewayRecord], is_own_word: bool
    ) -> bool:
        """Whether a record of another gateway is taken.

        Args:
            record: newer than what is known of it.
            records: what is known, by name.
            is_own_word: its gateway has told it now; it is not passed on.
        """
        if not self.is_genuine(record):
            self.refused += 1
            return False
        if is_own_word:
            self._expired.pop(record.name, None)
        may_be = self._is_alive(record) and self._has_room(record, records)
        self.refused += not may_be
        return may_be

    def signed(self, record: GatewayRecord) -> GatewayRecord:
        """The own record as it is told."""
        return record if self.seal is None else self.seal.signed(record)

    def is_genuine(self, record: GatewayRecord) -> bool:
        """Its gateway has made it, as far as that can be known."""
        return self.seal is None or self.seal.may_be(record)

    def expire(self, records: Iterable[GatewayRecord]) -> None:
        """These were dropped; what others go on telling of them is old."""
        for record in records:
            self._expired.pop(record.name, None)
            self._expired[record.name] = record.sequence
            if len(self._expired) > MAX_EXPIRED:
                del self._expired[next(iter(self._expired))]

    def _is_alive(self, record: GatewayRecord) -> bool:
        is_old = record.sequence <= self._expired.get(record.name, -1)
        return record.sequence < COUNTED_BELOW and not is_old and self.is_present(record.name)

    @staticmethod
    def _has_room(record: GatewayRecord, records: Mapping[PeerName, GatewayRecord]) -> bool:
        others = [known for name, known in records.items() if name != record.name]
        ports = sum(len(known.ports) for known in others) + len(record.ports)
        if len(others) >= MAX_GATEWAYS or ports > MAX_PORTS_IN_ALL:
            return False
        known = records.get(record.name)
        new = record.segments() - (known.segments() if known is not None else frozenset())
        return all(sum(s in known.segments() for known in others) < MAX_OF_SEGMENT for s in new)
