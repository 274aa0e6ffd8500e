"""The way between two gateways fails, but not the mesh: no second forwarder."""

import time
from dataclasses import replace

import pytest

from weave_ryu.lab import cuts, failover, topology

CUT_S = 4.0
"""Long enough for both to take over by silence, if they were to."""


def lab_of(build_lab, options):
    shape = topology.build(["W", "X", "A", "B"])
    shape = replace(shape, segments=tuple(replace(s, options=options) for s in shape.segments))
    return build_lab(topology=shape, roles={"A": "auto", "B": "auto"})


def address(peer):
    return peer.spec.underlay_cidr.partition("/")[0]


@pytest.mark.parametrize("options", ["", "hello=true"], ids=["leases", "hellos"])
def test_cut_between_gateways_changes_no_role(build_lab, options):
    lab = lab_of(build_lab, options)
    active, standby = failover.Bench(lab, print).wait_ready()
    both = address(active), address(standby)
    cuts.cut(lab.underlay, (both, both[::-1]))
    until = time.monotonic() + CUT_S
    while time.monotonic() < until:
        assert active.gateway_state()["state"] == "active"
        assert standby.gateway_state()["state"] == "standby"
        time.sleep(0.1)
    (seen,) = standby.gateway_state()["peer_states"].values()
    assert seen["bfd"] == "down"
    assert seen["verdict"] == "alive"
    if options:
        assert seen["hello_age_s"] < 1.0
    cuts.heal(lab.underlay)
    active, standby = failover.Bench(lab, print).wait_ready()
    assert standby.gateway_state()["state"] == "standby"
