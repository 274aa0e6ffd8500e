"""Every command of the README, the tutorial and the how-tos works as it stands there."""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from docs_commands import ROOT, Reader, blocks, pages
from labtools import new_prefix

from weave_ryu import config, namespaces
from weave_ryu.errors import DaemonUnreachableError
from weave_ryu.lab import lab as labs
from weave_ryu.lab import topology
from weave_ryu.lab.netns import create_namespace, delete_namespace

SETTINGS = re.compile(r"^ *```toml\n(.*?)```", re.MULTILINE | re.DOTALL)

SSH = """#!/bin/sh
# A reader who leaves the session open, and opens the page.
/usr/bin/ssh -F {settings} "$@" &
curl -fs --retry 50 --retry-connrefused --retry-delay 0 --retry-max-time 20 {url} | grep -q '<html'
status=$?
kill $!
exit $status
"""

SSH_SETTINGS = """
Host gw1
    HostName {address}
    Port {port}
    StrictHostKeyChecking no
    UserKnownHostsFile /dev/null
    ExitOnForwardFailure yes
    AddressFamily inet
"""

SYSTEMCTL = """
import signal, sys, time
from weave_ryu.lab import lab, processes
found = lab.find({prefix!r}).peers[{peer!r}]
words = [word for word in sys.argv[1:] if not word.startswith("-")]
if words[0] in ("stop", "restart"):
    found.daemon.process.send(signal.SIGTERM)
    assert processes.wait_gone(found.daemon.process, 15)
if words[0] == "reload":
    found.daemon.kill(signal.SIGHUP)
if words[0] in ("start", "restart") or (words[0] == "enable" and "--now" in sys.argv):
    if not found.daemon.is_alive:
        found.start_daemon("auto")
    deadline = time.monotonic() + 20
    while True:
        try:
            if found.gateway_state()["state"] in ("active", "standby"):
                break
        except Exception:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.1)
"""
"""What systemd would do to the daemon; the unit itself is in `test_service_lab.py`."""


def inside(namespace, *command):
    return namespaces.run_inside(
        namespace, lambda: subprocess.run(command, capture_output=True, check=False).returncode
    )


def stand_in(path, text):
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def tools(tmp_path):
    """`weave-ryu` and `sudo`, wherever they are on this machine, and what there is not."""
    path = tmp_path / "bin"
    path.mkdir()
    stand_in(path / "sudo", '#!/bin/sh\nexec "$@"\n')
    stand_in(path / "weave-ryu", f'#!/bin/sh\nexec {sys.executable} -m weave_ryu "$@"\n')
    return path


def etc(tmp_path):
    """Where the commands may write."""
    for name in ("systemd/system", "bash_completion.d"):
        (tmp_path / "etc" / name).mkdir(parents=True)
    return [
        (r"(?<![\w.])/etc/", f"{tmp_path}/etc/"),
        (r"/opt/weave-ryu(?= )", f"{tmp_path}/opt"),
        (r"/opt/weave-ryu", str(ROOT)),
        (r"(?<!\S)[^\s=]*\.venv/bin/weave-ryu", "weave-ryu"),
        (r"/tmp/gw1", f"{tmp_path}/gw1"),
    ]


def checkout(path, source):
    """A clone of an older version, which is installed in the same environment as this one."""

    def git(*words):
        subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@t", *words], check=True)

    source.mkdir()
    for name in ("Makefile", "setup.cfg", "pyproject.toml", "build-constraints.txt"):
        shutil.copy2(ROOT / name, source)
    shutil.copytree(ROOT / "ovs_scripts", source / "ovs_scripts")
    git("init", "-q", "-b", "main", str(source))
    git("-C", str(source), "add", ".")
    git("-C", str(source), "commit", "-q", "-m", "older")
    git("clone", "-q", str(source), str(path))
    (path / ".venv").symlink_to(ROOT / ".venv")
    for name in ("setup.cfg", "pyproject.toml", "build-constraints.txt"):
        shutil.copystat(ROOT / name, path / name)
    (source / "CHANGELOG.md").write_text("newer\n")
    git("-C", str(source), "add", ".")
    git("-C", str(source), "commit", "-q", "-m", "newer")


def test_only_what_runs_the_tests_is_not_run_by_them():
    left = [block for page in pages() for block in blocks(page) if block.reason]
    first = {tuple(block.text.split()[:3]) for block in left}
    assert first == {
        ("sudo", "make", "demo"),
        ("sudo", "make", "kernel-test"),
        ("sudo", "make", "host-test"),
        ("sudo", "systemctl", "stop"),
    }


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.stem)
def test_every_file_of_settings_is_one(page, tmp_path):
    for place, text in enumerate(SETTINGS.findall(page.read_text())):
        path = tmp_path / f"{place}.toml"
        path.write_text(re.sub(r"/etc/", f"{tmp_path}/", text))
        for name in ("weave-ryu.password", "weave-ryu.token"):
            (tmp_path / name).write_text("swordfish-swordfish\n")
            (tmp_path / name).chmod(0o600)
        config.load(str(path), {}, {})


