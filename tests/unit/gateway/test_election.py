from hypothesis import given
from hypothesis import strategies as st

from weave_ryu.gateway.election import Candidate, Claim, rank, yields
from weave_ryu.names import PeerName

names = st.integers(1, 50).map(PeerName)
one_candidate = st.builds(
    Candidate, names, st.integers(0, 3), st.booleans(), st.sampled_from([0, 0, 1, 2])
)
claims = st.builds(Claim, one_candidate, st.integers(0, 5))
candidates = st.lists(one_candidate, min_size=1, unique_by=lambda candidate: candidate.name)


@given(claims, claims)
def test_of_two_gateways_that_forward_exactly_one_yields(one, other):
    if one.candidate.name != other.candidate.name:
        assert yields(one, other) is not yields(other, one)


@given(claims, claims)
def test_lower_epoch_yields_whatever_the_priorities(one, other):
    if one.epoch < other.epoch:
        assert yields(one, other)


@given(candidates)
def test_every_candidate_has_a_place_of_its_own(found):
    places = [rank(one, [other for other in found if other is not one]) for one in found]
    assert sorted(places) == list(range(len(found)))


@given(candidates)
def test_first_is_who_was_asked_last_and_else_one_that_is_not_damped(found):
    first = min(found, key=lambda one: rank(one, [o for o in found if o is not one]))
    assert first.word == max(one.word for one in found)
    assert first.word or first.damped is False or all(one.damped for one in found)
