"""Sends frames from stations of a lab and counts what arrives at every other one.

Frames carry a local experimental ethertype and a payload of their own each: which run, which
stream, which number. Sockets are opened inside the stations' namespaces and used from here.
Times are the kernel's, taken when a frame came in, so that our own delays do not count.
"""

from __future__ import annotations

import errno
import itertools
import os
import select
import socket
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

from weave_ryu import namespaces
from weave_ryu.errors import LabError
from weave_ryu.lab.counting import Delivery, Tally, longest_gap_ns
from weave_ryu.lab.patience import stretched

ETHERTYPE: Final = 0x88B5
BROADCAST: Final = "ff:ff:ff:ff:ff:ff"

_ETH_P_ALL: Final = 0x0003
_PACKET_OUTGOING: Final = 4
_SOL_PACKET: Final = 263
_PACKET_STATISTICS: Final = 6
_SO_RCVBUFFORCE: Final = 33
_SO_TIMESTAMPNS: Final = 35
_RECEIVE_BUFFER_BYTES: Final = 16 << 20
_BATCH: Final = 64
_SWITCH_INTERVAL_S: Final = 0.0005
_LOOK_AGAIN_S: Final = 0.1

_HEADER: Final = struct.Struct("!6s6sH")
_PAYLOAD: Final = struct.Struct("!4sIHI")
_TIMESPEC: Final = struct.Struct("qq")
_MAGIC: Final = b"WRyu"
_ANCILLARY_BYTES: Final = socket.CMSG_SPACE(_TIMESPEC.size)
_MIN_FRAME_BYTES: Final = 60


@dataclass(frozen=True, slots=True)
class Station:
    """A place to send from and to listen at."""

    name: str
    netns: Path
    ifname: str
    mac: str


@dataclass(slots=True)
class Stream:
    """Frames from one station to one address, numbered from 0.

    Attributes:
        sent: how many so far.
        longest_pause_ns: the longest time between two of them: our own unsteadiness.
    """

    number: int
    source: str
    destination: str
    sent: int = 0
    longest_pause_ns: int = 0
    last_sent_ns: int = 0

    @property
    def is_broadcast(self) -> bool:
        """Whether it goes to everybody."""
        return self.destination == BROADCAST


@dataclass(slots=True)
class _Capture:
    """One listening socket; at a tap, what goes in is told from what comes out."""

    station: Station
    socket: socket.socket
    is_tap: bool


