"""A daemon without switch and sockets, and a client of its API."""

import random
import time
import warnings
from types import SimpleNamespace

import pytest
from api_world import MAC, OWN, FakeGateways, W, flow_entry

from weave_ryu.config import DaemonConfig
from weave_ryu.gateway.core import GatewayCore
from weave_ryu.gateway.role import Role
from weave_ryu.gateway.surroundings import PortSpec
from weave_ryu.gateway.timers import Timers
from weave_ryu.mesh.config import RouterConfig
from weave_ryu.mesh.router import Router
from weave_ryu.names import PeerUID, ShortId
from weave_ryu.pipeline import cookies, render, rules
from weave_ryu.shell.coordinator import ForwardingView, PeerInfo, Underlay


@pytest.fixture(scope="module")
def shell():
    """The shell's modules. Ryu's and eventlet's imports warn of what nobody here can change."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from webob import Request

        from weave_ryu.shell.api import MAX_BODY_BYTES, Api
        from weave_ryu.shell.macs import LearntMac
    return SimpleNamespace(
        Api=Api, Request=Request, LearntMac=LearntMac, MAX_BODY_BYTES=MAX_BODY_BYTES
    )


@pytest.fixture
def daemon(shell):
    config = RouterConfig(OWN, "A", PeerUID(7), ShortId(0xA))
    router = Router(config, rng=random.Random(7))
    view = ForwardingView(OWN)
    infos = {OWN: PeerInfo("A", ShortId(0xA)), W: PeerInfo("W", ShortId(0x222))}
    underlay = Underlay("192.0.2.2", "192.0.2.1", 6784)
    view.observe({OWN: {W}, W: {OWN}}, infos, {W: underlay}, 0.0)
    spec = PortSpec("eth1", "vlan", Role.STANDBY)
    flow = rules.flows(render.EXAMPLE)[0]
    entries = [flow_entry(flow)]
    learnt = [
        shell.LearntMac(MAC, cookies.Kind.LEARNT_PEER, 0x222, 3),
        shell.LearntMac("02:00:00:00:00:02", cookies.Kind.LEARNT_PORT, 3, 4),
    ]
    return SimpleNamespace(
        config=DaemonConfig(name=OWN, nickname="A", password=b"s3cret"),
        datapath="netdev",
        router=router,
        view=view,
        switch=SimpleNamespace(
            is_connected=True,
            ports={3: SimpleNamespace(number=3, name="eth1", up=True)},
            dump=lambda cookie, mask: [e for e in entries if e.cookie & mask == cookie & mask],
        ),
        flow_entries=entries,
        forwarder=SimpleNamespace(is_in_sync=True, desired=[flow]),
        macs=SimpleNamespace(learnt=lambda: learnt),
        gateways=FakeGateways(GatewayCore(OWN, 7, 1, [spec], Timers(), time.monotonic())),
        mesh=SimpleNamespace(pumped=0, pump=lambda: None),
    )


@pytest.fixture
def call(shell, daemon):
    application = shell.Api(daemon)

    def send(path, method="GET", **options):
        request = shell.Request.blank(path, method=method, **options)
        return request.get_response(application)

    return send
