"""The reference of the commands leaves none out."""

import re
from pathlib import Path

import pytest

from weave_ryu.cli.main import build_parser
from weave_ryu.cli.reference import commands

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "reference" / "cli.md"


@pytest.mark.parametrize("parser", list(commands(build_parser())), ids=lambda parser: parser.prog)
def test_reference_has_every_command_with_all_its_options(parser):
    page = PAGE.read_text()
    assert f"## {parser.prog}\n" in page, (
        "python -m weave_ryu.cli.reference > docs/reference/cli.md"
    )
    section = page.split(f"## {parser.prog}\n", 1)[1].split("\n## ", 1)[0]
    for option in re.findall(r"--[a-z-]+", parser.format_help()):
        assert option in section, option


@pytest.mark.parametrize(
    "page", sorted([*DOCS.rglob("*.md"), *DOCS.parent.glob("*.md")]), ids=lambda page: page.name
)
def test_links_lead_to_pages_that_exist(page):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target
