"""One daemon's part in a trace: answers where a MAC is, and what its switch does with a frame.

Questions and answers are small JSON objects. They travel between daemons on the gossip channel
``trace``, by unicast, so that hosts need no way to one another but the mesh. A router that does not
know the channel does not answer.
"""

from __future__ import annotations

import itertools
import json
import re
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from weave_ryu.errors import OpenFlowError, WeaveRyuError
from weave_ryu.names import PeerName, ShortId
from weave_ryu.pipeline.cookies import Kind, flow_cookie, parse
from weave_ryu.pipeline.tables import BY_NUMBER
from weave_ryu.shell import hub, tracetext
from weave_ryu.shell.limits import Bucket
from weave_ryu.shell.metrics import DROP_REASONS
from weave_ryu.shell.tracing import Answer, Question

if TYPE_CHECKING:
    from weave_ryu.shell.daemon import Daemon

_log = structlog.get_logger()

CHANNEL = "trace"
MAX_MESSAGE_BYTES = 64 << 10
ANSWER_TIMEOUT_S = 2.0
SWITCH_TIMEOUT_S = 2.0
QUESTIONS_PER_S = 50
BURST = 250
"""Questions that a daemon answers; a trace of a broadcast asks each peer once."""

MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_IP = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3}){3}")


class TraceError(WeaveRyuError):
    """A question cannot be answered."""


class Tracer:
    """Asks other daemons, and answers them.

    Args:
        daemon: whose switch is asked.
        database: remote of the Open vSwitch database, beside which the switch's control socket is.
    """

    def __init__(self, daemon: Daemon, database: str) -> None:
        self._daemon = daemon
        self._database = database
        self._ids = itertools.count(1)
        self._waiting: dict[tuple[PeerName, int], hub.Event] = {}
        self._bucket = Bucket(QUESTIONS_PER_S, BURST)

    # Asking.

    def ask(self, questions: Sequence[tuple[PeerName, Question]]) -> list[Answer | None]:
        """Ask several peers at once; None where nobody answered in time."""
        until = time.monotonic() + ANSWER_TIMEOUT_S
        asked: list[tuple[PeerName, int] | Answer] = []
        for peer, question in questions:
            if peer == self._daemon.router.name:
                asked.append(self.answer(question))
                continue
            key = peer, next(self._ids)
            self._waiting[key] = hub.Event()
            self._send(peer, {"id": key[1], "question": question})
            asked.append(key)
        return [entry if isinstance(entry, dict) else self._wait(entry, until) for entry in asked]

    def _wait(self, key: tuple[PeerName, int], until: float) -> Answer | None:
        event = self._waiting[key]
        try:
            with hub.Timeout(max(0.0, until - time.monotonic()), False):
                found: Answer = event.wait()
                return found
            return None
        finally:
            del self._waiting[key]

    def _send(self, peer: PeerName, message: Mapping[str, Any]) -> None:
        payload = json.dumps(message).encode()
        self._daemon.router.gossip_unicast(CHANNEL, peer, payload, time.monotonic())
        self._daemon.mesh.pump()

    def received(self, source: PeerName, payload: bytes) -> None:
        """A message on the channel; what is malformed is ignored."""
        try:
            message = json.loads(payload) if len(payload) <= MAX_MESSAGE_BYTES else None
        except (ValueError, RecursionError):
            message = None
        number = message.get("id") if isinstance(message, dict) else None
        if not isinstance(message, dict) or not isinstance(number, int):
            _log.debug("trace_message_ignored", source=str(source))
            return
        if isinstance(message.get("answer"), dict):
            event = self._waiting.get((source, number))
            if event is not None and not event.ready():
                event.send(message["answer"])
        elif isinstance(message.get("question"), dict) and self._bucket.take(time.monotonic()):
            hub.spawn(self._answer_to, source, number, message["question"])

    def _answer_to(self, peer: PeerName, number: int, question: Question) -> None:
        self._send(peer, {"id": number, "answer": self.answer(question)})

    # Answering.

    def answer(self, question: Question) -> Answer:
        """Answer one question; whatever is wrong with it is said in the answer."""
        try:
            if "find" in question:
                return self._find(_text(question, "find", MAC))
            return self._walk(question)
        except (WeaveRyuError, OSError) as error:
            return {"error": str(error)[:300]}

    def _find(self, mac: str) -> Answer:
        names = {number & 0xFFFF: p.name for number, p in self._daemon.switch.ports.items()}
        for learnt in self._daemon.macs.learnt():
            if learnt.mac == mac and learnt.kind is Kind.LEARNT_PORT:
                return {"port": names.get(learnt.subject, "")}
            if learnt.mac == mac:
                return {"port": self._daemon.gateways.port_of(ShortId(learnt.subject))}
        return {"port": None}

    def _walk(self, question: Question) -> Answer:
        source, destination = (_text(question, key, MAC) for key in ("src", "dst"))
        ports = {port.name: port.number for port in self._daemon.switch.ports.values()}
        bridge = self._daemon.config.bridge
        flow = f"dl_src={source},dl_dst={destination}"
        tun_id = 0
        if "port" in question:
            name = str(question["port"])
            if name not in ports:
                known = ", ".join(sorted(ports)) or "none"
                raise TraceError(f"there is no port {name[:64]!r} (there are: {known})")
            flow += f",in_port={ports[name]}"
        else:
            came, to = (_text(question, key, _IP) for key in ("tun_src", "tun_dst"))
            tun_id = question.get("tun_id", -1)
            if not isinstance(tun_id, int) or not 0 <= tun_id < 1 << 24:
                raise TraceError("tun_id must be a number of 24 bits")
            tunnels = self._daemon.bridge_ports().tunnels
            if not tunnels:
                raise TraceError("it has no tunnel port")
            own = tunnels.get(self._daemon.config.port + 1) or next(iter(tunnels.values()))
            flow += f",in_port={own},tun_src={came},tun_dst={to},tun_id={tun_id:#x}"
        text = unixctl(self._database, "ofproto/trace", [bridge, flow])
        try:
            walk = tracetext.parse(text, bridge, tun_id)
        except tracetext.UnreadableTraceError as error:
            raise TraceError(f"the switch's trace cannot be read: {error}") from error
        return {
            "path": [_step(row, self._reasons()) for row in walk.rows],
            "copies": [self._copy(copy) for copy in walk.copies],
        }

    def _reasons(self) -> dict[int, str]:
        return {flow_cookie(flow): flow.why for flow in self._daemon.forwarder.desired}

    def _copy(self, copy: tracetext.Copy) -> dict[str, Any]:
        shape = self._daemon.bridge_ports()
        if copy.port in shape.tunnels.values():
            peers = self._daemon.view.underlays
            peer = next(
                (n for n, at in sorted(peers.items()) if at.remote_ip == copy.tun_dst), None
            )
            return {
                "tunnel": str(peer) if peer is not None else None,
                "tun_src": copy.tun_src,
                "tun_dst": copy.tun_dst,
                "tun_id": copy.tun_id,
            }
        for gateway in shape.gateways:
            if gateway.number == copy.port:
                return {"port": gateway.name, "segment": gateway.segment}
        if copy.port == tracetext.LOCAL_PORT:
            return {"port": self._daemon.config.bridge, "host": True}
        port = self._daemon.switch.ports.get(copy.port)
        return {"port": port.name if port is not None else str(copy.port)}


