"""Ratios that a build keeps, measured side by side in one run, with generous bounds.

They do not say how fast anything is: `make bench` does. They say that nothing has become slower by
the order that one bad change makes: a flow that defeats the switch's cache, a loop over all MACs, a
quadratic computation.
"""

import json
import random
import time
from functools import partial

import pytest

from bench.macs import learnt_lines
from bench.mesh import Mesh
from bench.rates import best_rate
from bench.sheet import Sheet, interleave
from bench.stand import Solo, result_of, start_inside
from weave_ryu.mesh.gossip import TopologyData
from weave_ryu.mesh.peers import Peers
from weave_ryu.mesh.topology import UpdateReader
from weave_ryu.names import ShortId
from weave_ryu.pipeline import rules
from weave_ryu.pipeline.state import ForwardingState, LocalPort


def ratio_of(ours, theirs, repeats=3):
    """The median of the ratios of processor times, side by side."""
    sheet = Sheet("theirs")

    def timed(name, action):
        started = time.process_time()
        action()
        sheet.add("", "time", "s", time.process_time() - started, contender=name)

    interleave({"ours": partial(timed, "ours", ours), "theirs": partial(timed, "theirs", theirs)},
               repeats)  # fmt: skip
    return sheet.ratio(sheet.series[0])


def test_flows_for_ten_times_the_peers_take_no_hundred_times_as_long():
    few, many = Mesh(60, "sparse"), Mesh(600, "sparse")
    growth = ratio_of(lambda: rules.flows(many.state()), lambda: rules.flows(few.state()))
    assert growth < 60


def test_what_a_neighbour_tells_again_costs_a_fraction_of_what_is_new():
    from tests.scale.scale_world import entries_of, full_links

    entries = entries_of(150, full_links(150))
    teller = Peers.from_entries(entries, entries[1].name, random.Random(1))
    told = TopologyData(teller, frozenset(teller.names)).encode()
    tables = []

    def first():
        table = Peers(entries[0], random.Random(1))
        reader = UpdateReader(table)
        tables.append((table, reader))
        for payload in told:
            table.merge(reader.read(payload))

    def again():
        table, reader = tables[-1]
        for payload in told:
            table.merge(reader.read(payload))

    first()
    assert ratio_of(again, first) < 0.5


@pytest.mark.netns
def test_the_pipeline_passes_at_least_half_of_what_normal_does():
    ports = tuple(LocalPort(number, f"p{number}") for number in (1, 2))
    sheet = Sheet("normal")

    def measure(name, stand):
        ends = [stand.end(1), stand.end(2)]
        # Both addresses are known before anything is counted.
        best_rate(ends[1], ends[0], 0.05, first_rate=1_000_000)
        found = best_rate(*ends, 0.25, first_rate=20_000)
        sheet.add("", "frames", "1/s", found, contender=name, more_is_better=True)

    with Solo("wrbgours", 2) as ours, Solo("wrbgnormal", 2) as normal:
        ours.add_pipeline(ForwardingState(ShortId(1), local_ports=ports))
        normal.add_flows(["actions=NORMAL"])
        interleave(
            {"ours": partial(measure, "ours", ours), "normal": partial(measure, "normal", normal)},
            3,
        )
    assert sheet.ratio(sheet.find("", "frames", "ours")) >= 0.5


@pytest.mark.netns
def test_forgetting_macs_takes_a_fraction_of_reading_them():
    number = 2000
    with Solo("wrbgmacs") as stand:
        stand.add_pipeline(ForwardingState(ShortId(1)))
        stand.add_flows(learnt_lines(number), instead=False)
        rundir = str(stand.ovs.rundir)
        worker = start_inside(stand.ovs.namespace, "bench.worker", "macs", rundir, str(number))
        found = json.loads(result_of(worker, 60))
    assert (found["known"], found["left"]) == (number, 0)
    assert found["forget_ms"] < 0.5 * found["read_ms"]
