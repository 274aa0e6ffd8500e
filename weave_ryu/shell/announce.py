"""Announces the mesh's MACs to a segment, so that nobody waits for silent stations to speak.

The segment's switches move them to this gateway's port. The frames are reverse ARP requests as
hypervisors send them after a migration: every switch learns from them, no host answers.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ryu.ofproto import ofproto_v1_3_parser

from weave_ryu.names import PeerName, ShortId
from weave_ryu.pipeline import rules
from weave_ryu.shell import encode, hub, membership
from weave_ryu.shell.openflow import Switch

REPEAT_AT_S = (0.0, 0.12, 1.0, 2.5)
"""When each MAC is announced: a single frame may be lost."""

INTRODUCE_AT_S = (0.1, 1.2)
"""When a new gateway is told of containers: each time of those that are here then, as one that has
moved would be drawn back."""

INTRODUCE_LATE_S = 4.0
"""When it is told once more if connections of this peer came or went: all are back by then."""

BURST = 50
"""Frames between two pauses."""

PAUSE_S = 0.01
"""Together: at most 5,000 frames of 64 bytes a second, 3.4 Mbit/s on the wire."""

_MARK = b"weave-ryu"
"""In the padding: the segment may return it, and its MAC has not moved for that."""

GoOn = Callable[[str], bool | None]
"""Whether the frame of a MAC (12 hex digits) is to be sent; None: not this one, but others."""

_PARSER = ofproto_v1_3_parser
_BROADCAST = b"\xff" * 6


def reverse_arp(mac: str) -> bytes:
    """A reverse ARP request for a MAC about itself (RFC 903), padded to 60 bytes.

    Args:
        mac: 12 hex digits.
    """
    address = bytes.fromhex(mac)
    header = _BROADCAST + address + struct.pack("!H", 0x8035)
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 3) + address + bytes(4) + address + bytes(4)
    return (header + body + _MARK).ljust(60, b"\0")


def is_announcement(frame: bytes) -> bool:
    """Whether a gateway has made a frame with `reverse_arp`."""
    return frame[12:14] == b"\x80\x35" and frame[42:].startswith(_MARK)


class Announcer:
    """Sends announcements through the switch, at a bounded rate."""

    def __init__(self, switch: Switch) -> None:
        self._switch = switch

    def announce(self, port: int, macs: Iterable[str], go_on: GoOn) -> None:
        """Announce in the background.

        Args:
            port: OpenFlow number of the gateway port.
            macs: of the mesh, 12 hex digits.
            go_on: asked before each frame, see `GoOn`: False ends it when the port is no longer
                active.
        """
        hub.spawn(self._run, sorted(macs), [_PARSER.OFPActionOutput(port)], REPEAT_AT_S, go_on)

    def ask_for_groups(self, port: int, name: PeerName, segment: ShortId, go_on: GoOn) -> None:
        """Ask the mesh for the members of multicast groups, in the background.

        Args:
            port: OpenFlow number of the gateway port.
            name: of the segment as a peer, which asks; a switch of it is to see the answers.
            segment: its short id.
            go_on: asked before each frame, as above.
        """
        mac = name.to_bytes6()
        queries = [membership.igmp_query(mac), membership.mld_query(mac)]
        actions = encode.actions_of(rules.let_in(segment))
        hub.spawn(self._send, queries, actions, membership.ASK_AT_S, go_on, port)

    def prime(self, macs: Iterable[str]) -> None:
        """Let the own switch know what is in the mesh, now; nothing is sent anywhere.

        Args:
            macs: 12 hex digits.
        """
        self._run(sorted(macs), encode.actions_of(rules.hearsay()), (0.0,), lambda _: True)

    def introduce(self, containers: Iterable[str], own: ShortId, to: ShortId) -> None:
        """Let a gateway know containers of this peer, once, in the background.

        Args:
            containers: MACs, 12 hex digits.
            own: this peer.
            to: the gateway.
        """
        actions = encode.actions_of(rules.introduction(own, to))
        hub.spawn(self._run, sorted(containers), actions, (0.0,), lambda _: True)

    def _run(
        self,
        macs: Sequence[str],
        actions: list[Any],
        times: Iterable[float],
        go_on: GoOn,
    ) -> None:
        self._send([reverse_arp(mac) for mac in macs], actions, times, go_on)

    def _send(
        self,
        frames: Sequence[bytes],
        actions: list[Any],
        times: Iterable[float],
        go_on: GoOn,
        in_port: int | None = None,
    ) -> None:
        seems_from = {} if in_port is None else {"in_port": in_port}
        waited = 0.0
        for at in times:
            hub.sleep(at - waited)
            waited = at
            for count, frame in enumerate(frames, 1):
                may_go_on = go_on(frame[6:12].hex())
                if may_go_on is False:
                    return
                if may_go_on is None:
                    continue
                self._switch.send_frame(frame, actions, **seems_from)
                if count % BURST == 0:
                    hub.sleep(PAUSE_S)
