"""What the switch says of when it has learnt a MAC last."""

import warnings
from types import SimpleNamespace

import pytest

from weave_ryu.names import ShortId
from weave_ryu.pipeline.cookies import Kind, subject_cookie
from weave_ryu.pipeline.rules import HEARSAY

with warnings.catch_warnings():
    # Ryu's imports warn of what nobody here can change.
    warnings.simplefilter("ignore")
    from weave_ryu.gateway.moves import Ages
    from weave_ryu.shell.announce import is_announcement, reverse_arp
    from weave_ryu.shell.moving import Moving, ages_in

MAC = "02:00:00:00:00:07"


def line(cookie, times, rest=""):
    return (
        f" cookie={cookie:#x}, {times}, table=21, n_packets=3, n_bytes=180, hard_timeout=300, "
        f"{rest}priority=20,dl_dst={MAC} actions=load:0x2->NXM_NX_REG2[]\n"
    )


SEGMENT = ShortId(0x513)
HERE = subject_cookie(Kind.LEARNT_PORT, 2)


@pytest.mark.parametrize(
    ("dump", "ages"),
    [
        ("NXST_FLOW reply (xid=0x4):\n", Ages()),
        (line(HERE, "duration=12.345s"), Ages(here=12.345)),
        (line(HERE, "duration=12.345s", "hard_age=3, "), Ages(here=3.0)),
        (line(subject_cookie(Kind.LEARNT_PEER, 5), "duration=1.0s"), Ages(heard=1.0)),
        (line(subject_cookie(Kind.LEARNT_PEER, SEGMENT), "duration=1.0s"), Ages(behind=1.0)),
        (line(subject_cookie(Kind.LEARNT_PORT, HEARSAY), "duration=1.0s"), Ages()),
        (line(0, "duration=1.0s"), Ages()),
        (
            line(subject_cookie(Kind.LEARNT_PEER, 5), "duration=1.0s")
            + line(HERE, "duration=70.1s", "hard_age=9, "),
            Ages(9.0, 1.0),
        ),
    ],
)
def test_age_of_a_mac_is_that_of_its_last_frame(dump, ages):
    assert ages_in(dump, SEGMENT) == ages


def test_the_age_behind_another_segment_is_told_instead_of_that_at_a_port():
    dump = line(subject_cookie(Kind.LEARNT_PEER, 5), "duration=9.0s", "hard_age=2, ")
    assert ages_in(dump, SEGMENT, 5) == Ages(here=2.0)
    assert ages_in(dump, None, None) == Ages(heard=2.0)


def test_what_gateways_announce_is_known_when_the_segment_returns_it():
    frame = reverse_arp(MAC.replace(":", ""))
    assert len(frame) == 60
    assert is_announcement(frame)
    assert not is_announcement(frame[:42] + bytes(18))
    assert not is_announcement(b"\xff" * 60)


def test_an_own_segment_that_nobody_forwards_for_is_known_all_the_same():
    info = SimpleNamespace(is_segment=True, nick_name="office", short_id=ShortId(0x4EC))
    daemon = SimpleNamespace(
        view=SimpleNamespace(infos={1: info}),
        config=SimpleNamespace(gateway=[SimpleNamespace(segment="vlan")]),
        segment_id=lambda segment: {"vlan": ShortId(0x513)}[segment],
    )
    found = Moving._segment_ids(SimpleNamespace(_daemon=daemon))
    assert found == {"vlan": 0x513, "office": 0x4EC}
