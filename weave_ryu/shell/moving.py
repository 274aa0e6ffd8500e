"""Carries out what `gateway.moves` decides: asks peers, looks into the switch, announces.

A MAC that appears at a container's port here, and was elsewhere, is announced to all peers at once:
its first frame may have been for one of them only.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from weave_ryu.errors import OpenFlowError, RemoteProtocolError
from weave_ryu.gateway.movemessages import CHANNEL, HasMoved, decode
from weave_ryu.gateway.moves import (
    LAG_S,
    Ages,
    Conflict,
    Deny,
    Forget,
    Look,
    Moved,
    Moves,
    Send,
    Settle,
    Told,
)
from weave_ryu.gateway.role import State
from weave_ryu.names import PeerName, ShortId
from weave_ryu.pipeline import rules
from weave_ryu.pipeline.cookies import Kind, parse, subject_cookie
from weave_ryu.pipeline.tables import MAC, holder_of, segment_of
from weave_ryu.shell import encode, hub
from weave_ryu.shell.announce import is_announcement, reverse_arp
from weave_ryu.shell.limits import Bucket
from weave_ryu.shell.openflow import MovedFrame

if TYPE_CHECKING:
    from weave_ryu.shell.daemon import Daemon

_log = structlog.get_logger()

SETTLE_AT_S = (0.05, 0.3)
"""When a MAC that has moved is announced: after all have forgotten it; a frame may be lost."""

AWAY_S = 5.0
"""So long nobody announces a MAC to the segment to which it has moved: announcements that were
under way end after 2.5 s, and then the switch has been read."""

ANNOUNCE_AGAIN_S = 1.0
MAX_ANNOUNCED = 1024

QUESTIONS_PER_S, BURST = 20.0, 100.0
"""So often others may have this switch asked; each costs a process."""

LOOK_TIMEOUT_S = 2.0

_FLOW = re.compile(
    r"cookie=(?P<cookie>0x[0-9a-f]+), duration=(?P<duration>[0-9.]+)s,.*?"
    r"(?:hard_age=(?P<age>[0-9]+),.*?)?priority=(?P<priority>[0-9]+),"
)


class Moving:
    """See the module's docstring.

    Args:
        daemon: whose switch and mesh are used.
        database: remote of the Open vSwitch database, beside which the bridge's socket is.
    """

    def __init__(self, daemon: Daemon, database: str) -> None:
        self._daemon = daemon
        self._database = database
        self._core = Moves(daemon.router.name, self._is_gateway)
        self._bucket = Bucket(QUESTIONS_PER_S, BURST)
        self._announced: dict[str, float] = {}
        self._settled: dict[str, float] = {}
        self._is_waiting = False
        self.to_segment = 0
        """MACs that were moved from the mesh to a segment by this peer."""
        self.to_peer = 0
        """MACs that have appeared at a container's port here, and were elsewhere."""

    def conflicts(self) -> list[Conflict]:
        """MACs that are at two places."""
        return self._core.conflicts(time.monotonic())

    def is_away(self, mac: str) -> bool:
        """Whether a MAC of the mesh seems to be, or is known to be, on a segment now."""
        settled_at = self._settled.get(mac)
        if settled_at is not None and time.monotonic() - settled_at > AWAY_S:
            del self._settled[mac]
            settled_at = None
        return settled_at is not None or self._core.is_asked(mac)

    # Inputs.

    def seen(self, frame: MovedFrame) -> None:
        """The switch shows a frame of a MAC that is known elsewhere."""
        port, now = self._daemon.switch.ports.get(frame.port), time.monotonic()
        if port is None or is_announcement(frame.frame):
            return
        mac, gateways = frame.frame[6:12].hex(), self._daemon.gateways.core.ports
        if port.name not in gateways:
            self._appeared(mac, port.name, now)
            return
        holder, behind = self._whose(frame.origin)
        self._core.returned(gateways[port.name].spec.segment, mac, holder, now, behind)
        self._pump()

    def doubted(self, segment: str, macs: frozenset[str]) -> None:
        """MACs are known behind the segment here, and in the mesh by another gateway."""
        now = time.monotonic()
        for mac in sorted(macs):
            self._core.doubted(segment, mac, now)
        self._pump()

    def received(self, source: PeerName, payload: bytes, *, is_for_all: bool) -> None:
        """A message on the channel.

        That a MAC has moved only gateways say; any peer answers when it has heard one.
        """
        opened = self._daemon.sealing.open(CHANNEL, source, payload, is_for_all=is_for_all)
        payload = opened.payload
        try:
            if not opened.is_trusted and isinstance(decode(payload), HasMoved):
                raise RemoteProtocolError("moves", "its seal is wrong or missing: no gateway?")
            self._core.received(source, payload, time.monotonic())
        except RemoteProtocolError as error:
            _log.warning("moves_message_ignored", source=str(source), reason=str(error))
        self._pump()

    # Commands.

    def _pump(self) -> None:
        for command in self._core.poll_commands():
            match command:
                case Send(to, payload):
                    self._send(to, payload)
                case Look():
                    if self._bucket.take(time.monotonic()):
                        hub.spawn(self._look, command)
                case Forget(segment, mac):
                    hub.spawn(self._forget_elsewhere, segment, mac)
                case Deny(mac):
                    hub.spawn(self._deny, mac)
                case Settle(segment, mac):
                    hub.spawn(self._settle, segment, mac)
                case Told(conflict):
                    self._tell(conflict)
                case Moved(segment, mac, holder):
                    self.to_segment += 1
                    was_at = "nobody" if holder is None else str(holder)
                    _log.info("mac_moved", mac=_colons(mac), segment=segment, was_at=was_at)
        if not self._is_waiting and self._core.deadline() is not None:
            self._is_waiting = True
            hub.spawn(self._wait)

    def _wait(self) -> None:
        while (deadline := self._core.deadline()) is not None:
            hub.sleep(max(0.0, deadline - time.monotonic()))
            self._core.handle_timer(time.monotonic())
            self._pump()
        self._is_waiting = False

    def _send(self, to: PeerName | None, payload: bytes) -> None:
        router = self._daemon.router
        payload = self._daemon.sealing.seal(CHANNEL, payload, to)
        if to is None:
            router.gossip_broadcast(CHANNEL, payload, time.monotonic())
        else:
            router.gossip_unicast(CHANNEL, to, payload, time.monotonic())
        self._daemon.mesh.pump()

    def _look(self, look: Look) -> None:
        hub.sleep(LAG_S)
        self._core.looked(look, self._ages(look), time.monotonic())
        self._pump()

    def _ages(self, look: Look) -> Ages:
        """What cannot be found out was just now."""
        bridge, socket = self._daemon.config.bridge, self._database.partition(":")[2]
        target = f"unix:{Path(socket).parent / bridge}.mgmt"
        # Only Nicira's flow statistics tell when a flow was refreshed; ryu has them for 1.0 alone.
        command = ["ovs-ofctl", "-O", "OpenFlow10", f"--timeout={LOOK_TIMEOUT_S:.0f}"]
        command += ["dump-flows", target, f"table={MAC.number},dl_dst={_colons(look.mac)}"]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=LOOK_TIMEOUT_S, check=True
            )
        except (OSError, subprocess.SubprocessError) as error:
            _log.warning("switch_not_asked", mac=_colons(look.mac), error=str(error)[:200])
            return Ages(here=0.0)
        ids = self._segment_ids()
        return ages_in(done.stdout, ids.get(look.segment), ids.get(look.behind))

    def _deny(self, mac: str) -> None:
        self._daemon.gateways.prime(frozenset({mac}))
        self._forget(mac, rules.LEARN_PRIORITY_SECOND_HAND)

    def _forget_elsewhere(self, segment: str, mac: str) -> None:
        self._forget(mac, rules.LEARN_PRIORITY, rules.LEARN_PRIORITY_HEARSAY)
        # What is behind the segment itself may be what has just been made known.
        others = [short_id for name, short_id in self._segment_ids().items() if name != segment]
        selected = [subject_cookie(Kind.LEARNT_PEER, short_id) for short_id in others]
        self._forget(mac, rules.LEARN_PRIORITY_SECOND_HAND, selected=selected)

    def _forget(self, mac: str, *priorities: int, selected: Sequence[int] | None = None) -> None:
        try:
            for priority in priorities:
                self._daemon.switch.forget_mac(mac, priority, selected)
        except OpenFlowError as error:
            _log.debug("mac_not_forgotten", mac=_colons(mac), error=str(error))

    def _settle(self, segment: str, mac: str) -> None:
        self._settled[mac] = time.monotonic()
        self._daemon.gateways.core.mac_settled(segment, mac)
        waited_s = 0.0
        for at in SETTLE_AT_S:
            hub.sleep(at - waited_s)
            waited_s = at
            actions = rules.settle(self._daemon.segment_id(segment))
            self._daemon.switch.send_frame(reverse_arp(mac), encode.actions_of(actions))

    def _appeared(self, mac: str, port: str, now: float) -> None:
        if self._announced.get(mac, now) > now:
            return
        if len(self._announced) >= MAX_ANNOUNCED:
            self._announced = {m: until for m, until in self._announced.items() if until > now}
        if len(self._announced) < MAX_ANNOUNCED:
            self._announced[mac] = now + ANNOUNCE_AGAIN_S
            self._settled.pop(mac, None)
            self.to_peer += 1
            _log.info("mac_moved_here", mac=_colons(mac), port=port)
            actions = rules.let_in(self._daemon.own_short_id())
            self._daemon.switch.send_frame(reverse_arp(mac), encode.actions_of(actions))

    # Small things.

    def _whose(self, origin: int) -> tuple[PeerName | None, str]:
        """Who has a MAC, and behind which segment; empty: at a container's port."""
        by_short_id = self._daemon.router.peers.by_short_id
        at_peer, behind = holder_of(origin), segment_of(origin)
        peer = None if at_peer is None else by_short_id(at_peer)
        segment = None if behind is None else by_short_id(behind)
        if segment is not None:
            return segment.owner, segment.nick_name
        return None if peer is None else peer.name, ""

    def _segment_ids(self) -> dict[str, ShortId]:
        """Of the segments that the mesh knows, by name."""
        infos = [info for info in self._daemon.view.infos.values() if info.is_segment]
        return {info.nick_name: info.short_id for info in infos if info.short_id is not None}

    def _is_gateway(self, peer: PeerName, segment: str) -> bool:
        record = self._daemon.registry.record(peer)
        ports = () if record is None else record.ports
        return any(p.segment == segment and p.state == State.ACTIVE for p in ports)

    @staticmethod
    def _tell(conflict: Conflict) -> None:
        holder = "an unknown peer" if conflict.holder is None else str(conflict.holder)
        what = "says that it speaks there" if conflict.is_denied else "does not answer"
        _log.warning(
            "mac_at_two_places",
            mac=_colons(conflict.mac),
            segment=conflict.segment,
            peer=holder,
            reason=f"seen on segment {conflict.segment}, but {holder} has it, and {what}: "
            "the segment returns frames of the mesh, or two stations have one address",
        )


def ages_in(dump: str, segment: ShortId | None, at: ShortId | None = None) -> Ages:
    """Since a MAC was learnt last, and how.

    ``hard_age`` is shown when the flow was refreshed since it was made (ovs-ofctl(8)).

    Args:
        dump: what ``ovs-ofctl dump-flows`` shows of it.
        segment: that it was seen on.
        at: the segment that is asked about instead of the containers' ports.
    """
    here: list[float] = []
    heard: list[float] = []
    behind: list[float] = []
    for flow in _FLOW.finditer(dump):
        kind, subject = parse(int(flow["cookie"], 16)) or (None, 0)
        age_s = float(flow["age"] or flow["duration"])
        if kind is Kind.LEARNT_PEER and subject == at:
            here.append(age_s)
        elif kind is Kind.LEARNT_PEER:
            (behind if subject == segment else heard).append(age_s)
        elif kind is Kind.LEARNT_PORT and subject != rules.HEARSAY:
            here.append(age_s)
    return Ages(*(min(ages, default=None) for ages in (here, heard, behind)))


def _colons(mac: str) -> str:
    return ":".join(mac[at : at + 2] for at in range(0, 12, 2))
