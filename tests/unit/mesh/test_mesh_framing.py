"""Length prefixes."""

from __future__ import annotations

import pytest

from weave_ryu.errors import LocalProtocolError, RemoteProtocolError
from weave_ryu.mesh.framing import MAX_MESSAGE_BYTES, StreamBuffer, frame


def test_a_message_is_there_when_its_last_byte_is():
    buffer = StreamBuffer()
    for byte in frame(b"hello")[:-1]:
        buffer.append(bytes([byte]))
        assert buffer.take_message() is None
    buffer.append(b"o")
    assert buffer.take_message() == b"hello"
    assert len(buffer) == 0


def test_a_length_over_ten_mebibytes_is_refused_from_the_prefix():
    buffer = StreamBuffer()
    buffer.append((MAX_MESSAGE_BYTES + 1).to_bytes(4, "big"))
    with pytest.raises(RemoteProtocolError, match="message-too-long"):
        buffer.take_message()
    allowed = StreamBuffer()
    allowed.append(MAX_MESSAGE_BYTES.to_bytes(4, "big"))
    assert allowed.take_message() is None


def test_we_send_nothing_over_the_limit():
    with pytest.raises(LocalProtocolError):
        frame(bytes(MAX_MESSAGE_BYTES + 1))
