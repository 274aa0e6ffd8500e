"""Behind which gateways hosts are learnt, and behind which containers only."""

from dataclasses import replace

import pytest

from weave_ryu.gateway.admission import LET_IN_S, Admission
from weave_ryu.gateway.records import GatewayRecord, PortRecord
from weave_ryu.names import PeerName

NAME = PeerName(2)


def record(state, sequence=1):
    return GatewayRecord(NAME, 1, sequence, (PortRecord("vlan", "gw0", state, 1),))


def judged(admission, known, now):
    return admission.lets_in(known, "vlan", now), admission.is_idle(NAME, now)


@pytest.mark.parametrize("state", ["active", "draining"])
def test_one_that_forwards_lets_in_and_does_for_a_moment_after(state):
    admission, then, now = Admission(), record(state), record("standby", 2)
    admission.note(None, then, 0.0)
    assert judged(admission, then, 10.0) == (True, False)
    admission.note(then, now, 10.0)
    assert judged(admission, now, 10.0 + LET_IN_S / 2) == (True, False)
    assert judged(admission, now, 10.0 + LET_IN_S) == (False, True)


def test_one_that_opened_and_closed_unheard_did_let_in():
    """Seed 2879: it was in another part of the mesh then."""
    admission, before = Admission(), record("standby")
    (port,) = before.ports
    later = replace(record("standby", 2), ports=(replace(port, epoch=2),))
    admission.note(None, before, 0.0)
    admission.note(before, later, 10.0)
    assert judged(admission, later, 10.0 + LET_IN_S / 2) == (True, False)
    assert judged(admission, later, 10.0 + LET_IN_S) == (False, True)


def test_one_that_may_be_about_to_open_is_neither():
    admission, known = Admission(), record("arming")
    admission.note(None, known, 0.0)
    assert judged(admission, known, 10.0) == (False, False)


def test_one_that_has_just_turned_up_as_standby_is_neither_for_a_moment():
    admission, known = Admission(), record("standby")
    admission.note(None, known, 5.0)
    assert judged(admission, known, 5.0) == (False, False)
    admission.note(known, record("standby", 2), 5.0 + LET_IN_S / 2)
    assert judged(admission, known, 5.0 + LET_IN_S) == (False, True)


def test_one_that_nobody_told_of_is_not_idle():
    assert not Admission().is_idle(NAME, 100.0)