class Traffic:
    """Senders and captures at stations. A context manager: sockets and threads end with it.

    Args:
        stations: send and listen here.
        taps: listen here only, in both directions: at ports of a kernel bridge. Counted under
            ``NAME/in`` (from the link into the bridge) and ``NAME/out``.
    """

    def __init__(self, stations: Iterable[Station], taps: Iterable[Station] = ()) -> None:
        self.stations = {station.name: station for station in stations}
        self.foreign: Counter[tuple[str, int]] = Counter()
        """Frames that are not of this run, by tap and direction, and ethertype."""
        self._run = int.from_bytes(os.urandom(4), "big")
        self._numbers = itertools.count()
        self._tallies: dict[tuple[int, str], Tally] = {}
        self._senders: dict[str, socket.socket] = {}
        self._captures: dict[int, _Capture] = {}
        self._lost: list[_Capture] = []
        """Those whose link went down, or has gone."""
        self._pumps: list[_Pump] = []
        self._poll = select.epoll()
        self._stopping = threading.Event()
        self._last_arrival_s = 0.0
        try:
            for station in self.stations.values():
                self._senders[station.name] = _open_socket(station, 0)
                self._listen(station, is_tap=False)
            for tap in taps:
                self._listen(tap, is_tap=True)
        except BaseException:
            self._close_sockets()
            raise
        # Sending shares one interpreter with capturing: at the usual 5 ms the sender would stutter.
        self._switch_interval_before_s = sys.getswitchinterval()
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        self._listener = threading.Thread(target=self._receive, name="capture", daemon=True)
        self._listener.start()

    def __enter__(self) -> Traffic:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        self._stopping.set()
        self._listener.join()
        sys.setswitchinterval(self._switch_interval_before_s)
        self._close_sockets()

    # --- sending ---

    def stream(self, source: str, destination: str = BROADCAST) -> Stream:
        """A new stream.

        Args:
            source: name of a station.
            destination: name of a station, or a MAC address.
        """
        target = self.stations.get(destination)
        number = next(self._numbers)
        return Stream(number, source, destination if target is None else target.mac)

    def send(self, streams: Iterable[Stream], count: int, rate_per_s: float) -> None:
        """Send ``count`` frames of each stream, ``rate_per_s`` a second each; return when done."""
        pump = _Pump(self, list(streams), rate_per_s, count)
        pump.start()
        pump.join()

    def start(self, streams: Iterable[Stream], rate_per_s: float) -> None:
        """Begin to send streams without end, ``rate_per_s`` frames a second each.

        Streams of different rates are started one after the other.
        """
        pump = _Pump(self, list(streams), rate_per_s, None)
        self._pumps.append(pump)
        pump.start()

    def stop(self) -> None:
        """Stop what :meth:`start` began."""
        pumps, self._pumps = self._pumps, []
        for pump in pumps:
            pump.stop()

    def settle(self, quiet_s: float = 0.3, timeout_s: float = 3.0) -> bool:
        """Wait until nothing has arrived for ``quiet_s``; return whether it came to that."""
        quiet_s = stretched(quiet_s)
        deadline = time.monotonic() + stretched(timeout_s)
        started = time.monotonic()
        while time.monotonic() < deadline:
            rest = quiet_s - (time.monotonic() - max(started, self._last_arrival_s))
            if rest <= 0:
                return True
            time.sleep(min(rest, 0.05))
        return False

    def emit(self, stream: Stream) -> None:
        """Send the next frame of a stream."""
        frame = build_frame(
            self.stations[stream.source].mac,
            stream.destination,
            self._run,
            stream.number,
            stream.sent,
        )
        now = time.time_ns()
        try:
            self._senders[stream.source].send(frame)
        except OSError as error:
            # A link that is down loses the frame: that is a result, not a failure of ours.
            if error.errno not in {errno.ENOBUFS, errno.ENETDOWN}:
                raise LabError(f"{stream.source} cannot send", error.strerror or "") from error
        if stream.last_sent_ns:
            stream.longest_pause_ns = max(stream.longest_pause_ns, now - stream.last_sent_ns)
        stream.last_sent_ns = now
        stream.sent += 1

    # --- counting ---

    def delivery(self, stream: Stream, receiver: str) -> Delivery:
        """The account of a stream at a station, or at ``TAP/in`` or ``TAP/out``."""
        return self._tally(stream, receiver).delivery(stream.sent)

    def arrivals(self, stream: Stream, receiver: str) -> list[int]:
        """When copies of a stream came, in nanoseconds of the system's clock, in order."""
        return sorted(self._tally(stream, receiver).arrivals)

    def came_by_several(self, stream: Stream, places: Iterable[str]) -> int:
        """How many frames of a stream came at more than one of these places."""
        tallies = [self._tally(stream, place).copies for place in places]
        return sum(
            1
            for counts in itertools.zip_longest(*tallies, fillvalue=0)
            if sum(map(bool, counts)) > 1
        )

    def gap_ms(self, stream: Stream, receiver: str, start_ns: int, end_ns: int) -> float:
        """The longest time without an arrival that touches a window, in milliseconds."""
        return longest_gap_ns(self.arrivals(stream, receiver), start_ns, end_ns) / 1e6

    def missed_by_captures(self) -> int:
        """Frames the kernel dropped because we read too slowly; the counts are right only at 0."""
        missed = 0
        for capture in self._captures.values():
            raw = capture.socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
            missed += int(struct.unpack("II", raw)[1])
        return missed

    # --- inside ---

    def _tally(self, stream: Stream, receiver: str) -> Tally:
        return self._tallies.get((stream.number, receiver)) or Tally()

    def _listen(self, station: Station, *, is_tap: bool) -> None:
        opened = _open_socket(station, _protocol(is_tap))
        self._captures[opened.fileno()] = _Capture(station, opened, is_tap)
        self._poll.register(opened.fileno(), select.EPOLLIN)

    def _receive(self) -> None:
        while not self._stopping.is_set():
            for descriptor, _ in self._poll.poll(_LOOK_AGAIN_S):
                self._drain(self._captures[descriptor])
            for capture in list(self._lost):
                self._listen_again(capture)

    def _drain(self, capture: _Capture) -> None:
        for _ in range(_BATCH):
            try:
                frame, ancillary, _, address = capture.socket.recvmsg(128, _ANCILLARY_BYTES)
            except BlockingIOError:
                return
            except OSError:
                # The link has gone or went down: the others are still worth listening to.
                self._lost.append(capture)
                return
            place = capture.station.name
            if capture.is_tap:
                place += "/out" if address[2] == _PACKET_OUTGOING else "/in"
            found = parse_frame(frame, self._run)
            if found is None:
                if capture.is_tap and len(frame) >= _HEADER.size:
                    self.foreign[place, int.from_bytes(frame[12:14], "big")] += 1
                continue
            self._last_arrival_s = time.monotonic()
            seconds, nanoseconds = _TIMESPEC.unpack(ancillary[0][2])
            number, sequence = found
            tally = self._tallies.get((number, place))
            if tally is None:
                tally = self._tallies[number, place] = Tally()
            tally.add(sequence, seconds * 1_000_000_000 + nanoseconds)

    def _listen_again(self, capture: _Capture) -> None:
        """If the link was made anew under its name, the socket is still at the old one."""
        try:
            capture.socket.bind((capture.station.ifname, _protocol(capture.is_tap)))
        except OSError:
            return
        self._lost.remove(capture)

    def _close_sockets(self) -> None:
        self._poll.close()
        for capture in self._captures.values():
            capture.socket.close()
        for sender in self._senders.values():
            sender.close()


