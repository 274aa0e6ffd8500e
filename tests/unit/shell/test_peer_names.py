"""Peers that were given by name: looked up again and again, and forgotten by name."""

import pytest
import structlog

from weave_ryu.errors import ConfigError, UnresolvedError
from weave_ryu.mesh.config import Address

ONE, TWO, THREE = (Address(f"192.0.2.{number}", None) for number in (1, 2, 3))


class Stop(Exception):
    """A pause that the test ends at."""


@pytest.fixture
def scene(shell, monkeypatch):
    """Names, what they resolve to, and what is dialled; time passes at once."""
    from weave_ryu.shell import peernames

    class Scene:
        def __init__(self):
            self.known, self.dialled, self.connected = {}, set(), set()
            self.asked, self.pauses, self.during = [], 0, {}
            self.names = peernames.Names(
                self.dialled.update,
                self.dialled.difference_update,
                lambda hosts: not self.connected.isdisjoint(hosts),
            )

        def resolve(self, text, key="--peer"):
            self.asked.append(text)
            if not self.known.get(text):
                raise UnresolvedError(key, text, "no such host")
            return self.known[text]

        def follow(self, name, pauses):
            """Look after a name for so many pauses; returns the events that were logged."""
            self.pauses = pauses
            with structlog.testing.capture_logs() as logged, pytest.raises(Stop):
                if name in self.names._found:
                    self.names._follow(name)
                self.names.ask([name])
            return [line["event"] for line in logged]

        def sleep(self, _):
            self.during.pop(self.pauses, lambda: None)()
            self.pauses -= 1
            if self.pauses <= 0:
                raise Stop

    made = Scene()
    monkeypatch.setattr(peernames.meshd, "resolve", made.resolve)
    monkeypatch.setattr(peernames.hub, "sleep", made.sleep)
    monkeypatch.setattr(peernames.hub, "spawn", lambda function, *words: function(*words))
    return made


def test_addresses_need_no_look_up(scene):
    found = scene.names.split(["192.0.2.1", "gw2", "192.0.2.3:7000"])
    assert found == ([ONE, Address("192.0.2.3", 7000)], ["gw2"])
    assert scene.asked == []


@pytest.mark.parametrize("text", ["\0", "a b", "", "192.0.2.300", "1.2.3", "-x", "x" * 64, "gw:0"])
def test_what_can_never_be_a_host_is_refused(scene, text):
    with pytest.raises(ConfigError) as caught:
        scene.names.split([text])
    assert not isinstance(caught.value, UnresolvedError)


def test_name_is_asked_for_until_it_has_an_address_and_told_of_once(scene):
    scene.during[2] = lambda: scene.known.update(gw2=[TWO])
    assert scene.follow("gw2", 6) == ["peer_not_resolved", "peer_resolved"]
    assert scene.dialled == {TWO}


def test_name_that_is_known_at_once_makes_no_line_and_all_its_addresses_count(scene):
    scene.known["gw1"] = [ONE, TWO]
    assert scene.follow("gw1", 3) == []
    assert scene.dialled == {ONE, TWO}


def test_host_that_has_moved_is_dialled_where_it_is_and_no_more_where_it_was(scene):
    scene.known["gw1"] = [ONE]
    scene.during[2] = lambda: scene.known.update(gw1=[TWO])
    assert scene.follow("gw1", 4) == ["peer_moved"]
    assert scene.dialled == {TWO}


def test_name_of_a_neighbour_is_not_asked_for(scene):
    scene.known["gw1"] = [ONE]
    scene.connected.add(ONE.host)
    scene.follow("gw1", 5)
    assert scene.asked == ["gw1"]
    scene.connected.clear()
    scene.follow("gw1", 2)
    assert len(scene.asked) == 3


def test_name_that_resolves_no_more_keeps_its_addresses(scene):
    scene.known["gw1"] = [ONE]
    scene.during[3] = scene.known.clear
    assert scene.follow("gw1", 5) == ["peer_not_resolved"]
    assert scene.dialled == {ONE}
    assert scene.names.unresolved() == ["gw1"]


@pytest.mark.parametrize("is_dead", [False, True])
def test_it_is_forgotten_by_name_whether_it_resolves_or_not(scene, is_dead):
    scene.known["gw1"] = [ONE, TWO]
    scene.follow("gw1", 2)
    if is_dead:
        scene.known.clear()
    assert scene.names.forget(["gw1"]) == [ONE, TWO]
    assert scene.names.unresolved() == []
    assert scene.names.forget(["gw1"]) == ([] if is_dead else [ONE, TWO])


def test_name_that_never_resolved_is_forgotten(scene):
    scene.during[2] = lambda: scene.names.forget(["gw3"])
    scene.pauses = 10
    scene.names.ask(["gw3"])
    assert scene.dialled == set()
    assert scene.pauses > 0


def test_name_that_is_forgotten_while_it_is_asked_for_is_not_dialled(scene):
    scene.known["gw1"] = [ONE]
    scene.follow("gw1", 2)
    scene.names.forget(["gw1"])
    scene.dialled.clear()
    scene.names.look("gw1")
    assert scene.dialled == set()


def test_address_that_others_stand_for_too_is_dialled_on(scene):
    scene.known.update(gw1=[ONE, TWO], gw2=[TWO, THREE])
    for name in scene.known:
        scene.follow(name, 2)
    scene.names.split([str(THREE)])
    assert scene.names.forget(["gw1"]) == [ONE]
    assert scene.names.forget(["gw2"]) == [TWO]
    assert scene.names.forget([str(THREE)]) == [THREE]


def test_address_that_is_given_stays_when_a_name_moves_away_from_it(scene):
    scene.names.split([str(ONE)])
    scene.dialled.add(ONE)
    scene.known["gw1"] = [ONE]
    scene.during[2] = lambda: scene.known.update(gw1=[TWO])
    scene.follow("gw1", 4)
    assert scene.dialled == {ONE, TWO}


def test_name_whose_last_address_is_forgotten_is_forgotten(scene):
    scene.known["gw1"] = [ONE, TWO]
    scene.follow("gw1", 2)
    scene.names.forget([str(ONE)])
    assert scene.names._found == {"gw1": (TWO,)}
    scene.names.forget([str(TWO)])
    assert scene.names._found == {}
