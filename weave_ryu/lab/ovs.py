"""One Open vSwitch of a lab: ``ovsdb-server`` and ``ovs-vswitchd`` in their own run directory.

The system's own Open vSwitch, if one runs, is neither used nor touched.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path

from weave_ryu import namespaces
from weave_ryu.errors import LabError
from weave_ryu.lab import processes
from weave_ryu.lab.patience import stretched
from weave_ryu.lab.processes import ProcessRef

UNDERLAY_BRIDGE = "br-phy"
UNDERLAY_LINK = "phy0"

_SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
_START_TIMEOUT_S = 15.0
_RUN_TIMEOUT_S = 60.0


def kernel_datapath_exists() -> bool:
    """Whether the kernel has the openvswitch datapath."""
    return Path("/sys/module/openvswitch").exists()


class Switch:
    """An Open vSwitch in a namespace.

    Args:
        prefix: of the lab, for the marker of its processes.
        namespace: where it runs.
        directory: gets the database, the sockets and the logs.
        is_userspace: keep off the kernel datapath.
    """

    def __init__(
        self, prefix: str, namespace: Path, directory: Path, *, is_userspace: bool
    ) -> None:
        self.namespace = namespace
        self.directory = directory
        self.rundir = directory / "run"
        self.remote = f"unix:{self.rundir}/db.sock"
        self.database_server: ProcessRef | None = None
        self.vswitchd: ProcessRef | None = None
        self._is_userspace = is_userspace
        self.environment = {
            processes.MARKER: prefix,
            "OVS_RUNDIR": str(self.rundir),
            "OVS_DBDIR": str(directory),
            "OVS_LOGDIR": str(directory),
        }

    def start(self) -> None:
        """Make the database and start both processes.

        Raises:
            LabError: Open vSwitch is not installed, or a process did not come up.
        """
        if not _SCHEMA.exists():
            raise LabError(
                "Open vSwitch is not installed", "run ovs_scripts/install-deps as root, then again"
            )
        self.rundir.mkdir(parents=True, exist_ok=True)
        database = self.directory / "conf.db"
        self.run("ovsdb-tool", "create", str(database), str(_SCHEMA))
        self.start_database()
        self.vsctl("--no-wait", "init")
        self.start_vswitchd()

    def start_database(self) -> None:
        """Start ``ovsdb-server`` and wait until it answers."""
        self.database_server = processes.spawn(
            [
                "ovsdb-server",
                str(self.directory / "conf.db"),
                f"--remote=punix:{self.rundir}/db.sock",
                f"--unixctl={self.rundir}/ovsdb-server.ctl",
                f"--pidfile={self.rundir}/ovsdb-server.pid",
                f"--log-file={self.directory}/ovsdb-server.log",
                "-vconsole:off",
            ],
            log=self.directory / "ovsdb-server.out",
            environment=self.environment,
            namespace=self.namespace,
            niceness=processes.NICENESS,
        )
        if not processes.poll_until(self._accepts_connections, _START_TIMEOUT_S):
            tail = processes.log_tail(self.directory / "ovsdb-server.log")
            raise LabError(f"ovsdb-server in {self.namespace.name} does not answer", tail)

    def kill_database(self) -> None:
        """Kill ``ovsdb-server``; the switch goes on with what it knows."""
        if self.database_server is not None:
            processes.kill(self.database_server)

    def start_vswitchd(self) -> None:
        """Start ``ovs-vswitchd`` and wait until it has applied the database."""
        command = [
            "ovs-vswitchd",
            self.remote,
            f"--unixctl={self.rundir}/ovs-vswitchd.ctl",
            f"--pidfile={self.rundir}/ovs-vswitchd.pid",
            f"--log-file={self.directory}/ovs-vswitchd.log",
            "-vconsole:off",
        ]
        if self._is_userspace:
            command.append("--disable-system")
        self.vswitchd = processes.spawn(
            command,
            log=self.directory / "ovs-vswitchd.out",
            environment=self.environment,
            namespace=self.namespace,
            niceness=processes.NICENESS,
        )
        if not processes.poll_until(self._forwards, _START_TIMEOUT_S):
            tail = processes.log_tail(self.directory / "ovs-vswitchd.log")
            raise LabError(f"ovs-vswitchd in {self.namespace.name} does not come up", tail)

    def processes(self) -> dict[str, ProcessRef]:
        """What was started, by the name of the program."""
        parts = {"ovsdb-server": self.database_server, "ovs-vswitchd": self.vswitchd}
        return {name: process for name, process in parts.items() if process is not None}

    def kill_vswitchd(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End ``ovs-vswitchd`` the hard way; its control socket goes with it."""
        if self.vswitchd is not None:
            processes.kill(self.vswitchd, number)
        # Left behind by SIGKILL; it must not be taken for the next one's.
        (self.rundir / "ovs-vswitchd.ctl").unlink(missing_ok=True)

    def restart_vswitchd(self) -> None:
        """Kill ``ovs-vswitchd`` and start it again: all flows and internal ports are made anew."""
        self.kill_vswitchd()
        self.start_vswitchd()

    def set_up_underlay(self, address: str, script: Path) -> None:
        """Give this host its underlay address, with the script that real hosts use too."""
        self.run(
            str(script),
            "--link",
            UNDERLAY_LINK,
            "--bridge",
            UNDERLAY_BRIDGE,
            "--address",
            address,
            "--datapath-type",
            "netdev" if self._is_userspace else "system",
        )

    def vsctl(self, *arguments: str) -> str:
        """Run ``ovs-vsctl`` on this database; return what it printed."""
        limit = f"--timeout={stretched(15.0):.0f}"
        return self.run("ovs-vsctl", f"--db={self.remote}", limit, *arguments)

    def ofctl(self, command: str, bridge: str, *arguments: str) -> str:
        """Run ``ovs-ofctl`` with OpenFlow 1.3 on a bridge; return what it printed."""
        management = f"unix:{self.rundir}/{bridge}.mgmt"
        return self.run("ovs-ofctl", "-O", "OpenFlow13", command, management, *arguments)

    def appctl(self, *arguments: str) -> str:
        """Run ``ovs-appctl`` on ``ovs-vswitchd``; return what it printed."""
        return self.run("ovs-appctl", f"--target={self.rundir}/ovs-vswitchd.ctl", *arguments)

    def run(self, *command: str) -> str:
        """Run a command in this switch's namespace and environment; return its output.

        Raises:
            LabError: it failed, with what it said.
        """

        def execute() -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                command,
                env={**os.environ, **self.environment},
                capture_output=True,
                text=True,
                timeout=stretched(_RUN_TIMEOUT_S),
                check=False,
            )

        try:
            result = namespaces.run_inside(self.namespace, execute)
        except OSError as error:
            raise LabError(f"`{command[0]}` cannot be run", error.strerror or str(error)) from error
        except subprocess.TimeoutExpired:
            raise LabError(f"`{' '.join(command)}` did not end in time") from None
        if result.returncode != 0:
            said = (result.stderr or result.stdout).strip() or f"exit status {result.returncode}"
            raise LabError(f"`{' '.join(command)}` in {self.namespace.name} failed", said)
        return result.stdout

    def _forwards(self) -> bool:
        """Whether ``ovs-vswitchd`` is so far that it knows its datapaths."""
        if not (self.rundir / "ovs-vswitchd.ctl").exists():
            return False
        try:
            self.appctl("dpif/show")
        except LabError:
            return False
        return True

    def _accepts_connections(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(f"{self.rundir}/db.sock")
            except OSError:
                return False
        return True
