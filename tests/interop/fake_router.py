"""A scripted Weave router: a fake peer with a table of peers, routes, and a memory of MACs.

Written from the description of the protocol alone, like `fake_peer`, and from nothing of
`weave_ryu`. It does what an unmodified router does with what it is told: merges, collects what it
cannot reach, computes routes, learns MACs from frames, floods and relays. It knows of no segments,
gateways or roles.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

from fake_peer import (
    GOSSIP,
    PORT,
    Datagram,
    FakePeer,
    Message,
    Session,
    encode_topology,
    entry,
    line,
)

COLLECT_AFTER_S = 1.0


@dataclass(frozen=True)
class Local:
    """A frame that came out at the router's own bridge.

    Args:
        source: name of the peer that let it in; 0 if no peer has that short id.
        vni: as it came.
        by: underlay address that it came from.
    """

    at: float
    source: int
    vni: int
    by: str
    frame: bytes


@dataclass(frozen=True)
class Sent:
    """A frame that the router has sent: to which underlay address, with which number."""

    at: float
    to: str
    vni: int
    frame: bytes


@dataclass(eq=False)
class FakeRouter(FakePeer):
    """One router, with one container whose frames are given to `capture`.

    Attributes:
        table: peers by name, as `decode_topology` has them; itself among them.
        macs: MAC → name of the peer that it is behind, as raw bytes.
        learnt: each time that a MAC was learnt or moved: when, MAC, peer.
        local: frames for the container, heartbeats not among them.
        sent: frames into the mesh.
        changing: held while anything of it changes.
    """

    table: dict[int, dict[str, Any]] = field(default_factory=dict)
    macs: dict[bytes, int] = field(default_factory=dict)
    learnt: list[tuple[float, bytes, int]] = field(default_factory=list)
    local: list[Local] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    changing: threading.RLock = field(default_factory=threading.RLock)
    _collect_at: float = float("inf")

    # What the router's owner asks.

    def join(self, router_ip: str) -> Session:
        """Dial a router and stay connected to it."""
        session = self.connect(router_ip)
        self._renew()
        return session

    def by_nick_name(self, nick_name: str) -> tuple[int, dict[str, Any]] | None:
        """Name and entry of a peer; None if there is none."""
        with self.changing:
            found = [(n, e) for n, e in self.table.items() if e["NickName"] == nick_name]
        return found[0] if found else None

    def first_hop(self, name: int) -> int | None:
        """Name of the neighbour that frames for a peer go to; None if there is no way."""
        with self.changing:
            return self.first_hops().get(name)

    def targets(self) -> set[str]:
        """Whom discovery would dial: addresses."""
        found = set()
        with self.changing:
            near = {self.name, *self.table[self.name]["Connections"]}
            for name, known in self.table.items():
                for far, told in known["Connections"].items():
                    if name == self.name or far in near:
                        continue
                    host, colon, port = told["RemoteTCPAddr"].rpartition(":")
                    if colon:
                        found.add(f"{host}:{port if told['Outbound'] else PORT}")
        return found

    def capture(self, frame: bytes) -> None:
        """A frame of the container."""
        with self.changing:
            if self.macs.setdefault(frame[6:12], self.name) != self.name:
                return  # it is somebody else's: a conflict
            home = self.macs.get(frame[:6])
            if home is None:
                self._flood(self.name, frame)
            elif home != self.name:
                self._send(home, self.name, frame)

    # Topology.

    def heard(self, session: Session, message: Message) -> None:
        told = message.topology
        if told is not None:
            with self.changing:
                news = self.merge(told)
                if news:
                    self._collect_at = min(self._collect_at, time.monotonic() + COLLECT_AFTER_S)
            if news:
                self._pass_on(news, session)
        self._renew()

    def lost(self, session: Session) -> None:
        self._renew()

    def _renew(self) -> None:
        """Raise the own version and tell it, if the own connections have changed."""
        with self.changing:
            known = self.table.get(self.name, _placeholder())
            own = self._own_entry()
            if own["Connections"] == known["Connections"]:
                return
            self.version += 1
            self.table[self.name] = {**own, "Version": self.version}
            if known["Connections"].keys() - own["Connections"].keys():
                self.collect()
            names = set(self.table)
        self._pass_on(names, None)

    def _own_entry(self) -> dict[str, Any]:
        lines = {
            session.router_name: {
                "Outbound": True,
                "Established": session.is_acknowledged,
                "RemoteTCPAddr": f"{session.router_ip}:{PORT}",
            }
            for session in self._open_sessions()
        }
        return {
            "NickName": f"fake{self.name & 0xFF}",
            "UID": self.uid,
            "Version": self.version,
            "ShortID": self.short_id,
            "Connections": lines,
        }

    def _open_sessions(self) -> list[Session]:
        return [session for session in list(self.sessions) if not session.ended]

    def merge(self, told: dict[int, dict[str, Any]]) -> set[int]:
        """Take what is newer; returns whose entries are."""
        news = set()
        for name, theirs in told.items():
            known = self.table.get(name)
            if name != self.name and (known is None or _is_newer(theirs, known)):
                self.table[name] = theirs
                news.add(name)
            for far in theirs["Connections"]:
                self.table.setdefault(far, _placeholder())
        return news

    def collect(self) -> None:
        """Drop whom no recorded connection leads to, and what was learnt of them."""
        reached, todo = set(), [self.name]
        while todo:
            name = todo.pop()
            if name in self.table and name not in reached:
                reached.add(name)
                todo += self.table[name]["Connections"]
        self.table = {name: known for name, known in self.table.items() if name in reached}
        self.macs = {mac: name for mac, name in self.macs.items() if name in reached}
        self._collect_at = float("inf")

    def _pass_on(self, names: set[int], but: Session | None) -> None:
        with self.changing:
            entries = [_as_sent(n, self.table[n]) for n in sorted(names) if n in self.table]
        payload = encode_topology(entries)
        for session in self._open_sessions():
            if session is not but:
                session.gossip("topology", payload, GOSSIP)

    def tick(self) -> None:
        with self.changing:
            if time.monotonic() >= self._collect_at:
                self.collect()

    # Routes.

    def _ways(self, name: int) -> list[int]:
        """Neighbours of a peer by connections that both call established."""
        known = self.table.get(name, _placeholder())
        return [
            far
            for far, told in known["Connections"].items()
            if told["Established"]
            and self.table.get(far, _placeholder())["Connections"].get(name, {}).get("Established")
        ]

    def first_hops(self) -> dict[int, int]:
        hops, level = {self.name: self.name}, [self.name]
        while level:
            found = []
            for near in sorted(level):
                for far in self._ways(near):
                    if far not in hops:
                        hops[far] = far if near == self.name else hops[near]
                        found.append(far)
            level = found
        del hops[self.name]
        return hops

    def tree_hops(self, source: int) -> list[int]:
        """Broadcasts of a peer are passed on to these."""
        reached, level = {source}, [source]
        while level:
            found = []
            for near in sorted(level):
                new = [far for far in self._ways(near) if far not in reached]
                if near == self.name:
                    return new
                reached.update(new)
                found += new
            level = found
        return []

    # Frames.

    def other(self, datagram: Datagram) -> None:
        """A datagram that is no heartbeat for us."""
        frame = datagram.frame
        with self.changing:
            source, target = self._owner(datagram.vni & 0xFFF), self._owner(datagram.vni >> 12)
            if source is None or target is None or frame[12:14] == b"\0\0":
                self.stray.append(datagram)
                return
            if target != self.name:
                self._send(target, source, frame)
                return
            if self.macs.get(frame[6:12]) != source:
                self.macs[frame[6:12]] = source
                self.learnt.append((datagram.at, frame[6:12], source))
            self.local.append(Local(datagram.at, source, datagram.vni, datagram.source, frame))
            if self.macs.get(frame[:6]) != self.name:
                self._flood(source, frame)

    def _owner(self, short_id: int) -> int | None:
        owners = [n for n, known in self.table.items() if known["ShortID"] == short_id]
        return min(owners, default=None)

    def _flood(self, source: int, frame: bytes) -> None:
        for hop in self.tree_hops(source):
            self._send(hop, source, frame)

    def _send(self, target: int, source: int, frame: bytes) -> None:
        hop = self.first_hops().get(target)
        if hop is None:
            return
        ids = self.table[target]["ShortID"], self.table[source]["ShortID"]
        for session in self._open_sessions():
            if session.router_name == hop:
                vni = ids[0] << 12 | ids[1]
                self.sent.append(Sent(time.monotonic(), session.router_ip, vni, frame))
                self.send_frame(session, frame, *ids)


def _is_newer(theirs: dict[str, Any], known: dict[str, Any]) -> bool:
    one, other = ((e["Version"], e["UID"], e["ShortID"] is not None) for e in (theirs, known))
    return one > other


def _placeholder() -> dict[str, Any]:
    return {"NickName": "", "UID": 0, "Version": 0, "ShortID": None, "Connections": {}}


def _as_sent(name: int, known: dict[str, Any]) -> dict[str, Any]:
    lines = [
        {**line(far, told["RemoteTCPAddr"], told["Established"]), "Outbound": told["Outbound"]}
        for far, told in known["Connections"].items()
    ]
    made = entry(name, known["UID"], known["Version"], known["ShortID"], lines)
    return {**made, "NickName": known["NickName"]}
