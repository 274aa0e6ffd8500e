"""``GET /metrics``: the daemon's state and counters for Prometheus.

Names follow https://prometheus.io/docs/practices/naming/. Most values are read from the daemon when
somebody asks; only what happens between two questions is counted as it happens (`Counting`).
"""

from __future__ import annotations

import platform
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, TypeVar

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector
from prometheus_client import Counter as CounterMetric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from weave_ryu import __version__
from weave_ryu.errors import OpenFlowError
from weave_ryu.gateway import joint
from weave_ryu.gateway.detection import Bfd
from weave_ryu.gateway.port import PortMachine
from weave_ryu.gateway.role import Role, State
from weave_ryu.gateway.states import Entry, Input
from weave_ryu.pipeline.cookies import KIND_MASK, Kind, parse, subject_cookie
from weave_ryu.pipeline.tables import BY_NUMBER
from weave_ryu.shell.standing import Lost

if TYPE_CHECKING:
    from weave_ryu.shell.daemon import Daemon
    from weave_ryu.shell.flowstats import FlowStats

DROP_REASONS = {
    ("classify", 300): "link_local",
    ("classify", 290): "group_source",
    ("classify", 280): "hello",
    ("classify", 240): "zero_source",
    ("classify", 0): "unknown_port",
    ("tunnel_in", 180): "heartbeat_for_another_peer",
    ("tunnel_in", 0): "unknown_sender_address",
    ("tunnel_source", 300): "own_frame_returned",
    ("tunnel_source", 0): "unknown_source_peer",
    ("relay", 400): "returned_to_segment",
    ("relay", 200): "sender_is_next_hop",
    ("relay", 0): "no_route",
    ("gate_in", 100): "not_active_in",
    ("gate_in", 0): "not_a_gateway_port",
    ("segment_source", 50): "mesh_frame_returned",
    ("segment_source", 0): "returned_by_gateway",
    ("unicast", 400): "returned_to_segment",
    ("unicast", 0): "no_route_to_mac",
    ("deliver", 0): "port_gone",
    ("gate_flood", 100): "flood_by_other_gateway",
    ("flood", 210): "not_along_the_segments_tree",
    ("gate_out", 100): "not_active_out",
    ("gate_out", 0): "not_a_gateway_port",
}
"""Table and priority of every flow that drops → label `reason`."""

SHOWN = {("segment_source", 50)}
"""Of these those that drop, but show the daemon some of the frames."""

PERMIT_DIRECTIONS = {"gate_in": "in", "gate_out": "out"}
"""Tables whose permits count what a gateway port forwards; `in` is from the segment."""

_READ = (Kind.FRAME, Kind.GATEWAY, Kind.SPLIT_HORIZON, Kind.PEER, Kind.PERMIT)
"""Kinds of flows whose counters are read: all but what grows with the number of MACs."""

FAILOVER_BUCKETS_S = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
LATENESS_BUCKETS_S = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1.0)

METHODS = ("GET", "PUT", "POST")
"""Others share one label: a client must not be able to make new time series."""

_PORT = ("port", "segment")


