"""How long frames still pass after they should not: the lag of a datapath. Run as root.

``python3 -m tests.vm.lag --datapath-type system`` builds one bridge without a daemon. A stream
crosses it by a permit, as a gateway's does, while other frames keep some hundred flows in the
kernel's cache busy, which `ovs-vswitchd` looks at one after the other when something has changed.
Then the permit runs out, or is deleted, or the fence in front of the port runs out, or is closed,
again and again. Prints one line of JSON for each, with the distribution of the time from then to
the last frame; below zero: it had closed before.
"""

import argparse
import json
import socket
import statistics
import struct
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from weave_ryu import links, namespaces
from weave_ryu.gateway.timers import FenceTimes, HandOverTimes, Timers
from weave_ryu.lab import netns, processes
from weave_ryu.lab.ovs import Switch
from weave_ryu.lab.patience import stretched
from weave_ryu.lab.traffic import Station, Traffic
from weave_ryu.shell.fence import Fence, Netlink

PREFIX = "wrl"
BRIDGE = "br0"
PORTS = ("p-from", "p-to", "p-load", "p-sink")
"""In the order of their OpenFlow numbers, from 1."""
RATE_PER_S = 200
LOAD_RATE_PER_S = 0.5
BEACON_RATE_PER_S = 20
"""Frames that always pass: they tell how far the capture has come."""
PAUSE_S = 0.05
"""A stream that has paused for longer just then says nothing of what would have passed."""
FENCE_S = FenceTimes().open_s
ATTEMPTS = 20
SETTLE_S = 0.4
"""Longer than any lag."""

BOUNDS_S = {
    "permit runs out": Timers().switch_lag_s,
    "permit is deleted": HandOverTimes().cache_s,
    "fence runs out": FenceTimes().lag_s,
    "fence is closed": 0.0,
}
"""What the product counts on."""

_HELLO, _ERROR, _ECHO, _ECHO_REPLY, _FLOW_MOD, _BARRIER, _BARRIER_REPLY = 0, 1, 2, 3, 14, 20, 21
_ADD, _DELETE_STRICT = 0, 4
_REST = (0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
"""No buffer; any port and group; no flags."""


class Controller:
    """As much of OpenFlow 1.3 as it takes to know when a flow has been changed."""

    def __init__(self, switch):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(stretched(10.0))
        self._socket.connect(f"{switch.rundir}/{BRIDGE}.mgmt")
        self._send(_HELLO)

    def change(self, command, hard_timeout_s=0):
        """Add or delete the permit; return when the switch has confirmed that."""
        in_port = struct.pack(">HHII4x", 1, 12, 0x80000004, 1)
        output = struct.pack(">HH4xHHIH6x", 4, 24, 0, 16, 2, 0)
        fixed = struct.pack(">QQBBHHHIIIH2x", 0, 0, 0, command, 0, hard_timeout_s, 10, *_REST)
        self._send(_FLOW_MOD, fixed + in_port + (output if command == _ADD else b""))
        self._send(_BARRIER)
        while (kind := self._receive()) != _BARRIER_REPLY:
            if kind == _ERROR:
                raise RuntimeError("the switch refuses a flow")

    def close(self):
        self._socket.close()

    def _send(self, kind, body=b""):
        self._socket.sendall(struct.pack(">BBHI", 4, kind, 8 + len(body), 7) + body)

    def _receive(self):
        _, kind, length, _ = struct.unpack(">BBHI", self._read(8))
        body = self._read(length - 8)
        if kind == _ECHO:
            self._send(_ECHO_REPLY, body)
        return kind

    def _read(self, count):
        found = b""
        while len(found) < count:
            more = self._socket.recv(count - len(found))
            if not more:
                raise RuntimeError("the switch has gone")
            found += more
        return found


def load_macs(count):
    return [f"02:01:00:00:{number >> 8:02x}:{number & 255:02x}" for number in range(count)]


def build(stack, is_userspace, flows):
    """One namespace with a switch and four links; the stations at their ends."""
    namespace = netns.create_namespace(f"{PREFIX}-lag")
    stack.callback(netns.delete_namespace, namespace.name)
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="weave-ryu-lag.")))
    switch = Switch(PREFIX, namespace, directory, is_userspace=is_userspace)
    stack.callback(lambda: [processes.kill(one) for one in switch.processes().values()])
    switch.start()
    kind = "netdev" if is_userspace else "system"
    switch.vsctl("add-br", BRIDGE, "--", "set", "bridge", BRIDGE, f"datapath_type={kind}")
    stations = []
    for number, port in enumerate(PORTS, 1):
        mac = f"02:00:00:00:00:{number:02x}"
        links.create_veth(port, namespace, f"e{number}", namespace, peer_mac=mac)
        for name in (port, f"e{number}"):
            links.set_link(name, namespace, is_up=True)
        switch.vsctl("add-port", BRIDGE, port, "--", "set", "interface", port, f"ofport={number}")
        stations.append(Station(port, namespace, f"e{number}", mac))
    rules = ["priority=1 actions=drop"]
    for mac in load_macs(flows):
        rules.append(f"priority=5,in_port=3,dl_dst={mac} actions=output:4")
    table = directory / "flows"
    table.write_text("\n".join(rules))
    switch.ofctl("replace-flows", BRIDGE, str(table))
    return switch, stations


