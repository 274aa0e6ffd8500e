"""Figures that we quote are in the measurement that they are quoted from."""

from weave_ryu.lab.demo import UNPROTECTED_COPIES


def test_copies_without_protection_are_those_measured_with_real_routers(vector):
    trials = {trial["trial"]: trial for trial in vector("issue630.json")["fast_datapath"]}
    assert trials["h1"]["sent"] == 1
    assert trials["h1"]["received_by_Host1"] == UNPROTECTED_COPIES == 3369
