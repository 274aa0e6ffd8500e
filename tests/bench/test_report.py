from xml.etree import ElementTree

import pytest

from bench import plot, report
from bench.plan import Benchmark, Target
from bench.sheet import Sheet

MACHINE = {"kernel": "6.1"}


def sheet():
    found = Sheet("theirs")
    for ours, theirs in ((9, 10), (19, 20)):
        found.add("A <to> B", "rate", "1/s", ours, contender="weave-ryu", more_is_better=True)
        found.add("A <to> B", "rate", "1/s", theirs, contender="theirs", more_is_better=True)
    return found


def benchmark(*targets):
    return Benchmark("name", "Title", "One. Two. Three.", lambda _: sheet(), targets)


def target(bound, unit="ratio", metric="rate"):
    return Target("fast", bound, unit, "A <to> B", metric, "weave-ryu", at_least=True)


@pytest.mark.parametrize(
    ("goal", "verdict"),
    [
        (target(0.9), "met"),
        (target(0.95), "missed"),
        (target(14, "1/s"), "met"),
        (target(14.1, "1/s"), "missed"),
        (target(1, metric="other"), "not measured"),
        (Target("slow", 14, "1/s", "A <to> B", "rate", "weave-ryu"), "met"),
        (Target("slow", 13, "1/s", "A <to> B", "rate", "weave-ryu"), "missed"),
    ],
)
def test_each_target_has_a_verdict(goal, verdict):
    assert report.targets(benchmark(goal), sheet())[0][-1] == verdict


def test_a_page_says_of_what_is_not_measured_how_to_measure_it(tmp_path):
    page = report.page(tmp_path, [benchmark()])
    assert "No figures here yet" in page
    assert "One. Two. Three." in page


def test_a_page_shows_figures_targets_and_the_machine(tmp_path):
    one = benchmark(target(0.9), target(0.95))
    found = report.document(one, sheet(), MACHINE, is_quick=False, took_s=12.3)
    report.write(tmp_path, one, found)
    page = report.page(tmp_path, [one])
    row = "| A <to> B | rate | weave-ryu | 14.0 | 9 | 19.0 | 1/s | 0.925 (0.9 to 0.95) |"
    assert row in page
    assert page.count("| met |") == 1
    assert page.count("| missed |") == 1
    assert "![Title](name.svg)" in page
    assert "Ratios are against theirs." in page
    assert "kernel 6.1" in page
    assert "quick" not in page


def test_figures_of_a_quick_run_are_marked(tmp_path):
    one = benchmark()
    report.write(tmp_path, one, report.document(one, sheet(), MACHINE, is_quick=True, took_s=1))
    assert "figures of a quick run" in report.page(tmp_path, [one])
    assert "figures not meant" in (tmp_path / "name.svg").read_text()


def test_the_picture_holds_a_bar_and_a_number_for_each_contender():
    tree = ElementTree.fromstring(plot.draw("Title", sheet()))
    texts = [item.text for item in tree.iter("{http://www.w3.org/2000/svg}text")]
    assert "14.0 (9 to 19.0)" in texts
    assert "15.0 (10.0 to 20.0)" in texts
    bars = list(tree.iter("{http://www.w3.org/2000/svg}rect"))[1:]
    widths = [float(bar.get("width")) for bar in bars]
    assert widths[0] / widths[1] == pytest.approx(14 / 15, abs=0.01)


def test_a_picture_leaves_out_what_is_not_to_be_drawn():
    found = sheet()
    found.add("A <to> B", "loss", "frames", 3, contender="weave-ryu")
    assert "loss" in plot.draw("Title", found)
    assert "loss" not in plot.draw("Title", found, ("rate",))


def compared(ours, theirs, *, more_is_better, metric="rate"):
    found = Sheet("theirs")
    for name, values in (("weave-ryu, x", ours), ("theirs", theirs)):
        for value in values:
            found.add("A", metric, "1/s", value, contender=name, more_is_better=more_is_better)
    return found


@pytest.mark.parametrize(
    ("found", "by"),
    [
        (compared([5, 50], [10, 100], more_is_better=True), "2 times"),
        (compared([10, 100], [5, 50], more_is_better=False), "2 times"),
        (compared([3], [0], more_is_better=False), "it has none"),
    ],
)
def test_what_does_better_is_listed(found, by):
    assert [row[-1] for row in report.losses(benchmark(), found)] == [by]


@pytest.mark.parametrize(
    "found",
    [
        compared([10], [5], more_is_better=True),
        compared([5], [10], more_is_better=False),
        compared([0], [0], more_is_better=False),
        compared([96], [100], more_is_better=True),
        compared([0], [7], more_is_better=False),
    ],
)
def test_what_is_no_better_is_not_listed(found):
    assert report.losses(benchmark(), found) == []


def test_nobody_loses_by_what_only_says_how_far_to_trust_the_rest():
    found = compared([9], [1], more_is_better=False, metric="pause")
    one = Benchmark("name", "Title", "One.", lambda _: found, not_compared=("pause",))
    assert report.losses(benchmark(), found)
    assert report.losses(one, found) == []


def test_the_page_lists_what_does_better(tmp_path):
    one = benchmark()
    report.write(tmp_path, one, report.document(one, sheet(), MACHINE, is_quick=False, took_s=1))
    row = (
        "| [name](#name) | A <to> B | rate | 14.0 (weave-ryu) | 15.0 (theirs) | 1/s | 1.08 times |"
    )
    assert row in report.page(tmp_path, [one])


def texts_of(picture):
    tree = ElementTree.fromstring(picture)
    return [item.text for item in tree.iter("{http://www.w3.org/2000/svg}text")]


def test_cases_of_a_single_contender_stand_below_each_other():
    found = Sheet()
    for size in (10, 100):
        found.add(f"{size} peers", "time", "ms", size)
        found.add(f"{size} peers", "flows", "flows", size)
    assert texts_of(plot.draw("Title", found))[1:6] == [
        "time, ms (less is better)",
        "10 peers",
        "10.0 (10.0 to 10.0)",
        "100 peers",
        "100 (100 to 100)",
    ]


def test_bars_that_would_not_be_seen_are_drawn_on_a_logarithmic_scale():
    found = Sheet("b")
    for name, value in (("a", 10), ("b", 100), ("c", 1000), ("d", 0)):
        found.add("case", "time", "ms", value, contender=name)
    tree = ElementTree.fromstring(plot.draw("Title", found))
    bars = list(tree.iter("{http://www.w3.org/2000/svg}rect"))[1:]
    widths = [float(bar.get("width")) for bar in bars]
    assert widths[1] - widths[0] == pytest.approx(widths[2] - widths[1], abs=0.2)
    assert widths[3] == 1
    assert "case: time, ms (less is better); logarithmic scale" in texts_of(
        plot.draw("Title", found)
    )


def test_a_picture_tells_the_ratio_that_a_target_is_about(tmp_path):
    one = benchmark(target(0.95))
    report.write(tmp_path, one, report.document(one, sheet(), MACHINE, is_quick=False, took_s=1))
    words = "14.0 (9 to 19.0); 0.925 of theirs, at least 0.95 ratio: missed"
    assert words in texts_of((tmp_path / "name.svg").read_text())


def test_a_picture_tells_the_verdict_beside_the_bar(tmp_path):
    one = benchmark(target(14.1, "1/s"))
    report.write(tmp_path, one, report.document(one, sheet(), MACHINE, is_quick=False, took_s=1))
    assert "14.0 (9 to 19.0); at least 14.1 1/s: missed" in texts_of(
        (tmp_path / "name.svg").read_text()
    )
