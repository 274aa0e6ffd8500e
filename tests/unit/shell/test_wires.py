"""Probes between the switch, the core and the ports: what is sent, heard, closed and told."""

import warnings
from types import SimpleNamespace

import pytest
import structlog

from weave_ryu.gateway.records import GatewayRecord, PortRecord
from weave_ryu.gateway.registry import Registry
from weave_ryu.names import PeerName

with warnings.catch_warnings():
    # Ryu's and eventlet's imports warn of what nobody here can change.
    warnings.simplefilter("ignore")
    from weave_ryu.gateway.wiring import HOLD_S
    from weave_ryu.shell import wires
    from weave_ryu.shell.openflow import Port, ProbeFrame
    from weave_ryu.shell.wires import Wires

A, B, W = PeerName(0x7A000000000A), PeerName(0x7A000000000B), PeerName(0x7A0000000057)
SEGMENT, OFFICE = PeerName(0x020000000001), PeerName(0x020000000002)
NICK_NAMES = {A: "A", B: "B", W: "W"}
SHORT_IDS = {0xB: B, 0x57: W, 0x513: SEGMENT, 0x5E7: OFFICE}
ADDRESSES = {A: "192.0.2.1", B: "192.0.2.2", W: "192.0.2.3"}


class Clock:
    now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(wires, "time", made)
    return made


def readable(text):
    for name, nick_name in NICK_NAMES.items():
        text = text.replace(str(name), nick_name)
    return text


class FakeDaemon:
    """One peer with ports `gw0` (3, if it is a gateway), `c1` (4), and a tunnel (1)."""

    def __init__(self, name, segment=None):
        self.sent, self.told, self.changes, self.ports_changes = [], [], 0, 0
        self.registry = Registry(name, 1, 1)
        gateways = {} if segment is None else {"gw0": segment}
        self.config = SimpleNamespace(
            gateway=[SimpleNamespace(port=p, segment=s) for p, s in gateways.items()], password=None
        )
        self.router = SimpleNamespace(
            name=name,
            connections=lambda: [
                SimpleNamespace(overlay=None),
                *(
                    SimpleNamespace(overlay=SimpleNamespace(remote_ip=a))
                    for a in ADDRESSES.values()
                ),
            ],
            peers=SimpleNamespace(
                by_short_id=lambda number: (
                    SimpleNamespace(name=SHORT_IDS[number]) if number in SHORT_IDS else None
                )
            ),
            gossip_unicast=lambda channel, to, payload, now: self.told.append((to, payload)),
        )
        self.mesh = SimpleNamespace(pump=lambda: None)
        self.forwarder = SimpleNamespace(changed=lambda: self.note("changes"))
        self.standings = SimpleNamespace(readable=readable)
        self.switch = SimpleNamespace(
            is_connected=True,
            ports={
                1: Port(1, "vxlan-6784", True),
                4: Port(4, "c1", True),
                **({3: Port(3, "gw0", True)} if gateways else {}),
            },
            send_frame=lambda frame, actions: self.sent.append((actions[0].port, frame)),
        )
        machines = {
            p: SimpleNamespace(spec=SimpleNamespace(segment=s)) for p, s in gateways.items()
        }
        self.gateways = SimpleNamespace(
            core=SimpleNamespace(ports=machines, peer_count=1, is_switch_up=True),
            names=lambda: sorted(machines),
            miswired={},
            ports_changed=lambda: self.note("ports_changes"),
        )
        self.wires = Wires(self)

    def note(self, what):
        setattr(self, what, getattr(self, what) + 1)

    def is_for_containers(self, name):
        return name in ("c1", "tap0")

    def is_by_hand(self, name):
        return name == "tap0"

    def segment_name(self, segment):
        return {"vlan": SEGMENT, "office": OFFICE}[segment]


def know(*daemons):
    for daemon in daemons:
        ports = [PortRecord(p.segment, p.port, "standby", 0) for p in daemon.config.gateway]
        daemon.registry.set_own(ports)
        for other in daemons:
            if other is not daemon and ports:
                record = GatewayRecord(daemon.router.name, 1, 2, tuple(ports))
                other.registry.merge([record])


