"""Fuzzing of everything that reads bytes of other peers, guided by coverage.

``python tests/interop/fuzz.py --seconds 600`` mutates captured messages of real routers. An input
that reaches lines in a new order is kept and mutated further. What must hold for each input:

* a decoder returns or raises `RemoteProtocolError`; the router raises nothing at all;
* however a stream is cut, the table of peers and the fate of the connection are the same;
* the other neighbour's connection goes on (unless the tie-break of duplicates says otherwise);
* what was decoded can be encoded, and decodes to the same;
* no input takes long, and the process stays below its limit of memory.

A found case is written to ``fuzz_cases/TARGET-HASH``; `test_fuzz.py` tries them all.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import ipaddress
import json
import random
import resource
import struct
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from weave_ryu.errors import RemoteProtocolError
from weave_ryu.gateway import records
from weave_ryu.gateway.sealing import MessageSeal
from weave_ryu.mesh.commands import CloseConnection
from weave_ryu.mesh.config import ConnectionId, RouterConfig
from weave_ryu.mesh.crypto import KeyPair, Sealer, new_key_pair, session_key
from weave_ryu.mesh.features import Features, decode_features, encode_features
from weave_ryu.mesh.framing import frame
from weave_ryu.mesh.messages import (
    decode_control,
    decode_gossip,
    decode_unicast,
    encode_control,
    encode_gossip,
    encode_unicast,
)
from weave_ryu.mesh.router import Router
from weave_ryu.mesh.topology import decode_raw, decode_update, encode_update
from weave_ryu.names import PeerName, PeerUID, ShortId

CASES = Path(__file__).with_name("fuzz_cases")
VECTORS = Path(__file__).with_name("vectors")

MEMORY_LIMIT_BYTES = 1 << 30
SLOW_S = 2.0
PASSWORD = b"fuzz"
OWN, GOOD = PeerName(5), PeerName(6)
SEALED = records.encode([records.GatewayRecord(PeerName(7), 1, 2, ())])


class Broken(Exception):
    """Something that must hold does not."""


# Targets: each takes bytes.


def read_features(raw: bytes) -> None:
    features = decode_features(raw)
    if decode_features(encode_features(features)) != features:
        raise Broken("features change when they are written and read")


def read_update(raw: bytes) -> None:
    decode_raw(raw)
    peers = decode_update(raw)
    if decode_update(encode_update(peers)) != peers:
        raise Broken("an update changes when it is written and read")


def read_body(raw: bytes) -> None:
    """The body of a message; the first byte says how it is read."""
    kind, body = raw[:1], raw[1:]
    if kind == b"\7":
        control = decode_control(body)
        if encode_control(control) != body:
            raise Broken("an overlay message changes")
    elif kind == b"\5":
        unicast = decode_unicast(body)
        if decode_unicast(encode_unicast(unicast)) != unicast:
            raise Broken("a message to one peer changes")
    else:
        gossip = decode_gossip(body)
        if decode_gossip(encode_gossip(gossip)) != gossip:
            raise Broken("a gossip message changes")


def read_gateway(raw: bytes) -> None:
    message = records.decode(raw)
    again = records.encode(message.records, message.tables, message.hand_overs)
    if again and records.decode(again) != message:
        raise Broken("a gateway message changes when it is written and read")


def read_seal(raw: bytes) -> None:
    """What is sealed for us counts once; whatever is changed in it does not count."""
    sealed = MessageSeal(PeerName(7), b"key", 1).seal("gateway", SEALED, OWN)
    for key in (b"key", b"another", None):
        seal = MessageSeal(OWN, key, 1)
        found = seal.open("gateway", PeerName(7), raw, is_for_all=False)
        if key is not None and found.is_trusted is not (raw == sealed and key == b"key"):
            raise Broken("a message that nobody has sealed is trusted, or a sealed one is not")
        if seal.open("gateway", PeerName(7), raw, is_for_all=False).is_trusted and key is not None:
            raise Broken("a message is trusted twice")


def run_plain(raw: bytes) -> None:
    """A stream as it comes from an unknown host, handshake included."""
    _compare(raw)


def run_joined(raw: bytes) -> None:
    """Messages of a host that has shaken hands."""
    features = Features(PeerName(7), "bad", PeerUID(7), 7, ShortId(7), False, ("fastdp",))
    head = b"weave\1\2\0" + frame(encode_features(features))
    _compare(head + raw)


def run_sealed(raw: bytes) -> None:
    """The same behind a password: what was sealed by somebody who knows it."""
    theirs = new_key_pair()
    features = Features(PeerName(7), "bad", PeerUID(7), 7, ShortId(7), True, ("fastdp",))
    sealer = Sealer(session_key(theirs.private, _KEYS.public, PASSWORD), sender_opened=True)
    stream = b"weave\2\2\1" + theirs.public + frame(sealer.seal(encode_features(features)))
    for message in cut_messages(raw):
        stream += frame(sealer.seal(message))
    router = _router(PASSWORD)
    _feed(router, stream, [len(stream)])
    _check(router)


def run_heartbeat(raw: bytes) -> None:
    """A frame from the tunnel: two bytes each for the short ids, then the frame."""
    router = _router()
    ids = raw[:4].ljust(4, b"\0")
    source, destination = (ShortId(n & 0xFFF) for n in struct.unpack("!HH", ids))
    router.heartbeat_received(source, destination, "10.0.0.6", raw[4:], 1.0)
    _check(router)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "features": read_features,
    "update": read_update,
    "body": read_body,
    "gateway": read_gateway,
    "seal": read_seal,
    "plain": run_plain,
    "joined": run_joined,
    "sealed": run_sealed,
    "heartbeat": run_heartbeat,
}

_KEYS: KeyPair = new_key_pair()


def _router(password: bytes | None = None) -> Router:
    """A router with one good neighbour (connection 1), and a stranger (2) on the line."""
    config = RouterConfig(OWN, "us", PeerUID(1), ShortId(1))
    if password is not None:
        subnet = ipaddress.IPv4Network("10.0.0.0/8")
        config = RouterConfig(
            OWN, "us", PeerUID(1), ShortId(1), password=password, trusted_subnets=(subnet,)
        )
    router = Router(config, rng=random.Random(1), new_key_pair=lambda: _KEYS)
    router.register_channel("gateway")
    router.start(0.0)
    if password is None:
        router.accepted(ConnectionId(1), ("10.0.0.1", 6783), ("10.0.0.6", 40000), 0.0)
        features = Features(GOOD, "good", PeerUID(1), 1, ShortId(6), False, ("fastdp",))
        stream = b"weave\1\2\0" + frame(encode_features(features)) + frame(b"\7\0\0")
        router.receive_bytes(ConnectionId(1), stream, 0.0)
    router.accepted(ConnectionId(2), ("10.0.0.1", 6783), ("10.0.0.7", 40000), 0.0)
    router.poll_commands()
    return router


def _feed(router: Router, stream: bytes, cuts: list[int]) -> None:
    at = 0
    for size in cuts:
        router.receive_bytes(ConnectionId(2), stream[at : at + size], 1.0)
        at += size
    router.receive_bytes(ConnectionId(2), stream[at:], 1.0)


def _check(router: Router) -> None:
    """What comes later raises nothing, bounds hold, and the good neighbour is still there."""
    for now in (1.2, 2.5, 35.0):
        router.handle_timer(now)
    if len(router.peers) > 4096:
        raise Broken(f"{len(router.peers)} peers")
    for command in router.poll_commands():
        match command:
            case CloseConnection(1, reason) if not reason.startswith("duplicate"):
                raise Broken(f"the other neighbour was ended: {reason}")
    router.poll_events()


def _outcome(router: Router) -> object:
    ended = [
        (command.connection, command.reason.partition(":")[0])
        for command in router.poll_commands()
        if isinstance(command, CloseConnection)
    ]
    return ended, [repr(peer) for peer in router.peers if peer.name != OWN]


def _compare(stream: bytes) -> None:
    rng = random.Random(len(stream))
    cuts = [rng.choice((1, 1, 2, 3, 5, 17, 300)) for _ in range(min(len(stream), 400))]
    outcomes = []
    for way in ([], cuts):
        router = _router()
        _feed(router, stream, way)
        outcomes.append(_outcome(router))
        _check(router)
    if outcomes[0] != outcomes[1]:
        raise Broken(f"cut in pieces it ends as {outcomes[1]!r}, at once as {outcomes[0]!r}")


# Mutation.

INTERESTING = [
    b"\0",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\xf8" + b"\xff" * 8,
    b"\xfc\x7f\xff\xff\xff",
    b"\xfe\xff\xff",
    b"\x01\x02",
    b"\xff\x81",
    b"\xff\x83",
    b"topology",
    b"gateway",
    b"\0\0\0\0",
    b"\0\xa0\0\0",
    b"\0\xa0\0\1",
]


def cut_messages(stream: bytes) -> list[bytes]:
    """Messages of a stream with length prefixes; what is left is the last one."""
    messages, at = [], 0
    while at + 4 <= len(stream):
        size = int.from_bytes(stream[at : at + 4], "big")
        if size > len(stream) - at - 4:
            break
        messages.append(stream[at + 4 : at + 4 + size])
        at += 4 + size
    return messages if at == len(stream) else [*messages, stream[at:]]


def mutate_bytes(raw: bytes, other: bytes, rng: random.Random) -> bytes:
    """A few changes: flips, cuts, copies, numbers at the edges, pieces of another input."""
    data = bytearray(raw)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        at = rng.randrange(len(data) + 1)
        size = rng.choice((1, 1, 2, 4, 8, 40))
        match rng.randrange(7):
            case 0 if data:
                data[at % len(data)] ^= 1 << rng.randrange(8)
            case 1 if data:
                data[at % len(data)] = rng.randrange(256)
            case 2:
                del data[at : at + size]
            case 3:
                data[at:at] = rng.choice(INTERESTING)
            case 4:
                data[at : at + size] = rng.choice(INTERESTING)
            case 5:
                data[at:at] = data[at : at + size] * rng.choice((1, 1, 2, 50))
            case _:
                start = rng.randrange(len(other) + 1)
                data[at:at] = other[start : start + size * 4]
    return bytes(data[: 64 << 10])


def mutate(target: str, raw: bytes, other: bytes, rng: random.Random) -> bytes:
    """For streams one message is changed and its length put right, mostly."""
    if target not in ("plain", "joined", "sealed") or rng.random() < 0.2:
        return mutate_bytes(raw, other, rng)
    head = raw[:8] if target == "plain" else b""
    messages, others = cut_messages(raw[len(head) :]), cut_messages(other[len(head) :])
    if others and rng.random() < 0.3:
        messages.insert(rng.randrange(len(messages) + 1), rng.choice(others))
    if messages:
        at = rng.randrange(len(messages))
        messages[at] = mutate_bytes(messages[at], rng.choice(others or [b""]), rng)
    return head + b"".join(len(m).to_bytes(4, "big") + m for m in messages[:40])


def seeds() -> dict[str, list[bytes]]:
    """Captured messages of real routers, sorted by what reads them."""
    found: dict[str, list[bytes]] = {target: [] for target in TARGETS}
    captures = json.loads(gzip.decompress((VECTORS / "tcp.json.gz").read_bytes()))["captures"]
    for capture in captures.values():
        for connection in capture["connections"]:
            for side in ("acceptor", "initiator"):
                whole = [
                    (message["kind"], bytes.fromhex(message["hex"]))
                    for message in connection["messages"]
                    if message["dir"] == side
                ]
                tagged = [raw for kind, raw in whole if kind == "msg"]
                found["plain"].append(b"".join(raw for _, raw in whole[:8]))
                found["joined"].append(b"".join(tagged[:6]))
                found["sealed"].append(b"".join(tagged[:6]))
                found["features"] += [raw[4:] for kind, raw in whole if kind == "features"]
                found["body"] += [raw[4:] for raw in tagged]
                found["update"] += [
                    decode_gossip(raw[5:]).payload for raw in tagged if raw[4:5] == b"\4"
                ]
    port = records.PortRecord("vlan", "eth1", "active", 3)
    found["gateway"].append(records.encode([records.GatewayRecord(PeerName(7), 1, 2, (port,))]))
    found["gateway"].append(
        records.encode(
            tables=[records.MacTable(PeerName(7), "vlan", frozenset({"0" * 12}))],
            hand_overs=[records.HandOver("vlan", records.Step.REQUEST, 4)],
        )
    )
    found["seal"].append(MessageSeal(PeerName(7), b"key", 1).seal("gateway", SEALED, OWN))
    beat = bytes(14) + (0).to_bytes(8, "big") + (1390).to_bytes(2, "big")
    found["heartbeat"].append(b"\0\6\0\1" + beat.ljust(1390, b"\0"))
    for target, inputs in found.items():
        found[target] = sorted(set(inputs), key=len)[:60]
    return found


# Guidance.

_WATCHED = ("weave_ryu/mesh/", "weave_ryu/gateway/records", "weave_ryu/gateway/sealing")


class Coverage:
    """Pairs of lines that were executed one after the other, in the files that are watched."""

    def __init__(self) -> None:
        self.seen: set[tuple[object, int, int]] = set()
        self._new = 0
        self._is_watched: dict[object, bool] = {}

    def run(self, work: Callable[[bytes], None], raw: bytes) -> int:
        """Run it; return how many pairs were new."""
        self._new = 0
        sys.settrace(self._call)
        try:
            work(raw)
        finally:
            sys.settrace(None)
        return self._new

    def new(self) -> int:
        """Of the last run, also if it raised."""
        return self._new

    def _call(self, started: FrameType, event: str, argument: Any) -> Any:
        code = started.f_code
        watched = self._is_watched.get(code)
        if watched is None:
            watched = any(part in code.co_filename for part in _WATCHED)
            self._is_watched[code] = watched
        if not watched:
            return None
        before = started.f_lineno

        def line(current: FrameType, event: str, argument: Any) -> Any:
            nonlocal before
            if event == "line":
                pair = (code, before, current.f_lineno)
                before = current.f_lineno
                if pair not in self.seen:
                    self.seen.add(pair)
                    self._new += 1
            return line

        return line


def attempt(target: str, raw: bytes, coverage: Coverage | None = None) -> str | None:
    """Try one input.

    Returns:
        What is wrong; None if all is as it must be.
    """
    started = time.process_time()
    try:
        if coverage is None:
            TARGETS[target](raw)
        else:
            coverage.run(TARGETS[target], raw)
    except RemoteProtocolError as error:
        if target in ("plain", "joined", "sealed", "heartbeat"):
            return f"the router raised {error!r}"
    except Exception:  # whatever it is, it is the find
        return traceback.format_exc()
    taken = time.process_time() - started
    # Tracing makes it some ten times slower.
    return f"it took {taken:.1f} s" if taken > SLOW_S * (10 if coverage else 1) else None


class Fuzzer:
    """Tries inputs, target by target."""

    def __init__(self, seed: int, targets: list[str] | None = None) -> None:
        self.rng = random.Random(seed)
        self.coverage = Coverage()
        self.corpus = {t: inputs for t, inputs in seeds().items() if t in (targets or TARGETS)}
        self.tried = dict.fromkeys(self.corpus, 0)
        self.found: dict[str, str] = {}

    def run(self, seconds: float, keep: Path | None = None, at_least: int = 0) -> None:
        """Go on until the time is up and so many were tried; found cases are written to `keep`."""
        until = time.monotonic() + seconds
        for target, inputs in self.corpus.items():
            for raw in inputs[: 1000 if seconds > 30 else 5]:
                self._try(target, raw, keep)
        names = sorted(self.corpus)
        while time.monotonic() < until or sum(self.tried.values()) < at_least:
            target = names[sum(self.tried.values()) // 50 % len(names)]
            inputs = self.corpus[target]
            raw = mutate(target, self.rng.choice(inputs), self.rng.choice(inputs), self.rng)
            if self._try(target, raw, keep):
                inputs.append(raw)

    def _try(self, target: str, raw: bytes, keep: Path | None) -> bool:
        self.tried[target] += 1
        # Tracing is slow: two of three inputs are only tried.
        is_traced = self.rng.random() < 1 / 3
        problem = attempt(target, raw, self.coverage if is_traced else None)
        if problem is not None:
            # One case for each kind of problem: where it was raised, without the values.
            kind = target + problem.splitlines()[-1][:40]
            if kind not in self.found:
                self.found[kind] = problem
                if keep is not None:
                    keep.mkdir(exist_ok=True)
                    digest = hashlib.sha256(raw).hexdigest()[:12]
                    (keep / f"{target}-{digest}").write_bytes(raw)
        return is_traced and self.coverage.new() > 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--target", action="append", choices=sorted(TARGETS))
    parser.add_argument("--keep", type=Path, default=CASES, help="where found cases go")
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))
    fuzzer = Fuzzer(options.seed, options.target)
    fuzzer.run(options.seconds, options.keep)
    for target, number in fuzzer.tried.items():
        print(f"{target:>10}: {number} inputs, {len(fuzzer.corpus[target])} in the corpus")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"seed {options.seed}, {len(fuzzer.coverage.seen)} pairs of lines, peak {peak} KiB")
    for problem in fuzzer.found.values():
        print(problem)
    return 1 if fuzzer.found else 0


if __name__ == "__main__":
    sys.exit(main())
