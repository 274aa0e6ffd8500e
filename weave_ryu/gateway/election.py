"""Who may forward: the order of candidates, and who yields when two forward."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from weave_ryu.names import PeerName


@dataclass(frozen=True, slots=True)
class Candidate:
    """A gateway that may take over.

    Args:
        name: of the peer.
        priority: the highest is first.
        damped: it has lost the role by a fault too often lately, and comes after the others.
        word: number of the word by which an operator made it active, see `records.PortRecord`; 0 =
            none, or not any more.
    """

    name: PeerName
    priority: int
    damped: bool = False
    word: int = 0


@dataclass(frozen=True, slots=True)
class Claim:
    """A gateway that forwards."""

    candidate: Candidate
    epoch: int


def rank(own: Candidate, others: Iterable[Candidate]) -> int:
    """How many candidates come first.

    An operator's word stands above all else, the newest first; of two words of the same moment
    that of the higher name. Among the others the highest priority, then the lowest name.
    """
    return sum(1 for other in others if _order(other) < _order(own))


def yields(own: Claim, other: Claim) -> bool:
    """True if `own` must stop because `other` forwards, too.

    The higher epoch wins: it was taken later, with a reason. Two that took over at the same moment,
    in two parts of a mesh, have the same epoch: then the order of candidates decides.
    """
    if own.epoch != other.epoch:
        return own.epoch < other.epoch
    # Damping is for those that stand by: two that count each other's faults would both yield.
    mine, theirs = replace(own.candidate, damped=False), replace(other.candidate, damped=False)
    return _order(theirs) < _order(mine)


def _order(candidate: Candidate) -> tuple[int, int, bool, int, PeerName]:
    word, name = candidate.word, candidate.name
    return -word, -name if word else 0, candidate.damped, -candidate.priority, name