def _step(row: tracetext.Row, reasons: Mapping[int, str]) -> dict[str, Any]:
    table = BY_NUMBER.get(row.table)
    name = table.name if table is not None else str(row.table)
    parsed = parse(row.cookie)
    learnt = parsed is not None and parsed[0] in (Kind.LEARNT_PEER, Kind.LEARNT_PORT)
    why = reasons.get(row.cookie, "learnt" if learnt else "")
    if not row.cookie:
        why = table.miss if table is not None else ""
    elif parsed is not None and parsed[0] is Kind.PERMIT:
        why = "the gateway port is open"
    reason = DROP_REASONS.get((name, row.priority)) if row.drops else None
    return {"table": name, "why": why, "drop": reason}


def _text(question: Question, key: str, pattern: re.Pattern[str]) -> str:
    value = question.get(key)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise TraceError(f"{key} {str(value)[:64]!r} is not of the right form")
    return value


def unixctl(database: str, method: str, arguments: Sequence[str]) -> str:
    """Ask ``ovs-vswitchd`` on its control socket, as ``ovs-appctl`` does (JSON-RPC 1.0).

    Args:
        database: remote of its database, beside which the socket is.
        method: such as ``ofproto/trace``.
        arguments: of the method.

    Raises:
        TraceError: it does not answer, or not with a text.
        OpenFlowError: it says no.
    """
    path = _control_socket(database)
    request = {"id": 0, "method": method, "params": list(arguments)}
    received = b""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(SWITCH_TIMEOUT_S)
            connection.connect(path)
            connection.sendall(json.dumps(request).encode())
            while chunk := connection.recv(1 << 16):
                received += chunk
                try:
                    reply = json.loads(received)
                except ValueError:
                    continue
                if reply.get("error"):
                    raise OpenFlowError(method, str(reply["error"]).strip().splitlines()[0])
                return str(reply["result"])
    except OSError as error:
        raise TraceError(f"ovs-vswitchd does not answer on {path}: {error}") from error
    raise TraceError(f"ovs-vswitchd ended the conversation on {path}")


def _control_socket(database: str) -> str:
    kind, _, path = database.partition(":")
    if kind != "unix":
        raise TraceError(f"a trace needs the switch's own host; the database is {database}")
    directory = Path(path).parent
    plain = directory / "ovs-vswitchd.ctl"
    if plain.exists():
        return str(plain)
    try:
        pid = int((directory / "ovs-vswitchd.pid").read_text())
    except (OSError, ValueError) as error:
        raise TraceError(f"no ovs-vswitchd runs in {directory}") from error
    return str(directory / f"ovs-vswitchd.{pid}.ctl")
