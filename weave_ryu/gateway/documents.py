"""Small JSON documents that peers send each other. Sans-IO."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from weave_ryu.errors import RemoteProtocolError

MAX_BYTES = 1024


def write(document: Mapping[str, object]) -> bytes:
    """As short as JSON can be."""
    return json.dumps(document, separators=(",", ":")).encode()


def read(payload: bytes, channel: str) -> dict[str, Any]:
    """Read what anybody may have sent.

    Args:
        payload: of the message.
        channel: names it in the error.

    Raises:
        RemoteProtocolError: it is no JSON object of at most `MAX_BYTES`.
    """
    try:
        document = json.loads(payload) if len(payload) <= MAX_BYTES else None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise RemoteProtocolError(channel, "not a JSON object of at most 1 KiB")
    return document
