"""Does a gateway stop to forward when what watches over it has died? Run in a lab, as root.

``python3 -m tests.vm.fence --datapath-type system`` strikes the active gateway in every way in
which nobody can ask it any more, looks at both of its sides and prints JSON: for how long frames
still came out or were let in, how many of them after the other gateway had opened, and how many
came by both. What is let in is seen on the underlay, inside VXLAN. Streams run all the time, for a
kernel datapath goes on with what it has cached as long as that is used.
"""

import argparse
import contextlib
import json
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass

from weave_ryu import nft
from weave_ryu.lab import lab as labs
from weave_ryu.lab import topology
from weave_ryu.lab.failover import EVENTS, Bench
from weave_ryu.lab.peer import BRIDGE
from weave_ryu.lab.stations import MESH, stations, taps, underlay_taps
from weave_ryu.lab.traffic import Traffic

TOPOLOGY = {
    # As few daemons as it takes: each needs half a minute to start on an emulated processor.
    "peers": ["W", "A", "B"],
    "links": [["W", "A"], ["W", "B"], ["A", "B"]],
    "containers": {"W-c1": "W", "W-c2": "W"},
    "segments": {"vlan": {"gateways": ["A", "B"], "hosts": ["Host1", "Host2"]}},
}
RATE_PER_S = 100
BROADCAST_RATE_PER_S = 50
LEAD_S = 1.0
WATCH_S = 6.0
"""Three times what a fence may take."""
ATTEMPTS = 3
STILL_S = 0.5
"""Who let a frame pass within the last half second has not closed."""
CONTROL = "control: daemon and ovs-vswitchd killed, no fence"


@dataclass
class Found:
    """What was seen at the port of the struck gateway.

    Attributes:
        last_s: the last frame by it, in either direction, after the strike.
        is_open: frames still came by it when we ceased to look.
        out: frames that it put on the segment after the strike.
        let_in: frames of the segment that it sent into the mesh after the strike.
        opened_s: the first frame by the other gateway, in either direction, after the strike; None
            if none came.
        after: frames that the struck one put on the segment after that.
        after_in: frames that it let in after that.
        by_both: broadcasts that both gateways let through, in either direction.
        duplicates: frames that a station got twice, of all four streams.
        gap_ms: the longest silence from container to host.
        taken_over: the other gateway says that it is active.
        why: what the other gateway said last of its port.
    """

    case: str
    last_s: float
    is_open: bool
    out: int
    let_in: int
    opened_s: float | None
    after: int
    after_in: int
    by_both: int
    duplicates: int
    gap_ms: float
    taken_over: bool
    why: str


def kill_daemon(_lab, gateway):
    gateway.kill_daemon(signal.SIGKILL)
    return lambda: gateway.start_daemon("auto")


def stop_daemon(_lab, gateway):
    gateway.kill_daemon(signal.SIGSTOP)
    return lambda: gateway.kill_daemon(signal.SIGCONT)


def kill_vswitchd(_lab, gateway):
    gateway.kill_vswitchd()
    return gateway.restart_vswitchd


def stop_vswitchd(_lab, gateway):
    gateway.switch.vswitchd.send(signal.SIGSTOP)
    return lambda: gateway.switch.vswitchd.send(signal.SIGCONT)


def kill_database(_lab, gateway):
    gateway.kill_database()
    return gateway.start_database


def stop_database(_lab, gateway):
    gateway.switch.database_server.send(signal.SIGSTOP)
    return lambda: gateway.switch.database_server.send(signal.SIGCONT)


def kill_host(lab, gateway):
    return EVENTS["host"].strike(lab, gateway, gateway)


def remove_fence(_lab, gateway):
    table = nft.table_of(BRIDGE, gateway.gateway_port)
    command = ("ip", "netns", "exec", gateway.netns.name, "nft", "delete", "table", "netdev")
    subprocess.run([*command, table], check=True)
    return lambda: None  # a daemon that starts makes its own


def all_of(*strikes):
    """Several at once; what can be repaired is repaired in the order of a boot."""

    def strike(lab, gateway):
        repairs = [strike(lab, gateway) for strike in strikes]

        def repair():
            for one in reversed(repairs):
                one()

        return repair

    return strike


