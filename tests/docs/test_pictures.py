"""The pictures of the documentation are those that the script makes."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tests" / "web" / "screenshot.py"


def test_every_picture_is_made_by_the_script_and_shown():
    pictures = {path.name for path in (ROOT / "docs" / "images").iterdir()}
    (schemes,) = (
        ast.literal_eval(node.iter)
        for node in ast.walk(ast.parse(SCRIPT.read_text()))
        if isinstance(node, ast.For) and getattr(node.target, "id", "") == "scheme"
    )
    assert pictures == {f"page-{scheme}.png" for scheme in schemes}
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    shown = {name for page in pages for name in re.findall(r"images/([\w.-]+)", page.read_text())}
    assert shown == pictures


def test_make_has_a_target_for_them():
    assert "tests/web/screenshot.py docs/images" in (ROOT / "Makefile").read_text()
