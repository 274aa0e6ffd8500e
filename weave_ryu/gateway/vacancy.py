"""Whether a segment has a forwarder, and from when on it has none. Sans-IO."""

from __future__ import annotations

from collections.abc import Sequence

from weave_ryu.gateway.detection import Verdict
from weave_ryu.gateway.election import Candidate, rank
from weave_ryu.gateway.role import State
from weave_ryu.gateway.surroundings import Other, Outlook
from weave_ryu.names import PeerName


class Vacancy:
    """Remembers since when a segment seems to be vacant."""

    def __init__(self, segment: str) -> None:
        self._segment = segment
        self._since: float | None = None
        self._others: Sequence[Other] = ()
        self._taken: Outlook | None = None

    def reset(self) -> None:
        """What was seen before says nothing any more."""
        self._since = None

    def taken(self, others: Sequence[Other]) -> Outlook | None:
        """Never, and who forwards, in a clause; None if nobody who lives does.

        Args:
            others: the other gateways of the segment in this mesh. The same sequence has the same
                content each time: nearly always nothing has changed.
        """
        if others is not self._others:
            why = self._forwarder(others)
            self._others, self._taken = others, None if why is None else Outlook(None, why)
        if self._taken is not None:
            self._since = None
        return self._taken

    def look(
        self, others: Sequence[Other], elsewhere: Sequence[PeerName], now: float
    ) -> tuple[float | None, str]:
        """When nobody forwards, monotonic seconds, or None; and why, in a clause.

        Args:
            others: the other gateways of the segment in this mesh.
            elsewhere: those that say on the segment that they forward for another mesh.
            now: monotonic seconds.
        """
        taken = self.taken(others)
        if taken is not None:
            return None, taken.why
        leaving, claims = _leaving_and_claims(others)
        if claims:
            self._since = None
            last = max(claims, key=lambda other: other.judgement.vacant_in_s or 0.0)
            judged = last.judgement
            why = f"{last.name}: {judged.verdict}; nothing heard for {judged.silent_s:.1f} s"
            return now + (judged.vacant_in_s or 0.0), why
        if any(other.judgement.vacant_in_s is None for other in leaving):
            # Its successor is about to say that it forwards.
            self._since = None
            return None, f"{leaving[0].name} hands over"
        in_s = max((other.judgement.vacant_in_s or 0.0 for other in leaving), default=0.0)
        if in_s > 0.0:
            # It fell silent before it had handed over: its permits must run out as any other's.
            return now + in_s, f"{leaving[0].name}: silent in the midst of a hand-over"
        if self._since is None:
            self._since = now
        if elsewhere:
            names = ", ".join(str(name) for name in elsewhere)
            return self._since, (
                f"{names} forwards for another part of the mesh, none for this one"
            )
        return self._since, _who_went(others) or f"no gateway of {self._segment} forwards"

    @staticmethod
    def _forwarder(others: Sequence[Other]) -> str | None:
        _, claims = _leaving_and_claims(others)
        # An operator's word stands above older claims: `activate` has seen to them already.
        alive = [other for other in claims if other.judgement.vacant_in_s is None]
        if not alive:
            return None
        first = max(alive, key=lambda other: other.record.epoch)
        verdict = first.judgement.verdict
        how = "" if verdict is Verdict.ALIVE else f" ({verdict})"
        return f"{first.name} forwards with epoch {first.record.epoch}{how}"

    def outlook(
        self,
        own: Candidate,
        others: Sequence[Other],
        elsewhere: Sequence[PeerName],
        stagger_s: float,
        now: float,
    ) -> Outlook:
        """When a port would open if nothing changed, and why.

        Args:
            own: this port.
            others: as for `look`.
            elsewhere: as for `look`.
            stagger_s: head start of each candidate before the next one.
            now: monotonic seconds.
        """
        vacant_at, why = self.look(others, elsewhere, now)
        if vacant_at is None:
            return Outlook(None, why)
        # One that still listens is about to open, too: all gateways may have started together.
        candidates = [
            other.candidate
            for other in others
            if other.is_fresh and (other.record.ready or other.record.state == State.ARMING)
        ]
        place = rank(own, candidates)
        if place:
            first = next(c.name for c in candidates if rank(c, candidates) == 0)
            why = f"{why}; {place} other candidate(s) first: {first}"
        head_start_s = place * stagger_s
        return Outlook(vacant_at + head_start_s, why, head_start_s)


def _who_went(others: Sequence[Other]) -> str:
    """What the one that forwarded last says of why it cannot any more; empty if it could."""
    last = max(others, key=lambda other: other.record.epoch, default=None)
    if last is None or not last.record.epoch:
        return ""
    is_hurt = last.record.state in (State.FAULT, State.BLOCKED)
    return f"{last.name}: {last.record.reason or last.record.state}" if is_hurt else ""


def _leaving_and_claims(others: Sequence[Other]) -> tuple[list[Other], list[Other]]:
    """Those that hand over, and those that say that they forward."""
    leaving = [other for other in others if other.record.state == State.DRAINING]
    handed = max((o.record.epoch for o in leaving if o.judgement.vacant_in_s is None), default=0)
    # A claim from before the one that hands over is that of a gateway long dead.
    return leaving, [o for o in others if o.record.is_active and o.record.epoch >= handed]
