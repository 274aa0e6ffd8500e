"""Which frames are sent in the names of others, and when no more."""

import warnings

import pytest
from green_waiting import wait_until

with warnings.catch_warnings():
    # Ryu's and eventlet's imports warn of what nobody here can change.
    warnings.simplefilter("ignore")
    from weave_ryu.shell import announce, hub
    from weave_ryu.shell.announce import Announcer, reverse_arp

CONTAINERS = {"02c000000001", "02c000000002"}


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


def test_each_mac_is_announced_again_and_again(switch):
    Announcer(switch).announce(5, CONTAINERS, lambda _: True)
    wait_until(lambda: len(switch.frames) == 6)
    assert {switch.count(mac) for mac in CONTAINERS} == {3}


def test_port_that_is_closed_announces_nothing_more(switch):
    Announcer(switch).announce(5, CONTAINERS, lambda _: not switch.frames)
    hub.sleep(0.05)
    assert len(switch.frames) == 1
