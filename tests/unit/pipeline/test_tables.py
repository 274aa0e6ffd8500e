"""Every flow keeps to what its table declares, whatever the forwarding state is."""

import itertools

import pytest
from pipeline_states import all_flows, for_every_state, for_every_state_and_gate

from weave_ryu.gate import Gate
from weave_ryu.pipeline import render, rules
from weave_ryu.pipeline.cookies import Kind
from weave_ryu.pipeline.model import Field, Goto, Learn, Load, Mark, MoveTunnelIds, Resubmit
from weave_ryu.pipeline.tables import BY_NAME, BY_NUMBER, MARKS, METER_RATES, TABLES

OVSDB_NAME_LIMIT = 31


def targets(flow):
    for action in flow.actions:
        if isinstance(action, (Goto, Resubmit, Learn)):
            yield action.table


def test_names_and_numbers_are_unique():
    assert len(BY_NAME) == len(BY_NUMBER) == len(TABLES)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_table_has_a_short_name_a_purpose_and_a_number_that_switches_have(table):
    assert 0 < len(table.name) <= OVSDB_NAME_LIMIT
    assert table.purpose.endswith(".")
    assert table.miss
    assert 0 <= table.number < 254
    assert set(table.goes_to) <= set(BY_NAME)
    assert len(set(table.goes_to)) == len(table.goes_to)


def test_every_table_but_the_first_is_reached_from_another():
    reached = {name for table in TABLES for name in table.goes_to}
    assert set(BY_NAME) - reached == {"classify"}
    assert BY_NAME["classify"].number == 0


def test_marks_do_not_overlap_within_a_register():
    for one, other in itertools.combinations(MARKS, 2):
        if one.register == other.register:
            assert not one.mask & other.mask, (one.name, other.name)
    assert len({mark.name for mark in MARKS}) == len(MARKS)


@pytest.mark.parametrize("mark", MARKS, ids=lambda mark: mark.name)
def test_mark_fits_into_its_register(mark):
    assert 0 < mark.mask < 1 << 32
    assert mark.mask.bit_count() == mark.bits
    assert mark.meaning


@for_every_state_and_gate
def test_flows_match_only_what_their_table_declares(state, gate):
    for flow in all_flows(state, gate):
        used = {term.what for term in flow.match}
        assert used <= set(BY_NAME[flow.table].matches), flow


@for_every_state_and_gate
def test_flows_go_only_to_tables_that_their_table_declares(state, gate):
    for flow in all_flows(state, gate):
        assert set(targets(flow)) <= set(BY_NAME[flow.table].goes_to), flow


def hand_over_flows():
    """What the permits of a hand-over add to the example."""
    port = render.EXAMPLE.gateway_ports[0]
    return [flow for gate in Gate for flow in rules.permits(port, gate, 1)]


def test_every_declared_way_is_used_by_the_example_of_the_documentation():
    flows = [*render.example_flows(), *hand_over_flows()]
    used = {(flow.table, target) for flow in flows for target in targets(flow)}
    assert used == {(table.name, name) for table in TABLES for name in table.goes_to}


@for_every_state_and_gate
def test_numbers_strictly_increase_along_goto(state, gate):
    for flow in all_flows(state, gate):
        for action in flow.actions:
            if isinstance(action, Goto):
                assert BY_NAME[action.table].number > BY_NAME[flow.table].number, flow


@for_every_state
def test_goto_is_the_last_action_and_stands_alone(state):
    for flow in all_flows(state):
        assert not any(isinstance(action, Goto) for action in flow.actions[:-1]), flow


def test_frame_cannot_circle_inside_the_bridge_whether_by_goto_or_resubmit():
    edges = {(a, b) for a, b, _ in render.edges(render.example_flows())}
    order = []
    remaining = set(BY_NAME)
    while remaining:
        free = {n for n in remaining if not any(a in remaining and b == n for a, b in edges)}
        assert free, f"a circle among {sorted(remaining)}"
        order += sorted(free)
        remaining -= free
    assert order[0] == "classify"


@for_every_state
def test_only_learn_actions_write_to_learnt_tables(state):
    for flow in all_flows(state):
        assert not BY_NAME[flow.table].learnt, flow
        for action in flow.actions:
            if isinstance(action, Learn):
                assert BY_NAME[action.table].learnt
                assert action.by in BY_NAME[action.table].matches
                assert action.hard_timeout_s > 0


@for_every_state
def test_values_fit_into_marks(state):
    for flow in all_flows(state):
        for term in flow.match:
            if isinstance(term.what, Mark):
                assert 0 <= term.value < 1 << term.what.bits, flow
                assert term.mask is None
        loads = [a for a in flow.actions if isinstance(a, Load)]
        loads += [load for a in flow.actions if isinstance(a, Learn) for load in a.loads]
        for load in loads:
            assert 0 <= load.value < 1 << load.mark.bits, flow
        for action in flow.actions:
            if isinstance(action, MoveTunnelIds):
                assert action.source.bits == action.destination.bits == 12


@for_every_state_and_gate
def test_every_flow_says_why_in_one_line(state, gate):
    for flow in all_flows(state, gate):
        assert flow.why.strip() == flow.why != ""
        assert "\n" not in flow.why
        assert flow.kind in list(Kind)


@for_every_state
def test_every_table_but_the_learnt_ones_has_a_flow_for_the_rest(state):
    rest = [flow.table for flow in all_flows(state) if flow.priority == 0 and not flow.match]
    assert sorted(rest) == sorted(table.name for table in TABLES if not table.learnt)


@for_every_state
def test_only_permits_run_out(state):
    for flow in all_flows(state):
        assert (flow.hard_timeout_s > 0) == (flow.kind == Kind.PERMIT), flow


def test_meters_of_flows_exist():
    flows = [*render.example_flows(), *hand_over_flows()]
    meters = {a.meter for f in flows for a in f.actions if hasattr(a, "meter")}
    assert meters == set(METER_RATES)


def number(value):
    if isinstance(value, int):
        return value
    if ":" in value:
        return int(value.replace(":", ""), 16)
    return int.from_bytes(bytes(map(int, value.split("."))), "big")


def overlap(one, other):
    """True if a frame could meet both matches: no field contradicts."""
    for a, b in itertools.product(one, other):
        if a.what != b.what:
            continue
        mask = -1 if a.mask is None else number(a.mask)
        mask &= -1 if b.mask is None else number(b.mask)
        if number(a.value) & mask != number(b.value) & mask:
            return False
    return True


def test_overlap_sees_through_masks():
    flows = {(f.table, f.why.split()[0]): f.match for f in render.example_flows()}
    group, link_local = flows["lookup", "broadcast"], flows["classify", "link-local"]
    assert overlap(group, link_local)
    assert overlap(group, ())
    assert {term.what for term in group} == {Field.ETH_DST}


@for_every_state_and_gate
def test_overlapping_flows_of_one_priority_do_the_same(state, gate):
    by_place = {}
    for flow in all_flows(state, gate):
        by_place.setdefault((flow.table, flow.priority), []).append(flow)
    for flows in by_place.values():
        for one, other in itertools.combinations(flows, 2):
            if overlap(one.match, other.match):
                assert one.actions == other.actions, (one, other)


@for_every_state_and_gate
def test_no_two_flows_have_the_same_place(state, gate):
    places = [(flow.table, flow.priority, frozenset(flow.match)) for flow in all_flows(state, gate)]
    assert len(set(places)) == len(places)
