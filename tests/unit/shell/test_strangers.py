"""How often strangers are told of, and what of them."""

import pytest
import structlog

SCAN = ("192.0.2.66", 40000)


@pytest.fixture
def scene(shell):
    """A log, and a clock that calls it when it asked to be called."""
    from weave_ryu.shell import strangers

    class Scene:
        def __init__(self):
            self.wake_at = None
            self.log = strangers.StrangerLog(self.wake)
            self.lines = []

        def wake(self, at):
            assert self.wake_at is None, "only one call is waited for"
            self.wake_at = at

        def run(self, connections):
            """Each is a time, and what `ended` takes before it."""
            with structlog.testing.capture_logs() as logged:
                for now, *words in connections:
                    self.call_until(now)
                    self.log.ended(*words, now)
                self.call_until(10_000.0)
            self.lines = [line for line in logged if line["log_level"] != "debug"]
            return self.lines

        def call_until(self, now):
            if self.wake_at is not None and self.wake_at <= now:
                at, self.wake_at = self.wake_at, None
                self.log.due(at)

    return Scene()


def test_first_is_told_at_once_with_its_reason(scene):
    (line,) = scene.run([(5.0, SCAN, "bad-header", "bad-header: it begins with b'GET'")])
    assert (line["event"], line["count"]) == ("connections_failed", 1)
    assert line["reasons"] == {"bad-header": 1}
    assert line["last"] == "192.0.2.66: bad-header: it begins with b'GET'"


def test_peer_that_an_operator_has_to_help_is_told_of_beside_a_scan(scene):
    scan = [(n / 10, SCAN, "closed", "-") for n in range(300)]
    peer = [(30.0 + n, ("192.0.2.9", 1), "wrong-password", "not the same") for n in range(20)]
    lines = scene.run(scan + peer)
    assert [line["event"] for line in lines] == [
        "connections_failed", "connection_refused", "connections_failed",
    ]  # fmt: skip
    assert (lines[1]["remote"], lines[1]["code"]) == ("192.0.2.9:1", "wrong-password")
    assert lines[2]["reasons"] == {"closed": 299, "wrong-password": 19}


def test_crowd_of_such_peers_is_bounded(scene):
    crowd = [(n / 100, (f"10.0.0.{n % 250}", 1), "wrong-password", "-") for n in range(5900)]
    lines = scene.run(crowd)
    assert len(lines) <= 12


def test_an_hour_of_a_scan_is_a_line_a_minute_and_all_are_counted(scene):
    every_half_second = [(n / 2, SCAN, "closed", "closed by the other side") for n in range(7200)]
    lines = scene.run(every_half_second)
    assert len(lines) <= 61
    assert sum(line["count"] for line in lines) == 7200


def test_more_addresses_and_reasons_make_no_more_lines(scene):
    crowd = [
        (n / 100, (f"10.0.{n // 250}.{n % 250}", 1), f"code-{n % 7}", "x" * 5000)
        for n in range(5900)
    ]
    first, rest = scene.run(crowd)
    assert (first["count"], rest["count"]) == (1, 5899)
    assert len(rest["remotes"]) == 3
    assert len(str(rest)) < 1000


def test_whoever_comes_most_is_named(scene):
    other = ("192.0.2.7", 1)
    _, line = scene.run([(n, other if n % 3 else SCAN, "closed", "-") for n in range(30)])
    assert line["remotes"] == ["192.0.2.7", "192.0.2.66"]


def test_quiet_is_not_told_of(scene):
    scene.run([(0.0, SCAN, "closed", "-")])
    assert scene.wake_at is None
    assert len(scene.lines) == 1
