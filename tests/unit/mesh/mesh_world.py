"""Routers in one process, joined by pipes in memory, with a clock that jumps to the next event."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from weave_ryu.mesh import events
from weave_ryu.mesh.commands import CloseConnection, Command, Dial, SendBytes, SendHeartbeat
from weave_ryu.mesh.config import Address, ConnectionId, RouterConfig
from weave_ryu.mesh.router import Router
from weave_ryu.names import PeerName, PeerUID, ShortId

LATENCY_S = 0.001


@dataclass
class End:
    """One end of a TCP connection."""

    host: str
    connection: ConnectionId
    other: End | None = None
    open: bool = True


class World:
    """The network and its hosts. Host ``n`` is peer 7a:..:n at 10.0.0.n."""

    def __init__(self, seed: int = 1) -> None:
        self.now = 100.0
        self.rng = random.Random(seed)
        self.routers: dict[str, Router] = {}
        self.events: dict[str, list[events.Event]] = {}
        self.ends: dict[tuple[str, ConnectionId], End] = {}
        self.blocked_vxlan: set[tuple[str, str]] = set()
        self.cut: set[frozenset[str]] = set()
        self.translated: dict[str, str] = {}
        """Hosts behind a NAT that forwards nothing → the address that others see of them."""
        self.listening: set[str] = set()
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._ports = itertools.count(40000)
        self._configs: dict[str, RouterConfig] = {}

    def add(self, number: int, targets: Iterable[int | Address] = (), **changes: object) -> Router:
        host = host_of(number)
        config = RouterConfig(
            name=name_of(number),
            nick_name=f"host{number}",
            uid=PeerUID(self.rng.getrandbits(63) + 1),
            short_id=ShortId(100 + number),
            targets=tuple(t if isinstance(t, Address) else Address(host_of(t)) for t in targets),
        )
        config = replace(config, **changes)  # type: ignore[arg-type]
        return self.start(host, config)

    def start(self, host: str, config: RouterConfig) -> Router:
        router = Router(config, rng=random.Random(self.rng.getrandbits(32)))
        self._configs[host] = config
        self.routers[host] = router
        self.events.setdefault(host, [])
        self.listening.add(host)
        router.start(self.now)
        self._pump(host)
        return router

    def kill(self, number: int) -> None:
        """The process is gone; the kernel resets its connections."""
        host = host_of(number)
        del self.routers[host]
        self.listening.discard(host)
        for (owner, _), end in sorted(self.ends.items(), key=str):
            if owner == host and end.open:
                self._reset(end, "connection reset by peer")

    def restart(self, number: int, **changes: object) -> Router:
        host = host_of(number)
        config = replace(self._configs[host], uid=PeerUID(self.rng.getrandbits(63) + 1))
        return self.start(host, replace(config, **changes))  # type: ignore[arg-type]

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        for _ in range(2_000_000):
            deadlines = [
                (deadline, host)
                for host, router in self.routers.items()
                if (deadline := router.deadline()) is not None
            ]
            timer = min(deadlines, default=None)
            packet = self._queue[0][0] if self._queue else None
            if packet is not None and packet <= until and (timer is None or packet <= timer[0]):
                at, _, action = heapq.heappop(self._queue)
                self.now = max(self.now, at)
                action()
            elif timer is not None and timer[0] <= until:
                self.now = max(self.now, timer[0])
                self.routers[timer[1]].handle_timer(self.now)
                self._pump(timer[1])
            else:
                self.now = until
                return
        raise AssertionError("the routers never come to rest")

    def call(self, number: int, action: Callable[[Router], None]) -> None:
        action(self.routers[host_of(number)])
        self._pump(host_of(number))

    def established(self, number: int) -> set[int]:
        return {
            int(view.name) & 0xFFFF
            for view in self.routers[host_of(number)].connections()
            if view.established and view.name is not None
        }

    def of_type(self, number: int, kind: type) -> list[events.Event]:
        return [event for event in self.events[host_of(number)] if isinstance(event, kind)]

    def _later(self, action: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (self.now + LATENCY_S, next(self._numbers), action))

    def _pump(self, host: str) -> None:
        router = self.routers.get(host)
        if router is None:
            return
        for command in router.poll_commands():
            self._perform(host, command)
        self.events[host] += router.poll_events()

    def _perform(self, host: str, command: Command) -> None:
        match command:
            case Dial(target):
                self._later(lambda: self._connect(host, target))
            case SendBytes(connection, data):
                end = self.ends[host, connection]
                self._later(lambda: self._deliver(end, data))
            case CloseConnection(connection, _):
                self._reset(self.ends[host, connection], "connection reset by peer")
            case SendHeartbeat():
                self._later(lambda: self._deliver_heartbeat(host, command))

    def _connect(self, host: str, target: Address) -> None:
        router = self.routers.get(host)
        if router is None:
            return
        if target.host not in self.listening or frozenset((host, target.host)) in self.cut:
            router.dial_failed(target, "connection refused", self.now)
            self._pump(host)
            return
        near = End(host, ConnectionId(next(self._numbers)))
        far = End(target.host, ConnectionId(next(self._numbers)), near)
        near.other = far
        self.ends[near.host, near.connection] = near
        self.ends[far.host, far.connection] = far
        local, remote = (host, next(self._ports)), (target.host, target.port or 6783)
        router.dialled(near.connection, target, local, remote, self.now)
        self._pump(host)
        if target.host in self.routers:
            seen = self.translated.get(host, host), local[1]
            self.routers[target.host].accepted(far.connection, remote, seen, self.now)
            self._pump(target.host)

    def _deliver(self, end: End, data: bytes) -> None:
        far = end.other
        if far is None or not far.open or far.host not in self.routers:
            return
        if frozenset((end.host, far.host)) in self.cut:
            return
        self.routers[far.host].receive_bytes(far.connection, data, self.now)
        self._pump(far.host)

    def _reset(self, end: End, reason: str) -> None:
        end.open = False
        far = end.other
        if far is not None and far.open:
            self._later(lambda: self._end_of(far, reason))

    def _end_of(self, end: End, reason: str) -> None:
        if end.open and end.host in self.routers:
            end.open = False
            self.routers[end.host].receive_eof(end.connection, reason, self.now)
            self._pump(end.host)

    def _deliver_heartbeat(self, host: str, beat: SendHeartbeat) -> None:
        pair = (host, beat.remote_ip)
        if pair in self.blocked_vxlan or frozenset(pair) in self.cut:
            return
        router = self.routers.get(beat.remote_ip)
        if router is not None:
            seen = self.translated.get(beat.local_ip, beat.local_ip)
            router.heartbeat_received(beat.source, beat.destination, seen, beat.frame, self.now)
            self._pump(beat.remote_ip)


def host_of(number: int) -> str:
    return f"10.0.0.{number}"


def name_of(number: int) -> PeerName:
    return PeerName(0x7A0000000000 + number)
