"""A database that is slow is waited for, and it is said."""

import warnings

import pytest
import structlog.testing

with warnings.catch_warnings():
    # Ryu's and eventlet's imports warn of what nobody here can change.
    warnings.simplefilter("ignore")
    from weave_ryu.shell import hub, ovsdbd


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(ovsdbd, "SAY_EVERY_S", 0.05)


@pytest.mark.parametrize(("after_s", "said"), [(0.0, 0), (0.12, 2)])
def test_content_that_comes_late_is_taken(after_s, said):
    ready = hub.Event()
    hub.spawn(lambda: (hub.sleep(after_s), ready.send(None)))
    with structlog.testing.capture_logs() as logs:
        ovsdbd.wait_for_content(ready, "unix:/db.sock")
    assert [line["event"] for line in logs] == ["database_waited_for"] * said
    assert all(line["remote"] == "unix:/db.sock" for line in logs)


def test_content_that_is_there_is_not_waited_for():
    ready = hub.Event()
    ready.send(None)
    ovsdbd.wait_for_content(ready, "unix:/db.sock")
