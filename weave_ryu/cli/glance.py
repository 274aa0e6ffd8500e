"""How gateways are shown: a line for each segment, and a table."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

HEADERS = ("SEGMENT", "PORT", "ROLE", "STATE", "EPOCH", "READY", "SINCE", "MACS HERE/MESH", "WHY")

SPARE = ("SEGMENT", "ROLE", "SINCE", "MACS HERE/MESH")
"""What a narrow terminal does without; the segment stands in the headline."""


class Shown(NamedTuple):
    """A table of gateways: headline, headers, rows, and the columns that may be left out."""

    title: str
    headers: tuple[str, ...]
    rows: list[list[object]]
    spare: tuple[str, ...]


Gateway = dict[str, Any]


def shown(gateways: list[Gateway], mesh: dict[str, Any] | None) -> Shown:
    """What to show.

    Args:
        gateways: of this peer.
        mesh: the document of ``GET /mesh`` if there are none.
    """
    if mesh is not None:
        return Shown(*elsewhere(mesh), ("ROLE",))
    return Shown(headline(gateways), HEADERS, rows(gateways), SPARE)


def headline(gateways: list[Gateway]) -> str:
    """Who forwards on each segment, and whether somebody else could."""
    if not gateways:
        return "this peer has no gateway port"
    return "; ".join(_segment(gateway) for gateway in gateways)


def _segment(gateway: Gateway) -> str:
    others = gateway["peer_states"]
    active = [f"{gateway['port']} here"] if gateway["state"] == "active" else []
    active += [_label(name, other) for name, other in others.items() if other["state"] == "active"]
    ready = sum(1 for other in others.values() if other["ready"])
    ready += gateway["state"] == "standby" and gateway["ready"]
    if not active:
        who = "NOBODY FORWARDS"
    elif len(active) == 1:
        who = f"{active[0]} forwards"
    else:
        who = f"{len(active)} FORWARD: {', '.join(active)}"
    could = f"{ready} more could" if ready else "nobody else could"
    return f"{gateway['segment']}: {who}, {could}"


def rows(gateways: list[Gateway], now: datetime | None = None) -> list[list[object]]:
    """The gateway ports, the other gateways of their segments below."""
    now = now or datetime.now(UTC)
    found: list[list[object]] = []
    for gateway in gateways:
        found.append(
            [
                gateway["segment"],
                gateway["port"],
                gateway["role"],
                gateway["state"],
                gateway["epoch"],
                "yes" if gateway["ready"] else "no",
                age(gateway["since"], now),
                f"{gateway['macs_local']}/{gateway['macs_remote']}",
                f"{gateway['reason']}; next: {gateway['next']}",
            ]
        )
        for name, other in sorted(gateway["peer_states"].items()):
            found.append(
                [
                    gateway["segment"],
                    _label(name, other),
                    other["role"],
                    other["state"],
                    other["epoch"],
                    _could(other),
                    "",
                    "",
                    f"BFD {other['bfd']}, lease {other['lease_age_s']} s old: {other['verdict']}",
                ]
            )
    return found


ELSEWHERE = ("SEGMENT", "GATEWAY", "PORT", "ROLE", "STATE", "EPOCH", "READY", "WHY")


def elsewhere(mesh: dict[str, Any]) -> tuple[str, tuple[str, ...], list[list[object]]]:
    """Headline, headers and rows for a peer that is no gateway itself: what the others tell.

    Args:
        mesh: the document of ``GET /mesh``.
    """
    words, found = ["this peer has no gateway port"], list[list[object]]()
    for segment in mesh["segments"]:
        gateways = segment["gateways"]
        active = [g for g in gateways if g["state"] == "active"]
        names = ", ".join(f"{g['nick_name'] or g['peer']} {g['port']}" for g in active)
        forwards = "NOBODY FORWARDS" if not active else f"{names} forwards"
        if len(active) > 1:
            forwards = f"{len(active)} FORWARD: {names}"
        words.append(f"{segment['name']}: {forwards}")
        found += [
            [
                segment["name"],
                gateway["nick_name"] or gateway["peer"],
                gateway["port"],
                gateway["role"],
                gateway["state"],
                gateway["epoch"],
                _could(gateway),
                gateway["reason"],
            ]
            for gateway in gateways
        ]
    return "; ".join(words), ELSEWHERE, found


def _could(other: dict[str, Any]) -> str:
    """Whether another gateway could take over; of one that forwards nobody asks."""
    if other["state"] == "active":
        return ""
    return "yes" if other["ready"] else "no"


def _label(name: str, other: dict[str, Any]) -> str:
    return f"{other['nick_name'] or name} {other['port']}"


def age(since: str, now: datetime) -> str:
    """How long ago a time of the API was, in words of one unit."""
    seconds = max(0, int((now - datetime.fromisoformat(since)).total_seconds()))
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit} ago"
    return f"{seconds} s ago"
