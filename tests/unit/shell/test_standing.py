"""What is said of gateways: never more than is known."""

from dataclasses import replace

import pytest

from weave_ryu.gateway.detection import ALIVE, Bfd, Evidence, judge
from weave_ryu.gateway.records import PortRecord
from weave_ryu.gateway.timers import Timers
from weave_ryu.shell.standing import Lost, Seen, age, headline, weigh

TIMERS = Timers()


def told(state, epoch=1, reason="because", **more):
    return PortRecord("vlan", "gw0", state, epoch, "auto", 100, state == "standby", False, reason,
                      **more)  # fmt: skip


def seen(label, state, epoch=1, silent_s=None, bfd=Bfd.UP, **more):
    """Heard `silent_s` ago by a gateway; None: by a peer that is none, which hears no leases."""
    judgement = None
    if silent_s is not None:
        judgement = judge(Evidence(silent_s, bfd, bfd_age_s=silent_s), TIMERS)
    fields = {key: more.pop(key) for key in ("reason", "forced") if key in more}
    record = told(state, epoch, **fields)
    return Seen(f"{label} gw0", record, judgement=judgement, silent_s=silent_s or 0.0, **more)


OWN = Seen("B gw0", told("standby", 0), is_own=True)
HEIR = Seen("B gw0", told("active", 2, "A: host or switch dead"), is_own=True)


def look(*all_):
    found = weigh(all_, TIMERS.give_up_s)
    line = headline(found)
    return [one.believed for one in found], f"{line.who}; {line.could}", line.tone


def test_all_is_well():
    assert look(seen("A", "active", silent_s=0.1), OWN) == (
        ["active", "standby"], "A gw0 forwards; B gw0 could take over", "good",
    )  # fmt: skip


def test_silent_daemon_may_forward_until_its_permits_run_out():
    believed, words, tone = look(seen("A", "active", silent_s=0.9), OWN)
    assert (believed, tone) == (["fading", "standby"], "warn")
    assert words == (
        "A gw0: its daemon is silent for 0.9 s, may forward until its permits run out; "
        "B gw0 could take over"
    )


@pytest.mark.parametrize("bfd", list(Bfd))
@pytest.mark.parametrize("silent_s", [1.7, 10.0])
def test_whoever_is_silent_for_long_is_not_counted(bfd, silent_s):
    dead = seen("A", "active", silent_s=silent_s, bfd=bfd)
    assert look(dead, OWN)[1:] == ("NOBODY FORWARDS; B gw0 could take over", "bad")
    (lost, heir) = weigh([dead, HEIR], TIMERS.give_up_s)
    assert headline([lost, heir]).who == "B gw0 forwards"
    assert lost.why.endswith("; B gw0 took over")
    assert lost.is_alive is False


def test_dead_host_is_dead_at_once():
    believed, words, _ = look(seen("A", "active", silent_s=0.4, bfd=Bfd.DOWN), OWN)
    assert (believed[0], words.split(";")[0]) == ("dead", "NOBODY FORWARDS")


def test_silent_standby_could_not_take_over():
    assert look(replace(HEIR), seen("A", "standby", silent_s=0.5))[1:] == (
        "B gw0 forwards; nobody else could take over", "good",
    )  # fmt: skip


def test_two_that_are_heard_to_forward_are_two():
    assert look(seen("A", "active", silent_s=0.1), HEIR)[1:] == (
        "2 FORWARD: A gw0, B gw0; nobody else could take over", "bad",
    )  # fmt: skip


def test_hand_over_is_not_nobody():
    leaving, arming = seen("A", "draining", silent_s=0.1), Seen("B gw0", told("arming"), True)
    assert look(leaving, arming)[1] == "A gw0 hands over; nobody could take over"


# A peer that is no gateway hears no leases.


def test_bystander_believes_the_newest_epoch():
    heir = seen("B", "active", 2, reason="A: host or switch dead")
    lost, new = weigh([seen("A", "active", 1), heir], TIMERS.give_up_s)
    assert (lost.believed, lost.why) == (Lost.REPLACED, "B gw0 took over: A: host or switch dead")
    assert headline([lost, new]).who == "B gw0 forwards"


def test_bystander_sees_two_by_force():
    both = [seen("A", "active", 1, forced=True), seen("B", "active", 2, forced=True)]
    assert look(*both)[1] == "2 FORWARD: A gw0, B gw0; nobody else could take over"


@pytest.mark.parametrize(("away_s", "believed"), [(0.2, "fading"), (5.0, "away")])
def test_bystander_sees_a_daemon_leave(away_s, believed):
    found = weigh([seen("A", "active", 1, away_s=away_s)], TIMERS.give_up_s)
    assert [one.believed for one in found] == [believed]
    assert not found[0].forwards


def test_daemon_that_left_and_is_heard_by_nobody_is_judged_by_its_leases():
    gone = seen("A", "active", 1, silent_s=1.7, away_s=0.2)
    assert look(gone, OWN)[0] == ["away", "standby"]
    dead = seen("A", "active", 1, silent_s=1.7, bfd=Bfd.DOWN, away_s=0.2)
    assert look(dead, OWN)[0] == ["dead", "standby"]


# The own port.


def test_own_port_whose_switch_has_gone_is_not_said_to_forward():
    own = Seen("B gw0", told("active"), is_own=True, is_certain=False)
    believed, words, tone = look(own)
    assert (believed, tone) == (["fading"], "warn")
    assert words.startswith("B gw0: may forward: its switch has not confirmed")


def test_state_of_a_later_version_is_shown_as_it_is():
    assert weigh([seen("A", "resting", silent_s=0.1)], 1.0)[0].words == "resting"


def test_nobody_is_known():
    assert look() == ([], "NOBODY FORWARDS; nobody could take over", "bad")


def test_many_that_could_are_counted():
    others = [seen(f"C{n}", "standby", silent_s=0.1) for n in range(4)]
    assert look(HEIR, *others)[1] == "B gw0 forwards; 4 could take over"


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.94, "0.9 s"), (3.2, "3 s"), (180.0, "3 min"), (7300.0, "2 h")]
)
def test_age(seconds, words):
    assert age(seconds) == words


def test_alive_is_told():
    assert weigh([Seen("A gw0", told("active"), judgement=ALIVE)], 1.0)[0].is_alive is True
    assert weigh([Seen("A gw0", told("active"))], 1.0)[0].is_alive is None
