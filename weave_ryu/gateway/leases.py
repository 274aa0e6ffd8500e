"""What this peer lets the other gateways know of itself, and by which way. Sans-IO."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from weave_ryu.gateway.commands import Broadcast, Command, Tell
from weave_ryu.gateway.lookout import Lookout, Signs
from weave_ryu.gateway.records import GatewayRecord, PortRecord, encode
from weave_ryu.gateway.registry import Registry
from weave_ryu.gateway.timers import Timers
from weave_ryu.names import PeerName


class Leases:
    """Publishes the own record, and repeats it to the gateways of the own segments.

    Args:
        registry: of all gateways.
        lookout: has signs of life of the others.
        segments: of this peer's gateway ports.
        timers: all times.
        emit: takes commands.
    """

    def __init__(
        self,
        registry: Registry,
        lookout: Lookout,
        segments: tuple[str, ...],
        timers: Timers,
        emit: Callable[[Command], None],
    ) -> None:
        self._registry = registry
        self._lookout = lookout
        self._segments = segments
        self._timers = timers
        self._emit = emit
        self._sent: tuple[GatewayRecord | None, tuple[PeerName, ...], list[Tell]] = (None, (), [])
        self._encoded: tuple[GatewayRecord | None, bytes] = None, b""
        self._detours: dict[tuple[PeerName, bool], tuple[GatewayRecord, bytes]] = {}
        self._watched: tuple[int, tuple[PeerName, ...], tuple[Signs, ...]] = -1, (), ()
        """`registry.layout`, the other gateways of this peer's segments, and their signs: looked up
        some twenty times a second, and the same until gateways come or go."""

    def companions(self) -> tuple[PeerName, ...]:
        """All other gateways of this peer's segments, sorted."""
        return self._look()[0]

    def _look(self) -> tuple[tuple[PeerName, ...], tuple[Signs, ...]]:
        layout, names, signs = self._watched
        if layout != self._registry.layout:
            found = {name for s in self._segments for name in self._registry.others_of(s)}
            names = tuple(sorted(found))
            signs = tuple(self._lookout.signs[name] for name in names)
            self._watched = self._registry.layout, names, signs
        return names, signs

    def publish(self, ports: Iterable[PortRecord]) -> None:
        """Tell everybody: all by broadcast, gateways of the own segments at once."""
        own = self._registry.set_own(ports)
        self._emit(Broadcast(self._payload_of(own)))
        self.send()

    def send(self) -> None:
        """Repeat the own record to the other gateways: it lives."""
        own = self._registry.own_record
        if own is None:
            return
        others = self.companions()
        if own is not self._sent[0] or others != self._sent[1]:
            payload = self._payload_of(own)
            self._sent = own, others, [Tell(name, payload) for name in others]
        for command in self._sent[2]:
            self._emit(command)

    def _payload_of(self, own: GatewayRecord) -> bytes:
        if self._encoded[0] is not own:
            self._encoded = own, encode([own])
        return self._encoded[1]

    def deadline(self, due_at: float, now: float) -> float:
        """When `send_detours` is due: then, or sooner."""
        for signs in self._look()[1]:
            if signs.sure_until < due_at:
                due_at = min(due_at, self._lookout.doubt_at(signs, now))
        return due_at

    def send_detours(self, now: float) -> None:
        """Where the way to a gateway is in doubt, let it know by others that this one lives.

        It cannot tell a dead gateway from a dead way, and would open.
        """
        own = self._registry.own_record
        if own is None:
            return
        for name, signs in zip(*self._look(), strict=True):
            if now >= signs.sure_until and now >= self._lookout.doubt_at(signs, now):
                signs.doubted_at = now
                is_unheard = now - signs.heard_at >= self._timers.doubt_s
                known, payload = self._detours.get((name, is_unheard), (None, b""))
                if known is not own:
                    payload = encode([own], unheard=[name] if is_unheard else ())
                    self._detours[name, is_unheard] = own, payload
                self._emit(Tell(name, payload, detour=True))
