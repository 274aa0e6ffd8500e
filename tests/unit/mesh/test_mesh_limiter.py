"""The accept limiter."""

from __future__ import annotations

import pytest

from weave_ryu.mesh.limiter import TokenBucket


def test_twenty_at_once_and_then_one_per_fifty_milliseconds():
    bucket = TokenBucket()
    assert [bucket.take(100.0) for _ in range(20)] == [0.0] * 20
    assert bucket.take(100.0) == pytest.approx(0.05)
    assert bucket.take(100.05) == 0.0
    assert bucket.take(100.05) > 0.0


def test_a_wait_that_was_refused_costs_nothing():
    bucket = TokenBucket()
    for _ in range(1000):
        bucket.take(0.0)
    assert bucket.take(0.05) == 0.0
    assert [bucket.take(1000.0) for _ in range(21)].count(0.0) == 20
