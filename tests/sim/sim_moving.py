"""What a daemon does about MACs that are known elsewhere: performs what `gateway.moves` decides.

As `shell/moving.py`, in virtual time.
"""

from __future__ import annotations

from sim_flows import GATEWAY, SEGMENT

from weave_ryu.errors import RemoteProtocolError
from weave_ryu.gateway.moves import (
    LAG_S,
    Ages,
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
from weave_ryu.pipeline import rules
from weave_ryu.pipeline.cookies import Kind
from weave_ryu.pipeline.tables import holder_of

# As in the shell's module: `test_switch.py` compares.
SETTLE_AT_S = (0.05, 0.3)
AWAY_S = 5.0
ANNOUNCE_AGAIN_S = 1.0


class SimMoving:
    """See the module's docstring.

    Args:
        daemon: `SimDaemon`, whose switch and mesh are used.
    """

    def __init__(self, daemon):
        self._daemon = daemon
        self._core = Moves(daemon.peer.name, self._is_gateway)
        self._announced = {}
        self._settled = {}
        self._is_waiting = False

    def is_away(self, mac):
        settled_at = self._settled.get(mac)
        is_settled = settled_at is not None and self._daemon.local() - settled_at <= AWAY_S
        return is_settled or self._core.is_asked(mac)

    # Inputs.

    def seen(self, port, mac, origin):
        """The switch shows a frame of a MAC that is known elsewhere."""
        daemon = self._daemon
        mac = mac.replace(":", "")
        if port != GATEWAY:
            self._appeared(mac)
            return
        short_id = holder_of(origin)
        infos = daemon.view.infos.items()
        holder = next((name for name, info in infos if info.short_id == short_id), None)
        self._core.returned(SEGMENT.nick_name, mac, holder, daemon.local())
        self._pump()

    def doubted(self, macs):
        for mac in sorted(macs):
            self._core.doubted(SEGMENT.nick_name, mac, self._daemon.local())
        self._pump()

    def received(self, source, payload):
        name = self._daemon.world.name_of[source]
        try:
            self._core.received(name, payload, self._daemon.local())
        except RemoteProtocolError as error:
            self._daemon.world.note(f"{self._daemon.peer.letter}: {error}")
        self._pump()

    # Commands.

    def _pump(self):
        daemon, world = self._daemon, self._daemon.world
        for command in self._core.poll_commands():
            match command:
                case Send(None, payload):
                    world.mesh.broadcast(daemon.peer.letter, payload, "moves")
                case Send(to, payload):
                    if to in world.letter_of:
                        world.mesh.ask(daemon.peer.letter, world.letter_of[to], payload)
                case Look():
                    daemon.later(LAG_S, self._look, command)
                case Forget(_, mac):
                    self._forget(mac, rules.LEARN_PRIORITY, rules.LEARN_PRIORITY_HEARSAY)
                case Deny(mac):
                    self._send(mac, rules.hearsay())
                    self._forget(mac, rules.LEARN_PRIORITY_SECOND_HAND)
                case Settle(segment, mac):
                    self._settled[mac] = daemon.local()
                    daemon.core.mac_settled(segment, mac)
                    for at in SETTLE_AT_S:
                        daemon.later(at, self._settle, mac)
                case Told(conflict):
                    world.note(f"{daemon.peer.letter}: {conflict.mac} is at two places")
                case Moved(_, mac, holder):
                    world.sometimes["MAC moved to the segment"] += 1
                    world.note(
                        f"{daemon.peer.letter}: {mac} has moved to the segment from {holder}"
                    )
        if not self._is_waiting and self._core.deadline() is not None:
            self._is_waiting = True
            self._wait()

    def _wait(self):
        daemon, deadline = self._daemon, self._core.deadline()
        if deadline is None:
            self._is_waiting = False
        elif deadline > daemon.local():
            daemon.later(deadline - daemon.local() + 0.001, self._wait)
        else:
            self._core.handle_timer(daemon.local())
            self._pump()
            self._wait()

    def _look(self, look):
        found, segment = [[], [], []], self._daemon.segment_id()  # as `Ages`
        for age_s, kind, subject in self._daemon.peer.switch.ages(_colons(look.mac)):
            if kind is Kind.LEARNT_PEER:
                found[2 if subject == segment else 1].append(age_s)
            elif subject != rules.HEARSAY:
                found[0].append(age_s)
        ages = Ages(*(min(ages, default=None) for ages in found))
        self._core.looked(look, ages, self._daemon.local())
        self._pump()

    def _forget(self, mac, *priorities):
        if self._daemon.is_ready:
            self._daemon.peer.switch.forget_mac(_colons(mac), priorities)

    def _settle(self, mac):
        self._send(mac, rules.settle(self._daemon.segment_id()))

    def _send(self, mac, actions):
        if self._daemon.is_ready:
            self._daemon.world.packet_out(self._daemon.peer, mac, actions)

    def _appeared(self, mac):
        now = self._daemon.local()
        if self._announced.get(mac, now) <= now:
            self._announced[mac] = now + ANNOUNCE_AGAIN_S
            self._settled.pop(mac, None)
            self._send(mac, rules.let_in(self._daemon.peer.short_id))

    def _is_gateway(self, name, segment):
        record = self._daemon.core.registry.record(name)
        ports = () if record is None else record.ports
        return any(p.segment == segment and p.state == State.ACTIVE for p in ports)


def _colons(mac):
    return ":".join(mac[at : at + 2] for at in range(0, 12, 2))
