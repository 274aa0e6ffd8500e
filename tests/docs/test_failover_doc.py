"""The page on failover says what the code does."""

from pathlib import Path

from weave_ryu.gateway.detection import Verdict
from weave_ryu.gateway.states import mermaid
from weave_ryu.gateway.timers import PROFILES

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "failover.md"


def test_state_diagram_is_that_of_the_transition_table():
    assert f"```mermaid\n{mermaid()}\n```" in PAGE.read_text()


def test_page_names_every_verdict():
    text = PAGE.read_text()
    for verdict in Verdict:
        assert f"| {verdict} |" in text, verdict


def test_page_quotes_the_timers_of_the_code():
    text, timers = PAGE.read_text(), PROFILES["default"]
    assert f"=  {timers.give_up_s:.1f} s" in text
    assert f"{timers.take_over_s:.1f} s of silence" in text
    assert f"under {timers.silent_s * 1000:.0f} ms old" in text
    assert f"`fast`: {PROFILES['fast'].silent_s * 1000:.0f} ms" in text
    assert f"every {timers.renew_s * 1000:.0f} ms" in text
