"""Reads the MACs that the switch has learnt."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter

from weave_ryu.gateway.reading import Learnt
from weave_ryu.pipeline import cookies
from weave_ryu.pipeline.cookies import Kind
from weave_ryu.pipeline.tables import MAC
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
    """Reads the table `mac`."""

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
