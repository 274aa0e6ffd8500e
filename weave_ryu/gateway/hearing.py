"""What a gateway says and hears on its segments, if hellos are on. Sans-IO."""

from __future__ import annotations

from dataclasses import dataclass, replace

from weave_ryu.errors import RemoteProtocolError
from weave_ryu.gateway import hello
from weave_ryu.gateway.records import GatewayRecord, PortRecord
from weave_ryu.names import PeerName

MAX_SENDERS = 64
"""How many senders are kept in mind."""

STALE_S = 60.0
"""A sender that was silent for so long makes place for another."""


@dataclass(slots=True)
class _Heard:
    """The last hello of one gateway on one segment."""

    port: PortRecord
    counter: int
    at: float


class Hearing:
    """Makes hellos, and remembers those of others.

    Args:
        own: this peer.
        sequence: where its gateway record starts to count; it grows over restarts.
        password: of the mesh.
    """

    def __init__(self, own: PeerName, sequence: int, password: bytes | None) -> None:
        self._own = own
        self.is_sealed = password is not None
        """Hellos that are not of a gateway of this mesh are recognized."""
        self._seal = hello.Seal(password)
        # Hellos are more frequent than changes of the record: leave room between two lives.
        self._counter = sequence << 16
        self._heard: dict[tuple[str, PeerName], _Heard] = {}
        self._drafts: dict[str, tuple[GatewayRecord, hello.Draft]] = {}

    def say(self, record: GatewayRecord, port: PortRecord) -> bytes:
        """The next hello for one port of the own record."""
        self._counter += 1
        known, draft = self._drafts.get(port.port, (None, None))
        if draft is None or known is not record:
            draft = hello.Draft(replace(record, ports=(port,)))
            self._drafts[port.port] = record, draft
        return draft.sealed(self._counter, self._seal)

    def take(self, segment: str, frame: bytes, now: float) -> PortRecord:
        """Note a hello.

        Args:
            segment: that it came from.
            frame: anybody on the segment may have made it.
            now: monotonic seconds.

        Raises:
            RemoteProtocolError: it is not for us, or older than one before; nothing was noted.
        """
        record, counter = hello.parse(frame, self._seal)
        port = record.ports[0]
        if port.segment != segment:
            raise RemoteProtocolError(
                "hello", f"{record.name} calls segment {segment} {port.segment}: wrong cable?"
            )
        if record.name == self._own:
            raise RemoteProtocolError("hello", "this peer's own came back: a loop on the segment?")
        key = segment, record.name
        before = self._heard.get(key)
        # Without a key anybody may name any counter, and a high one would silence the real sender.
        if before is not None and counter <= before.counter and self.is_sealed:
            raise RemoteProtocolError("hello", f"{record.name} said this before: replayed?")
        if before is not None:
            before.port, before.counter, before.at = port, counter, now
            return port
        if len(self._heard) >= MAX_SENDERS:
            self._make_place(now)
        self._heard[key] = _Heard(port, counter, now)
        return port

    def age_s(self, name: PeerName, now: float) -> float | None:
        """Since the last hello of a gateway on any segment; None if none was heard."""
        if not self._heard:
            return None
        return min((now - h.at for (_, of), h in self._heard.items() if of == name), default=None)

    def forwarding(self, segment: str, within_s: float, now: float) -> tuple[PeerName, ...]:
        """Gateways that have said lately that they forward on a segment, sorted."""
        if not self._heard:
            return ()
        return tuple(
            name
            for (on, name), heard in sorted(self._heard.items())
            if on == segment and heard.port.is_active and now - heard.at < within_s
        )

    def _make_place(self, now: float) -> None:
        oldest = min(self._heard, key=lambda key: self._heard[key].at)
        if now - self._heard[oldest].at < STALE_S:
            raise RemoteProtocolError("hello", f"more than {MAX_SENDERS} senders")
        del self._heard[oldest]
