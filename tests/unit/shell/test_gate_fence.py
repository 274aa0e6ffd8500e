"""When the daemon opens, renews and closes the fence of a gateway port."""

import time
import warnings
from types import SimpleNamespace

import pytest

from weave_ryu.errors import ConfigError, NetworkError, OpenFlowError
from weave_ryu.gate import Gate
from weave_ryu.gateway.commands import Broadcast, RenewFence, SetGate
from weave_ryu.gateway.gatekeeper import GateKeeper
from weave_ryu.gateway.role import Role
from weave_ryu.gateway.surroundings import NotReadyError
from weave_ryu.gateway.timers import FenceTimes, Timers
from weave_ryu.names import ShortId

with warnings.catch_warnings():
    # Ryu's and eventlet's imports warn of what nobody here can change.
    warnings.simplefilter("ignore")
    from weave_ryu.shell import fence, setup
    from weave_ryu.shell.gatewayd import Gateways

TIMERS = Timers(fence=FenceTimes())


class NotingFences:
    """All of them in one."""

    def __init__(self, done):
        self._done, self.is_open, self.error = done, False, None

    def of(self, port):
        assert port == "gw0"
        return self

    def renew(self):
        if self.error is not None:
            raise self.error
        self.is_open = True
        self._done.append("open")

    def close(self):
        self.is_open = False
        self._done.append("closed")

    def start(self):
        self._done.append("made")

    def remove(self):
        self._done.append("removed")


class World:
    def __init__(self, unfenced=None):
        self.done, self.waiting = [], []
        self.keeper = GateKeeper("gw0", TIMERS, self.waiting.append)
        spec = SimpleNamespace(segment="vlan", hello=False, port="gw0")
        wish = SimpleNamespace(within_s=0.0)
        port = SimpleNamespace(spec=spec, keeper=self.keeper, wish=wish)
        self.core = SimpleNamespace(
            ports={"gw0": port},
            timers=TIMERS,
            is_quiet=True,
            poll_commands=self.poll,
            deadline=lambda: None,
            switch_state=lambda *_: self.done.append("switch state told"),
            shut_down=lambda now: None,
        )
        mesh = SimpleNamespace(broadcast=self.done.append, short_id_of=lambda peer: None)
        self.switch = SimpleNamespace(ports={}, is_connected=True)
        self.fences = NotingFences(self.done)
        self.gateways = Gateways(
            self.core,
            self.switch,
            mesh,
            lambda port, role: None,
            lambda: ShortId(1),
            None if unfenced else self.fences,
            unfenced,
        )

    def poll(self):
        commands, self.waiting[:] = self.waiting.copy(), []
        return commands

    def open(self, sent_at=None):
        self.keeper.ask(Gate.OPEN)
        self.waiting.clear()
        asked = self.keeper.asked
        self.gateways._open_fence(asked, time.monotonic() if sent_at is None else sent_at)
        self.keeper.confirm(asked.token, time.monotonic(), time.monotonic())


def test_closes_before_anything_is_told():
    world = World()
    world.open()
    world.waiting[:] = [Broadcast(b"I am closed"), SetGate("gw0", Gate.CLOSED, 2)]
    world.gateways.pump()
    assert world.done == ["open", "closed", b"I am closed"]


def test_other_gates_leave_it_open():
    world = World()
    world.open()
    world.waiting[:] = [SetGate("gw0", gate, 2) for gate in Gate if gate is not Gate.CLOSED]
    world.gateways.pump()
    assert world.done == ["open"]


def test_lost_switch_closes_before_it_is_told():
    world = World()
    world.open()
    world.gateways.switch_lost()
    assert world.done == ["open", "closed", "closed", "switch state told"]


def test_renewal_is_noted():
    world = World()
    world.open()
    noted = []
    world.keeper.fenced = noted.append
    world.waiting[:] = [RenewFence("gw0")]
    world.gateways.pump()
    assert world.done == ["open", "open"]
    assert noted[0] == pytest.approx(time.monotonic(), abs=0.5)


def test_renewal_that_failed_is_not_noted():
    world = World()
    world.open()
    world.fences.error = NetworkError("no")
    world.keeper.fenced = lambda at: pytest.fail("noted")
    world.waiting[:] = [RenewFence("gw0")]
    world.gateways.pump()


def test_what_is_not_wanted_any_more_does_not_open():
    world = World()
    world.keeper.ask(Gate.OPEN)
    old = world.keeper.asked
    world.keeper.lose()  # the switch was lost while it was busy
    world.gateways._open_fence(old, time.monotonic())
    assert world.done == []


def test_permits_that_have_run_out_meanwhile_do_not_open():
    world = World()
    with pytest.raises(OpenFlowError, match="took"):
        world.open(time.monotonic() - 1.01)
    assert world.done == []


def test_an_open_port_whose_fence_has_run_out_is_not_opened_again():
    """Somebody may have taken over meanwhile."""
    world = World()
    world.open()
    world.fences.is_open = False
    with pytest.raises(OpenFlowError, match="run out"):
        world.open()


def test_is_made_at_the_start_and_removed_at_the_end(monkeypatch):
    world = World()
    world.core.ports = {}
    world.core.start = lambda now: world.done.append("core started")
    for name in ("spawn", "repeat_beside", "sleep"):
        monkeypatch.setattr(f"weave_ryu.shell.hub.{name}", lambda *_: None)
    world.gateways.start()
    world.gateways.stop()
    assert world.done == ["made", "core started", "removed"]


def test_a_port_that_could_not_be_closed_stays_shut(monkeypatch):
    world = World()
    world.core.is_quiet = False
    monkeypatch.setattr(Gateways, "_wait", lambda *_: None)
    world.gateways.stop()
    assert world.done == []


@pytest.mark.parametrize("role", [Role.ACTIVE, Role.AUTO])
def test_without_a_fence_no_role_that_opens_is_taken(role):
    world = World(unfenced="the kernel is too old")
    with pytest.raises(NotReadyError, match="too old"):
        world.gateways.set_role("gw0", role)
    with pytest.raises(NetworkError, match="too old"):
        world.open()


def spec(role):
    return SimpleNamespace(port="eth1", role=role)


@pytest.fixture
def ovsdb(monkeypatch):
    monkeypatch.setattr(fence, "obstacle", lambda: None)
    return SimpleNamespace(setting=lambda key: None)


@pytest.mark.parametrize("role", [Role.ACTIVE, Role.AUTO])
def test_a_kernel_without_the_hook_is_refused(monkeypatch, ovsdb, role):
    monkeypatch.setattr(fence, "obstacle", lambda: "Linux 5.10 has no hook")
    with pytest.raises(ConfigError, match=r"eth1 would go on forwarding .* Linux 5\.10 has no"):
        setup.check_fence([spec(Role.STANDBY), spec(role)], "system", ovsdb)
    assert setup.check_fence([spec(Role.STANDBY)], "system", ovsdb) == "Linux 5.10 has no hook"
    assert setup.check_fence([spec(role)], "netdev", ovsdb) is None
    assert setup.check_fence([], "system", ovsdb) is None


def test_cards_that_forward_themselves_are_refused(ovsdb):
    assert setup.check_fence([spec(Role.AUTO)], "system", ovsdb) is None
    ovsdb.setting = {"hw-offload": "true"}.get
    with pytest.raises(ConfigError, match="hw-offload"):
        setup.check_fence([spec(Role.AUTO)], "system", ovsdb)
