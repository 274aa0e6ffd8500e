"""The difference between what is in the switch and what should be there."""

from weave_ryu.pipeline import cookies, diff, rules
from weave_ryu.pipeline.cookies import Kind, subject_cookie
from weave_ryu.pipeline.diff import BundlePlan, InstalledFlow
from weave_ryu.pipeline.render import EXAMPLE, example_flows

DESIRED = rules.flows(EXAMPLE)
PRESENT = [diff.installed(flow) for flow in DESIRED]
FOREIGN = InstalledFlow(0, 100, 0x1234)
LEARNT = InstalledFlow(21, 20, subject_cookie(Kind.LEARNT_PEER, 0x222))


def permits():
    return [diff.installed(flow) for flow in example_flows() if flow.kind == Kind.PERMIT]


def test_nothing_is_done_when_the_switch_holds_what_is_desired():
    plan = diff.plan(PRESENT, DESIRED)
    assert plan == BundlePlan()
    assert not plan


def test_everything_is_added_to_an_empty_switch_in_the_given_order():
    assert diff.plan([], DESIRED).add == tuple(DESIRED)


def test_flow_that_is_no_longer_desired_is_deleted_by_table_and_cookie():
    plan = diff.plan(PRESENT, DESIRED[1:])
    assert plan == BundlePlan(delete=(PRESENT[0],))
    assert plan


def test_deletes_are_sorted():
    plan = diff.plan(reversed(PRESENT), [])
    assert list(plan.delete) == sorted(PRESENT)


def test_flows_of_other_owners_permits_and_learnt_flows_are_left_alone():
    present = [FOREIGN, LEARNT, *permits(), *PRESENT]
    assert not diff.plan(present, DESIRED)
    assert diff.plan(present, []).delete == tuple(sorted(PRESENT))


def test_flow_that_an_earlier_version_gave_another_kind_is_not_ours_to_judge():
    assert not diff.plan([InstalledFlow(0, 100, 0x57FF << 48)], [])


def test_kept_kinds_stay_although_they_are_not_desired():
    frames = [flow for flow in DESIRED if flow.kind == Kind.FRAME]
    plan = diff.plan(PRESENT, frames, keep=lambda kind: kind is Kind.PEER)
    assert plan.delete
    assert all(cookies.parse(flow.cookie)[0] not in (Kind.PEER, Kind.FRAME) for flow in plan.delete)
    assert not plan.add


def test_installed_form_has_the_number_of_the_table():
    assert diff.installed(DESIRED[0]) == InstalledFlow(
        0, DESIRED[0].priority, cookies.flow_cookie(DESIRED[0])
    )
