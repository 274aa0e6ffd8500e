"""A daemon counts on from its life before, whatever the clock of its host says."""

import warnings

import pytest

from weave_ryu.errors import RemoteProtocolError
from weave_ryu.gateway.hearing import Hearing
from weave_ryu.gateway.records import MAX_COUNTER, GatewayRecord, PortRecord
from weave_ryu.names import PeerName

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from weave_ryu.shell import setup

NOW_MS = 1_700_000_000_000
DAY_MS = 86_400_000


class Kept:
    """A bridge's external_ids."""

    def __init__(self, **kept):
        self.kept = kept

    def bridge_setting(self, _bridge, key):
        return self.kept.get(key)

    def set_bridge_setting(self, _bridge, key, value):
        self.kept[key] = value


def life(ovsdb, now_ms):
    first = setup.first_sequence("weave", ovsdb, now_ms)
    setup.remember_sequence(first, "weave", ovsdb)
    return first


@pytest.mark.parametrize("step_ms", [1, -DAY_MS, -3650 * DAY_MS, DAY_MS, 0])
def test_each_life_begins_above_the_one_before(step_ms):
    ovsdb, now_ms, before = Kept(), NOW_MS, 0
    for _ in range(5):
        first = life(ovsdb, now_ms)
        assert first > before
        before, now_ms = first + setup.SEQUENCE_BLOCK - 1, now_ms + step_ms


@pytest.mark.parametrize("nonsense", ["", "x", "-1", str(MAX_COUNTER), str(1 << 70)])
def test_what_cannot_be_counted_on_from_is_not_believed(nonsense):
    assert life(Kept(**{setup.SEQUENCE_KEY: nonsense}), NOW_MS) == NOW_MS


def test_hellos_of_a_gateway_whose_clock_went_back_are_heard_and_replays_are_not():
    ovsdb, own = Kept(), PeerName(2)
    port = PortRecord("vlan", "gw0", "active", 1)
    hearing = Hearing(own, NOW_MS, b"secret")
    said = []
    for now_ms in (NOW_MS, NOW_MS - DAY_MS):
        first = life(ovsdb, now_ms)
        speaker = Hearing(PeerName(1), first, b"secret")
        said.append(speaker.say(GatewayRecord(PeerName(1), 1, first, (port,)), port))
        assert hearing.take("vlan", said[-1], 1.0).is_active
    for frame in said:
        with pytest.raises(RemoteProtocolError, match="replayed"):
            hearing.take("vlan", frame, 2.0)
