"""In a hand-over to this peer: passes on the broadcasts that neither gateway has passed.

`gateway.holding` decides which ones; this shows it what the switch shows, and sends them.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from weave_ryu.gate import Gate
from weave_ryu.gateway.holding import PASS_S, Holding, Side
from weave_ryu.pipeline import rules
from weave_ryu.pipeline.model import Output
from weave_ryu.pipeline.state import GatewayPort
from weave_ryu.shell import encode, hub
from weave_ryu.shell.openflow import HandOverFrame, Switch

_log = structlog.get_logger()


class GivingBack:
    """See the module's docstring.

    Args:
        switch: the local bridge.
        find: a gateway port by its name, as the pipeline sees it now.
    """

    def __init__(self, switch: Switch, find: Callable[[str], GatewayPort | None]) -> None:
        self._switch = switch
        self._find = find
        self._holding: dict[str, Holding] = {}

    @property
    def is_busy(self) -> bool:
        """Broadcasts are held for some port."""
        return bool(self._holding)

    def prepare(self, port: str, gate: Gate) -> None:
        """Be ready for what the switch shows with that gate; call before it is set."""
        if gate is Gate.TAKING:
            self._holding[port] = Holding()
        elif gate is not Gate.OPEN:
            self._holding.pop(port, None)

    def go_on(self, port: str, gate: Gate, now: float) -> None:
        """The gate is set.

        Args:
            port: its name.
            gate: how far it is open.
            now: monotonic seconds.
        """
        holding = self._holding.get(port)
        if holding is not None and gate is Gate.TAKING:
            holding.begun(now)
        if holding is not None and gate is Gate.OPEN:
            holding.opened(now)
            hub.spawn(self._give_back, port, holding)

    def seen(self, port: str, frame: HandOverFrame) -> None:
        """The switch shows a broadcast while a port is handed over to this peer."""
        holding = self._holding.get(port)
        if holding is None:
            return
        side = Side.SEGMENT if frame.from_segment else Side.MESH
        if frame.is_copy:
            holding.sight(side.other, frame.frame)
        else:
            holding.hold(side, frame.frame, time.monotonic())

    def _give_back(self, name: str, holding: Holding) -> None:
        """Pass on what neither gateway has passed."""
        port, counts = self._find(name), {Side.SEGMENT: 0, Side.MESH: 0}
        while port is not None and not holding.is_over(time.monotonic()):
            hub.sleep(PASS_S / 2)
            if self._holding.get(name) is not holding or not self._switch.is_connected:
                break
            for missing in holding.take_missing(time.monotonic()):
                counts[missing.origin] += 1
                if missing.origin is Side.SEGMENT:
                    actions = encode.actions_of(rules.let_in(port.short_id))
                    self._switch.send_frame(missing.frame, actions, port.number)
                else:
                    actions = encode.actions_of((Output(port.number),))
                    self._switch.send_frame(missing.frame, actions)
        if self._holding.get(name) is holding:
            del self._holding[name]
        _log.info(
            "broadcasts_given_back",
            port=name,
            to_mesh=counts[Side.SEGMENT],
            to_segment=counts[Side.MESH],
            overflowed=holding.has_overflowed,
        )
