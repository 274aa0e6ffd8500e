"""The states of a gateway port: every pair of state and input is either declared or a bug."""

import ast
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

import weave_ryu.gateway
from weave_ryu.errors import LocalProtocolError
from weave_ryu.gateway import states
from weave_ryu.gateway.role import Intent, Role, State
from weave_ryu.gateway.states import (
    CLOSED_STATES,
    STATES,
    TRANSITIONS,
    Active,
    Blocked,
    Closing,
    Draining,
    Entering,
    Fault,
    Input,
    Leaving,
    Listening,
    Opening,
    Requesting,
    Resetting,
    Standby,
    follow,
    told,
)
from weave_ryu.names import PeerName

MAX_FIELDS, MAX_LINES = 15, 400
MODULES = sorted(Path(weave_ryu.gateway.__file__).parent.glob("*.py"))
FORWARDING = {Active, Leaving, Draining}


def example(state):
    """One of each."""
    b = PeerName(2)
    return {
        Listening: lambda: Listening(0.0),
        Requesting: lambda: Requesting(1.0, 0.0),
        Opening: lambda: Opening(3, "", State.STANDBY),
        Closing: lambda: Closing("", State.ACTIVE),
        Draining: lambda: Draining(b, "", 1.0),
        Entering: lambda: Entering(b, 3, 1.0),
        Leaving: lambda: Leaving(b, 3, "", 1.0),
    }.get(state, state)()


@given(st.sampled_from(STATES), st.sampled_from(Input))
def test_input_leads_where_the_table_says_or_is_a_bug_of_the_caller(state, happened):
    declared = TRANSITIONS.get((state, happened))
    if declared is None:
        with pytest.raises(LocalProtocolError, match=happened.name):
            follow(example(state), happened)
    else:
        assert follow(example(state), happened) is declared.to


def test_the_table_names_every_state():
    assert set(get_args(states.PortState)) == set(STATES)
    moves = [(s, t.to) for (s, _), t in TRANSITIONS.items() if s is not t.to]
    assert {s for s, _ in moves} == set(STATES)
    assert {t for _, t in moves} == set(STATES)


@pytest.mark.parametrize("state", STATES)
def test_loss_of_switch_or_link_is_possible_everywhere_and_closes(state):
    assert follow(example(state), Input.SWITCH_LOST) is Blocked
    assert follow(example(state), Input.LINK_LOST) is Fault


@pytest.mark.parametrize("state", [Blocked, Fault])
def test_port_never_comes_up_forwarding(state):
    reached = {t.to for (source, _), t in TRANSITIONS.items() if source is state}
    assert not reached & FORWARDING


def test_only_the_switchs_confirmation_makes_a_port_active():
    ways = {(s, h) for (s, h), t in TRANSITIONS.items() if t.to is Active}
    # One that gives a hand-over up has not closed anything yet.
    assert ways == {
        (Opening, Input.OPENED),
        (Entering, Input.OPENED),
        (Leaving, Input.GIVEN_UP),
    }


def test_late_renewal_never_leaves_a_port_open():
    late = {t.to for (_, h), t in TRANSITIONS.items() if h is Input.LATE}
    assert late == {Resetting}


def test_what_has_closed_was_confirmed_by_the_switch():
    ways = {(s, h) for (s, h), t in TRANSITIONS.items() if t.to is Standby}
    assert {s for s, _ in ways} == {Closing, Resetting, Listening, Requesting}


def test_every_transition_has_a_note_and_every_input_a_default_reason():
    assert all(transition.note for transition in TRANSITIONS.values())
    assert all(happened.value for happened in Input)
    assert len({happened.value for happened in Input}) == len(Input)


def test_every_input_is_used():
    assert {happened for _, happened in TRANSITIONS} == set(Input)


def test_diagram_shows_every_state_and_way():
    diagram = states.mermaid()
    for (state, happened), transition in TRANSITIONS.items():
        if state is transition.to or happened in (Input.SWITCH_LOST, Input.LINK_LOST):
            continue
        way = f"{states.name_of(state)} --> {states.name_of(transition.to)}"
        assert f"{way}: {happened.name.lower()}" in diagram
    for state in STATES:
        assert states.name_of(state) in diagram


def test_states_are_spelled_as_the_api_shows_them():
    shown = {"blocked", "standby", "arming", "active", "draining", "fault"}
    assert {str(state) for state in State} == shown
    assert {example(state).shown for state in STATES} == set(State)


@pytest.mark.parametrize("state", STATES)
def test_every_state_says_when_it_ends_by_itself(state):
    assert isinstance(example(state).due_at, float)


def test_others_are_told_that_a_port_forwards_as_long_as_it_may():
    assert told(Blocked(may_pass_until=5.0), 4.9) is State.ACTIVE
    assert told(Blocked(may_pass_until=5.0), 5.0) is State.BLOCKED
    assert told(Resetting(may_pass_until=5.0), 4.9) is State.ACTIVE
    assert told(example(Opening), 0.0) is State.ACTIVE
    assert told(example(Closing), 0.0) is State.ACTIVE
    assert told(example(Leaving), 0.0) is State.ACTIVE
    for state in (*CLOSED_STATES, Fault):
        assert told(example(state), 0.0) is not State.ACTIVE


@given(st.sampled_from(Role), st.booleans(), st.booleans())
def test_intent_never_wants_two_things(role, forced, drained):
    intent = Intent(role, forced, drained)
    assert not (intent.opens and intent.closes)
    assert intent.closes or intent.opens or intent.role is Role.AUTO


def fields_of(tree):
    """What instances hold: declared in the class, or assigned to self."""
    declared = {n.target.id for n in tree.body if isinstance(n, ast.AnnAssign)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            parts = [part for target in targets for part in ast.walk(target)]
            declared |= {
                p.attr
                for p in parts
                if isinstance(p, ast.Attribute) and isinstance(p.value, ast.Name)
                if p.value.id == "self"
            }
    return declared


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_modules_and_classes_stay_small(path):
    """What grows beyond that is more than one thing."""
    source = path.read_text()
    assert len(source.splitlines()) <= MAX_LINES
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef):
            assert len(fields_of(node)) <= MAX_FIELDS, (node.name, sorted(fields_of(node)))
