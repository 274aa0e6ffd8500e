"""Daemons that do not know segments as peers are replaced by such that do, one after the other."""

import random

import pytest
from sim_faults import Fault, draw_options
from sim_run import run

SEEDS = 25
BETWEEN = ("activate", "force", "both", "drain", "standby", "kill", "pause", "carrier", "switch")


def draw(seed, is_complete):
    """A world of old gateways, and in which order they are replaced, with changes of roles.

    Args:
        seed: of all that is drawn.
        is_complete: in the end all gateways are new ones; otherwise some are, and some are not.
    """
    rng = random.Random(f"upgrade {seed}")
    options = draw_options(rng)
    while options.gateways != "AB":
        # Not three: if all are forced, one can put a host's unicast back onto the segment for which
        # another has let it in; two old ways of marking frames in a row do not keep them apart.
        options = draw_options(rng)
    options.old = options.gateways
    options.hello = rng.random() < 0.4
    order = rng.sample(options.gateways, len(options.gateways))
    if not is_complete:
        order = order[: rng.randint(1, len(order) - 1)]
    faults, at = [], 6.0
    for letter in order:
        faults += draw_changes(rng, options, at)
        at += rng.uniform(3.0, 8.0)
        faults.append(Fault(round(at, 3), "upgrade", letter, 0.3))
        if rng.random() < 0.2:  # it is taken back, and tried again
            faults.append(Fault(round(at + 3.0, 3), "downgrade", letter, 0.3))
            faults.append(Fault(round(at + 6.0, 3), "upgrade", letter, 0.3))
            at += 6.0
        at += rng.choice([0.5, 2.0, 5.0])
    faults += draw_changes(rng, options, at)
    return options, sorted(faults, key=lambda fault: fault.at)


def draw_changes(rng, options, at):
    """Changes of roles, and two or more that forward by force."""
    faults = []
    for _ in range(rng.randint(0, 2)):
        at += rng.uniform(0.2, 3.0)
        kind = rng.choice(BETWEEN)
        for_s = round(rng.uniform(0.5, 4.0), 3)
        who = options.gateways if kind == "both" else rng.choice(options.gateways)
        kind = "force" if kind == "both" else kind
        faults += [Fault(round(at, 3), kind, letter, for_s) for letter in who]
    return faults


@pytest.mark.parametrize("is_complete", [True, False], ids=["all", "some"])
def test_no_mixture_loops_or_has_a_second_forwarder_and_all_is_reached_in_the_end(is_complete):
    failed = {}
    for seed in range(SEEDS):
        options, faults = draw(seed, is_complete)
        outcome = run(seed, options, faults)
        if outcome.broken is not None:
            failed[seed] = str(outcome.broken)
    assert failed == {}
