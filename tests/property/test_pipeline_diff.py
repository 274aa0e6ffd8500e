"""Whatever is installed: the plan leads to what is desired, and touches nothing else."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from weave_ryu.pipeline import cookies, diff
from weave_ryu.pipeline.cookies import UNMANAGED, Kind
from weave_ryu.pipeline.diff import InstalledFlow
from weave_ryu.pipeline.model import Field, FlowSpec, Goto, Load, Output, Term
from weave_ryu.pipeline.tables import BY_NAME, DST_PEER, TABLES

actions = st.lists(
    st.builds(Output, st.integers(1, 3))
    | st.builds(Load, st.just(DST_PEER), st.integers(0, 2))
    | st.builds(Goto, st.sampled_from([table.name for table in TABLES])),
    max_size=2,
).map(tuple)
matches = st.lists(st.builds(Term, st.just(Field.IN_PORT), st.integers(1, 3)), max_size=1).map(
    tuple
)
managed_kinds = st.sampled_from(sorted(set(Kind) - UNMANAGED))
flow_specs = st.builds(
    FlowSpec,
    table=st.sampled_from([table.name for table in TABLES]),
    priority=st.sampled_from([0, 100]),
    match=matches,
    actions=actions,
    kind=managed_kinds,
    subject=st.integers(0, 2),
    why=st.just("because"),
)


def place(flow):
    return flow.table, flow.priority, flow.match


desired_flows = st.lists(flow_specs, max_size=12, unique_by=place)


class Switch:
    """What OpenFlow does with adds and deletes: a place is table, priority and match."""

    def __init__(self, flows, others):
        self.flows = {place(flow): flow for flow in flows}
        self.others = list(others)

    def present(self):
        return [diff.installed(flow) for flow in self.flows.values()] + self.others

    def apply(self, plan):
        for flow in plan.add:
            self.flows[place(flow)] = flow
        for gone in plan.delete:
            self.flows = {
                key: flow
                for key, flow in self.flows.items()
                if (BY_NAME[flow.table].number, cookies.flow_cookie(flow))
                != (gone.table, gone.cookie)
            }
            self.others = [
                other
                for other in self.others
                if (other.table, other.cookie) != (gone.table, gone.cookie)
            ]


foreign_cookies = st.integers(0, (1 << 64) - 1).filter(lambda c: cookies.parse(c) is None)
unmanaged_cookies = st.builds(
    lambda kind, subject, print_: cookies.subject_cookie(kind, subject) | print_,
    st.sampled_from(sorted(UNMANAGED)),
    st.integers(0, 0xFFFF),
    st.integers(0, 0xFFFFFFFF),
)
other_flows = st.lists(
    st.builds(
        InstalledFlow,
        st.sampled_from([table.number for table in TABLES]),
        st.integers(0, 0xFFFF),
        foreign_cookies | unmanaged_cookies,
    ),
    max_size=8,
)


@given(desired_flows, desired_flows, other_flows)
def test_plan_leads_from_any_state_to_the_desired_one(before, desired, others):
    switch = Switch(before, others)
    switch.apply(diff.plan(switch.present(), desired))
    assert {key: replace(flow, why="") for key, flow in switch.flows.items()} == {
        place(flow): replace(flow, why="") for flow in desired
    }


@given(desired_flows, desired_flows, other_flows)
def test_plan_never_touches_what_is_not_managed(before, desired, others):
    switch = Switch(before, others)
    switch.apply(diff.plan(switch.present(), desired))
    assert switch.others == others


@given(desired_flows, desired_flows, other_flows)
def test_second_plan_is_empty(before, desired, others):
    switch = Switch(before, others)
    switch.apply(diff.plan(switch.present(), desired))
    assert not diff.plan(switch.present(), desired)


@given(desired_flows, desired_flows)
def test_plan_has_no_more_changes_than_there_are_differences(before, desired):
    plan = diff.plan([diff.installed(flow) for flow in before], desired)
    kept = {diff.installed(flow) for flow in before} & {diff.installed(flow) for flow in desired}
    assert len(plan.add) == len(desired) - len(kept)
    assert len(plan.delete) == len(before) - len(kept)


@given(desired_flows, desired_flows, st.sets(managed_kinds))
def test_kept_kinds_are_never_deleted(before, desired, kept):
    present = [diff.installed(flow) for flow in before]
    plan = diff.plan(present, desired, keep=lambda kind: kind in kept)
    assert not any(cookies.parse(flow.cookie)[0] in kept for flow in plan.delete)
