"""What is known of all peers: entries, short ids, merge of updates, garbage collection.

An entry is immutable; a change replaces it (mesh/peers.go, local_peer.go).
"""

from __future__ import annotations

import random
from collections.abc import Container, Iterable, Iterator, KeysView, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from weave_ryu.errors import LocalProtocolError
from weave_ryu.mesh.shortids import ShortIdIndex
from weave_ryu.names import MAX_SHORT_ID, PeerName, PeerUID, ShortId

MAX_PEERS = 4096
"""More cannot have short ids of their own; a table that grows beyond is an attack or a mistake."""

MAX_VERSION = (1 << 63) - (1 << 32) - 1
"""Of others: a higher one is a lie, since nobody changes so often. Whoever hears such a thing of
itself needs room to count on, in 64 bits (mesh/gob.go); of a segment's version the last 32 bits are
a counter and a tag (mesh/segments.py)."""

MAX_STEP = 1 << 32
"""A version does not grow by more between two messages, unless to get above a lie."""

_HIGHEST = (1 << 64) - 1
"""More cannot be encoded."""


@dataclass(frozen=True, slots=True)
class Connection:
    """One line of a peer's entry: its connection to another peer, as that peer sees it.

    Attributes:
        remote: far end.
        remote_tcp_addr: ``host:port`` of the far end as the peer sees it.
        outbound: the peer dialled.
        established: the peer says that its overlay works.
    """

    remote: PeerName
    remote_tcp_addr: str
    outbound: bool
    established: bool


_PLACEHOLDER_UID = PeerUID(0)


def _no_connections() -> Mapping[PeerName, Connection]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Peer:
    """One peer's entry.

    Attributes:
        uid: incarnation; 0 for a placeholder.
        short_id: None if it has none.
        connections: by far end; never changed in place.
    """

    name: PeerName
    nick_name: str = ""
    uid: PeerUID = _PLACEHOLDER_UID
    version: int = 0
    short_id: ShortId | None = None
    connections: Mapping[PeerName, Connection] = field(default_factory=_no_connections)

    @property
    def is_placeholder(self) -> bool:
        """Only named by others so far."""
        return self.uid == 0

    @property
    def owner(self) -> PeerName | None:
        """The gateway that a segment's entry names; None if the entry is no segment's."""
        if len(self.connections) != 1:
            return None
        line = next(iter(self.connections.values()))
        return line.remote if line.established and not line.remote_tcp_addr else None

    def sorted_connections(self) -> list[Connection]:
        """By name of the far end."""
        return [self.connections[name] for name in sorted(self.connections)]


def connections_by_name(connections: Iterable[Connection]) -> Mapping[PeerName, Connection]:
    """What an entry holds; of two lines about one far end the last counts."""
    return MappingProxyType({line.remote: line for line in connections})


@dataclass(frozen=True, slots=True)
class MergeResult:
    """What an update did.

    Attributes:
        update: all names in it, sorted.
        delta: those that were new or improved, sorted.
        old_life: our own version was raised above that of an earlier incarnation of ours.
        unknown: those that it only names as far ends, and of whom we know nothing more, sorted.
        outdated: those of whom we know another incarnation that wins, and segments of which we know
            a later version, sorted.
    """

    update: tuple[PeerName, ...]
    delta: tuple[PeerName, ...]
    old_life: bool
    unknown: tuple[PeerName, ...] = ()
    outdated: tuple[PeerName, ...] = ()


def _says_same(told: Peer, own: Peer) -> bool:
    """Nobody but the owner writes an entry; what is told of it says the same, or is a lie."""
    lines = own.connections
    return told.connections.keys() == lines.keys() and all(
        line.established == lines[name].established for name, line in told.connections.items()
    )


def _wins(update: Peer, known: Peer) -> bool:
    """True if the update replaces what is known (mesh/peers.go applyUpdate)."""
    if update.version != known.version:
        return update.version > known.version
    if update.uid != known.uid:
        return update.uid > known.uid
    return update.short_id is not None and known.short_id is None


