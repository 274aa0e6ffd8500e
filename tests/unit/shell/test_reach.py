"""Who is told of neighbours that frames do not reach."""

from types import SimpleNamespace

import pytest
import structlog

from weave_ryu.names import PeerName

B = PeerName(0x7A000000000B)


def view(established, info="no heartbeat heard yet", name=B):
    return SimpleNamespace(
        name=name, nick_name="B", remote=("192.0.2.2", 6783), established=established, info=info
    )


@pytest.fixture
def lines(shell):
    """Gives each (time, views) to a log; returns the lines, without what is always the same."""
    from weave_ryu.shell.reach import ReachLog

    def run(*looks):
        log = ReachLog()
        with structlog.testing.capture_logs() as logged:
            for now, *views in looks:
                log.look(views, now)
        return [(line["event"], line.get("reason") or line["after_s"]) for line in logged]

    return run


def test_a_connection_gets_some_time(lines):
    assert lines((0.0, view(False)), (4.0, view(False)), (6.0, view(True, ""))) == []


def test_it_is_told_once_with_the_reason_and_again_when_it_is_over(lines):
    looks = [(float(now), view(False)) for now in range(0, 3600, 5)]
    assert lines(*looks, (3600.0, view(True, ""))) == [
        ("peer_not_reached", "no heartbeat heard yet"),
        ("peer_reached", 3600.0),
    ]


def test_a_connection_that_was_fine_and_lapses_is_told_again(lines):
    looks = [(0.0, view(True, "")), (5.0, view(False, "unhealthy")), (10.0, view(False, "x"))]
    looks += [(15.0, view(True, "")), (20.0, view(False)), (25.0, view(False, "y"))]
    assert lines(*looks) == [
        ("peer_not_reached", "x"),
        ("peer_reached", 10.0),
        ("peer_not_reached", "y"),
    ]


def test_what_has_ended_is_forgotten(lines):
    looks = [
        (0.0, view(False)),
        (5.0, view(False)),
        (10.0,),
        (15.0, view(False)),
        (20.0, view(False)),
    ]
    assert lines(*looks) == [("peer_not_reached", "no heartbeat heard yet")] * 2


def test_handshakes_are_not_looked_at(lines):
    assert lines((0.0, view(False, name=None)), (9.0, view(False, name=None))) == []
