"""Three machines instead of one: gateways that share no kernel, set up as Vagrant would.

``python3 -m tests.vm.hosts`` (out here, as root) starts W with a container, Host1 and the segment's
switch, and the gateways A and B, joined by UDP sockets of QEMU's. What is done to a gateway is done
to its QEMU process, or to its Open vSwitch. It stands for the Vagrant lab where no hypervisor runs.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from queue import Queue

from tests.vm import checks
from tests.vm.machine import Ended, Machine, MachineError, Settings

MEMORY_MIB = 768
SET_UP_TIMEOUT_S = 900.0
ROLE_TIMEOUT_S = 240.0
POLL_S = 1.0
TRAFFIC_S = 25.0
STRIKE_AFTER_S = 5.0
SWITCH_TRAFFIC_S = 60.0
"""An emulated processor restarts a switch for so long."""
SWITCH_TIMEOUT_S = 300.0
GAP_MS = 2500
"""As for the death of a host in a lab: tests/vm/checks.py."""
FIRST_PORT = 17300


def cable(number: int) -> tuple[str, str]:
    """Both ends of a wire between two machines."""
    here, there = (f"127.0.0.1:{FIRST_PORT + 2 * number + end}" for end in (0, 1))
    return f"socket,udp={there},localaddr={here}", f"socket,udp={here},localaddr={there}"


SWITCH = {
    "systemctl restart": ("systemctl", "restart", "openvswitch-switch"),
    "ovs-ctl force-reload-kmod": (
        "/usr/share/openvswitch/scripts/ovs-ctl",
        "--system-id=random",
        "force-reload-kmod",
    ),
    "upgrade of the package": ("sh", "-c", "dpkg -i /var/lib/weave-ryu-vm/*.deb"),
}
"""What ends and starts Open vSwitch on a host."""
HANDS_OVER = ("systemctl restart", "upgrade of the package")
"""They tell weave-ryu's unit first; the other goes past systemd."""

CABLES = {name: cable(number) for number, name in enumerate(("A", "B", "A segment", "B segment"))}


def settings_of(name: str) -> Settings:
    """W has one end of each cable; a gateway has a card that nothing is on first, as in Vagrant."""
    common = Settings(processors=1, memory_mib=MEMORY_MIB, number="WAB".index(name) + 1)
    if name == "W":
        ends = tuple(near for near, _ in CABLES.values())
        return replace(common, cables=ends)
    ends = CABLES[name][1], CABLES[f"{name} segment"][1]
    return replace(common, cards=(1,), cables=ends)


@dataclass
class Hosts:
    """The three, by name."""

    machines: dict[str, Machine]

    def start(self, names: str) -> None:
        """Boot and set up, side by side."""
        with ThreadPoolExecutor(len(names)) as pool:
            for name, machine in zip(names, pool.map(self._start, names), strict=True):
                self.machines[name] = machine
            list(pool.map(self._set_up, names))

    def _start(self, name: str) -> Machine:
        machine = Machine(settings_of(name), tell)
        tell(f"{name} is up after {machine.boot_s:.0f} s, Linux {machine.kernel}")
        return machine

    def _set_up(self, name: str) -> None:
        began = time.monotonic()
        self.ask(name, "python3", "-m", "tests.vm.host", "peer", name, timeout_s=SET_UP_TIMEOUT_S)
        tell(f"{name} is set up after {time.monotonic() - began:.0f} s")

    def ask(self, name: str, *words: str, timeout_s: float = 60.0) -> Ended:
        """Run a command in one of them.

        Raises:
            MachineError: it failed.
        """
        ended = self.machines[name].run(words, timeout_s=timeout_s)
        if ended.status != 0:
            raise MachineError(f"{name}: {' '.join(words)}: {ended.output[-2000:]}")
        return ended

    def gateway(self, name: str) -> dict:
        """Its port, as its daemon shows it."""
        return json.loads(self.ask(name, "weave-ryu", "gateway", "status", "--json").output)[0]

    def await_states(self, **wanted: str) -> None:
        """Until the gateways are so."""
        deadline = time.monotonic() + ROLE_TIMEOUT_S
        while (found := {n: self.gateway(n)["state"] for n in wanted}) != wanted:
            if time.monotonic() > deadline:
                raise MachineError(f"roles are {found}, not {wanted}")
            time.sleep(POLL_S)

    def traffic(self, strike, seconds: float = TRAFFIC_S) -> dict:
        """Streams between W's container and Host1; `strike` is called in the midst of them."""
        running, said = threading.Event(), Queue()

        def heard(text: str) -> None:
            if "running" in text:
                running.set()

        def run() -> None:
            words = ["python3", "-m", "tests.vm.host", "traffic", str(seconds)]
            said.put(self.machines["W"].run(words, timeout_s=240.0 + seconds, heard=heard))
            running.set()

        thread = threading.Thread(target=run)
        thread.start()
        running.wait(120.0)
        time.sleep(STRIKE_AFTER_S)
        strike()
        thread.join()
        found = list(checks.documents(said.get()))
        if not found:
            raise MachineError("the traffic came to no result")
        return found[-1]


