"""Containers that end without `detach` leave no port behind, and nobody else's port is touched."""

import pytest

from weave_ryu import attach, links
from weave_ryu.lab import topology
from weave_ryu.lab.netns import delete_namespace

JOBS = 25


@pytest.fixture(scope="module")
def peer(build_lab):
    lab = build_lab(topology=topology.build(["W", "A"]), roles={"A": "active"})
    return lab.peers["W"]


def plug(peer, namespace, number):
    request = attach.Request(
        namespace=str(namespace),
        cidr=f"10.41.0.{number}/24",
        ovs_db=peer.switch.remote,
        host_namespace=peer.netns,
    )
    return attach.attach(request).ports[0]


def ports(peer):
    return set(peer.switch.vsctl("list-ports", "weave").split())


def log_lines(peer, port):
    return [line for line in peer.daemon.log.read_text().splitlines() if port in line]


@pytest.fixture
def foreign(peer, namespace):
    """What others have in the bridge: a port whose link has gone, and one whose link is there."""
    links.create_veth("theirs1", peer.netns, "x", namespace("theirs"))
    for name in ("theirs0", "theirs1"):
        peer.switch.vsctl("--no-wait", "add-port", "weave", name)
    peer.switch.vsctl("set", "Interface", "theirs0", "external_ids:weave-ryu-netns=/run/netns/x")
    yield {"theirs0", "theirs1"}
    for name in ("theirs0", "theirs1"):
        peer.switch.vsctl("--no-wait", "del-port", "weave", name)
    links.delete_link("theirs1", peer.netns)


def test_ports_of_ended_jobs_are_removed_and_others_stay(peer, foreign, namespace, eventually):
    before = ports(peer)
    assert foreign < before
    stays = plug(peer, namespace("stays"), 99)
    jobs = {}
    for number in range(1, JOBS + 1):
        job = namespace(f"job{number}")
        jobs[plug(peer, job, number)] = job
    assert ports(peer) == before | {stays} | set(jobs)
    for job in jobs.values():
        delete_namespace(job.name)
    eventually(lambda: not ports(peer) & set(jobs), timeout_s=15, what="no port of a job is left")
    assert ports(peer) == before | {stays}
    for port in jobs:
        eventually(lambda port=port: log_lines(peer, port), what="the removal is logged")
        assert len(log_lines(peer, port)) == 1
        assert "left_port_removed" in log_lines(peer, port)[0]


def test_what_ended_while_the_daemon_was_down_is_removed_when_it_is_back(
    peer, namespace, eventually
):
    job = namespace("late")
    port = plug(peer, job, 77)
    peer.kill_daemon()
    delete_namespace(job.name)
    assert port in ports(peer)
    peer.start_daemon()
    eventually(lambda: port not in ports(peer), timeout_s=15, what="the port has been removed")


def test_container_that_comes_back_under_its_name_is_kept(peer, namespace, eventually):
    """The namespace's number may be that of the one that has gone; the port's name is, then."""
    job = namespace("again")
    port = plug(peer, job, 66)
    delete_namespace(job.name)
    eventually(lambda: links.find_link(port, peer.netns) is None, what="the link has gone")
    job = namespace("again")
    port = plug(peer, job, 66)
    eventually(lambda: _is_open(peer, port), what="the new port is open")
    assert port in ports(peer)


def _is_open(peer, port):
    return peer.switch.vsctl("--if-exists", "get", "Interface", port, "ofport").strip().isdecimal()
