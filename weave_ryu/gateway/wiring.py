"""Finds out where segments are joined to something that nobody has configured. Sans-IO.

Each gateway port sends probes on its segment, whether it forwards or not. A probe that is heard
somewhere else than at a gateway port of the same segment has come over a wire or a bridge that
nobody has told us of, and a frame would come the same way. Who hears it tells the peer that has
made it, which knows by the nonce whether it has sent that probe just now, and says so. Then, and
not before, both know:

- heard at a gateway port of another segment: the two segments are one wire. All gateway ports of
  the one that comes second stay closed, or close.
- heard at a container's port: that port is closed.
- heard in the mesh, let in by a router that knows no probes: its port cannot be closed from here,
  so the gateway port stays closed, or closes.

A probe that comes back by the port that it left by, or by one of the same segment, says nothing
new. What was concluded stands for some seconds after it was seen last.

Every peer runs one of these, with or without a gateway port.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from weave_ryu.errors import RemoteProtocolError
from weave_ryu.gateway import documents
from weave_ryu.gateway import probe as probes
from weave_ryu.gateway.joint import End, Joint, Kind, Place, place_document, place_of
from weave_ryu.gateway.probe import Probe
from weave_ryu.gateway.probing import Probing
from weave_ryu.gateway.records import PortRecord
from weave_ryu.gateway.registry import Registry
from weave_ryu.gateway.role import Role, State
from weave_ryu.names import PeerName

CHANNEL = "wiring"

FRESH_S = 2.0
"""A probe that is older was held back by somebody: it says nothing of how things are wired."""

HOLD_S = 9.5
"""So long after it was seen last something counts as wired wrong. A gateway port then listens for a
second before it opens."""

CONFIRM_S = 1.0
"""So long a container's port is closed before the gateway has said that the probe is its own and of
lately; frames would circle meanwhile. Whoever replays a probe closes the port that he is at, for so
long, and not again within `HOLD_S`."""

MAX_JOINTS = 64
MAX_HEARD = 64


_ELSEWHERE, _IDLE, _FORWARDS = 0, 1, 2
_FORWARDING = (str(State.ACTIVE), str(State.DRAINING))


@dataclass(frozen=True, slots=True)
class SendProbe:
    """Send a frame out of a gateway port, past its gate."""

    port: str
    frame: bytes


@dataclass(frozen=True, slots=True)
class Send:
    """A message on the channel, to one peer."""

    to: PeerName
    payload: bytes


@dataclass(frozen=True, slots=True)
class Found:
    """Something is wired wrong that was not before: log it."""

    joint: Joint


@dataclass(frozen=True, slots=True)
class Mended:
    """It is not any more."""

    joint: Joint


Command = SendProbe | Send | Found | Mended


@dataclass(frozen=True, slots=True)
class _Sent:
    port: str
    at: float


@dataclass(frozen=True, slots=True)
class _Heard:
    probe: Probe
    at: float


class Wiring:
    """See the module's docstring. Inputs queue commands; `poll_commands` drains them.

    Args:
        registry: what is known of all gateways, this peer among them.
        segments: own gateway port → its segment.
        password: of the mesh; it seals probes.
        nonce: makes `probe.NONCE_BYTES` random bytes.
        lets_in: whether what a peer sends into the mesh may come from a segment.
    """

    def __init__(
        self,
        registry: Registry,
        segments: Mapping[str, str],
        password: bytes | None,
        nonce: Callable[[], bytes],
        lets_in: Callable[[PeerName, str], bool],
    ) -> None:
        self._registry = registry
        self._segments = dict(segments)
        self._seal = probes.seal(password)
        self._nonce = nonce
        self._lets_in = lets_in
        self._able: frozenset[str] = frozenset()
        self._sent: dict[bytes, _Sent] = {}
        self._heard: dict[tuple[bytes, Place], _Heard] = {}
        self._joints: dict[str, Joint] = {}
        self._doubts: dict[str, Joint] = {}
        """By own containers' ports that are closed for a moment."""
        self._rest: dict[str, float] = {}
        """Until when they are not closed so again."""
        # By their words: which of two ends has heard the other makes no difference.
        self._on_wire: dict[tuple[str, End], float] = {}
        self._had: dict[frozenset[str], tuple[str, float]] = {}
        self._times = Probing()
        self._commands: list[Command] = []

    # Looking.

    def joints(self, now: float) -> list[Joint]:
        """All that is known to be wired wrong, sorted by their words."""
        return [joint for _, joint in sorted(self._joints.items()) if now - joint.last < HOLD_S]

    def troubles(self, now: float) -> dict[str, str]:
        """Own gateway ports that must not be open → why, in a clause."""
        own, found = self._registry.own, {}
        for joint in self.joints(now):
            if joint.place.kind is Kind.MESH and joint.maker == own:
                found[joint.port] = joint.text()
            elif joint.place.kind is Kind.SEGMENT:
                for name, port, segment in joint.ends():
                    first = self._comes_first(joint, port, now) if name == own else segment
                    if first != segment:
                        found[port] = f"{joint.text()}; {first} keeps it"
        return found

    def closed(self, now: float) -> dict[str, str]:
        """Own containers' ports that must be closed → why, in a clause."""
        return {
            joint.place.name: joint.text()
            for joint in (*self._doubts.values(), *self.joints(now))
            if joint.place.kind is Kind.PORT and joint.hearer == self._registry.own
        }

    def deadline(self) -> float | None:
        """When `handle_timer` is due; None while nothing is to be done."""
        ends = [joint.last + HOLD_S for joint in self._joints.values()]
        ends += [joint.since + CONFIRM_S for joint in self._doubts.values()]
        if self._able:
            ends.append(self._times.due_at)
        return min(ends, default=None)

    def poll_commands(self) -> list[Command]:
        """What is to be done, in this order."""
        commands, self._commands = self._commands, []
        return commands

    # Inputs.

    def links(self, able: Iterable[str], now: float) -> None:
        """These gateway ports can send: the switch is connected, and their links are up."""
        before, self._able = self._able, frozenset(able) & self._segments.keys()
        if self._able - before:
            self.hurry(now)

    def hurry(self, now: float) -> None:
        """Something is new: do not wait until the next probe is due, and send more of them."""
        self._times.hurry(now)

    def suspect(self, segment: str, now: float) -> None:
        """Frames may be circling through a segment: have its gateways probe, if not just now."""
        if segment in self._segments.values():
            self._times.suspect(now)
        for name in self._registry.others_of(segment):
            self._commands.append(Send(name, documents.write({"suspect": segment})))

    def handle_timer(self, now: float) -> None:
        """Time has passed."""
        self._doubts = {n: j for n, j in self._doubts.items() if now - j.since < CONFIRM_S}
        for key, joint in list(self._joints.items()):
            if now - joint.last >= HOLD_S:
                del self._joints[key]
                self._commands.append(Mended(joint))
        if self._able and now >= self._times.due_at:
            self._times.sent(now)
            self._sent = {n: s for n, s in self._sent.items() if now - s.at < FRESH_S}
            for port in sorted(self._able):
                self._send_probe(port, now)

    def heard(self, place: Place, frame: bytes, now: float) -> None:
        """A probe came in.

        Args:
            place: where.
            frame: anybody may have made it.
            now: monotonic seconds.

        Raises:
            RemoteProtocolError: it is none of this mesh, or of some time ago; nothing was noted.
        """
        probe = probes.parse(frame, self._seal)
        end = probe.name, probe.port, probe.segment
        if place.kind is Kind.SEGMENT and self._is_configured(end):
            self._on_wire[place.name, end] = now
        if place.kind is Kind.SEGMENT and place.segment == probe.segment:
            return  # as it should be, or the segment returns what it is sent
        if probe.name == self._registry.own:
            self._came_back(probe.nonce, self._registry.own, place, now)
            return
        self._heard = {key: h for key, h in self._heard.items() if now - h.at < FRESH_S}
        key = probe.nonce, place
        if key in self._heard or len(self._heard) >= MAX_HEARD:
            return
        self._heard[key] = _Heard(probe, now)
        if place.kind is Kind.PORT and self._is_configured(end):
            self._doubt(Joint(*end, self._registry.own, place, now, now))
        self._tell(probe.name, "heard", probe.nonce, place)

    def received(self, source: PeerName, payload: bytes, now: float) -> None:
        """A message on the channel.

        Raises:
            RemoteProtocolError: it is malformed, or cannot be true; nothing was done.
        """
        document = documents.read(payload, CHANNEL)
        if "suspect" in document:
            if document["suspect"] in self._segments.values():
                self._times.suspect(now)
            return
        place = place_of(document.get("at"))
        if "heard" in document:
            nonce = _nonce(document["heard"])
            if self._came_back(nonce, source, place, now):
                self._tell(source, "sent", nonce, place)
        elif "sent" in document:
            heard = self._heard.get((_nonce(document["sent"]), place))
            if heard is None or heard.probe.name != source or now - heard.at >= FRESH_S:
                raise RemoteProtocolError("wiring", f"{source} answers what was not asked")
            probe = heard.probe
            own = self._registry.own
            self._note(Joint(source, probe.port, probe.segment, own, place, now, now))

    # What follows.

    def _send_probe(self, port: str, now: float) -> None:
        segment, nonce = self._segments[port], self._nonce()
        self._sent[nonce] = _Sent(port, now)
        epoch = self._registry.epoch(segment)
        probe = Probe(self._registry.own, port, segment, epoch, nonce)
        self._commands.append(SendProbe(port, probes.encode(probe, self._seal)))

    def _came_back(self, nonce: bytes, hearer: PeerName, place: Place, now: float) -> bool:
        """A peer has heard a probe of this one; True if that means something."""
        sent = self._sent.get(nonce)
        if sent is None or now - sent.at >= FRESH_S:
            raise RemoteProtocolError("wiring", f"{hearer} has heard what was not sent lately")
        segment = self._segments[sent.port]
        if place.kind is Kind.SEGMENT:
            if not self._is_configured((hearer, place.name, place.segment)):
                raise RemoteProtocolError("wiring", f"{hearer} has no such gateway port")
            if place.segment == segment:
                return False
        if place.kind is Kind.MESH and self._lets_in(PeerName.parse(place.name), segment):
            return False  # a gateway of the segment, of a version that knows no probes
        self._note(Joint(self._registry.own, sent.port, segment, hearer, place, now, now))
        return True

    def _note(self, joint: Joint) -> None:
        key = joint.text()
        known = self._joints.get(key)
        if known is not None:
            self._joints[key] = replace(known, last=joint.last)
        elif len(self._joints) < MAX_JOINTS:
            self._joints[key] = joint
            self._commands.append(Found(joint))

    def _doubt(self, joint: Joint) -> None:
        name, now = joint.place.name, joint.since
        self._rest = {n: until for n, until in self._rest.items() if now < until}
        if name not in self._rest:
            self._rest[name] = now + HOLD_S
            self._doubts[name] = joint

    def _comes_first(self, joint: Joint, port: str, now: float) -> str:
        """Which of two segments keeps the wire at an own port: all on it must come to the same.

        One that forwards on this wire goes before one that does not. While neither does, as for a
        moment in a take-over, it is the one that had it; then the one whose gateways are made to
        forward, or have the higher priority. One that forwards on another wire comes last: it is
        probably the cable of its gateway here that is wrong.
        """
        one, other = (segment for _, _, segment in joint.ends())
        pair = frozenset((one, other))
        ends = {*joint.ends(), *self._heard_at(port, now)}
        standing = {segment: self._standing(segment, ends) for segment in pair}
        had, at = self._had.get(pair, ("", now))
        if standing[one] == standing[other] == _IDLE and had and now - at < HOLD_S:
            return had
        first = min(pair, key=lambda segment: (-standing[segment], *self._rank(segment, ends)))
        if standing[first] == _FORWARDS:
            self._had[pair] = first, now
        return first

    def _heard_at(self, port: str, now: float) -> list[End]:
        """Gateway ports whose probes have come in by an own one lately."""
        self._on_wire = {key: at for key, at in self._on_wire.items() if now - at < HOLD_S}
        return [end for at, end in self._on_wire if at == port]

    def _standing(self, segment: str, ends: set[End]) -> int:
        forwarding = {end for end, port in self._ports_of(segment) if port.state in _FORWARDING}
        if not forwarding:
            return _IDLE
        return _FORWARDS if forwarding & ends else _ELSEWHERE

    def _rank(self, segment: str, ends: set[End]) -> tuple[bool, int, str]:
        ports = [port for end, port in self._ports_of(segment) if end in ends]
        is_wanted = any(port.role != Role.STANDBY for port in ports)
        return not is_wanted, -max((port.priority for port in ports), default=0), segment

    def _ports_of(self, segment: str) -> list[tuple[End, PortRecord]]:
        return [
            ((record.name, port.port, segment), port)
            for record in self._registry.records()
            for port in record.ports
            if port.segment == segment
        ]

    def _is_configured(self, end: End) -> bool:
        name, *port = end
        record = self._registry.record(name)
        ports = () if record is None else record.ports
        return any([p.port, p.segment] == port for p in ports)

    def _tell(self, to: PeerName, what: str, nonce: bytes, place: Place) -> None:
        document = {what: nonce.hex(), "at": place_document(place)}
        self._commands.append(Send(to, documents.write(document)))


def _nonce(word: Any) -> bytes:  # noqa: ANN401
    try:
        nonce = bytes.fromhex(word) if isinstance(word, str) else b""
    except ValueError:
        nonce = b""
    if len(nonce) != probes.NONCE_BYTES:
        raise RemoteProtocolError("wiring", "a nonce is not of the right form")
    return nonce
