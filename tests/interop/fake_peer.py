"""A scripted Weave peer, written from the description of the protocol alone.

Nothing of `weave_ryu` is imported: its own gob, its own sealing, plain sockets, VXLAN datagrams
made by hand. So an error of ours that is made twice the same way, once in writing and once in
reading, does not go unseen here.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from nacl.bindings import (
    crypto_box_beforenm,
    crypto_box_keypair,
    crypto_secretbox,
    crypto_secretbox_open,
)
from nacl.exceptions import CryptoError

PORT = 6783
VXLAN_PORT = 6784
MTU_BYTES = 1376

HEARTBEAT, GOSSIP, UNICAST, BROADCAST, CONTROL = 0, 4, 5, 6, 7
FASTDP_ACK = b"\0\0"

# Gob. Type ids are a process's own: these are others than Go's and than those of weave_ryu.

BOOL, INT, UINT, BYTES, STRING = 1, 2, 3, 5, 6
_MAP_ID, _PEER_ID, _LINES_ID, _LINE_ID = 130, 140, 150, 151

_PEER_FIELDS = [
    ("NameByte", BYTES),
    ("NickName", STRING),
    ("UID", UINT),
    ("Version", UINT),
    ("ShortID", UINT),
    ("HasShortID", BOOL),
]
_LINE_FIELDS = [
    ("NameByte", BYTES),
    ("RemoteTCPAddr", STRING),
    ("Outbound", BOOL),
    ("Established", BOOL),
]


def uint(number: int) -> bytes:
    if number < 128:
        return bytes([number])
    size = (number.bit_length() + 7) // 8
    return bytes([256 - size]) + number.to_bytes(size, "big")


def signed(number: int) -> bytes:
    return uint(number << 1 if number >= 0 else (~number << 1) | 1)


def sized(raw: bytes) -> bytes:
    return uint(len(raw)) + raw


def encode_struct(fields: list[tuple[str, int]], values: dict[str, Any]) -> bytes:
    """Fields of value zero are left out; what is sent says how far it is from the one before."""
    out, before = b"", -1
    for number, (name, kind) in enumerate(fields):
        value = values.get(name)
        if not value:
            continue
        out += uint(number - before)
        before = number
        if kind == BYTES:
            out += sized(value)
        elif kind == STRING:
            out += sized(value.encode())
        elif kind == INT:
            out += signed(value)
        else:
            out += uint(int(value))
    return out + b"\0"


def _common(type_id: int, name: str = "") -> bytes:
    return encode_struct([("Name", STRING), ("Id", INT)], {"Name": name, "Id": type_id})


def _definition(type_id: int, kind: int, body: bytes) -> bytes:
    """A definition: which kind (a field of `wireType`), and what is said about it."""
    return sized(signed(-type_id) + uint(kind + 1) + body + b"\0")


def define_struct(type_id: int, name: str, fields: list[tuple[str, int]]) -> bytes:
    parts = [_common(kind, label) for label, kind in fields]
    body = b"\1" + _common(type_id, name) + b"\1" + uint(len(parts)) + b"".join(parts) + b"\0"
    return _definition(type_id, 2, body)


def define_slice(type_id: int, element: int) -> bytes:
    return _definition(type_id, 1, b"\1" + _common(type_id) + b"\1" + signed(element) + b"\0")


def define_map(type_id: int, key: int, element: int) -> bytes:
    body = b"\1" + _common(type_id) + b"\1" + signed(key) + b"\1" + signed(element) + b"\0"
    return _definition(type_id, 3, body)


def top(type_id: int, body: bytes) -> bytes:
    """A value at the top that is no struct."""
    return sized(signed(type_id) + b"\0" + body)


def encode_features(pairs: dict[str, str]) -> bytes:
    body = b"".join(sized(k.encode()) + sized(v.encode()) for k, v in pairs.items())
    return define_map(_MAP_ID, STRING, STRING) + top(_MAP_ID, uint(len(pairs)) + body)


def encode_topology(entries: list[dict[str, Any]]) -> bytes:
    """Entries as dictionaries with the fields' names; `Connections` is a list of the same."""
    out = b""
    for number, entry in enumerate(entries):
        if number == 0:
            out += define_struct(_PEER_ID, "peerSummary", _PEER_FIELDS)
        out += sized(signed(_PEER_ID) + encode_struct(_PEER_FIELDS, entry))
        if number == 0:
            out += define_slice(_LINES_ID, _LINE_ID)
            out += define_struct(_LINE_ID, "connectionSummary", _LINE_FIELDS)
        lines = [encode_struct(_LINE_FIELDS, line) for line in entry.get("Connections", [])]
        out += top(_LINES_ID, uint(len(lines)) + b"".join(lines))
    return out


