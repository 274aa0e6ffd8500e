"""Stands in for ``weave-ryu run`` where a test is about the lab and not about the daemon.

A flooding hub over static VXLAN tunnels, with a gateway port that opens by a flow with a timeout.
"""

import argparse
import json
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

parser = argparse.ArgumentParser()
for name in ("name", "nickname", "host", "bridge", "datapath-type", "ovs-db", "gateway"):
    parser.add_argument(f"--{name}")
parser.add_argument("--everybody", help="NICK=underlay address, with commas")
parser.add_argument("--gateways-are", help="nick names with commas")
parser.add_argument("--peer", action="append")
parser.add_argument("--no-discovery", action="store_true")
args = parser.parse_args()

everybody = dict(item.split("=") for item in args.everybody.split(","))
gateway_nicks = args.gateways_are.split(",")
rundir = args.ovs_db.removeprefix("unix:").rpartition("/")[0]
gateway = None
if args.gateway:
    port, *rest = args.gateway.split(",")
    gateway = {"port": port, **dict(item.split("=") for item in rest)}
    gateway["state"] = gateway["role"]
lock = threading.Lock()


def sh(*command, text=None):
    subprocess.run(command, check=True, input=text, text=True)


def vsctl(*command):
    sh("ovs-vsctl", f"--db={args.ovs_db}", "--timeout=10", *command)


def listing():
    out = subprocess.run(
        ["ovs-vsctl", f"--db={args.ovs_db}", "--timeout=10", "list-ports", args.bridge],
        capture_output=True,
        text=True,
        check=True,
    )
    return out.stdout.split()


def program():
    ports = [p for p in listing() if p != "gw0"]
    tunnels = [p for p in ports if p.startswith("vx")]
    local = [p for p in ports if not p.startswith("vx")]
    flows = ["table=0,priority=0,actions=drop"]
    for p in local:
        outs = [q for q in local + tunnels if q != p]
        flows.append(f"table=0,in_port={p},actions={','.join([*outs, 'resubmit(,1)'])}")
    for p in tunnels:
        outs = list(local)
        if p.removeprefix("vx") not in gateway_nicks:
            outs.append("resubmit(,1)")
        flows.append(f"table=0,in_port={p},actions={','.join(outs) or 'drop'}")
    if gateway:
        flows.append("table=0,in_port=gw0,actions=resubmit(,2)")
        if gateway["state"] == "active":
            flows.append("table=1,hard_timeout=2,priority=1,actions=output:gw0")
            flows.append(
                f"table=2,hard_timeout=2,priority=1,actions={','.join(local + tunnels) or 'drop'}"
            )
    bridge = f"unix:{rundir}/{args.bridge}.mgmt"
    sh("ovs-ofctl", "-O", "OpenFlow13", "add-flows", bridge, "-", text="\n".join(flows) + "\n")
    if not gateway or gateway["state"] != "active":
        for table in (1, 2):
            sh("ovs-ofctl", "-O", "OpenFlow13", "del-flows", bridge, f"table={table}")


class Handler(BaseHTTPRequestHandler):
    def answer(self, document, status=200):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/gateways":
            return self.answer([gateway] if gateway else [])
        if self.path == "/macs":
            return self.answer([])
        peers = [
            {
                "NickName": a,
                "Connections": [{"NickName": b, "Established": True} for b in everybody if a != b],
            }
            for a in everybody
        ]
        return self.answer({"Ready": True, "Router": {"Peers": peers}})

    def do_PUT(self):
        length = int(self.headers["Content-Length"])
        role = json.loads(self.rfile.read(length))["role"]
        with lock:
            gateway["role"] = gateway["state"] = role
            program()
        return self.answer(gateway)

    def log_message(self, *_):
        pass


commands = ["--may-exist", "add-br", args.bridge, "--", "set", "Bridge", args.bridge]
commands += [f"datapath_type={args.datapath_type}", "fail_mode=secure"]
for nick, address in everybody.items():
    if nick != args.nickname:
        commands += ["--", "--may-exist", "add-port", args.bridge, f"vx{nick}"]
        commands += ["--", "set", "Interface", f"vx{nick}", "type=vxlan", "options:key=1"]
        commands += [f"options:remote_ip={address}", "options:dst_port=6784"]
if gateway:
    commands += ["--", "--may-exist", "add-port", args.bridge, "gw0"]
vsctl(*commands)
server = ThreadingHTTPServer(("127.0.0.1", 6784), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
while True:
    with lock:
        program()
    time.sleep(0.5)
