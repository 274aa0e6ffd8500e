"""What a lost gateway costs: gaps, losses, duplicates and loops, beside other ways to fail over."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from bench import rivals, stability
from bench.plan import Benchmark, Plan
from bench.rivals import RIVALS, RivalBench
from bench.sheet import Sheet, interleave
from weave_ryu.lab import failover, topology
from weave_ryu.lab import lab as labs
from weave_ryu.lab.failover import Bench, Event, Run

BASELINE = "weave-ryu"
FAST = "weave-ryu, fast"
FASTEST = "keepalived, fastest stable"
WHAT = {"host": "gateway host dies", "carrier": "gateway loses its segment's carrier"}
PAUSE = "longest pause of the sender"

Measurement = Callable[[], None]


def measure(plan: Plan) -> Sheet:
    """All stand side by side at rest; one at a time has traffic and a failure."""
    sheet = Sheet(BASELINE)
    chosen = RIVALS[:1] if plan.is_quick else RIVALS
    with ExitStack() as stack:
        often: dict[str, list[Measurement]] = {}
        once: dict[str, list[Measurement]] = {}
        for name, profile in ((BASELINE, "default"), (FAST, "fast")):
            bench = _ours(plan, stack, profile)
            events = {
                key: failover.EVENTS[key] for key in (WHAT if not plan.is_quick else ("host",))
            }
            often[name] = [partial(_one, plan, sheet, name, bench, e) for e in events.values()]
        if not plan.is_quick:
            # With all that is at rest beside it, as when it is measured.
            advert_s, found = stability.fastest(plan.tell, "wrbstable")
            chosen = (rivals.keepalived(FASTEST, advert_s, rivals.WATCH_S), *chosen)
            sheet.notes += found
        for number, rival in enumerate(chosen):
            lab = stack.enter_context(rival.make(f"wrbrival{number}"))
            bench = RivalBench(lab, plan.tell)
            group = once if rival.is_slow else often
            group[rival.name] = [
                partial(_one, plan, sheet, rival.name, bench, event)
                for event in rivals.events(plan, rival).values()
            ]
        interleave({name: partial(_all, todo) for name, todo in often.items()}, _repeats(plan))
        interleave({name: partial(_all, todo) for name, todo in once.items()}, 1)
    sheet.notes += [
        "A gap as long as the whole time of watching means that it did not end in that time.",
        "A pause of the sender is this program's own: what is not sent is not lost, but the gaps "
        "are no finer than that.",
        "Silent stations have spoken once, before the failure, and say no more.",
        "The spanning trees are measured once: their times are set by timers of seconds.",
        "Linux has no RSTP of its own: the kernel's bridge leaves it to a daemon that it calls in "
        "the machine's first network namespace only, so that none can run in a lab of namespaces; "
        "Open vSwitch's RSTP stands for the protocol.",
    ]
    return sheet


def _repeats(plan: Plan) -> int:
    return 1 if plan.is_quick else 3


def _ours(plan: Plan, stack: ExitStack, profile: str) -> Bench:
    shape = topology.build()
    options = labs.Options(prefix=f"wrb{profile}", topology=shape)
    lab = labs.up(failover.as_options(options, list(shape.gateways()), profile), plan.tell)
    stack.callback(lab.down)
    return Bench(lab, plan.tell)


def _all(todo: list[Measurement]) -> None:
    for one in todo:
        one()


def _one(plan: Plan, sheet: Sheet, name: str, bench: Bench, event: Event) -> None:
    plan.tell(f"failover: {name}: {event.name}")
    record(sheet, WHAT[event.name], name, bench.measure(event))


def record(sheet: Sheet, case: str, name: str, run: Run) -> None:
    """Put what one failure did into the sheet."""
    for direction, gap_ms in run.gaps_ms.items():
        sheet.add(case, f"gap {direction}", "ms", gap_ms, contender=name)
    for metric, value in (
        ("unicast frames lost", sum(run.lost.values())),
        ("broadcasts lost", sum(run.broadcasts_lost.values())),
        ("duplicates", run.duplicates),
        ("frames back at their sender", run.loops),
    ):
        sheet.add(case, metric, "frames", value, contender=name)
    sheet.add(case, PAUSE, "ms", run.sender_pause_ms, contender=name)


BENCHMARK = Benchmark(
    "failover",
    "A lost gateway, beside keepalived and spanning trees",
    "The lab's six hosts with two gateways to one segment run weave-ryu in its two profiles on "
    "a full mesh, and, on a star because plain bridges cannot have loops, keepalived that "
    "plugs one gateway's link into a kernel bridge, and spanning trees that close the loop; "
    "then the gateway that forwards fails. The traffic is that of `weave-ryu lab failover`: "
    "1,000 frames a second each way, 100 broadcasts a second from both sides, and frames for "
    "stations that never speak. Gaps, losses and copies are counted at the receivers by the "
    "kernel's clock; keepalived advertises each second, and as often as it can without changing "
    "roles for no reason.",
    measure,
    plotted=("gap mesh→segment", "gap segment→mesh", "gap →silent host", "gap →silent container"),
    not_compared=(PAUSE,),
)
