"""The states of a gateway port: every pair of state and input is either declared or a bug."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weave_ryu.errors import LocalProtocolError
from weave_ryu.gateway import role
from weave_ryu.gateway.role import TRANSITIONS, Input, State

OPEN_STATES = {State.ACTIVE, State.DRAINING}


@given(st.sampled_from(State), st.sampled_from(Input))
def test_input_leads_where_the_table_says_or_is_a_bug_of_the_caller(state, happened):
    declared = TRANSITIONS.get((state, happened))
    if declared is None:
        with pytest.raises(LocalProtocolError, match=happened.name):
            role.follow(state, happened)
    else:
        assert role.follow(state, happened) is declared.to


@given(st.lists(st.sampled_from(Input), max_size=40))
def test_any_sequence_of_possible_inputs_stays_within_the_states(sequence):
    state = State.BLOCKED
    for happened in sequence:
        if (state, happened) in TRANSITIONS:
            before, state = state, role.follow(state, happened)
            assert state in State
            if state is State.ACTIVE and before is not State.ACTIVE:
                assert happened is Input.OPENED
                assert before in (State.STANDBY, State.ARMING)


@pytest.mark.parametrize("state", State)
def test_loss_of_switch_or_link_is_possible_everywhere_and_closes(state):
    assert role.follow(state, Input.SWITCH_LOST) is State.BLOCKED
    assert role.follow(state, Input.LINK_LOST) is State.FAULT


@pytest.mark.parametrize("state", [State.BLOCKED, State.FAULT])
def test_port_never_comes_up_forwarding(state):
    reached = {t.to for (source, _), t in TRANSITIONS.items() if source is state}
    assert not reached & OPEN_STATES


def test_only_the_switchs_confirmation_makes_a_port_active():
    ways = {h for (s, h), t in TRANSITIONS.items() if t.to is State.ACTIVE and s is not t.to}
    assert ways == {Input.OPENED}


def test_late_renewal_never_leaves_a_port_active():
    late = {s: t.to for (s, h), t in TRANSITIONS.items() if h is Input.LATE}
    assert late[State.ACTIVE] is State.ARMING
    assert not set(late.values()) & OPEN_STATES


def test_every_state_is_reached_and_left():
    moves = [(s, t.to) for (s, _), t in TRANSITIONS.items() if s is not t.to]
    assert {s for s, _ in moves} == set(State)
    assert {t for _, t in moves} == set(State)


def test_every_transition_has_a_note_and_every_input_a_default_reason():
    assert all(transition.note for transition in TRANSITIONS.values())
    assert all(happened.value for happened in Input)
    assert len({happened.value for happened in Input}) == len(Input)


def test_every_input_is_used():
    assert {happened for _, happened in TRANSITIONS} == set(Input)


def test_diagram_shows_every_state_and_way():
    diagram = role.mermaid()
    for (state, happened), transition in TRANSITIONS.items():
        if state is transition.to or happened in (Input.SWITCH_LOST, Input.LINK_LOST):
            continue
        assert f"{state} --> {transition.to}: {happened.name.lower()}" in diagram
    for state in State:
        assert str(state) in diagram


def test_states_are_spelled_as_the_api_shows_them():
    shown = {"blocked", "standby", "arming", "active", "draining", "fault"}
    assert {str(state) for state in State} == shown
