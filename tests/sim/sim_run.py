"""Runs one schedule on one world and checks the invariants of DESIGN section 2."""

from __future__ import annotations

import enum
import gc
from collections import Counter
from dataclasses import dataclass, field

from sim_daemon import SimDaemon
from sim_faults import Striker, draw
from sim_traffic import Stream, Traffic
from sim_watch import Watch
from sim_wishes import Wishes
from sim_world import InvariantBroken, World

from weave_ryu.gateway.role import State

if "__getattr__" in vars(enum.EnumType):
    # Python 3.11 looks for this hook at each `State.ACTIVE`, which makes that four times as slow;
    # 3.12 has none.
    del enum.EnumType.__getattr__

LEAST_S = 60.0
"""Virtual seconds of each schedule, at least."""
RECOVER_S = 16.0
"""After the last fault: connections come back (3 s), ports that found nobody arm (4 s), peers that
were held are forgotten (10 s)."""
CALM_S = 3.0
BETWEEN = "between containers"
LIMITED = frozenset(
    [
        "to a silent host",
        "to a silent container",
        "from a gateway's container",
        "to a gateway's container",
        "to a container beside a gateway",
    ]
)
"""Streams that may find nobody as long as some gateways do not know segments as peers: peers do not
forget any more where a silent host was, and those gateways' hosts and containers look the same."""
HITLESS = frozenset(
    [
        "kill",
        "term",
        "pause",
        "openflow",
        "slow",
        "refuse",
        "carrier",
        "drain",
        "activate",
        "force",
        "standby",
        "clients",
        "bfd",
        "upgrade",
        "downgrade",
    ]
)
"""Faults that may cost containers on two peers no frame to each other, whoever else they hit."""


@dataclass
class Outcome:
    """What a run showed.

    Attributes:
        digest: of all that was noted, with its times: the same for the same seed.
        virtual_s: how long it was.
    """

    seed: int
    faults: list
    broken: InvariantBroken | None = None
    sometimes: Counter = field(default_factory=Counter)
    log: list = field(default_factory=list)
    digest: int = 0
    virtual_s: float = 0.0


def run(seed, options=None, faults=None, is_tracing=False):
    """One schedule, from the start of all peers to a calm stretch at the end.

    Args:
        seed: of everything that is drawn.
        options: instead of those that the seed draws.
        faults: instead of those that the seed draws.
        is_tracing: note the way of each frame.
    """
    gc.disable()  # worlds are cyclic, but there is one at a time: much is saved
    try:
        return _run_world(seed, options, faults, is_tracing)
    finally:
        # The world is gone with this; what stays is kept for all that follow: no look at it again.
        gc.collect(0)
        gc.freeze()
        gc.enable()


def _run_world(seed, options, faults, is_tracing):
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
    outcome.digest, outcome.virtual_s = world.digest, world.clock.now
    _count(world)
    world.dismantle()
    return outcome


def _run(world, faults):
    striker = Striker(world)
    for fault in faults:
        striker.plan(fault)
    Watch(world, striker)
    Wishes(world, striker)
    world.start()
    world.clock.run(3.5)
    traffic = Traffic(world)
    traffic.say_hello()
    world.clock.run(4.0)
    first, second = (f"{x}-c1" for x in world.options.plain[:2])
    for name, sender, receiver in (
        ("mesh to segment", first, "Host1"),
        ("segment to mesh", "Host1", first),
        ("to a silent host", first, "Host2"),
        ("to a silent container", "Host1", second),
        (BETWEEN, first, second),
    ):
        traffic.start(Stream(name, sender, receiver, 8))
    near, other = world.options.gateways[:2]
    for letter in (near, other):
        traffic.start(Stream("from a gateway's container", f"{letter}-c1", "Host1", 3))
        traffic.start(Stream("to a gateway's container", "Host1", f"{letter}-c1", 3))
    for sender in (f"{near}-c1", first):
        traffic.start(Stream("to a container beside a gateway", sender, f"{other}-c1", 3))
    for sender in (first, "Host1"):
        traffic.start(Stream(f"broadcast of {sender}", sender, None, 4))
    over = max([fault.at + fault.for_s for fault in faults], default=8.0)
    world.clock.run(over + 0.1)
    striker.put_right()
    world.clock.run(max(over + RECOVER_S, LEAST_S - CALM_S - 0.2))
    _check_available(world)
    calm = world.clock.now
    traffic.keep()
    world.clock.run(calm + CALM_S)
    traffic.is_on = False
    end = world.clock.now
    world.clock.run(end + 0.2)
    _check_available(world)
    _check_traffic(world, traffic, calm, end)
    _check_hitless(world, traffic, faults)
    _check_storm(world)