CASES = {
    "daemon killed": kill_daemon,
    "daemon stopped": stop_daemon,
    "ovs-vswitchd killed": kill_vswitchd,
    "ovs-vswitchd stopped": stop_vswitchd,
    "ovsdb-server killed": kill_database,
    "ovsdb-server stopped": stop_database,
    "daemon and ovs-vswitchd killed": all_of(kill_daemon, kill_vswitchd),
    "daemon and ovs-vswitchd stopped": all_of(stop_daemon, stop_vswitchd),
    "all three killed": all_of(kill_daemon, kill_vswitchd, kill_database),
    "host dead": kill_host,
    # Without the fence two forward: if that were not seen here, the lines above would say nothing.
    CONTROL: all_of(kill_daemon, kill_vswitchd, remove_fence),
}


def measure(lab, bench, case, tell):
    """One strike at a gateway that forwards; the lab is whole again afterwards."""
    for _ in range(ATTEMPTS):
        found = struck(lab, bench, case)
        if found is not None:
            return found
        tell(f"{case}: a role had changed before the strike: once more")
    raise labs.LabError("no gateway keeps its role", case)


def struck(lab, bench, case):
    """None if it did not forward just before."""
    active, standby = bench.wait_ready()
    container, host = min(lab.containers), min(lab.hosts)
    entrances = [f"{gateway.nick_name}/in" for gateway in bench.gateways]
    with Traffic(stations(lab), (*taps(lab), *underlay_taps(lab))) as traffic:
        for name in traffic.stations:
            traffic.send([traffic.stream(name)], 2, 20)
        to_host, to_container = traffic.stream(container, host), traffic.stream(host, container)
        floods = [traffic.stream(container), traffic.stream(host)]
        traffic.start([to_host, to_container], RATE_PER_S)
        traffic.start(floods, BROADCAST_RATE_PER_S)
        time.sleep(LEAD_S)
        struck_ns = time.time_ns()

        def passed(gateway):
            """When frames came by a gateway: put on the segment, let in from it."""
            ways = {
                f"{gateway.nick_name}/in": (to_host, floods[0]),
                f"{gateway.nick_name}{MESH}/in": (to_container, floods[1]),
            }
            return [
                sorted(at for stream in streams for at in traffic.arrivals(stream, place))
                for place, streams in ways.items()
            ]

        if any(struck_ns - max(way, default=0) > STILL_S * 1e9 for way in passed(active)):
            return None
        repair = CASES[case](lab, active)
        try:
            time.sleep(WATCH_S)
            end_ns = time.time_ns()
            state = standby.gateway_state()
            traffic.stop()
            traffic.settle()
        finally:
            repair()
        out, let_in = ([at for at in way if at > struck_ns] for way in passed(active))
        last_ns = max([struck_ns, *out, *let_in])
        by_other = [at for way in passed(standby) for at in way if at > struck_ns]
        opened_ns = min(by_other, default=None)
        ends = ((to_host, host), (to_container, container), (floods[0], host))
        # The host's broadcasts: each gateway that lets one in makes one more copy of it.
        ends += ((floods[1], container),)
        by_both = traffic.delivery(floods[1], container).duplicated
        by_both += traffic.came_by_several(floods[0], entrances)
        return Found(
            case,
            round((last_ns - struck_ns) / 1e9, 2),
            end_ns - last_ns < STILL_S * 1e9,
            len(out),
            len(let_in),
            None if opened_ns is None else round((opened_ns - struck_ns) / 1e9, 2),
            sum(at > opened_ns for at in out) if opened_ns is not None else 0,
            sum(at > opened_ns for at in let_in) if opened_ns is not None else 0,
            by_both,
            sum(traffic.delivery(*end).duplicated for end in ends),
            round(traffic.gap_ms(to_host, host, struck_ns, end_ns)),
            state["state"] == "active",
            state.get("reason", ""),
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datapath-type", choices=("auto", "system", "netdev"), default="auto")
    parser.add_argument("--case", action="append", choices=tuple(CASES))
    arguments = parser.parse_args()
    declared = topology.from_document(TOPOLOGY, "fence")
    options = labs.Options(
        prefix="wrv",
        topology=declared,
        roles=dict.fromkeys(declared.gateways(), "auto"),
        datapath_type=arguments.datapath_type,
    )

    def tell(line):
        print(line, file=sys.stderr, flush=True)

    lab = labs.up(options, tell)
    try:
        bench = Bench(lab, tell)
        for case in arguments.case or CASES:
            found = measure(lab, bench, case, tell)
            print(json.dumps(asdict(found)), flush=True)
    finally:
        with contextlib.suppress(labs.LabError):
            lab.down()
    return 0


if __name__ == "__main__":
    sys.exit(main())
