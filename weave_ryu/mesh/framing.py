"""Bytes of a TCP stream cut into what the protocol reads: fixed runs and length-prefixed messages.

A length over the limit is refused from the four bytes of the prefix, before anything is kept for it
(mesh/protocol_crypto.go).
"""

from __future__ import annotations

from weave_ryu.errors import LocalProtocolError, RemoteProtocolError

MAX_MESSAGE_BYTES = 10 * 1024 * 1024
PREFIX_BYTES = 4


def frame(message: bytes) -> bytes:
    """A message with its length prefix."""
    if len(message) > MAX_MESSAGE_BYTES:
        raise LocalProtocolError(f"a message of {len(message)} bytes, over {MAX_MESSAGE_BYTES}")
    return len(message).to_bytes(PREFIX_BYTES, "big") + message


class StreamBuffer:
    """Keeps what has come and is not yet read."""

    __slots__ = ("_bytes", "max_message_bytes")

    def __init__(self, max_message_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._bytes = bytearray()
        self.max_message_bytes = max_message_bytes

    def __len__(self) -> int:
        return len(self._bytes)

    def append(self, data: bytes) -> None:
        """Keep more."""
        self._bytes += data

    def clear(self) -> None:
        """Forget everything."""
        self._bytes.clear()

    def take(self, size: int) -> bytes | None:
        """That many bytes, or None as long as they are not there."""
        if len(self._bytes) < size:
            return None
        taken = bytes(self._bytes[:size])
        del self._bytes[:size]
        return taken

    def peek(self, size: int) -> bytes:
        """Up to that many bytes, kept."""
        return bytes(self._bytes[:size])

    def take_message(self) -> bytes | None:
        """The next message without its prefix, or None as long as it is not all there.

        Raises:
            RemoteProtocolError: the prefix announces more than the limit.
        """
        if len(self._bytes) < PREFIX_BYTES:
            return None
        size = int.from_bytes(self._bytes[:PREFIX_BYTES], "big")
        if size > self.max_message_bytes:
            raise RemoteProtocolError(
                "message-too-long", f"{size} bytes announced, over {self.max_message_bytes}"
            )
        if len(self._bytes) < PREFIX_BYTES + size:
            return None
        message = bytes(self._bytes[PREFIX_BYTES : PREFIX_BYTES + size])
        del self._bytes[: PREFIX_BYTES + size]
        return message