class _Pump(threading.Thread):
    """Sends streams side by side at a steady rate."""

    def __init__(
        self, traffic: Traffic, streams: list[Stream], rate_per_s: float, count: int | None
    ) -> None:
        super().__init__(name="pump", daemon=True)
        self._traffic = traffic
        self._streams = streams
        self._interval_s = 1 / rate_per_s
        self._count = count
        self._stopping = threading.Event()
        self._error: LabError | None = None

    def run(self) -> None:
        """Send until told to stop, or until all are sent."""
        due = time.monotonic()
        rounds = itertools.count() if self._count is None else range(self._count)
        for _ in rounds:
            if self._stopping.is_set():
                return
            rest = due - time.monotonic()
            if rest > 0:
                time.sleep(rest)
            due += self._interval_s
            for stream in self._streams:
                try:
                    self._traffic.emit(stream)
                except LabError as error:
                    self._error = error
                    return

    def join(self, timeout: float | None = None) -> None:
        """Wait for the end; an error in between is raised here."""
        super().join(timeout)
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Stop after the current round."""
        self._stopping.set()
        self.join()


def build_frame(source: str, destination: str, run: int, stream: int, sequence: int) -> bytes:
    """A frame with a payload of its own, of the smallest size Ethernet has."""
    header = _HEADER.pack(_mac_bytes(destination), _mac_bytes(source), ETHERTYPE)
    payload = _PAYLOAD.pack(_MAGIC, run, stream, sequence)
    return (header + payload).ljust(_MIN_FRAME_BYTES, b"\0")


def parse_frame(frame: bytes, run: int) -> tuple[int, int] | None:
    """Stream and number of a frame of this run; None for any other frame."""
    if len(frame) < _HEADER.size + _PAYLOAD.size or frame[12:14] != b"\x88\xb5":
        return None
    magic, frame_run, stream, sequence = _PAYLOAD.unpack_from(frame, _HEADER.size)
    return (stream, sequence) if magic == _MAGIC and frame_run == run else None


def _mac_bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def _protocol(is_tap: bool) -> int:
    """At a port of a kernel bridge only a socket for all protocols sees frames.

    It is served before the bridge takes them, and it alone sees those that go out.
    """
    return _ETH_P_ALL if is_tap else ETHERTYPE


def _open_socket(station: Station, protocol: int) -> socket.socket:
    """A packet socket at a link in another namespace; protocol 0 receives nothing."""

    def create() -> socket.socket:
        return socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)

    opened = namespaces.run_inside(station.netns, create)
    try:
        if protocol:
            opened.setblocking(False)
            opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER_BYTES)
            opened.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        opened.bind((station.ifname, protocol))
    except OSError as error:
        opened.close()
        raise LabError(
            f"no capture at {station.ifname} in {station.netns.name}", error.strerror or ""
        ) from error
    return opened
