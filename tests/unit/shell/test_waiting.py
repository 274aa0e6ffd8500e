"""Names and links that are not there at the start."""

import pytest
import structlog

from weave_ryu.errors import ConfigError, NetworkError, UnresolvedError
from weave_ryu.mesh.config import Address


@pytest.fixture
def waiting(shell):
    from weave_ryu.shell import waiting

    return waiting


@pytest.fixture
def names(waiting, monkeypatch):
    """Names, what they resolve to, and what was connected; time passes at once."""
    known, connected, pauses = {}, [], []

    def resolve(text):
        if not known.get(text):
            raise UnresolvedError("--peer", text, "no such host")
        return known[text]

    def sleep(seconds):
        pauses.append(seconds)
        if len(pauses) == 3:
            known["gw2"] = [Address("192.0.2.2", None)]

    monkeypatch.setattr(waiting.meshd, "resolve", resolve)
    monkeypatch.setattr(waiting.hub, "sleep", sleep)
    monkeypatch.setattr(waiting.hub, "spawn", lambda function, *words: function(*words))
    return waiting.Names(connected.extend), known, connected, pauses


def test_addresses_need_no_look_up(names):
    found = names[0].split(["192.0.2.1", "gw2", "192.0.2.3:7000"])
    assert found == ([Address("192.0.2.1", None), Address("192.0.2.3", 7000)], ["gw2"])


@pytest.mark.parametrize("text", ["\0", "a b", "", "192.0.2.300", "1.2.3", "-x", "x" * 64, "gw:0"])
def test_what_can_never_be_a_host_is_refused(names, text):
    with pytest.raises(ConfigError) as caught:
        names[0].split([text])
    assert not isinstance(caught.value, UnresolvedError)


def test_name_is_asked_for_until_it_has_an_address_and_told_of_once(names):
    asked, _, connected, pauses = names
    with structlog.testing.capture_logs() as logged:
        asked.ask(["gw2"])
    assert connected == [Address("192.0.2.2", None)]
    assert len(pauses) == 3
    assert [line["event"] for line in logged] == ["peer_not_resolved", "peer_resolved"]


def test_name_that_is_known_at_once_makes_no_line(names):
    asked, known, connected, _ = names
    known["gw1"] = [Address("192.0.2.1", None)]
    with structlog.testing.capture_logs() as logged:
        asked.ask(["gw1"])
    assert (connected, logged) == (known["gw1"], [])


def test_name_that_is_forgotten_is_asked_for_no_more(names, waiting, monkeypatch):
    asked, _, connected, _ = names
    monkeypatch.setattr(waiting.hub, "sleep", lambda _: asked.forget(["gw3"]))
    asked.ask(["gw3"])
    assert connected == []


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
