"""One control connection: handshake, sealing, messages, deadlines (mesh/connection.go).

The machine is pulled: ``receive_bytes`` only keeps the bytes, ``next_signal`` gives one fact at a
time, so that the router has decided about the features before the first message is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from weave_ryu.errors import LocalProtocolError, RemoteProtocolError
from weave_ryu.mesh import handshake
from weave_ryu.mesh.config import ConnectionId
from weave_ryu.mesh.crypto import KeyPair, Opener, Sealer, session_key
from weave_ryu.mesh.features import Features, decode_features, encode_features
from weave_ryu.mesh.framing import MAX_MESSAGE_BYTES, StreamBuffer, frame
from weave_ryu.mesh.messages import Tag

TCP_HEARTBEAT_S = 30.0
READ_DEADLINE_S = 60.0


class State(Enum):
    """Where a connection stands."""

    HEADER = auto()
    FLAG = auto()
    FEATURES = auto()
    OFFERED = auto()
    PENDING = auto()
    ESTABLISHED = auto()
    CLOSED = auto()


class Input(Enum):
    """What can happen to it."""

    HEADER_READ = auto()
    FLAG_READ = auto()
    FEATURES_READ = auto()
    ADDED = auto()
    ACKNOWLEDGED = auto()
    SILENT = auto()
    ENDED = auto()


@dataclass(frozen=True, slots=True)
class Transition:
    """Next state, and why."""

    to: State
    note: str


TRANSITIONS: Mapping[tuple[State, Input], Transition] = {
    (State.HEADER, Input.HEADER_READ): Transition(State.FLAG, "they speak version 2"),
    (State.FLAG, Input.FLAG_READ): Transition(State.FEATURES, "both or none have a password"),
    (State.FEATURES, Input.FEATURES_READ): Transition(State.OFFERED, "the router decides"),
    (State.OFFERED, Input.ADDED): Transition(State.PENDING, "it is in our own entry"),
    (State.PENDING, Input.ACKNOWLEDGED): Transition(State.ESTABLISHED, "our heartbeat arrived"),
    (State.ESTABLISHED, Input.SILENT): Transition(State.PENDING, "nothing is heard any more"),
    **{
        (state, Input.ENDED): Transition(State.CLOSED, "closed, refused or timed out")
        for state in State
        if state is not State.CLOSED
    },
}

HANDSHAKE_STATES = frozenset({State.HEADER, State.FLAG, State.FEATURES, State.OFFERED})


@dataclass(frozen=True, slots=True)
class FeaturesRead:
    """The other side has said who it is; call ``add`` or ``close``."""

    features: Features


@dataclass(frozen=True, slots=True)
class MessageRead:
    """A whole message, opened; without its tag. The tag is None for a blank message."""

    tag: int | None
    body: bytes = field(repr=False)


Signal = FeaturesRead | MessageRead


@dataclass(frozen=True, slots=True)
class Link:
    """What the shell knows of a TCP connection.

    Attributes:
        told: we accepted, or dialled an address that the operator gave: strangers are welcome.
    """

    connection: ConnectionId
    outbound: bool
    told: bool
    local: tuple[str, int]
    remote: tuple[str, int]


class ConnectionMachine:
    """One connection's states. Reads no clock, opens no socket."""

    def __init__(
        self,
        link: Link,
        describe: Callable[[], Features],
        password: bytes | None,
        new_key_pair: Callable[[], KeyPair],
        now: float,
    ) -> None:
        self.link = link
        self.own_features: Features | None = None
        self.remote_features: Features | None = None
        self.opened_at = now
        self.heard_at = now
        self._state = State.HEADER
        self._describe = describe
        self._password = password
        self._key_pair = new_key_pair() if password is not None else None
        self._sealer: Sealer | None = None
        self._opener: Opener | None = None
        self._buffer = StreamBuffer(handshake.MAX_FEATURES_BYTES)
        self._out: list[bytes] = [handshake.HEADER]
        self._handshake_by = now + handshake.HEADER_DEADLINE_S
        self._heartbeat_at = now

    @property
    def state(self) -> State:
        """Where it stands."""
        return self._state

    @property
    def encrypted(self) -> bool:
        """There is a password."""
        return self._password is not None

    @property
    def mutually_trusted(self) -> bool:
        """Both sides trust the network between them: the overlay may send plainly."""
        own, remote = self.own_features, self.remote_features
        return own is not None and remote is not None and remote.trusted and own.trusted

    @property
    def connection_uid(self) -> int | None:
        """Both sides' random numbers joined: the same number at both ends."""
        own, remote = self.own_features, self.remote_features
        if own is None or remote is None:
            return None
        return own.connection_id ^ remote.connection_id

    # Inputs.

    def receive_bytes(self, data: bytes) -> None:
        """Keep what came. Ask ``next_signal`` until it has nothing more."""
        if self._state is not State.CLOSED:
            self._buffer.append(data)

    def next_signal(self, now: float) -> Signal | None:
        """The next fact in what was received, or None if there is not enough of it.

        Raises:
            RemoteProtocolError: the other side broke the protocol; close the connection.
        """
        while True:
            match self._state:
                case State.HEADER:
                    if not self._read_header(now):
                        return None
                case State.FLAG:
                    if not self._read_flag():
                        return None
                case State.FEATURES:
                    return self._read_features(now)
                case State.PENDING | State.ESTABLISHED:
                    return self._read_message(now)
                case _:
                    return None

    def add(self, now: float) -> None:
        """The router has taken it into its entry; heartbeats count from here."""
        self._go(Input.ADDED)
        self._heartbeat_at = now + TCP_HEARTBEAT_S

    def acknowledge(self) -> None:
        """The overlay works, or works again."""
        self._go(Input.ACKNOWLEDGED)

    def lapse(self) -> None:
        """The overlay works no more; this connection goes on."""
        self._go(Input.SILENT)

    def close(self) -> None:
        """It is over; nothing is read or sent any more."""
        self._go(Input.ENDED)
        self._buffer.clear()
        self._out.clear()

    def handle_timer(self, now: float) -> None:
        """Send a heartbeat if one is due.

        Raises:
            RemoteProtocolError: the other side was silent for too long.
        """
        if self._state is State.CLOSED:
            return
        if self._state in HANDSHAKE_STATES:
            if now >= self._handshake_by:
                part = "header" if self._state is State.HEADER else "handshake"
                raise RemoteProtocolError("timeout", f"no complete {part} in time")
            return
        if now >= self.heard_at + READ_DEADLINE_S:
            raise RemoteProtocolError("timeout", f"no message for {READ_DEADLINE_S:.0f} s")
        if now >= self._heartbeat_at:
            self._heartbeat_at = now + TCP_HEARTBEAT_S
            self.send(Tag.HEARTBEAT, b"")

    def deadline(self) -> float | None:
        """When ``handle_timer`` has something to do."""
        if self._state is State.CLOSED:
            return None
        if self._state in HANDSHAKE_STATES:
            return self._handshake_by
        return min(self._heartbeat_at, self.heard_at + READ_DEADLINE_S)

    # Outputs.

    def send(self, tag: Tag, body: bytes) -> None:
        """Queue one message."""
        if self._state not in (State.PENDING, State.ESTABLISHED):
            raise LocalProtocolError(f"a message on a connection that is {self._state.name}")
        self._send_sealed(bytes([tag]) + body)

    def take_output(self) -> bytes:
        """What must be written, once."""
        data = b"".join(self._out)
        self._out.clear()
        return data

    # Parts.

    def _go(self, happened: Input) -> None:
        transition = TRANSITIONS.get((self._state, happened))
        if transition is None:
            raise LocalProtocolError(f"{happened.name} while {self._state.name}")
        self._state = transition.to

    def _send_sealed(self, message: bytes) -> None:
        sealed = message if self._sealer is None else self._sealer.seal(message)
        self._out.append(frame(sealed))

    def _read_header(self, now: float) -> bool:
        handshake.check_header_start(self._buffer.peek(handshake.HEADER_BYTES))
        header = self._buffer.take(handshake.HEADER_BYTES)
        if header is None:
            return False
        handshake.check_versions(header)
        self._handshake_by = now + handshake.HANDSHAKE_DEADLINE_S
        self._out.append(
            handshake.encode_flag(None if self._key_pair is None else self._key_pair.public)
        )
        self._go(Input.HEADER_READ)
        return True

    def _read_flag(self) -> bool:
        first = self._buffer.peek(1)
        if not first:
            return False
        raw = self._buffer.take(handshake.flag_bytes(first[0], self._password is not None))
        if raw is None:
            return False
        if self._key_pair is not None and self._password is not None:
            key = session_key(self._key_pair.private, raw[1:], self._password)
            self._sealer = Sealer(key, sender_opened=self.link.outbound)
            self._opener = Opener(key, sender_opened=not self.link.outbound)
        # Made now and not earlier: our short id may have changed since the connection was opened.
        self.own_features = self._describe()
        self._send_sealed(encode_features(self.own_features))
        self._go(Input.FLAG_READ)
        return True

    def _read_features(self, now: float) -> FeaturesRead | None:
        message = self._buffer.take_message()
        if message is None:
            return None
        if self._opener is not None:
            message = self._open_features(self._opener, message)
        self.remote_features = decode_features(message)
        self.heard_at = now
        self._buffer.max_message_bytes = MAX_MESSAGE_BYTES
        self._go(Input.FEATURES_READ)
        return FeaturesRead(self.remote_features)

    @staticmethod
    def _open_features(opener: Opener, message: bytes) -> bytes:
        try:
            return opener.open(message)
        except RemoteProtocolError as error:
            raise RemoteProtocolError(
                "wrong-password", "the other side has another password than we have"
            ) from error

    def _read_message(self, now: float) -> MessageRead | None:
        message = self._buffer.take_message()
        if message is None:
            return None
        if self._opener is not None:
            message = self._opener.open(message)
        self.heard_at = now
        return MessageRead(message[0], message[1:]) if message else MessageRead(None, b"")
