"""What goes wrong, when, and how it is put right: schedules drawn from a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass

from sim_world import Options

from weave_ryu.gateway.role import Role

FIRST_S, LAST_S = 8.0, 24.0
"""When faults may begin."""


@dataclass(frozen=True)
class Fault:
    """One thing that happens to somebody, and after a while is over."""

    at: float
    kind: str
    who: str
    for_s: float

    def __str__(self):
        return f"{self.at:7.3f} s  {self.kind:<10} {self.who:<8} for {self.for_s:.3f} s"


def draw_options(rng):
    """A world: 2 to 4 gateways, 2 to 4 other peers, full or sparse, fast or slow."""
    gateways = "ABCD"[: rng.choice([2, 2, 2, 3, 3, 4])]
    plain = "WXYZ"[: rng.randint(2, 4)]
    letters = sorted(gateways + plain)
    links = None
    if rng.random() < 0.5:
        links = {(a, b) for a, b in zip(letters, letters[1:] + letters[:1], strict=True)}
        links = {tuple(sorted(pair)) for pair in links}
        for _ in range(rng.randint(0, len(letters))):
            links.add(tuple(sorted(rng.sample(letters, 2))))
        links = sorted(links)
    return Options(
        gateways=gateways,
        plain=plain,
        links=links,
        profile=rng.choice(["default", "default", "fast"]),
        priorities={x: rng.choice([50, 100, 100, 150]) for x in gateways},
        preempt=rng.random() < 0.25,
        preempt_delay_s=rng.choice([0.5, 2.0]),
        message_delay_s=(0.001, rng.choice([0.002, 0.01, 0.02])),
        broadcast_delay_s=rng.choice([0.0, 0.02, 0.1]),
        confirm_s=(0.001, rng.choice([0.005, 0.02, 0.05])),
        revalidate_s=rng.choice([0.001, 0.01, 0.05]),
        lag_s=rng.choice([0.02, 0.05, 0.09]),
    )


def draw_faults(rng, options):
    letters = sorted(options.gateways + options.plain)
    pairs = options.links or [(a, b) for a in letters for b in letters if a < b]
    kinds = {
        "kill": 4,
        "pause": 4,
        "switch": 3,
        "power": 3,
        "carrier": 4,
        "cut": 2,
        "partition": 3,
        "bfd": 2,
        "slow": 2,
        "term": 3,
        "drain": 3,
        "activate": 2,
        "standby": 1,
        "host": 0,
    }
    faults = []
    at = rng.uniform(FIRST_S, FIRST_S + 3)
    for _ in range(rng.randint(1, 6)):
        kind = rng.choices(list(kinds), list(kinds.values()))[0]
        of_gateway = kind in ("carrier", "drain", "activate", "standby", "slow", "term")
        if of_gateway or (kind not in ("cut", "partition", "bfd") and rng.random() < 0.85):
            who = rng.choice(options.gateways)
        elif kind == "cut":
            who = "".join(rng.choice(pairs))
        elif kind == "bfd":
            who = "".join(sorted(rng.sample(options.gateways, 2)))
        elif kind == "partition":
            size = rng.randint(1, len(letters) - 1)
            who = "".join(sorted(rng.sample(letters, size)))
        else:
            who = rng.choice(letters)
        for_s = rng.choice([rng.uniform(0.1, 1.0), rng.uniform(0.5, 4.0), rng.uniform(2.0, 9.0)])
        faults.append(Fault(round(at, 3), kind, who, round(for_s, 3)))
        at += rng.choice([rng.uniform(0.0, 0.5), rng.uniform(0.5, 3.0), rng.uniform(2.0, 6.0)])
        if at > LAST_S:
            break
    return faults


def draw(seed):
    """Options and faults of a seed."""
    rng = random.Random(f"schedule {seed}")
    options = draw_options(rng)
    return options, draw_faults(rng, options)


class Striker:
    """Carries faults out on a world, and counts how many hold each thing down."""

    def __init__(self, world):
        self.world, self.clock = world, world.clock
        self.holds = {}
        self.disturbed_until = 0.0

    def plan(self, fault):
        self.clock.at(fault.at, self._begin, fault)
        self.clock.at(fault.at + fault.for_s, self._end, fault)

    def _hold(self, key, step):
        """True if this is the first to hold, or the last to let go."""
        before = self.holds.get(key, 0)
        self.holds[key] = before + step
        return (before == 0) if step > 0 else (before == 1)

    def is_held(self, *kinds):
        return any(count and key[0] in kinds for key, count in self.holds.items())

    def _begin(self, fault):
        self.world.note(f"FAULT {fault.kind} {fault.who}")
        self.world.sometimes[f"fault {fault.kind}"] += 1
        getattr(self, f"_{fault.kind}")(fault, 1)

    def _end(self, fault):
        self.world.note(f"OVER  {fault.kind} {fault.who}")
        getattr(self, f"_{fault.kind}")(fault, -1)

    def _peer(self, fault):
        return self.world.peers[fault.who]

    def _may_start(self, peer):
        held = any(self.holds.get((kind, peer.letter)) for kind in ("daemon", "power"))
        if not held and peer.daemon is None:
            peer.start_daemon()

    def _kill(self, fault, step):
        peer = self._peer(fault)
        if self._hold(("daemon", peer.letter), step):
            if step > 0:
                peer.kill_daemon()
            else:
                peer.clock_error_s = self.world.rng.choice([0.0, 0.0, -900.0, 900.0])
                self._may_start(peer)

    def _term(self, fault, step):
        peer = self._peer(fault)
        if not self._hold(("daemon", peer.letter), step):
            return
        if step < 0:
            self._may_start(peer)
        elif peer.daemon is not None:
            daemon, until = peer.daemon, self.clock.now + 6.0
            daemon.input(daemon.shut_down)

            def look():
                if peer.daemon is not daemon:
                    return
                is_over = daemon.core.is_quiet and not daemon.is_paused
                if is_over or self.clock.now > until:
                    peer.kill_daemon()
                    self._let_start(peer)
                else:
                    self.clock.after(0.005, look)

            look()

    def _let_start(self, peer):
        """What was held until the daemon had ended."""
        self.clock.after(0.5, self._may_start, peer)

    def _pause(self, fault, step):
        peer = self._peer(fault)
        if not self._hold(("pause", peer.letter), step) or peer.daemon is None:
            return
        if step > 0:
            peer.daemon.pause()
        elif peer.daemon.is_paused:
            peer.daemon.proceed()

    def _switch(self, fault, step):
        peer = self._peer(fault)
        if self._hold(("switch", peer.letter), step):
            if step > 0:
                peer.crash_switch()
            elif not self.holds.get(("power", peer.letter)):
                peer.restart_switch()

    def _power(self, fault, step):
        peer = self._peer(fault)
        if not self._hold(("power", peer.letter), step):
            return
        if step > 0:
            peer.lose_power()
            return
        peer.has_power = True
        if not self.holds.get(("switch", peer.letter)):
            peer.restart_switch()
        if not self.holds.get(("carrier", peer.letter)):
            peer.set_carrier(True)
        self._may_start(peer)

    def _carrier(self, fault, step):
        peer = self._peer(fault)
        if self._hold(("carrier", peer.letter), step) and peer.has_power:
            peer.set_carrier(step < 0)

    def _cut_edges(self, edges, step):
        for edge in edges:
            if self._hold(("cut", edge.pair), step):
                edge.is_cut = step > 0
                edge.was_cut = True
                self.world.mesh.look(edge)
        self.world.look_at_bfd()

    def _cut(self, fault, step):
        self._cut_edges([self.world.mesh.edge(*fault.who)], step)

    def _partition(self, fault, step):
        inside = set(fault.who)
        edges = self.world.mesh.edges.values()
        self._cut_edges([e for e in edges if (e.pair[0] in inside) != (e.pair[1] in inside)], step)

    def _bfd(self, fault, step):
        pair = tuple(fault.who)
        if self._hold(("bfd", pair), step):
            if step > 0:
                self.world.bfd_false.add(pair)
            else:
                self.world.bfd_false.discard(pair)
            self.world.look_at_bfd()

    def _slow(self, fault, step):
        if step > 0:
            peer = self._peer(fault)
            peer.slow_until = max(peer.slow_until, self.clock.now + fault.for_s)
        self._hold(("slow", fault.who), step)

    def _drain(self, fault, step):
        if step > 0:
            self._ask(fault, "drain")
        else:
            self._ask(fault, "set_role", Role.AUTO)

    def _activate(self, fault, step):
        self._hold(("manual", fault.who), step)
        self._ask(fault, "set_role", Role.ACTIVE if step > 0 else Role.AUTO)

    def _standby(self, fault, step):
        self._ask(fault, "set_role", Role.STANDBY if step > 0 else Role.AUTO)

    def _ask(self, fault, method, *args):
        daemon = self._peer(fault).daemon
        if daemon is not None:
            daemon.input(getattr(daemon, method), *args)

    def put_right(self):
        """The operator wants automatic roles everywhere."""
        for peer in self.world.peers.values():
            if peer.is_gateway:
                peer.role = Role.AUTO
                if peer.daemon is not None:
                    port = peer.daemon.core.ports["gw0"]
                    if port.role is not Role.AUTO or port.is_drained:
                        peer.daemon.input(peer.daemon.set_role, Role.AUTO)
