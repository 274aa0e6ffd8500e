"""The forwarder against a switch that only notes what it is told."""

import warnings
from dataclasses import replace

import pytest

from weave_ryu.errors import OpenFlowError
from weave_ryu.names import PeerName, ShortId
from weave_ryu.pipeline import diff
from weave_ryu.pipeline.cookies import (
    EXACT,
    KIND_MASK,
    SUBJECT_MASK,
    Kind,
    parse,
    subject_cookie,
)
from weave_ryu.pipeline.state import ForwardingState, GatewayPort, Hop, RemotePeer
from weave_ryu.pipeline.tables import REVERSE_PATH

NEAR = Hop(ShortId(2), "192.0.2.2", "192.0.2.1", 1)
PEER = RemotePeer(PeerName(2), "B", ShortId(2), NEAR, NEAR, ())
SEGMENT = RemotePeer(PeerName(9), "vlan", ShortId(9), NEAR, NEAR, (), is_segment=True)
GATEWAY = replace(PEER, lets_in=frozenset({"vlan"}))
BEHIND_PEER = (subject_cookie(Kind.LEARNT_PEER, 2), SUBJECT_MASK)


with warnings.catch_warnings():
    # Ryu's and eventlet's imports warn of what nobody here can change.
    warnings.simplefilter("ignore")
    from weave_ryu.shell.forwarder import Forwarder


def state_of(*peers):
    return ForwardingState(
        short_id=ShortId(1),
        tunnel_ports=(1,),
        neighbours=tuple(peer.next_hop for peer in peers),
        pending=(),
        peers=peers,
        broadcast_hops=tuple(peer.next_hop for peer in peers),
        local_ports=(),
        gateway_ports=(),
    )


class NotingSwitch:
    is_connected = True

    def __init__(self):
        self.found, self.digests = set(), {}
        self.forgotten, self.learnt, self.forgotten_macs = [], [], []

    def read_ports(self):
        pass

    def set_meters(self):
        pass

    def has_meters(self):
        return True

    def read_flows(self):
        return [(flow, self.digests.get(flow, 0)) for flow in self.found]

    def commit(self, plan, forget=()):
        self.found -= {flow for flow in self.found if (flow.cookie, EXACT) in forget}
        for flow in plan.add:
            self.digests.pop(diff.installed(flow), None)
        self.found |= {diff.installed(flow) for flow in plan.add}
        self.found -= set(plan.delete)

    def delete(self, selectors):
        self.forgotten += selectors


def refuse(selectors):
    raise OpenFlowError("deletion", "the connection was lost")


@pytest.fixture
def switch():
    return NotingSwitch()


def forwarder_on(switch, states, settle_s=0.0):
    return Forwarder(switch, lambda: states[-1], lambda: None, lambda: None, lambda: None, settle_s)


def test_what_could_not_be_forgotten_is_forgotten_later(switch):
    states = [state_of(PEER)]
    forwarder = forwarder_on(switch, states)
    forwarder._work()
    states.append(state_of())
    delete, switch.delete = switch.delete, refuse
    with pytest.raises(OpenFlowError):
        forwarder._work()
    switch.delete = delete
    forwarder.switch_changed()
    forwarder._work()
    assert switch.forgotten == [BEHIND_PEER]


def test_what_was_learnt_behind_a_peer_is_forgotten_when_it_proves_a_gateway_of_before(switch):
    states = [state_of(PEER)]
    forwarder = forwarder_on(switch, states)
    forwarder._work()
    assert switch.forgotten == []
    states.append(state_of(GATEWAY))
    forwarder._work()
    assert switch.forgotten == [BEHIND_PEER]


def test_what_was_learnt_behind_a_peer_is_forgotten_when_it_leaves(switch):
    states = [state_of(GATEWAY)]
    forwarder = forwarder_on(switch, states)
    forwarder._work()
    states.append(state_of())
    forwarder._work()
    assert switch.forgotten == [BEHIND_PEER]


def test_nothing_is_forgotten_while_peers_stay_what_they_are(switch):
    forwarder = forwarder_on(switch, [state_of(GATEWAY)])
    forwarder._work()
    forwarder._work()
    assert switch.forgotten == []


def test_flows_of_an_earlier_daemon_stay_until_its_neighbours_are_back(switch):
    states = [state_of(PEER)]
    forwarder_on(switch, states)._work()
    before = set(switch.found)
    states.append(state_of())
    successor = forwarder_on(switch, states, settle_s=60.0)
    successor._work()
    assert switch.found == before
    states.append(state_of(PEER))
    successor._work()
    assert switch.found == before


