"""Laws of what gateways tell each other, and of flows that are kept from one state to the next."""

import random
import sys
from itertools import permutations, product
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from weave_ryu.gateway.records import GatewayRecord, PortRecord, decode, encode
from weave_ryu.gateway.registry import Registry
from weave_ryu.names import PeerName
from weave_ryu.pipeline import diff, rules

sys.path.append(str(Path(__file__).resolve().parents[1] / "unit" / "pipeline"))

from pipeline_states import forwarding_states

OWN = PeerName(9)
NAMES = [PeerName(n) for n in (1, 2, 3)]
STATES = ["standby", "arming", "active", "draining", "fault"]


@st.composite
def histories(draw):
    """What some gateways told, each its own records one after the other, as it was sent around."""
    told = []
    for name in NAMES:
        for sequence in range(1, draw(st.integers(0, 4)) + 1):
            segments = sorted(draw(st.sets(st.sampled_from(["vlan", "office"]), max_size=2)))
            ports = tuple(
                PortRecord(segment, segment, draw(st.sampled_from(STATES)), draw(st.integers(0, 9)))
                for segment in segments
            )
            told.append(GatewayRecord(name, 1 + sequence // 3, sequence, ports))
    return told


def knowledge(known):
    """What a registry will go by; of epochs it knows at least those of its records."""
    segments = ("vlan", "office")
    for record in known.records():
        assert all(known.epoch(port.segment) >= port.epoch for port in record.ports)
    return known.records(), [(known.gateways_of(s), known.other_actives(s)) for s in segments]


def merged(*messages):
    known = Registry(OWN, 1, 1)
    for message in messages:
        known.merge(message)
    return known


@given(histories(), st.integers(0, 2**32))
def test_merging_records_commutes_whatever_is_doubled_or_overtaken(told, seed):
    shuffled = told * 2
    random.Random(seed).shuffle(shuffled)
    assert knowledge(merged(*([record] for record in shuffled))) == knowledge(merged(told))


@given(histories(), st.data())
def test_merging_records_is_associative(told, data):
    """Whoever relays may have merged before: the cuts between messages do not matter."""
    first, second = sorted(data.draw(st.integers(0, len(told))) for _ in range(2))
    parts = told[:first], told[first:second], told[second:]
    for one, two, three in permutations(parts):
        relayed = merged(one, two).records()
        by_relay, straight = merged(relayed, three), merged(one, two, three)
        assert by_relay.records() == straight.records()
        assert by_relay.gateways_of("vlan") == straight.gateways_of("vlan")


@given(histories())
def test_merging_records_again_changes_nothing(told):
    known = merged(told)
    before, layout = knowledge(known), known.layout
    assert known.merge(told) == ([], False)
    assert known.merge(known.records()) == ([], False)
    assert (knowledge(known), known.layout) == (before, layout)


@given(histories())
def test_records_come_back_as_they_were(told):
    latest = merged(told).records()
    assert list(decode(encode(latest)).records) == latest


@given(st.lists(forwarding_states(), min_size=2, max_size=4))
@settings(max_examples=40, deadline=None)
def test_flows_kept_from_other_states_are_those_that_would_be_made_anew(states):
    kept = [rules.flows(state) for state in states]
    for made in (rules._of_ports, rules._of_neighbour, rules._of_peer):
        made.cache_clear()
    for state, flows in zip(states, kept, strict=True):
        assert rules.flows(state) == flows
        assert len({diff.installed(flow) for flow in flows}) == len(flows)


@given(st.lists(forwarding_states(), min_size=3, max_size=3), st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_the_difference_leads_from_any_mixture_of_flows_to_each_state(states, seed):
    """Bundles of earlier daemons may have been applied by halves, in any order."""
    made = [rules.flows(state) for state in states]
    everything = sorted({diff.installed(flow) for flows in made for flow in flows})
    rng = random.Random(seed)
    for flows, share in product(made, (0.0, 0.5, 1.0)):
        present = {flow for flow in everything if rng.random() < share}
        plan = diff.plan(present, flows)
        after = (present - set(plan.delete)) | {diff.installed(flow) for flow in plan.add}
        assert after == {diff.installed(flow) for flow in flows}
        assert not diff.plan(after, flows)
