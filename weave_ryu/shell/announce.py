"""Announces MACs after a promotion, so that nobody waits for silent stations to speak.

To the segment go the MACs of the mesh: its switches move them to this gateway's port. Into the mesh
go the MACs of the segment: peers move them to this peer. The frames are reverse ARP requests as
hypervisors send them after a migration: every switch learns from them, no host answers.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from ryu.ofproto import ofproto_v1_3_parser

from weave_ryu.names import ShortId
from weave_ryu.pipeline import rules
from weave_ryu.shell import encode, hub
from weave_ryu.shell.openflow import Switch

REPEAT_AT_S = (0.0, 0.12, 1.0, 2.5)
"""When each MAC is announced.

A single frame may be lost, and the last time peers forget what was learnt behind the old gateway is
after 2 s (`gatewayd.FORGET_AT_S`). A Weave router learns nothing from a frame for which it has a
flow: it hears the second one, after its flows have gone with the new topology version.
"""

ARRIVAL_S = 0.02
"""After this long an announcement has reached every peer."""

INTRODUCE_AT_S = (0.1, 1.2)
"""When a new gateway is told of containers: after it has forgotten what was behind the old one.

Each time of those that are here then: one that has moved would be drawn back.
"""

INTRODUCE_LATE_S = 4.0
"""When it is told once more if connections of this peer came or went: all are back by then."""

BURST = 50
"""Frames between two pauses."""

PAUSE_S = 0.01
"""Together: at most 5,000 frames of 64 bytes a second, 3.4 Mbit/s on the wire; with more than 600
MACs twice that for a while, since the second time begins before the first has ended."""

Frame = tuple[str, list[Any]]
"""A MAC, and what to do with the frame that is made of it."""

_BROADCAST = b"\xff" * 6


def reverse_arp(mac: str) -> bytes:
    """A reverse ARP request for a MAC about itself (RFC 903), padded to 60 bytes.

    Args:
        mac: 12 hex digits.
    """
    address = bytes.fromhex(mac)
    header = _BROADCAST + address + struct.pack("!H", 0x8035)
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 3) + address + bytes(4) + address + bytes(4)
    return (header + body).ljust(60, b"\0")


class Announcer:
    """Sends announcements through the switch, at a bounded rate."""

    def __init__(self, switch: Switch) -> None:
        self._switch = switch

    def announce(
        self,
        port: int,
        own: ShortId,
        mesh: Iterable[str],
        hosts: Iterable[str],
        go_on: Callable[[], bool],
        moved: Callable[[], frozenset[str]],
        told: Callable[[], None],
    ) -> None:
        """Announce in the background.

        Args:
            port: OpenFlow number of the gateway port.
            own: this peer's short id.
            mesh: MACs behind the mesh, 12 hex digits, told to the segment.
            hosts: MACs behind the segment, told to the mesh.
            go_on: asked before each frame; False ends it (the port is no longer active).
            moved: asked each time for those that have turned out to be no hosts.
            told: called each time the peers have been told of hosts.
        """
        frames = [(mac, [ofproto_v1_3_parser.OFPActionOutput(port)]) for mac in sorted(mesh)]
        into_mesh, again = (
            encode.actions_of(rules.announcement(port, own, is_repeated))
            for is_repeated in (False, True)
        )
        hosts = sorted(hosts)

        def make(actions: list[Any]) -> list[Frame]:
            left = moved() if hosts else frozenset[str]()
            return [*frames, *((mac, actions) for mac in hosts if mac not in left)]

        told_of = told if hosts else None
        hub.spawn(self._run, partial(make, into_mesh), REPEAT_AT_S[:1], go_on, told_of)
        hub.spawn(self._run, partial(make, again), REPEAT_AT_S[1:], go_on, told_of)

    def reassert(
        self,
        own: ShortId,
        containers: Iterable[str],
        beside: Callable[[], frozenset[str]],
        told: Callable[[], None],
    ) -> None:
        """Let the whole mesh know containers of this peer, in the background.

        Args:
            own: this peer's short id.
            containers: MACs, 12 hex digits.
            beside: asked each time for those that are still here.
            told: called each time the peers have been told.
        """
        actions = encode.actions_of(rules.to_all_peers(own))
        containers = frozenset(containers)

        def make() -> list[Frame]:
            return [(mac, actions) for mac in sorted(containers & beside())]

        hub.spawn(self._run, make, REPEAT_AT_S, lambda: True, told)

    def prime_mesh(self, mesh: Iterable[str], beside: Iterable[str]) -> None:
        """Let the own switch know what is in the mesh, now; nothing is sent anywhere.

        Args:
            mesh: MACs, 12 hex digits.
            beside: MACs beside other gateways.
        """
        frames = []
        for macs, is_beside in ((mesh, False), (beside, True)):
            learn = encode.actions_of(rules.hearsay(is_beside=is_beside))
            frames += [(mac, learn) for mac in sorted(macs)]
        self._run(lambda: frames, (0.0,), lambda: True)

    def prime(self, port: int, hosts: Iterable[str], go_on: Callable[[], bool]) -> None:
        """Let the own switch learn hosts behind a gateway port; nothing is sent anywhere.

        Args:
            port: OpenFlow number of the gateway port.
            hosts: MACs, 12 hex digits.
            go_on: as for `announce`.
        """
        learn = encode.actions_of(rules.priming(port))
        frames = [(mac, learn) for mac in sorted(hosts)]
        hub.spawn(self._run, lambda: frames, (0.0,), go_on)

    def introduce(self, containers: Iterable[str], to: ShortId) -> None:
        """Let a gateway know containers of this peer, once, in the background.

        Args:
            containers: MACs, 12 hex digits.
            to: the gateway.
        """
        actions = encode.actions_of(rules.introduction(to))
        frames = [(mac, actions) for mac in sorted(containers)]
        hub.spawn(self._run, lambda: frames, (0.0,), lambda: True)

    def _run(
        self,
        make: Callable[[], list[Frame]],
        times: Iterable[float],
        go_on: Callable[[], bool],
        told: Callable[[], None] | None = None,
    ) -> None:
        waited = 0.0
        for at in times:
            hub.sleep(at - waited)
            waited = at
            frames = make()
            for count, (mac, actions) in enumerate(frames, 1):
                if not go_on():
                    return
                self._switch.send_frame(reverse_arp(mac), actions)
                if count % BURST == 0:
                    hub.sleep(PAUSE_S)
            if told is not None and frames:
                hub.sleep(ARRIVAL_S)
                waited += ARRIVAL_S
                told()
