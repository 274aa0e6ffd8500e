"""Reads the MACs that the switch has learnt."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from operator import attrgetter

from weave_ryu.names import ShortId
from weave_ryu.pipeline import cookies, rules
from weave_ryu.pipeline.cookies import Kind
from weave_ryu.pipeline.tables import MAC, ORIGINS
from weave_ryu.shell.openflow import Switch


@dataclass(frozen=True, slots=True)
class LearntMac:
    """One MAC.

    Args:
        mac: ``aa:bb:cc:dd:ee:ff``.
        kind: behind a peer or a port.
        subject: short id or OpenFlow port number (low 16 bits).
        age_s: seconds since it was learnt there.
    """

    mac: str
    kind: Kind
    subject: int
    age_s: int


@dataclass(frozen=True, slots=True)
class Sides:
    """MACs as 12 hex digits, by the side of a gateway port that they are on."""

    mesh: frozenset[str]
    hosts: frozenset[str]
    own: frozenset[str]
    """Those of `mesh` that are beside this peer."""
    relayed: frozenset[str]
    """Those that are behind other gateways, or beside them."""
    unclear: frozenset[str]
    """Those of `relayed` that are on neither side, by what is known so far."""


def sides_of(
    learnt: Iterable[LearntMac],
    port: int,
    gateways: Collection[ShortId],
    letting_in: Collection[ShortId],
    unknown: Collection[ShortId],
    peers: Collection[ShortId],
) -> Sides:
    """Which MACs are on which side of a gateway port.

    Args:
        learnt: what the switch has learnt.
        port: OpenFlow number of the gateway port.
        gateways: short ids of the other gateways of its segment.
        letting_in: those of them behind which the segment's hosts are.
        unknown: those of them of which that is not known.
        peers: short ids of all peers that are known. What an earlier daemon's flows learnt
            behind somebody else may be on either side: announced to the wrong one it would
            draw frames away from where the MAC is.
    """
    mesh: set[str] = set()
    hosts: set[str] = set()
    own: set[str] = set()
    relayed: set[str] = set()
    unclear: set[str] = set()
    for one in learnt:
        mac, is_here = one.mac.replace(":", ""), one.kind is Kind.LEARNT_PORT
        if not is_here and one.subject in gateways:
            relayed.add(mac)
        if not is_here and one.subject in unknown:
            unclear.add(mac)
        elif one.subject == port & 0xFFFF if is_here else one.subject in letting_in:
            hosts.add(mac)
        elif is_here or one.subject in peers:
            mesh.add(mac)
            if is_here:
                own.add(mac)
    return Sides(*map(frozenset, (mesh, hosts, own, relayed, unclear)))


class MacReader:
    """Reads the tables `mac` and `origins`."""

    def __init__(self, switch: Switch) -> None:
        self._switch = switch

    def learnt(self) -> list[LearntMac]:
        """All MACs, sorted; of two entries for one MAC the one that counts.

        Raises:
            OpenFlowError: the switch is not connected or does not answer.
        """
        return sorted(self.current(), key=attrgetter("mac"))

    def current(self) -> list[LearntMac]:
        """The same, in no order."""
        return [learnt for _, learnt in self._best().values()]

    def hearsay(self) -> frozenset[str]:
        """MACs that other gateways know in the mesh, as this switch was told: 12 hex digits.

        Raises:
            OpenFlowError: the switch is not connected or does not answer.
        """
        cookie = cookies.subject_cookie(Kind.LEARNT_PORT, rules.HEARSAY)
        told = self._switch.dump(cookie, cookies.SUBJECT_MASK, ORIGINS.number)
        return frozenset(entry.mac.replace(":", "") for entry in told if entry.mac is not None)

    def _best(self) -> dict[str, tuple[int, LearntMac]]:
        """For each MAC the priority of the entry that counts, and what it says."""
        best: dict[str, tuple[int, LearntMac]] = {}
        for entry in self._switch.dump(cookies.OWNER << 56, cookies.OWNER_MASK, MAC.number):
            parsed, mac = cookies.parse(entry.cookie), entry.mac
            if parsed is None or mac is None:
                continue
            if mac not in best or best[mac][0] < entry.priority:
                learnt = LearntMac(mac, parsed[0], parsed[1], entry.duration_sec)
                best[mac] = (entry.priority, learnt)
        return best
