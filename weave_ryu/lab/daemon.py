"""One ``weave-ryu run`` of a lab: its command line, its process, and its HTTP address."""

from __future__ import annotations

import http.client
import json
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weave_ryu.errors import DaemonUnreachableError
from weave_ryu.lab import netns, processes
from weave_ryu.lab.patience import stretched
from weave_ryu.lab.processes import ProcessRef

HTTP_HOST = "127.0.0.1"
HTTP_PORT = 6784
DEFAULT_COMMAND = (sys.executable, "-m", "weave_ryu", "run")


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the daemon: the parsed document if it is JSON, otherwise its text."""

    status: int
    body: Any


class Daemon:
    """A daemon in a namespace.

    Args:
        namespace: where it runs and where its HTTP address is.
        log: gets its output.
        environment: added to ours.
        command: the program and its arguments, without the gateway option.
        gateway: the gateway option without the role, such as ``gw0,segment=vlan``; None for a peer
            that is no gateway.
        on_start: told of every process that was started.
    """

    def __init__(
        self,
        namespace: Path,
        log: Path,
        environment: dict[str, str],
        command: Sequence[str],
        gateway: str | None,
        on_start: Callable[[ProcessRef], None],
    ) -> None:
        self.namespace = namespace
        self.log = log
        self.process: ProcessRef | None = None
        self._environment = environment
        self._command = list(command)
        self._gateway = gateway
        self._on_start = on_start

    @property
    def is_alive(self) -> bool:
        """Whether its process runs."""
        return self.process is not None and self.process.is_alive()

    def start(self, role: str | None = None, options: str = "") -> None:
        """Start the process; it is not waited for.

        Args:
            role: of its gateway port, if it has one.
            options: more of its gateway option, such as ``priority=200``.
        """
        command = self._command
        if self._gateway is not None:
            parts = (self._gateway, f"role={role or 'standby'}", options)
            command = [*command, "--gateway", ",".join(filter(None, parts))]
        self.process = processes.spawn(
            command,
            log=self.log,
            environment=self._environment,
            namespace=self.namespace,
            niceness=processes.NICENESS,
        )
        self._on_start(self.process)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal; one that ends a process is waited for."""
        if self.process is None:
            return
        if number in {signal.SIGSTOP, signal.SIGCONT, signal.SIGHUP, signal.SIGUSR1}:
            self.process.send(number)
        else:
            processes.kill(self.process, number)

    def http(
        self, method: str, path: str, document: object = None, *, timeout_s: float = 5.0
    ) -> Reply:
        """Ask the daemon from within its namespace.

        Args:
            method: such as ``PUT``.
            path: such as ``/gateways/gw0``.
            document: sent as JSON if not None.
            timeout_s: for each step of the conversation.

        Raises:
            DaemonUnreachableError: it does not answer, or not in time.
        """
        where = f"{HTTP_HOST}:{HTTP_PORT} in {self.namespace.name}"
        timeout_s = stretched(timeout_s)
        connection = http.client.HTTPConnection(HTTP_HOST, HTTP_PORT, timeout=timeout_s)
        headers = {"Accept": "application/json"}
        body = None
        if document is not None:
            body = json.dumps(document).encode()
            headers["Content-Type"] = "application/json"
        try:
            connection.sock = netns.connect_inside(self.namespace, HTTP_HOST, HTTP_PORT, timeout_s)
            connection.request(method, path, body=body, headers=headers)
            response = connection.getresponse()
            text = response.read().decode("utf-8", errors="replace")
        except (OSError, http.client.HTTPException) as error:
            raise DaemonUnreachableError(where, str(error) or type(error).__name__) from error
        finally:
            connection.close()
        if "json" in (response.getheader("Content-Type") or ""):
            try:
                return Reply(response.status, json.loads(text))
            except ValueError as error:
                raise DaemonUnreachableError(where, f"not JSON: {error}") from error
        return Reply(response.status, text)


def established_links(report: Mapping[str, Any]) -> set[tuple[str, str]]:
    """The mesh connections a daemon's ``/report`` knows of, as directed pairs of nick names."""
    peers = report.get("Router", {}).get("Peers") or []
    return {
        (peer["NickName"], connection["NickName"])
        for peer in peers
        for connection in peer.get("Connections") or []
        if connection.get("Established")
    }
