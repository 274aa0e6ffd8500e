"""Heartbeats of the fast datapath."""

from __future__ import annotations

import pytest

from weave_ryu.errors import RemoteProtocolError
from weave_ryu.mesh.messages import OverlayControl, decode_control, encode_control
from weave_ryu.mesh.overlay import FastdpOverlay, heartbeat_frame, is_heartbeat_of

UID = 0xAE9D2E9693F3B82D


def overlay() -> FastdpOverlay:
    return FastdpOverlay(UID, "10.0.0.2", "10.0.0.1", 6784, 0.0)


def test_a_heartbeat_is_as_long_as_the_mtu_allows():
    frame = heartbeat_frame(UID, 1376)
    assert len(frame) == 1390
    assert frame[:26].hex() == "00" * 14 + "ae9d2e9693f3b82d" + "056e" + "0000"


@pytest.mark.parametrize(
    "frame",
    [
        heartbeat_frame(UID, 1376)[:-1],
        heartbeat_frame(UID + 1, 1376),
        b"\1" + heartbeat_frame(UID, 1376)[1:],
        heartbeat_frame(UID, 1376)[:23],
        b"",
        bytes(1390),
    ],
)
def test_what_is_no_good_heartbeat_is_not_looked_at(frame):
    assert not is_heartbeat_of(frame, UID)
    one = overlay()
    assert not one.heartbeat_received(frame, "10.0.0.9", 1.0)
    assert one.remote_ip == "10.0.0.2"


def test_heartbeats_go_every_half_second_until_the_ack_and_then_every_ten():
    one = overlay()
    times = []
    now = 0.0
    while now < 3:
        if one.handle_timer(now):
            times.append(now)
        now = round(now + 0.1, 3)
    assert times == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]
    assert one.control_received(OverlayControl(0, 0, b""), 3.0)
    assert one.deadline() == 13.0
    assert not one.control_received(OverlayControl(0, 0, b""), 4.0)


def test_the_ack_is_asked_for_once():
    one = overlay()
    assert one.heartbeat_received(heartbeat_frame(UID, 1376), "10.0.0.2", 1.0)
    assert not one.heartbeat_received(heartbeat_frame(UID, 1376), "10.0.0.2", 2.0)


def test_the_address_is_learnt_from_good_heartbeats():
    one = overlay()
    one.heartbeat_received(heartbeat_frame(UID, 1376), "10.9.9.9", 1.0)
    assert one.view().remote_ip == "10.9.9.9"


def test_sixty_silent_seconds_are_unhealthy_and_no_error():
    one = overlay()
    one.heartbeat_received(heartbeat_frame(UID, 1376), "10.0.0.2", 1.0)
    one.handle_timer(60.9)
    assert one.healthy
    one.handle_timer(61.0)
    assert not one.healthy
    one.heartbeat_received(heartbeat_frame(UID, 1376), "10.0.0.2", 99.0)
    assert one.healthy


def test_an_index_outside_the_common_list_is_refused():
    with pytest.raises(RemoteProtocolError, match="index 1"):
        overlay().control_received(OverlayControl(1, 0, b""), 0.0)


def test_unknown_sub_tags_are_ignored():
    one = overlay()
    assert not one.control_received(OverlayControl(0, 1, bytes(64)), 0.0)
    assert not one.acknowledged


def test_control_bodies_have_two_bytes_at_least():
    assert encode_control(OverlayControl(0, 0, b"")) == b"\0\0"
    for body in (b"", b"\0"):
        with pytest.raises(RemoteProtocolError, match="short-control"):
            decode_control(body)