def test_every_fence_is_commands_or_says_what_else_it_is():
    for page in pages():
        for fence in re.findall(r"^ *```(\w*)", page.read_text(), re.MULTILINE):
            assert fence in ("sh", "toml", ""), (page, fence)


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial/first-lab.md"])
def test_lab_of_the_reader(tools, tmp_path, page):
    prefix = new_prefix()
    replace = [
        *etc(tmp_path),
        (r"\bwr-", f"{prefix}-"),
        (r"(lab (?:up|down|status|kill|start|page)\b)", rf"\1 --prefix {prefix}"),
        (r"(lab page[^#\n]*)", r"\1 --port 0 "),
    ]
    reader = Reader(replace, {"gw1": (None, {})}, tools)
    try:
        found = [block for block in blocks(ROOT / page) if not block.reason]
        *others, last = found
        for block in others:
            reader.run(block)
        reader.done()
        reader.run(last)
        assert not (labs.STATE_ROOT / prefix).exists()
    finally:
        reader.done()
        labs.State(prefix).remove()


# How-tos: on hosts that run already.


@pytest.fixture(scope="module")
def lab(build_lab):
    shape = topology.build(["W", "X", "A", "B"])
    return build_lab(topology=shape, roles={"A": "active", "B": "standby"})


@pytest.fixture
def ready(lab, eventually):
    """A forwards, B could, whatever the page before has done."""
    found = labs.find(lab.prefix)
    for peer in found.peers.values():
        if not peer.daemon.is_alive:
            peer.start_daemon("auto")
    port = "/gateways/gw0"

    def says(name, role):
        try:
            reply = found.peers[name].http("PUT", port, {"role": role}, timeout_s=10)
        except DaemonUnreachableError:
            return False
        return reply.status == 200

    for name, role in (("B", "auto"), ("A", "active"), ("A", "auto")):
        eventually(lambda name=name, role=role: says(name, role), 20)
    eventually(lambda: found.peers["B"].gateway_state()["ready"], 20)
    ping = ("ping", "-c1", "-W1", found.containers["W-c1"].ip)
    eventually(lambda: inside(found.hosts["Host1"].netns, *ping) == 0, 20)
    return found


@pytest.fixture
def for_everybody():
    """A directory that everybody may read, as those of `tmp_path` are not: so are OCF agents."""
    with tempfile.TemporaryDirectory(prefix="weave-ryu-") as directory:
        Path(directory).chmod(0o755)
        yield directory


@pytest.fixture(scope="module")
def sshd(lab):
    """A server on the gateway; its port."""
    gateway = lab.peers["A"]
    command = [sys.executable, str(Path(__file__).with_name("ssh_server.py"))]
    process = namespaces.run_inside(
        gateway.netns,
        lambda: subprocess.Popen([*command, gateway.spec.underlay_ip], stdout=subprocess.PIPE),
    )
    with process:
        yield int(process.stdout.readline())
        process.terminate()


@pytest.mark.parametrize(
    "page", [page for page in pages() if page.parent.name == "how-to"], ids=lambda page: page.stem
)
def test_how_to(ready, sshd, page, tools, for_everybody, tmp_path):
    prefix, gateway = ready.prefix, ready.peers["A"]
    stand_in(
        tools / "systemctl", f"#!{sys.executable}\n{SYSTEMCTL.format(prefix=prefix, peer='A')}"
    )
    stand_in(tools / "journalctl", f"#!/bin/sh\nexec cat {gateway.daemon.log}\n")
    underlay = [peer.spec.underlay_ip for peer in (gateway, ready.peers["B"], ready.peers["W"])]
    checkout(tmp_path / "opt", tmp_path / "source")
    stand_in(tools / "ssh", SSH.format(settings=tmp_path / "ssh", url="http://127.0.0.1:8784/"))
    settings = SSH_SETTINGS.format(address=gateway.spec.underlay_ip, port=sshd)
    (tmp_path / "ssh").write_text(settings)
    replace = [
        *etc(tmp_path),
        (r"/usr/lib/ocf/", f"{for_everybody}/ocf/"),
        (
            r"lab failover --runs 20",
            f"lab failover --prefix {new_prefix()} --runs 1 --event carrier",
        ),
        *((rf"\b192\.0\.2\.{n}\b", ip) for n, ip in enumerate(underlay, 1)),
        (r"\beth1\b", "gw0"),
        (r"(?<![\w/-])gw1/", "A/"),
        (r"\bc1\b", f"{prefix}-c1"),
    ]
    places = {"gw1": (gateway.netns, gateway.switch.environment)}
    places["desk"] = places["weave1"] = (ready.peers["W"].netns, {})
    places["gw2"] = (ready.peers["B"].netns, ready.peers["B"].switch.environment)
    places |= {name: (host.netns, {}) for name, host in ready.hosts.items()}
    reader = Reader(replace, places, tools)
    container = create_namespace(f"{prefix}-c1")
    try:
        for block in blocks(page):
            if not block.reason:
                reader.run(block)
    finally:
        reader.done()
        delete_namespace(container.name)


def test_each_how_to_is_found():
    assert len(pages()) == len(list(Path(ROOT / "docs" / "how-to").glob("*.md"))) + 2
