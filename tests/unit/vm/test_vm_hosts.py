"""What became of the streams between three machines."""

from tests.vm import checks, hosts

QUIET = {"sent": 100, "lost": 0, "duplicated": 0, "gap_ms": 40, "pause_ms": 22}


def row(*, may_lose=False, container="", **changes):
    streams = {"container to host": QUIET | changes, "broadcasts to the host": QUIET}
    pings = {"A": {"sent": 50, "lost": 7, "gap_s": 1.4}}
    found = {"streams": streams, "pings": pings}
    return hosts.row("x", found, may_lose=may_lose, container=container)


def test_nothing_lost_has_passed():
    assert row().result == checks.PASSED


def test_one_lost_frame_has_failed_where_none_may_be_lost():
    assert row(lost=1).result == checks.FAILED
    assert row(lost=1, may_lose=True).result == checks.PASSED


def test_a_duplicate_has_always_failed():
    assert row(duplicated=1, may_lose=True).result == checks.FAILED


def test_a_long_gap_has_failed():
    assert row(lost=130, gap_ms=hosts.GAP_MS + 1, may_lose=True).result == checks.FAILED


def test_streams_that_sent_nothing_have_failed():
    found = {"streams": {"container to host": QUIET | {"sent": 0}}, "pings": {}}
    assert hosts.row("x", found, may_lose=True).result == checks.FAILED


def test_the_container_of_the_host_is_told_of_and_does_not_count():
    told = row(container="A")
    assert told.result == checks.PASSED
    assert "its own container: 7 of 50 pings, 1.4 s" in told.measured


def test_cables_have_both_ends():
    for near, far in hosts.CABLES.values():
        there, here = (end.removeprefix("socket,udp=").split(",localaddr=") for end in (near, far))
        assert there == here[::-1]
