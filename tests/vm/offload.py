"""TCP with all offloads on, beside NORMAL and VXLAN on the same kernel. Run in a lab, as root.

``python3 -m tests.vm.offload`` builds two meshes of the kernel datapath, ours with a gateway, and
one of plain bridges with the same tunnels. They take turns, so that whatever else the machine does
meets both. Prints one line of JSON for each way, with the median of each and their ratio; and one
of what a sender is told whose frames do not fit through the underlay any more.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
from contextlib import ExitStack

from bench import plain, rates
from weave_ryu.lab import lab as labs
from weave_ryu.lab import topology
from weave_ryu.lab.ovs import UNDERLAY_LINK

TOPOLOGY = {
    "peers": ["W", "A"],
    "links": [["W", "A"]],
    "containers": {"W-c1": "W", "A-c1": "A"},
    "segments": {"vlan": {"gateways": ["A"], "hosts": ["Host1"]}},
}
WAYS = {
    "container to container": ("W-c1", "A-c1"),
    "container to host": ("W-c1", "Host1"),
    "host to container": ("Host1", "W-c1"),
}


PATH_MTU = 1300
LARGEST_PING = 1376 - 28
"""Bytes of data in a ping that fills a frame of the overlay."""


def narrow(lab):
    """The way from W to A carries less; is the container told, and what is learnt from that?"""
    source, target = map(lab.station, WAYS["container to container"])
    peer, other = lab.peer("W"), lab.peer("A")
    before = places(peer)
    peer.switch.run(
        *("ip", "route", "add", other.spec.underlay_ip, "dev", UNDERLAY_LINK),
        *("mtu", str(PATH_MTU)),
    )
    command = ["ip", "netns", "exec", source.netns.name, "ping", "-n", "-c", "4", "-W", "2"]
    command += ["-M", "do", "-s", str(LARGEST_PING), target.ip]
    said = subprocess.run(command, check=False, capture_output=True, text=True)
    told = re.search(r"mtu ?= ?(\d+)", said.stdout + said.stderr)
    return {
        "told_mtu": int(told[1]) if told else None,
        "expected_mtu": PATH_MTU - 50,
        "moved": sorted(set(places(peer).items()) - set(before.items())),
        "tcp_mbit_s": rates.tcp_mbit_s(source.netns, target.netns, target.ip, 1.0),
    }


def places(peer):
    """MAC → where the peer has it."""
    return {one["Mac"]: (one["Name"], one["Port"]) for one in peer.http("GET", "/macs").body}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    arguments = parser.parse_args()
    declared = topology.from_document(TOPOLOGY, "offload")

    def tell(line):
        print(line, file=sys.stderr, flush=True)

    options = labs.Options(
        prefix="wro",
        topology=declared,
        roles=topology.roles_by_hand(declared),
        datapath_type="system",
    )
    with ExitStack() as stack:
        ours = labs.up(options, tell)
        stack.callback(ours.down)
        normal = plain.PlainLab("wrp", declared, plain.NORMAL, is_userspace=False)
        meshes = {"ours": ours, "normal": stack.enter_context(normal)}
        for way, ends in WAYS.items():
            found = {name: [] for name in meshes}
            for _ in range(arguments.repeats):
                for name, mesh in meshes.items():
                    source, target = map(mesh.station, ends)
                    plain.wait_reachable(source, target.ip)
                    mbit_s = rates.tcp_mbit_s(
                        source.netns, target.netns, target.ip, arguments.seconds
                    )
                    found[name].append(mbit_s)
            medians = {name: statistics.median(each) for name, each in found.items()}
            document = {
                "way": way,
                **{f"{name}_mbit_s": round(each, 1) for name, each in medians.items()},
                "ratio": round(medians["ours"] / medians["normal"], 3),
                "spread": round(max(max(e) / min(e) for e in found.values()), 2),
            }
            print(json.dumps(document), flush=True)
        print(json.dumps(narrow(ours)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
