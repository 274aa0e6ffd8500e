"""Which ports of the bridge are open for containers.

A port that the daemon once made a gateway port, and that is configured no more, leads to a segment
still: taken for a container's port it would join segment and mesh with no gate at all, beside the
gateways that have one, and frames would circle without end. Its record says what it was made for.

Ports that others plug in (libvirt, an operator with ``ovs-vsctl add-port``) are containers' ports,
unless the configuration says ``local_ports = "attached"``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import structlog

from weave_ryu.ovsdb.bridge import ATTACHED_KEY, GATEWAY_KEY, ROLE_KEY, InterfaceState

_log = structlog.get_logger()


class PortUse:
    """Knows it of one bridge.

    Args:
        bridge: name of the bridge and of its internal port, which is always open.
        gateways: names of the ports that are configured as gateway ports.
        only_attached: of the others only those are open that `weave-ryu attach` has made.
        is_tunnel: whether a port is one of the mesh's own.
    """

    def __init__(
        self,
        bridge: str,
        gateways: Collection[str],
        *,
        only_attached: bool,
        is_tunnel: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._bridge = bridge
        self._gateways = frozenset(gateways)
        self._only_attached = only_attached
        self._is_tunnel = is_tunnel
        self._not_attached: frozenset[str] = frozenset()
        self._attached: frozenset[str] = frozenset()
        self.left_over: frozenset[str] = frozenset()
        """Ports that were gateway ports, and are configured no more."""

    def look(self, interfaces: Mapping[str, InterfaceState]) -> bool:
        """Take note of what the database says; True if other ports are open than before."""
        ours = [state for state in interfaces.values() if state.bridge == self._bridge]
        attached = frozenset(state.name for state in ours if ATTACHED_KEY in state.external_ids)
        marked = (s.name for s in ours if {GATEWAY_KEY, ROLE_KEY} & s.external_ids.keys())
        left_over = frozenset(marked) - self._gateways
        for name in sorted(left_over - self.left_over):
            _log.warning(
                "gateway_port_left_over",
                port=name,
                remedy=f"it was a gateway port and stays closed: `ovs-vsctl del-port "
                f"{self._bridge} {name}`, or configure it again",
            )
        if self._only_attached:
            self._tell_of_others({state.name for state in ours} - attached - left_over)
        before = self._attached, self.left_over
        self._attached, self.left_over = attached, left_over
        return (attached, left_over) != before

    def _tell_of_others(self, found: Collection[str]) -> None:
        known = self._gateways | {self._bridge}
        others = frozenset(n for n in found if n not in known and not self._is_tunnel(n))
        for name in sorted(others - self._not_attached):
            _log.warning(
                "local_port_not_attached",
                port=name,
                reason='local_ports = "attached", and `weave-ryu attach` has not made it: closed',
            )
        self._not_attached = others

    def is_known(self, name: str) -> bool:
        """Whether a port was made by `weave-ryu attach`, or is the bridge's own."""
        return name in self._attached or name == self._bridge

    def is_open(self, name: str) -> bool:
        """Whether a port that is no gateway port and no tunnel is for containers."""
        if name in self.left_over:
            return False
        return not self._only_attached or self.is_known(name)
