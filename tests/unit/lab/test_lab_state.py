import pytest

from weave_ryu.errors import ConfigError, LabError
from weave_ryu.lab.processes import ProcessRef
from weave_ryu.lab.state import State


def test_claim_is_exclusive_and_names_the_remedy(tmp_path):
    State("lab", tmp_path).claim()
    with pytest.raises(LabError, match="lab down --prefix lab"):
        State("lab", tmp_path).claim()
    State("other", tmp_path).claim()


def test_record_survives_being_written_and_read(tmp_path):
    state = State("lab", tmp_path)
    state.settings = {"roles": {"A": "active"}}
    state.claim()
    state.add_namespaces(["nosuchlab-W", "nosuchlab-X"])
    state.set_process("W.daemon", ProcessRef(4711, 99))
    found = State("lab", tmp_path)
    found.load()
    assert found.namespaces == ["nosuchlab-W", "nosuchlab-X"]
    assert found.processes == {"W.daemon": ProcessRef(4711, 99)}
    assert found.settings == state.settings


def test_remove_takes_the_directory_and_only_once(tmp_path):
    state = State("neverstarted", tmp_path)
    state.claim()
    assert state.remove()
    assert not state.exists
    assert not state.remove()


def test_load_without_lab_names_the_remedy(tmp_path):
    with pytest.raises(LabError, match="lab up --prefix lab"):
        State("lab", tmp_path).load()


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"namespaces": 3}'])
def test_broken_record_is_an_error_with_its_path(tmp_path, text):
    state = State("lab", tmp_path)
    state.claim()
    (state.directory / "state.json").write_text(text)
    with pytest.raises(LabError, match=r"state\.json"):
        state.load()


@pytest.mark.parametrize("prefix", ["", "Wr", "1wr", "w-r", "averyverylongprefix", "../wr"])
def test_bad_prefix_is_refused(tmp_path, prefix):
    with pytest.raises(ConfigError, match="--prefix"):
        State(prefix, tmp_path)
