"""Which frames are sent in the names of others, and when no more."""

import warnings

import pytest
from green_waiting import wait_until

from weave_ryu.names import ShortId

with warnings.catch_warnings():
    # Ryu's and eventlet's imports warn of what nobody here can change.
    warnings.simplefilter("ignore")
    from weave_ryu.shell import announce
    from weave_ryu.shell.announce import Announcer, reverse_arp

HOST, MOVED, CONTAINER = "02b000000001", "02b000000002", "02c000000001"
OWN = ShortId(1)


class SendingSwitch:
    def __init__(self):
        self.frames = []

    def send_frame(self, frame, actions):
        self.frames.append(frame)

    def count(self, mac):
        return self.frames.count(reverse_arp(mac))


@pytest.fixture
def switch(monkeypatch):
    monkeypatch.setattr(announce, "REPEAT_AT_S", (0.0, 0.01, 0.02))
    return SendingSwitch()


def test_host_that_turns_out_to_be_none_is_announced_no_more(switch):
    moved = [frozenset(), frozenset({MOVED}), frozenset({MOVED})]
    Announcer(switch).announce(
        5, OWN, {CONTAINER}, {HOST, MOVED}, lambda: True, lambda: moved.pop(0), lambda: None
    )
    wait_until(lambda: switch.count(HOST) == 3)
    assert switch.count(CONTAINER) == 3
    assert switch.count(MOVED) == 1


def test_container_is_reasserted_as_long_as_it_is_here(switch):
    here = [frozenset({CONTAINER, MOVED}), frozenset({CONTAINER}), frozenset({CONTAINER})]
    told = []
    Announcer(switch).reassert(
        OWN, {CONTAINER, MOVED}, lambda: here.pop(0), lambda: told.append(switch.count(CONTAINER))
    )
    # Each time that the peers have been told, Weave routers drop what they knew before.
    wait_until(lambda: len(told) == 3)
    assert switch.count(CONTAINER) == 3
    assert switch.count(MOVED) == 1
