"""The fastest timers with which keepalived's roles stay where they are while nothing fails."""

from __future__ import annotations

from collections.abc import Callable

from bench.plain import KERNEL
from bench.rivals import RivalBench, RivalLab
from weave_ryu.errors import LabError
from weave_ryu.lab.failover import Event
from weave_ryu.lab.lab import Lab, Progress
from weave_ryu.lab.peer import LabPeer

ADVERTS_S = (0.1, 0.05, 0.02, 0.01)
"""From the slowest; VRRP counts in hundredths of a second, so that the last is its shortest."""

WATCH_S = 8.0
"""Traffic without a failure."""


def fastest(tell: Progress, prefix: str) -> tuple[float, list[str]]:
    """Shorten the time between advertisements until roles move though nothing has failed.

    Args:
        tell: told what is going on.
        prefix: of the labs that are made for it.

    Returns:
        The shortest time with which none moved, in seconds, and what was found with each.
    """
    best, notes = ADVERTS_S[0], []
    for advert_s in ADVERTS_S:
        moves = _moves(tell, prefix, advert_s)
        tell(f"keepalived, {advert_s:g} s: {moves or 'no'} changes of role without a failure")
        notes.append(
            f"keepalived with {advert_s:g} s between advertisements: {moves or 'no'} changes of "
            f"role in {WATCH_S:.0f} s of the same traffic without a failure."
        )
        # Two gateways that both forward are a loop of plain bridges: no need to try worse.
        if moves:
            break
        best = advert_s
    return best, notes


def _moves(tell: Progress, prefix: str, advert_s: float) -> int:
    """How often a role changed that should have stayed."""
    with RivalLab(prefix, KERNEL, advert_s=advert_s) as lab:
        before = 0

        def strike(_lab: Lab, _active: LabPeer, _standby: LabPeer) -> Callable[[], None]:
            nonlocal before
            before = lab.role_changes()
            return lambda: None

        try:
            RivalBench(lab, tell).measure(Event("none", "nothing happens", strike, WATCH_S))
        except LabError:
            # It did not even come to rest.
            return max(1, lab.role_changes() - before)
        return lab.role_changes() - before
