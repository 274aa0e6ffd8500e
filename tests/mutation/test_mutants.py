"""Each seeded bug is caught, by the seed that the last search has recorded."""

import json
from collections import Counter

import pytest

from tests.mutation.__main__ import DOCUMENT, END, RECORD, START, table
from tests.mutation.mutants import MUTANTS
from tests.mutation.runner import explore, simulate, told_by_story

pytestmark = pytest.mark.thorough
CAUGHT = json.loads(RECORD.read_text())
ANEW = "run `make mutants`, and commit tests/mutation/caught.json if the change is wanted"


def test_there_is_a_record_of_each_mutant_and_of_no_other():
    assert list(CAUGHT) == [mutant.name for mutant in MUTANTS], ANEW
    assert len(MUTANTS) >= 12
    assert max(Counter(mutant.name for mutant in MUTANTS).values()) == 1
    for mutant in MUTANTS:
        assert CAUGHT[mutant.name]["by"] != "sim" or CAUGHT[mutant.name]["seed"] < mutant.seeds


def test_document_shows_the_record():
    assert START + table(CAUGHT) + END in DOCUMENT.read_text(), ANEW


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_is_caught(mutant):
    entry = CAUGHT[mutant.name]
    if entry["by"] == "model":
        assert explore(mutant) == entry["invariant"], ANEW
    elif entry["by"] == "story":
        assert told_by_story(mutant) == entry["invariant"], ANEW
    else:
        # Any change of what happens when moves the seeds; the bug must be caught all the same.
        assert simulate(mutant, entry["seed"], 1) or simulate(mutant, 0, mutant.seeds), ANEW