def encode_gossip(channel: str, *names: int, payload: bytes) -> bytes:
    numbers = b"".join(top(UINT, uint(name)) for name in names)
    return top(STRING, sized(channel.encode())) + numbers + top(BYTES, sized(payload))


class _Reader:
    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.at = 0

    def take(self, size: int) -> bytes:
        if self.at + size > len(self.raw):
            raise ValueError("gob is cut")
        self.at += size
        return self.raw[self.at - size : self.at]

    def uint(self) -> int:
        first = self.take(1)[0]
        return first if first < 128 else int.from_bytes(self.take(256 - first), "big")

    def signed(self) -> int:
        raw = self.uint()
        return ~(raw >> 1) if raw & 1 else raw >> 1

    def fields(self) -> Iterator[int]:
        number = -1
        while delta := self.uint():
            number += delta
            yield number


def decode_gob(raw: bytes) -> list[Any]:
    """All values of a stream, whatever their types, as the definitions in it say."""
    stream, types, values = _Reader(raw), {}, []
    while stream.at < len(raw):
        item = _Reader(stream.take(stream.uint()))
        type_id = item.signed()
        if type_id < 0:
            types[-type_id] = _read_definition(item)
        else:
            if types.get(type_id, ("",))[0] != "struct" and item.take(1) != b"\0":
                raise ValueError("no zero before a value that is no struct")
            values.append(_read_value(item, type_id, types))
        if item.at != len(item.raw):
            raise ValueError("bytes left after an item")
    return values


def _read_common(item: _Reader) -> tuple[str, int]:
    name, type_id = "", 0
    for number in item.fields():
        if number == 0:
            name = item.take(item.uint()).decode()
        else:
            type_id = item.signed()
    return name, type_id


def _read_definition(item: _Reader) -> tuple[str, list[tuple[str, int]]]:
    kind = ("array", "slice", "struct", "map")[item.uint() - 1]
    parts: list[tuple[str, int]] = []
    for number in item.fields():
        if number == 0:
            _read_common(item)
        elif kind == "struct":
            parts = [_read_common(item) for _ in range(item.uint())]
        else:
            parts.append(("", item.signed()))
    if item.uint() != 0:
        raise ValueError("a definition of two kinds")
    return kind, parts


def _read_value(item: _Reader, type_id: int, types: dict[int, Any]) -> Any:
    if type_id in (BOOL, UINT):
        return item.uint()
    if type_id == INT:
        return item.signed()
    if type_id == BYTES:
        return item.take(item.uint())
    if type_id == STRING:
        return item.take(item.uint()).decode()
    kind, parts = types[type_id]
    if kind == "struct":
        found = {}
        for number in item.fields():
            name, field_type = parts[number]
            found[name] = _read_value(item, field_type, types)
        return found
    if kind == "map":
        kinds = [part[1] for part in parts]
        pairs = [[_read_value(item, k, types) for k in kinds] for _ in range(item.uint())]
        return dict(pairs)
    return [_read_value(item, parts[0][1], types) for _ in range(item.uint())]


