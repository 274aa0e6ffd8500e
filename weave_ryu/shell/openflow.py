"""The connection to the local switch: send, wait for the answer, atomic bundles.

Every change is confirmed: a bundle by the reply to its commit, everything else by a barrier. An
error message of the switch reaches the caller whose message caused it, by transaction id.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ryu.lib import hub as ryu_hub  # noqa: F401  (ryu picks its hub when first imported)
from ryu.ofproto import ofproto_v1_3, ofproto_v1_3_parser

from weave_ryu.errors import OpenFlowError
from weave_ryu.gateway.probe import is_probe
from weave_ryu.pipeline import cookies, diff
from weave_ryu.pipeline.model import Field, FlowSpec, Term
from weave_ryu.pipeline.tables import HELD, MAC, METER_RATES, MOVED, ORIGIN, ORIGINS, SIGHTED
from weave_ryu.shell import encode, flowstats, hub
from weave_ryu.shell.flowstats import FlowStats

_OFP = ofproto_v1_3
_PARSER = ofproto_v1_3_parser

ANSWER_TIMEOUT_S = 3.0
"""How long the switch may take to answer, and from part to part; it runs on the same host."""

flowstats.postpone()

AT_ONCE = 32
"""Messages that leave in one write; between two of those others run."""

MAX_BATCHES = 64
"""Sets of flows that are kept encoded; a gateway port has a few, by how far it is open."""


@dataclass(frozen=True, slots=True)
class Port:
    """A port of the bridge. `up` is the link's state, `number` OpenFlow's."""

    number: int
    name: str
    up: bool


@dataclass(frozen=True, slots=True)
class TunnelFrame:
    """A frame that came from the tunnel to the controller."""

    tun_id: int
    from_ip: str
    frame: bytes


@dataclass(frozen=True, slots=True)
class HandOverFrame:
    """A broadcast that the switch shows the daemon while a gateway port is handed over.

    Args:
        port: number of the gateway port.
        from_segment: it came in by that port.
        is_copy: the other gateway has passed it already.
        frame: all of it.
    """

    port: int
    from_segment: bool
    is_copy: bool
    frame: bytes


@dataclass(frozen=True, slots=True)
class MovedFrame:
    """A frame of a MAC that is known elsewhere.

    Args:
        port: number of the port that it came in by.
        origin: value of the mark `ORIGIN`: where the MAC is known.
        frame: all of it.
    """

    port: int
    origin: int
    frame: bytes


@dataclass(frozen=True, slots=True)
class ProbeFrame:
    """A gateway's probe.

    Args:
        port: number of the port that it came in by.
        tunnel: the tunnel id and the sender's address, if that is the tunnel.
        frame: all of it.
    """

    port: int
    tunnel: tuple[int, str] | None
    frame: bytes


class _Waiter:
    """Collects the answers to one request."""

    def __init__(self) -> None:
        self.parts: list[Any] = []
        self._event = hub.Event()

    def finish(self) -> None:
        if not self._event.ready():
            self._event.send(None)

    def fail(self, error: OpenFlowError) -> None:
        if not self._event.ready():
            self._event.send_exception(error)

    def wait(self, operation: str) -> list[Any]:
        seen = -1
        while len(self.parts) > seen:
            seen = len(self.parts)
            with hub.Timeout(ANSWER_TIMEOUT_S, False):
                self._event.wait()
                return self.parts
        raise OpenFlowError(operation, f"the switch did not answer within {ANSWER_TIMEOUT_S} s")


class Switch:
    """The local bridge as the daemon uses it.

    Args:
        on_ports_changed: called when a port appeared, vanished, or changed its link state.
        on_tunnel_frame: called with each heartbeat.
        on_hello: called with the port's number and each hello of another gateway.
        on_hand_over_frame: called with each broadcast during a hand-over.
        on_moved_frame: called with frames of MACs that are known elsewhere.
        on_probe: called with each probe of a gateway.
    """

    def __init__(
        self,
        on_ports_changed: Callable[[], None],
        on_tunnel_frame: Callable[[TunnelFrame], None],
        on_hello: Callable[[int, bytes], None],
        on_hand_over_frame: Callable[[HandOverFrame], None],
        on_moved_frame: Callable[[MovedFrame], None],
        on_probe: Callable[[ProbeFrame], None],
    ) -> None:
        self._on_ports_changed = on_ports_changed
        self._on_tunnel_frame = on_tunnel_frame
        self._on_hello = on_hello
        self._on_hand_over_frame = on_hand_over_frame
        self._on_moved_frame = on_moved_frame
        self._on_probe = on_probe
        self._datapath: Any = None
        self._waiters: dict[int, _Waiter] = {}
        self._bundle_ids = itertools.count(1)
        self._batches: dict[int, encode.Batch] = {}
        self.ports: dict[int, Port] = {}
        self._told_while_reading: dict[int, Port | None] = {}

    @property
    def is_connected(self) -> bool:
        """True while the switch holds a connection to us."""
        return self._datapath is not None

    # What ryu tells us (`app.py`).

    def connected(self, datapath: Any) -> None:  # noqa: ANN401
        """A connection is up; all earlier ones are gone."""
        self._abandon("the switch connected anew")
        self._datapath = datapath

    def disconnected(self, datapath: Any) -> bool:  # noqa: ANN401
        """A connection was lost; True if it was the current one."""
        if datapath is not self._datapath:
            return False
        self._datapath = None
        self.ports = {}
        self._abandon("the connection to the switch was lost")
        return True

    def answered(self, message: Any, last: bool) -> None:  # noqa: ANN401
        """A reply came in; `last` says that no further part follows."""
        waiter = self._waiters.get(message.xid)
        if waiter is None:
            return
        waiter.parts.append(message)
        if last:
            waiter.finish()

    def refused(self, xid: int, type_: int, code: int) -> None:
        """An error message came in."""
        waiter = self._waiters.get(xid)
        if waiter is not None:
            waiter.fail(OpenFlowError("request", f"error type {type_} code {code} (xid {xid})"))

    def port_changed(self, port: Any, gone: bool) -> None:  # noqa: ANN401
        """A port-status message came in."""
        self._told_while_reading[port.port_no] = None if gone else _port(port)
        self._apply(self._told_while_reading)
        self._on_ports_changed()

    def packet_in(self, message: Any) -> None:  # noqa: ANN401
        """A packet-in message came in: a heartbeat, hello, probe, or what a table shows us."""
        match = message.match
        if message.table_id == MOVED.number:
            origin = match.get(f"reg{ORIGIN.register}", 0)
            self._on_moved_frame(MovedFrame(match["in_port"], origin, message.data))
            return
        if message.table_id in (HELD.number, SIGHTED.number):
            _, port = cookies.parse(message.cookie) or (None, 0)
            from_segment, is_copy = match.get("in_port") == port, message.table_id == SIGHTED.number
            self._on_hand_over_frame(HandOverFrame(port, from_segment, is_copy, message.data))
            return
        tun_id, source = match.get("tunnel_id"), match.get("tun_ipv4_src")
        is_tunnel = tun_id is not None and source is not None
        if is_probe(message.data):
            tunnel = (tun_id, source) if is_tunnel else None
            self._on_probe(ProbeFrame(match["in_port"], tunnel, message.data))
        elif is_tunnel:
            self._on_tunnel_frame(TunnelFrame(tun_id, source, message.data))
        elif tun_id is None:
            self._on_hello(match["in_port"], message.data)

    # What the daemon asks for.

    def read_ports(self) -> None:
        """Learn all ports.

        Raises:
            OpenFlowError: no connection, or no answer.
        """
        request = _PARSER.OFPPortDescStatsRequest(self._require(), 0)
        self._told_while_reading = {}
        replies = self._ask([request], "port description")
        self.ports = {p.port_no: _port(p) for reply in replies for p in reply.body}
        # A port-status message that came after the reply may have been handled before it.
        self._apply(self._told_while_reading)

    def _apply(self, told: Mapping[int, Port | None]) -> None:
        for number, port in told.items():
            if port is None:
                self.ports.pop(number, None)
            else:
                self.ports[number] = port

    def set_meters(self) -> None:
        """Make or adjust the meters in front of the controller."""
        datapath = self._require()
        for meter, rate in METER_RATES.items():
            bands = [_PARSER.OFPMeterBandDrop(rate=rate, burst_size=rate)]
            for command in (_OFP.OFPMC_ADD, _OFP.OFPMC_MODIFY):
                message = _PARSER.OFPMeterMod(
                    datapath,
                    command=command,
                    flags=_OFP.OFPMF_PKTPS | _OFP.OFPMF_BURST,
                    meter_id=meter,
                    bands=bands,
                )
                try:
                    self._confirm([message], f"meter {meter}")
                    break
                except OpenFlowError:
                    if command == _OFP.OFPMC_MODIFY:
                        raise

    def read_flows(self) -> list[tuple[diff.InstalledFlow, int]]:
        """All flows of this program in the switch, learnt ones left out, with their digests."""
        flows = []
        for kind in cookies.Kind:
            if kind not in cookies.UNMANAGED:
                for entry in self.dump(cookies.subject_cookie(kind, 0), cookies.KIND_MASK):
                    key = diff.InstalledFlow(entry.table_id, entry.priority, entry.cookie)
                    flows.append((key, entry.digest))
        return flows

    def has_meters(self) -> bool:
        """Whether all meters are as `set_meters` has made them."""
        request = _PARSER.OFPMeterConfigStatsRequest(self._require(), 0, _OFP.OFPM_ALL)
        replies = self._ask([request], "meters")
        found = {m.meter_id: [b.rate for b in m.bands] for reply in replies for m in reply.body}
        return all(found.get(meter) == [rate] for meter, rate in METER_RATES.items())

    def dump(
        self, cookie: int, mask: int, table: int = ofproto_v1_3.OFPTT_ALL
    ) -> Iterator[FlowStats]:
        """All flows whose cookie agrees in the mask; others run while they are read.

        Raises:
            OpenFlowError: no connection, or no whole answer.
        """
        request = _PARSER.OFPFlowStatsRequest(
            self._require(), 0, table, _OFP.OFPP_ANY, _OFP.OFPG_ANY, cookie, mask
        )
        for reply in self._ask([request], "flow dump"):
            for part in reply.body:
                yield from flowstats.read(part.data)
            hub.sleep(0)

    def commit(self, plan: diff.BundlePlan, forget: Iterable[tuple[int, int]] = ()) -> None:
        """Apply a change atomically; returns when the switch has confirmed it.

        Args:
            plan: flows to add and to delete.
            forget: before all else, delete flows whose cookie agrees with one of these
                (cookie, mask) pairs.

        Raises:
            OpenFlowError: nothing of the change was applied, or it is unknown what was.
        """
        selectors = list(forget)
        if not plan and not selectors:
            return
        datapath = self._require()
        bundle, flags = next(self._bundle_ids), _OFP.ONF_BF_ATOMIC | _OFP.ONF_BF_ORDERED
        count = len(selectors) + len(plan.add) + len(plan.delete)
        mods = itertools.chain(
            (encode.cookie_delete(datapath, cookie, mask) for cookie, mask in selectors),
            (encode.flow_add(datapath, flow) for flow in plan.add),
            (encode.flow_delete(datapath, flow) for flow in plan.delete),
        )

        def control(kind: int) -> Any:  # noqa: ANN401
            return _PARSER.ONFBundleCtrlMsg(datapath, bundle, kind, flags, [])

        messages = itertools.chain(
            [control(_OFP.ONF_BCT_OPEN_REQUEST)],
            (_PARSER.ONFBundleAddMsg(datapath, bundle, flags, mod, []) for mod in mods),
            [control(_OFP.ONF_BCT_COMMIT_REQUEST)],
        )
        self._ask(messages, f"bundle of {count} flow changes")

    def install(self, flows: tuple[FlowSpec, ...]) -> None:
        """Add flows; returns when the switch has confirmed them.

        Args:
            flows: encoded once, as long as it is the same tuple.
        """
        datapath = self._require()
        batch = self._batches.get(id(flows))
        if batch is None:
            if len(self._batches) >= MAX_BATCHES:
                self._batches.clear()
            batch = self._batches[id(flows)] = encode.Batch(datapath, flows)
        waiter, xid = _Waiter(), datapath.set_xid(_PARSER.OFPBarrierRequest(datapath))
        self._waiters[xid] = waiter
        try:
            datapath.send(batch.with_xid(xid))
            waiter.wait("flow change")
        except OpenFlowError as error:
            raise OpenFlowError("flow change", error.detail) from error
        finally:
            self._waiters.pop(xid, None)

    def delete(self, selectors: Sequence[tuple[int, int]]) -> None:
        """Delete all flows whose cookie agrees with one of the (cookie, mask) pairs; confirmed."""
        datapath = self._require()
        mods = [encode.cookie_delete(datapath, cookie, mask) for cookie, mask in selectors]
        self._confirm(mods, "flow deletion")

    def forget_mac(self, mac: str, priority: int, selected: Sequence[int] | None = None) -> None:
        """Delete what is learnt of a MAC with that priority; confirmed.

        Args:
            mac: 12 hex digits.
            priority: of the learnt flows.
            selected: cookies of those that go; None: all of this program.
        """
        datapath = self._require()
        pairs = [(cookies.OWNER << 56, cookies.OWNER_MASK)]
        if selected is not None:
            pairs = [(cookie, cookies.EXACT) for cookie in selected]
        fields = {MAC.number: Field.ETH_DST, ORIGINS.number: Field.ETH_SRC}
        self._confirm(
            (
                encode.cookie_delete(
                    datapath, *pair, table, (priority, (Term(field, _colons(mac)),))
                )
                for pair in pairs
                for table, field in fields.items()
            ),
            "deletion of a MAC",
        )

    def send_frame(
        self,
        frame: bytes,
        actions: list[Any],
        in_port: int = ofproto_v1_3.OFPP_CONTROLLER,
    ) -> None:
        """Hand a frame to the switch; not confirmed, lost if there is no connection."""
        if self._datapath is not None:
            self._datapath.send_msg(
                _PARSER.OFPPacketOut(
                    self._datapath,
                    buffer_id=_OFP.OFP_NO_BUFFER,
                    in_port=in_port,
                    actions=actions,
                    data=frame,
                )
            )

    def _require(self) -> Any:  # noqa: ANN401
        if self._datapath is None:
            raise OpenFlowError("request", "the switch is not connected")
        return self._datapath

    def _confirm(self, messages: Iterable[Any], operation: str) -> None:
        barrier = _PARSER.OFPBarrierRequest(self._require())
        self._ask(itertools.chain(messages, [barrier]), operation)

    def _ask(self, messages: Iterable[Any], operation: str) -> list[Any]:
        """Send messages, of which the last is answered; an error to any of them counts."""
        datapath, waiter = self._require(), _Waiter()
        xids = []
        left = iter(messages)
        try:
            while some := list(itertools.islice(left, AT_ONCE)):
                for message in some:
                    datapath.set_xid(message)
                    xids.append(message.xid)
                    self._waiters[message.xid] = waiter
                    message.serialize()
                # One turn of the connection's writer, and one system call.
                datapath.send(b"".join(message.buf for message in some))
                if len(some) == AT_ONCE:
                    hub.sleep(0)  # thousands take a second, and leases must not wait for them
            return waiter.wait(operation)
        except OpenFlowError as error:
            raise OpenFlowError(operation, error.detail) from error
        finally:
            for xid in xids:
                self._waiters.pop(xid, None)

    def _abandon(self, reason: str) -> None:
        for waiter in set(self._waiters.values()):
            waiter.fail(OpenFlowError("request", reason))


def _colons(mac: str) -> str:
    return ":".join(mac[at : at + 2] for at in range(0, 12, 2))


def _port(port: Any) -> Port:  # noqa: ANN401
    name = port.name.rstrip(b"\0").decode(errors="replace")
    return Port(port.port_no, name, not port.state & _OFP.OFPPS_LINK_DOWN)