def _check_available(world):
    is_open = world.open_gateways
    if len(is_open) != 1:
        states = {
            x: str(p.daemon.core.ports["gw0"].state) for x, p in world.peers.items() if p.is_gateway
        }
        raise InvariantBroken("available", f"open: {is_open}, states {states}", world.clock.now)
    port = world.peers[is_open[0]].daemon.core.ports["gw0"]
    if port.state is not State.ACTIVE:
        raise InvariantBroken("available", f"{is_open[0]} is {port.state}", world.clock.now)


def _check_traffic(world, traffic, start, end):
    stations = world.stations
    is_mixed = any(peer.daemon_kind is not SimDaemon for peer in world.peers.values())
    for stream in traffic.streams:
        wanted = (
            [stream.receiver] if stream.receiver else [s for s in stations if s != stream.sender]
        )
        for flight in stream.flights:
            if not start <= flight.sent_at < end:
                continue
            if stream.receiver is None or flight.received.get(stream.receiver) != 1:
                missing = [s for s in wanted if s not in flight.received]
                if is_mixed:
                    missing = [s for s in missing if _is_promised(world, stream, s)]
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


def _is_promised(world, stream, receiver):
    """Among gateways of different versions."""
    ends = (stream.sender, receiver)
    beside = any(e.partition("-")[0] in world.options.gateways for e in ends if e in world.ports)
    return stream.name not in LIMITED and not beside


def _check_hitless(world, traffic, faults):
    """Two peers that are not hit themselves lose no frame to each other, nor get one twice."""
    near = world.options.plain[:2]
    if world.mesh.edge(*near) is None:
        return
    for fault in faults:
        if fault.kind not in HITLESS or (set(fault.letters) & set(near) and fault.kind != "bfd"):
            return
    world.sometimes["containers undisturbed by faults elsewhere"] += 1
    for stream in traffic.streams:
        for flight in stream.flights if stream.name == BETWEEN else ():
            if flight.received.get(stream.receiver) != 1:
                detail = f"{stream.name}: received {flight.received}"
                raise InvariantBroken("hitless", detail + _way(flight), flight.sent_at)


def _way(flight):
    """Where the copies of a frame came by, if that was noted."""
    lines = [
        f"\n    {at:.5f} {letter} port {port} {tun_src} → "
        + ", ".join(f"{copy.port} {copy.tun_dst} {copy.tun_id:#x}" for copy in sent)
        for at, letter, port, tun_src, sent in flight.path
    ]
    return "".join(lines)


def _check_storm(world):
    """Leases to each other gateway, twice if the way is in doubt, hellos, and some others."""
    others, hellos = len(world.options.gateways) - 1, int(world.options.hello)
    most_per_s = (2 * others + hellos) / world.timers.lease_s + 30
    for letter, peer in world.peers.items():
        life_s = max(1.0, world.clock.now - peer.daemon.started_at)
        if peer.daemon.commands / life_s > most_per_s:
            detail = f"{letter}: {peer.daemon.commands} commands in {life_s:.0f} s"
            raise InvariantBroken("no_storm", detail, world.clock.now)
        if peer.daemon.moves > 2 * life_s + 20:  # of two claims one must win, once
            detail = f"{letter}: claimed or let go {peer.daemon.moves} times in {life_s:.0f} s"
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
    "takes back role active by force": "force taken back",
    "takes back role active:": "operator's word taken back",
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
