"""Limits of the harness stretch with one variable; what is no factor is refused."""

import time

import pytest

from weave_ryu.errors import ConfigError
from weave_ryu.lab import patience, processes


def test_limits_are_as_written_unless_the_machine_is_slow(monkeypatch):
    monkeypatch.delenv(patience.VARIABLE, raising=False)
    assert patience.stretched(2.0) == 2.0
    monkeypatch.setenv(patience.VARIABLE, "12.5")
    assert patience.stretched(2.0) == 25.0


def test_polling_goes_on_for_as_long_as_the_factor_says(monkeypatch):
    monkeypatch.setenv(patience.VARIABLE, "5")
    began = time.monotonic()
    assert not processes.poll_until(lambda: False, 0.02)
    assert time.monotonic() - began >= 0.1


@pytest.mark.parametrize("text", ["", "fast", "0", "0.5", "-1", "nan", "inf", "1001"])
def test_what_is_no_factor_is_refused(monkeypatch, text):
    monkeypatch.setenv(patience.VARIABLE, text)
    with pytest.raises(ConfigError, match=patience.VARIABLE):
        patience.stretched(1.0)
