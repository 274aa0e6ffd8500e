"""Cuts ways through a lab's underlay, one direction at a time, with nft(8) in the bridge family."""

from __future__ import annotations

import ipaddress
import subprocess
from collections.abc import Iterable
from pathlib import Path

from weave_ryu.errors import LabError
from weave_ryu.namespaces import run_inside

_TABLE = "bridge weave_ryu_cuts"


def cut(
    underlay: Path, ways: Iterable[tuple[str, str]], percent: int = 100, match: str = ""
) -> None:
    """Drop what goes from each first address to the second; earlier cuts end.

    Args:
        underlay: the namespace with the lab's bridge.
        ways: pairs of IPv4 addresses.
        percent: how many of a hundred packets are dropped, drawn at random.
        match: only what this expression of nft takes, such as ``udp dport 6784``.

    Raises:
        LabError: nft refused.
    """
    lot = "" if percent >= 100 else f"numgen random mod 100 < {percent} "
    drops = "\n".join(
        f"ip saddr {ipaddress.IPv4Address(a)} ip daddr {ipaddress.IPv4Address(b)} {match} {lot}drop"
        for a, b in ways
    )
    chain = f"chain forward {{ type filter hook forward priority 0\n{drops}\n}}"
    # Named first, so that it is there to be deleted.
    _nft(underlay, f"table {_TABLE}\ndelete table {_TABLE}\ntable {_TABLE} {{\n{chain}\n}}\n")


def both_ways(one: str, others: Iterable[str]) -> list[tuple[str, str]]:
    """The ways between an address and others, for `cut`."""
    return [way for other in others for way in ((one, other), (other, one))]


def heal(underlay: Path) -> None:
    """End all cuts.

    Raises:
        LabError: nft refused.
    """
    _nft(underlay, f"table {_TABLE}\ndelete table {_TABLE}\n")


def _nft(underlay: Path, script: str) -> None:
    done = run_inside(
        underlay,
        lambda: subprocess.run(
            ["nft", "-f", "-"], input=script, capture_output=True, text=True, check=False
        ),
    )
    if done.returncode:
        raise LabError("nft", done.stderr.strip())
