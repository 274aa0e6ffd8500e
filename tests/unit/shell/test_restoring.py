"""The bridge is put back once, with a word, and not when nothing was changed."""

import warnings
from types import SimpleNamespace

import pytest

from weave_ryu.errors import OvsdbError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from weave_ryu.shell.restoring import Restorer


class NotingDatabase:
    def __init__(self, deviations, datapath="system", refuses=False):
        self.found, self.datapath, self.refuses, self.written = deviations, datapath, refuses, 0

    def deviations(self, _spec):
        return self.found

    def bridge_datapath(self, _name):
        return self.datapath

    def ensure(self, _spec):
        if self.refuses:
            raise OvsdbError("set-up", "refused")
        self.written += 1
        self.found = []


@pytest.mark.parametrize(
    ("database", "written", "made_anew"),
    [
        (NotingDatabase([]), 0, 0),
        (NotingDatabase(["fail_mode is standalone, not secure"]), 1, 0),
        (NotingDatabase(["there is no bridge weave"], datapath=None), 1, 1),
        (NotingDatabase(["there is no bridge weave"], datapath=None, refuses=True), 0, 0),
    ],
    ids=["as it was", "changed", "gone", "refused"],
)
def test_what_was_changed_is_put_back_once(database, written, made_anew):
    made = []
    spec = SimpleNamespace(name="weave")
    restorer = Restorer(database, lambda: spec, lambda: made.append(1))
    has_changes = bool(database.found)
    assert restorer.look() is has_changes
    assert (database.written, len(made)) == (written, made_anew)
    assert restorer.look() is database.refuses
