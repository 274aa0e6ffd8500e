"""Every frame through every state that a few switches can be in: no_loop, whatever the roles.

A state is how far each gate is open, at which gateway each peer believes the segment to be, what
each switch has learnt, and what the segment's own switch has. From each state every station sends
to every other and to all, any gate is set to anything, any peer hears that the segment has moved,
and any switch forgets. Frames run through the product's own flows; each peer also accepts the tree
that the segment had before.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / name) for name in ("sim", "model")]

from overlay_model import BROADCAST, CONTAINER, GATEWAY, TUNNEL, OverlayModel  # noqa: E402
from sim_tables import Tables, prepare  # noqa: E402

from tests.statespace.roles import Broken  # noqa: E402
from tests.statespace.search import Found  # noqa: E402
from weave_ryu.gate import Gate  # noqa: E402
from weave_ryu.pipeline import rules  # noqa: E402

MAX_COPIES = 200


class Network:
    """The fixed part: links, flows for each gate, stations.

    Args:
        links: pairs of letters.
        gateways: letters of the segment's gateways.
        stations: that send.
        moves: peers hear that the segment has moved, each at any time; else all of them believe it
            to be at the first gateway, whatever the gates are.
    """

    def __init__(self, links, gateways, stations, moves=False):
        self.moves = moves
        self.overlay = OverlayModel(links, gateways=gateways, hosts=("Host1",))
        self.gateways = gateways
        self.stations = {s: self.overlay.mac(s) for s in stations}
        self.by_address = {ip: x for x, ip in self.overlay.addresses.items()}
        self.tables = {}
        for letter in self.overlay.letters:
            for gate in Gate if letter in gateways else (Gate.CLOSED,):
                for home in gateways:
                    self.tables[letter, gate, home] = self._tables(letter, gate, home)

    def _tables(self, letter, gate, home):
        tables, overlay = Tables(), self.overlay
        overlay.home, overlay.former = home, next(x for x in self.gateways if x != home)
        flows = rules.flows(overlay.state(letter))
        if letter in self.gateways:
            flows = flows + rules.permits(overlay.port(letter), gate, 1)
        for flow in flows:
            tables.put(prepare(flow))
        return tables

    # A state is (gates, homes, learnt, fdb): two tuples, and two sorted tuples of items.

    def start(self):
        return (
            tuple(Gate.CLOSED for _ in self.gateways),
            tuple(self.gateways[0] for _ in self.overlay.letters),
            tuple(() for _ in self.overlay.letters),
            (),
        )

    def steps(self, state):
        """(what, next state) of everything that can happen."""
        gates, homes, learnt, fdb = state
        for place, letter in enumerate(self.gateways):
            for gate in Gate:
                if gate is not gates[place]:
                    changed = (*gates[:place], gate, *gates[place + 1 :])
                    yield (letter, gate.name), (changed, homes, learnt, fdb)
        for place, letter in enumerate(self.overlay.letters):
            for home in self.gateways if self.moves else ():
                if home != homes[place]:
                    moved = (*homes[:place], home, *homes[place + 1 :])
                    yield (letter, f"hears of {home}"), (gates, moved, learnt, fdb)
            if learnt[place]:
                left = (*learnt[:place], (), *learnt[place + 1 :])
                yield (letter, "forgets"), (gates, homes, left, fdb)
        if fdb:
            yield ("segment", "forgets"), (gates, homes, learnt, ())
        for sender, src in self.stations.items():
            for dst in (BROADCAST, *(mac for mac in self.stations.values() if mac != src)):
                yield (sender, dst), self.send(state, sender, src, dst)

    def send(self, state, sender, src, dst):
        gates, homes, learnt, fdb = state
        fdb = dict(fdb)
        known = {x: dict(items) for x, items in zip(self.overlay.letters, learnt, strict=True)}
        tables = {
            x: self.tables[
                x, gates[self.gateways.index(x)] if x in self.gateways else Gate.CLOSED, home
            ]
            for x, home in zip(self.overlay.letters, homes, strict=True)
        }
        queue = deque()
        if sender == "Host1":
            self._on_segment("Host1", src, dst, fdb, (), queue)
        else:
            queue.append((sender[0], CONTAINER, "0.0.0.0", 0, ()))
        copies = 0
        while queue:
            copies += 1
            if copies > MAX_COPIES:
                raise Broken("no_loop", "the frame circulates")
            letter, port, tun_src, tun_id, way = queue.popleft()
            tables[letter].learnt = known[letter]
            walk = tables[letter].walk(port, src, dst, tun_src, tun_id)
            for lesson, mac in walk.noted:
                known[letter][lesson.table, mac, lesson.priority] = lesson.taught
            if walk.sent and port == GATEWAY:
                if len(way) > 1 or way == (f"out {letter}",):
                    raise Broken("no_loop", f"{sender} to {dst}: {way}, in {letter}")
                way = (*way, f"in {letter}")
            for copy in walk.sent:
                if copy.port == TUNNEL:
                    target = self.by_address[copy.tun_dst]
                    queue.append((target, TUNNEL, copy.tun_src, copy.tun_id, way))
                elif copy.port == GATEWAY:
                    if way or sender == "Host1":
                        raise Broken("no_loop", f"{sender} to {dst}: {way}, out {letter}")
                    self._on_segment(letter, src, dst, fdb, (f"out {letter}",), queue)
                elif f"{letter}-c1" == sender:
                    raise Broken("no_loop", f"{sender} to {dst}: back at its sender, {way}")
        learnt = tuple(tuple(sorted(known[x].items())) for x in self.overlay.letters)
        return gates, homes, learnt, tuple(sorted(fdb.items()))

    def _on_segment(self, entered_by, src, dst, fdb, way, queue):
        fdb[src] = entered_by
        place = fdb.get(dst)
        for port in ("Host1", *self.gateways):
            if port == entered_by or (place is not None and place != port):
                continue
            if port == "Host1":
                if src == self.stations["Host1"]:
                    raise Broken("no_loop", f"Host1's own frame came back to it: {way}")
            else:
                queue.append((port, GATEWAY, "0.0.0.0", 0, way))


def search(network, limit=None):
    """Visit every state. Returns figures; raises `Found`."""
    began = time.monotonic()
    start = network.start()
    came_from = {start: None}
    queue = deque([start])
    sent = 0
    while queue:
        state = queue.popleft()
        try:
            for what, following in network.steps(state):
                sent += 1
                if following not in came_from:
                    came_from[following] = (state, what)
                    queue.append(following)
        except Broken as broken:
            way = []
            while came_from[state] is not None:
                state, what = came_from[state]
                way.append(what)
            raise Found(broken, way[::-1], plain=True) from broken
        if limit is not None and len(came_from) > limit:
            break
    return {
        "states": len(came_from),
        "transitions": sent,
        "is_complete": not queue,
        "seconds": round(time.monotonic() - began, 1),
    }


NETWORKS = {
    "two gateways and a peer": lambda: Network(
        [("A", "B"), ("A", "W"), ("B", "W")], "AB", ("W-c1", "Host1")
    ),
    "two gateways with a peer between": lambda: Network(
        [("A", "W"), ("B", "W")], "AB", ("W-c1", "Host1")
    ),
    "two gateways with a peer between, and moves": lambda: Network(
        [("A", "W"), ("B", "W")], "AB", ("W-c1", "Host1"), moves=True
    ),
}
