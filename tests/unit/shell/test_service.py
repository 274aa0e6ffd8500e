"""What systemd is told, and what a reload takes over."""

import socket
from dataclasses import replace
from types import SimpleNamespace

import pytest
import structlog
from api_world import pretend

from tests import certificates
from weave_ryu.config import DaemonConfig
from weave_ryu.errors import ConfigError
from weave_ryu.gateway.role import State


@pytest.fixture
def manager(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.setblocking(False)
        yield listener


def heard(listener):
    found = []
    while True:
        try:
            found.append(listener.recv(4096).decode())
        except BlockingIOError:
            return found


@pytest.fixture
def make(shell, daemon, manager, monkeypatch):
    """A service; `load` is what reads the configuration."""
    from weave_ryu.shell import logs, service
    from weave_ryu.shell.auth import Guard
    from weave_ryu.shell.sdnotify import Notifier

    monkeypatch.setattr(logs, "configure", lambda level, as_json: None)

    def build(load=None, **environment):
        notifier = Notifier({"NOTIFY_SOCKET": manager.getsockname(), **environment})
        guard = Guard("127.0.0.1:6784", None)

        def read(old):
            found = load() if load else daemon.config
            return found if isinstance(found, tuple) else (found, [])

        return service.Service(daemon, guard, notifier, read), guard

    return build


def enter(daemon, state):
    pretend(daemon.gateways.core.ports["eth1"], state)


def test_ready_is_told_once_when_the_state_is_known(make, daemon, manager):
    service, _ = make()
    service.look(0.0)
    assert "READY=1" not in heard(manager)
    enter(daemon, State.ARMING)
    service.look(0.0)
    assert "READY=1" not in heard(manager)
    enter(daemon, State.STANDBY)
    service.look(0.0)
    service.look(0.0)
    assert heard(manager) == ["READY=1", "STATUS=vlan: standby (eth1); 0 connections"]


@pytest.mark.parametrize("what", ["switch", "flows"])
def test_without_switch_or_flows_it_is_not_ready(make, daemon, manager, what):
    enter(daemon, State.STANDBY)
    daemon.switch.is_connected = what != "switch"
    daemon.forwarder.is_in_sync = what != "flows"
    make()[0].look(0.0)
    assert not any(line.startswith("READY") for line in heard(manager))


def test_watchdog_is_fed_while_the_timers_fire(make, daemon, manager):
    service, _ = make(WATCHDOG_USEC="10000000")
    due = daemon.gateways.core.deadline()
    service.look(due + 1.0)
    assert "WATCHDOG=1" in heard(manager)
    service.look(due + 3.0)
    assert "WATCHDOG=1" not in heard(manager)


def test_watchdog_is_not_fed_while_the_mesh_has_no_timer(make, daemon, manager, monkeypatch):
    service, _ = make(WATCHDOG_USEC="10000000")
    now = daemon.gateways.core.deadline()
    for overdue_s, is_fed in ((1.0, True), (3.0, False)):
        due = now - overdue_s
        monkeypatch.setattr(daemon.router, "deadline", lambda due=due: due)
        service.look(now)
        assert ("WATCHDOG=1" in heard(manager)) is is_fed


def test_without_watchdog_nothing_is_fed(make, manager):
    make()[0].look(0.0)
    assert "WATCHDOG=1" not in heard(manager)


@pytest.mark.parametrize("path", ["", "/no/such/socket", "@no-such-socket", "x" * 300])
def test_manager_that_is_not_there_is_no_reason_to_stop(shell, path):
    from weave_ryu.shell.sdnotify import Notifier

    notifier = Notifier({"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "nonsense"})
    notifier.tell(READY="1", STATUS="a\nREADY=1")
    assert notifier.watchdog_s == 0.0


def test_manager_that_does_not_read_is_not_waited_for_and_is_told_later(make, daemon, manager):
    service, _ = make(WATCHDOG_USEC="10000000")
    for _ in range(1000):  # more than any queue takes
        service.look(0.0)
    assert 0 < len(heard(manager)) < 1000
    enter(daemon, State.STANDBY)
    while service._notifier.tell(WATCHDOG="1"):
        pass
    service.look(0.0)
    assert "READY=1" not in heard(manager)
    service.look(0.0)
    told = heard(manager)
    assert told[:2] == ["READY=1", "STATUS=vlan: standby (eth1); 0 connections"]


def test_abstract_socket_is_reached(shell):
    from weave_ryu.shell.sdnotify import Notifier

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0weave-ryu-test-notify")
        listener.settimeout(5)
        Notifier({"NOTIFY_SOCKET": "@weave-ryu-test-notify"}).tell(STATUS="two\nlines")
        assert listener.recv(100) == b"STATUS=two lines"


# Reloading.


def test_comparison_tells_safe_from_unsafe(shell):
    from weave_ryu.shell.service import compare

    old = DaemonConfig(peer=("192.0.2.1", "192.0.2.2"))
    new = replace(old, peer=("192.0.2.2", "192.0.2.3"), log_level="debug", mtu=1400, bridge="x")
    change = compare(old, new)
    assert change.keys == ("log_level", "peer")
    assert change.later == ("bridge", "mtu")
    assert (change.connect, change.forget) == (("192.0.2.3",), ("192.0.2.1",))
    assert compare(old, old) == type(change)((), (), (), ())


def test_every_safe_key_is_a_key(shell):
    from weave_ryu.shell.service import SAFE_KEYS

    assert set(DaemonConfig.__dataclass_fields__) >= SAFE_KEYS


def test_reload_reads_the_certificate_anew(make, daemon, tmp_path):
    certificate, key = certificates.make(tmp_path)
    files = {"api_cert_file": str(certificate), "api_key_file": str(key)}
    daemon.config = replace(daemon.config, **files)
    renewed = []
    service, _ = make()
    service._listener = SimpleNamespace(renew=renewed.append)
    daemon.mesh.pump = lambda: None
    with structlog.testing.capture_logs() as logged:
        service.reload()
        key.write_text("nonsense")
        service.reload()
    assert len(renewed) == 1
    assert [line["event"] for line in logged] == ["reloaded", "reload_incomplete", "reloaded"]


def test_reload_takes_over_peers_and_token(make, daemon):
    old = replace(daemon.config, peer=("192.0.2.1",))
    new = replace(old, peer=("192.0.2.2",), api_token="x" * 20, mtu=1400)
    daemon.config = old
    from weave_ryu.shell import meshd

    daemon.router.connect_targets(meshd.resolve("192.0.2.1"), False, 0.0)
    service, guard = make(lambda: new)
    with structlog.testing.capture_logs() as lines:
        service.reload()
    assert guard.token == "x" * 20
    assert daemon.config.mtu == old.mtu
    assert daemon.config.peer == ("192.0.2.2",)
    direct = [str(target.address) for target in daemon.router.targets() if target.direct]
    assert direct == ["192.0.2.2:6783"]
    assert [line["event"] for line in lines] == ["reloaded", "reload_needs_restart"]
    assert lines[1]["keys"] == ["mtu"]
    assert "x" * 20 not in str(lines)


def test_wrong_configuration_changes_nothing(make, daemon):
    def load():
        raise ConfigError("`mtu` in file", 5, "must be more")

    before = daemon.config
    service, guard = make(load)
    with structlog.testing.capture_logs() as lines:
        service.reload()
    assert daemon.config is before
    assert guard.token is None
    (line,) = lines
    assert (line["event"], line["log_level"]) == ("reload_refused", "error")
    assert "`mtu` in file 5" in line["error"]


@pytest.mark.parametrize("peer", ["\0", "no such host", "gone.invalid"])
def test_no_value_keeps_another_one_from_being_taken_over(make, daemon, peer):
    old = replace(daemon.config, peer=("192.0.2.1", "old.invalid"))
    daemon.config = old
    wrong = ConfigError("`log_level` in file", "loud", "must be one of debug, info")
    new = replace(old, peer=("192.0.2.2", peer), api_token="y" * 20)
    service, guard = make(lambda: (new, [wrong]))
    with structlog.testing.capture_logs() as logged:
        service.reload()
    assert guard.token == "y" * 20
    direct = [str(target.address) for target in daemon.router.targets() if target.direct]
    assert direct == ["192.0.2.2:6783"]
    refused = [line["error"] for line in logged if line["event"] == "reload_incomplete"]
    assert "`log_level` in file 'loud'" in refused[0]
    assert len(refused) == (1 if peer == "gone.invalid" else 2)
    # What is misspelt is tried again with the next reload, and what is good is there to be dropped.
    kept = ("192.0.2.2", peer) if peer == "gone.invalid" else ("192.0.2.2",)
    assert daemon.config.peer == kept


def test_stopping_is_told(make, manager):
    make()[0].stopping()
    assert heard(manager)[-1].startswith("STOPPING=1\n")
