"""What a lab consists of: peers and their links, containers, hosts, segments, all with addresses.

Values only. :mod:`weave_ryu.lab.lab` builds what a :class:`Topology` declares.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from pathlib import Path
from typing import Final

from weave_ryu.addresses import parse_decimal
from weave_ryu.config import parse_gateway
from weave_ryu.errors import ConfigError
from weave_ryu.names import PeerName

DEFAULT_PEERS: Final = ("W", "X", "Y", "Z", "A", "B")
DEFAULT_GATEWAYS: Final = ("A", "B")
SHAPES: Final = ("full", "line", "ring", "star")
ROLES: Final = ("active", "standby", "auto")
GATEWAY_PORT: Final = "gw0"
SEGMENT: Final = "vlan"
MAX_PEERS: Final = 64

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{0,9}")
_STATION_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,11}")
_FILE_KEYS: Final = {"peers", "links", "containers", "segments"}


@dataclass(frozen=True, slots=True)
class Peer:
    """One host of the mesh: a switch and a daemon."""

    nick_name: str
    name: PeerName
    underlay_cidr: str

    @property
    def underlay_ip(self) -> str:
        """The underlay address without its prefix length."""
        return self.underlay_cidr.partition("/")[0]


@dataclass(frozen=True, slots=True)
class Station:
    """A container at a peer, or a host on a segment: one namespace with one link."""

    name: str
    place: str
    mac: str
    cidr: str

    @property
    def ip(self) -> str:
        """The address without its prefix length."""
        return self.cidr.partition("/")[0]


@dataclass(frozen=True, slots=True)
class Segment:
    """One L2 domain with the peers that are gateways to it, in the order of their first roles.

    Attributes:
        options: more of the gateways' ``--gateway`` option, such as ``hello=true,preempt=true``.
    """

    name: str
    gateways: tuple[str, ...]
    options: str = ""


@dataclass(frozen=True, slots=True)
class Topology:
    """Everything a lab builds.

    Attributes:
        links: pairs of nick names between which mesh connections are made.
        is_full: every peer may connect to every other: peers discover one another.
    """

    peers: tuple[Peer, ...]
    links: tuple[tuple[str, str], ...]
    is_full: bool
    containers: tuple[Station, ...]
    hosts: tuple[Station, ...]
    segments: tuple[Segment, ...]

    def peer(self, nick_name: str) -> Peer:
        """The peer of this nick name."""
        for peer in self.peers:
            if peer.nick_name == nick_name:
                return peer
        known = ", ".join(peer.nick_name for peer in self.peers)
        raise ConfigError("peer", nick_name, f"the lab has no such peer (it has: {known})")

    def dials(self, nick_name: str) -> tuple[str, ...]:
        """The peers this one is told to connect to: of each link, the later end dials."""
        order = [peer.nick_name for peer in self.peers]
        position = order.index(nick_name)
        if self.is_full:
            return tuple(order[:position])
        ends = {other for link in self.links for other in link if nick_name in link}
        return tuple(other for other in order[:position] if other in ends)

    def gateways(self) -> tuple[str, ...]:
        """All peers that are a gateway of some segment, in order."""
        return tuple(gateway for segment in self.segments for gateway in segment.gateways)

    def segment_of(self, gateway: str) -> Segment | None:
        """The segment a peer is a gateway of."""
        for segment in self.segments:
            if gateway in segment.gateways:
                return segment
        return None


def build(
    peers: Sequence[str] = DEFAULT_PEERS,
    shape: str = "full",
    gateways: Sequence[str] | None = None,
) -> Topology:
    """A topology of one of the named shapes, with a container at each peer that is no gateway.

    Args:
        peers: nick names.
        shape: ``full``, ``line``, ``ring`` or ``star``. In a line or ring the gateways stand in the
            middle, W-X-A-B-Y-Z, so that frames are relayed through them; the star's centre is the
            first peer.
        gateways: those of ``peers`` that are gateways; A and B, as far as they exist, if None.

    Raises:
        ConfigError: a name is not usable, or the shape does not exist.
    """
    if shape not in SHAPES:
        known = ", ".join(SHAPES)
        raise ConfigError("--topology", shape, f"choose one of {known}, or name a file")
    if gateways is None:
        gateways = [name for name in DEFAULT_GATEWAYS if name in peers]
    for gateway in gateways:
        if gateway not in peers:
            raise ConfigError("--gateways", gateway, "not one of the peers: add it to --peers")
    plain = [name for name in peers if name not in gateways]
    middle = (len(plain) + 1) // 2
    in_line = [*plain[:middle], *gateways, *plain[middle:]]
    return _assemble(
        peers=peers,
        links=_shape_links(shape, peers, in_line),
        is_full=shape == "full",
        containers=[(f"{name}-c1", name) for name in plain],
        segments={SEGMENT: (list(gateways), ["Host1", "Host2"], "")} if gateways else {},
    )


def load(path: Path) -> Topology:
    """Read a topology from a TOML file, or a JSON file of the same content.

    ::

        peers = ["W", "X", "A", "B"]
        links = [["W", "X"], ["X", "A"], ["A", "B"]]   # without it: full mesh with discovery

        [containers]                                   # without it: one at each plain peer
        W-c1 = "W"

        [segments.vlan]
        gateways = ["A", "B"]
        hosts = ["Host1", "Host2"]
        options = "hello=true"                         # more for --gateway of its gateways

    Raises:
        ConfigError: naming the file and the key that is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
        document = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise ConfigError("--topology", str(path), f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError("--topology", str(path), f"not valid TOML or JSON: {error}") from error
    return from_document(document, f"--topology {path}")


def from_document(document: object, where: str) -> Topology:
    """Read a topology from the content of a file, or from :func:`to_document`.

    Raises:
        ConfigError: naming ``where`` and the key that is wrong.
    """
    if not isinstance(document, Mapping):
        raise ConfigError(where, type(document).__name__, "the file must hold an object with keys")
    unknown = sorted(set(document) - _FILE_KEYS)
    if unknown:
        raise ConfigError(where, unknown[0], f"unknown key; there are: {sorted(_FILE_KEYS)}")
    peers = _strings(document.get("peers"), f"{where}: peers")
    segments = _read_segments(document.get("segments", {}), where)
    gateways = {gateway for members, *_ in segments.values() for gateway in members}
    containers = document.get("containers", {f"{p}-c1": p for p in peers if p not in gateways})
    if not isinstance(containers, Mapping):
        raise ConfigError(f"{where}: containers", containers, 'write a table, W-c1 = "W"')
    links = document.get("links")
    return _assemble(
        peers=peers,
        links=list(combinations(peers, 2)) if links is None else _read_links(links, where),
        is_full=links is None,
        containers=[(str(name), str(place)) for name, place in containers.items()],
        segments=segments,
    )


def to_document(topology: Topology) -> dict[str, object]:
    """The topology as :func:`from_document` reads it; the addresses follow from the order."""
    document: dict[str, object] = {
        "peers": [peer.nick_name for peer in topology.peers],
        "containers": {station.name: station.place for station in topology.containers},
        "segments": {
            segment.name: {
                "gateways": list(segment.gateways),
                "hosts": [host.name for host in topology.hosts if host.place == segment.name],
                "options": segment.options,
            }
            for segment in topology.segments
        },
    }
    if not topology.is_full:
        document["links"] = [list(link) for link in topology.links]
    return document


def gateway_option(segment: Segment) -> str:
    """The daemon's ``--gateway`` for a gateway of a segment, without the role."""
    found = f"{GATEWAY_PORT},segment={segment.name}"
    return f"{found},{segment.options}" if segment.options else found


def parse_peers(text: str) -> tuple[str, ...]:
    """Read ``--peers``: names with commas, or how many in all, counting the gateways A and B.

    Raises:
        ConfigError: no usable name or number.
    """
    if text.isdecimal():
        count = parse_decimal(text)
        if count is None or not 2 <= count <= MAX_PEERS:
            raise ConfigError("--peers", text, f"give a number between 2 and {MAX_PEERS}, or names")
        letters = [name for name in DEFAULT_PEERS if name not in DEFAULT_GATEWAYS]
        plain = [
            letters[index] if index < len(letters) else f"P{index + 1}"
            for index in range(count - len(DEFAULT_GATEWAYS))
        ]
        return (*plain, *DEFAULT_GATEWAYS)
    return tuple(part.strip() for part in text.split(","))


def roles_by_hand(topology: Topology) -> dict[str, str]:
    """The first gateway of each segment active, the others standby: nothing moves by itself."""
    return {
        gateway: "standby" if position else "active"
        for segment in topology.segments
        for position, gateway in enumerate(segment.gateways)
    }


def parse_roles(options: Iterable[str], topology: Topology) -> dict[str, str]:
    """The role each gateway starts with: auto.

    Args:
        options: changes to that, each as ``A=standby``.
        topology: names the gateways.

    Raises:
        ConfigError: no such gateway or role.
    """
    roles = {gateway: "auto" for segment in topology.segments for gateway in segment.gateways}
    for option in options:
        gateway, _, role = option.partition("=")
        if gateway not in roles:
            known = ", ".join(roles) or "none"
            raise ConfigError("--role", option, f"there is no such gateway (there are: {known})")
        if role not in ROLES:
            raise ConfigError("--role", option, f"write {gateway}=ROLE, one of {', '.join(ROLES)}")
        roles[gateway] = role
    return roles


def _shape_links(shape: str, peers: Sequence[str], in_line: Sequence[str]) -> list[tuple[str, str]]:
    if shape == "line":
        return list(pairwise(in_line))
    if shape == "ring":
        closing = [(in_line[-1], in_line[0])] if len(in_line) > 2 else []
        return [*pairwise(in_line), *closing]
    if shape == "star":
        return [(peers[0], other) for other in peers[1:]]
    return list(combinations(peers, 2))


def _assemble(
    *,
    peers: Sequence[str],
    links: Sequence[tuple[str, str]],
    is_full: bool,
    containers: Sequence[tuple[str, str]],
    segments: Mapping[str, tuple[list[str], list[str], str]],
) -> Topology:
    """Check names against one another and hand out the addresses."""
    if not peers or len(peers) > MAX_PEERS:
        raise ConfigError("peers", len(peers), f"a lab has 1 to {MAX_PEERS} peers")
    _check_names("peers", peers, _NAME)
    for first, second in links:
        for end in (first, second):
            if end not in peers:
                raise ConfigError("links", end, f"not one of the peers ({', '.join(peers)})")
        if first == second:
            raise ConfigError("links", first, "a peer cannot have a link to itself")
    for name, place in containers:
        if place not in peers:
            raise ConfigError(f"containers.{name}", place, "not one of the peers")
    hosts = [(host, segment) for segment, (_, members, _) in segments.items() for host in members]
    reserved = ["net", *segments]
    _check_names("names", [*peers, *(name for name, _ in [*containers, *hosts]), *reserved])
    gateways = [gateway for members, *_ in segments.values() for gateway in members]
    for gateway in gateways:
        if gateway not in peers:
            raise ConfigError("segments.gateways", gateway, "not one of the peers")
        if gateways.count(gateway) > 1:
            raise ConfigError("segments.gateways", gateway, "a peer is a gateway of one segment")
    return Topology(
        peers=tuple(
            Peer(name, PeerName(0x7A << 40 | number), f"10.99.0.{number}/24")
            for number, name in enumerate(peers, 1)
        ),
        links=tuple(sorted({(min(link), max(link)) for link in links})),
        is_full=is_full,
        containers=tuple(
            Station(name, place, f"02:c0:00:00:00:{number:02x}", f"10.32.0.{number}/24")
            for number, (name, place) in enumerate(containers, 1)
        ),
        hosts=tuple(
            Station(name, place, f"02:b0:00:00:00:{number:02x}", f"10.32.0.{100 + number}/24")
            for number, (name, place) in enumerate(hosts, 1)
        ),
        segments=tuple(
            Segment(name, tuple(members), options)
            for name, (members, _, options) in segments.items()
        ),
    )


def _check_names(key: str, names: Sequence[str], pattern: re.Pattern[str] = _STATION_NAME) -> None:
    for name in names:
        if not pattern.fullmatch(name):
            raise ConfigError(key, name, "a name is a letter, then a few letters or digits")
        if names.count(name) > 1:
            raise ConfigError(key, name, "this name is used twice")


def _strings(value: object, key: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ConfigError(key, value, "write a list of names")
    return list(value)


def _read_links(value: object, where: str) -> list[tuple[str, str]]:
    key = f"{where}: links"
    if not isinstance(value, list):
        raise ConfigError(key, value, 'write a list of pairs, [["W", "X"]]')
    links = []
    for item in value:
        ends = _strings(item, key)
        if len(ends) != 2:
            raise ConfigError(key, item, 'a link has two ends, ["W", "X"]')
        links.append((ends[0], ends[1]))
    return links


def _read_segments(value: object, where: str) -> dict[str, tuple[list[str], list[str], str]]:
    if not isinstance(value, Mapping) or not all(isinstance(v, Mapping) for v in value.values()):
        raise ConfigError(f"{where}: segments", value, "write tables, [segments.vlan]")
    segments = {}
    for name, keys in value.items():
        key = f"{where}: segments.{name}"
        unknown = sorted(set(keys) - {"gateways", "hosts", "options"})
        if unknown:
            raise ConfigError(key, unknown[0], "unknown key; there are: gateways, hosts, options")
        options = keys.get("options", "")
        if not isinstance(options, str):
            raise ConfigError(f"{key}.options", options, 'write a text such as "hello=true"')
        if options:
            parse_gateway(f"{key}.options", f"{GATEWAY_PORT},{options}")
        segments[name] = (
            _strings(keys.get("gateways"), f"{key}.gateways"),
            _strings(keys.get("hosts", []), f"{key}.hosts"),
            options,
        )
    return segments
