"""Carries out what `gateway.wiring` decides: sends probes, takes them in, closes ports.

A gateway port that must not be open is treated as one without a segment. A container's port on
which a gateway is heard is taken out of the flows: nothing comes in by it and nothing goes out, but
probes are heard there still, so that it is known when the wiring is right.

A port that others have plugged in while the daemon runs is on trial first: it opens when a probe
would have been heard. `weave-ryu attach` makes the far end of its ports itself, so that there is
nothing to find out.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

import structlog

from weave_ryu.errors import RemoteProtocolError
from weave_ryu.gateway.joint import Joint, Kind, Place
from weave_ryu.gateway.probe import NONCE_BYTES
from weave_ryu.gateway.probing import EVERY_S
from weave_ryu.gateway.wiring import CHANNEL, Found, Mended, Send, SendProbe, Wiring
from weave_ryu.names import UNKNOWN_PEER, PeerName, ShortId
from weave_ryu.pipeline.model import Output
from weave_ryu.shell import encode, hub
from weave_ryu.shell.limits import Bucket
from weave_ryu.shell.openflow import ProbeFrame

if TYPE_CHECKING:
    from weave_ryu.shell.daemon import Daemon

_log = structlog.get_logger()

TRIAL_S = EVERY_S + 0.3
"""Until the next probe of the slowest, and until its gateway has said that it is of lately."""

SUSPICIONS_PER_S, SUSPICIONS_BURST = 2.0, 10.0
"""So often other gateways are told that a frame has come back."""


class Wires:
    """See the module's docstring.

    Args:
        daemon: whose switch, mesh and gateways are used.
    """

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._core = Wiring(
            daemon.registry,
            {spec.port: spec.segment for spec in daemon.config.gateway},
            daemon.config.password,
            lambda: secrets.token_bytes(NONCE_BYTES),
            self._lets_in,
        )
        self._alarm = hub.Alarm()
        self._peer_count = 0
        self._ports: frozenset[str] = frozenset()
        self._was_up = False
        self._closed: dict[str, str] = {}
        self._on_trial: dict[str, float] = {}
        self._suspicions = Bucket(SUSPICIONS_PER_S, SUSPICIONS_BURST)

    def joints(self) -> list[Joint]:
        """All that is known to be wired wrong, sorted."""
        return self._core.joints(time.monotonic())

    def texts(self, port: str | None = None) -> list[str]:
        """The same in words; with `port` what concerns that gateway port."""
        own, found = self._daemon.router.name, self.joints()
        if port is not None:
            found = [j for j in found if (own, port) in {end[:2] for end in j.ends()}]
        return [self._daemon.standings.readable(joint.text()) for joint in found]

    def is_closed(self, name: str) -> bool:
        """Whether a container's port is closed, as a gateway is heard there, or may be."""
        return name in self._closed or (name in self._on_trial and self._daemon.is_by_hand(name))

    def start(self) -> None:
        """Begin to send probes."""
        hub.spawn(self._run)

    # Inputs.

    def look(self) -> None:
        """The switch, its ports or the mesh may have changed."""
        daemon, now = self._daemon, time.monotonic()
        ports = daemon.switch.ports.values() if daemon.switch.is_connected else ()
        self._core.links((port.name for port in ports if port.up), now)
        names, peers = frozenset(p.name for p in ports), daemon.gateways.core.peer_count
        if names - self._ports or peers > self._peer_count:
            self._core.hurry(now)
        is_up = daemon.gateways.core.is_switch_up
        if is_up and self._was_up and daemon.registry.records():
            new = (name for name in names - self._ports if daemon.is_by_hand(name))
            self._on_trial.update(dict.fromkeys(new, now + TRIAL_S))
        self._was_up, self._ports, self._peer_count = is_up, names, peers
        self._pump()

    def seen(self, probe: ProbeFrame) -> None:
        """The switch shows a probe."""
        place = self._place(probe)
        if place is None:
            return
        try:
            self._core.heard(place, probe.frame, time.monotonic())
        except RemoteProtocolError as error:
            _log.debug("probe_ignored", place=place.name, reason=str(error))
        self._pump()

    def suspect(self, segment: str) -> None:
        """A frame has come back from a segment, or a MAC from there to a container's port."""
        now = time.monotonic()
        if self._suspicions.take(now):
            self._core.suspect(segment, now)
            self.handle_timer()  # at once: what circles goes round in less than a millisecond

    def received(self, source: PeerName, payload: bytes) -> None:
        """A message on the channel."""
        try:
            self._core.received(source, payload, time.monotonic())
        except RemoteProtocolError as error:
            _log.debug("wiring_message_ignored", source=str(source), reason=str(error))
        self.handle_timer()  # a probe may be asked for

    def _place(self, probe: ProbeFrame) -> Place | None:
        daemon = self._daemon
        if probe.tunnel is not None:
            tun_id, sender = probe.tunnel
            links = daemon.router.connections()
            if all(link.overlay is None or link.overlay.remote_ip != sender for link in links):
                return None  # anybody who reaches the tunnel's port can have sent it
            peer = daemon.router.peers.by_short_id(ShortId(tun_id & 0xFFF))
            return Place(Kind.MESH, str(UNKNOWN_PEER if peer is None else peer.name))
        port = daemon.switch.ports.get(probe.port)
        if port is None:
            return None
        machine = daemon.gateways.core.ports.get(port.name)
        if machine is not None:
            return Place(Kind.SEGMENT, port.name, machine.spec.segment)
        # One that is closed in any case joins nothing.
        return Place(Kind.PORT, port.name) if daemon.is_for_containers(port.name) else None

    def _lets_in(self, peer: PeerName, segment: str) -> bool:
        if peer == self._daemon.segment_name(segment):
            return True
        return segment in self._daemon.registry.lets_in().get(peer, frozenset())

    # Commands.

    def _run(self) -> None:
        while True:
            self._alarm.wait(self._deadline())
            deadline = self._deadline()
            if deadline is not None and deadline <= time.monotonic():
                self.handle_timer()

    def _deadline(self) -> float | None:
        times = [*self._on_trial.values(), self._core.deadline()]
        return min((at for at in times if at is not None), default=None)

    def handle_timer(self) -> None:
        """Something is due."""
        now = time.monotonic()
        self._core.handle_timer(now)
        over = [name for name, until in self._on_trial.items() if now >= until]
        for name in over:
            del self._on_trial[name]
        if over:
            self._daemon.forwarder.changed()
        self._pump()

    def _pump(self) -> None:
        for command in self._core.poll_commands():
            match command:
                case SendProbe(port, frame):
                    self._send_probe(port, frame)
                case Send(to, payload):
                    self._daemon.router.gossip_unicast(CHANNEL, to, payload, time.monotonic())
                    self._daemon.mesh.pump()
                case Found(joint):
                    text = self._daemon.standings.readable(joint.text())
                    _log.warning("wiring_loop", kind=str(joint.place.kind), reason=text)
                case Mended(joint):
                    text = self._daemon.standings.readable(joint.text())
                    _log.info("wiring_mended", kind=str(joint.place.kind), was=text)
        self._close_and_open()
        self._alarm.bring_forward(self._deadline())

    def _send_probe(self, name: str, frame: bytes) -> None:
        for port in self._daemon.switch.ports.values():
            if port.name == name:
                self._daemon.switch.send_frame(frame, encode.actions_of((Output(port.number),)))

    def _close_and_open(self) -> None:
        now, gateways = time.monotonic(), self._daemon.gateways
        closed = {
            name: why
            for name, why in self._core.closed(now).items()
            if name not in gateways.names()
        }
        if closed.keys() != self._closed.keys():
            for name in sorted(closed.keys() - self._closed.keys()):
                why = self._daemon.standings.readable(closed[name])
                _log.warning("local_port_closed", port=name, reason=why)
            for name in sorted(self._closed.keys() - closed.keys()):
                _log.info("local_port_opened", port=name)
            self._closed = closed
            self._daemon.forwarder.changed()
        troubles = self._core.troubles(now)
        if troubles != gateways.miswired:
            gateways.miswired = troubles
            gateways.ports_changed()