def probe_of(daemon, clock):
    """What a gateway sends now; after it has been looked at."""
    daemon.wires.look()
    clock.now += 1.0
    daemon.sent.clear()
    daemon.wires._core.hurry(clock.now)
    daemon.wires.handle_timer()
    ((port, frame),) = daemon.sent
    assert port == 3
    return frame


def exchange(one, other):
    """All that both tell each other."""
    while one.told or other.told:
        for sender, receiver in ((one, other), (other, one)):
            told, sender.told = sender.told, []
            for to, payload in told:
                assert to == receiver.router.name
                receiver.wires.received(sender.router.name, payload)


def test_probe_on_another_segment_keeps_one_of_the_two_closed(clock):
    a, b = FakeDaemon(A, "vlan"), FakeDaemon(B, "office")
    know(a, b)
    with structlog.testing.capture_logs() as log:
        b.wires.seen(ProbeFrame(3, None, probe_of(a, clock)))
        exchange(a, b)
    text = "segment office of B gw0 and segment vlan of A gw0 are one wire"
    assert [entry["reason"] for entry in log if entry["event"] == "wiring_loop"] == [text, text]
    assert {name: readable(why) for name, why in a.gateways.miswired.items()} == {
        "gw0": f"{text}; office keeps it"
    }
    assert (a.ports_changes, b.ports_changes) == (1, 0)
    assert a.wires.texts() == a.wires.texts("gw0") == b.wires.texts("gw0") == [text]
    assert a.wires.texts("gw1") == []
    clock.now += HOLD_S
    with structlog.testing.capture_logs() as log:
        a.wires.handle_timer()
    assert [entry["event"] for entry in log] == ["wiring_mended"]
    assert a.gateways.miswired == {}
    assert a.ports_changes == 2


def test_what_came_back_is_probed_for_without_waiting_here_and_at_the_gateways(clock):
    a, x = FakeDaemon(A, "vlan"), FakeDaemon(W)
    know(a, x)
    probe_of(a, clock)
    a.sent.clear()
    clock.now += 0.5
    a.wires.suspect("vlan")
    assert len(a.sent) == 1
    clock.now += 0.3
    x.wires.suspect("vlan")
    exchange(a, x)
    assert len(a.sent) == 2
    for _ in range(100):
        x.wires.suspect("vlan")
    assert 0 < len(x.told) <= wires.SUSPICIONS_BURST, "a storm of them is not a storm of messages"


@pytest.mark.parametrize("is_own", [True, False])
def test_containers_port_with_a_probe_leaves_the_flows_and_comes_back(clock, is_own):
    a, x = FakeDaemon(A, "vlan"), FakeDaemon(W)
    know(a, x)
    hearer = a if is_own else x
    with structlog.testing.capture_logs() as log:
        hearer.wires.seen(ProbeFrame(4, None, probe_of(a, clock)))
        exchange(a, x)
    who = "A" if is_own else "W"
    text = f"what A gw0 sends on segment vlan comes back through port c1 of {who}"
    closed = [(e["port"], e["reason"]) for e in log if e["event"] == "local_port_closed"]
    assert closed == [("c1", text)]
    assert hearer.wires.is_closed("c1")
    assert hearer.changes == 1
    assert a.gateways.miswired == x.gateways.miswired == {}
    clock.now += HOLD_S
    with structlog.testing.capture_logs() as log:
        hearer.wires.handle_timer()
    assert "local_port_opened" in [entry["event"] for entry in log]
    assert not hearer.wires.is_closed("c1")
    assert hearer.changes == 2


