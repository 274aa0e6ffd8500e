"""The seam to eventlet: alarms, and timers that were cancelled."""

import os
import signal
import subprocess
import sys
import threading
import time
import warnings

import pytest
from green_waiting import wait_until

with warnings.catch_warnings():
    # Eventlet's import warns of what nobody here can change.
    warnings.simplefilter("ignore")
    from weave_ryu.shell import hub

LONG_S = 60.0


def start_waiting(at):
    alarm, woken = hub.Alarm(), []

    def wait():
        alarm.wait(at)
        woken.append(time.monotonic())

    hub.spawn(wait)
    hub.sleep(0)
    return alarm, woken


def test_alarm_wakes_at_its_time():
    at = time.monotonic() + 0.02
    _, woken = start_waiting(at)
    assert not woken
    wait_until(lambda: woken)
    assert woken[0] >= at


def test_alarm_is_brought_forward_and_not_put_off():
    now = time.monotonic()
    alarm, woken = start_waiting(now + LONG_S)
    alarm.bring_forward(now + 0.02)
    alarm.bring_forward(now + LONG_S)
    alarm.bring_forward(None)
    wait_until(lambda: woken)
    assert now + 0.02 <= woken[0] < now + LONG_S


def test_alarm_without_a_time_waits_for_one():
    alarm, woken = start_waiting(None)
    hub.sleep(0.01)
    assert not woken
    alarm.bring_forward(time.monotonic())
    wait_until(lambda: woken)


def test_alarm_that_nobody_waits_for_wakes_nobody_later():
    alarm = hub.Alarm()
    alarm.bring_forward(time.monotonic())
    at = time.monotonic() + 0.02
    alarm.wait(at)
    assert time.monotonic() >= at


def test_others_run_while_an_alarm_is_overdue():
    others = []
    hub.spawn(lambda: others.append(1))
    hub.Alarm().wait(time.monotonic() - 1)
    assert others


def test_signal_is_handled_while_nothing_else_is_due():
    seen = hub.Event()
    before = signal.getsignal(signal.SIGUSR1)
    sender = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
    try:
        hub.handle_signals({signal.SIGUSR1: lambda: seen.send(None)})
        hub.sleep(0)
        sender.start()
        started = time.monotonic()
        with hub.Timeout(LONG_S):
            seen.wait()
        assert time.monotonic() - started < LONG_S / 2
    finally:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGUSR1, before)


def test_hub_does_not_wake_for_a_timer_that_was_cancelled():
    own = hub._Hub()
    first = own.schedule_call_global(1, lambda: None)
    own.schedule_call_global(LONG_S, lambda: None)
    own.prepare_timers()
    soon = own.sleep_until()
    first.called = True  # as `cancel` marks it; that itself speaks to the thread's own hub
    assert own.sleep_until() > soon + LONG_S / 2


VITAL = """
import sys, warnings
warnings.simplefilter("ignore")
from weave_ryu.shell import hub
def part(what):
    if what == "fails":
        raise ValueError("a bug")
    if what == "is ended":
        import greenlet
        raise greenlet.GreenletExit
hub.spawn_vital("heart", part, sys.argv[1])
hub.sleep(0.05)
print("lives")
"""


@pytest.mark.parametrize(("what", "status"), [("fails", 70), ("is over", 0), ("is ended", 0)])
def test_without_a_vital_part_there_is_no_process(what, status):
    run = subprocess.run(
        [sys.executable, "-c", VITAL, what], capture_output=True, text=True, check=False
    )
    assert run.returncode == status, run.stderr
    assert ("lives" in run.stdout) is (status == 0)
    said = run.stdout + run.stderr
    assert ("vital_part_failed" in said and "a bug" in said) is (status != 0)
