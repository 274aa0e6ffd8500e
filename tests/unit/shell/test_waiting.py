"""Links and addresses that are not there at the start."""

import pytest
import structlog

from weave_ryu.errors import ConfigError, NetworkError


@pytest.fixture
def waiting(shell):
    from weave_ryu.shell import waiting

    return waiting


def test_link_is_taken_when_it_is_there_and_refusals_are_told_of_once(waiting, monkeypatch):
    there, taken, wrong = set(), [], [ConfigError("--gateway", "eth9", "carries an address")]
    monkeypatch.setattr(waiting, "exists", there.__contains__)

    def check(name):
        if wrong:
            raise wrong[0]

    found = waiting.Links(["eth9"], check, taken.append)
    with structlog.testing.capture_logs() as logged:
        found.look()
        assert logged == []
        there.add("eth9")
        found.look()
        found.look()
        wrong[0] = NetworkError("no answer")
        found.look()
        wrong.clear()
        found.look()
        found.look()
    assert (taken, found.missing) == (["eth9"], set())
    events = ["gateway_link_refused", "gateway_link_not_added", "gateway_link_there"]
    assert [line["event"] for line in logged] == events


def test_address_of_nobody_is_missing_and_any_is_not(waiting):
    assert waiting._missing(["127.0.0.1", "192.0.2.77"]) == ["192.0.2.77"]
