"""The matrix of faults and roles: what is in it, and what it says of a violation."""

import json

import pytest

from weave_ryu.lab import faults, matrix


def test_every_fault_strikes_every_role_that_it_can():
    pairs = matrix.cells(faults.FAULTS, faults.ROLES)
    missing = {(name, role) for name in faults.FAULTS for role in faults.ROLES} - set(pairs)
    assert missing == {
        ("carrier", "peer"),
        ("relink", "peer"),
        ("bridge", "peer"),
        ("standalone", "peer"),
    }
    assert set(faults.QUICK) <= set(pairs)


def cell_with(*oks):
    cell = matrix.Cell("kill", "active", "A")
    for ok in oks:
        cell.check("fail_closed", "last frame", "9.00 s", "≤ 2.00 s", ok)
    return cell


def test_a_violation_names_fault_role_and_invariant(capsys):
    cell = cell_with(True, False)
    matrix.show([cell], [])
    text = capsys.readouterr().out
    assert "VIOLATED fail_closed: kill on active (A): last frame: 9.00 s (bound: ≤ 2.00 s)" in text


@pytest.mark.parametrize(("oks", "status"), [((True, True), 0), ((True, False), 1)])
def test_document_and_exit_status_tell_the_same(oks, status, capsys):
    assert matrix.show([cell_with(*oks)], [("oom", "peer")], as_json=True) == status
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is (status == 0)
    assert document["cells"][0]["violated"] == ["fail_closed"] * status
    assert document["skipped"] == [{"fault": "oom", "role": "peer"}]
