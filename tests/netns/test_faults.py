"""A few cells of the matrix of faults and roles; `make faults` runs all of them."""

import subprocess
import sys

import pytest
from labtools import new_prefix

from weave_ryu.lab import disks, faults, matrix, memory, processes
from weave_ryu.lab import lab as labs


@pytest.fixture(scope="module")
def cells(build_lab):
    return matrix.Matrix(build_lab(matrix.options(new_prefix())), print)


@pytest.mark.parametrize(("fault", "role"), faults.QUICK)
def test_invariants_hold_while_a_fault_lasts_and_afterwards(cells, fault, role):
    cell = cells.run(faults.FAULTS[fault], role)
    assert len(cell.checks) > 20
    assert not cell.violated


def test_kernel_kills_the_process_that_is_meant_and_no_other(tmp_path, eventually):
    if not memory.is_available():
        pytest.skip("no memory cgroup can be made here")
    large = "import time; kept = b'x' * (64 << 20); print('ready', flush=True); time.sleep(60)"
    victim, other = (
        processes.spawn([sys.executable, "-c", large], log=tmp_path / name, environment={})
        for name in ("victim", "other")
    )
    try:
        for name in ("victim", "other"):
            eventually(lambda name=name: "ready" in (tmp_path / name).read_text())
        memory.kill_by_memory(victim, new_prefix())
        assert not victim.is_alive()
        assert other.is_alive()
    finally:
        processes.kill(other)


def test_a_full_disk_has_room_again_and_goes_with_the_lab(tmp_path):
    disk = tmp_path / "disk"
    disks.mount(disk, 1)
    try:
        disks.fill(disk)
        with pytest.raises(OSError, match="No space"):
            (disk / "file").write_bytes(bytes(4096))
        disks.empty(disk)
        (disk / "file").write_bytes(bytes(4096))
    finally:
        disks.unmount_below(tmp_path)
    assert list(disk.iterdir()) == []


def test_the_disk_of_the_machine_is_never_filled(tmp_path):
    with pytest.raises(labs.LabError, match="not a disk of its own"):
        disks.fill(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_frames_are_held_back_between_two_links(namespace):
    """What the matrix relies on where the kernel has no netem."""
    place = namespace("late")
    name = place.name
    for command in (
        "link add a0 type veth peer name a1",
        "link add b0 type veth peer name b1",
        "link set a0 up", "link set a1 up", "link set b0 up", "link set b1 up",
    ):  # fmt: skip
        subprocess.run(["ip", "-n", name, *command.split()], check=True)
    script = """
import os, signal, socket, subprocess, sys, time
line = subprocess.Popen([sys.executable, "-m", "weave_ryu.lab.delay", "a1", "b1", "150"],
                        stdout=subprocess.PIPE)
line.stdout.readline()
near, far = (socket.socket(socket.AF_PACKET, socket.SOCK_RAW) for _ in range(2))
near.bind(("a0", 0x88B5)), far.bind(("b0", 0x88B5))
frame = bytes.fromhex("ffffffffffff" "020000000001" "88b5").ljust(60, b"x")
far.settimeout(0.5)
near.send(frame)
try:
    far.recv(100)
    print("too early")
except TimeoutError:
    pass
line.send_signal(signal.SIGUSR1)
took = None
for _ in range(20):
    began = time.monotonic()
    near.send(frame)
    try:
        far.recv(100)
        took = time.monotonic() - began
        break
    except TimeoutError:
        pass
print("ok" if took is not None and took >= 0.15 else took)
line.kill()
line.wait()
"""
    done = subprocess.run(
        ["ip", "netns", "exec", name, sys.executable, "-c", script],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.split() == ["ok"], done.stderr
