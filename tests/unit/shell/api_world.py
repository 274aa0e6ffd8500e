"""Names and fakes for tests of the API, on a daemon without switch and sockets."""

import random
import time
import warnings
from types import SimpleNamespace

from weave_ryu.config import DaemonConfig
from weave_ryu.gateway.core import GatewayCore
from weave_ryu.gateway.role import Intent, Role, State
from weave_ryu.gateway.states import Active, Blocked, Draining, Entry, Fault, Listening, Standby
from weave_ryu.gateway.surroundings import PortSpec
from weave_ryu.gateway.timers import Timers
from weave_ryu.mesh.config import RouterConfig
from weave_ryu.mesh.peers import Peer
from weave_ryu.mesh.router import Router
from weave_ryu.names import PeerName, PeerUID, ShortId
from weave_ryu.pipeline import cookies, render, rules
from weave_ryu.pipeline.cookies import flow_cookie
from weave_ryu.pipeline.tables import BY_NAME
from weave_ryu.shell.coordinator import ForwardingView, PeerInfo, Underlay
from weave_ryu.shell.standings import Standings

OWN, W = PeerName.parse("7a:00:00:00:00:0a"), PeerName.parse("7a:00:00:00:00:57")
MAC = "02:00:00:00:00:01"


class FakeGateways:
    """Notes what is asked for; fails with `error` if there is one."""

    def __init__(self, core):
        self.core = core
        self.fences = self.unfenced = None
        self.calls = []
        self.observers = []
        self.error = None

    def port_of(self, segment):
        return "eth1" if segment == 0x513 else None

    def names(self):
        return sorted(self.core.ports)

    def set_role(self, name, role, *, force=False):
        self.note("set_role", name, role, *(["by force"] if force else []))
        want(self.core.ports[name], role)

    def drain(self, name):
        self.note("drain", name)

    def note(self, *call):
        self.calls.append(call)
        if self.error is not None:
            raise self.error


def want(port, role):
    """An operator has asked for a role, and nothing has come of it yet."""
    port.wishes.want(Intent(role), f"the operator asked for {role}", 1, time.monotonic())


def pretend(port, state, reason="test", epoch=0):
    """A gateway port has entered a state; returns the line of its history."""
    shown = State(state)
    port.phase = {
        State.BLOCKED: Blocked(),
        State.STANDBY: Standby(),
        State.ARMING: Listening(time.monotonic()),
        State.ACTIVE: Active(),
        State.DRAINING: Draining(OWN, reason, time.monotonic() + 1),
        State.FAULT: Fault(),
    }[shown]
    port.history.append(Entry(time.monotonic(), shown, epoch, reason))
    return port.history[-1]


def flow_entry(flow, packets=5):
    """A flow as the switch's statistics have it."""
    with warnings.catch_warnings():
        # Ryu's and eventlet's imports warn of what nobody here can change.
        warnings.simplefilter("ignore")
        from weave_ryu.shell.flowstats import FlowStats
    return FlowStats(
        cookie=flow_cookie(flow),
        table_id=BY_NAME[flow.table].number,
        priority=flow.priority,
        packet_count=packets,
        byte_count=60 * packets,
        duration_sec=9,
        hard_timeout=flow.hard_timeout_s,
        has_instructions=bool(flow.actions),
        mac=None,
        digest=0,
    )


def join(daemon, name, nick_name="W"):
    """Make a peer part of the mesh."""
    entry = Peer(name, nick_name, PeerUID(9), 1, ShortId(0x222))
    daemon.router.peers.take_in(entry)


def make_daemon(learnt_mac):
    """A daemon with one gateway port `eth1` and one neighbour, W."""
    config = RouterConfig(OWN, "A", PeerUID(7), ShortId(0xA))
    router = Router(config, rng=random.Random(7))
    view = ForwardingView(OWN)
    infos = {OWN: PeerInfo("A", ShortId(0xA)), W: PeerInfo("W", ShortId(0x222))}
    underlay = Underlay("192.0.2.2", "192.0.2.1", 6784)
    view.observe({OWN: {W}, W: {OWN}}, infos, {W: underlay}, 0.0)
    spec = PortSpec("eth1", "vlan", Role.STANDBY)
    flow = next(f for f in rules.flows(render.EXAMPLE) if "link-local" in f.why)
    entries = [flow_entry(flow)]
    learnt = [
        learnt_mac(MAC, cookies.Kind.LEARNT_PEER, 0x222, 3),
        learnt_mac("02:00:00:00:00:02", cookies.Kind.LEARNT_PEER, 0x513, 4),
    ]
    daemon = SimpleNamespace(
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
        moving=SimpleNamespace(conflicts=lambda: [], to_segment=0, to_peer=0),
        wires=SimpleNamespace(joints=lambda: [], texts=lambda port=None: []),
        segment_id=lambda segment: ShortId(0x513),
    )
    daemon.standings = Standings(daemon)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from weave_ryu.shell import peernames
    daemon.names = peernames.Names(
        lambda addresses: router.connect_targets(addresses, False, 0.0),
        lambda addresses: router.forget_targets(addresses, 0.0),
        lambda hosts: False,
    )
    return daemon
