"""The fence: what closes a gateway port of the kernel datapath when nobody renews it.

There the kernel forwards, by flows that `ovs-vswitchd` has cached in it and that only that process
takes out again. Where it is dead, stopped or without its database, permits do not run out. The
fence does: a table of nftables in front of the port (`nft` says how it is made), which passes
frames only for some tenths of a second after the daemon has renewed it. It needs no process.

The core says when: a fence opens when the switch has confirmed the permits, is renewed before each
lease as long as they live, and closes before anything else when the port is to close. A daemon that
has lost its switch closes it itself; a dead one by its silence, after the last lease that the other
gateways can have heard.

Everything here is a system call that returns at once; nothing of it lets other green threads run.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass

import structlog

from weave_ryu import nft
from weave_ryu.errors import NetworkError
from weave_ryu.shell import hub

_log = structlog.get_logger()

LOOK_EVERY_S = 1.0
"""Between two looks whether the fences are as they were made, besides that at each renewal."""

_NETFILTER = 12  # NETLINK_NETFILTER
_COARSE_CLOCK = 6  # CLOCK_MONOTONIC_COARSE: it moves with the kernel's tick
_TICK_S = time.clock_getres(_COARSE_CLOCK)


class Netlink:
    """Asks nftables, in the namespace of this process.

    Raises:
        NetworkError: the kernel has no nftables.
    """

    def __init__(self) -> None:
        try:
            self._socket = hub.plain_socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETFILTER)
        except OSError as error:
            raise NetworkError(f"the kernel has no nftables ({error.strerror})") from error
        self._socket.bind((0, 0))
        self._socket.setblocking(False)

    def ask(self, request: bytes) -> bytes:
        """All answers; empty if nothing could be asked."""
        try:
            return self._ask(request)
        except OSError:
            return b""

    def _ask(self, request: bytes) -> bytes:
        # The kernel gives all answers before it returns from the request.
        self._read()
        self._socket.send(request)
        answers = self._read()
        while answers and nft.is_part(answers) and (more := self._read()):
            answers += more
        return answers

    def change(self, transaction: bytes) -> int:
        """Carry out a transaction; the errno of what was refused, 0 if all was done."""
        try:
            answers = self._ask(transaction)
        except OSError as error:
            return error.errno or errno.EIO
        return nft.error_in(answers) if answers else errno.EIO

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def _read(self) -> bytes:
        found = b""
        with contextlib.suppress(BlockingIOError):
            while True:
                found += self._socket.recv(1 << 16)
        return found


def obstacle() -> str | None:
    """Why this kernel cannot make fences, in a clause; None if it can.

    Both hooks are tried on the loopback device, in a transaction that takes them away again.
    """
    try:
        netlink = Netlink()
    except NetworkError as error:
        return str(error)
    try:
        refused = netlink.change(nft.trial())
        hub.plain_socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
    except OSError as error:
        return f"the kernel gives no packet socket ({error.strerror}): CAP_NET_RAW is needed"
    finally:
        netlink.close()
    if refused in (errno.EPERM, errno.EACCES):
        return "it may not change nftables: CAP_NET_ADMIN is needed"
    if refused == errno.EOPNOTSUPP:
        return (
            f"Linux {os.uname().release} has no nftables hook where frames go out (egress): "
            "5.16 or later is needed"
        )
    return f"nftables refuses it: {os.strerror(refused)}" if refused else None


@dataclass(slots=True)
class Counts:
    """What has happened to a fence since the daemon started."""

    renewals: int = 0
    mended: int = 0
    """Somebody had removed or changed its table, or the port's device is another one."""


