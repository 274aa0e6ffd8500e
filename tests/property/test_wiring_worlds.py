"""Random wirings, right and wrong: nothing right is closed, and nothing wrong stays open."""

import random
import sys
from pathlib import Path

import pytest

from weave_ryu.gateway import wiring

sys.path.append(str(Path(__file__).resolve().parents[1] / "unit" / "gateway"))

from wiring_world import STEP_S, WiringWorld

SEGMENTS = ("vlan", "office", "lab")
SETTLED_S = 4.0
"""Probes come each second, one in three is lost, and roles move meanwhile."""

DOUBLE_S = STEP_S
"""So long two segments of one wire may both be open, where both began to forward at once: until
each knows the other's record, which here is one step. Then all that forward are compared by one
order (`Wiring._comes_first`), the same at every gateway, and all but the first stop; one that does
not forward gives way to any that does. It takes no timer and no probe: what is joined is known
while one probe of 19 is heard, and one in three is lost."""


class Network:
    """Gateways of up to three segments, plain peers, and the wires between them.

    A port that is able opens if it is the first of its segment, as gateways elect one; what it is
    not able to do it stops at once.
    """

    def __init__(self, rng):
        self.rng = rng
        letters = iter("ABCDEFGH")
        self.own = {s: [next(letters) for _ in range(rng.randint(1, 2))] for s in SEGMENTS}
        ports = {x: {"gw0": s} for s, letters in self.own.items() for x in letters}
        self.world = WiringWorld(**ports, X={}, Y={})
        for letter in ports:
            self.world.peers[letter].options = {
                "priority": rng.choice((50, 100, 100, 200)),
                "role": rng.choice(("auto", "auto", "active", "standby")),
            }
        self.down = set()
        self.faults = 0.01
        self.loss = rng.choice((0.0, 0.3))
        arrive = self.world.arrive
        self.world.arrive = lambda place, frame: (
            arrive(place, frame) if rng.random() >= self.loss else None
        )
        self.wire()

    def wire(self, *extra):
        """Each segment is one wire, and what is wrong on top: sets of places that are joined."""
        wires = [{f"{x} gw0" for x in letters} for letters in self.own.values()]
        for joined in extra:
            touched = [wire for wire in wires if wire & joined]
            wires = [wire for wire in wires if not wire & joined] + [joined.union(*touched)]
        self.world.wires = wires

    def elect(self):
        """The first gateway of each segment that is able forwards, the others do not."""
        changed = False
        for letters in self.own.values():
            able = [x for x in letters if x not in self.down and not self.world.troubles(x)]
            able = [x for x in able if self.world.peers[x].options["role"] != "standby"]
            for letter in letters:
                state = "active" if letter in able[:1] else "standby"
                changed |= self.world.peers[letter].states["gw0"] != state
                self.world.peers[letter].states["gw0"] = state
        if changed:
            self.world.tell_records()

    def run(self, seconds, check=lambda: None):
        def step():
            if self.rng.random() < self.faults:  # a gateway fails, or comes back
                letter = self.rng.choice([x for letters in self.own.values() for x in letters])
                self.down ^= {letter}
            self.elect()
            check()

        self.world.run(seconds, step)

    def could_forward(self, wire):
        """A gateway on it may, and its segment is not forwarded for on another wire."""
        for segment, letters in self.own.items():
            may = [x for x in letters if self.world.peers[x].options["role"] != "standby"]
            is_elsewhere = any(
                segment in self.forwarders_on(other) for other in self.world.wires if other != wire
            )
            if not is_elsewhere and any(f"{x} gw0" in wire for x in may):
                return True
        return False

    def forwarders_on(self, wire):
        return {
            self.world.peers[letter].ports[port]
            for letter, _, port in (place.partition(" ") for place in wire)
            if self.world.peers.get(letter) is not None
            and self.world.peers[letter].states.get(port) == "active"
        }


@pytest.mark.parametrize("seed", range(150))
def test_nothing_is_said_of_what_is_wired_right(seed):
    network = Network(random.Random(seed))
    network.run(8)
    assert network.world.is_calm
    assert network.world.log == []


@pytest.mark.parametrize("seed", range(150))
def test_of_segments_on_one_wire_one_forwards_until_it_is_right_again(seed):
    rng = random.Random(seed)
    network = Network(rng)
    network.run(2)
    joined = {
        f"{rng.choice(network.own[s])} gw0" for s in rng.sample(SEGMENTS, rng.choice((2, 2, 3)))
    }
    port = rng.choice(("X c1", "Y c1", f"{rng.choice(network.own['vlan'])} c9"))
    bridged = {f"{rng.choice(network.own[rng.choice(SEGMENTS)])} gw0", port}
    network.wire(*rng.choice(([joined], [bridged], [joined, bridged])))
    is_bridged = any(port in wire for wire in network.world.wires)
    network.run(SETTLED_S)
    double_since = network.world.now

    def check():
        # Two that were closed may remember otherwise who had the wire, and open at one moment.
        nonlocal double_since
        if all(len(network.forwarders_on(wire)) <= 1 for wire in network.world.wires):
            double_since = network.world.now
        assert network.world.now - double_since <= DOUBLE_S + 1e-9

    network.run(8, check)
    letter, _, name = port.partition(" ")
    assert (name in network.world.closed(letter)) is is_bridged
    network.down.clear()
    network.faults = 0.0
    network.run(wiring.HOLD_S + SETTLED_S, check)
    for wire in network.world.wires:
        assert network.forwarders_on(wire) or not network.could_forward(wire)
    network.wire()
    network.run(wiring.HOLD_S + wiring.FRESH_S)
    assert network.world.is_calm
