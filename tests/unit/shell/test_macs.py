"""Which side of a gateway port a learnt MAC is on."""

import warnings
from types import SimpleNamespace

from weave_ryu.gateway.reading import Reading, sort
from weave_ryu.names import ShortId
from weave_ryu.pipeline import rules
from weave_ryu.pipeline.cookies import Kind, subject_cookie
from weave_ryu.pipeline.tables import BY_NUMBER

with warnings.catch_warnings():
    # Ryu's and eventlet's imports warn of what nobody here can change.
    warnings.simplefilter("ignore")
    from weave_ryu.shell.macs import MacReader

GATEWAY_PORT, CONTAINER_PORT, OTHER_GATEWAY_PORT = 5, 6, 8
GATEWAY, PEER, GONE, IDLE, LATE = map(ShortId, (2, 3, 4, 5, 7))


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


def read(*entries):
    places = [learnt.place() for learnt in MacReader(FixedSwitch(*entries)).current()]
    gateways = {GATEWAY, IDLE, LATE}
    ports = {GATEWAY_PORT, OTHER_GATEWAY_PORT}
    return sort(places, GATEWAY_PORT, ports, gateways, {GATEWAY}, {LATE}, {*gateways, PEER})


def test_side_follows_from_where_it_was_learnt():
    found = read(
        entry("02:00:00:00:00:01", Kind.LEARNT_PORT, GATEWAY_PORT),
        entry("02:00:00:00:00:02", Kind.LEARNT_PEER, GATEWAY),
        entry("02:00:00:00:00:03", Kind.LEARNT_PORT, CONTAINER_PORT),
        entry("02:00:00:00:00:04", Kind.LEARNT_PEER, PEER),
        entry("02:00:00:00:00:05", Kind.LEARNT_PEER, IDLE),
        entry("02:00:00:00:00:06", Kind.LEARNT_PEER, LATE),
        entry("02:00:00:00:00:07", Kind.LEARNT_PORT, OTHER_GATEWAY_PORT),
    )
    assert found.hosts == {"020000000001", "020000000002"}
    assert found.heard == {"020000000001"}
    assert found.mesh == {"020000000003", "020000000004", "020000000005", "020000000007"}
    assert found.own == {"020000000003"}
    assert found.relayed == {"020000000002", "020000000005", "020000000006"}
    assert found.unclear == {"020000000006"}


def test_hearsay_is_read_where_and_as_what_the_pipeline_learns_it():
    (learn,) = rules.hearsay()
    asked = []

    class TellingSwitch:
        def dump(self, cookie, mask, table):
            asked.append((cookie, mask, table))
            return [SimpleNamespace(mac="02:00:00:00:00:01"), SimpleNamespace(mac=None)]

    assert MacReader(TellingSwitch()).hearsay() == {"020000000001"}
    ((cookie, mask, table),) = asked
    assert learn.cookie & mask == cookie
    assert BY_NUMBER[table].name == learn.table


def test_behind_a_peer_that_nobody_knows_it_is_on_neither_side():
    assert read(entry("02:00:00:00:00:01", Kind.LEARNT_PEER, GONE)) == Reading()