class Fence:
    """One gateway port's.

    Args:
        bridge: that it belongs to; part of the table's name.
        port: name of the device.
        timeout_s: how long it stays open after a renewal.
        netlink: to nftables.
    """

    def __init__(self, bridge: str, port: str, timeout_s: float, netlink: Netlink) -> None:
        self.port = port
        self.table = nft.table_of(bridge, port)
        self.counts = Counts()
        self._netlink = netlink
        made = (secrets.token_bytes(nft.SECRET_LENGTH) for _ in range(2))
        self._layout = nft.Layout(self.table, port, round(timeout_s * 1000), *made)
        self._renewal, self._closing = map(nft.frame, (self._layout.renewal, self._layout.closing))
        self._socket: socket.socket | None = None
        self._generation: int | None = None
        self._renewed_at = float("-inf")

    @property
    def is_made(self) -> bool:
        """Its table is there, as far as is known."""
        return self._socket is not None

    @property
    def is_open(self) -> bool:
        """It passes frames, as far as is known."""
        return time.monotonic() - self._renewed_at < self._layout.timeout_ms / 1000

    def set_up(self) -> None:
        """Make its table, closed, whatever is there of that name.

        Raises:
            NetworkError: there is no such device, or nftables refuses.
        """
        self.let_go()
        self._renewed_at = float("-inf")
        refused = self._netlink.change(nft.set_up(self._layout))
        if refused:
            raise NetworkError(f"no fence for {self.port}: {os.strerror(refused)}")
        try:
            self._socket = hub.plain_socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self._socket.bind((self.port, 0))
            self._socket.setblocking(False)
        except OSError as error:
            self.let_go()
            raise NetworkError(f"no fence for {self.port}: {error.strerror}") from error
        self._generation = self._ask_generation()

    def renew(self) -> None:
        """Let frames pass for one timeout from now; mends what is not as it was made.

        Raises:
            NetworkError: the port is closed, or will be when the time of before is over.
        """
        now = time.monotonic()
        self.look_after()
        if not self._send(self._renewal):
            self.set_up()
            if not self._send(self._renewal):
                raise NetworkError(f"the fence of {self.port} cannot be renewed: is its link down?")
            self._note_mended()
        self._renewed_at = now
        self.counts.renewals += 1

    def close(self) -> None:
        """Let nothing pass any more, whoever forwards; when this returns it is so."""
        if self._renewed_at == float("-inf"):
            return
        if not self._send(self._closing):
            try:
                self.set_up()  # nobody can tell what passes; a new table is closed
            except NetworkError as error:
                _log.warning("fence_not_closed", port=self.port, error=str(error))
        hub.stand_still(_TICK_S)
        self._renewed_at = float("-inf")

    def look_after(self) -> None:
        """Make it anew if somebody has changed it: a port without its table would be open.

        Raises:
            NetworkError: that was refused.
        """
        generation = self._ask_generation()
        if generation is not None and generation == self._generation:
            return
        chains = (nft.CHAIN_IN, nft.CHAIN_OUT)
        answers = ((self._netlink.ask(nft.ask_chain(self.table, name)), name) for name in chains)
        if self._socket is None or not all(nft.is_whole(*answer) for answer in answers):
            was_made = self._generation is not None
            self.set_up()
            if was_made:
                self._note_mended()
        self._generation = self._ask_generation()

    def remove(self) -> None:
        """Take its table away: frames pass whoever forwards."""
        self.let_go()
        self._renewed_at = float("-inf")
        self._netlink.change(nft.removal(self.table))

    def _note_mended(self) -> None:
        self.counts.mended += 1
        _log.warning(
            "fence_mended",
            port=self.port,
            table=self.table,
            reason="its nftables table was removed or changed, or the link is a new one",
        )

    def _send(self, frame: bytes) -> bool:
        """Show a frame to the chain; False if nothing there has kept it from going out."""
        if self._socket is None:
            return False
        try:
            self._socket.send(frame)
        except OSError as error:
            # A dropped frame is a full queue for those who sent it. A link that is down passes
            # nothing, and what was open then has its end.
            return error.errno == errno.ENOBUFS
        return False

    def _ask_generation(self) -> int | None:
        return nft.generation_in(self._netlink.ask(nft.ask_generation()))

    def let_go(self) -> None:
        """Give the socket back."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class Fences:
    """Those of all gateway ports of a bridge.

    Args:
        bridge: its name.
        ports: names of its gateway ports; their devices may not be there yet.
        timeout_s: how long they stay open after a renewal.

    Raises:
        NetworkError: the kernel has no nftables.
    """

    def __init__(self, bridge: str, ports: Iterable[str], timeout_s: float) -> None:
        self._netlink = Netlink()
        self._fences = {name: Fence(bridge, name, timeout_s, self._netlink) for name in ports}
        self._bridge = bridge
        self._troubles: dict[str, str] = {}

    def start(self) -> None:
        """Make them, closed, and remove what a daemon that died has left."""
        _clean_up(self._bridge, self._fences, self._netlink)
        self.look_after()

    def of(self, port: str) -> Fence:
        """One port's."""
        return self._fences[port]

    def trouble(self, port: str) -> str:
        """Why there is none before a port, in a clause; empty if there is one."""
        return self._troubles.get(port, "")

    def look_after(self) -> None:
        """Make what is missing, and note of which ports that is not possible."""
        for name, fence in self._fences.items():
            try:
                fence.look_after()
            except NetworkError as error:
                if self._troubles.get(name) != str(error):
                    _log.warning("fence_not_made", port=name, error=str(error))
                self._troubles[name] = str(error)
            else:
                self._troubles.pop(name, None)

    def close_all(self) -> None:
        """Let nothing pass."""
        for fence in self._fences.values():
            fence.close()

    def remove(self) -> None:
        """Take all of them away."""
        for fence in self._fences.values():
            fence.remove()

    def let_go(self) -> None:
        """Give the sockets back; what is open runs out."""
        for fence in self._fences.values():
            fence.let_go()
        self._netlink.close()


def clean_up(bridge: str, ports: Iterable[str]) -> None:
    """Remove what a daemon that died has left of this bridge, and before these ports."""
    try:
        netlink = Netlink()
    except NetworkError:
        return  # then there is nothing to remove
    try:
        _clean_up(bridge, ports, netlink)
    finally:
        netlink.close()


def _clean_up(bridge: str, ports: Iterable[str], netlink: Netlink) -> None:
    mine = tuple(f"/{port}" for port in ports)
    for table in nft.tables_in(netlink.ask(nft.ask_tables())):
        is_of_bridge = table.startswith(f"{nft.PREFIX}{bridge}/")
        if is_of_bridge or (table.startswith(nft.PREFIX) and table.endswith(mine)):
            netlink.change(nft.removal(table))
            _log.info("old_fence_removed", table=table)