class Peers:
    """The table. The own entry is in it, and is changed only by the methods named ``*_own_*``."""

    def __init__(self, own: Peer, rng: random.Random) -> None:
        self._rng = rng
        self._own_name = own.name
        self._by_name: dict[PeerName, Peer] = {own.name: own}
        self._short_ids = ShortIdIndex()
        self._own_short_id_changes = 0
        self.removals = 0
        """How many entries have been forgotten so far."""
        self.encoded: dict[PeerName, tuple[Peer, bytes, bytes]] = {}
        """For mesh/topology.py: entries as they were written last."""
        if own.short_id is not None:
            self._short_ids.add(own.short_id, own.name)

    @classmethod
    def from_entries(cls, entries: Iterable[Peer], own: PeerName, rng: random.Random) -> Peers:
        """A table as it was at some moment; one of the entries is our own."""
        by_name = {peer.name: peer for peer in entries}
        if own not in by_name:
            raise LocalProtocolError(f"our own entry {own} is not among the entries")
        table = cls(by_name[own], rng)
        for peer in by_name.values():
            if peer.name != own:
                table._insert(peer)
        return table

    # Looking.

    def __len__(self) -> int:
        return len(self._by_name)

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __iter__(self) -> Iterator[Peer]:
        """All entries, by name."""
        return iter([self._by_name[name] for name in sorted(self._by_name)])

    def __getitem__(self, name: PeerName) -> Peer:
        return self._by_name[name]

    def get(self, name: PeerName) -> Peer | None:
        """The entry, or None."""
        return self._by_name.get(name)

    def is_known(self, name: PeerName) -> bool:
        """Whether more of it is known than its name."""
        peer = self._by_name.get(name)
        return peer is not None and not peer.is_placeholder

    @property
    def own(self) -> Peer:
        """Our own entry."""
        return self._by_name[self._own_name]

    @property
    def own_short_id_changes(self) -> int:
        """Grows by one for each change of our short id."""
        return self._own_short_id_changes

    def by_short_id(self, short_id: ShortId) -> Peer | None:
        """The owner of a short id (the lowest name that has it), or None."""
        name = self._short_ids.owner(short_id)
        return None if name is None else self._by_name[name]

    def short_id_owners(self) -> dict[ShortId, PeerName]:
        """Owner of each short id in use, by number."""
        return self._short_ids.owners()

    def select(self, names: Iterable[PeerName]) -> list[Peer]:
        """Those entries that are still there, by name."""
        return [self._by_name[name] for name in sorted(set(names)) if name in self._by_name]

    @property
    def names(self) -> KeysView[PeerName]:
        """Of all entries, in no order."""
        return self._by_name.keys()

    # The own entry.

    def add_own_connection(self, line: Connection) -> None:
        """Add or replace a line; own version + 1."""
        own = self.own
        self._set_own(replace(own, connections=_with(own.connections, line)))

    def establish_own_connection(self, remote: PeerName, established: bool = True) -> None:
        """Mark a line as established, or as not established any more; own version + 1."""
        own = self.own
        line = own.connections.get(remote)
        if line is None:
            raise LocalProtocolError(f"no connection to {remote} in our own entry")
        self.add_own_connection(replace(line, established=established))

    def delete_own_connection(self, remote: PeerName) -> None:
        """Take a line out; own version + 1."""
        own = self.own
        rest = [line for line in own.connections.values() if line.remote != remote]
        self._set_own(replace(own, connections=connections_by_name(rest)))

    # Entries that we write for peers without a host (mesh/segments.py).

    def put(self, peer: Peer) -> None:
        """Add or replace an entry, whatever is known, and however full the table is."""
        if peer.name in self._by_name:
            self._replace(peer)
        else:
            self._insert(peer)
        self._keep_own_short_id()

    def free_short_id(self, name: PeerName, wanted: ShortId) -> ShortId:
        """What a peer with that name may have: the first from `wanted` that no lower name has.

        Whoever asks finds the same one.
        """
        for step in range(MAX_SHORT_ID):
            short_id = ShortId(wanted + step & MAX_SHORT_ID)
            owner = self._short_ids.owner(short_id)
            if owner is None or owner >= name:
                return short_id
        return wanted

    def _set_own(self, changed: Peer) -> None:
        version = min(changed.version + 1, _HIGHEST)
        self._by_name[self._own_name] = replace(changed, version=version)

    # Others.

    def take_in(self, peer: Peer) -> None:
        """Add a peer that has shaken hands with us, unless it is known.

        There is room for neighbours, however many others somebody has told of: connections have a
        limit of their own.
        """
        if peer.name in self._by_name:
            return
        self._insert(peer)
        self._keep_own_short_id()

    def may_be(self, entry: Peer, sender: PeerName | None, neighbours: Container[PeerName]) -> bool:
        """Whether an entry is credible: its version is one that a peer may have reached.

        Args:
            entry: that somebody tells.
            sender: the neighbour that tells it.
            neighbours: they tell their own entries, so that lies of others are recognized.
        """
        if entry.name == sender:
            return entry.version <= MAX_VERSION + MAX_STEP
        if entry.version > MAX_VERSION:
            return False
        known = self._by_name.get(entry.name)
        is_jump = known is not None and entry.version > known.version + MAX_STEP
        return not (is_jump and entry.name != self._own_name and entry.name in neighbours)

    def contradict(self, told: Peer) -> bool:
        """Get above an entry that is told of this life of ours, and that we have not written.

        Weave would never get over such a lie (mesh/peers.go applyUpdate looks at other UIDs only).
        """
        own = self.own
        is_lie = told.version > own.version or not _says_same(told, own)
        if told.uid != own.uid or not own.version <= told.version <= MAX_VERSION or not is_lie:
            return False
        self._by_name[self._own_name] = replace(own, version=told.version + 1)
        return True

    def merge(self, update: Iterable[Peer], sender: PeerName | None = None) -> MergeResult:
        """Merge a topology update (mesh/peers.go applyUpdate).

        Args:
            update: entries that `may_be`.
            sender: the neighbour that tells it; its word about itself stands above that of others.

        What would make the table grow beyond its bound is left out. Whoever tells it may only pass
        on what somebody else has made up.
        """
        told = list(update)
        # What is the table's own object is no news, and names nobody new (mesh/topology.py).
        entries = [peer for peer in told if self._by_name.get(peer.name) is not peer]
        new = {peer.name: peer for peer in entries if peer.name not in self._by_name}
        placeholders = {
            name
            for peer in entries
            for name in peer.connections
            if name not in self._by_name and name not in new
        }
        room = max(0, MAX_PEERS - len(self._by_name))
        if len(new) + len(placeholders) > room:
            new = dict(list(new.items())[:room])
            placeholders = set(sorted(placeholders)[: room - len(new)])
            entries = [peer for peer in entries if peer.name in self._by_name or peer.name in new]
        for peer in new.values():
            self._insert(peer)
        for name in placeholders:
            self._insert(Peer(name))
        self._keep_own_short_id()
        delta: set[PeerName] = set(new)
        outdated: set[PeerName] = set()
        old_life = False
        for peer in entries:
            if peer.name == self._own_name:
                old_life = self._hear_of_ourself(peer) or old_life
            elif new.get(peer.name) is not peer:
                known = self._by_name[peer.name]
                is_own_word = peer.name == sender and known.version > peer.version + MAX_STEP
                if is_own_word or _wins(peer, known):
                    self._replace(peer)
                    delta.add(peer.name)
                elif peer.uid != known.uid:
                    outdated.add(peer.name)
                elif known.owner is not None and peer.version < known.version:
                    # Others than its owner count its versions on: whoever had forgotten it has to
                    # get above those.
                    outdated.add(peer.name)
        self._keep_own_short_id()
        names = {peer.name for peer in told if peer.name in self._by_name}
        return MergeResult(
            update=tuple(sorted(names)),
            delta=tuple(sorted(delta)),
            old_life=old_life,
            unknown=tuple(sorted(placeholders)),
            outdated=tuple(sorted(outdated)),
        )

    def _hear_of_ourself(self, peer: Peer) -> bool:
        """An old life of ours is still told about: get above it."""
        own = self.own
        if peer.uid == own.uid or not own.version <= peer.version <= MAX_VERSION:
            return False
        self._by_name[self._own_name] = replace(own, version=peer.version + 1)
        return True

    def collect(self, referenced: Iterable[PeerName] = ()) -> tuple[PeerName, ...]:
        """Forget whom we cannot reach along recorded connections (mesh/peers.go).

        Args:
            referenced: far ends of our handshaked TCP connections; they stay.

        Returns:
            The removed names, sorted.
        """
        keep = self._reachable() | set(referenced)
        removed = tuple(sorted(name for name in self._by_name if name not in keep))
        self.removals += len(removed)
        for name in removed:
            peer = self._by_name.pop(name)
            self.encoded.pop(name, None)
            if peer.short_id is not None:
                self._short_ids.remove(peer.short_id, name)
        self._keep_own_short_id(retry=True)
        return removed

    def _reachable(self) -> set[PeerName]:
        reached = {self._own_name}
        waiting = [self._own_name]
        while waiting:
            if len(reached) >= len(self._by_name) and self._by_name.keys() <= reached:
                break  # all of them: in a full mesh after the first step
            peer = self._by_name.get(waiting.pop())
            if peer is not None:
                new = peer.connections.keys() - reached
                reached |= new
                waiting.extend(new)
        return reached

    def _insert(self, peer: Peer) -> None:
        self._by_name[peer.name] = peer
        if peer.short_id is not None:
            self._short_ids.add(peer.short_id, peer.name)

    def _replace(self, peer: Peer) -> None:
        known = self._by_name[peer.name]
        if known.short_id != peer.short_id and known.short_id is not None:
            self._short_ids.remove(known.short_id, peer.name)
        self._insert(peer)

    def _keep_own_short_id(self, retry: bool = False) -> None:
        """Draw another short id if a peer with a lower name has ours (mesh/peers.go).

        While all are taken we have none; only a collection can free one, so only it tries again.
        """
        own = self.own
        if own.short_id is None:
            if not retry:
                return
        elif self._short_ids.owner(own.short_id) == own.name:
            return
        drawn = self._short_ids.draw(self._rng)
        if drawn is None and own.short_id is None:
            return
        if own.short_id is not None:
            self._short_ids.remove(own.short_id, own.name)
        if drawn is not None:
            self._short_ids.add(drawn, own.name)
        self._own_short_id_changes += 1
        self._set_own(replace(own, short_id=drawn))


def _with(known: Mapping[PeerName, Connection], line: Connection) -> Mapping[PeerName, Connection]:
    return MappingProxyType({**known, line.remote: line})
