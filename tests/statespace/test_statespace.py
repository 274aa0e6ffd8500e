"""The exhaustive searches at the size that a build can wait for; `make model` goes further."""

from itertools import product

import pytest

from tests.statespace import frames, roles
from tests.statespace.clone import clone
from tests.statespace.search import Found, search
from weave_ryu.gateway.role import TRANSITIONS, Input, State
from weave_ryu.gateway.timers import PROFILES


@pytest.mark.parametrize("gateways", [2, 3])
def test_every_fault_at_every_moment_leaves_one_forwarder(gateways, record_property):
    figures = search(roles.settled(gateways, 1))
    record_property("figures", figures)
    assert figures["is_complete"]
    assert figures["states"] > 500
    assert max(figures["ticks_until_one_forwards"].values()) <= 15


def test_no_frame_loops_in_any_state_of_the_switches(record_property):
    figures = frames.search(frames.NETWORKS["two gateways with a peer between"]())
    record_property("figures", figures)
    assert figures["is_complete"]
    assert figures["states"] > 10000


def test_search_reaches_every_transition_but_those_of_links(monkeypatch):
    """The model is of the product's own table: what it never takes would not be proved."""
    seen = set()
    real = roles.GatewayCore

    import weave_ryu.gateway.port as module

    def follow(state, happened):
        seen.add((state, happened))
        return module_follow(state, happened)

    module_follow = module.follow
    monkeypatch.setattr(module, "follow", follow)
    search(roles.settled(2, 1))
    assert real is roles.GatewayCore
    unseen = {
        (state, happened)
        for state, happened in TRANSITIONS.keys() - seen
        if happened is not Input.LINK_LOST and state is not State.FAULT
    }
    assert unseen <= NOT_REACHED


NOT_REACHED = {
    # The operator's standby, which the model does not use, and what needs two faults.
    *product([State.BLOCKED], [Input.SWITCH_LOST, Input.READY_TO_STAND_BY]),
    *product([State.STANDBY], [Input.CLOSED]),
    *product([State.ARMING], [Input.CLOSED, Input.GIVEN_UP, Input.LATE, Input.SWITCH_LOST]),
    *product([State.DRAINING], [Input.LATE, Input.SWITCH_LOST]),
    *product([State.ACTIVE], [Input.OPENED]),
}


def test_two_that_never_yield_are_found(monkeypatch):
    monkeypatch.setattr("weave_ryu.gateway.port.yields", lambda _own, _other: False)
    with pytest.raises(Found, match="one_forwarder"):
        search(roles.settled(2, 1))


def test_copy_of_a_core_does_not_change_with_it():
    world = roles.settled(2, 0)
    first, *_ = world.nodes
    core = world.nodes[first].core
    copied = clone(core)
    before = world.key()
    copied.drain("gw0", world.now)
    copied.handle_timer(world.now + 1)
    assert world.key() == before
    assert copied.ports["gw0"].is_drained


def test_timers_of_the_model_keep_the_products_proportions():
    for timers in PROFILES.values():
        assert timers.renew_s * 3 <= timers.permit_s
        assert timers.lease_s < timers.doubt_s < timers.silent_s < timers.take_over_s
    model = roles.TIMERS
    assert model.renew_s * 3 == model.permit_s
    assert model.give_up_s + 1 == model.take_over_s
