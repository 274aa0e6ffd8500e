"""Frames a second, TCP throughput and round trips: our pipeline beside two plain bridges."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

from bench import plain, processes, rates
from bench.plan import Benchmark, Plan, Target
from bench.sheet import Sheet, interleave
from bench.stand import End
from weave_ryu.errors import LabError
from weave_ryu.lab import lab as labs
from weave_ryu.lab import ovs, topology
from weave_ryu.lab.lab import Lab
from weave_ryu.lab.peer import LabStation

OURS, BASELINE, KERNEL = "weave-ryu", "OVS NORMAL", "kernel bridge"

TOPOLOGY = {
    "peers": ["W", "X", "Y", "A"],
    "links": [["W", "X"], ["X", "Y"], ["W", "A"]],
    "containers": {"W-c1": "W", "X-c1": "X", "Y-c1": "Y"},
    "segments": {"vlan": {"gateways": ["A"], "hosts": ["Host1"]}},
}
"""A tree: plain bridges need no protocol against loops, and all three have the same way to go."""

PATHS = {
    "container to container": ("W-c1", "X-c1"),
    "relayed by one hop": ("W-c1", "Y-c1"),
    "container to host through the gateway": ("W-c1", "Host1"),
}
ON_SYSTEM = ", kernel datapath"
"""Added to a case; compared with its like only."""
COST = "processor time of all switches for a frame"
STEADY_RATE = 20_000
"""Frames a second that every userspace datapath passes on without loss."""
FIRST_RATE, GROWTH = 30_000, 1.25
"""Fine steps, since the contenders are near each other."""
REPEATS = 7
"""Of what spreads most: rates and throughput."""
ROUND_TRIPS = {50: "median round trip", 90: "round trip, 90 %", 99: "round trip, 99 %"}


def measure(plan: Plan) -> Sheet:
    """All stand side by side; they take turns."""
    sheet = Sheet(BASELINE)
    declared = topology.from_document(TOPOLOGY, "bench")
    with ExitStack() as stack:
        plan.tell("building the meshes")
        meshes: dict[tuple[str, str], Lab] = {
            (OURS, ""): _ours(plan, stack, "wrbours", declared, "netdev"),
            (BASELINE, ""): stack.enter_context(
                plain.PlainLab("wrbnormal", declared, plain.NORMAL)
            ),
            (KERNEL, ""): stack.enter_context(plain.PlainLab("wrbkernel", declared, plain.KERNEL)),
        }
        if ovs.kernel_datapath_exists():
            meshes[OURS, ON_SYSTEM] = _ours(plan, stack, "wrbsysours", declared, "system")
            meshes[BASELINE, ON_SYSTEM] = stack.enter_context(
                plain.PlainLab("wrbsysnormal", declared, plain.NORMAL, is_userspace=False)
            )
        stack.enter_context(processes.apart(_vswitchds(*meshes.values())))
        for case, ends in PATHS.items():
            stations = {key: _ends(mesh, ends) for key, mesh in meshes.items()}
            for source, target in stations.values():
                plain.wait_reachable(source, target.ip)
            many = plan.repeats if plan.is_quick else REPEATS
            for what, repeats in (
                (_frames, many),
                (_tcp, many),
                (_round_trips, plan.repeats),
            ):
                plan.tell(f"{case}: {what.__name__.strip('_').replace('_', ' ')}")
                interleave(
                    {
                        f"{name}{suffix}": partial(what, plan, sheet, case + suffix, name, *pair)
                        for (name, suffix), pair in stations.items()
                    },
                    repeats,
                )
            plan.tell(f"{case}: processor time")
            interleave(
                {
                    f"{name}{suffix}": partial(
                        _cost, plan, sheet, case + suffix, name, meshes[name, suffix], *pair
                    )
                    for (name, suffix), pair in stations.items()
                    if name != KERNEL
                },
                plan.repeats,
            )
    sheet.notes += [
        "Where there are two processors or more, the Open vSwitches share one of them; the "
        "kernel's bridge works on the sender's.",
        "All labs stand beside each other; those at rest cost every contender the same.",
    ]
    return sheet


def _vswitchds(*meshes: Lab) -> list[int]:
    peers = [peer for mesh in meshes for peer in mesh.peers.values()]
    return [peer.switch.vswitchd.pid for peer in peers if peer.switch.vswitchd is not None]


def _ours(
    plan: Plan, stack: ExitStack, prefix: str, declared: topology.Topology, datapath_type: str
) -> Lab:
    roles = topology.roles_by_hand(declared)
    options = labs.Options(
        prefix=prefix, topology=declared, roles=roles, datapath_type=datapath_type
    )
    mesh = labs.up(options, plan.tell)
    stack.callback(mesh.down)
    return mesh


def _end(station: LabStation) -> End:
    return End(station.netns, station.ifname, station.mac)


def _ends(mesh: Lab, ends: tuple[str, str]) -> tuple[LabStation, LabStation]:
    return mesh.station(ends[0]), mesh.station(ends[1])


def _frames(
    plan: Plan, sheet: Sheet, case: str, name: str, source: LabStation, target: LabStation
) -> None:
    # Addresses that have been forgotten meanwhile would be flooded for.
    plain.wait_reachable(source, target.ip)
    found = rates.best_rate(
        _end(source), _end(target), plan.seconds / 5, first_rate=FIRST_RATE, growth=GROWTH
    )
    sheet.add(
        case, "64-byte frames", "thousand/s", found / 1e3, contender=name, more_is_better=True
    )


def _cost(
    plan: Plan,
    sheet: Sheet,
    case: str,
    name: str,
    mesh: Lab,
    source: LabStation,
    target: LabStation,
) -> None:
    # What a frame costs the switches does not hang on how the machine shares its processors out.
    plain.wait_reachable(source, target.ip)
    pids = _vswitchds(mesh)
    before = sum(processes.cpu_s(pid) for pid in pids)
    arrived = rates.arrivals(_end(source), _end(target), STEADY_RATE, plan.seconds * 0.75)
    spent_s = sum(processes.cpu_s(pid) for pid in pids) - before
    sheet.add(case, COST, "µs", spent_s / arrived.frames * 1e6, contender=name)


def _tcp(
    plan: Plan, sheet: Sheet, case: str, name: str, source: LabStation, target: LabStation
) -> None:
    plain.wait_reachable(source, target.ip)
    found = rates.tcp_mbit_s(source.netns, target.netns, target.ip, plan.seconds / 2)
    sheet.add(case, "TCP throughput", "Mbit/s", found, contender=name, more_is_better=True)


def _round_trips(
    plan: Plan, sheet: Sheet, case: str, name: str, source: LabStation, target: LabStation
) -> None:
    plain.wait_reachable(source, target.ip)
    count = 100 if plan.is_quick else 500
    found = plain.ping(source.netns, target.ip, count, 0.002)
    if len(found) < count * 0.9:
        raise LabError(f"{name}: {count - len(found)} of {count} pings lost", case)
    for percent, metric in ROUND_TRIPS.items():
        sheet.add(case, metric, "ms", rates.percentile(found, percent), contender=name)


def _targets() -> tuple[Target, ...]:
    return tuple(
        Target(f"{case}: {metric} against NORMAL", 0.95, "ratio", case, metric, at_least=True)
        for case in PATHS
        for metric in ("64-byte frames", "TCP throughput")
    )


BENCHMARK = Benchmark(
    "datapath",
    "Frames a second, TCP throughput and round trips",
    "The same tree of four hosts is built with weave-ryu, with Open vSwitch's NORMAL action "
    "over static VXLAN ports, and with the kernel's bridge over kernel VXLAN devices that "
    "flood and learn; all userspace switches have one processor, the sender and the receiver "
    "the others, so that the switches are compared and not how the machine shares itself out. "
    "Small frames are offered at rates a quarter apart until two in a row lose a tenth, and "
    "the best rate of arrival counts; TCP is one connection, round trips are pings 2 ms "
    "apart. The ratio of weave-ryu to NORMAL on the same datapath (userspace, and the "
    "kernel's where there is one) is what the pipeline costs, the processor time of ovs- "
    "vswitchd for a frame at a rate without loss says the same in another way, and the "
    "kernel's bridge shows what the userspace datapath costs.",
    measure,
    _targets(),
    ("64-byte frames", "TCP throughput", "median round trip", "round trip, 99 %"),
)
