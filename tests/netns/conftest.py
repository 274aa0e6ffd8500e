"""Labs for tests on real Open vSwitch: built, kept when a test fails, and never left behind."""

import os
import shutil
import time
from pathlib import Path

import pytest
from labtools import PREFIX_OF_THIS_RUN, new_prefix, standin_options

from weave_ryu.errors import LabError
from weave_ryu.lab import lab as labs
from weave_ryu.lab import processes
from weave_ryu.lab.netns import create_namespace, delete_namespace
from weave_ryu.lab.patience import stretched
from weave_ryu.namespaces import NETNS_DIR

ARTEFACTS = Path(__file__).parents[2] / "build" / "artefacts"

_labs = {}


QUICK = frozenset(
    f"test_{name}.py"
    for name in (
        "acceptance_bad_input",
        "acceptance_failures",
        "acceptance_line",
        "acceptance_traffic",
        "attach",
        "boot_order",
        "carrier",
        "fake_peer",
        "fence",
        "gateway_links",
        "lab_traffic",
        "lab_underlay",
        "leftover_ports",
        "ovs_scripts",
        "provision",
        "service_lab",
        "underlay_address",
    )
)
"""What `make test` runs of these, some five minutes: one look at each promise and each script. All
others are for `make test-all`, and so is a new file until somebody waits for it."""


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.netns)
            if item.path.name not in QUICK:
                item.add_marker(pytest.mark.thorough)
            if os.geteuid() != 0:
                item.add_marker(pytest.mark.skip(reason="builds network namespaces: needs root"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if outcome.get_result().failed:
        for lab in _labs.values():
            keep_artefacts(lab, ARTEFACTS / item.name)


def keep_artefacts(lab, directory):
    """Logs and databases, and the flows of every bridge that still answers."""
    target = directory / lab.prefix
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(
        lab.state.directory,
        target,
        ignore=shutil.ignore_patterns("*.sock", "*.ctl", "*.mgmt", "run"),
    )
    for peer in lab.peers.values():
        try:
            flows = peer.ofctl("dump-flows")
        except LabError as error:
            flows = str(error)
        (target / f"{peer.nick_name}.flows").write_text(flows)


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left():
    """After all tests: no namespace, process or link that was not there before."""
    if os.geteuid() != 0:
        yield
        return
    before = snapshot()
    yield
    deadline = time.monotonic() + stretched(5)
    while (left := snapshot() - before) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left, f"left behind: {sorted(left)}"


def snapshot():
    """What there is of this run; others may be running beside it."""
    own = PREFIX_OF_THIS_RUN
    names = {f"netns {path.name}" for path in NETNS_DIR.glob(f"{own}*")}
    names |= {f"link {path.name}" for path in Path("/sys/class/net").iterdir()}
    names |= {f"lab {path.name}" for path in labs.STATE_ROOT.glob(f"{own}*")}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            marked = f"{processes.MARKER}={own}".encode() in (path / "environ").read_bytes()
        except OSError:
            continue
        if marked:
            names.add(f"process {path.name}")
    return names


@pytest.fixture
def prefix():
    """A prefix that no other test and no other run uses."""
    return new_prefix()


@pytest.fixture
def namespace(prefix):
    """Makes namespaces that go at the end of the test."""
    made = []

    def make(name):
        full = f"{prefix}-{name}"
        made.append(full)
        return create_namespace(full)

    yield make
    for name in made:
        delete_namespace(name)


@pytest.fixture(scope="module")
def build_lab():
    """Builds labs that go at the end of the module: ``build_lab(options)``, or with keywords.

    With keywords the real daemon runs: ``build_lab(topology=..., roles=...)``.
    """
    built = []

    def build(options=None, **settings):
        options = options or labs.Options(prefix=new_prefix(), **settings)
        lab = labs.up(options, print)
        built.append(lab)
        _labs[lab.prefix] = lab
        return lab

    yield build
    for lab in built:
        _labs.pop(lab.prefix, None)
        lab.down()


@pytest.fixture(scope="module")
def standin_lab(build_lab):
    """A lab of the default shape with stand-in daemons."""
    return build_lab(standin_options(new_prefix()))


@pytest.fixture(scope="session")
def eventually():
    """Waits until a predicate returns something true, and shows its last value if it never does."""

    def wait(predicate, timeout_s=5.0, what=""):
        timeout_s = stretched(timeout_s)
        deadline = time.monotonic() + timeout_s
        while not (value := predicate()):
            if time.monotonic() > deadline:
                pytest.fail(f"{what or predicate} not true within {timeout_s} s; last: {value!r}")
            time.sleep(0.02)
        return value

    return wait
