"""Hundreds of real routers in one process, with a virtual clock, that begin as one whole mesh.

To bring a thousand peers together message by message takes hours of processor time, so tables and
connections are put in place as they would be at rest: the one place that reaches into the routers.
What happens from then on is the routers' own doing.
"""

from __future__ import annotations

import heapq
import itertools
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from weave_ryu.mesh.commands import CloseConnection, Dial, SendBytes, SendHeartbeat
from weave_ryu.mesh.config import Address, ConnectionId, RouterConfig
from weave_ryu.mesh.connection import ConnectionMachine, Link, State
from weave_ryu.mesh.core import Neighbour
from weave_ryu.mesh.framing import MAX_MESSAGE_BYTES
from weave_ryu.mesh.overlay import FastdpOverlay, _Phase
from weave_ryu.mesh.peers import Connection, Peer, connections_by_name
from weave_ryu.mesh.router import Router
from weave_ryu.names import PeerName, PeerUID, ShortId

LATENCY_S = 0.001
START_S = 100.0
HEARTBEAT_BYTES = 5
"""Of the TCP connection, every 10 s: not counted."""
VERSION = 1000
"""Of all entries at the beginning."""


@dataclass(slots=True)
class Traffic:
    """What all routers together have sent since it was last reset, without heartbeats."""

    messages: int = 0
    bytes: int = 0


def name_of(number: int) -> PeerName:
    return PeerName(0x7A0000000000 + number)


def host_of(number: int) -> str:
    return f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"


def sparse_links(peers: int, degree: int, seed: int = 1) -> list[tuple[int, int]]:
    """A connected random graph: each dials an earlier one, and some more at random."""
    rng = random.Random(seed)
    links = {(number, rng.randrange(1, number)) for number in range(2, peers + 1)}
    while len(links) < peers * degree // 2:
        one, other = rng.sample(range(1, peers + 1), 2)
        links.add((max(one, other), min(one, other)))
    return sorted(links)


def full_links(peers: int) -> list[tuple[int, int]]:
    return [(a, b) for a in range(2, peers + 1) for b in range(1, a)]


def entries_of(peers: int, links: Iterable[tuple[int, int]]) -> list[Peer]:
    """The table of such a mesh; of each link the first end has dialled."""
    lines: dict[int, list[Connection]] = {number: [] for number in range(1, peers + 1)}
    for one, other in links:
        lines[one].append(Connection(name_of(other), f"{host_of(other)}:6783", True, True))
        address = f"{host_of(one)}:{40000 + other}"
        lines[other].append(Connection(name_of(one), address, False, True))
    return [
        Peer(
            name_of(number),
            f"host{number}",
            PeerUID(number << 32 | 7),
            VERSION,
            ShortId(number),
            connections_by_name(sorted(lines[number], key=lambda line: line.remote)),
        )
        for number in range(1, peers + 1)
    ]