def decode_topology(payload: bytes) -> dict[int, dict[str, Any]]:
    """Entries by name; what was left out as zero is put back."""
    values = decode_gob(payload)
    entries = {}
    for peer, lines in zip(values[::2], values[1::2], strict=True):
        entries[int.from_bytes(peer["NameByte"], "big")] = {
            "NickName": peer.get("NickName", ""),
            "UID": peer.get("UID", 0),
            "Version": peer.get("Version", 0),
            "ShortID": peer.get("ShortID", 0) if peer.get("HasShortID") else None,
            "Connections": {
                int.from_bytes(line["NameByte"], "big"): {
                    "Outbound": bool(line.get("Outbound")),
                    "Established": bool(line.get("Established")),
                    "RemoteTCPAddr": line.get("RemoteTCPAddr", ""),
                }
                for line in lines
            },
        }
    return entries


def name_text(name: int) -> str:
    return name.to_bytes(6, "big").hex(":")


def entry(
    name: int, uid: int, version: int, short_id: int | None, lines: list[dict[str, Any]]
) -> dict[str, Any]:
    """One peer as `encode_topology` takes it."""
    return {
        "NameByte": name.to_bytes(6, "big"),
        "NickName": f"fake{name & 0xFF}",
        "UID": uid,
        "Version": version,
        "ShortID": short_id or 0,
        "HasShortID": short_id is not None,
        "Connections": lines,
    }


def line(to: int, address: str = "10.0.0.1:6783", established: bool = True) -> dict[str, Any]:
    """One connection of a peer."""
    return {
        "NameByte": to.to_bytes(6, "big"),
        "RemoteTCPAddr": address,
        "Outbound": True,
        "Established": established,
    }


# VXLAN.


@dataclass(frozen=True)
class Datagram:
    """What came on UDP 6784, with what its headers say."""

    at: float
    source: str
    dont_fragment: bool
    ttl: int
    tos: int
    checksum: int
    flags: int
    vni: int
    frame: bytes


def read_datagram(packet: bytes) -> Datagram | None:
    """Read an IP packet of a raw socket; None if it is not VXLAN to us."""
    header = (packet[0] & 0xF) * 4
    udp = packet[header:]
    if len(udp) < 16 or int.from_bytes(udp[2:4], "big") != VXLAN_PORT:
        return None
    return Datagram(
        time.monotonic(),
        socket.inet_ntoa(packet[12:16]),
        bool(packet[6] & 0x40),
        packet[8],
        packet[1],
        int.from_bytes(udp[6:8], "big"),
        int.from_bytes(udp[8:12], "big"),
        int.from_bytes(udp[12:15], "big"),
        udp[16:],
    )


def heartbeat_frame(connection_uid: int, mtu_bytes: int = MTU_BYTES) -> bytes:
    size = 14 + mtu_bytes
    return (bytes(14) + struct.pack("!QH", connection_uid, size)).ljust(size, b"\0")


def vxlan(destination: int, source: int, frame: bytes) -> bytes:
    return struct.pack("!II", 0x08000000, (destination << 12 | source) << 8) + frame


# TCP.


class RefusedError(Exception):
    """The router ended the connection before the features were through."""


@dataclass(frozen=True)
class Message:
    """One message, opened."""

    at: float
    tag: int
    body: bytes

    @property
    def gossip(self) -> tuple[str, int, bytes]:
        """Channel, source and payload of tags 4 and 6."""
        channel, source, payload = decode_gob(self.body)
        return channel, source, payload

    @property
    def topology(self) -> dict[int, dict[str, Any]] | None:
        """What it tells on channel `topology`; None if it is about something else."""
        if self.tag not in (GOSSIP, BROADCAST):
            return None
        channel, _, payload = self.gossip
        return decode_topology(payload) if channel == "topology" else None


