"""An Open vSwitch whose ports exist on paper only: no root, no links, but its own code.

``--enable-dummy`` is how Open vSwitch tests itself: the translation of flows, and so
``ofproto/trace``, is that of the real datapaths.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path

from table_model import CONTROLLER, Sent

SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
PROGRAMS = ("ovsdb-tool", "ovsdb-server", "ovs-vswitchd", "ovs-vsctl", "ovs-ofctl")
BRIDGE = "br0"
START_TIMEOUT_S = 10


def what_is_missing():
    """Empty, or the reason why no such switch can be started here."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing or not SCHEMA.exists():
        return f"Open vSwitch is not installed: no {', '.join(missing) or SCHEMA}"
    return ""


class DummySwitch:
    """An ``ovsdb-server`` and an ``ovs-vswitchd`` with one bridge; processes end with `stop`."""

    def __init__(self, directory, tunnel_port, other_ports):
        self.directory = Path(directory)
        self.processes = []
        self.environment = {
            **os.environ,
            "OVS_RUNDIR": str(directory),
            "OVS_DBDIR": str(directory),
            "OVS_LOGDIR": str(directory),
        }
        self.tunnel_port, self.other_ports = tunnel_port, other_ports

    def start(self):
        database = self.directory / "conf.db"
        self.run("ovsdb-tool", "create", str(database), str(SCHEMA))
        remote = f"unix:{self.directory}/db.sock"
        common = ["-vconsole:off", f"--log-file={self.directory}/log"]
        self._spawn("ovsdb-server", str(database), f"--remote=p{remote}", *common)
        self._wait_for("db.sock")
        self._vsctl = ("ovs-vsctl", f"--db={remote}", "--timeout=10")
        self.run(*self._vsctl, "--no-wait", "init")
        control = f"--unixctl={self.directory}/vswitchd.ctl"
        self._spawn("ovs-vswitchd", remote, control, "--enable-dummy", "--disable-system", *common)
        self._wait_for("vswitchd.ctl")
        self._add_bridge()

    def _add_bridge(self):
        command = ["add-br", BRIDGE, "--", "set", "bridge", BRIDGE]
        command += ["datapath_type=dummy", "fail_mode=secure"]
        tunnel = f"tunnel {self.tunnel_port} vxlan remote_ip=flow local_ip=flow key=flow"
        ports = [f"{tunnel} dst_port=6784".split()]
        ports += [[f"port{number}", str(number), "dummy"] for number in self.other_ports]
        for name, number, kind, *options in ports:
            command += ["--", "add-port", BRIDGE, name, "--", "set", "interface", name]
            command += [f"type={kind}", f"ofport_request={number}"]
            command += [f"options:{option}" for option in options]
        self.run(*self._vsctl, *command)
        # Tunnel actions as with the kernel's datapath: no ARP for outer addresses in a trace.
        self.control("dpif/set-dp-features", BRIDGE, "tnl_push_pop", "false")
        shown = self.control("dpif/show")
        self.port_of = {
            int(datapath): int(openflow)
            for openflow, datapath in re.findall(r"^ +\S+ (\d+)/(\d+):", shown, re.MULTILINE)
        }

    def stop(self):
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def run(self, *command, text=None):
        result = subprocess.run(
            command,
            env=self.environment,
            input=text,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert result.returncode == 0, f"{command}: {result.stderr}"
        return result.stdout

    def control(self, method, *parameters):
        """What ``ovs-appctl`` does, without a process for each call."""
        request = json.dumps({"id": 0, "method": method, "params": parameters})
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(self.directory / "vswitchd.ctl"))
            connection.sendall(request.encode())
            received = b""
            while True:
                received += connection.recv(65536)
                with contextlib.suppress(ValueError):
                    reply = json.loads(received)
                    break
        assert reply["error"] is None, f"{method} {parameters}: {reply['error']}"
        return reply["result"]

    def ofctl(self, command, *arguments, text=None):
        management = f"unix:{self.directory}/{BRIDGE}.mgmt"
        return self.run("ovs-ofctl", "-O", "OpenFlow13", command, management, *arguments, text=text)

    def replace_flows(self, lines):
        """Delete all flows, then add those that are given as text."""
        self.ofctl("replace-flows", "-", text="\n".join(lines) + "\n")

    def dump(self):
        """All flows, without what changes by itself, sorted."""
        dumped = self.ofctl("dump-flows", "--no-stats").splitlines()
        return sorted(line.strip() for line in dumped if "cookie" in line)

    def trace(self, frame, *options):
        """The copies of a frame that leave the switch, in order, by ``ofproto/trace``."""
        flow = [f"in_port={frame.in_port}", f"dl_src={frame.src}", f"dl_dst={frame.dst}"]
        if frame.in_port == self.tunnel_port:
            flow += [f"tun_src={frame.tun_src}", "tun_dst=192.0.2.250"]
            flow += [f"tun_id={frame.tun_id:#x}"]
        shown = self.control("ofproto/trace", BRIDGE, ",".join(flow), *options)
        (actions,) = re.findall(r"^Datapath actions: (.*)$", shown, re.MULTILINE)
        return list(self._outputs(actions)), shown

    def _outputs(self, actions):
        tunnel = ("", "", 0)
        for action in split_at_top_level(actions):
            if action.startswith("set(tunnel("):
                fields = dict(re.findall(r"(\w+)=([^,()]+)", action))
                tunnel = fields["dst"], fields["src"], int(fields["tun_id"], 16)
            elif action.startswith("userspace("):
                assert "controller(" in action
                yield Sent(CONTROLLER)
            elif action.isdecimal():
                port = self.port_of[int(action)]
                yield Sent(port, *tunnel) if port == self.tunnel_port else Sent(port)
            else:
                assert action == "drop" or action.startswith("meter("), action

    def send_openflow(self, messages):
        """Send encoded messages on one connection; they must be accepted before it ends."""
        hello = struct.pack("!BBHI", 4, 0, 8, 1)
        barrier = struct.pack("!BBHI", 4, 20, 8, 0xBA55)
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(self.directory / f"{BRIDGE}.mgmt"))
            connection.sendall(hello + b"".join(messages) + barrier)
            stream = connection.makefile("rb")
            while True:
                _, kind, length, xid = struct.unpack("!BBHI", stream.read(8))
                body = stream.read(length - 8)
                assert kind != 1, f"refused (xid {xid}): type and code {body[:4].hex()}"
                if kind == 21:
                    assert xid == 0xBA55
                    return

    def _spawn(self, *command):
        self.processes.append(
            subprocess.Popen(
                command,
                env=self.environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        )

    def _wait_for(self, name):
        deadline = time.monotonic() + START_TIMEOUT_S
        while not (self.directory / name).exists():
            assert time.monotonic() < deadline, (self.directory / "log").read_text()
            time.sleep(0.01)


def split_at_top_level(actions):
    """``a(b,c),d`` → ``a(b,c)``, ``d``."""
    depth, word = 0, ""
    for character in actions:
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            yield word
            word = ""
        else:
            word += character
    if word:
        yield word
