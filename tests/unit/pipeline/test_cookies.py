"""Cookies say whose a flow is, what for, and about what; and they change with the flow."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipeline_states import all_flows, for_every_state

from weave_ryu.pipeline import cookies
from weave_ryu.pipeline.cookies import OWNER, OWNER_MASK, SUBJECT_MASK, Kind
from weave_ryu.pipeline.model import Field, FlowSpec, Goto, Term

FLOW = FlowSpec("classify", 200, (Term(Field.IN_PORT, 3),), (Goto("gate_in"),), Kind.GATEWAY, 3, "")


@given(st.sampled_from(Kind), st.integers(0, 0xFFFF))
def test_kind_and_subject_are_read_back(kind, subject):
    assert cookies.parse(cookies.subject_cookie(kind, subject)) == (kind, subject)


def test_reserved_port_is_cut_to_sixteen_bits():
    assert cookies.parse(cookies.subject_cookie(Kind.LOCAL_PORT, 0xFFFFFFFE)) == (
        Kind.LOCAL_PORT,
        0xFFFE,
    )


@given(st.integers(0, (1 << 64) - 1))
def test_cookie_of_another_owner_or_kind_is_not_ours(cookie):
    ours = cookie >> 56 == OWNER and cookie >> 48 & 0xFF in list(Kind)
    assert (cookies.parse(cookie) is not None) == ours


@for_every_state
def test_flow_cookie_keeps_kind_and_subject_of_every_flow(state):
    for flow in all_flows(state):
        cookie = cookies.flow_cookie(flow)
        assert cookie & OWNER_MASK == OWNER << 56
        assert cookies.parse(cookie) == (flow.kind, flow.subject & 0xFFFF)
        assert cookie & SUBJECT_MASK == cookies.subject_cookie(Kind(flow.kind), flow.subject)


@for_every_state
def test_no_two_flows_of_a_state_share_table_priority_and_cookie(state):
    keys = [(f.table, f.priority, cookies.flow_cookie(f)) for f in all_flows(state)]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    "changed",
    [
        {"priority": 201},
        {"table": "gate_in"},
        {"match": (Term(Field.IN_PORT, 4),)},
        {"actions": ()},
        {"kind": Kind.FRAME},
        {"subject": 4},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_cookie_changes_with_what_the_flow_does(changed):
    assert cookies.flow_cookie(replace(FLOW, **changed)) != cookies.flow_cookie(FLOW)


def test_cookie_does_not_change_with_the_explanation():
    assert cookies.flow_cookie(replace(FLOW, why="other words")) == cookies.flow_cookie(FLOW)


def test_cookie_is_the_same_in_every_process():
    """A daemon that restarts compares with what its predecessor installed: no hash of this run."""
    assert f"{cookies.flow_cookie(FLOW):#x}" == "0x57050003ebbca3d0"


def test_learnt_flows_of_one_subject_share_one_cookie():
    cookie = cookies.subject_cookie(Kind.LEARNT_PEER, 0x222)
    assert cookie == 0x5708_0222_0000_0000
    assert cookie & 0xFFFFFFFF == 0


def test_kinds_that_live_by_their_own_rules_are_unmanaged():
    assert {Kind.PERMIT, Kind.LEARNT_PEER, Kind.LEARNT_PORT} == cookies.UNMANAGED