class Box:
    """Seals and opens the messages of one connection."""

    def __init__(self, key: bytes, we_opened: bool) -> None:
        self._key = key
        self._ours, self._theirs = _nonces(we_opened), _nonces(not we_opened)

    def seal(self, plain: bytes) -> bytes:
        return crypto_secretbox(plain, next(self._ours), self._key)

    def open(self, sealed: bytes) -> bytes:
        return crypto_secretbox_open(sealed, next(self._theirs), self._key)


def _nonces(sender_opened: bool) -> Iterator[bytes]:
    first = 0x40 | (0x80 if sender_opened else 0)
    for counter in itertools.count():
        yield bytes([first]) + bytes(15) + counter.to_bytes(8, "big")


class Session:
    """One connection of a fake peer to a router, with the handshake behind it."""

    def __init__(self, peer: FakePeer, sock: socket.socket, we_opened: bool) -> None:
        self.peer = peer
        self.we_opened = we_opened
        self.router_ip = sock.getpeername()[0]
        self.messages: list[Message] = []
        self.datagrams: list[Datagram] = []
        self.ended = ""
        self.router: dict[str, str] = {}
        self.header = b""
        self.flag = b""
        self.uid = 0
        self.is_acknowledged = False
        self._sock = sock
        self._box: Box | None = None
        self._sending = threading.Lock()

    # Handshake.

    def shake_hands(self, uid: int | None = None, features: dict[str, str] | None = None) -> None:
        """Do it; with `uid` our number is chosen so that the connection's UID becomes that.

        Raises:
            RefusedError: the router has ended it, or its features do not open.
        """
        conn_id = self.peer.random.getrandbits(64)
        more = features or {}
        try:
            self._sock.sendall(b"weave\1\2")
            self.header = self._exactly(7)
            self._send_flag()
            if uid is None:
                # Neither side waits for the other's.
                self._send(encode_features({**self.peer.features(conn_id), **more}))
            self.router = decode_gob(self._receive())[0]
            if uid is not None:
                conn_id = uid ^ int(self.router["ConnID"])
                self._send(encode_features({**self.peer.features(conn_id), **more}))
        except (OSError, CryptoError) as error:
            self.ended = str(error)
            raise RefusedError(str(error)) from error
        self.uid = conn_id ^ int(self.router["ConnID"])

    def _send_flag(self) -> None:
        password = self.peer.password
        if password is None:
            self._sock.sendall(b"\0")
            self.flag = self._exactly(1)
            return
        public, private = crypto_box_keypair()
        self._sock.sendall(b"\1" + public)
        self.flag = self._exactly(1)
        theirs = self._exactly(32)
        key = hashlib.sha256(crypto_box_beforenm(theirs, private) + password).digest()
        self._box = Box(key, self.we_opened)

    def _exactly(self, size: int) -> bytes:
        raw = b""
        while len(raw) < size:
            part = self._sock.recv(size - len(raw))
            if not part:
                raise ConnectionAbortedError("end of stream")
            raw += part
        return raw

    def _receive(self) -> bytes:
        raw = self._exactly(int.from_bytes(self._exactly(4), "big"))
        return raw if self._box is None else self._box.open(raw)

    def _send(self, plain: bytes) -> None:
        with self._sending:
            raw = plain if self._box is None else self._box.seal(plain)
            self._sock.sendall(len(raw).to_bytes(4, "big") + raw)

    # After it.

    @property
    def router_name(self) -> int:
        return int(self.router["Name"].replace(":", ""), 16)

    def send(self, tag: int, body: bytes = b"") -> None:
        """One message; that the other side has ended it meanwhile is no error."""
        try:
            self._send(bytes([tag]) + body)
        except OSError as error:
            self.ended = self.ended or str(error)

    def send_raw(self, raw: bytes) -> None:
        """Bytes as they are."""
        with contextlib.suppress(OSError):
            self._sock.sendall(raw)

    def gossip(self, channel: str, payload: bytes, tag: int = GOSSIP, *names: int) -> None:
        names = names or (self.peer.name,)
        self.send(tag, encode_gossip(channel, *names, payload=payload))

    def read_all(self) -> None:
        """Read until it ends; a thread of its own does this."""
        try:
            while True:
                plain = self._receive()
                if plain:
                    self._received(Message(time.monotonic(), plain[0], plain[1:]))
        except OSError as error:
            self.ended = self.ended or str(error)
        self.peer.lost(self)

    def _received(self, message: Message) -> None:
        if message.tag == CONTROL and message.body == FASTDP_ACK:
            self.is_acknowledged = True
        self.messages.append(message)
        self.peer.heard(self, message)

    def of_tag(self, tag: int) -> list[Message]:
        return [message for message in list(self.messages) if message.tag == tag]

    def topologies(self) -> list[dict[int, dict[str, Any]]]:
        """All that the router told on channel `topology`, in order."""
        told = [message.topology for message in list(self.messages)]
        return [topology for topology in told if topology is not None]

    def latest(self, name: int) -> dict[str, Any]:
        """What the router told last about a peer; nothing if it never did."""
        for topology in reversed(self.topologies()):
            if name in topology:
                return topology[name]
        return {}

    def close(self) -> None:
        """With a RST, as Weave does."""
        self.ended = self.ended or "we"
        with contextlib.suppress(OSError):
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            # The reader sits in recv and holds the socket: this wakes it, and sends nothing.
            self._sock.shutdown(socket.SHUT_RD)
        self._sock.close()


