"""TCP for the mesh core: sockets in, bytes out, one timer. No decision is made here."""

from __future__ import annotations

import contextlib
import ipaddress
import itertools
import os
import re
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Iterable

import structlog

from weave_ryu.addresses import parse_decimal
from weave_ryu.errors import ConfigError, NetworkError, UnresolvedError
from weave_ryu.mesh.commands import CloseConnection, Command, Dial, SendBytes, SendHeartbeat
from weave_ryu.mesh.config import Address, ConnectionId
from weave_ryu.mesh.events import Event
from weave_ryu.mesh.router import Router
from weave_ryu.shell import hub

_log = structlog.get_logger()

DIAL_TIMEOUT_S = 10.0
READ_BYTES = 65536
BLOCKED_BYTES = 256 << 10
"""Above this much unsent, gossip for the connection is merged instead of queued."""
UNSENT_LIMIT_BYTES = 64 << 20
"""A neighbour that reads nothing while this much piles up is given up."""

COSTLY_S = 0.002
REST_SHARE = 3.0
"""A neighbour gets a quarter of the processor at the most, as long as others want it."""

ACCEPT_AGAIN_S = 1.0
"""After an error of the host, such as too many open files."""

RETRY_MS = 1000
"""TCP waits twice as long after each try, up to two minutes. When a way is whole again, two
gateways that both forward must hear of each other sooner than that."""
_TCP_RTO_MAX_MS = 44

MAX_NAME = 253
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")

_ABORT = struct.pack("ii", 1, 0)


class _Connection:
    """One TCP connection with its reader and its writer."""

    def __init__(self, number: ConnectionId, sock: socket.socket, owner: MeshDaemon) -> None:
        self.number = number
        self.is_open = True
        self._socket = sock
        self._owner = owner
        self._unsent: deque[bytes] = deque()
        self._unsent_bytes = 0
        self._is_blocked = False
        self._is_writing = False
        self._has_unsent = hub.Signal()
        self._reader = hub.spawn_vital("mesh reader", self._read)
        self._writer = hub.spawn_vital("mesh writer", self._write)

    def send(self, data: bytes) -> None:
        """Send bytes, or queue what must wait; they leave in order."""
        if not self._unsent and not self._is_writing:
            data = self._send_now(data)
            if not data:
                return
        self._unsent.append(data)
        self._unsent_bytes += len(data)
        self._has_unsent.set()
        if self._unsent_bytes > UNSENT_LIMIT_BYTES:
            hub.spawn(self._lost, "the neighbour does not read")
        elif self._unsent_bytes > BLOCKED_BYTES and not self._is_blocked:
            self._is_blocked = True
            self._owner.router.write_blocked(self.number, True, time.monotonic())

    def _send_now(self, data: bytes) -> bytes:
        """Send what needs no waiting, without a turn of the writer; returns the rest."""
        try:
            # The green socket would wait for room; the one below it does not.
            sent: int = self._socket.fd.send(data)  # type: ignore[attr-defined]
        except OSError:
            return data  # no room; or an error, which the writer meets again
        return data[sent:]

    def close(self) -> None:
        """End it with a RST, as Weave does; no more input comes from it."""
        self._send_rest()
        self.is_open = False
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
        # The readers must not sit on the descriptor when its number is used again.
        hub.spawn(self._finish)

    def _send_rest(self) -> None:
        """Send what was queued, as far as that needs no waiting.

        It may be our half of the handshake, without which the other side cannot tell why it was
        refused, and would dial for ever. Weave writes at once, so there it is sent too.
        """
        if not self.is_open or self._is_writing or self._unsent_bytes > BLOCKED_BYTES:
            return
        with contextlib.suppress(OSError):
            self._socket.fd.send(b"".join(self._unsent))  # type: ignore[attr-defined]
        self._unsent.clear()

    def _finish(self) -> None:
        self._reader.kill()
        self._writer.kill()
        self._socket.close()

    def _read(self) -> None:
        while self.is_open:
            try:
                data = self._socket.recv(READ_BYTES)
            except OSError as error:
                self._lost(_reason(error))
                return
            if not data:
                self._lost("closed by the other side")
                return
            if self.is_open:
                now = time.monotonic()
                try:
                    self._owner.router.receive_bytes(self.number, data, now)
                except Exception:
                    # Whatever a neighbour sends, it must not cost the others more than this.
                    _log.exception("mesh_input_failed", connection=self.number)
                    self._lost("what it has sent cannot be read")
                    return
                self._owner.pump()
                self._rest(time.monotonic() - now)

    @staticmethod
    def _rest(took_s: float) -> None:
        """Read no more for a while after something that has cost much: the others come first.

        TCP makes the neighbour wait. Timers, and leases of gateways at other connections, do not.
        """
        if took_s > COSTLY_S:
            hub.sleep(REST_SHARE * took_s)

    def _write(self) -> None:
        while self.is_open:
            while self._unsent:
                data = self._unsent[0]
                self._is_writing = True
                try:
                    self._socket.sendall(data)
                except OSError as error:
                    self._lost(_reason(error))
                    return
                self._is_writing = False
                if not self.is_open:
                    return
                self._unsent.popleft()
                self._unsent_bytes -= len(data)
                if self._is_blocked and self._unsent_bytes < BLOCKED_BYTES // 4:
                    self._is_blocked = False
                    self._owner.router.write_blocked(self.number, False, time.monotonic())
                    self._owner.pump()
            self._has_unsent.wait()

    def _lost(self, reason: str) -> None:
        if self.is_open:
            self.close()
            self._owner.lost(self.number, reason)


