"""Runs one schedule on one world and checks the invariants of DESIGN section 2."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from sim_faults import Striker, draw
from sim_traffic import Stream, Traffic
from sim_world import InvariantBroken, World

from weave_ryu.gateway.role import Role, State
from weave_ryu.pipeline.cookies import Kind, subject_cookie

LOOK_S = 0.05
RECOVER_S = 16.0
"""After the last fault: connections come back (3 s), ports that found nobody arm (4 s), peers that
were held are forgotten (10 s)."""
CALM_S = 3.0
OVERLAP_S = 0.25
"""Two automatic gateways of one segment may be open at once for so long in a hand-over: a message
and two answers of a switch."""
SLOW_OVERLAP_S = 1.0
MERGE_S = 2.0
"""After a cut has healed and the connection is back: time until one of two has yielded."""
COMMANDS_PER_S = 150


@dataclass
class Outcome:
    """What a run showed."""

    seed: int
    faults: list
    broken: InvariantBroken | None = None
    sometimes: Counter = field(default_factory=Counter)
    log: list = field(default_factory=list)


class Watch:
    """Looks at the world every few milliseconds of its time."""

    def __init__(self, world, striker):
        self.world, self.striker, self.clock = world, striker, world.clock
        self._overlap_s = 0.0
        self._excused_at = -100.0
        self._asleep_since = {}
        self._look()

    def _look(self):
        self.clock.after(LOOK_S, self._look)
        self._one_forwarder()
        self._fail_closed()
        self._standby_silent()

    def _one_forwarder(self):
        now = self.clock.now
        if self._is_excused():
            self._excused_at = now
        if len(self.world.open_gateways()) < 2 or now - self._excused_at < MERGE_S:
            self._overlap_s = 0.0
            return
        self._overlap_s += LOOK_S
        bound = SLOW_OVERLAP_S if self.striker.is_held("slow") else OVERLAP_S
        if self._overlap_s > bound + LOOK_S:
            who = ", ".join(self.world.open_gateways())
            raise InvariantBroken("one_forwarder", f"{who} for {self._overlap_s:.2f} s", now)

    def _is_excused(self):
        """The mesh is not whole, or somebody was told wrong, or wanted it so."""
        for edge in self.world.mesh.edges.values():
            if edge.is_cut:
                return True
            if edge.was_cut and not edge.is_established and self.world.mesh.is_possible(edge):
                return True
        for peer in self.world.peers.values():
            if peer.is_gateway and peer.role is Role.ACTIVE:
                return True
        alive = [x for x, p in self.world.peers.items() if p.is_gateway and p.daemon is not None]
        if alive and not set(alive) <= self.world.mesh.component(alive[0])[0]:
            return True
        # A false alarm counts only together with a silent daemon: both at once look like death.
        return self.striker.is_held("bfd")

    def _fail_closed(self):
        """A daemon that is dead or stopped forwards no more once its permits have run out."""
        now, world = self.clock.now, self.world
        limit_s = world.timers.permit_s + world.options.lag_s + 0.7
        for letter, peer in world.peers.items():
            if not peer.is_gateway:
                continue
            if peer.daemon is not None and not peer.daemon.is_paused:
                self._asleep_since.pop(letter, None)
                continue
            since = self._asleep_since.setdefault(letter, now)
            if now - since > limit_s and _permits(peer):
                raise InvariantBroken("fail_closed", f"{letter} is open without a daemon", now)

    def _standby_silent(self):
        for letter, peer in self.world.peers.items():
            if not peer.is_gateway or _permits(peer):
                continue
            taught = subject_cookie(Kind.LEARNT_PORT, 3)
            learnt = [k for k, v in peer.switch.tables.learnt.items() if v[1] == taught]
            if learnt:
                detail = f"{letter} is closed but knows hosts behind its port: {learnt[:2]}"
                raise InvariantBroken("standby_silent", detail, self.clock.now)


def _permits(peer):
    return [i for i in peer.switch.flows.values() if i.flow.kind == Kind.PERMIT]


def run(seed, options=None, faults=None, is_tracing=False):
    """One schedule, from the start of all peers to a calm stretch at the end."""
    drawn_options, drawn_faults = draw(seed)
    options = options or drawn_options
    faults = drawn_faults if faults is None else faults
    outcome = Outcome(seed, faults)
    world = World(options, seed)
    outcome.sometimes = world.sometimes
    world.is_tracing = is_tracing
    try:
        _run(world, faults)
    except InvariantBroken as broken:
        outcome.broken = broken
    except Exception as error:
        outcome.broken = InvariantBroken("crash", repr(error), world.clock.now)
        outcome.broken.__cause__ = error
    outcome.log = list(world.log)
    _count(world)
    return outcome


def _run(world, faults):
    striker = Striker(world)
    for fault in faults:
        striker.plan(fault)
    world.start()
    Watch(world, striker)
    world.clock.run(6.0)
    traffic = Traffic(world)
    traffic.say_hello()
    world.clock.run(7.0)
    for name, sender, receiver in (
        ("mesh to segment", "W-c1", "Host1"),
        ("segment to mesh", "Host1", "W-c1"),
        ("to a silent host", "W-c1", "Host2"),
        ("to a silent container", "Host1", "X-c1"),
    ):
        traffic.start(Stream(name, sender, receiver, 12))
    for sender in ("W-c1", "Host1"):
        traffic.start(Stream(f"broadcast of {sender}", sender, None, 6))
    over = max([fault.at + fault.for_s for fault in faults], default=8.0)
    world.clock.run(over + 0.1)
    striker.put_right()
    world.clock.run(over + RECOVER_S)
    _check_available(world)
    calm = world.clock.now
    world.clock.run(calm + CALM_S)
    traffic.is_on = False
    end = world.clock.now
    world.clock.run(end + 0.2)
    _check_available(world)
    _check_traffic(world, traffic, calm, end)
    _check_storm(world)


def _check_available(world):
    is_open = world.open_gateways()
    if len(is_open) != 1:
        states = {
            x: str(p.daemon.core.ports["gw0"].state) for x, p in world.peers.items() if p.is_gateway
        }
        raise InvariantBroken("available", f"open: {is_open}, states {states}", world.clock.now)
    port = world.peers[is_open[0]].daemon.core.ports["gw0"]
    if port.state is not State.ACTIVE:
        raise InvariantBroken("available", f"{is_open[0]} is {port.state}", world.clock.now)


def _check_traffic(world, traffic, start, end):
    stations = [*world.hosts, *world.ports]
    for stream in traffic.streams:
        wanted = (
            [stream.receiver] if stream.receiver else [s for s in stations if s != stream.sender]
        )
        for flight in stream.flights:
            if not start <= flight.sent_at < end:
                continue
            if stream.receiver is None or flight.received[stream.receiver] != 1:
                missing = [s for s in wanted if not flight.received[s]]
                if missing:
                    detail = f"{stream.name}: nothing at {', '.join(missing)}"
                    raise InvariantBroken("no_blackhole", detail + _way(flight), flight.sent_at)
            doubled = [s for s, count in flight.received.items() if count > 1]
            if doubled:
                detail = f"{stream.name}: twice at {', '.join(doubled)}"
                raise InvariantBroken("exactly_once", detail + _way(flight), flight.sent_at)
            strangers = [s for s in flight.received if s not in wanted]
            if stream.receiver and strangers and stream.name != "to a silent host":
                world.sometimes["known unicast flooded in a calm time"] += 1


def _way(flight):
    """Where the copies of a frame came by, if that was noted."""
    lines = [
        f"\n    {at:.5f} {letter} port {port} {tun_src} → "
        + ", ".join(f"{copy.port} {copy.tun_dst} {copy.tun_id:#x}" for copy in sent)
        for at, letter, port, tun_src, sent in flight.path
    ]
    return "".join(lines)


def _check_storm(world):
    for letter, peer in world.peers.items():
        life_s = max(1.0, world.clock.now - peer.daemon.started_at)
        if peer.daemon.commands / life_s > COMMANDS_PER_S:
            detail = f"{letter}: {peer.daemon.commands} commands in {life_s:.0f} s"
            raise InvariantBroken("no_storm", detail, world.clock.now)


SIGHTS = {
    "daemon silent, switch alive": "take-over from a silent daemon",
    "host or switch dead": "take-over from a dead host",
    "silent, nothing known": "take-over without BFD",
    "late: paused?": "late renewal",
    "yields to": "yielded to another",
    "other candidate(s) first": "two candidates at once",
    "did not answer": "successor did not answer",
    "gave the hand-over up": "hand-over given up",
    "not completed in time": "hand-over ran out of time",
    "handed over to": "hand-over",
    "asked for the role": "hand-over on request",
    "did not confirm": "gate not confirmed",
    "refuses": "role change refused",
    "no answer to the request": "operator's word without an answer",
}


def _count(world):
    for _, text in world.log:
        for sight, name in SIGHTS.items():
            if sight in text:
                world.sometimes[name] += 1
    if any(peer.switch.relearnt for peer in world.peers.values()):
        world.sometimes["learnt late from frames of before"] += 1
    if world.overlaps:
        world.sometimes["two gates open at once"] += 1


def shrink(outcome):
    """Leave faults out, and shorten them, as long as the same invariant breaks."""
    options, _ = draw(outcome.seed)
    best = outcome
    changed = True
    while changed:
        changed = False
        for place in range(len(best.faults)):
            fewer = best.faults[:place] + best.faults[place + 1 :]
            tried = run(outcome.seed, options, fewer)
            if tried.broken is not None and tried.broken.name == best.broken.name:
                best, changed = tried, True
                break
    return run(best.seed, options, best.faults, is_tracing=True)
