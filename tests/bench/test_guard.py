"""Ratios that a build keeps, measured side by side in one run, with generous bounds.

They do not say how fast anything is: `make bench` does. They say that nothing has become slower by
the order that one bad change makes: a flow that defeats the switch's cache, a loop over all MACs, a
quadratic computation.
"""

import json
import os
import random
import subprocess
import sys
import time
from contextlib import contextmanager
from functools import partial

import pytest

from bench.macs import learnt_lines
from bench.mesh import Mesh
from bench.processes import cpu_s
from bench.rates import arrivals, best_rate
from bench.sheet import Sheet, interleave
from bench.stand import Solo, result_of, start_inside
from bench.upcalls import packet_in_stand
from weave_ryu.mesh.gossip import TopologyData
from weave_ryu.mesh.peers import Peers
from weave_ryu.mesh.routes import broadcast_tables
from weave_ryu.mesh.routing import RoutingTables
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


def test_routes_to_ten_times_the_peers_take_no_hundred_times_as_long():
    from tests.scale.scale_world import entries_of, sparse_links

    tables = {}
    for number in (60, 600):
        entries = entries_of(number, sparse_links(number, 6))
        tables[number] = Peers.from_entries(entries, entries[0].name, random.Random(1))
    routes = {number: RoutingTables(table) for number, table in tables.items()}

    def compute(number, times):
        for _ in range(times):
            tables[number]._set_own(tables[number].own)
            routes[number].recalculate()
            broadcast_tables(routes[number].frame_graph, tables[number].own.name)

    # One of the small ones is too short for the clock of processor time.
    growth = ratio_of(lambda: compute(600, 5), lambda: compute(60, 50)) * 10
    assert growth < 60


def test_a_command_costs_a_few_times_what_python_itself_costs():
    def run(*arguments):
        before = os.times()
        subprocess.run([sys.executable, *arguments], capture_output=True, check=False)
        after = os.times()
        times.append(sum(after[2:4]) - sum(before[2:4]))

    found = []
    for _ in range(5):
        times = []
        run("-m", "weave_ryu", "status", "--http-addr", "127.0.0.1:1")
        run("-c", "import argparse, http.client, json")
        found.append(times[0] / times[1])
    # The daemon's own modules cost fifteen times as much.
    assert sorted(found)[2] < 6


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


def beside(other, measure):
    """The ratio of what is measured on this project's pipeline and on another switch."""
    ports = tuple(LocalPort(number, f"p{number}") for number in (1, 2))
    sheet = Sheet("other")

    def one(name, stand):
        # The switch knows where frames are to go.
        arrivals(stand.end(2), stand.end(1), 100, 0.1)
        sheet.add("", "value", "", measure(stand), contender=name)

    with Solo("wrbgours", 2) as ours, other as theirs:
        ours.add_pipeline(ForwardingState(ShortId(1), local_ports=ports))
        interleave({"ours": partial(one, "ours", ours), "other": partial(one, "other", theirs)}, 3)
    return sheet.ratio(sheet.find("", "value", "ours"))


@contextmanager
def normal_stand():
    with Solo("wrbgnormal", 2) as stand:
        stand.add_flows(["actions=NORMAL"])
        yield stand


@pytest.mark.netns
@pytest.mark.thorough
def test_the_pipeline_passes_at_least_half_of_what_normal_does():
    def frames_a_second(stand):
        return best_rate(stand.end(1), stand.end(2), 0.25, first_rate=20_000)

    assert beside(normal_stand(), frames_a_second) >= 0.5


@pytest.mark.netns
@pytest.mark.thorough
def test_a_frame_costs_the_switch_no_more_than_twice_what_it_does_with_normal():
    def cost_s(stand):
        before = cpu_s(stand.ovs.vswitchd.pid)
        frames = arrivals(stand.end(1), stand.end(2), 20_000, 1.0).frames
        return (cpu_s(stand.ovs.vswitchd.pid) - before) / frames

    assert beside(normal_stand(), cost_s) <= 2


@pytest.mark.netns
@pytest.mark.thorough
def test_learning_in_the_switch_takes_more_new_addresses_than_packet_in():
    def new_addresses(stand):
        return arrivals(stand.end(1), stand.end(2), 20_000, 0.5, "new").frames

    assert beside(packet_in_stand("wrbgpktin"), new_addresses) >= 1


@pytest.mark.netns
@pytest.mark.thorough
def test_a_lost_connection_costs_the_switch_no_more_than_all_flows_anew():
    with Solo("wrbgpeers") as stand:
        rundir = str(stand.ovs.rundir)
        words = ("peers", rundir, "200", "full", "3")
        worker = start_inside(stand.ovs.namespace, "bench.worker", *words)
        found = json.loads(result_of(worker, 60))
    assert sorted(found["far_ms"])[1] < 0.5 * sorted(found["install_ms"])[1]


@pytest.mark.netns
@pytest.mark.thorough
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
