"""Which side of a gateway port a learnt MAC is on."""

import warnings
from types import SimpleNamespace

from weave_ryu.gateway.reading import Learnt
from weave_ryu.names import ShortId
from weave_ryu.pipeline.cookies import Kind, subject_cookie

with warnings.catch_warnings():
    # Ryu's and eventlet's imports warn of what nobody here can change.
    warnings.simplefilter("ignore")
    from weave_ryu.shell.macs import LearntMac, MacReader

SEGMENT, PEER = ShortId(2), ShortId(3)


def entry(mac, kind, subject, priority=20):
    return SimpleNamespace(
        cookie=subject_cookie(kind, subject),
        mac=mac,
        priority=priority,
        duration_sec=1,
    )


class FixedSwitch:
    def __init__(self, *entries):
        self._entries = entries

    def dump(self, cookie, mask, table):
        return list(self._entries)


def test_of_two_places_of_a_mac_the_one_that_counts_is_read():
    mac = "02:00:00:00:00:01"
    for places in ((20, 10), (10, 20)):
        entries = [entry(mac, Kind.LEARNT_PEER, PEER if p == 20 else SEGMENT, p) for p in places]
        assert MacReader(FixedSwitch(*entries)).learnt() == [
            LearntMac(mac, Kind.LEARNT_PEER, PEER, 1)
        ]


def test_place_is_what_the_core_sorts_by():
    found = MacReader(FixedSwitch(entry("02:00:00:00:00:01", Kind.LEARNT_PORT, 6))).learnt()
    assert [one.place() for one in found] == [Learnt("020000000001", True, 6)]
