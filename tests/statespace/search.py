"""Breadth-first search of all reachable states, and what lies ahead of each without faults."""

from __future__ import annotations

import time
from collections import deque

from tests.statespace.roles import Broken

SETTLE_TICKS = 40
"""A continuation without faults has one forwarder, and stays so, after this many ticks at most."""


MAX_SHOWN = 40


def _told(step):
    order, action = step
    what = action if action is None or action == "calm" else (action[0], *map(int, action[1:]))
    return f"order {''.join(str(int(name)) for name in order)}, {what or 'nothing'}"


class Found(AssertionError):
    """An invariant is broken; says by which way."""

    def __init__(self, broken, way, plain=False):
        told = str if plain else _told
        steps = enumerate(way, 1)
        lines = [f"  step {n}: {told(step)}" for n, step in steps if n > len(way) - MAX_SHOWN]
        super().__init__("\n".join([str(broken), *lines]))
        self.name = broken.name


def search(start, limit=None, progress=None):
    """Visit every state that can be reached.

    Args:
        start: a `World`.
        limit: give up beyond so many states; None = never.
        progress: called with the number of states every now and then.

    Returns:
        A dictionary of figures.

    Raises:
        Found: safety or liveness does not hold.
    """
    began = time.monotonic()
    orders = [tuple(start.nodes), tuple(reversed(start.nodes))]
    first = hash(start.key())
    came_from = {first: None}
    calm_next, still_next = {}, {}
    is_one = {first: len(start.open_nodes()) == 1}
    is_served = {first: start.is_served}
    queue = deque([(first, start)])
    transitions = 0
    while queue:
        here, world = queue.popleft()
        for order, action in _choices(world, orders):
            nxt = world.copy()
            try:
                if action == "calm":
                    for repair in list(nxt.repairs()):
                        nxt._act(*repair)
                    nxt.tick(order)
                else:
                    nxt.tick(order, action)
            except Broken as broken:
                way = [*_way(came_from, here), (order, action)]
                raise Found(broken, way) from broken
            transitions += 1
            key = hash(nxt.key())
            if action == "calm":
                calm_next[here] = key
            elif action is None and order == orders[0]:
                still_next[here] = key
            if key not in came_from:
                came_from[key] = (here, (order, action))
                is_one[key] = len(nxt.open_nodes()) == 1
                is_served[key] = nxt.is_served
                queue.append((key, nxt))
                if progress and len(came_from) % 5000 == 0:
                    progress(len(came_from))
        if limit is not None and len(came_from) > limit:
            break
    figures = {
        "states": len(came_from),
        "transitions": transitions,
        "is_complete": not queue,
        "seconds": round(time.monotonic() - began, 1),
    }
    if not queue:
        figures["ticks_until_one_forwards"] = {
            "if all is repaired at once": _check_available(calm_next, is_one, came_from),
            "if nothing is ever repaired": _check_available(still_next, is_served, came_from),
        }
    return figures


def _choices(world, orders):
    """Every order with every fault or repair; and the continuation in which all comes right."""
    yield orders[0], "calm"
    repairs = list(world.repairs())
    for order in orders:
        yield order, None
        for repair in repairs:
            yield order, repair
        for fault in world.faults():
            yield order, fault


def _way(came_from, key):
    steps = []
    while came_from[key] is not None:
        key, step = came_from[key]
        steps.append(step)
    return steps[::-1]


def _check_available(next_of, is_good, came_from):
    """The longest time without faults until it is good, for good."""
    distance = {}
    for key in next_of:
        path = []
        at = key
        while at not in distance and len(path) <= SETTLE_TICKS * 2:
            path.append(at)
            distance[at] = None
            at = next_of[at]
        if distance.get(at) is None:
            # A cycle that has just been found: good only if all of it is.
            cycle = path[path.index(at) :] if at in path else []
            if not cycle or not all(is_good[state] for state in cycle):
                broken = Broken("available", "without faults it never comes to one forwarder")
                raise Found(broken, _way(came_from, key))
            for state in cycle:
                distance[state] = 0
            path = path[: path.index(at)]
        for state in reversed(path):
            ahead = distance[next_of[state]]
            distance[state] = 0 if is_good[state] and ahead == 0 else ahead + 1
    longest = max(distance.values())
    if longest > SETTLE_TICKS:
        state = max(distance, key=distance.get)
        broken = Broken("available", f"{longest} ticks until one forwards")
        raise Found(broken, _way(came_from, state))
    return longest
