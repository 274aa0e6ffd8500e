"""What is known of all gateways in the mesh."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from weave_ryu.gateway.admission import SEQUENCE_STEP, Admission
from weave_ryu.gateway.records import (
    EPOCH_BELOW,
    OUTLIVED_BELOW,
    GatewayRecord,
    Peering,
    PortRecord,
)
from weave_ryu.names import PeerName

EPOCH_STEP = 1 << 10
"""The highest epoch does not grow by more with one message."""

FIRST_EPOCH = 1 << 20
"""Nor is the first that is heard of a segment higher."""

EPOCH_ROOM = 1 << 16
"""So much is left to count on."""


@dataclass(frozen=True, slots=True)
class Change:
    """One record that became newer.

    Args:
        record: as it is now.
        old: as it was; None if it is the first.
    """

    record: GatewayRecord
    old: GatewayRecord | None = field(default=None, compare=False)

    @property
    def has_opened(self) -> bool:
        """It forwards on a segment, and did not before, or did in another epoch or another life.

        Its call to introduce containers may be lost where the mesh is just being made; this is not.
        """
        old, new = self.old, self.record
        before = old.active_epochs() if old and old.incarnation == new.incarnation else {}
        return bool(new.active_epochs().items() - before.items())

    @property
    def ended(self) -> frozenset[str]:
        """The segments that it does not forward for, but has since the old record, or may have."""
        old, new = self.old, self.record
        ended = new.segments() - new.active_epochs().keys()
        if old is None or old.incarnation != new.incarnation:
            return ended
        epochs = {port.segment: port.epoch for port in old.ports}
        since = {p.segment for p in new.ports if p.epoch > epochs.get(p.segment, 0)}
        return ended & (old.active_epochs().keys() | since)


class Registry:
    """Records by peer, and the highest epoch ever seen of each segment.

    Args:
        own: this peer's name.
        incarnation: this peer's UID.
        sequence: where this incarnation starts to count. It must be above what the last
            incarnation reached; a clock does (milliseconds since 1970), and where the clock was
            set back, `merge` catches up as soon as somebody tells of the old life.
        fence_ms: of this peer, see `GatewayRecord`.
    """

    def __init__(self, own: PeerName, incarnation: int, sequence: int, fence_ms: int = 0) -> None:
        self._own = own
        self._incarnation = incarnation
        self._sequence = sequence
        self._fence_ms = fence_ms
        self.admission = Admission()
        self._records: dict[PeerName, GatewayRecord] = {}
        self.own_record: GatewayRecord | None = None
        """What this peer tells; None before it has told anything."""
        self._epochs: dict[str, int] = {}
        self._gateways: dict[str, list[PeerName]] = {}
        self._others: dict[str, tuple[PeerName, ...]] = {}
        self.changes = 0
        """Grows with every change of a record."""
        self.layout = 0
        """Grows whenever it changes who is a gateway of what: flows follow from that, and from
        nothing else that gateways tell, though they tell something every 25 to 100 ms."""

    @property
    def own(self) -> PeerName:
        """This peer's name."""
        return self._own

    def records(self) -> list[GatewayRecord]:
        """All records, sorted by name."""
        return [self._records[name] for name in sorted(self._records)]

    def record(self, name: PeerName) -> GatewayRecord | None:
        """One gateway's record; None if it is not known to be one."""
        return self._records.get(name)

    def lets_in(self) -> dict[PeerName, frozenset[str]]:
        """Other gateways → the segments whose frames they mark as their own, if any."""
        records = (r for r in self._records.values() if r.name != self._own)
        return {record.name: found for record in records if (found := record.lets_in())}

    def is_peer(self, segment: str) -> bool:
        """All other gateways of a segment know that it is a peer of the mesh."""
        others = (self._records[name] for name in self.others_of(segment))
        ports = (port for record in others for port in record.ports)
        return all(p.peering >= Peering.ABLE for p in ports if p.segment == segment)

    def gateways_of(self, segment: str) -> list[PeerName]:
        """The known gateways of a segment, sorted; this peer among them if it is one."""
        if segment not in self._gateways:
            records = self._records.items()
            self._gateways[segment] = sorted(n for n, r in records if segment in r.segments())
        return list(self._gateways[segment])

    def others_of(self, segment: str) -> tuple[PeerName, ...]:
        """The known gateways of a segment without this peer, sorted."""
        if segment not in self._others:
            everybody = self.gateways_of(segment)
            self._others[segment] = tuple(name for name in everybody if name != self._own)
        return self._others[segment]

    def epoch(self, segment: str) -> int:
        """The highest epoch seen; 0 if none."""
        return self._epochs.get(segment, 0)

    def other_actives(self, segment: str) -> dict[PeerName, int]:
        """Other peers that say they forward on the segment → their epoch."""
        return {
            record.name: record.active_epochs()[segment]
            for record in self.records()
            if record.name != self._own and segment in record.active_epochs()
        }

    def set_own(self, ports: Iterable[PortRecord]) -> GatewayRecord:
        """Replace this peer's record, with a new sequence number."""
        self._sequence += 1
        ordered = tuple(sorted(ports, key=lambda port: port.port))
        who = self._own, self._incarnation, self._sequence
        record = self.admission.signed(GatewayRecord(*who, ordered, self._fence_ms))
        self._store(record)
        self.own_record = record
        return record

    def merge(
        self, records: Iterable[GatewayRecord], source: PeerName | None = None
    ) -> tuple[list[Change], bool]:
        """Take over what is newer.

        Args:
            records: of any gateways.
            source: who has made the message; None: it was passed on.

        Returns:
            What changed; and True if somebody still tells of an old life of this peer, so that
            the own record must be told again.
        """
        changes, own_is_stale = [], False
        for record in records:
            if record.name == self._own:
                own_is_stale |= self.admission.is_genuine(record) and self._outlive(record)
                continue
            old = self._records.get(record.name)
            is_own_word = record.name == source
            if is_own_word and old is not None and old.sequence > record.sequence + SEQUENCE_STEP:
                old = None  # somebody has lied about it
            if old is not None and record.sequence <= old.sequence:
                continue
            if not self.admission.admits(record, self._records, is_own_word):
                continue
            self._store(record)
            changes.append(Change(record, old))
        return changes, own_is_stale

    def remove(self, names: Iterable[PeerName]) -> bool:
        """Drop the records of peers that have left; their epochs stay. True if any was there."""
        gone = [name for name in names if name != self._own and name in self._records]
        for name in gone:
            del self._records[name]
        if gone:
            self.changes += 1
            self._layout_changed()
        return bool(gone)

    def _layout_changed(self) -> None:
        self.layout += 1
        self._gateways.clear()
        self._others.clear()

    def raise_epoch(self, segment: str, epoch: int) -> None:
        """Take note of an epoch that was heard of.

        It grows by one with each change of the role. A jump counts as a step only, so that no lie
        brings it to its end; what is true is heard again soon.
        """
        known = self.epoch(segment)
        highest = known + EPOCH_STEP if known else FIRST_EPOCH
        if known < epoch:
            self._epochs[segment] = min(epoch, highest, EPOCH_BELOW - EPOCH_ROOM)

    def _store(self, record: GatewayRecord) -> None:
        old = self._records.get(record.name)
        self._records[record.name] = record
        self.changes += 1
        if old is None or (old.segments(), old.lets_in()) != (record.segments(), record.lets_in()):
            self._layout_changed()
        for port in record.ports:
            self.raise_epoch(port.segment, port.epoch)

    def _outlive(self, record: GatewayRecord) -> bool:
        """Make sure that the own record is newer than one that others tell of us."""
        own_word = (self._incarnation, self._sequence)
        if record.sequence < self._sequence or (record.incarnation, record.sequence) == own_word:
            return False
        if record.sequence >= OUTLIVED_BELOW:
            return False  # a sane peer never gets there: do not let one lie end our counting
        self._sequence = record.sequence
        for port in record.ports:
            self.raise_epoch(port.segment, port.epoch)
        own = self._records.get(self._own)
        self.set_own(own.ports if own else ())
        return True
