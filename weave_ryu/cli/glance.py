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
    """Who forwards on each segment, and whether somebody else could, as the daemon sees it."""
    if not gateways:
        return "this peer has no gateway port"
    lines = {gateway["segment"]: gateway["headline"] for gateway in gateways}
    return "; ".join(_line(name, line) for name, line in lines.items())


def _line(segment: str, line: dict[str, str]) -> str:
    return f"{segment}: {line['who']}; {line['could']}"


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
                gateway["believed"],
                gateway["epoch"],
                "yes" if gateway["ready"] else "no",
                age(gateway["since"], now),
                f"{gateway['macs_local']}/{gateway['macs_remote']}",
                f"{gateway['why']}; next: {gateway['next']}{_unkept(gateway.get('wish'))}"
                f"{_fence(gateway.get('fence'))}{_wiring(gateway)}",
            ]
        )
        for name, other in sorted(gateway["peer_states"].items()):
            signs = f"BFD {other['bfd']}, lease {other['lease_age_s']} s old: {other['verdict']}"
            found.append(
                [
                    gateway["segment"],
                    f"{other['nick_name'] or name} {other['port']}",
                    other["role"],
                    other["believed"],
                    other["epoch"],
                    _could(other),
                    "",
                    "",
                    signs if _is_as_told(other) else f"{other['why']}; {signs}",
                ]
            )
    return found


def _unkept(wish: dict[str, str] | None) -> str:
    """What was asked for and is not so; daemons of before do not tell."""
    if wish is None:
        return ""
    if wish["outcome"] == "taken back":
        return f"; {wish['asked']} was taken back: {wish['why']}"
    return f"; asked for: {wish['asked']}, not done yet" if wish["outcome"] == "pending" else ""


def _fence(fence: dict[str, Any] | None) -> str:
    """What closes a port of the kernel datapath; with another one there is none."""
    if fence is None:
        return ""
    return f"; fence: {fence['state']}" + (f" ({fence['why']})" if fence["why"] else "")


def _wiring(gateway: Gateway) -> str:
    """What is wired wrong, where the state's reason does not say it already."""
    texts = [text for text in gateway.get("wiring", ()) if text not in gateway["why"]]
    return "".join(f"; wired wrong: {text}" for text in texts)


ELSEWHERE = ("SEGMENT", "GATEWAY", "PORT", "ROLE", "STATE", "EPOCH", "READY", "WHY")


def elsewhere(mesh: dict[str, Any]) -> tuple[str, tuple[str, ...], list[list[object]]]:
    """Headline, headers and rows for a peer that is no gateway itself: what the others tell.

    Args:
        mesh: the document of ``GET /mesh``.
    """
    words, found = ["this peer has no gateway port"], list[list[object]]()
    for segment in mesh["segments"]:
        words.append(_line(segment["name"], segment["headline"]))
        found += [
            [
                segment["name"],
                gateway["nick_name"] or gateway["peer"],
                gateway["port"],
                gateway["role"],
                gateway["believed"],
                gateway["epoch"],
                _could(gateway),
                gateway["why"],
            ]
            for gateway in segment["gateways"]
        ]
    return "; ".join(words), ELSEWHERE, found


def _could(other: dict[str, Any]) -> str:
    """Whether another gateway could take over; of one that forwards nobody asks."""
    if other["believed"] == "active":
        return ""
    return "yes" if other["could"] else "no"


def _is_as_told(other: dict[str, Any]) -> bool:
    """It is what it said last: nothing speaks against it."""
    return bool(other["believed"] == other["state"])


def age(since: str, now: datetime) -> str:
    """How long ago a time of the API was, in words of one unit."""
    seconds = max(0, int((now - datetime.fromisoformat(since)).total_seconds()))
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit} ago"
    return f"{seconds} s ago"
