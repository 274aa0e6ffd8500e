"""Who may forward: the order of candidates, and who yields when two forward."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from weave_ryu.names import PeerName


@dataclass(frozen=True, slots=True)
class Candidate:
    """A gateway that may take over.

    Args:
        name: of the peer.
        priority: the highest is first.
        damped: it has lost the role by a fault too often lately, and comes after all others.
    """

    name: PeerName
    priority: int
    damped: bool = False


@dataclass(frozen=True, slots=True)
class Claim:
    """A gateway that forwards."""

    name: PeerName
    epoch: int
    priority: int


def rank(own: Candidate, others: Iterable[Candidate]) -> int:
    """How many candidates come first: highest priority, then lowest name."""
    return sum(1 for other in others if _order(other) < _order(own))


def yields(own: Claim, other: Claim) -> bool:
    """True if `own` must stop because `other` forwards, too.

    The higher epoch wins: it was taken later, with a reason. Two that took over at the same moment,
    in two parts of a mesh, have the same epoch: then the order of candidates decides.
    """
    if own.epoch != other.epoch:
        return own.epoch < other.epoch
    mine, theirs = Candidate(own.name, own.priority), Candidate(other.name, other.priority)
    return _order(theirs) < _order(mine)


def _order(candidate: Candidate) -> tuple[bool, int, PeerName]:
    return candidate.damped, -candidate.priority, candidate.name
