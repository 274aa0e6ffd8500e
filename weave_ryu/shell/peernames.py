"""Peers as the operator gave them: by address, or by name, which is looked up again and again.

What a name stands for today is nobody's tomorrow: hosts move, and name servers are not there yet or
no more. So a name is asked for as long as none of its addresses is connected, beside everything
else, for a name server that does not answer takes seconds; and it is forgotten by its name.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Mapping

import structlog

from weave_ryu.errors import UnresolvedError
from weave_ryu.mesh.config import Address
from weave_ryu.shell import hub, meshd

_log = structlog.get_logger()

NAME_EVERY_S = 5.0
"""Between two looks."""


class Names:
    """Keeps what the operator gave, and dials what it stands for now.

    Args:
        connect: told addresses to dial.
        forget: told addresses to dial no more.
        is_connected: whether one of these hosts is a neighbour.
    """

    def __init__(
        self,
        connect: Callable[[list[Address]], None],
        forget: Callable[[list[Address]], None],
        is_connected: Callable[[Collection[str]], bool],
    ) -> None:
        self._connect = connect
        self._forget = forget
        self._is_connected = is_connected
        self._given: set[Address] = set()
        self._found: dict[str, tuple[Address, ...]] = {}
        """By name; empty as long as nothing is known."""
        self._unresolved: set[str] = set()

    def split(self, peers: Iterable[str]) -> tuple[list[Address], list[str]]:
        """Those that were given by address, and the names of the others.

        Raises:
            ConfigError: one cannot be a host's name, ever.
        """
        addresses, names = [], []
        for peer in peers:
            address = meshd.parse_target(peer)
            if address is None:
                names.append(peer)
            else:
                addresses.append(address)
        self._given.update(addresses)
        return addresses, names

    def unresolved(self) -> list[str]:
        """Names that have no address now, sorted."""
        return sorted(self._unresolved)

    def ask(self, names: Iterable[str]) -> None:
        """Look after these names from now on."""
        for name in names:
            if name not in self._found:
                self._found[name] = ()
                hub.spawn(self._follow, name)

    def took(self, found: Mapping[str, Iterable[Address]]) -> None:
        """These names have just been looked up, and their addresses are dialled already."""
        for name, addresses in found.items():
            is_new = name not in self._found
            self._found[name] = tuple(addresses)
            if is_new:
                hub.spawn(self._follow, name)

    def clear(self) -> None:
        """The operator wants others than all that there were; nothing is told."""
        self._given.clear()
        self._found.clear()
        self._unresolved.clear()

    def forget(self, peers: Iterable[str]) -> list[Address]:
        """The operator wants these no more.

        Returns:
            What to dial no more. A name that does not resolve is as good as any.
        """
        gone: list[Address] = []
        for peer in peers:
            address = meshd.parse_target(peer)
            if address is not None:
                self._given.discard(address)
                self._drop(address)
                gone.append(address)
            elif peer in self._found:
                gone += self._found.pop(peer)
                self._unresolved.discard(peer)
            else:
                with contextlib.suppress(UnresolvedError):
                    gone += meshd.resolve(peer)
        return [address for address in gone if not self._is_wanted(address)]

    def look(self, name: str) -> bool:
        """Ask for a name; what it stands for no more is not dialled any more.

        Returns:
            Whether it has an address.
        """
        try:
            found = tuple(meshd.resolve(name))
        except UnresolvedError:
            if name in self._found and name not in self._unresolved:
                self._unresolved.add(name)
                reason = "no such host now; it is asked for again and again"
                _log.warning("peer_not_resolved", peer=name, reason=reason)
            return False
        if name not in self._found:  # it was forgotten meanwhile
            return True
        before, self._found[name] = self._found[name], found
        hosts = [address.host for address in found]
        if name in self._unresolved:
            self._unresolved.discard(name)
            _log.info("peer_resolved", peer=name, addresses=hosts)
        elif before and before != found:
            _log.info("peer_moved", peer=name, addresses=hosts, before=[a.host for a in before])
        gone = [a for a in before if a not in found and not self._is_wanted(a)]
        if gone:
            self._forget(gone)
        new = [address for address in found if address not in before]
        if new:
            self._connect(new)
        return True

    def _follow(self, name: str) -> None:
        while name in self._found:
            hosts = {address.host for address in self._found[name]}
            is_idle = not hosts or not self._is_connected(hosts)
            if is_idle and not self.look(name):
                hub.forget_name_servers()  # DHCP may have brought some since
            hub.sleep(NAME_EVERY_S)

    def _is_wanted(self, address: Address) -> bool:
        return address in self._given or any(address in found for found in self._found.values())

    def _drop(self, address: Address) -> None:
        """An address was forgotten: names that stood for nothing else are, too."""
        for name, found in list(self._found.items()):
            rest = tuple(other for other in found if other != address)
            if found and not rest:
                del self._found[name]
            else:
                self._found[name] = rest
