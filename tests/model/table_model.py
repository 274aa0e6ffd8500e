"""A switch in 200 lines: runs `FlowSpec`s on frames, learns, says by which ports a frame leaves.

It knows this project's actions only, and reads nothing but the `FlowSpec`s, so what it proves is
proved of the flows themselves. `test_trace.py` runs the same cases through Open vSwitch's own
`ofproto/trace`, so the model is checked, too.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from weave_ryu.pipeline.model import (
    Action,
    ClearInPort,
    Field,
    FlowSpec,
    Goto,
    Learn,
    Load,
    Mark,
    MoveTunnelIds,
    Output,
    OutputMark,
    Resubmit,
    SetTunnel,
    Term,
    ToController,
)


@dataclass(frozen=True, slots=True)
class Frame:
    """An Ethernet frame, with the outer header if it came from the tunnel."""

    in_port: int
    src: str
    dst: str
    tun_src: str = "0.0.0.0"
    tun_id: int = 0
    inside: tuple[Term, ...] = ()
    """Fields of what it carries; by default nothing that any flow asks for."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One copy that left. Tunnel fields are empty for other ports."""

    port: int
    tun_dst: str = ""
    tun_src: str = ""
    tun_id: int = 0


CONTROLLER = -1


@dataclass
class _Walk:
    """The mutable state of one frame's way through the tables."""

    in_port: int
    frame: Frame
    registers: dict[int, int] = field(default_factory=dict)
    tunnel: tuple[str, str, int] | None = None
    sent: list[Sent] = field(default_factory=list)
    visited: list[str] = field(default_factory=list)
    steps: int = 0

    def read(self, mark: Mark) -> int:
        return self.registers.get(mark.register, 0) >> mark.first_bit & (1 << mark.bits) - 1

    def load(self, mark: Mark, value: int) -> None:
        old = self.registers.get(mark.register, 0)
        self.registers[mark.register] = old & ~mark.mask | value << mark.first_bit

    def field(self, what: Field) -> int | str:
        match what:
            case Field.IN_PORT:
                return self.in_port
            case Field.ETH_SRC:
                return self.frame.src
            case Field.ETH_DST:
                return self.frame.dst
            case Field.TUN_SRC:
                return self.frame.tun_src
            case Field.TUN_ID:
                return self.frame.tun_id
        return next((term.value for term in self.frame.inside if term.what is what), -1)


class TableModel:
    """Flows and what they do."""

    def __init__(self, flows: list[FlowSpec], tunnel_ports: tuple[int, ...]) -> None:
        self.flows = list(flows)
        self.learnt: dict[tuple[str, str, int], tuple[tuple[Load, ...], int]] = {}
        """(table, MAC, priority) → (loads, cookie)."""
        self.tunnel_ports = tunnel_ports

    def replace(self, flows: list[FlowSpec]) -> None:
        """Other flows; what was learnt stays, as in a switch."""
        self.flows = list(flows)

    def forget(self, cookie: int) -> None:
        """Delete learnt flows by cookie."""
        self.learnt = {k: v for k, v in self.learnt.items() if v[1] != cookie}

    def send(self, frame: Frame) -> list[Sent]:
        """What leaves the switch, in order."""
        return self.walk(frame).sent

    def walk(self, frame: Frame) -> _Walk:
        walk = _Walk(frame.in_port, frame)
        self._lookup("classify", walk)
        return walk

    def walk_actions(self, frame: Frame, actions: tuple[Action, ...]) -> _Walk:
        """A frame that the daemon hands over with the actions to do (packet-out)."""
        walk = _Walk(frame.in_port, frame)
        for action in actions:
            self._do(action, walk)
        return walk

    def _lookup(self, table: str, walk: _Walk) -> None:
        walk.steps += 1
        assert walk.steps < 4096, "resubmit limit of Open vSwitch"
        walk.visited.append(table)
        actions = self._best(table, walk)
        for action in actions:
            self._do(action, walk)

    def _best(self, table: str, walk: _Walk) -> tuple[Action, ...]:
        found: list[tuple[int, tuple[Action, ...]]] = [
            (flow.priority, flow.actions)
            for flow in self.flows
            if flow.table == table and all(_holds(term, walk) for term in flow.match)
        ]
        for (learnt_table, mac, priority), (loads, _) in self.learnt.items():
            looked_at = walk.frame.dst if learnt_table == "mac" else walk.frame.src
            if learnt_table == table and mac == looked_at:
                found.append((priority, loads))
        if not found:
            return ()
        best = max(priority for priority, _ in found)
        candidates = [actions for priority, actions in found if priority == best]
        assert len(set(candidates)) == 1, f"{table}: ambiguous at priority {best}"
        return candidates[0]

    def _do(self, action: Action, walk: _Walk) -> None:
        match action:
            case Output(port):
                self._output(port, walk)
            case OutputMark(mark):
                self._output(walk.read(mark), walk)
            case ToController():
                walk.sent.append(Sent(CONTROLLER))
            case Load(mark, value):
                walk.load(mark, value)
            case ClearInPort():
                walk.in_port = 0
            case MoveTunnelIds(source, destination):
                walk.load(source, walk.frame.tun_id & 0xFFF)
                walk.load(destination, walk.frame.tun_id >> 12 & 0xFFF)
            case SetTunnel(remote_ip, local_ip, tun_id):
                kept = walk.frame.tun_id if tun_id is None else tun_id
                walk.tunnel = (remote_ip, local_ip, kept)
            case Resubmit(table) | Goto(table):
                self._lookup(table, walk)
            case Learn():
                key = (action.table, walk.frame.src, action.priority)
                loads = tuple(Load(load.mark, load.value) for load in action.loads)
                self.learnt[key] = (loads, action.cookie)

    def _output(self, port: int, walk: _Walk) -> None:
        if port == walk.in_port:
            return
        if port in self.tunnel_ports:
            assert walk.tunnel is not None, "output to the tunnel without an address"
            remote, local, tun_id = walk.tunnel
            walk.sent.append(Sent(port, remote, local, tun_id))
        else:
            walk.sent.append(Sent(port))


def _holds(term: Term, walk: _Walk) -> bool:
    if isinstance(term.what, Mark):
        return walk.read(term.what) == term.value
    actual = walk.field(term.what)
    if term.mask is None:
        return actual == term.value
    return _number(actual) & _number(term.mask) == _number(term.value) & _number(term.mask)


def _number(value: int | str) -> int:
    return value if isinstance(value, int) else int(value.replace(":", ""), 16)
