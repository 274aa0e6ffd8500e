"""A few seconds of fuzzing, and all that longer runs have found; see fuzz.py."""

import pytest
from fuzz import CASES, TARGETS, Fuzzer, attempt


def test_what_was_found_once_is_mended():
    cases = sorted(CASES.glob("*-*"))
    problems = {c.name: attempt(c.name.partition("-")[0], c.read_bytes()) for c in cases}
    assert problems == dict.fromkeys(problems)


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_half_a_second_of_fuzzing_finds_nothing(target):
    fuzzer = Fuzzer(seed=6783, targets=[target])
    fuzzer.run(0.5, at_least=20)
    assert fuzzer.tried[target] >= 20
    assert fuzzer.found == {}
