"""What peers say to each other about MACs that are at two places: JSON on a channel. Sans-IO."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from weave_ryu.errors import RemoteProtocolError
from weave_ryu.gateway import documents
from weave_ryu.gateway.records import SEGMENT_PATTERN

CHANNEL = "moves"
MAX_AGE_S = 1e6

_MAC_HEX = re.compile(r"[0-9a-f]{12}")
_MAX_NUMBER = 1 << 53


@dataclass(frozen=True, slots=True)
class Ask:
    """When was a MAC heard last at a container's port, or behind another segment?

    Args:
        segment: where it was seen.
        mac: 12 hex digits.
        number: comes back in the answer.
        is_holder: whoever is asked is known to have it; else all are asked.
        behind: the segment behind which whoever is asked is known to have it; empty: at a port.
    """

    segment: str
    mac: str
    number: int
    is_holder: bool
    behind: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """It was heard so long ago.

    Args:
        segment: as asked.
        mac: as asked.
        number: as asked.
        age_s: seconds; None: it is not known there.
        is_here: where that peer was asked about, or at a container's port of it; else behind
            another peer.
    """

    segment: str
    mac: str
    number: int
    age_s: float | None
    is_here: bool


@dataclass(frozen=True, slots=True)
class HasMoved:
    """A MAC is on a segment now: forget where it was."""

    segment: str
    mac: str


Message = Ask | Answer | HasMoved


def encode(message: Message) -> bytes:
    """For the channel."""
    document: dict[str, object] = {"segment": message.segment, "mac": message.mac}
    match message:
        case Ask(behind=str(behind)) if behind:
            document |= {"ask_behind": message.number, "behind": behind}
        case Ask():
            document |= {"ask": message.number, "holder": message.is_holder}
        case Answer():
            document |= {
                "answer": message.number, "age": message.age_s, "here": message.is_here,
            }  # fmt: skip
        case HasMoved():
            document |= {"moved": True}
    return documents.write(document)


def decode(payload: bytes) -> Message | None:
    """From the channel; None if it is of a kind that is not known (a later version's).

    Raises:
        RemoteProtocolError: it is malformed.
    """
    document = documents.read(payload, CHANNEL)
    segment, mac = _text(document, "segment", SEGMENT_PATTERN), _text(document, "mac", _MAC_HEX)
    if "moved" in document:
        return HasMoved(segment, mac)
    if "ask" in document:
        return Ask(segment, mac, _number(document, "ask"), _flag(document, "holder"))
    if "ask_behind" in document:
        number = _number(document, "ask_behind")
        return Ask(segment, mac, number, True, _text(document, "behind", SEGMENT_PATTERN))
    if "answer" in document:
        number, is_here = _number(document, "answer"), _flag(document, "here")
        return Answer(segment, mac, number, _age(document), is_here)
    return None


def _text(document: dict[str, Any], key: str, pattern: re.Pattern[str]) -> str:
    value = document.get(key)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise RemoteProtocolError("moves", f"{key} {str(value)[:64]!r} is not of the right form")
    return value


def _flag(document: dict[str, Any], key: str) -> bool:
    value = document.get(key)
    if not isinstance(value, bool):
        raise RemoteProtocolError("moves", f"{key} is missing or not a truth value")
    return value


def _age(document: dict[str, Any]) -> float | None:
    value = document.get("age")
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is not None and not (is_number and 0 <= value <= MAX_AGE_S):
        raise RemoteProtocolError("moves", f"age {str(value)[:64]!r} is not a time")
    return value


def _number(document: dict[str, Any], key: str) -> int:
    value = document[key]
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < _MAX_NUMBER:
        raise RemoteProtocolError("moves", f"{key} {str(value)[:64]!r} is not a number")
    return value
