"""What a change of a gate sends to the switch."""

import threading as threads
import time
import warnings
from dataclasses import replace
from types import SimpleNamespace

import pytest
from green_waiting import wait_until

from weave_ryu import links
from weave_ryu.gate import Gate
from weave_ryu.gateway.commands import RenewGate, SetGate
from weave_ryu.gateway.core import GatewayCore
from weave_ryu.gateway.holding import PASS_S, RIPE_S
from weave_ryu.gateway.role import Role, State
from weave_ryu.gateway.surroundings import NotReadyError, PortSpec
from weave_ryu.gateway.timers import Timers
from weave_ryu.names import PeerName, ShortId

with warnings.catch_warnings():
    # Ryu's and eventlet's imports warn of what nobody here can change.
    warnings.simplefilter("ignore")
    from weave_ryu.shell import hub
    from weave_ryu.shell.gatewayd import Gateways
    from weave_ryu.shell.openflow import HandOverFrame, Port


class NotingSwitch:
    def __init__(self):
        self.ports = {3: Port(3, "gw0", True)}
        self.plans, self.installed = [], []

    def commit(self, plan, forget=()):
        self.plans.append(plan)

    def install(self, flows):
        self.installed.append(list(flows))


@pytest.fixture
def gateways():
    spec = SimpleNamespace(port="gw0", segment="vlan", hello=False)
    core = SimpleNamespace(
        ports={"gw0": SimpleNamespace(spec=spec)}, timers=Timers(), is_peer=lambda segment: True
    )
    mesh = SimpleNamespace(segment_id=lambda segment: ShortId(0x513))
    return Gateways(core, NotingSwitch(), mesh, lambda port, role: None, lambda: ShortId(1))


def set_gate(gateways, gate, now):
    before = len(gateways._switch.plans)
    renewed_at = gateways._set_gate(SetGate("gw0", gate, 1), now)
    (plan,) = gateways._switch.plans[before:]
    return plan, renewed_at


def test_broadcasts_alone_change_hands_between_two_renewals(gateways):
    opened, renewed_at = set_gate(gateways, Gate.OPEN, 10.0)
    assert renewed_at == 10.0
    known, renewed_at = set_gate(gateways, Gate.KNOWN, 10.2)
    assert not known.add
    assert len(known.delete) == 3
    # The permits that stay live since then, and are due for renewal accordingly.
    assert renewed_at == 10.0
    again, renewed_at = set_gate(gateways, Gate.OPEN, 10.3)
    assert len(again.add) == 3
    assert not again.delete
    assert renewed_at == 10.0
    assert len(opened.add) > 3


def test_permits_that_may_have_run_out_are_installed_anew(gateways):
    set_gate(gateways, Gate.KNOWN, 10.0)
    late, renewed_at = set_gate(gateways, Gate.OPEN, 10.0 + gateways.core.timers.permit_s)
    assert renewed_at > 10.0
    assert len(late.add) > 2


def test_renewal_installs_all_of_them(gateways):
    opened, _ = set_gate(gateways, Gate.OPEN, 10.0)
    assert gateways._set_gate(RenewGate("gw0", Gate.OPEN), 10.2) == 10.2
    assert gateways._switch.installed == [list(opened.add)]
    known, renewed_at = set_gate(gateways, Gate.KNOWN, 10.4)
    assert not known.add
    assert renewed_at == 10.2


BROADCAST = b"\xff" * 6 + b"\x02\x00\x00\x00\x00\x01" + b"\x08\x06" + b"who has"


class SendingSwitch(NotingSwitch):
    is_connected = True

    def __init__(self):
        super().__init__()
        self.frames = []

    def dump(self, cookie, mask, table=None):
        return iter(())

    def send_frame(self, frame, actions, in_port=None):
        self.frames.append((in_port, frame, actions))


