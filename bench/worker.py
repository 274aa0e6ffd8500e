"""A process of its own that drives one real switch with the daemon's own code, and prints JSON.

``python -m bench.worker JOB RUNDIR NUMBER [SHAPE] [REPEATS]``. The daemon's parts are used as they
are: the OpenFlow connection, the rules, the difference, the bundle. Only what decides when to use
them is missing.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from bench import processes
from weave_ryu.pipeline.cookies import Kind
from weave_ryu.shell import compat, hub

if TYPE_CHECKING:
    from weave_ryu.shell.macs import LearntMac

CONNECT_TIMEOUT_S = 20.0
PATIENCE_S = 120.0
"""Instead of the daemon's own: what takes longer than it waits shall be measured, too."""


class _Daemon:
    """As much of a daemon as the Ryu application needs."""

    def __init__(self) -> None:
        from weave_ryu.shell.openflow import Switch  # noqa: PLC0415

        self.connected = hub.Event()
        self.switch = Switch(_ignore, _ignore, _ignore, _ignore, _ignore, _ignore)

    def switch_connected(self) -> None:
        self.connected.send(None)

    def switch_disconnected(self) -> None:
        raise SystemExit("the switch has gone")


def _ignore(*_: object) -> None:
    pass


def connect(rundir: str, bridge: str) -> Any:  # noqa: ANN401
    """Become the controller of a bridge; returns the daemon's `Switch`."""
    from ryu.base.app_manager import AppManager  # noqa: PLC0415

    from bench.stand import controller_path  # noqa: PLC0415
    from weave_ryu.shell.app import WeaveApp  # noqa: PLC0415

    daemon = _Daemon()
    WeaveApp.daemon = daemon  # type: ignore[assignment]
    path = controller_path(rundir, bridge)
    compat.serve_openflow_on(path)
    manager = AppManager.get_instance()
    manager.load_apps(["weave_ryu.shell.app", "ryu.controller.ofp_handler"])
    manager.instantiate_apps(**manager.create_contexts())
    with hub.Timeout(CONNECT_TIMEOUT_S):
        daemon.connected.wait()
    daemon.switch.set_meters()
    return daemon.switch


def timed_ms(action: Callable[[], object]) -> float:
    """How long something takes."""
    started = time.perf_counter()
    action()
    return (time.perf_counter() - started) * 1000


def peers(switch: Any, number: int, shape: str, repeats: int) -> dict[str, Any]:  # noqa: ANN401
    """A mesh of peers into the switch: all of it, then changes of it."""
    from bench.mesh import Mesh  # noqa: PLC0415
    from weave_ryu.pipeline import cookies, diff, rules  # noqa: PLC0415

    mesh = Mesh(number, shape)
    found: dict[str, list[float]] = {"install_ms": [], "lose_ms": [], "far_ms": [], "changes": []}
    flows = rules.flows(mesh.state())
    installed: set[diff.InstalledFlow] = set()

    def follow() -> int:
        nonlocal installed
        desired = rules.flows(mesh.state())
        plan = diff.plan(installed, desired)
        switch.commit(plan)
        installed = {diff.installed(flow) for flow in desired}
        return len(plan.add) + len(plan.delete)

    for _ in range(repeats):
        switch.delete([(cookies.OWNER << 56, cookies.OWNER_MASK)])
        installed = set()
        plan = diff.plan(installed, flows)
        found["install_ms"].append(timed_ms(partial(switch.commit, plan)))
        installed = {diff.installed(flow) for flow in flows}
        mesh.lose_neighbour()
        started = time.perf_counter()
        found["changes"].append(follow())
        found["lose_ms"].append((time.perf_counter() - started) * 1000)
        mesh.restore()
        follow()
        mesh.lose_far()
        found["far_ms"].append(timed_ms(follow))
        mesh.restore()
        follow()
    return {"flows": len(flows), **found}


def _behind_peers(learnt: list[LearntMac]) -> list[LearntMac]:
    return [one for one in learnt if one.kind is Kind.LEARNT_PEER]


def macs(switch: Any, number: int, _shape: str, _repeats: int) -> dict[str, Any]:  # noqa: ANN401
    """Read, tell, then forget MACs that are there already; then let the switch learn as many."""
    from weave_ryu.gateway import records  # noqa: PLC0415
    from weave_ryu.names import PeerName  # noqa: PLC0415
    from weave_ryu.pipeline import rules  # noqa: PLC0415
    from weave_ryu.pipeline.cookies import SUBJECT_MASK, subject_cookie  # noqa: PLC0415
    from weave_ryu.shell import announce, encode  # noqa: PLC0415
    from weave_ryu.shell.macs import MacReader  # noqa: PLC0415

    before_mib = processes.resident_mib(os.getpid())
    reader = MacReader(switch)
    started = time.perf_counter()
    learnt = _behind_peers(reader.learnt())
    read_ms = (time.perf_counter() - started) * 1000
    # What the active gateway sends to its standby, and what that one does with it.
    macs = frozenset(one.mac.replace(":", "") for one in learnt)
    table = records.MacTable(PeerName(1), "vlan", macs)
    payloads: list[bytes] = []
    tell_ms = timed_ms(lambda: payloads.append(records.encode(tables=[table])))
    take_ms = timed_ms(lambda: records.decode(payloads[0]))
    memory_mib = processes.resident_mib(os.getpid()) - before_mib
    selector = (subject_cookie(Kind.LEARNT_PEER, 5), SUBJECT_MASK)
    forget_ms = timed_ms(lambda: switch.delete([selector]))
    left = len(_behind_peers(reader.learnt()))
    announcer = announce.Announcer(switch)
    actions = encode.actions_of(rules.hearsay())
    mesh = [f"06{value:010x}" for value in range(number)]

    def tell() -> None:
        # One round as after a promotion, waited for: the public way does it in the background.
        announcer._run(mesh, actions, (0.0,), lambda _: True)
        switch.delete([selector])

    return {
        "known": len(macs),
        "left": left,
        "read_ms": read_ms,
        "tell_ms": tell_ms,
        "take_ms": take_ms,
        "told_kb": len(payloads[0]) / 1e3,
        "memory_mib": memory_mib,
        "forget_ms": forget_ms,
        "announce_ms": timed_ms(tell),
    }


def main(arguments: list[str]) -> None:
    """Do one job."""
    job, rundir, number, *more = arguments
    shape, repeats = (*more, "sparse", "1")[:2] if more else ("sparse", "1")
    hub.patch()
    compat.apply()
    from weave_ryu.shell import openflow  # noqa: PLC0415

    openflow.ANSWER_TIMEOUT_S = PATIENCE_S
    switch = connect(rundir, "weave")
    do = {"peers": peers, "macs": macs}[job]
    print(json.dumps(do(switch, int(number), shape, int(repeats))), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
