"""The exhaustive searches at the size that a build can wait for; `make model` goes further."""

import pytest

from tests.statespace import frames, roles
from tests.statespace.clone import clone
from tests.statespace.search import Found, search
from weave_ryu.gateway import port as port_module
from weave_ryu.gateway.states import (
    STATES,
    TRANSITIONS,
    Active,
    Input,
    Listening,
    Requesting,
    Standby,
)
from weave_ryu.gateway.timers import PROFILES

pytestmark = pytest.mark.thorough


@pytest.mark.parametrize("gateways", [2, 3])
def test_every_fault_at_every_moment_leaves_one_forwarder(gateways, record_property):
    figures = search(roles.settled(gateways, 1))
    record_property("figures", figures)
    assert figures["is_complete"]
    assert figures["states"] > 500
    assert max(figures["ticks_until_one_forwards"].values()) <= 15


@pytest.fixture(scope="module")
def searched():
    """Figures of searches, and the transitions that were taken in them."""
    seen, real = set(), port_module.follow

    def follow(state, happened):
        seen.add((type(state), happened))
        return real(state, happened)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(port_module, "follow", follow)
        figures = {name: search(roles.WISHFUL[name]()) for name in ("all is well", "all start")}
        figures["one fault"] = search(roles.settled(2, 1))
    return figures, seen


def test_every_wish_is_kept_whatever_else_is_wanted_at_that_moment(searched, record_property):
    """The other worlds of `roles.WISHFUL` are searched by `make model`."""
    figures, _ = searched
    record_property("figures", figures)
    assert all(found["is_complete"] for found in figures.values())
    assert figures["all is well"]["states"] > 5000
    assert {wish for _, wish in roles.WISHED_AT} == set(roles.WISHES)


def test_search_takes_every_transition(searched):
    """The model is of the product's own table: what it never takes would not be proved."""
    _, seen = searched
    assert TRANSITIONS.keys() - seen <= NOT_REACHED


FAILURES = (Input.LATE, Input.LINK_LOST, Input.SWITCH_LOST, Input.UNCONFIRMED)
NOT_REACHED = {
    # A failure in the midst of something else: `make model` has two faults, and wishes with faults.
    *((state, failure) for state in {*STATES} - {Active, Standby} for failure in FAILURES),
    (Active, Input.LINK_LOST),
    # Who is asked while all listen opens first, and need not ask for the role.
    (Listening, Input.ASKS),
    (Listening, Input.INVITED),
    (Requesting, Input.ENDS_ASKING),
    (Requesting, Input.OPENS),
}
"""Beyond what one fault, or two wishes, lead to."""


def test_a_wish_that_is_dropped_is_found(monkeypatch):
    """As one that came while the gate was being closed was, before wishes were reconciled."""
    from weave_ryu.gateway.port import PortMachine
    from weave_ryu.gateway.states import Closing

    real = PortMachine._want

    def want(self, intent, said, now):
        if not isinstance(self.phase, Closing):
            real(self, intent, said, now)

    monkeypatch.setattr(PortMachine, "_want", want)
    with pytest.raises(Found, match="wish_kept"):
        search(roles.WISHFUL["all is well"]())


def test_no_frame_loops_in_any_state_of_the_switches(record_property):
    figures = frames.search(frames.NETWORKS["two gateways with a peer between"]())
    record_property("figures", figures)
    assert figures["is_complete"]
    assert figures["states"] > 10000


def test_two_that_never_yield_are_found(monkeypatch):
    monkeypatch.setattr("weave_ryu.gateway.candidacy.yields", lambda _own, _other: False)
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
    assert copied.ports["gw0"].intent.drained


def test_timers_of_the_model_keep_the_products_proportions():
    for timers in PROFILES.values():
        assert timers.renew_s * 3 <= timers.permit_s
        assert timers.lease_s < timers.doubt_s < timers.silent_s < timers.take_over_s
    model = roles.TIMERS
    assert model.renew_s * 3 == model.permit_s
    assert model.give_up_s + 1 == model.take_over_s