class Counting:
    """What is counted as it happens. Implements `gatewayd.Observer`.

    Args:
        daemon: whose gateways are watched.
        registry: where the counters are shown.
    """

    def __init__(self, daemon: Daemon, registry: CollectorRegistry) -> None:
        self._daemon = daemon
        self._sent: dict[str, float] = {}
        self.transitions = CounterMetric(
            "weave_ryu_gateway_transitions",
            "Changes of a gateway port's state, by the state entered.",
            (*_PORT, "to"),
            registry=registry,
        )
        self.failovers = Histogram(
            "weave_ryu_gateway_failover_seconds",
            "Time until this gateway had taken the role over: since the last sign of life of the "
            "failed one (kind takeover), or since the hand-over began (kind handover).",
            (*_PORT, "kind"),
            buckets=FAILOVER_BUCKETS_S,
            registry=registry,
        )
        self.lateness = Histogram(
            "weave_ryu_permit_renewal_lateness_seconds",
            "How late permits were renewed; at the life of a permit the port closes itself.",
            _PORT,
            buckets=LATENESS_BUCKETS_S,
            registry=registry,
        )
        self.requests = CounterMetric(
            "weave_ryu_http_requests",
            "Requests to the HTTP API.",
            ("method", "status"),
            registry=registry,
        )

    def entered(self, port: str, segment: str, entry: Entry) -> None:
        """A gateway port has changed its state."""
        self.transitions.labels(port, segment, str(entry.state)).inc()
        if entry.state is not State.ACTIVE:
            self._sent.pop(port, None)
            return
        found = self._failover(self._daemon.gateways.core.ports[port], entry)
        if found is not None:
            kind, seconds = found
            self.failovers.labels(port, segment, kind).observe(seconds)

    def renewed(self, port: str, sent_at: float) -> None:
        """A permit that was sent at this time has been confirmed."""
        core = self._daemon.gateways.core
        before, self._sent[port] = self._sent.get(port), sent_at
        if before is not None:
            late_s = sent_at - before - core.timers.renew_s
            segment = core.ports[port].spec.segment
            self.lateness.labels(port, segment).observe(max(0.0, late_s))

    def answered(self, method: str, status: int) -> None:
        """The API has answered a request."""
        self.requests.labels(method if method in METHODS else "other", str(status)).inc()

    def _failover(self, port: PortMachine, entry: Entry) -> tuple[str, float] | None:
        before = port.history[-2] if len(port.history) > 1 else None
        if before is not None and before.happened is Input.INVITED:
            return "handover", entry.at - before.at
        core = self._daemon.gateways.core
        ages = [
            core.peer_view(other.name, entry.at).lease_age_s
            for other in core.others(port.spec.segment, entry.at)
            if other.record.is_active and other.judgement.vacant_in_s is not None
        ]
        return ("takeover", min(ages)) if ages else None


