"""The seeded bugs: each a change of one place in the product's source.

Those with `was_real` were in the product until the simulator found them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """A bug.

    Args:
        name: of it, in words.
        path: the file, from the repository's root.
        old: text that occurs in it exactly once.
        new: what replaces it.
        judge: who must catch it: `sim`, or where no seed shows it `model G,F` (gateways, faults),
            `model frames`, or `story PATH` (below tests/unit).
        was_real: the product had it.
        seeds: within so many it is to be caught.
    """

    name: str
    path: str
    old: str
    new: str
    judge: str = "sim"
    was_real: bool = False
    seeds: int = 300


PORT, CORE = "weave_ryu/gateway/port.py", "weave_ryu/gateway/core.py"
KEEPER, CANDIDACY = "weave_ryu/gateway/gatekeeper.py", "weave_ryu/gateway/candidacy.py"
HANDOVER, LOOKOUT = "weave_ryu/gateway/handover.py", "weave_ryu/gateway/lookout.py"
SHARING, HANDING = "weave_ryu/gateway/sharing.py", "weave_ryu/gateway/handing.py"
SEGMENTS, COORDINATOR = "weave_ryu/mesh/segments.py", "weave_ryu/shell/coordinator.py"
PERMITS, RULES = "weave_ryu/pipeline/permits.py", "weave_ryu/pipeline/rules.py"
DETECTION, ELECTION = "weave_ryu/gateway/detection.py", "weave_ryu/gateway/election.py"
REGISTRY, INGRESS = "weave_ryu/gateway/registry.py", "weave_ryu/pipeline/ingress.py"

MUTANTS = (
    Mutant(
        "a segment is a leaf of its own tree",
        RULES,
        "if gateway.short_id != peer.short_id and gateway.segment not in peer.lets_in",
        "if gateway.segment not in peer.lets_in",
        judge="model frames",
    ),
    Mutant(
        "frames of the mesh are let in when the segment returns them",
        INGRESS,
        "(Term(t.SRC_PEER, segment), Term(t.ORIGIN, origin)),",
        "(Term(t.SRC_PEER, segment),),",
    ),
    Mutant(
        "a permit never runs out",
        PERMITS,
        "match, actions, Kind.PERMIT, port.number, why, hard_timeout_s\n",
        "match, actions, Kind.PERMIT, port.number, why, 86400\n",
    ),
    Mutant(
        "a closed port lets in",
        INGRESS,
        """            (Term(Field.IN_PORT, gateway.number),),
            (),
            Kind.GATEWAY,
            gateway.number,
            f"{gateway.name} is not active: nothing comes in""",
        """            (Term(Field.IN_PORT, gateway.number),),
            (Load(t.SRC_PEER, gateway.short_id), Goto(t.SEGMENT_SOURCE.name)),
            Kind.GATEWAY,
            gateway.number,
            f"{gateway.name} is not active: nothing comes in""",
    ),
    Mutant(
        "nobody claims the segment",
        PORT,
        "            self._claiming.settle(self.phase, self.epoch, "
        "self.candidacy.is_taken(now), now)",
        "            pass",
    ),
    Mutant(
        "of two claims the one of before is believed",
        SEGMENTS,
        "epoch <= epoch_of(known.version) <= MAX_EPOCH",
        "epoch > epoch_of(known.version)",
    ),
    Mutant(
        "announces nothing",
        SHARING,
        "        self._emit(Announce(port, macs))",
        "        pass",
    ),
    Mutant(
        "renews without asking the clock",
        KEEPER,
        "        if age_s < self._timers.permit_s:",
        "        if True:",
    ),
    Mutant(
        "nobody yields to a higher epoch",
        ELECTION,
        "return own.epoch < other.epoch",
        "return False",
    ),
    Mutant(
        "the comparison of epochs is swapped",
        ELECTION,
        "return own.epoch < other.epoch",
        "return own.epoch > other.epoch",
    ),
    Mutant(
        "records of before win over newer ones",
        REGISTRY,
        "if old is not None and record.sequence <= old.sequence:",
        "if old is not None and record.sequence >= old.sequence:",
    ),
    Mutant(
        "nobody yields to the same epoch",
        ELECTION,
        "return _order(theirs) < _order(mine)",
        "return False",
    ),
    Mutant(
        "nobody yields",
        CANDIDACY,
        "if yields(own, Claim(other.candidate, record.epoch)):",
        "if False:",
    ),
    Mutant(
        "takes over from a silent daemon without waiting for its permits",
        DETECTION,
        "return Judgement(Verdict.DAEMON_SILENT, remaining, age_s)",
        "return Judgement(Verdict.DAEMON_SILENT, -1.0, age_s)",
    ),
    Mutant(
        "takes over before the permits have run out",
        DETECTION,
        "remaining = timers.take_over_s - age_s",
        "remaining = 2 * timers.silent_s - age_s",
    ),
    Mutant(
        "takes a broken way for a dead gateway",
        LOOKOUT,
        "                found.extend(self._alive(record, segment))\n",
        """                from dataclasses import replace
                from weave_ryu.gateway.detection import Verdict
                dead = Judgement(Verdict.HOST_DEAD, signs.bfd_at - now)
                is_dead = signs.bfd is Bfd.DOWN
                for other in self._alive(record, segment):
                    found.append(replace(other, judgement=dead) if is_dead else other)
""",
        judge="model 2,1",
    ),
    Mutant(
        "goes on forwarding after it has handed over",
        HANDOVER,
        "gate=Gate.DRAINING)",
        "gate=Gate.OPEN)",
    ),
    Mutant(
        "does not outlive what is told of its last life",
        REGISTRY,
        "        self._sequence = record.sequence\n        for",
        "        return False\n        for",
    ),
    Mutant(
        "who is left of two does not announce again",
        SHARING,
        "if port.spec.segment in change.ended and port.may_announce:",
        "if False:",
        judge="story gateway",
        was_real=True,
    ),
    Mutant(
        "a segment is held where it was",
        COORDINATOR,
        "            if segments.isdisjoint(edge):",
        "            if True:",
        judge="story shell/test_coordinator.py",
    ),
    Mutant(
        "who goes on after a failed hand-over does not outbid the successor's claim",
        HANDING,
        "        if self.port.epoch < epoch < OUTLIVED_BELOW:",
        "        if False:",
        judge="story gateway",
    ),
    Mutant(
        "nobody introduces silent containers",
        CORE,
        "        self._commands.extend(Introduce(name) for name in sorted(callers - {self.own}))",
        "        self._commands.extend(())",
        was_real=True,
        seeds=1200,
    ),
    Mutant(
        "a wish that comes while the gate closes is dropped",
        PORT,
        "        self.wishes.want(intent, said, word, now)",
        "        if not isinstance(self.phase, Closing):\n"
        "            self.wishes.want(intent, said, word, now)",
        was_real=True,
    ),
)
