"""The payload of channel ``topology``: entries of peers (mesh/peers.go, peer.go)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from weave_ryu.errors import RemoteProtocolError
from weave_ryu.mesh import gob
from weave_ryu.mesh.features import MAX_NICK_NAME_BYTES, printable
from weave_ryu.mesh.peers import MAX_PEERS, Connection, Peer, Peers, connections_by_name
from weave_ryu.names import MAX_SHORT_ID, UNKNOWN_PEER, PeerName, PeerUID, ShortId

MAX_CONNECTIONS = 300_000
"""In one update, over all peers: what a full mesh of 540 has."""

MAX_ADDRESS_BYTES = 256

_MAX_DIALECTS = 8
"""Ways to lay out an entry; Go and we have one each."""

_PEER_ID, _CONNECTION_ID, _SLICE_ID = 66, 67, 68
_PEER = gob.StructOf(
    {
        "NameByte": gob.Scalar.BYTES,
        "NickName": gob.Scalar.STRING,
        "UID": gob.Scalar.UINT,
        "Version": gob.Scalar.UINT,
        "ShortID": gob.Scalar.UINT,
        "HasShortID": gob.Scalar.BOOL,
    }
)
_CONNECTIONS = gob.SliceOf(
    gob.StructOf(
        {
            "NameByte": gob.Scalar.BYTES,
            "RemoteTCPAddr": gob.Scalar.STRING,
            "Outbound": gob.Scalar.BOOL,
            "Established": gob.Scalar.BOOL,
        }
    ),
    MAX_CONNECTIONS,
)
_ID_OF = {
    gob.Scalar.BOOL: gob.BOOL_ID,
    gob.Scalar.UINT: gob.UINT_ID,
    gob.Scalar.BYTES: gob.BYTES_ID,
    gob.Scalar.STRING: gob.STRING_ID,
}


EntryCache = MutableMapping[PeerName, tuple[Peer, bytes, bytes]]
"""An entry and its two items as they were written last."""


@dataclass(frozen=True, slots=True)
class RawConnection:
    """A ``connectionSummary`` as it is on the wire."""

    name_bytes: bytes
    remote_tcp_addr: str
    outbound: bool
    established: bool


@dataclass(frozen=True, slots=True)
class RawPeer:
    """A ``peerSummary`` and its connections as they are on the wire, in that order."""

    name_bytes: bytes
    nick_name: str
    uid: int
    version: int
    short_id: int
    has_short_id: bool
    connections: tuple[RawConnection, ...]


def decode_raw(payload: bytes) -> list[RawPeer]:
    """Read an update without a look at what the values mean. Empty is legal: no peers.

    Raises:
        RemoteProtocolError: not gob, of another shape, or over a limit.
    """
    return [
        RawPeer(
            peer["NameByte"],
            peer["NickName"],
            peer["UID"],
            peer["Version"],
            peer["ShortID"],
            peer["HasShortID"],
            tuple(
                RawConnection(
                    line["NameByte"], line["RemoteTCPAddr"], line["Outbound"], line["Established"]
                )
                for line in lines
            ),
        )
        for peer, lines in _read_entries(payload)
    ]


def decode_update(payload: bytes) -> list[Peer]:
    """Read and check an update.

    Raises:
        RemoteProtocolError: as ``decode_raw``, or a value that no router sends.
    """
    return [_checked_peer(peer, lines) for peer, lines in _read_entries(payload)]


class UpdateReader:
    """Reads updates for a table, and of what the table has already only enough to see that.

    Every 30 s each neighbour may tell its whole table, of which hardly anything is news. The same
    peer, incarnation and version always have the same connections, so these are not read again. A
    header that was read once is known by its bytes.
    """

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._headers: dict[tuple[tuple[str, int], ...], dict[bytes, Peer]] = {}
        self._whole: dict[PeerName, Peer] = {}
        self._removals = 0

    def read(self, payload: bytes) -> list[Peer]:
        """As ``decode_update``; an entry that is no news is the table's own object.

        Raises:
            RemoteProtocolError: as ``decode_update``; but the connections of what is no news may
                be anything.
        """
        if self._removals != self._peers.removals:
            self._removals = self._peers.removals
            self._whole.clear()
        decoder = gob.Decoder(payload)
        connections_left = MAX_CONNECTIONS
        entries: list[Peer] = []
        table = self._peers
        known_by_type: dict[int, dict[bytes, Peer]] = {}
        while not decoder.at_end:
            if len(entries) >= MAX_PEERS:
                raise RemoteProtocolError("too-many-peers", f"over {MAX_PEERS} in one update")
            header = self._header(decoder, known_by_type)
            taken = decoder.take(_CONNECTIONS)
            known = table.get(header.name)
            if known is None or not self._is_known(header, known):
                lines = decoder.read_taken(_CONNECTIONS, taken)
                connections_left -= len(lines)
                if connections_left < 0:
                    raise RemoteProtocolError("too-many-connections", f"over {MAX_CONNECTIONS}")
                known = replace(header, connections=_checked_connections(lines))
            entries.append(known)
        return entries

    def _header(self, decoder: gob.Decoder, known_by_type: dict[int, dict[bytes, Peer]]) -> Peer:
        """The next entry without its connections.

        Args:
            decoder: of the update.
            known_by_type: for ``_known_headers``, by the types of this update.
        """
        taken = decoder.take(_PEER)
        known = known_by_type.get(taken[0])
        if known is None:
            known = known_by_type[taken[0]] = self._known_headers(decoder.types[taken[0]].fields)
        raw = decoder.bytes_of(taken)
        header = known.get(raw)
        if header is None:
            if len(known) >= 2 * MAX_PEERS:
                known.clear()
            header = known[raw] = _checked_peer(decoder.read_taken(_PEER, taken), [])
        return header

    def _known_headers(self, fields: tuple[tuple[str, int], ...]) -> dict[bytes, Peer]:
        """Headers of this layout by their bytes; kept if nothing else says what these mean."""
        known = self._headers.get(fields)
        if known is None:
            known = {}
            if len(self._headers) < _MAX_DIALECTS and all(kind < 64 for _, kind in fields):
                self._headers[fields] = known
        return known

    def _is_known(self, header: Peer, known: Peer) -> bool:
        """The table has this very entry, and all whom it names.

        What is told of ourself is read whole: if it is not what we say, we have to contradict.
        """
        if known is self._peers.own or (
            known.version != header.version
            or known.uid != header.uid
            or (known.short_id is None and header.short_id is not None)
        ):
            return False
        if self._whole.get(known.name) is known:
            return True
        if not all(name in self._peers for name in known.connections):
            return False
        self._whole[known.name] = known
        return True


def _read_entries(payload: bytes) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    decoder = gob.Decoder(payload)
    peers_left, connections_left = MAX_PEERS, MAX_CONNECTIONS
    while not decoder.at_end:
        peers_left -= 1
        if peers_left < 0:
            raise RemoteProtocolError("too-many-peers", f"over {MAX_PEERS} in one update")
        peer = decoder.read(_PEER)
        lines = decoder.read(_CONNECTIONS)
        connections_left -= len(lines)
        if connections_left < 0:
            raise RemoteProtocolError("too-many-connections", f"over {MAX_CONNECTIONS}")
        yield peer, lines


def _checked_peer(peer: dict[str, Any], lines: list[dict[str, Any]]) -> Peer:
    short_id = peer["ShortID"]
    if short_id > MAX_SHORT_ID:
        raise RemoteProtocolError("bad-short-id", f"short id {short_id} is over 12 bits")
    return Peer(
        name=_checked_name(peer["NameByte"]),
        nick_name=printable(peer["NickName"], MAX_NICK_NAME_BYTES),
        uid=PeerUID(peer["UID"]),
        version=peer["Version"],
        short_id=ShortId(short_id) if peer["HasShortID"] else None,
        connections=_checked_connections(lines),
    )


def _checked_connections(lines: list[dict[str, Any]]) -> Mapping[PeerName, Connection]:
    return connections_by_name(
        _checked_connection(
            line["NameByte"], line["RemoteTCPAddr"], line["Outbound"], line["Established"]
        )
        for line in lines
    )


@lru_cache(maxsize=1 << 16)
def _checked_connection(
    name: bytes, remote_tcp_addr: str, outbound: bool, established: bool
) -> Connection:
    """The same lines come again every 30 s from many neighbours: made and kept once."""
    return Connection(
        _checked_name(name), printable(remote_tcp_addr, MAX_ADDRESS_BYTES), outbound, established
    )


def _checked_name(raw: bytes) -> PeerName:
    if len(raw) != 6:
        raise RemoteProtocolError("bad-name", f"a peer name of {len(raw)} bytes")
    name = PeerName.from_bytes6(raw)
    if name == UNKNOWN_PEER:
        raise RemoteProtocolError("bad-name", "peer name 0")
    return name


def _definitions() -> tuple[bytes, bytes]:
    peer_fields = [(name, _scalar_id(kind)) for name, kind in _PEER.fields.items()]
    element = _CONNECTIONS.element
    fields = element.fields.items() if isinstance(element, gob.StructOf) else ()
    line_fields = [(name, _scalar_id(kind)) for name, kind in fields]
    return (
        gob.define_struct(_PEER_ID, "peerSummary", peer_fields),
        gob.define_slice(_SLICE_ID, _CONNECTION_ID)
        + gob.define_struct(_CONNECTION_ID, "connectionSummary", line_fields),
    )


def _scalar_id(kind: gob.Expected) -> int:
    if not isinstance(kind, gob.Scalar):
        raise TypeError(f"{kind!r} is no scalar")
    return _ID_OF[kind]


_DEFINE_PEER, _DEFINE_CONNECTIONS = _definitions()


def encode_update(peers: Iterable[Peer], cache: EntryCache | None = None) -> bytes:
    """Write entries; each type is defined before its first use, as Go does it. No peers: empty.

    Args:
        peers: in the order in which they are written.
        cache: entries written before; one that is not the same object is written anew.
    """
    parts: list[bytes] = []
    for peer in peers:
        body, lines = _encode_entry(peer, {} if cache is None else cache)
        if not parts:
            parts = [_DEFINE_PEER, body, _DEFINE_CONNECTIONS, lines]
        else:
            parts += (body, lines)
    return b"".join(parts)


def _encode_entry(peer: Peer, cache: EntryCache) -> tuple[bytes, bytes]:
    known, body, lines = cache.get(peer.name, (None, b"", b""))
    if known is not peer:
        encoded = [_connection_body(line) for line in peer.sorted_connections()]
        body = gob.item(_PEER_ID, _peer_body(peer))
        lines = gob.scalar_item(_SLICE_ID, gob.encode_uint(len(encoded)) + b"".join(encoded))
        cache[peer.name] = (peer, body, lines)
    return body, lines


def _peer_body(peer: Peer) -> bytes:
    return gob.encode_struct(
        [
            gob.encode_bytes(peer.name.to_bytes6()),
            gob.encode_text(peer.nick_name) if peer.nick_name else None,
            gob.encode_uint(peer.uid) if peer.uid else None,
            gob.encode_uint(peer.version) if peer.version else None,
            gob.encode_uint(peer.short_id) if peer.short_id else None,
            b"\1" if peer.short_id is not None else None,
        ]
    )


def _connection_body(line: Connection) -> bytes:
    return gob.encode_struct(
        [
            gob.encode_bytes(line.remote.to_bytes6()),
            gob.encode_text(line.remote_tcp_addr) if line.remote_tcp_addr else None,
            b"\1" if line.outbound else None,
            b"\1" if line.established else None,
        ]
    )