@dataclass(eq=False)
class FakePeer:
    """A peer at an address of its own.

    Args:
        enter: runs a function in the network namespace of the peer and returns its result.
        beats: heartbeats are sent and acknowledged, as a real peer does.
    """

    name: int
    ip: str
    enter: Callable[[Callable[[], Any]], Any]
    uid: int = 1
    short_id: int | None = 100
    password: bytes | None = None
    trusted: bool = False
    beats: bool = True
    version: int = 0
    sessions: list[Session] = field(default_factory=list)
    dialled: list[float] = field(default_factory=list)
    stray: list[Datagram] = field(default_factory=list)
    random: random.Random = field(default_factory=random.Random)
    _sockets: list[socket.socket] = field(default_factory=list)
    _is_open: bool = True

    def features(self, conn_id: int) -> dict[str, str]:
        pairs = {
            "PeerNameFlavour": "mac",
            "Name": name_text(self.name),
            "NickName": f"fake{self.name & 0xFF}",
            "UID": str(self.uid),
            "ConnID": str(conn_id),
            "Trusted": "true" if self.trusted else "false",
            "Overlays": "fastdp sleeve",
        }
        if self.short_id is not None:
            pairs["ShortID"] = str(self.short_id)
        return pairs

    # Overlay.

    def start(self) -> FakePeer:
        """Open the VXLAN side."""
        self._udp = self._open(socket.SOCK_DGRAM, 0)
        self._udp.bind((self.ip, VXLAN_PORT))
        # IP_MTU_DISCOVER = IP_PMTUDISC_DO: with DF, as heartbeats must be.
        self._udp.setsockopt(socket.IPPROTO_IP, 10, 2)
        # A raw socket shows the outer header too.
        self._raw = self._open(socket.SOCK_RAW, socket.IPPROTO_UDP)
        self._raw.bind((self.ip, 0))
        self._raw.settimeout(0.05)
        threading.Thread(target=self._overlay, daemon=True).start()
        return self

    def _open(self, kind: int, protocol: int) -> socket.socket:
        sock = self.enter(lambda: socket.socket(socket.AF_INET, kind, protocol))
        self._sockets.append(sock)
        return sock

    def _overlay(self) -> None:
        beat_at = 0.0
        while self._is_open:
            try:
                self._datagram(read_datagram(self._raw.recv(65536)))
            except TimeoutError:
                pass
            except OSError:
                return
            self.tick()
            if self.beats and time.monotonic() >= beat_at:
                beat_at = time.monotonic() + 0.5
                for session in list(self.sessions):
                    if not session.ended and not session.is_acknowledged:
                        self.beat(session)

    def _datagram(self, datagram: Datagram | None) -> None:
        if datagram is None:
            return
        number = int.from_bytes(datagram.frame[14:22], "big")
        for session in list(self.sessions):
            is_for_us = datagram.vni >> 12 == self.short_id
            if session.uid == number and is_for_us and not session.ended:
                if self.beats and not session.datagrams:
                    session.send(CONTROL, FASTDP_ACK)
                session.datagrams.append(datagram)
                return
        self.other(datagram)

    # What a peer that is more than a script does besides.

    def heard(self, session: Session, message: Message) -> None:
        """A message has come."""

    def lost(self, session: Session) -> None:
        """A connection has ended."""

    def other(self, datagram: Datagram) -> None:
        """A datagram has come that is no heartbeat for us."""
        self.stray.append(datagram)

    def tick(self) -> None:
        """Every 50 ms, and after each datagram."""

    # Heartbeats and frames.

    def beat(self, session: Session, uid: int | None = None, to: int | None = None) -> None:
        """One heartbeat; `uid` and `to` (a short id) if not the right ones."""
        told = session.latest(session.router_name).get("ShortID")
        router = int(session.router["ShortID"]) if told is None else told
        frame = heartbeat_frame(session.uid if uid is None else uid)
        self.send_frame(session, frame, router if to is None else to, self.short_id or 0)

    def send_frame(self, session: Session, frame: bytes, destination: int, source: int) -> None:
        """Any frame with any short ids."""
        with contextlib.suppress(OSError):
            self._udp.sendto(vxlan(destination, source, frame), (session.router_ip, VXLAN_PORT))

    # Control.

    def dial(self, router_ip: str, port: int = PORT) -> socket.socket:
        """A bare TCP connection."""
        sock = self._open(socket.SOCK_STREAM, 0)
        sock.settimeout(15)
        sock.bind((self.ip, 0))
        sock.connect((router_ip, port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def connect(
        self, router_ip: str, uid: int | None = None, features: dict[str, str] | None = None
    ) -> Session:
        """Dial and shake hands.

        Raises:
            RefusedError: the router has ended it.
        """
        return self._session(self.dial(router_ip), True, uid, features)

    def listen(self) -> None:
        """Take connections; each becomes a session if the handshake succeeds."""
        listener = self._open(socket.SOCK_STREAM, 0)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self.ip, PORT))
        listener.listen()
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            self._sockets.append(sock)
            self.dialled.append(time.monotonic())
            sock.settimeout(5)
            with contextlib.suppress(Exception):
                self._session(sock, False)

    def _session(
        self,
        sock: socket.socket,
        we_opened: bool,
        uid: int | None = None,
        features: dict[str, str] | None = None,
    ) -> Session:
        session = Session(self, sock, we_opened)
        session.shake_hands(uid, features)
        # Before the reader runs: a change of it while another thread sends makes that fail.
        sock.settimeout(None)
        if session.router.get("ShortID") == str(self.short_id) and self.name > session.router_name:
            # Of two with one short id the higher name takes another.
            self.short_id = (self.short_id or 0) ^ 1
        self.sessions.append(session)
        threading.Thread(target=session.read_all, daemon=True).start()
        return session

    def tell(self, session: Session, *others: dict[str, Any], tag: int = GOSSIP) -> None:
        """Tell our own entry, one version up, with the connection to the router, and others'."""
        self.version += 1
        mine = self.entry(line(session.router_name, f"{session.router_ip}:{PORT}"))
        session.gossip("topology", encode_topology([mine, *others]), tag)

    def entry(self, *lines: dict[str, Any]) -> dict[str, Any]:
        return entry(self.name, self.uid, self.version, self.short_id, list(lines))

    def close(self) -> None:
        """End everything, with RSTs."""
        self._is_open = False
        for session in self.sessions:
            session.close()
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