class Stand:
    """Does one of the four, and looks at the last frame."""

    def __init__(self, stack, switch, traffic):
        self._traffic = traffic
        self._controller = Controller(switch)
        stack.callback(self._controller.close)
        self._stream = traffic.stream(PORTS[0], PORTS[1])
        self._beacon = traffic.stream(PORTS[2], load_macs(1)[0])
        traffic.start([self._stream], RATE_PER_S)
        traffic.start([self._beacon], BEACON_RATE_PER_S)
        self._switch = switch
        self._stack = stack

    def lag_s(self, due_ns):
        """From when it was due to the last frame, when all is quiet."""
        time.sleep(max(0.0, (due_ns - time.time_ns()) / 1e9) + SETTLE_S)
        last_ns = None
        while last_ns != (last_ns := self._traffic.arrivals(self._stream, PORTS[1])[-1]) or (
            self._traffic.arrivals(self._beacon, PORTS[3])[-1] < due_ns + SETTLE_S * 1e9
        ):
            time.sleep(0.1)
        return (last_ns - due_ns) / 1e9

    def sample(self, what):
        """One of them; again where the stream paused."""
        for _ in range(ATTEMPTS):
            lag_s = getattr(self, what.replace(" ", "_"))()
            if lag_s >= -PAUSE_S or "runs out" not in what:
                return lag_s
        raise RuntimeError(f"{what}: the stream pauses again and again")

    def permit_runs_out(self):
        self._controller.change(_ADD, 1)
        return self.lag_s(time.time_ns() + 1_000_000_000)

    def permit_is_deleted(self):
        self._controller.change(_ADD)
        time.sleep(SETTLE_S)
        self._controller.change(_DELETE_STRICT)
        return self.lag_s(time.time_ns())

    def set_up_fence(self):
        self._controller.change(_ADD)

        def made():
            fence = Fence(BRIDGE, PORTS[1], FENCE_S, Netlink())
            fence.set_up()
            return fence

        self._fence = namespaces.run_inside(self._switch.namespace, made)
        self._stack.callback(self._fence.let_go)

    def fence_runs_out(self):
        renewed_ns = time.time_ns()
        self._fence.renew()
        return self.lag_s(renewed_ns + round(FENCE_S * 1e9))

    def fence_is_closed(self):
        self._fence.renew()
        time.sleep(FENCE_S / 2)
        self._fence.close()
        return self.lag_s(time.time_ns())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datapath-type", choices=("system", "netdev"), default="system")
    parser.add_argument("--samples", type=int, default=20)
    parser.add_argument("--flows", type=int, default=300)
    arguments = parser.parse_args()
    with ExitStack() as stack:
        is_userspace = arguments.datapath_type == "netdev"
        switch, stations = build(stack, is_userspace, arguments.flows)
        traffic = stack.enter_context(Traffic(stations))
        load = [traffic.stream(PORTS[2], mac) for mac in load_macs(arguments.flows)]
        traffic.start(load, LOAD_RATE_PER_S)
        stand = Stand(stack, switch, traffic)
        time.sleep(1.0)
        for what, bound_s in BOUNDS_S.items():
            if is_userspace and what.startswith("fence"):
                continue
            if what == "fence runs out":
                stand.set_up_fence()
            stand.sample(what)
            found = sorted(stand.sample(what) for _ in range(arguments.samples))
            document = {
                "what": what,
                "bound_s": bound_s,
                "samples": len(found),
                "flows": arguments.flows,
                "least_s": round(found[0], 4),
                "median_s": round(statistics.median(found), 4),
                "p95_s": round(found[-1 - len(found) // 20], 4),
                "most_s": round(found[-1], 4),
            }
            print(json.dumps(document), flush=True)
        cached = switch.appctl("dpctl/dump-flows")
        print(f"{len(cached.splitlines())} flows in the cache", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