def row(name: str, found: dict, *, may_lose: bool, container: str = "") -> checks.Row:
    """What became of the streams; `container`: that of this gateway's host, too."""
    pings = found["pings"].get(container)
    found = found["streams"]
    lost = sum(one["lost"] for one in found.values())
    duplicated = sum(one["duplicated"] for one in found.values())
    gap_ms = max(one["gap_ms"] for key, one in found.items() if "broadcast" not in key)
    sent = sum(one["sent"] for one in found.values())
    holds = not duplicated and (gap_ms <= GAP_MS if may_lose else not lost)
    measured = f"{lost} of {sent} lost, {duplicated} duplicates, longest gap {gap_ms} ms"
    if pings:
        measured += f"; its own container: {pings['lost']} of {pings['sent']} pings"
        measured += f", {pings['gap_s']:.1f} s"
    return checks.judged(f"hosts: {name}", holds and sent > 0, measured)


def roles(hosts: Hosts) -> Iterator[checks.Row]:
    """Traffic, a role by hand, a death, a return."""
    port = hosts.gateway("B")["port"]
    fence = hosts.gateway("A")["fence"] or {"state": "none"}
    yield checks.judged("hosts: fence of A", fence["state"] == "open", json.dumps(fence))
    yield row("nothing happens", hosts.traffic(lambda: None), may_lose=False)
    found = hosts.traffic(lambda: hosts.ask("B", "weave-ryu", "gateway", "activate", port))
    yield row("role by hand, from A to B", found, may_lose=False)
    hosts.ask("B", "weave-ryu", "gateway", "auto", port)
    hosts.await_states(A="standby", B="active")
    yield row("B dies", hosts.traffic(hosts.machines["B"].die), may_lose=True)
    hosts.await_states(A="active")
    hosts.start("B")
    hosts.await_states(A="active", B="standby")
    yield row("B is back", hosts.traffic(lambda: None), may_lose=False)


def switch(hosts: Hosts) -> Iterator[checks.Row]:
    """Open vSwitch ends and starts on the standby, then on the active one."""
    active, standby = "A", "B"
    for what, words in SWITCH.items():
        for name in (standby, active):
            found, took_s = _struck(hosts, name, words)
            is_active = name == active
            told = f"{what} on the {'active' if is_active else 'standby'} ({took_s:.0f} s)"
            may_lose = is_active and what not in HANDS_OVER
            yield row(told, found, may_lose=may_lose, container=name)
            if is_active:
                active, standby = standby, active
            hosts.await_states(**{active: "active", standby: "standby"})


def _struck(hosts: Hosts, name: str, words: tuple[str, ...]) -> tuple[dict, float]:
    took_s = []

    def strike() -> None:
        took_s.append(hosts.ask(name, *words, timeout_s=SWITCH_TIMEOUT_S).seconds)

    return hosts.traffic(strike, SWITCH_TRAFFIC_S), took_s[0]


PARTS = {"roles": roles, "switch": switch}


_STARTED = time.monotonic()


def tell(line: str) -> None:
    """Progress."""
    print(f"[{time.monotonic() - _STARTED:6.1f} s] {line}", file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.vm.hosts", description=__doc__)
    parser.add_argument("--part", action="append", choices=tuple(PARTS), help="default: all")
    arguments = parser.parse_args()
    hosts = Hosts({})
    rows = []
    try:
        hosts.start("WAB")
        for part in arguments.part or PARTS:
            hosts.await_states(A="active", B="standby")
            for one in PARTS[part](hosts):
                rows.append(one)
                tell(f"{one.result}: {one.check}: {one.measured}")
    except MachineError as error:
        print(f"tests.vm.hosts: {error}", file=sys.stderr)
        return 1
    finally:
        for machine in hosts.machines.values():
            machine.close()
        for one in rows:
            print(f"{one.check:<60} {one.result:<8} {one.measured}")
    return 0 if all(one.is_good for one in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
