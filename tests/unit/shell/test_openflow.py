"""The switch's side of the shell, with answers made up here."""

import warnings
from types import SimpleNamespace

with warnings.catch_warnings():
    # Ryu's and eventlet's imports warn of what nobody here can change.
    warnings.simplefilter("ignore")
    from weave_ryu.shell.openflow import Switch


def described(number, name):
    return SimpleNamespace(port_no=number, name=name.encode(), state=0)


def switch_with(monkeypatch, meanwhile, *found):
    """A switch whose ports are ``found``; ``meanwhile`` happens before that answer is used."""

    def ignore(*_arguments):
        return None

    switch = Switch(ignore, ignore, ignore, ignore, ignore, ignore)
    monkeypatch.setattr(switch, "_require", lambda: None)

    def ask(_requests, _what):
        meanwhile(switch)
        return [SimpleNamespace(body=list(found))]

    monkeypatch.setattr(switch, "_ask", ask)
    return switch


def test_port_that_appears_while_ports_are_read_is_not_lost(monkeypatch):
    switch = switch_with(
        monkeypatch, lambda s: s.port_changed(described(2, "c1"), gone=False), described(1, "vxlan")
    )
    switch.read_ports()
    assert sorted(switch.ports) == [1, 2]


def test_port_that_vanishes_while_ports_are_read_stays_away(monkeypatch):
    switch = switch_with(
        monkeypatch, lambda s: s.port_changed(described(2, "c1"), gone=True), described(2, "c1")
    )
    switch.read_ports()
    assert switch.ports == {}


def test_ports_read_later_are_those_of_then(monkeypatch):
    switch = switch_with(monkeypatch, lambda s: None, described(1, "vxlan"))
    switch.port_changed(described(2, "c1"), gone=False)
    switch.read_ports()
    assert sorted(switch.ports) == [1]
