"""Makes this machine one of three real hosts. Run in it, as root, by :mod:`tests.vm.hosts`.

``python3 -m tests.vm.host peer NAME`` sets Open vSwitch and weave-ryu up as ``vagrant/provision``
does it for Vagrant, with systemd. W has the segment's switch and Host1 besides. ``… traffic
SECONDS`` runs streams between W's container and Host1, pings the containers of the gateways'
hosts, and prints what became of it all as JSON.
"""

import itertools
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from weave_ryu import links
from weave_ryu.lab.traffic import BROADCAST, Station, Traffic
from weave_ryu.namespaces import NETNS_DIR

TREE = Path(__file__).resolve().parents[2]
UNDERLAY = {"W": "192.0.2.1", "A": "192.0.2.2", "B": "192.0.2.3"}
CONTAINERS = {"W": "10.32.0.1", "A": "10.32.0.2", "B": "10.32.0.3"}
HOST = "10.32.0.101/24"
HOST_MAC = "02:00:00:00:01:01"
RATE_PER_S, BROADCAST_RATE_PER_S = 50, 10
LEAD_S = 1.0
PINGS_PER_S = 5


def run(*words):
    subprocess.run(words, check=True)


def cards():
    """Network cards in the order of their slots."""
    found = [path.parent for path in Path("/sys/class/net").glob("*/device")]
    return [p.name for p in sorted(found, key=lambda p: int((p / "ifindex").read_text()))]


def bridge(name, ports):
    run("ip", "link", "add", name, "type", "bridge")
    for port in ports:
        run("ip", "link", "set", port, "master", name, "up")
    run("ip", "link", "set", name, "up")


def lay_cables(name):
    """The underlay; on W, whose cards go to A and B, the segment and its host as well."""
    link = cards()[1]
    if name == "W":
        to_a, to_b, segment_a, segment_b = cards()
        bridge("under", [to_a, to_b])
        bridge("segment", [segment_a, segment_b])
        run("ip", "netns", "add", "host1")
        run("ip", "link", "add", "h1", "type", "veth", "peer", "name", "eth0", "netns", "host1")
        run("ip", "link", "set", "h1", "master", "segment", "up")
        run("ip", "-n", "host1", "link", "set", "eth0", "address", HOST_MAC, "up")
        run("ip", "-n", "host1", "address", "add", HOST, "dev", "eth0")
        link = "under"
    run("ip", "link", "set", link, "up")
    run("ip", "address", "add", f"{UNDERLAY[name]}/24", "dev", link)


def pretend_installed():
    """What provisioning would fetch is in the image already."""
    programs = TREE / ".venv" / "bin"
    programs.mkdir(parents=True, exist_ok=True)
    (programs / "weave-ryu").symlink_to("/usr/local/bin/weave-ryu.image")
    Path("/usr/local/bin/weave-ryu").rename("/usr/local/bin/weave-ryu.image")
    for name in ("apt-get", "make"):
        shim = Path("/usr/local/sbin") / name
        shim.write_text("#!/bin/sh\nexit 0\n")
        shim.chmod(0o755)


def set_up(name):
    lay_cables(name)
    # Enabled, as on every host: dpkg restarts nothing else.
    units = ("openvswitch-switch", "ovs-vswitchd", "ovsdb-server")
    run("systemctl", "enable", "-q", "--now", *units)
    pretend_installed()
    words = ["peer", "--nickname", name, "--host", UNDERLAY[name]]
    for other, address in UNDERLAY.items():
        words += ["--peer", address] if other != name else []
    words += ["--container", f"{CONTAINERS[name]}/24"]
    words += ["--gateway", "third"] if name != "W" else []
    # An emulated processor needs longer to import what a daemon is made of.
    drop_in = Path("/etc/systemd/system/weave-ryu.service.d/slow.conf")
    drop_in.parent.mkdir(parents=True, exist_ok=True)
    drop_in.write_text("[Service]\nWatchdogSec=120\nEnvironment=EVENTLET_NO_GREENDNS=yes\n")
    run(str(TREE / "vagrant" / "provision"), *words)


class Pings:
    """Of W's container to another one: at what times an answer was missing."""

    def __init__(self, name):
        command = ["ip", "netns", "exec", "c1", "ping", "-n", "-i", str(1 / PINGS_PER_S)]
        self._process = subprocess.Popen(
            [*command, CONTAINERS[name]], stdout=subprocess.PIPE, text=True
        )

    def end(self):
        """How many had no answer, and the longest row of these, in seconds."""
        self._process.send_signal(signal.SIGINT)
        said = self._process.communicate()[0]
        heard = sorted({int(number) for number in re.findall(r"icmp_seq=(\d+) ttl", said)})
        sent = int(re.search(r"(\d+) packets transmitted", said)[1])
        missing = [b - a - 1 for a, b in itertools.pairwise([0, *heard, sent + 1])]
        return {"sent": sent, "lost": sum(missing), "gap_s": max(missing) / PINGS_PER_S}


def traffic(seconds):
    netns = {name: NETNS_DIR / name for name in ("c1", "host1")}
    mac = links.find_link("ethwe", netns["c1"]).mac
    ends = (
        Station("c1", netns["c1"], "ethwe", mac),
        Station("host1", netns["host1"], "eth0", HOST_MAC),
    )
    with Traffic(ends) as running:
        streams = {
            "container to host": (running.stream("c1", "host1"), "host1"),
            "host to container": (running.stream("host1", "c1"), "c1"),
            "broadcasts to the host": (running.stream("c1", BROADCAST), "host1"),
            "broadcasts to the container": (running.stream("host1", BROADCAST), "c1"),
        }
        for name in ("c1", "host1"):
            running.send([running.stream(name, BROADCAST)], 3, 10)
        time.sleep(LEAD_S)
        pings = {name: Pings(name) for name in ("A", "B")}
        print("running", flush=True)
        began_ns = time.time_ns()
        unicast, flood = [], []
        for name, (stream, _) in streams.items():
            (flood if "broadcast" in name else unicast).append(stream)
        running.start(unicast, RATE_PER_S)
        running.start(flood, BROADCAST_RATE_PER_S)
        time.sleep(seconds)
        end_ns = time.time_ns()
        running.stop()
        running.settle()
        answers = {name: each.end() for name, each in pings.items()}
        found = {}
        for name, (stream, receiver) in streams.items():
            delivery = running.delivery(stream, receiver)
            found[name] = {
                "sent": stream.sent,
                "lost": delivery.lost,
                "duplicated": delivery.duplicated,
                "gap_ms": round(running.gap_ms(stream, receiver, began_ns, end_ns)),
                "pause_ms": round(stream.longest_pause_ns / 1e6),
            }
    print(json.dumps({"streams": found, "pings": answers}), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "peer":
        set_up(sys.argv[2])
    else:
        traffic(float(sys.argv[2]))
