"""Key agreement and sealing of control connections (mesh/protocol_crypto.go)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from nacl.bindings import (
    crypto_box_beforenm,
    crypto_box_keypair,
    crypto_secretbox,
    crypto_secretbox_open,
)
from nacl.exceptions import CryptoError

from weave_ryu.errors import RemoteProtocolError

KEY_BYTES = 32
SEAL_OVERHEAD_BYTES = 16

_OPENED_BY_SENDER = 0x80
_TCP = 0x40


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A Curve25519 pair, fresh for each connection."""

    private: bytes = field(repr=False)
    public: bytes


def new_key_pair() -> KeyPair:
    """A random pair from the operating system's generator."""
    public, private = crypto_box_keypair()
    return KeyPair(private=private, public=public)


def precomputed_key(private: bytes, remote_public: bytes) -> bytes:
    """NaCl's box precomputation: X25519, then HSalsa20.

    Raises:
        RemoteProtocolError: the other side's key is a point of small order.
    """
    try:
        return crypto_box_beforenm(remote_public, private)
    except (CryptoError, RuntimeError) as error:
        raise RemoteProtocolError("bad-public-key", "the public key cannot be used") from error


def session_key(private: bytes, remote_public: bytes, password: bytes) -> bytes:
    """SHA-256 of the precomputed key and the password (mesh/protocol_crypto.go)."""
    return hashlib.sha256(precomputed_key(private, remote_public) + password).digest()


def tcp_nonce(sender_opened: bool, counter: int) -> bytes:
    """The 24 bytes that are never sent.

    Args:
        sender_opened: the side that seals opened the TCP connection.
        counter: 0 for the features message, one more for each message after.
    """
    first = _TCP | (_OPENED_BY_SENDER if sender_opened else 0)
    return bytes([first]) + bytes(15) + counter.to_bytes(8, "big")


class Sealer:
    """Seals the messages of one direction, in order."""

    __slots__ = ("_counter", "_key", "_sender_opened")

    def __init__(self, key: bytes, *, sender_opened: bool) -> None:
        self._key = key
        self._sender_opened = sender_opened
        self._counter = 0

    def seal(self, plain: bytes) -> bytes:
        """The sealed message, 16 bytes longer."""
        nonce = tcp_nonce(self._sender_opened, self._counter)
        self._counter += 1
        return crypto_secretbox(plain, nonce, self._key)


class Opener:
    """Opens the messages of one direction, in order."""

    __slots__ = ("_counter", "_key", "_sender_opened")

    def __init__(self, key: bytes, *, sender_opened: bool) -> None:
        self._key = key
        self._sender_opened = sender_opened
        self._counter = 0

    def open(self, sealed: bytes) -> bytes:
        """The plain message.

        Raises:
            RemoteProtocolError: it does not open: another password, or not in order.
        """
        if len(sealed) < SEAL_OVERHEAD_BYTES:
            raise RemoteProtocolError("bad-seal", f"a sealed message of {len(sealed)} bytes")
        nonce = tcp_nonce(self._sender_opened, self._counter)
        self._counter += 1
        try:
            return crypto_secretbox_open(sealed, nonce, self._key)
        except CryptoError as error:
            raise RemoteProtocolError("bad-seal", "a message does not open") from error