def test_broadcast_that_nobody_has_passed_is_passed_on_after_the_opening(gateways):
    switch = gateways._switch = gateways.giving_back._switch = SendingSwitch()
    for gate in (Gate.KNOWN, Gate.TAKING):
        gateways.giving_back.prepare("gw0", gate)
        gateways.giving_back.go_on("gw0", gate, time.monotonic() - RIPE_S)
    from_segment = HandOverFrame(3, True, False, BROADCAST + b"1")
    from_mesh = HandOverFrame(3, False, False, BROADCAST + b"2")
    passed = HandOverFrame(3, True, False, BROADCAST + b"3")
    for seen in (
        from_segment,
        from_mesh,
        passed,
        replace(passed, is_copy=True, from_segment=False),
    ):
        gateways.hand_over_frame(seen)
    gateways.giving_back.prepare("gw0", Gate.OPEN)
    gateways.giving_back.go_on("gw0", Gate.OPEN, time.monotonic())
    wait_until(lambda: not gateways.giving_back.is_busy)
    assert [(in_port, frame) for in_port, frame, _ in switch.frames] == [
        (3, from_segment.frame),
        (None, from_mesh.frame),
    ]


def test_closed_gate_gives_nothing_back(gateways):
    switch = gateways._switch = gateways.giving_back._switch = SendingSwitch()
    gateways.giving_back.prepare("gw0", Gate.TAKING)
    gateways.giving_back.go_on("gw0", Gate.TAKING, time.monotonic() - RIPE_S)
    gateways.hand_over_frame(HandOverFrame(3, True, False, BROADCAST))
    gateways.giving_back.go_on("gw0", Gate.OPEN, time.monotonic())
    gateways.giving_back.prepare("gw0", Gate.CLOSED)
    wait_until(lambda: not gateways.giving_back.is_busy)
    hub.sleep(PASS_S * 2)
    assert not switch.frames


def test_port_whose_segment_is_wired_to_another_closes_refuses_and_opens_again(monkeypatch):
    monkeypatch.setattr(links, "exists", lambda name: True)
    now = time.monotonic()
    spec = PortSpec("gw0", "vlan", Role.ACTIVE)
    timers = replace(Timers(), arm_s=0.1, arm_alone_s=0.1)
    core = GatewayCore(PeerName(1), 7, 1, [spec], timers, now)
    nothing = dict.fromkeys(("broadcast", "tell", "claim", "release"), lambda *_, **__: None)
    mesh = SimpleNamespace(
        segment_id=lambda segment: ShortId(0x513),
        segment_name=lambda segment: PeerName(9),
        short_ids=lambda of_segments=False: set(),
        **nothing,
    )
    gateways = Gateways(core, SendingSwitch(), mesh, lambda port, role: None, lambda: ShortId(1))
    port = core.ports["gw0"]

    def confirm(*, until):
        """The switch confirms whatever gate it is asked for."""
        given_up_at = time.monotonic() + 10
        while port.state is not until:
            while not gateways._gate_queue.empty():
                _, command = gateways._gate_queue.get()
                if isinstance(command, SetGate):
                    core.gate_set("gw0", command.token, time.monotonic(), time.monotonic())
            core.handle_timer(time.monotonic())
            gateways.pump()
            hub.sleep(0.01)
            assert time.monotonic() < given_up_at

    gateways.switch_ready()
    confirm(until=State.ACTIVE)
    gateways.miswired = {"gw0": "segment lab of B gw0 and segment vlan of A gw0 are one wire"}
    gateways.ports_changed()
    assert port.state is State.FAULT
    assert port.history[-1].reason == gateways.miswired["gw0"]
    assert port.obstacles() == [gateways.miswired["gw0"]]
    _, closing = gateways._gate_queue.get()
    assert closing.gate is Gate.CLOSED
    core.gate_set("gw0", closing.token, time.monotonic(), time.monotonic())
    with pytest.raises(NotReadyError, match="are one wire"):
        gateways.set_role("gw0", Role.ACTIVE)
    gateways.miswired = {}
    gateways.ports_changed()
    confirm(until=State.ACTIVE)


def test_kernel_is_asked_for_the_carrier_of_each_gateway_port(gateways, monkeypatch):
    asked = []
    monkeypatch.setattr(links, "has_carrier", lambda control, name: asked.append((control, name)))
    gateways._ask_for_carrier(SimpleNamespace(fileno=lambda: 7))
    assert asked == [(7, "gw0")]


def test_what_is_repeated_beside_the_green_threads_does_not_hold_them_up():
    calls = []
    hub.repeat_beside(lambda: calls.append(threads.get_ident()), 0.001)
    wait_until(lambda: len(calls) > 2)
    assert threads.get_ident() not in calls