@pytest.mark.parametrize(("came_here", "stay"), [(False, True), (True, False)])
def test_flows_of_an_earlier_daemon_go_when_a_segment_has_moved_here_since(switch, came_here, stay):
    """They take its broadcasts from where it was, and pass them on: with the new tree a loop."""
    before = state_of(PEER, SEGMENT) if came_here else state_of(PEER)
    forwarder_on(switch, [before])._work()
    found = set(switch.found)
    port = GatewayPort(3, "eth1", "vlan", SEGMENT.short_id, is_home=True)
    here = replace(SEGMENT, next_hop=None, parent=None)
    now = replace(state_of(), peers=(here,), gateway_ports=(port,))
    forwarder_on(switch, [now], settle_s=60.0)._work()
    assert (found <= switch.found) == stay
    trees = [flow for flow in switch.found if flow.table == REVERSE_PATH.number]
    subjects = {parse(flow.cookie)[1] for flow in trees if parse(flow.cookie)}
    assert (SEGMENT.short_id in subjects) is False


def test_flows_of_neighbours_that_do_not_come_back_go_in_the_end(switch):
    states = [state_of(PEER)]
    forwarder_on(switch, states)._work()
    states.append(state_of())
    forwarder_on(switch, states, settle_s=0.0)._work()
    fresh = NotingSwitch()
    forwarder_on(fresh, states)._work()
    assert switch.found == fresh.found


@pytest.mark.parametrize("harm", ["all", "one", "altered", "foreign"])
def test_what_others_do_to_flows_is_found_and_undone(switch, harm):
    forwarder = forwarder_on(switch, [state_of(PEER)])
    forwarder._work()
    forwarder._look_whether_it_holds()
    assert forwarder.is_in_sync
    given = set(switch.found)
    victim = min(given)
    if harm == "all":
        switch.found.clear()
    elif harm == "one":
        switch.found.remove(victim)
    elif harm == "altered":
        switch.digests[victim] = 1
    else:
        switch.found.add(replace(victim, cookie=victim.cookie + 1))
    forwarder._look_whether_it_holds()
    assert not forwarder.is_in_sync
    forwarder._work()
    assert forwarder.is_in_sync
    assert switch.found == given
    assert switch.digests.get(victim, 0) == 0
    forwarder._look_whether_it_holds()
    assert forwarder.is_in_sync


def test_gateways_are_told_when_flows_do_not_come_back(switch, monkeypatch):
    now, lost = [100.0], []
    monkeypatch.setattr("weave_ryu.shell.forwarder.time.monotonic", lambda: now[0])
    forwarder = Forwarder(
        switch, lambda: state_of(PEER), lambda: None, lambda: None, lambda: lost.append(now[0]), 0.0
    )
    forwarder._work()
    switch.found.clear()
    forwarder._look_whether_it_holds()
    for _ in range(30):
        forwarder._give_up_if_late()
        now[0] += 0.1
    assert lost[0] == pytest.approx(102.0, abs=0.11)


def test_what_an_earlier_version_has_learnt_by_other_rules_is_forgotten(switch):
    forwarder_on(switch, [state_of(PEER)])._work()
    forwarder_on(switch, [state_of(PEER)])._work()
    assert switch.forgotten == []
    switch.found.add(diff.InstalledFlow(14, 0, subject_cookie(Kind.FRAME, 0)))
    forwarder_on(switch, [state_of(PEER)])._work()
    assert switch.forgotten == [
        (subject_cookie(kind, 0), KIND_MASK) for kind in (Kind.LEARNT_PEER, Kind.LEARNT_PORT)
    ]


def test_flows_of_an_earlier_version_are_replaced_at_once(switch):
    """Among the others of this version they would mean something else."""
    forwarder_on(switch, [state_of(PEER)])._work()
    switch.found.add(diff.InstalledFlow(14, 0, subject_cookie(Kind.FRAME, 0)))
    forwarder_on(switch, [state_of()], settle_s=60.0)._work()
    fresh = NotingSwitch()
    forwarder_on(fresh, [state_of()])._work()
    assert switch.found == fresh.found


def test_what_it_has_learnt_is_forgotten_only_when_its_flows_are_gone(switch, monkeypatch):
    """They would learn it again with the next frame."""
    old = diff.InstalledFlow(14, 0, subject_cookie(Kind.FRAME, 0))
    switch.found.add(old)
    monkeypatch.setattr(switch, "delete", lambda _: switch.forgotten.append(old in switch.found))
    forwarder_on(switch, [state_of(PEER)])._work()
    assert switch.forgotten == [False]


def test_it_is_forgotten_by_the_next_change_if_the_switch_was_away(switch, monkeypatch):
    switch.found.add(diff.InstalledFlow(14, 0, subject_cookie(Kind.FRAME, 0)))
    forwarder = forwarder_on(switch, [state_of(PEER)])
    with monkeypatch.context() as away:
        away.setattr(switch, "delete", refuse)
        with pytest.raises(OpenFlowError):
            forwarder._work()
    forwarder._work()
    assert switch.forgotten == [
        (subject_cookie(kind, 0), KIND_MASK) for kind in (Kind.LEARNT_PEER, Kind.LEARNT_PORT)
    ]
