"""The image's name, the machine's command line, and the agent's side of the conversation."""

import json
import shutil
import socket
import subprocess
import threading
from dataclasses import replace

import pytest

from tests.vm import agent
from tests.vm.machine import MADE_OF, TREE, Settings, image_of, pack_tree, qemu_command, tree_files

BUILD = TREE / "tests" / "vm" / "build-image"


@pytest.fixture
def ask(monkeypatch, tmp_path):
    """An agent at the other end of a socket, as it is at the other end of the virtio port."""
    monkeypatch.setattr(agent, "GRACE_S", 0.5)
    near, far = socket.socketpair()
    with near, far, near.makefile("rb") as answers, far.makefile("rwb", buffering=0) as stream:
        thread = threading.Thread(target=agent.Agent(stream).serve, daemon=True)
        thread.start()
        assert json.loads(answers.readline())["hello"] == agent.PORT

        def ask(*argv, timeout_s=20.0, **environment):
            asked = {"argv": argv, "environment": environment, "timeout_s": timeout_s}
            near.sendall(json.dumps(asked).encode() + b"\n")
            said = []
            while "status" not in (message := json.loads(answers.readline())):
                said.append(message["out"])
            return message["status"], "".join(said)

        yield ask
        near.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def test_agent_passes_on_output_status_and_environment(ask):
    script = 'echo "$WHAT"; echo error >&2; exit 3'
    assert ask("sh", "-c", script, WHAT="a word") == (3, "a word\nerror\n")
    assert ask("pwd") == (0, f"{TREE}\n")
    status, said = ask("sh", "-c", "head -c 300000 /dev/zero | tr '\\0' x")
    assert (status, len(said)) == (0, 300000)


def test_agent_ends_what_takes_too_long_and_goes_on(ask):
    assert ask("sleep", "60", timeout_s=0.2)[0] is None
    stubborn = "trap '' TERM; echo here; while :; do sleep 0.1; done"
    assert ask("sh", "-c", stubborn, timeout_s=0.2) == (None, "here\n")
    assert ask("true") == (0, "")


def test_agent_survives_what_cannot_be_run_and_waits_for_no_background(ask):
    status, said = ask("no-such-program")
    assert status == 127
    assert "no-such-program" in said
    assert ask("sh", "-c", "sleep 3 & echo begun") == (0, "begun\n")


def test_image_is_named_by_what_it_is_made_of(tmp_path):
    for name in MADE_OF:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(TREE / name, tmp_path / name)
    settings = Settings()
    first = image_of(settings, tmp_path)
    assert first.name.startswith("bookworm-")
    assert image_of(replace(settings, memory_mib=1024), tmp_path) == first
    assert image_of(replace(settings, packages=("jq",)), tmp_path) != first
    assert image_of(replace(settings, release="trixie"), tmp_path) != first
    with (tmp_path / "setup.cfg").open("a") as changed:
        changed.write("\n")
    assert image_of(settings, tmp_path) != first


def test_machine_has_no_network_but_the_cards_that_were_asked_for(tmp_path):
    assert qemu_command(Settings(), tmp_path, tmp_path)[-2:] == ["-nic", "none"]
    more = replace(Settings(), cards=(1, 1, 2), disks_mib=(8,))
    command = qemu_command(more, tmp_path, tmp_path)
    assert [word for word in command if word.startswith("hubport")] == [
        "hubport,id=card0,hubid=1",
        "hubport,id=card1,hubid=1",
        "hubport,id=card2,hubid=2",
    ]
    assert (tmp_path / "disk0").stat().st_size == 8 << 20
    assert "user" not in " ".join(command)


def test_machines_are_joined_by_cables_and_have_addresses_of_their_own(tmp_path):
    cables = ("socket,udp=127.0.0.1:4001,localaddr=127.0.0.1:4002",)
    more = replace(Settings(), cards=(1,), cables=cables, number=2)
    command = qemu_command(more, tmp_path, tmp_path)
    assert "socket,id=card1,udp=127.0.0.1:4001,localaddr=127.0.0.1:4002" in command
    assert command[-1] == "virtio-net-pci,netdev=card1,mac=52:54:00:00:02:02"


def test_archive_of_the_tree_has_the_code_and_nothing_that_git_ignores(tmp_path):
    if not (TREE / ".git").exists():
        pytest.skip("not a clone")
    names = tree_files(TREE)
    assert {"setup.cfg", "weave_ryu/py.typed", "tests/vm/agent.py"} <= set(names)
    assert not any(name.startswith((".venv/", "build/")) for name in names)
    pack_tree(TREE, tmp_path / "code.tar")
    assert (tmp_path / "code.tar").stat().st_size % 512 == 0


def test_build_image_says_what_it_would_do_and_refuses_what_it_does_not_know():
    def run(*words):
        return subprocess.run([BUILD, *words], capture_output=True, text=True, check=False)

    shown = run("--dry-run", "--release", "trixie", "--package", "jq")
    assert shown.returncode == 0
    assert "release trixie" in shown.stdout
    assert ",jq" in shown.stdout
    assert "ryu==4.34" in shown.stdout
    assert "example:" in run("--help").stdout
    for wrong in (("--releese", "x"), ("--release",), ()):
        assert run(*wrong).returncode == 2


def test_counted_time_is_for_one_thread(tmp_path):
    command = qemu_command(replace(Settings(), is_counted=True), tmp_path, tmp_path)
    assert command[command.index("-accel") + 1] == "tcg,thread=single"
    assert command[command.index("-icount") + 1] == "shift=0,sleep=off"
    assert "-smp" not in command
    assert "-icount" not in qemu_command(Settings(), tmp_path, tmp_path)
