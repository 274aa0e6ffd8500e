"""Each row of the table in docs/explanation/failover.md."""

import pytest

from weave_ryu.errors import ConfigError
from weave_ryu.gateway.detection import Bfd, Evidence, Verdict, judge
from weave_ryu.gateway.timers import PROFILES, Timers

TIMERS = Timers()
FRESH, SILENT = TIMERS.silent_s / 2, TIMERS.silent_s * 2


@pytest.mark.parametrize("bfd", Bfd)
def test_gateway_whose_daemon_speaks_is_alive_whatever_bfd_says(bfd):
    judgement = judge(Evidence(FRESH, bfd, bfd_age_s=5.0), TIMERS)
    assert judgement.verdict is Verdict.ALIVE
    assert judgement.vacant_in_s is None


def test_silent_daemon_on_a_live_switch_is_waited_for_until_its_permits_have_run_out():
    judgement = judge(Evidence(SILENT, Bfd.UP), TIMERS)
    assert judgement.verdict is Verdict.DAEMON_SILENT
    assert judgement.vacant_in_s == pytest.approx(TIMERS.take_over_s - SILENT)


def test_dead_host_leaves_its_place_at_once():
    judgement = judge(Evidence(SILENT, Bfd.DOWN, bfd_age_s=0.2), TIMERS)
    assert judgement.verdict is Verdict.HOST_DEAD
    assert judgement.vacant_in_s <= 0


def test_dead_host_is_dead_only_since_both_signs_are_missing():
    late_bfd = judge(Evidence(SILENT + 5, Bfd.DOWN, bfd_age_s=0.01), TIMERS)
    assert late_bfd.vacant_in_s == pytest.approx(-0.01)


def test_without_a_session_silence_alone_takes_the_longer_time():
    judgement = judge(Evidence(SILENT, Bfd.NONE), TIMERS)
    assert judgement.verdict is Verdict.UNKNOWN
    assert judgement.vacant_in_s == pytest.approx(TIMERS.take_over_s - SILENT)


@pytest.mark.parametrize("bfd", Bfd)
def test_hello_on_the_segment_keeps_a_standby_back(bfd):
    judgement = judge(Evidence(SILENT, bfd, hello_age_s=0.1), TIMERS)
    assert judgement.verdict is Verdict.ELSEWHERE
    assert judgement.vacant_in_s is None


def test_hello_that_has_stopped_counts_as_the_last_sign_of_life():
    """Permits may have been renewed until then."""
    judgement = judge(Evidence(SILENT + 2, Bfd.UP, hello_age_s=SILENT), TIMERS)
    assert judgement.verdict is Verdict.DAEMON_SILENT
    assert judgement.vacant_in_s == pytest.approx(TIMERS.take_over_s - SILENT)
    dead = judge(Evidence(SILENT + 2, Bfd.DOWN, bfd_age_s=9.0, hello_age_s=SILENT), TIMERS)
    assert dead.verdict is Verdict.HOST_DEAD
    assert dead.vacant_in_s == pytest.approx(TIMERS.silent_s - SILENT)


def test_gateway_that_speaks_through_the_mesh_alone_is_alive():
    """The segment between the two may be broken: no role changes on that."""
    judgement = judge(Evidence(FRESH, Bfd.UP, hello_age_s=60.0), TIMERS)
    assert judgement.verdict is Verdict.ALIVE


@pytest.mark.parametrize("profile", PROFILES)
def test_profiles_keep_the_fencing_inequality(profile):
    timers = PROFILES[profile].check()
    assert timers.give_up_s < timers.take_over_s


@pytest.mark.parametrize(
    "timers",
    [Timers(take_over_s=1.2), Timers(renew_s=0.5, take_over_s=3.0), Timers(silent_s=0.15)],
    ids=["take-over too early", "renewal too rare", "silence too short"],
)
def test_times_that_could_let_two_gateways_forward_are_refused(timers):
    with pytest.raises(ConfigError):
        timers.check()
