"""The benchmarks are what their pages say, as far as that shows without running them."""

import subprocess
import sys
from pathlib import Path

from bench import report
from bench.macs import learnt_lines
from bench.mesh import Mesh
from bench.rates import percentile
from bench.registry import BENCHMARKS

ROOT = Path(__file__).parents[2]


def test_each_benchmark_is_explained_in_three_sentences():
    for one in BENCHMARKS:
        assert one.explains.count(". ") == 2, one.name
        assert one.explains.endswith("."), one.name


def test_the_page_is_the_one_that_its_figures_make():
    directory = ROOT / "docs" / "benchmarks"
    assert (directory / "README.md").read_text() == report.page(directory, BENCHMARKS)


def test_an_unknown_name_is_refused_with_the_names_that_there_are():
    done = subprocess.run(
        [sys.executable, "-m", "bench", "nothing"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "'nothing'" in done.stderr
    assert "datapath" in done.stderr


def test_each_mac_is_two_flows_that_one_cookie_selects():
    lines = learnt_lines(300)
    assert len(set(lines)) == 600
    assert len({line.partition(",")[0] for line in lines}) == 1


def test_a_lost_neighbour_changes_the_ways_to_others():
    mesh = Mesh(30, "sparse")
    before = mesh.state()
    mesh.lose_neighbour()
    after = mesh.state()
    assert len(after.neighbours) == len(before.neighbours) - 1
    assert before.peers != after.peers
    mesh.restore()
    assert mesh.state() == before


def test_a_far_connection_that_is_lost_leaves_the_neighbours():
    mesh = Mesh(30, "full")
    before = mesh.state()
    mesh.lose_far()
    assert mesh.state().neighbours == before.neighbours


def test_a_percentile_is_a_value_that_was_measured():
    assert percentile([3.0, 1.0, 2.0, 4.0], 50) == 3.0
    assert percentile([3.0, 1.0], 99) == 3.0
