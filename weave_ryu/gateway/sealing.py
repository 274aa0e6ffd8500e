"""What only gateways can say: messages and records with a keyed digest. Sans-IO.

The key is the gateways' own; other peers of the mesh, who know its password, do not have it. They
pass on what is sealed, and do not look at it.

A *message* is sealed for the one that it is for, or for all, with a counter: nobody says it again.
The seal is the last member of its JSON object, over all bytes before it:

    ,"seal":"<16 hex digits: counter><32 hex digits: BLAKE2b-128 (RFC 7693)>"}

A *record* has a seal of its own, since it is passed on by peers that have no key; its sequence
number is its counter.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, replace

from weave_ryu.errors import LocalProtocolError
from weave_ryu.gateway.records import GatewayRecord, encode
from weave_ryu.names import PeerName

DIGEST_BYTES = 16
WINDOW = 256
"""Messages take several ways: of the last so many each is taken once, in any order."""

_ALL = bytes(6)
_HEAD, _TAIL = b',"seal":"', b'"}'
_SEAL = re.compile(_HEAD + rb"([0-9a-f]{16})([0-9a-f]{32})" + _TAIL)
_SEAL_BYTES = len(_HEAD) + 16 + 2 * DIGEST_BYTES + len(_TAIL)


def derive(key: bytes, use: bytes) -> bytes:
    """A key of 32 bytes for one use.

    Args:
        key: of the gateways, any length.
        use: at most 16 bytes.
    """
    return hashlib.blake2b(key, digest_size=32, person=use).digest()


def hello_key(key: bytes | None, password: bytes | None) -> bytes | None:
    """The key of hellos: of the gateways' own, or of the mesh's password.

    Hellos are heard by all who are on the segment: a password must not be cheap to guess from
    them, hence scrypt (RFC 7914), some 50 ms.
    """
    if key is not None:
        return derive(key, b"weave-ryu hello")
    if password is None:
        return None
    return hashlib.scrypt(password, salt=b"weave-ryu hello", n=1 << 14, r=8, p=1, dklen=32)


class RecordSeal:
    """Signs the own record, and checks those of others.

    Args:
        key: of the gateways.
        is_needed: records without a seal are not believed.
    """

    def __init__(self, key: bytes, *, is_needed: bool = True) -> None:
        self._key = derive(key, b"weave-ryu record")
        self._is_needed = is_needed

    def signed(self, record: GatewayRecord) -> GatewayRecord:
        """The record with its seal."""
        return replace(record, seal=self._digest(record))

    def may_be(self, record: GatewayRecord) -> bool:
        """Whether a gateway has made it."""
        if not record.seal:
            return not self._is_needed
        return hmac.compare_digest(record.seal.encode(), self._digest(record).encode())

    def _digest(self, record: GatewayRecord) -> str:
        content = encode([replace(record, seal="")])
        return hashlib.blake2b(content, digest_size=DIGEST_BYTES, key=self._key).hexdigest()


@dataclass(frozen=True, slots=True)
class Opened:
    """A message without its seal.

    Args:
        payload: what was sealed.
        is_trusted: a gateway has said it, to us, for the first time; or there is no key.
    """

    payload: bytes
    is_trusted: bool


@dataclass(slots=True)
class _Heard:
    """Counters of one sender: the highest, and a bit for each of the last `WINDOW`."""

    highest: int = 0
    seen: int = 0

    def is_new(self, counter: int) -> bool:
        ahead = counter - self.highest
        return ahead > 0 or (ahead > -WINDOW and not self.seen >> -ahead & 1)

    def note(self, counter: int) -> None:
        ahead = counter - self.highest
        if ahead > 0:
            shifted = self.seen << ahead if ahead < WINDOW else 0
            self.seen = (shifted | 1) & (1 << WINDOW) - 1
            self.highest = counter
        else:
            self.seen |= 1 << -ahead


class MessageSeal:
    """Seals and opens messages.

    Args:
        own: this peer.
        key: of the gateways; None: nothing is sealed, and everything is trusted.
        first: the counter begins there; above what earlier lives have reached.
        is_needed: what has no seal is not trusted.
    """

    def __init__(
        self, own: PeerName, key: bytes | None, first: int, *, is_needed: bool = True
    ) -> None:
        self._own = own
        self._start = None
        if key is not None:
            use = derive(key, b"weave-ryu gossip")
            self._start = hashlib.blake2b(digest_size=DIGEST_BYTES, key=use)
        self._counter = first
        self._is_needed = is_needed
        self._heard: dict[PeerName, _Heard] = {}

    def seal(self, channel: str, payload: bytes, to: PeerName | None) -> bytes:
        """A JSON object with its seal.

        Args:
            channel: of the gossip.
            payload: the object; empty = nothing to say.
            to: whom it is for; None: all.
        """
        if self._start is None or not payload:
            return payload
        self._counter += 1
        digest = self._digest(channel, self._own, to, self._counter, payload)
        return payload[:-1] + _HEAD + f"{self._counter:016x}{digest}".encode() + _TAIL

    def open(self, channel: str, source: PeerName, payload: bytes, *, is_for_all: bool) -> Opened:
        """Take the seal off, and check it.

        Args:
            channel: of the gossip.
            source: who says that it has made it.
            payload: as it came.
            is_for_all: it was broadcast.
        """
        found = _SEAL.fullmatch(payload, max(0, len(payload) - _SEAL_BYTES))
        if found is None:
            return Opened(payload, self._start is None or not self._is_needed)
        body = payload[: found.start()] + b"}"
        if self._start is None:
            return Opened(body, True)
        counter = int(found[1], 16)
        digest = self._digest(channel, source, None if is_for_all else self._own, counter, body)
        heard = self._heard.get(source) or _Heard()
        is_right = hmac.compare_digest(found[2], digest.encode()) and heard.is_new(counter)
        if is_right:
            heard.note(counter)
            self._heard[source] = heard
        return Opened(body, is_right)

    def _digest(
        self, channel: str, source: PeerName, to: PeerName | None, counter: int, body: bytes
    ) -> str:
        if self._start is None:
            raise LocalProtocolError("there is no key")
        made = self._start.copy()
        made.update(source.to_bytes6() + (_ALL if to is None else to.to_bytes6()))
        made.update(counter.to_bytes(8, "big") + len(channel).to_bytes(1, "big"))
        made.update(channel.encode() + body)
        return made.hexdigest()
