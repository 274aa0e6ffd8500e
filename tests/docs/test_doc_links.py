"""No link of the documentation is dead: pages, pictures, headings."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("vagrant/*.md")])


def headings(page):
    """Anchors of a page, as forges make them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    found = set()
    for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        kept = re.sub(r"[^\w\- ]", "", title.lower())
        found.add(kept.replace(" ", "-"))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_what_exists(page):
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text())
    for link in links:
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in headings(target), link


def test_every_page_is_reached_from_the_first_one():
    reached, left = set(), [ROOT / "README.md"]
    while left:
        page = left.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        for link in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
            if "://" not in link:
                left.append((page.parent / link).resolve())
    lost = {page for page in PAGES if page.is_relative_to(ROOT / "docs")} - reached
    assert lost == set()


def test_paths_that_pages_name_exist():
    """`tests/…`, `contrib/…` and the like in running text are no links, but are followed too."""
    for page in PAGES:
        if page.name == "CHANGELOG.md":
            continue
        named = re.findall(
            r"`((?:tests|contrib|weave_ryu|ovs_scripts|vagrant|docs)/[\w./*-]+)`", page.read_text()
        )
        for path in named:
            assert list(ROOT.glob(path.rstrip("/"))), (page.name, path)
