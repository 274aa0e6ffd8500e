"""MACs that are at two places: in the API, on the command line, and as a metric."""

import time

import pytest
from api_world import MAC, W

from weave_ryu.cli.status import _show_macs
from weave_ryu.gateway.moves import Conflict

UNKNOWN = "02:00:00:00:00:77"


@pytest.fixture
def double(daemon):
    now = time.monotonic()
    found = [
        Conflict("vlan", MAC.replace(":", ""), W, now - 30, now, True, 12),
        Conflict("vlan", UNKNOWN.replace(":", ""), None, now - 3, now, False, 1),
    ]
    daemon.moving.conflicts = lambda: found


def test_macs_show_where_else_they_are(double, call):
    macs = {entry["Mac"]: entry for entry in call("/macs").json}
    known, unknown = macs[MAC]["Conflict"], macs[UNKNOWN]["Conflict"]
    assert (known["Segment"], known["Holder"], known["Frames"]) == ("vlan", str(W), 12)
    assert (unknown["Holder"], unknown["Confirmed"], macs[UNKNOWN]["Name"]) == (None, False, "")
    assert sum(entry["Conflict"] is None for entry in macs.values()) == len(macs) - 2


def test_status_lists_them_apart(double, call, capsys):
    _show_macs(None, call("/macs").json)
    apart = capsys.readouterr().out.partition("at two places")[2]
    assert [mac in apart for mac in (MAC, UNKNOWN, "02:00:00:00:00:02")] == [True, True, False]
