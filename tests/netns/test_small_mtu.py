"""A mesh over paths that carry less than usual: `mtu` of the daemons is what containers get."""

import os
import subprocess
import sys

import pytest
from labtools import new_prefix
from test_lab_underlay import exchange

from weave_ryu import links, namespaces
from weave_ryu.lab import daemon as daemons
from weave_ryu.lab import lab as labs
from weave_ryu.lab import topology

MTU, HEADERS = 1220, 50


@pytest.fixture(scope="module")
def lab(build_lab, tmp_path_factory):
    settings = tmp_path_factory.mktemp("mtu") / "weave-ryu.toml"
    settings.write_text(f"mtu = {MTU}\n")
    made = build_lab(
        labs.Options(
            prefix=new_prefix(),
            topology=topology.build(["W", "X", "A"]),
            daemon_command=[*daemons.DEFAULT_COMMAND, "--config", str(settings)],
        )
    )
    for name in made.peers:
        links.set_link(labs.segment_port(name), made.underlay, mtu_bytes=MTU + HEADERS)
    return made


def attach(peer, container, cidr):
    words = ("attach", container.name, cidr)
    return namespaces.run_inside(
        peer.netns,
        lambda: subprocess.run(
            [sys.executable, "-m", "weave_ryu", *words],
            env={**os.environ, **peer.switch.environment},
            capture_output=True,
            text=True,
            check=False,
        ),
    )


def test_tcp_passes_a_path_that_carries_the_daemons_mtu_and_no_more(lab, namespace):
    ends = {}
    for number, name in enumerate("WX", 1):
        ends[name] = namespace(name.lower())
        result = attach(lab.peers[name], ends[name], f"10.40.0.{number}/24")
        assert result.returncode == 0, result.stderr
        assert links.find_link("ethwe", ends[name]).mtu == MTU
    payload = os.urandom(1 << 20)
    assert exchange(ends["X"], ends["W"], "10.40.0.1", payload) == payload
    assert exchange(ends["W"], ends["X"], "10.40.0.2", payload) == payload
