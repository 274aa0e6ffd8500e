"""The references of the commands leave none out."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from weave_ryu.cli.main import build_parser
from weave_ryu.cli.manual import render
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


@pytest.mark.parametrize("parser", list(commands(build_parser())), ids=lambda parser: parser.prog)
def test_help_of_every_command_has_an_example(parser):
    assert "example" in parser.format_help()


def test_manual_page_is_current():
    path = DOCS / "man" / "weave-ryu.1"
    assert path.read_text() == render(), f"python -m weave_ryu.cli.manual > {path}"


def test_manual_page_is_one_that_groff_takes():
    if shutil.which("man") is None:
        pytest.skip("man is not installed: ovs_scripts/install-deps --tests")
    found = subprocess.run(
        ["man", "--warnings=all", "-l", str(DOCS / "man" / "weave-ryu.1")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (found.returncode, found.stderr) == (0, "")
    for words in ("weave-ryu gateway activate PORT [options]", "--api-ca-file", "WEAVE_PASSWORD"):
        assert words in found.stdout
