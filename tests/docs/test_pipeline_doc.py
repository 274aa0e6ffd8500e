"""The reference of the pipeline is what the code says, and every table is explained by hand."""

import re
from pathlib import Path

import pytest

from weave_ryu.pipeline import render
from weave_ryu.pipeline.tables import TABLES

PATH = Path(__file__).parents[2] / "docs" / "reference" / "pipeline.md"
MIN_WORDS = 25


def document():
    return PATH.read_text(encoding="utf-8")


def test_generated_part_is_current():
    assert render.update(document()) == document(), (
        "run: python -m weave_ryu.pipeline.render docs/reference/pipeline.md"
    )


@pytest.mark.parametrize("name", [table.name for table in TABLES])
def test_table_has_prose(name):
    assert len(render.prose(document()).get(name, "").split()) >= MIN_WORDS, (
        f"say what table {name} is for, between <!-- prose: {name} --> and <!-- /prose -->"
    )


def test_no_prose_is_left_of_a_table_that_has_gone():
    assert set(render.prose(document())) == {table.name for table in TABLES}


def test_flows_that_the_prose_quotes_are_in_the_example():
    """A quotation such as `reg3=0x8/0x9` must not outlive the flow that it explains."""
    blocks = render.blocks()
    for name, text in render.prose(document()).items():
        for quoted in re.findall(r"`([^`]*[=>][^`]*)`", text):
            assert quoted in blocks[f"table:{name}"], f"{name} quotes {quoted!r}"


def test_links_within_the_page_lead_to_headings():
    headings = set(re.findall(r"^## (.+)$", document(), re.MULTILINE))
    assert set(re.findall(r"\]\(#([^)]+)\)", document())) <= headings
