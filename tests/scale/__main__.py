"""``python -m tests.scale``: how the mesh grows. Prints a table; each row is a process of its own.

Nothing fails here: the bounds that a build keeps are counts, in ``test_scale.py``.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import subprocess
import sys
import time
import tracemalloc
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent)]

from scale_world import World, entries_of, full_links, name_of, sparse_links  # noqa: E402

from weave_ryu.mesh.gossip import TopologyData  # noqa: E402
from weave_ryu.mesh.peers import Peers  # noqa: E402
from weave_ryu.mesh.routes import broadcast_tables  # noqa: E402
from weave_ryu.mesh.routing import RoutingTables  # noqa: E402
from weave_ryu.mesh.topology import UpdateReader, encode_update  # noqa: E402

DEGREE = 6
SIZES = (50, 100, 200, 500, 1000)
COLD = {"sparse": (50, 100, 200), "full": (25, 50)}


@dataclass(frozen=True)
class Row:
    """One mesh at rest, in which a connection ends; and one peer of it alone.

    Attributes:
        converged_s: virtual seconds until all know it and have computed routes.
        messages: sent per peer meanwhile, without rounds and heartbeats.
        sent_kb: per peer, in all.
        cpu_ms: processor time per peer, in all.
        table_kb: a complete table as it is told.
        round_kb_s: what a peer sends in rounds, per second: the table to 2 log2 n every 30 s.
        same_ms: processor time to take in a complete table in which nothing is new.
        changed_ms: the same with one entry that is.
        routes_ms: all routes after one change, the trees for broadcasts among them.
        memory_mb: of one peer's table and routes.
    """

    shape: str
    peers: int
    connections: float
    converged_s: float
    messages: float
    sent_kb: float
    cpu_ms: float
    table_kb: float
    round_kb_s: float
    same_ms: float
    changed_ms: float
    routes_ms: float
    memory_mb: float


def links_of(shape, peers):
    return full_links(peers) if shape == "full" else sparse_links(peers, DEGREE)


def cpu_ms(action, times=5):
    """The median of some runs."""
    found = []
    for _ in range(times):
        started = time.process_time()
        action()
        found.append((time.process_time() - started) * 1000)
    return sorted(found)[len(found) // 2]


def alone(shape, peers):
    """One peer's table, filled from the wire as in life."""
    entries = entries_of(peers, links_of(shape, peers))
    own, teller = entries[0], Peers.from_entries(entries, entries[1].name, random.Random(1))
    # In several messages if one would be over the limit.
    told = TopologyData(teller, frozenset(teller.names)).encode()
    del teller
    newer = [raw_of_newer(entries, number) for number in range(1, 7)]
    del entries
    tracemalloc.start()
    table = Peers(own, random.Random(1))
    reader = UpdateReader(table)
    take_in(table, reader, told)
    routes = RoutingTables(table)
    memory = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    same = cpu_ms(lambda: take_in(table, reader, told))
    updates = iter(newer)
    changed = cpu_ms(lambda: take_in(table, reader, [next(updates)]))

    def compute():
        table._set_own(table.own)
        routes.recalculate()
        broadcast_tables(routes.frame_graph, own.name)

    size = sum(map(len, told))
    wanted = min(int(2 * math.log2(peers)), 2 * len(links_of(shape, peers)) // peers)
    return {
        "table_kb": size / 1e3,
        "round_kb_s": size * wanted / 30 / 1e3,
        "same_ms": same,
        "changed_ms": changed,
        "routes_ms": cpu_ms(compute),
        "memory_mb": memory / 1e6,
    }


def take_in(table, reader, payloads):
    for payload in payloads:
        table.merge(reader.read(payload))


def raw_of_newer(entries, number):
    """One entry, one version further."""
    table = Peers(entries[number], random.Random(1))
    table._set_own(table.own)
    return encode_update([table.own])


def together(shape, peers):
    """The whole mesh, in which one connection ends."""
    links = links_of(shape, peers)
    world = World(peers, links)
    world.reset()
    one, other = links[len(links) // 2]
    world.break_link(one, other)
    changed = [name_of(one), name_of(other)]
    took = world.run_until(lambda: world.versions(changed), 60)
    return {
        "converged_s": took,
        "messages": world.traffic.messages / peers,
        "sent_kb": world.traffic.bytes / peers / 1e3,
        "cpu_ms": world.cpu_s / peers * 1e3,
    }


def cold(shape, peers):
    """From nothing: all start within five seconds and dial whom they are told to."""
    world = World(peers, links_of(shape, peers), joined=False)
    everybody = [name_of(number) for number in range(1, peers + 1)]
    took = world.run_until(lambda: world.versions(everybody) and world.at_rest(), 120, 0.5)
    return {
        "converged_s": took,
        "messages": world.traffic.messages / peers,
        "sent_kb": world.traffic.bytes / peers / 1e3,
        "cpu_ms": world.cpu_s / peers * 1e3,
    }


def in_process(what, shape, peers):
    """One measurement in a process of its own."""
    command = [sys.executable, "-m", "tests.scale", "--one", what, shape, str(peers)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def shown(row):
    cells = [row["shape"], *(f"{value:,.4g}" for key, value in row.items() if key != "shape")]
    return "| " + " | ".join(cells) + " |"


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.scale", description=__doc__)
    parser.add_argument("--peers", type=int, action="append", help=f"sizes (default {SIZES})")
    parser.add_argument("--json", type=Path, help="write what was found into this file")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        what, shape, peers = options.one
        measure = {"alone": alone, "together": together, "cold": cold}[what]
        print(json.dumps(measure(shape, int(peers))))
        return
    rows, starts = [], []
    names = list(Row.__dataclass_fields__)
    print("| " + " | ".join(names) + " |", flush=True)
    for shape in ("sparse", "full"):
        for peers in options.peers or SIZES:
            found = in_process("together", shape, peers) | in_process("alone", shape, peers)
            degree = 2 * len(links_of(shape, peers)) / peers
            rows.append(asdict(Row(shape, peers, degree, **found)))
            print(shown(rows[-1]), flush=True)
    for shape, sizes in COLD.items():
        for peers in sizes:
            found = in_process("cold", shape, peers)
            starts.append({"shape": shape, "peers": peers} | found)
            print(shown(starts[-1]), flush=True)
    if options.json:
        options.json.write_text(json.dumps({"at_rest": rows, "starts": starts}, indent=1))


main()
