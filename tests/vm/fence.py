"""Does a gateway stop to forward when what watches over it has died? Run in a lab, as root.

``python3 -m tests.vm.fence --datapath-type system`` strikes the active gateway in every way in
which nobody can ask it any more, looks at its port on the segment and prints JSON: for how long
frames still came out, how many of them after the other gateway had opened, and how many came by
both. Streams run all the time, for a kernel datapath goes on with what it has cached as long as
that is used.
"""

import argparse
import contextlib
import json
import signal
import sys
import time
from dataclasses import asdict, dataclass

from weave_ryu.lab import lab as labs
from weave_ryu.lab import topology
from weave_ryu.lab.failover import Bench
from weave_ryu.lab.stations import stations, taps
from weave_ryu.lab.traffic import Traffic

PEERS = ("W", "X", "A", "B")
RATE_PER_S = 100
BROADCAST_RATE_PER_S = 50
LEAD_S = 1.0
WATCH_S = 6.0
"""Three times what a fence may take."""
ATTEMPTS = 3
STILL_S = 0.5
"""Who let a frame pass within the last half second has not closed."""


@dataclass
class Found:
    """What was seen at the port of the struck gateway.

    Attributes:
        last_s: the last frame out of it, after the strike.
        is_open: frames still came out when we ceased to look.
        out: frames that came out of it after the strike.
        opened_s: the first frame out of the other gateway, after the strike; None if none came.
        after: frames out of the struck one after that.
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
    opened_s: float | None
    after: int
    by_both: int
    duplicates: int
    gap_ms: float
    taken_over: bool
    why: str


def kill_daemon(gateway):
    gateway.kill_daemon(signal.SIGKILL)
    return lambda: gateway.start_daemon("auto")


def stop_daemon(gateway):
    gateway.kill_daemon(signal.SIGSTOP)
    return lambda: gateway.kill_daemon(signal.SIGCONT)


def kill_vswitchd(gateway):
    gateway.kill_vswitchd()
    return gateway.restart_vswitchd


def stop_vswitchd(gateway):
    gateway.switch.vswitchd.send(signal.SIGSTOP)
    return lambda: gateway.switch.vswitchd.send(signal.SIGCONT)


def kill_database(gateway):
    gateway.kill_database()
    return gateway.start_database


def stop_database(gateway):
    gateway.switch.database_server.send(signal.SIGSTOP)
    return lambda: gateway.switch.database_server.send(signal.SIGCONT)


def all_of(*strikes):
    """Several at once; what can be repaired is repaired in the order of a boot."""

    def strike(gateway):
        repairs = [strike(gateway) for strike in strikes]

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
    with Traffic(stations(lab), taps(lab)) as traffic:
        for name in traffic.stations:
            traffic.send([traffic.stream(name)], 2, 20)
        to_host, to_container = traffic.stream(container, host), traffic.stream(host, container)
        floods = [traffic.stream(container), traffic.stream(host)]
        traffic.start([to_host, to_container], RATE_PER_S)
        traffic.start(floods, BROADCAST_RATE_PER_S)
        time.sleep(LEAD_S)
        struck_ns = time.time_ns()
        before = [
            at
            for stream in (to_host, floods[0])
            for at in traffic.arrivals(stream, f"{active.nick_name}/in")
        ]
        if struck_ns - max(before, default=0) > STILL_S * 1e9:
            return None
        repair = CASES[case](active)
        try:
            time.sleep(WATCH_S)
            end_ns = time.time_ns()
            state = standby.gateway_state()
            traffic.stop()
            traffic.settle()
        finally:
            repair()
        out = [
            at
            for stream in (to_host, floods[0])
            for at in traffic.arrivals(stream, f"{active.nick_name}/in")
            if at > struck_ns
        ]
        last_ns = max([struck_ns, *out])
        by_other = [
            at
            for stream in (to_host, floods[0])
            for at in traffic.arrivals(stream, f"{standby.nick_name}/in")
            if at > struck_ns
        ]
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
            None if opened_ns is None else round((opened_ns - struck_ns) / 1e9, 2),
            sum(at > opened_ns for at in out) if opened_ns is not None else 0,
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
    declared = topology.build(PEERS)
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