@pytest.mark.parametrize(
    ("source", "sender", "why"),
    [
        (0x57, ADDRESSES[W], "let in by W"),
        (0x999, ADDRESSES[W], f"let in by {PeerName(0)}"),
        (0x5E7, ADDRESSES[B], f"let in by {OFFICE}"),
        (0x513, ADDRESSES[B], None),
        (0x57, "198.51.100.9", None),
    ],
    ids=["router", "nobody", "another segment", "an old gateway of the segment", "a stranger"],
)
def test_probe_that_the_mesh_brings_back_closes_the_gateway(clock, source, sender, why):
    a = FakeDaemon(A, "vlan")
    know(a)
    frame = probe_of(a, clock)
    a.wires.seen(ProbeFrame(1, (0xA << 12 | source, sender), frame))
    found = [readable(text) for text in a.gateways.miswired.values()]
    assert len(found) == (why is not None)
    assert all(text.endswith(why) for text in found)


def test_probe_at_a_port_that_is_closed_in_any_case_says_nothing(clock):
    a = FakeDaemon(A, "vlan")
    know(a)
    frame = probe_of(a, clock)
    a.switch.ports[6] = Port(6, "left-over", True)
    a.wires.seen(ProbeFrame(6, None, frame))
    a.wires.seen(ProbeFrame(1, None, frame))
    assert a.wires.joints() == []


def test_port_that_others_plug_in_opens_when_a_probe_would_have_been_heard(clock):
    a = FakeDaemon(A, "vlan")
    know(a)
    a.wires.look()
    a.switch.ports |= {7: Port(7, "tap0", True), 8: Port(8, "c1", True)}
    a.wires.look()
    assert a.wires.is_closed("tap0")
    assert not a.wires.is_closed("c1"), "attach has made it"
    clock.now += wires.TRIAL_S
    assert a.wires._deadline() <= clock.now
    changes = a.changes
    a.wires.handle_timer()
    assert not a.wires.is_closed("tap0")
    assert a.changes == changes + 1


def test_port_on_trial_that_hears_a_probe_does_not_open(clock):
    a = FakeDaemon(A, "vlan")
    know(a)
    a.wires.look()
    a.switch.ports[7] = Port(7, "tap0", True)
    a.wires.look()
    a.wires.seen(ProbeFrame(7, None, probe_of(a, clock)))
    clock.now += wires.TRIAL_S
    a.wires.handle_timer()
    assert a.wires.is_closed("tap0")


@pytest.mark.parametrize("why", ["found at the start", "no gateway is known"])
def test_port_is_not_on_trial_if_it_was_there_or_nobody_probes(clock, why):
    a = FakeDaemon(A, "vlan")
    if why == "found at the start":
        know(a)
        a.gateways.core.is_switch_up = False
        a.wires.look()
    a.switch.ports[7] = Port(7, "tap0", True)
    a.wires.look()
    a.gateways.core.is_switch_up = True
    a.wires.look()
    assert not a.wires.is_closed("tap0")


def test_no_probe_is_sent_without_switch_or_link(clock):
    a = FakeDaemon(A, "vlan")
    a.switch.ports[3] = Port(3, "gw0", False)
    a.wires.look()
    assert a.wires._core.deadline() is None
    a.switch.ports[3] = Port(3, "gw0", True)
    a.wires.look()
    assert a.wires._core.deadline() <= clock.now
    a.switch.is_connected = False
    a.wires.look()
    assert a.wires._core.deadline() is None


@pytest.mark.parametrize("what", ["port", "peer"])
def test_a_new_port_or_peer_brings_a_probe_at_once(clock, what):
    a = FakeDaemon(A, "vlan")
    probe_of(a, clock)
    clock.now += 60
    a.wires._core.handle_timer(clock.now)
    clock.now += 1
    a.wires._core.handle_timer(clock.now)
    clock.now += 0.5
    assert a.wires._core.deadline() > clock.now
    if what == "port":
        a.switch.ports[5] = Port(5, "c2", True)
    else:
        a.gateways.core.peer_count = 2
    a.wires.look()
    assert a.wires._core.deadline() <= clock.now


def test_frames_and_messages_that_are_nonsense_are_ignored(clock):
    a = FakeDaemon(A, "vlan")
    frame = probe_of(a, clock)
    a.wires.seen(ProbeFrame(4, None, frame[:20]))
    a.wires.seen(ProbeFrame(99, None, frame))
    a.wires.received(B, b"{}")
    assert a.wires.joints() == []
