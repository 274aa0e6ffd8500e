"""Checks the kernel datapath in a virtual machine, or runs one command there."""

from __future__ import annotations

import argparse
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import replace

from tests.vm import checks
from tests.vm.machine import TREE, Machine, MachineError, Settings, build_image
from weave_ryu.lab import patience
from weave_ryu.lab.report import print_table

EXAMPLES = """\
examples:
  python -m tests.vm                                 everything (`make kernel-test`)
  python -m tests.vm --check fence                   one of the checks
  python -m tests.vm --release trixie -- uname -a    one command in another Debian
  python -m tests.vm --card 1 --card 1 -- ip link    with two network cards on one wire

The output of the commands goes to build/vm/; images are kept in $WEAVE_RYU_VM_CACHE.
exit status: 0 all is as it should be, 1 not; that of the command
"""
LOGS = TREE / "build" / "vm"
MOST_PATIENCE = 60.0
SPARE = {"EVENTLET_NO_GREENDNS": "yes"}
"""Resolving of names, which no lab needs, is a third of what a daemon imports: ten seconds here."""


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.vm",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--check", action="append", choices=tuple(checks.CHECKS), help="repeatable; default: all")
    add("--build-only", action="store_true", help="make the image, if it is missing, and no more")
    add("--release", default="bookworm", help="of Debian (default: %(default)s)")
    add("--package", action="append", default=[], help="one more Debian package (repeatable)")
    add("--card", action="append", default=[], type=int, metavar="WIRE", help="a network card")
    add("--disk", action="append", default=[], type=int, metavar="MIB", help="an empty disk")
    add("--memory", default=3072, type=int, metavar="MIB", help="default: %(default)s")
    add("--accelerator", default=Settings.accelerator, help="of QEMU (default: %(default)s)")
    add(
        "--counted",
        action="store_true",
        help="its time is the count of its instructions: slower, but other work does not matter",
    )
    add("--timeout", default=600.0, type=float, metavar="SECONDS", help="of the one command")
    add("command", nargs="*", metavar="COMMAND", help="to run instead of the checks, after --")
    return parser.parse_args(argv)


def slowness(machine: Machine) -> float:
    """How many times longer a lab takes there than out here if nothing else ran.

    What else this machine does just now counts: it takes the processor from the other one, too.
    """
    script = "tests/vm/speed.py"
    inside = machine.run(["python3", script], timeout_s=300.0)
    if inside.status != 0:
        raise MachineError(f"its speed cannot be measured: {inside.last_line}")
    here = subprocess.run(
        [sys.executable, script], check=True, capture_output=True, text=True, cwd=TREE
    )
    took_s, _ = inside.output.split()
    _, used_s = here.stdout.split()
    return round(min(MOST_PATIENCE, max(1.0, float(took_s) / float(used_s))), 1)


def run_checks(machine: Machine, names: list[str], tell) -> list[checks.Row]:
    # Nothing to do if Python is of the same version here and there.
    machine.run(["python3", "-m", "compileall", "-q", "weave_ryu"], timeout_s=600.0)
    versions = machine.run(["ovs-vsctl", "--version"], timeout_s=60.0).output.splitlines()[0]
    loaded = machine.run(["test", "-e", "/sys/module/openvswitch"], timeout_s=60.0).status == 0
    about = f"Linux {machine.kernel}, Open vSwitch {versions.split()[-1]}"
    about += f", {slowness(machine)} times slower"
    tell(about)
    rows = [checks.judged("machine: kernel datapath", loaded, about)]
    rows[0] = replace(rows[0], seconds=machine.boot_s)
    LOGS.mkdir(parents=True, exist_ok=True)
    for name in names:
        check = checks.CHECKS[name]
        factor = slowness(machine)
        tell(f"{name} ({factor} times slower): {shlex.join(check.argv)}")
        with (LOGS / f"{name}.log").open("w") as log:

            def heard(text: str, log=log) -> None:
                log.write(text)
                log.flush()

            ended = machine.run(
                check.argv,
                timeout_s=check.timeout_s,
                environment={patience.VARIABLE: str(factor), **SPARE},
                heard=heard,
            )
        found = check.judge(ended)
        found[0] = replace(found[0], seconds=ended.seconds)
        for row in found:
            tell(f"  {row.result}: {row.check}: {row.measured}")
        rows += found
    return rows


def show(rows: list[checks.Row]) -> None:
    cells = [
        (
            row.check,
            row.result,
            "" if row.seconds is None else f"{row.seconds:.0f} s",
            row.measured,
        )
        for row in rows
    ]
    print_table("Kernel datapath, in a virtual machine", ("check", "result", "", "measured"), cells)


def main() -> int:
    arguments = parse()
    # As Ctrl-C does: what the machine has in /tmp goes with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    started = time.monotonic()

    def tell(line: str) -> None:
        seconds = time.monotonic() - started
        print(f"[{seconds:6.1f} s] {line}", file=sys.stderr, flush=True)

    settings = Settings(
        release=arguments.release,
        packages=tuple(arguments.package),
        memory_mib=arguments.memory,
        cards=tuple(arguments.card),
        disks_mib=tuple(arguments.disk),
        accelerator=arguments.accelerator,
        is_counted=arguments.counted,
    )
    try:
        image = build_image(settings, tell)
        if arguments.build_only:
            print(image)
            return 0
        with Machine(settings, tell) as machine:
            tell(f"the machine is up after {machine.boot_s:.0f} s, from {image}")
            if arguments.command:
                ended = machine.run(
                    arguments.command,
                    timeout_s=arguments.timeout,
                    heard=lambda text: print(text, end="", flush=True),
                )
                return 1 if ended.status is None else ended.status % 256
            rows = run_checks(machine, arguments.check or list(checks.CHECKS), tell)
    except MachineError as error:
        print(f"tests.vm: {error}", file=sys.stderr)
        return 1
    show(rows)
    bad = [row for row in rows if not row.is_good]
    tell(f"{len(rows) - len(bad)} passed, {len(bad)} failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
