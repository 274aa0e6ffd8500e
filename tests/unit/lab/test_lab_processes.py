import os
import signal

import pytest

from weave_ryu.errors import LabError
from weave_ryu.lab import processes
from weave_ryu.lab.processes import ProcessRef


@pytest.fixture
def sleeper(tmp_path):
    process = processes.spawn(
        ["sleep", "60"], log=tmp_path / "log", environment={processes.MARKER: f"unit{os.getpid()}"}
    )
    yield process
    processes.kill(process)


def test_started_process_is_alive_until_killed(sleeper):
    assert sleeper.is_alive()
    processes.kill(sleeper)
    assert not sleeper.is_alive()


def test_same_number_with_another_start_time_is_another_process(sleeper):
    impostor = ProcessRef(sleeper.pid, sleeper.start_ticks + 1)
    assert not impostor.is_alive()
    assert not impostor.send(signal.SIGKILL)
    assert sleeper.is_alive()


def test_stopped_process_ends_by_stop(sleeper):
    sleeper.send(signal.SIGSTOP)
    processes.stop(sleeper)
    assert not sleeper.is_alive()


def test_marked_process_is_found(sleeper):
    found = processes.poll_until(
        lambda: processes.find_marked(f"unit{os.getpid()}") == [sleeper], timeout_s=5
    )
    assert found


def test_process_starts_with_the_niceness_that_was_asked(tmp_path):
    process = processes.spawn(
        ["sleep", "60"], log=tmp_path / "log", environment={}, niceness=processes.NICENESS
    )
    try:
        wanted = os.getpriority(os.PRIO_PROCESS, 0) + processes.NICENESS
        assert processes.poll_until(
            lambda: os.getpriority(os.PRIO_PROCESS, process.pid) == max(wanted, -20), timeout_s=5
        )
    finally:
        processes.stop(process)


def test_missing_program_is_an_error_with_its_name(tmp_path):
    with pytest.raises(LabError, match="no-such-program"):
        processes.spawn(["no-such-program"], log=tmp_path / "log", environment={})


def test_tail_of_a_log_is_its_last_lines(tmp_path):
    log = tmp_path / "log"
    assert processes.log_tail(log) == "(no log)"
    log.write_text("")
    assert processes.log_tail(log) == "(empty log)"
    log.write_text("one\ntwo\nthree\n")
    assert processes.log_tail(log, lines=2) == "two | three"