class MeshDaemon:
    """Runs a `Router` on real sockets.

    Args:
        router: the core.
        host: address to listen on and to dial from; empty = all.
        port: TCP port.
        on_events: called with the core's events, in order; may call the core's inputs.
        send_heartbeat: hands a heartbeat to the switch.

    Raises:
        NetworkError: the port cannot be listened on now.
    """

    def __init__(
        self,
        router: Router,
        host: str,
        port: int,
        on_events: Callable[[list[Event]], None],
        send_heartbeat: Callable[[SendHeartbeat], None],
    ) -> None:
        self.router = router
        self._host = host
        self._port = port
        self._on_events = on_events
        self._send_heartbeat = send_heartbeat
        self._numbers = itertools.count(1)
        self._connections: dict[ConnectionId, _Connection] = {}
        self._alarm = hub.Alarm()
        self._is_pumping = False
        self._is_stopping = False
        try:
            self._listener = hub.listen((host or "0.0.0.0", port), backlog=256)  # noqa: S104
        except OSError as error:
            raise NetworkError(
                f"--port {port}: cannot listen on {host or '*'}:{port} ({_reason(error)}): "
                "stop what uses it, or choose another port"
            ) from error

    def start(self) -> None:
        """Begin to accept and to dial."""
        self.router.start(time.monotonic())
        hub.spawn_vital("mesh listener", self._accept_loop)
        hub.spawn_vital("mesh timer", self._timer_loop)
        self.pump()

    def stop(self) -> None:
        """End all connections."""
        self._is_stopping = True
        self._listener.close()
        for connection in list(self._connections.values()):
            connection.close()

    def pump(self) -> None:
        """Carry out what the core wants. Call after every input."""
        if self._is_pumping:
            return  # an event's consumer gave input: the loop below carries it out
        self._is_pumping = True
        try:
            while True:
                commands = self.router.poll_commands()
                events = self.router.poll_events()
                if not commands and not events:
                    break
                for command in commands:
                    self._perform(command)
                if events:
                    self._on_events(events)
        finally:
            self._is_pumping = False
            self._alarm.bring_forward(self.router.deadline())

    def lost(self, number: ConnectionId, reason: str) -> None:
        """A connection ended by itself."""
        self._connections.pop(number, None)
        self.router.receive_eof(number, reason, time.monotonic())
        self.pump()

    def _perform(self, command: Command) -> None:
        match command:
            case Dial(target):
                hub.spawn_vital("mesh dialler", self._dial, target)
            case SendBytes(number, data):
                if number in self._connections:
                    self._connections[number].send(data)
            case CloseConnection(number):
                connection = self._connections.pop(number, None)
                if connection is not None:
                    connection.close()
            case SendHeartbeat():
                self._send_heartbeat(command)

    def _dial(self, target: Address) -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            if self._host:
                sock.bind((self._host, 0))
            sock.settimeout(DIAL_TIMEOUT_S)
            sock.connect((target.host, target.port))
            sock.settimeout(None)
            local, remote = sock.getsockname(), sock.getpeername()
        except OSError as error:
            sock.close()
            self.router.dial_failed(target, _reason(error), time.monotonic())
            self.pump()
            return
        number = self._adopt(sock)
        self.router.dialled(number, target, local, remote, time.monotonic())
        self.pump()

    def _accept_loop(self) -> None:
        while True:
            delay = self.router.accept_delay(time.monotonic())
            if delay > 0:
                hub.sleep(delay)
                continue
            try:
                sock, remote = self._listener.accept()
            except OSError as error:
                if self._is_stopping:
                    return
                _log.warning("mesh_accept_failed", error=_reason(error))
                hub.sleep(ACCEPT_AGAIN_S)
                continue
            number = self._adopt(sock)
            self.router.accepted(number, sock.getsockname(), remote, time.monotonic())
            self.pump()

    def _adopt(self, sock: socket.socket) -> ConnectionId:
        _set_options(sock)
        number = ConnectionId(next(self._numbers))
        self._connections[number] = _Connection(number, sock, self)
        return number

    def _timer_loop(self) -> None:
        while True:
            self._alarm.wait(self.router.deadline())
            deadline = self.router.deadline()
            if deadline is not None and deadline <= time.monotonic():
                self.router.handle_timer(time.monotonic())
                self.pump()


