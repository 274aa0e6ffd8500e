"""When the switch's MACs are read, and what is told of them."""

import warnings
from types import SimpleNamespace

import pytest
from green_waiting import wait_until

from weave_ryu.gateway.timers import Timers
from weave_ryu.names import PeerName, ShortId
from weave_ryu.pipeline.cookies import Kind

with warnings.catch_warnings():
    # Ryu's and eventlet's imports warn of what nobody here can change.
    warnings.simplefilter("ignore")
    from weave_ryu.shell import gatewayd, hub
    from weave_ryu.shell.macs import LearntMac
    from weave_ryu.shell.openflow import Port

PEER, GATEWAY = PeerName(2), ShortId(2)


class Core:
    def __init__(self):
        spec = SimpleNamespace(port="gw0", segment="vlan", hello=False)
        self.ports = {"gw0": SimpleNamespace(spec=spec, is_settled=True)}
        self.timers = Timers()
        self.read = []
        self.registry = SimpleNamespace(lets_in=dict)

    def is_peer(self, segment):
        return True

    def macs_read(self, port, reading, now):
        self.read.append(reading.mesh)

    def poll_commands(self):
        return []

    def deadline(self):
        return None


class Macs:
    """A switch that takes its time; what it says is what it had at the beginning."""

    def __init__(self):
        self.mesh = frozenset()
        self.readings, self.is_answering = 0, True

    def current(self):
        self.readings += 1
        found = self.learnt()
        wait_until(lambda: self.is_answering)
        return found

    def learnt(self):
        return [LearntMac(mac, Kind.LEARNT_PORT, 7, 1) for mac in sorted(self.mesh)]


@pytest.fixture
def gateways():
    switch = SimpleNamespace(ports={3: Port(3, "gw0", True)}, is_connected=True)
    mesh = SimpleNamespace(
        short_id_of=lambda peer: GATEWAY,
        short_ids=lambda of_segments=False: set(),
        segment_id=lambda segment: ShortId(0x513),
    )
    own = gatewayd.Gateways(Core(), switch, mesh, lambda port, role: None, lambda: ShortId(1))
    own._macs = Macs()
    return own


def test_what_is_asked_while_it_is_read_is_read_once_more_and_not_left_out(gateways):
    macs, core = gateways._macs, gateways.core
    macs.is_answering = False
    hub.spawn(gateways._read_macs, "gw0")
    wait_until(lambda: macs.readings == 1)
    macs.mesh = frozenset({"02:c0:00:00:00:01"})
    asked = [hub.spawn(gateways._read_macs, "gw0") for _ in range(3)]
    hub.sleep(0.01)
    assert macs.readings == 1
    macs.is_answering = True
    for one in asked:
        one.wait()
    assert core.read == [frozenset(), frozenset({"02c000000001"})]


def test_each_time_those_are_introduced_that_are_here_then(gateways, monkeypatch):
    monkeypatch.setattr(gatewayd, "INTRODUCE_AT_S", (0.0, 0.01))
    monkeypatch.setattr(gatewayd, "INTRODUCE_LATE_S", 0.02)
    told = []

    def introduce(containers, own, to):
        assert to == GATEWAY
        told.append(list(containers))
        gateways._macs.mesh = frozenset({"02:c0:00:00:00:02"})

    gateways._announcer = SimpleNamespace(introduce=introduce)
    gateways._macs.mesh = frozenset({"02:c0:00:00:00:01", "02:c0:00:00:00:02"})
    gateways._introduce(PEER)
    assert told == [["02c000000001", "02c000000002"], ["02c000000002"]]


def test_a_call_and_a_record_together_are_one_introduction(gateways, monkeypatch):
    monkeypatch.setattr(gatewayd, "INTRODUCE_AT_S", (0.01,))
    monkeypatch.setattr(gatewayd, "INTRODUCE_LATE_S", 0.02)
    told = []
    gateways._announcer = SimpleNamespace(introduce=lambda containers, own, to: told.append(to))
    both = [hub.spawn(gateways._introduce, PEER) for _ in range(2)]
    for one in both:
        one.wait()
    assert told == [GATEWAY]
    gateways._introduce(PEER)
    assert told == [GATEWAY] * 2


def test_it_is_introduced_once_more_if_connections_have_changed_meanwhile(gateways, monkeypatch):
    monkeypatch.setattr(gatewayd, "INTRODUCE_AT_S", (0.0,))
    monkeypatch.setattr(gatewayd, "INTRODUCE_LATE_S", 0.01)
    core, told = gateways.core, []
    core.peer_count = 1
    core.mesh_state = lambda count, now: setattr(core, "peer_count", count)

    def introduce(containers, own, to):
        told.append(to)
        gateways.mesh_changed(2)

    gateways._announcer = SimpleNamespace(introduce=introduce)
    for expected in (2, 3):
        gateways._introduce(PEER)
        assert len(told) == expected