class World:
    """The routers and what joins them. Host ``n`` is peer 7a:..:n."""

    def __init__(self, peers: int, links: list[tuple[int, int]], *, joined: bool = True) -> None:
        self.now = START_S
        self.traffic = Traffic()
        self.cpu_s = 0.0
        self.routers: dict[int, Router] = {}
        self._far: dict[tuple[int, ConnectionId], tuple[int, ConnectionId]] = {}
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._connections = itertools.count(1)
        self._timers: list[tuple[float, int]] = []
        self._due: dict[int, float] = {}
        self._by_host = {host_of(number): number for number in range(1, peers + 2)}
        entries = entries_of(peers, links) if joined else []
        targets: dict[int, list[int]] = {}
        for one, other in links:
            targets.setdefault(one, []).append(other)
        for number in range(1, peers + 1):
            self.add(number, () if joined else targets.get(number, ()))
            if joined:
                self._know(self.routers[number], entries)
        if joined:
            for one, other in links:
                self._join(one, other)
            self._compute_routes()

    def _compute_routes(self) -> None:
        """All tables are equal: the graph is built once and copied."""
        first = self.routers[1]._core.tables
        first.recalculate()
        for number, router in self.routers.items():
            tables = router._core.tables
            for mine, built in (
                (tables._established, first._established),
                (tables._recorded, first._recorded),
            ):
                mine._names, mine._index, mine._entries = built._names, built._index, built._entries
                mine._out, mine._into = list(built._out), list(built._into)
            tables.recalculate()
            self._arm(number)

    def add(self, number: int, targets: Iterable[int] = ()) -> Router:
        """Start a router; it dials these."""
        config = RouterConfig(
            name=name_of(number),
            nick_name=f"host{number}",
            uid=PeerUID(number << 32 | 7),
            short_id=ShortId(number),
            targets=tuple(Address(host_of(target)) for target in targets),
            peer_discovery=False,
        )
        router = self.routers[number] = Router(config, rng=random.Random(number))
        # Rounds of the complete table are spread, as in life; the first comes after 10 to 30 s.
        router.start(self.now - 20.0 * random.Random(-number).random())
        self._pump(number)
        return router

    # The beginning.

    @staticmethod
    def _know(router: Router, entries: list[Peer]) -> None:
        table = router._core.peers
        for peer in entries:
            table._insert(peer)

    def _join(self, one: int, other: int) -> None:
        ids = [ConnectionId(next(self._connections)) for _ in range(2)]
        ends = [(one, ids[0]), (other, ids[1])]
        for (near, connection), far in zip(ends, ends[::-1], strict=True):
            self._far[near, connection] = far
            core = self.routers[near]._core
            link = Link(connection, near == one, True, (host_of(near), 1), (host_of(far[0]), 2))
            machine = ConnectionMachine(link, _no_features, None, _no_keys, self.now)
            machine.take_output()
            machine._state = State.ESTABLISHED
            machine._buffer.max_message_bytes = MAX_MESSAGE_BYTES
            machine._heartbeat_at = self.now + 10 * random.Random(connection).random()
            overlay = FastdpOverlay(1, host_of(far[0]), host_of(near), 6784, self.now)
            overlay._phase = _Phase.ACKNOWLEDGED
            overlay._heard_at = self.now
            overlay._send_at = self.now + 1e9  # heartbeats of the overlay are not what we measure
            peer = name_of(far[0])
            core.neighbours[connection] = Neighbour(machine, None, peer, overlay)
            core.by_peer[peer] = connection
            core.gossiper.add_neighbour(peer, connection)
            core.agenda.put(connection, core.neighbours[connection].deadline())

    # Life.

    def break_link(self, one: int, other: int) -> None:
        """The TCP connection between two peers ends."""
        connection = self.routers[one]._core.by_peer[name_of(other)]
        far, far_connection = self._far.pop((one, connection))
        self._far.pop((far, far_connection), None)
        for number, ended in ((one, connection), (far, far_connection)):
            self.call(
                number, lambda router, ended=ended: router.receive_eof(ended, "cut", self.now)
            )

    def call(self, number: int, action: Callable[[Router], None]) -> None:
        """Let a router do something; the time it takes is counted."""
        started = time.process_time()
        action(self.routers[number])
        self.cpu_s += time.process_time() - started
        self._pump(number)

    def run_until(
        self, condition: Callable[[], bool], limit_s: float, step_s: float = 0.05
    ) -> float:
        """Run until it holds; the virtual seconds it took.

        Raises:
            AssertionError: it does not hold in time.
        """
        started = self.now
        while not condition():
            assert self.now - started < limit_s, f"not within {limit_s} virtual seconds"
            self.run(step_s)
        return self.now - started

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while True:
            timer = self._first_timer()
            packet = self._queue[0][0] if self._queue else None
            if packet is not None and packet <= until and (timer is None or packet <= timer[0]):
                at, _, action = heapq.heappop(self._queue)
                self.now = max(self.now, at)
                action()
            elif timer is not None and timer[0] <= until:
                heapq.heappop(self._timers)
                del self._due[timer[1]]
                self.now = max(self.now, timer[0])
                self.call(timer[1], lambda router: router.handle_timer(self.now))
            else:
                self.now = until
                return

    def versions(self, names: Iterable[PeerName]) -> bool:
        """Whether all know these entries as their owners have them, and no others than all."""
        wanted = list(names)
        owners = {router.name: router for router in self.routers.values()}
        for router in self.routers.values():
            if router._core.tables.due_at is not None or len(router.peers) != len(owners):
                return False
            for name in wanted:
                known = router.peers.get(name)
                if known is None or known.version != owners[name].version:
                    return False
        return True

    def at_rest(self) -> bool:
        """Whether all connections are established, and nobody has anything to tell."""
        return all(
            router._core._update_at is None
            and all(view.established for view in router.connections())
            for router in self.routers.values()
        )

    def reset(self) -> None:
        self.traffic, self.cpu_s = Traffic(), 0.0

    def _first_timer(self) -> tuple[float, int] | None:
        while self._timers and self._due.get(self._timers[0][1]) != self._timers[0][0]:
            heapq.heappop(self._timers)
        return self._timers[0] if self._timers else None

    def _arm(self, number: int) -> None:
        due = self.routers[number].deadline()
        if due is None:
            self._due.pop(number, None)
        elif self._due.get(number) != due:
            self._due[number] = due
            heapq.heappush(self._timers, (due, number))

    def _later(self, action: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (self.now + LATENCY_S, next(self._numbers), action))

    def _pump(self, number: int) -> None:
        router = self.routers[number]
        for command in router.poll_commands():
            match command:
                case SendBytes(connection, data):
                    if len(data) > HEARTBEAT_BYTES:
                        self.traffic.messages += 1
                        self.traffic.bytes += len(data)
                    self._later(lambda c=connection, d=data: self._deliver(number, c, d))
                case Dial(target):
                    self._later(lambda t=target: self._connect(number, t))
                case SendHeartbeat():
                    self._later(lambda beat=command: self._beat(number, beat))
                case CloseConnection(connection, reason):
                    self._later(lambda c=connection, r=reason: self._close(number, c, r))
        router.poll_events()
        self._arm(number)

    def _deliver(self, number: int, connection: ConnectionId, data: bytes) -> None:
        far = self._far.get((number, connection))
        if far is not None:
            self.call(far[0], lambda router: router.receive_bytes(far[1], data, self.now))

    def _connect(self, number: int, target: Address) -> None:
        other = self._by_host[target.host]
        if other not in self.routers:
            self.call(number, lambda router: router.dial_failed(target, "refused", self.now))
            return
        near, far = (ConnectionId(next(self._connections)) for _ in range(2))
        self._far[number, near], self._far[other, far] = (other, far), (number, near)
        here, there = (host_of(number), 40000 + other), (target.host, 6783)
        self.call(number, lambda router: router.dialled(near, target, here, there, self.now))
        self.call(other, lambda router: router.accepted(far, there, here, self.now))

    def _close(self, number: int, connection: ConnectionId, reason: str) -> None:
        far = self._far.pop((number, connection), None)
        if far is not None and self._far.pop(far, None) is not None:
            self.call(far[0], lambda router: router.receive_eof(far[1], reason, self.now))

    def _beat(self, number: int, beat: SendHeartbeat) -> None:
        other = self._by_host.get(beat.remote_ip)
        if other in self.routers:
            args = (beat.source, beat.destination, host_of(number), beat.frame)
            self.call(other, lambda router: router.heartbeat_received(*args, self.now))


def _no_features() -> None:
    raise AssertionError("the handshake is over")


def _no_keys() -> None:
    raise AssertionError("there is no password")