def resolve(text: str, key: str = "--peer") -> list[Address]:
    """``HOST[:PORT]`` to addresses; a name may stand for several.

    Raises:
        UnresolvedError: the name has no address now: a mistake, or nobody answers yet.
        ConfigError: not of that form.
    """
    host, port = _split_target(text, key)
    try:
        found: Iterable[tuple[object, ...]] = socket.getaddrinfo(
            host, None, socket.AF_INET, socket.SOCK_STREAM
        )
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or a zero byte
        kind = UnresolvedError if _is_host_name(host) else ConfigError
        raise kind(key, text, _NO_HOST) from error
    hosts = {str(entry[4][0]) for entry in found}  # type: ignore[index]
    return [Address(address, port) for address in sorted(hosts)]


def parse_target(text: str, key: str = "--peer") -> Address | None:
    """``HOST[:PORT]`` if the host is an address; None if it is a name, which takes a look-up.

    Raises:
        ConfigError: neither, ever.
    """
    host, port = _split_target(text, key)
    try:
        return Address(str(ipaddress.IPv4Address(host)), port)
    except ValueError:
        if not _is_host_name(host):
            raise ConfigError(key, text, _NO_HOST) from None
    return None


_NO_HOST = "no such host: give an IPv4 address or a name, HOST[:PORT]"


def _split_target(text: str, key: str) -> tuple[str, int | None]:
    host, colon, port_text = text.partition(":")
    port = None
    if colon:
        port = parse_decimal(port_text)
        if port is None or not 0 < port < 65536:
            raise ConfigError(key, text, "the port must be a number from 1 to 65535")
    return host, port


def _is_host_name(text: str) -> bool:
    """Whether it could be one: others are no name, today or ever (RFC 1123)."""
    labels = text.removesuffix(".").split(".")
    # Digits and dots alone were meant as an address.
    return (
        len(text) <= MAX_NAME
        and all(_LABEL.fullmatch(label) for label in labels)
        and not labels[-1].isdecimal()
    )


def _set_options(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        # Last: only Linux 6.15 and later know it.
        sock.setsockopt(socket.IPPROTO_TCP, _TCP_RTO_MAX_MS, RETRY_MS)


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)
