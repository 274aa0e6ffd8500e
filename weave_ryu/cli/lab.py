"""Verbs ``weave-ryu lab up``, ``down``, ``status`` and ``demo``."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TextIO

from weave_ryu.cli import play
from weave_ryu.cli.verbs import add as add_verb
from weave_ryu.lab import demo, failover, faults, lab, matrix, topology
from weave_ryu.lab.state import DEFAULT_PREFIX, State, check_prefix

DEMO_PREFIX = "wrd"
"""The demo's own prefix: it can run beside a lab that is up."""

FAILOVER_PREFIX = "wrf"
FAULTS_PREFIX = "wrx"

_UP_EXAMPLE = """\
examples:
  weave-ryu lab up                              six peers in a full mesh, gateways A and B
  weave-ryu lab up --role A=active --role B=standby   roles by hand: nobody takes over
  weave-ryu lab up --topology line              W-X-A-B-Y-Z, without discovery
  weave-ryu lab up --peers W,X,A,B --role A=standby --role B=active
  weave-ryu lab up --prefix two                 a second lab beside the first
"""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verbs."""
    group = subparsers.add_parser(
        "lab",
        help="a mesh with two gateways on this machine, in network namespaces",
        description="Builds real Open vSwitch hosts in network namespaces, as root.",
        epilog="example: weave-ryu lab up && weave-ryu lab status && weave-ryu lab down",
    )
    verbs = group.add_subparsers(dest="lab_verb", metavar="VERB", required=True)
    _add_up(verbs)

    down = _add_verb(verbs, "down", "remove a lab", "  weave-ryu lab down")
    _add_prefix(down, DEFAULT_PREFIX)
    down.add_argument("--json", action="store_true", help="print one JSON document")
    down.set_defaults(handler=_down)

    status = _add_verb(verbs, "status", "describe a lab", "  weave-ryu lab status --json")
    _add_prefix(status, DEFAULT_PREFIX)
    status.add_argument("--json", action="store_true", help="print one JSON document")
    status.set_defaults(handler=_status)

    play.register(partial(_add_verb, verbs))

    show = _add_verb(
        verbs,
        "demo",
        "build a lab, switch and kill gateways under traffic, count what arrives, remove it",
        "  sudo weave-ryu lab demo\n  sudo weave-ryu lab demo --json > result.json",
    )
    _add_prefix(show, DEMO_PREFIX)
    _add_shape(show)
    show.add_argument("--json", action="store_true", help="print one JSON document on stdout")
    show.add_argument("--keep", action="store_true", help="leave the lab up at the end")
    show.set_defaults(handler=_demo)

    bench = _add_verb(
        verbs,
        "failover",
        "measure failovers: gaps, losses, duplicates and loops over many runs",
        "  sudo weave-ryu lab failover --event kill --event drain --runs 20",
    )
    _add_prefix(bench, FAILOVER_PREFIX)
    _add_shape(bench)
    bench.add_argument(
        "--event",
        action="append",
        choices=tuple(failover.EVENTS),
        help="what happens to the active gateway (repeatable; default: everything)",
    )
    bench.add_argument("--runs", type=int, default=5, help="of each event (default %(default)s)")
    bench.add_argument(
        "--profile", choices=("default", "fast"), default="default", help="timers of the gateways"
    )
    bench.add_argument("--json", action="store_true", help="print one JSON document on stdout")
    bench.set_defaults(handler=_failover)

    cells = _add_verb(
        verbs,
        "faults",
        "make every fault on hosts of every role, under traffic, and check the invariants",
        "  sudo weave-ryu lab faults\n"
        "  sudo weave-ryu lab faults --fault vswitchd --fault disk --struck active --json",
    )
    _add_prefix(cells, FAULTS_PREFIX)
    cells.add_argument(
        "--fault",
        action="append",
        choices=tuple(faults.FAULTS),
        help="what happens (repeatable; default: everything)",
    )
    cells.add_argument(
        "--struck",
        action="append",
        choices=faults.ROLES,
        help="role of the host that it happens to (repeatable; default: all)",
    )
    _add_datapath(cells)
    cells.add_argument("--quick", action="store_true", help="a few cells only, under a minute")
    cells.add_argument("--json", action="store_true", help="print one JSON document on stdout")
    cells.set_defaults(handler=_faults)


def _add_up(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    build = _add_verb(verbs, "up", "build a lab", _UP_EXAMPLE)
    _add_prefix(build, DEFAULT_PREFIX)
    _add_shape(build)
    build.add_argument(
        "--role",
        action="append",
        default=[],
        metavar="GATEWAY=ROLE",
        help="first role of a gateway: active, standby or auto (default: auto)",
    )
    build.add_argument(
        "--timeout",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="how long it may take until the mesh is together and a gateway forwards "
        "(default: %(default).0f)",
    )
    build.add_argument(
        "--keep", action="store_true", help="when it fails, leave what was made, to look at"
    )
    build.add_argument(
        "--json", action="store_true", help="describe the lab as `lab status --json` does"
    )
    build.set_defaults(handler=_up)


def _add_verb(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    summary: str,
    example: str,
) -> argparse.ArgumentParser:
    epilog = example if example.startswith("examples") else f"example:\n{example}"
    return add_verb(verbs, name, summary, epilog)


def _add_prefix(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument(
        "--prefix",
        default=default,
        help="of all names the lab makes; labs with different ones run side by side "
        "(default: %(default)s)",
    )


def _add_shape(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--peers",
        metavar="NAMES|NUMBER",
        help=f"nick names with commas, or how many (default: {','.join(topology.DEFAULT_PEERS)})",
    )
    parser.add_argument(
        "--gateways",
        metavar="NAMES",
        help="which of the peers are gateways of the segment (default: A and B, if there)",
    )
    parser.add_argument(
        "--topology",
        default="full",
        metavar="|".join((*topology.SHAPES, "FILE")),
        help="shape of the mesh, or a TOML or JSON file (default: %(default)s)",
    )
    _add_datapath(parser)


def _add_datapath(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--datapath-type",
        choices=("auto", "system", "netdev"),
        default="auto",
        help="datapath of the switches (default: %(default)s)",
    )


def _topology(arguments: argparse.Namespace) -> topology.Topology:
    if arguments.topology not in topology.SHAPES and (
        "/" in arguments.topology or "." in arguments.topology
    ):
        return topology.load(Path(arguments.topology))
    peers: Sequence[str] = topology.DEFAULT_PEERS
    if arguments.peers is not None:
        peers = topology.parse_peers(arguments.peers)
    gateways = None if arguments.gateways is None else arguments.gateways.split(",")
    return topology.build(peers, arguments.topology, gateways)


def _options(arguments: argparse.Namespace) -> lab.Options:
    declared = _topology(arguments)
    return lab.Options(
        prefix=check_prefix(arguments.prefix),
        topology=declared,
        roles=topology.parse_roles(getattr(arguments, "role", []), declared),
        datapath_type=arguments.datapath_type,
        ready_timeout_s=getattr(arguments, "timeout", 60.0),
    )


def _progress_to(stream: TextIO) -> Callable[[str], None]:
    """Progress lines with the seconds since the start."""
    started = time.monotonic()

    def tell(line: str) -> None:
        print(f"[{time.monotonic() - started:6.1f} s] {line}", file=stream, flush=True)

    return tell


def _failover(arguments: argparse.Namespace) -> int:
    tell = _progress_to(sys.stderr)
    options = _options(arguments)
    gateways = list(options.topology.segments[0].gateways)
    options = failover.as_options(options, gateways, arguments.profile)
    names = arguments.event or list(failover.EVENTS)
    return failover.run(options, names, arguments.runs, tell, as_json=arguments.json)


def _faults(arguments: argparse.Namespace) -> int:
    pairs = matrix.cells(arguments.fault or faults.FAULTS, arguments.struck or faults.ROLES)
    if arguments.quick:
        pairs = [pair for pair in faults.QUICK if pair in pairs]
    return matrix.run(
        matrix.options(check_prefix(arguments.prefix), arguments.datapath_type),
        pairs,
        _progress_to(sys.stderr),
        as_json=arguments.json,
    )


def _up(arguments: argparse.Namespace) -> int:
    tell = _progress_to(sys.stderr if arguments.json else sys.stdout)
    built = lab.up(_options(arguments), tell, keep=arguments.keep)
    if arguments.json:
        print(json.dumps(built.describe(), indent=2))
    other = "" if built.prefix == DEFAULT_PREFIX else f" --prefix {built.prefix}"
    tell(f"lab {built.prefix} is up; look at it with `weave-ryu lab status{other}`")
    return 0


def _down(arguments: argparse.Namespace) -> int:
    state = State(arguments.prefix)
    lab.require_root()
    was_there = state.remove()
    if arguments.json:
        print(json.dumps({"prefix": state.prefix, "removed": was_there}))
    elif was_there:
        print(f"lab {state.prefix} is removed")
    else:
        print(f"there is no lab with prefix {state.prefix!r}: nothing to do")
    return 0


def _status(arguments: argparse.Namespace) -> int:
    description = lab.find(arguments.prefix).describe()
    if arguments.json:
        print(json.dumps(description, indent=2))
        return 0
    print(f"lab {description['prefix']}")
    for name, peer in description["peers"].items():
        daemon = f"daemon {peer['daemon_pid']}" if peer["daemon_pid"] else "daemon is not running"
        switch = f"vswitchd {peer['vswitchd_pid']}" if peer["vswitchd_pid"] else "no vswitchd"
        ports = [f"{p['port']} on {p['segment']}: {_state(p)}" for p in peer["gateway_ports"]]
        row = [f"{name:<8}", f"{peer['underlay_ip']:<12}", f"{switch:<16}", daemon, *ports]
        print(f"  peer       {'  '.join(row)}")
    for kind, place in (("containers", "peer"), ("hosts", "segment")):
        for name, station in description[kind].items():
            where = f"{place} {station[place]}"
            print(f"  {kind[:-1]:<10} {name:<8}  {station['ip']:<12}  {station['mac']}  {where}")
    for name, segment in description["segments"].items():
        ends = ", ".join(f"{end}={port}" for end, port in segment["ports"].items())
        print(f"  segment    {name:<8}  {segment['netns']}/{segment['bridge']}: {ends}")
    return 0


def _state(port: dict[str, str]) -> str:
    """As its own daemon tells it now; a mute one may have a switch that still forwards."""
    mute = "unknown, its daemon does not answer"
    return mute if port["state"] == "unknown" else port["state"]


def _demo(arguments: argparse.Namespace) -> int:
    tell = _progress_to(sys.stderr if arguments.json else sys.stdout)
    options = _options(arguments)
    options = replace(options, roles=topology.roles_by_hand(options.topology))
    return demo.run(options, tell, as_json=arguments.json, keep=arguments.keep)
