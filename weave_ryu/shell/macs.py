"""Reads the MACs that the switch has learnt."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter

from weave_ryu.gateway.reading import Learnt
from weave_ryu.names import ShortId
from weave_ryu.pipeline import cookies, rules
from weave_ryu.pipeline.cookies import Kind
from weave_ryu.pipeline.parts import LEARN_PRIORITY, LEARN_PRIORITY_SECOND_HAND
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

    def place(self) -> Learnt:
        """The same for `gateway.reading`."""
        return Learnt(self.mac.replace(":", ""), self.kind is Kind.LEARNT_PORT, self.subject)


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

    def hidden(self, behind: Iterable[ShortId], gateways: Iterable[ShortId]) -> list[str]:
        """MACs behind peers of which an older place is still there, at second hand.

        It would come to light when what is learnt behind those peers is forgotten.

        Args:
            behind: peers that are no gateways.
            gateways: peers that are.

        Returns:
            12 hex digits each, sorted.

        Raises:
            OpenFlowError: the switch is not connected or does not answer.
        """
        found = self._behind(behind, LEARN_PRIORITY)
        older = self._behind(gateways, LEARN_PRIORITY_SECOND_HAND) if found else set()
        return sorted(mac.replace(":", "") for mac in found & older)

    def _behind(self, peers: Iterable[ShortId], priority: int) -> set[str]:
        return {
            entry.mac
            for peer in peers
            for entry in self._switch.dump(
                cookies.subject_cookie(Kind.LEARNT_PEER, peer), cookies.SUBJECT_MASK, MAC.number
            )
            if entry.priority == priority and entry.mac is not None
        }

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
