"""What goes wrong, when, and how it is put right: schedules drawn from a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from sim_daemon import OldDaemon, SimDaemon
from sim_world import BROADCAST, Options

from weave_ryu.gateway.role import Intent, Role

FIRST_S, LAST_S = 6.0, 36.0
"""When faults may begin."""
MAX_FAULTS = 8
SHAPES = 16
"""So many sparse meshes there are of each set of peers: what follows from a mesh is kept."""
OF_GATEWAY = ("carrier", "drain", "activate", "standby", "slow", "refuse", "term")
OF_PAIR = ("cut", "oneway", "lossy")
KINDS = {
    "kill": 4,
    "pause": 4,
    "switch": 3,
    "power": 3,
    "openflow": 2,
    "slow": 2,
    "refuse": 1,
    "carrier": 4,
    "cut": 2,
    "oneway": 2,
    "lossy": 2,
    "partition": 3,
    "bfd": 2,
    "term": 3,
    "drain": 3,
    "activate": 2,
    "standby": 1,
    "move": 2,
}
HELLOS, FORCED, MOVES, CLIENTS = 0.4, 0.4, 0.4, 0.5
"""Shares of the worlds whose gateways say hello on the segment, of activations by force, of the
worlds where a host moves soon after something else, and where several clients want something at
nearly the same time."""
WISHES = ("active", "force", "standby", "auto", "drain")
NO_DISTURBANCE = ("manual", "wishes")
CLOCK_ERRORS_S = (0.0, -900.0, 900.0, -86400.0)


@dataclass(frozen=True)
class Fault:
    """One thing that happens to somebody, and after a while is over."""

    at: float
    kind: str
    who: str
    for_s: float

    @property
    def letters(self):
        """Whom it hits."""
        return self.who if self.kind != "clients" else ""

    def __str__(self):
        return f"{self.at:7.3f} s  {self.kind:<10} {self.who:<8} for {self.for_s:.3f} s"


def draw_options(rng):
    """A world: 2 to 4 gateways, 4 to 10 peers, full or sparse, fast or slow."""
    gateways = "ABCD"[: rng.choice([2, 2, 2, 2, 3, 3, 4])]
    plain = "UVWXYZ"[-rng.choice([2, 2, 2, 3, 3, 4, 5, 6]) :]
    links = None
    if rng.random() < 0.5:
        shape = random.Random(f"shape {gateways} {plain} {rng.randrange(SHAPES)}")
        letters = sorted(gateways + plain)
        shape.shuffle(letters)
        ring = zip(letters, letters[1:] + letters[:1], strict=True)
        links = {tuple(sorted(pair)) for pair in ring}
        for _ in range(shape.randint(0, len(letters))):
            links.add(tuple(sorted(shape.sample(letters, 2))))
        links = sorted(links)
    return Options(
        gateways=gateways,
        plain=plain,
        links=links,
        profile=rng.choice(["default"] * 7 + ["fast"]),
        priorities={x: rng.choice([50, 100, 100, 150]) for x in gateways},
        preempt=rng.random() < 0.25,
        preempt_delay_s=rng.choice([0.5, 2.0]),
        message_delay_s=(0.001, rng.choice([0.002, 0.01, 0.02])),
        broadcast_delay_s=rng.choice([0.0, 0.02, 0.1]),
        confirm_s=(0.001, rng.choice([0.005, 0.02, 0.05])),
        revalidate_s=rng.choice([0.001, 0.01, 0.05]),
        lag_s=rng.choice([0.02, 0.05, 0.09]),
        drift=rng.choice([0.0, 0.001, 0.02]),
    )


def draw_faults(rng, options):
    kinds, weights = list(KINDS), list(KINDS.values())
    faults = []
    at = rng.uniform(FIRST_S, FIRST_S + 3)
    for _ in range(rng.randint(1, MAX_FAULTS)):
        kind = rng.choices(kinds, weights)[0]
        lengths = [rng.uniform(0.1, 1.0), rng.uniform(0.5, 4.0), rng.uniform(2.0, 9.0)]
        who = _draw_who(rng, options, kind)
        faults.append(Fault(round(at, 3), kind, who, round(rng.choice(lengths), 3)))
        at += rng.choice([rng.uniform(0.0, 0.5), rng.uniform(0.5, 3.0), rng.uniform(2.0, 6.0)])
        if at > LAST_S:
            break
    return faults


def _draw_who(rng, options, kind):
    letters = sorted(options.gateways + options.plain)
    if kind in OF_PAIR:
        pairs = options.links or [(a, b) for a in letters for b in letters if a < b]
        pair = rng.choice(pairs)
        return "".join(rng.sample(pair, 2))
    if kind == "bfd":
        return "".join(sorted(rng.sample(options.gateways, 2)))
    if kind == "partition":
        return "".join(sorted(rng.sample(letters, rng.randint(1, len(letters) - 1))))
    if kind == "move":
        station = rng.choice(["Host2", f"{rng.choice(letters)}-c1"])
        return f"{station}>{rng.choice(options.plain)}"
    if kind in OF_GATEWAY or rng.random() < 0.85:
        return rng.choice(options.gateways)
    return rng.choice(letters)


def draw(seed):
    """Options and faults of a seed."""
    rng = random.Random(f"schedule {seed}")
    options = draw_options(rng)
    faults = draw_faults(rng, options)
    rng = random.Random(f"more of {seed}")
    options.hello = rng.random() < HELLOS
    for place, fault in enumerate(faults):
        if fault.kind == "activate" and rng.random() < FORCED:
            faults[place] = replace(fault, kind="force")
    if rng.random() < MOVES and not any(fault.kind == "move" for fault in faults):
        faults.append(draw_move(rng, options, rng.choice(faults)))
        faults.sort(key=lambda fault: fault.at)
    if rng.random() < CLIENTS:
        faults += [draw_clients(rng, options) for _ in range(rng.choice([1, 1, 2]))]
        faults.sort(key=lambda fault: fault.at)
    return options, faults


def draw_move(rng, options, fault):
    """The silent host turns up in the mesh while its MAC is still being announced."""
    after_s = rng.choice([0.0, 0.4, 1.6]) + rng.uniform(0.1, 2.4)
    return Fault(round(fault.at + after_s, 3), "move", f"Host2>{rng.choice(options.plain)}", 2.0)


def draw_clients(rng, options):
    """Several clients ask for roles, one while the wish of another is being carried out."""
    wishes, after_s = [], 0.0
    for _ in range(rng.randint(2, 6)):
        wishes.append(f"{rng.choice(options.gateways)}:{rng.choice(WISHES)}:{after_s:.4f}")
        width_s = rng.choice([0.0, 0.01, 0.05, 0.3, 1.0])
        after_s += rng.uniform(0.0, width_s)
    at = round(rng.uniform(FIRST_S, LAST_S), 3)
    return Fault(at, "clients", "+".join(wishes), round(after_s + rng.uniform(0.5, 12.0), 3))


class Striker:
    """Carries faults out on a world, and counts how many hold each thing down."""

    def __init__(self, world):
        self.world, self.clock = world, world.clock
        self.holds = {}
        self.disturbed_at = float("-inf")
        """When the last fault that is more than a wish began or was over."""

    def plan(self, fault):
        """Carry it out when its time comes."""
        self.clock.at(fault.at, self._begin, fault)
        self.clock.at(fault.at + fault.for_s, self._end, fault)

    def _hold(self, key, step):
        """True if this is the first to hold, or the last to let go."""
        before = self.holds.get(key, 0)
        self.holds[key] = before + step
        return (before == 0) if step > 0 else (before == 1)

    def is_held(self, *kinds):
        return any(count and key[0] in kinds for key, count in self.holds.items())

    @property
    def is_disturbed(self):
        """Something is wrong just now, beside what operators want."""
        held = (key[0] for key, count in self.holds.items() if count)
        return any(kind not in NO_DISTURBANCE for kind in held)

    def _note(self, fault):
        if fault.kind not in ("activate", "force", "standby", "drain", "clients"):
            self.disturbed_at = self.clock.now

    def _begin(self, fault):
        self._note(fault)
        self.world.note(f"FAULT {fault.kind} {fault.who}")
        self.world.sometimes[f"fault {fault.kind}"] += 1
        getattr(self, f"_{fault.kind}")(fault, 1)
        self.world.conditions_changed()

    def _end(self, fault):
        self._note(fault)
        self.world.note(f"OVER  {fault.kind} {fault.who}")
        getattr(self, f"_{fault.kind}")(fault, -1)
        self.world.conditions_changed()

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
                peer.clock_error_s = self.world.rng.choice(CLOCK_ERRORS_S)
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

    def _upgrade(self, fault, step):
        """It ends in good order, and one of the new version starts in its place."""
        self._replace(fault, step, SimDaemon)

    def _downgrade(self, fault, step):
        self._replace(fault, step, OldDaemon)

    def _replace(self, fault, step, kind):
        if step > 0:
            self._peer(fault).daemon_kind = kind
        self._term(fault, step)

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

    def _silence(self, edge, letters, step):
        for letter in letters:
            if self._hold(("deaf", edge.pair, letter), step):
                edge.deaf = edge.deaf | {letter} if step > 0 else edge.deaf - {letter}
        self.world.mesh.look(edge)
        self.world.look_at_bfd()

    def _cut(self, fault, step):
        self._silence(self.world.mesh.edge(*fault.who), fault.who, step)

    def _oneway(self, fault, step):
        self._silence(self.world.mesh.edge(*fault.who), fault.who[0], step)

    def _partition(self, fault, step):
        inside = set(fault.who)
        for edge in self.world.mesh.edges.values():
            if (edge.pair[0] in inside) != (edge.pair[1] in inside):
                self._silence(edge, edge.pair, step)

    def _lossy(self, fault, step):
        edge = self.world.mesh.edge(*fault.who)
        if self._hold(("lossy", edge.pair), step):
            edge.is_lossy = step > 0

    def _openflow(self, fault, step):
        peer = self._peer(fault)
        if self._hold(("openflow", peer.letter), step):
            if step > 0:
                peer.disconnect()
            else:
                peer.reconnect()

    def _move(self, fault, step):
        station, letter = fault.who.split(">")
        if step > 0 and self.world.is_free(letter):
            self.world.move(station, letter)
            for after_s in (0.01, 0.5):
                self.clock.after(after_s, self.world.send, "greeting", station, BROADCAST)
            self.clock.after(1.0, self._greet, station)

    def _greet(self, station):
        """Until every switch has heard it: as long as one has not, nobody can tell that one.

        While the mesh is split, two gateways forward, and the other part hears it from the segment:
        rightly so, as long as the split lasts.
        """
        flight = self.world.send("greeting", station, BROADCAST)
        was_whole = self.world.mesh.is_whole()
        self.clock.after(1.0, self._look_at_greeting, station, flight, was_whole)

    def _look_at_greeting(self, station, flight, was_whole):
        world = self.world
        up = (x for x in world.stations if x not in world.ports or world.is_up(world.ports[x][0]))
        is_heard = all(x == station or x in flight.received for x in up)
        if not (is_heard and was_whole and world.mesh.is_whole()):
            self._greet(station)

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

    def _refuse(self, fault, step):
        if step > 0:
            peer = self._peer(fault)
            peer.refuses_until = max(peer.refuses_until, self.clock.now + fault.for_s)
        self._hold(("refuse", fault.who), step)

    def _drain(self, fault, step):
        if step > 0:
            self._ask(fault, "drain")
        else:
            self._ask(fault, "set_role", Role.AUTO)

    def _activate(self, fault, step):
        self._hold(("manual", fault.who), step)
        self._ask(fault, "set_role", Role.ACTIVE if step > 0 else Role.AUTO)

    def _force(self, fault, step):
        self._hold(("manual", fault.who), step)
        if step > 0:
            self._ask(fault, "set_role", Role.ACTIVE, True)
        else:
            self._ask(fault, "set_role", Role.AUTO)

    def _clients(self, fault, step):
        for wish in fault.who.split("+"):
            letter, kind, after_s = wish.split(":")
            self._hold(("wishes", letter), step)
            if step > 0:
                self.clock.after(float(after_s), self._wish, letter, kind)
            else:
                self._wish(letter, "auto")

    def _wish(self, letter, kind):
        daemon = self.world.peers[letter].daemon
        if daemon is None:
            return
        self.world.sometimes[f"wish {kind}"] += 1
        if kind == "drain":
            daemon.input(daemon.drain)
        else:
            role = Role.ACTIVE if kind == "force" else Role(kind)
            daemon.input(daemon.set_role, role, kind == "force")

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
                    if port.intent != Intent(Role.AUTO):
                        peer.daemon.input(peer.daemon.set_role, Role.AUTO)