class StateCollector(Collector):
    """Reads the daemon's state for one answer."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    def collect(self) -> Iterator[Metric]:
        """All families, some of them empty."""
        yield from self._process()
        yield from self._mesh()
        yield from self._gateways()
        yield from self._segments()
        yield from self._flows()

    def _process(self) -> Iterator[Metric]:
        daemon = self._daemon
        build = _gauge(
            "build_info", "What runs here; always 1.", ("version", "python", "datapath", "peer")
        )
        version, name = platform.python_version(), str(daemon.router.name)
        build.add_metric((__version__, version, daemon.datapath, name), 1)
        yield build
        connected = daemon.switch.is_connected
        yield _gauge("switch_connected", "1 if the switch is connected.", value=connected)
        in_sync = connected and daemon.forwarder.is_in_sync
        yield _gauge("flows_in_sync", "1 if the switch holds the wanted flows.", value=in_sync)
        yield _gauge("flows_wanted", "Flows that should be there.", value=_wanted(daemon))

    def _mesh(self) -> Iterator[Metric]:
        router = self._daemon.router
        yield _gauge(
            "mesh_peers", "Peers in the mesh, this one among them.", value=len(list(router.peers))
        )
        links = router.connections()
        up = sum(1 for link in links if link.established)
        found = _gauge("mesh_connections", "Connections of this peer by state.", ("state",))
        found.add_metric(("established",), up)
        found.add_metric(("pending",), len(links) - up)
        yield found
        found = _gauge(
            "mesh_connection_established",
            "1 if frames pass directly between this peer and a neighbour, 0 if they do not "
            "although the two are connected: both sides must hear each other's heartbeats.",
            ("peer", "nick_name"),
        )
        for link in links:
            if link.name is not None:
                found.add_metric((str(link.name), link.nick_name or ""), link.established)
        yield found
        found = _gauge("mesh_targets", "Addresses that are dialled, by state.", ("state",))
        for state, number in sorted(Counter(t.state for t in router.targets()).items()):
            found.add_metric((state,), number)
        yield found
        yield _counter(
            "mesh_failed_connections",
            "Connections that ended without having been established, by reason: port scans, "
            "health checks, refused peers.",
            ("reason",),
            {(code,): number for code, number in router.failed_connections().items()},
        )

    def _gateways(self) -> Iterator[Metric]:
        core = self._daemon.gateways.core
        now, wall = time.monotonic(), time.time()
        state = _gauge("gateway_state", "1 for the state that a port is in.", (*_PORT, "state"))
        role = _gauge("gateway_role", "1 for the role that was asked for.", (*_PORT, "role"))
        flags = {
            "gateway_forwarding": _gauge("gateway_forwarding", "1 if the port is active.", _PORT),
            "gateway_ready": _gauge(
                "gateway_ready",
                "1 if nothing keeps the port from forwarding: switch, link, role, drain.",
                _PORT,
            ),
            "gateway_drained": _gauge("gateway_drained", "1 if it was drained.", _PORT),
            "gateway_damped": _gauge(
                "gateway_damped", "1 if it comes last in elections, after many faults.", _PORT
            ),
        }
        epoch = _gauge("gateway_epoch", "Epoch in which the port was last active.", _PORT)
        since = _gauge(
            "gateway_last_transition_timestamp_seconds", "When the state was entered.", _PORT
        )
        macs = _gauge(
            "gateway_macs",
            "MACs that a gateway knows, on the side of the mesh and of the segment.",
            (*_PORT, "side"),
        )
        for port in core.ports.values():
            labels = (port.spec.port, port.spec.segment)
            for each in State:
                state.add_metric((*labels, str(each)), each is port.state)
            for asked in Role:
                role.add_metric((*labels, str(asked)), asked is port.intent.role)
            flags["gateway_forwarding"].add_metric(labels, port.state is State.ACTIVE)
            flags["gateway_ready"].add_metric(labels, not port.obstacles())
            flags["gateway_drained"].add_metric(labels, port.intent.drained)
            flags["gateway_damped"].add_metric(labels, port.is_damped(now))
            epoch.add_metric(labels, port.epoch)
            since.add_metric(labels, wall - (now - port.history[-1].at))
            macs.add_metric((*labels, "mesh"), len(core.mesh_macs(port.spec.port)))
            macs.add_metric((*labels, "segment"), len(core.hosts(port.spec.port)))
        yield from (state, role, *flags.values(), epoch, since, macs)
        moving = self._daemon.moving
        double = Counter(conflict.segment for conflict in moving.conflicts())
        found = {
            (segment,): double[segment] for segment in {p.spec.segment for p in core.ports.values()}
        }
        conflicts = _gauge(
            "mac_conflicts", "MACs of the mesh that speak on a segment, too.", ("segment",)
        )
        for of, count in sorted(found.items()):
            conflicts.add_metric(of, count)
        yield conflicts
        moves = {("segment",): moving.to_segment, ("peer",): moving.to_peer}
        yield _counter("mac_moves", "MACs that came to a segment, or to this peer.", ("to",), moves)
        yield from self._wiring()
        yield from self._fences()
        timers = core.timers
        if core.ports:
            yield _gauge("permit_life_seconds", "Life of a permit.", value=timers.permit_s)
            yield _gauge("permit_renewal_seconds", "Time between renewals.", value=timers.renew_s)

    def _wiring(self) -> Iterator[Metric]:
        found = Counter((j.segment, str(j.place.kind)) for j in self._daemon.wires.joints())
        segments = {port.spec.segment for port in self._daemon.gateways.core.ports.values()}
        series = {
            (segment, str(kind)) for segment in segments for kind in joint.Kind
        } | found.keys()
        loops = _gauge(
            "wiring_loops",
            "Ways by which a gateway's frames come back from its segment that nobody configured.",
            ("segment", "by"),
        )
        for labels in sorted(series):
            loops.add_metric(labels, found[labels])
        yield loops

    def _fences(self) -> Iterator[Metric]:
        fences = self._daemon.gateways.fences
        ports = self._daemon.gateways.core.ports.values() if fences is not None else ()
        found = {(p.spec.port, p.spec.segment): fences.of(p.spec.port) for p in ports if fences}
        is_open = _gauge("gateway_fence_open", "1 if the fence of a port passes frames.", _PORT)
        for labels, fence in found.items():
            is_open.add_metric(labels, fence.is_open)
        yield is_open
        renewals = {labels: fence.counts.renewals for labels, fence in found.items()}
        yield _counter("gateway_fence_renewals", "Renewals of a port's fence.", _PORT, renewals)
        mended = {labels: fence.counts.mended for labels, fence in found.items()}
        text = "Times that a port's fence was made anew, as somebody had removed or changed it."
        yield _counter("gateway_fence_mended", text, _PORT, mended)

    def _segments(self) -> Iterator[Metric]:
        core, now = self._daemon.gateways.core, time.monotonic()
        seen = _gauge(
            "segment_gateways",
            "Gateways of a segment by what is believed of them: `state`, or how they were lost.",
            ("segment", "state"),
        )
        epoch = _gauge("segment_epoch", "Highest epoch heard of.", ("segment",))
        ready = _gauge("segment_standbys_ready", "Gateways that could take over now.", ("segment",))
        self._daemon.standings.note()
        for name in self._daemon.standings.segments():
            gateways = [one for _, one in self._daemon.standings.of(name)]
            states = Counter(one.believed for one in gateways)
            for each in (*State, *Lost):
                seen.add_metric((name, str(each)), states[str(each)])
            epoch.add_metric((name,), core.epoch(name))
            ready.add_metric((name,), sum(1 for one in gateways if one.could))
        yield from (seen, epoch, ready)
        bfd = _gauge(
            "gateway_peer_bfd_up",
            "1 if the BFD session to another gateway's switch is up, 0 if it is down.",
            ("peer", "nick_name"),
        )
        lease = _gauge(
            "gateway_peer_lease_age_seconds",
            "Time since another gateway's daemon was last heard.",
            ("peer", "nick_name"),
        )
        for peer in core.companions():
            view, info = core.peer_view(peer, now), self._daemon.view.infos.get(peer)
            labels = (str(peer), info.nick_name if info else "")
            if view.bfd is not Bfd.NONE:
                bfd.add_metric(labels, view.bfd is Bfd.UP)
            if view.lease_age_s != float("inf"):
                lease.add_metric(labels, round(view.lease_age_s, 3))
        yield from (bfd, lease)

    def _flows(self) -> Iterator[Metric]:
        drops: Counter[tuple[str, str]] = Counter()
        passed: Counter[tuple[str, str, str]] = Counter()
        octets: Counter[tuple[str, str, str]] = Counter()
        names = {n & 0xFFFF: p.name for n, p in self._daemon.switch.ports.items()}
        segments = {p.spec.port: p.spec.segment for p in self._daemon.gateways.core.ports.values()}
        for kind, subject, entry in self._entries():
            table = BY_NUMBER[entry.table_id].name
            port = names.get(subject, "") if kind in _ABOUT_PORTS else ""
            if kind is Kind.PERMIT:
                if table in PERMIT_DIRECTIONS and port in segments:
                    key = (port, segments[port], PERMIT_DIRECTIONS[table])
                    passed[key] += entry.packet_count
                    octets[key] += entry.byte_count
            elif (place := (table, entry.priority)) in DROP_REASONS and (
                not entry.has_instructions or place in SHOWN
            ):
                drops[DROP_REASONS[place], port] += entry.packet_count
        yield _counter(
            "dropped_packets",
            "Frames that the switch has dropped; `port` where the reason concerns one.",
            ("reason", "port"),
            drops,
        )
        text = "that passed a gateway port, `in` from the segment; since it was opened."
        labels = (*_PORT, "direction")
        yield _counter("gateway_packets", f"Frames {text}", labels, passed)
        yield _counter("gateway_bytes", f"Bytes {text}", labels, octets)

    def _entries(self) -> Iterator[tuple[Kind, int, FlowStats]]:
        if not self._daemon.switch.is_connected:
            return
        for kind in _READ:
            try:
                entries = list(self._daemon.switch.dump(subject_cookie(kind, 0), KIND_MASK))
            except OpenFlowError:
                return  # the other figures are worth having; `switch_connected` tells
            for entry in entries:
                parsed = parse(entry.cookie)
                if parsed is not None and entry.table_id in BY_NUMBER:
                    yield kind, parsed[1], entry


_ABOUT_PORTS = frozenset({Kind.GATEWAY, Kind.SPLIT_HORIZON, Kind.PERMIT})


class Metrics:
    """Everything that ``GET /metrics`` shows.

    Args:
        daemon: what is shown.
    """

    def __init__(self, daemon: Daemon) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.counting = Counting(daemon, self.registry)
        self.registry.register(StateCollector(daemon))

    def render(self, accept: str) -> tuple[bytes, str]:
        """The page, and its content type.

        Args:
            accept: the header of that name: Prometheus may ask for OpenMetrics.
        """
        encoder, content_type = choose_encoder(accept)
        return encoder(self.registry), content_type


_Key = TypeVar("_Key", bound=tuple[str, ...])


def _wanted(daemon: Daemon) -> int:
    return len(daemon.forwarder.desired)


def _gauge(
    name: str, text: str, labels: Iterable[str] = (), value: float | None = None
) -> GaugeMetricFamily:
    number = None if value is None else float(value)
    return GaugeMetricFamily(f"weave_ryu_{name}", text, number, labels=list(labels) or None)


def _counter(
    name: str, text: str, labels: Iterable[str], values: Mapping[_Key, int]
) -> CounterMetricFamily:
    found = CounterMetricFamily(f"weave_ryu_{name}", text, labels=list(labels))
    for key in sorted(values):
        found.add_metric(key, values[key])
    return found
