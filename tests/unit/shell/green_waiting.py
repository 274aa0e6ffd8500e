"""Waiting for what green threads do."""

import time
import warnings

with warnings.catch_warnings():
    # Eventlet's import warns of what nobody here can change.
    warnings.simplefilter("ignore")
    from weave_ryu.shell import hub


def wait_until(is_done):
    """Let the others run until it is so; it is an error if it never is."""
    deadline = time.monotonic() + 10
    while not is_done():
        assert time.monotonic() < deadline
        hub.sleep(0.001)
