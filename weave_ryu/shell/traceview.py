"""``GET /trace``: reads what is asked for, runs the trace, sums it up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from weave_ryu.errors import ConfigError
from weave_ryu.names import PeerName
from weave_ryu.shell import traced, tracing
from weave_ryu.shell.tracing import BROADCAST, Gateway, Trace

if TYPE_CHECKING:
    from weave_ryu.shell.daemon import Daemon

NEW_HOST = "02:77:72:00:00:01"
"""Source MAC where only a port is given: a host that nobody knows yet."""

_FORMS = "write a MAC address, or PEER/PORT such as gw1/eth1"


def run(daemon: Daemon, source: str, destination: str, broadcast: bool) -> dict[str, Any]:
    """Follow a frame.

    Args:
        daemon: where the question was put.
        source: a MAC, or ``PEER/PORT``.
        destination: a MAC; ignored for a broadcast.
        broadcast: follow a broadcast instead.

    Raises:
        ConfigError: one of them is not of its form, or nobody knows it.
    """
    to = BROADCAST if broadcast else _mac("to", destination)
    if not broadcast and to == BROADCAST:
        broadcast = True
    names = _nick_names(daemon)
    ask = daemon.tracer.ask
    gateways = [
        Gateway(record.name, port.port, port.segment)
        for record in daemon.registry.records()
        for port in record.ports
    ]
    if "/" in source:
        mac, starts = NEW_HOST, [_port(source, names)]
    else:
        mac = _mac("from", source)
        starts = tracing.locate(mac, names, ask)
        if not starts:
            raise ConfigError(
                "from", source, "no daemon that answers knows this MAC; write PEER/PORT instead"
            )
    trace = tracing.follow(
        _whole_segments(starts, gateways), mac, to, gateways, lambda p: names.get(p, str(p)), ask
    )
    wanted = [] if int(to[:2], 16) & 1 else tracing.locate(to, names, ask)
    return {
        "from": source,
        "source": mac,
        "to": to,
        "steps": trace.steps,
        "delivered": trace.delivered,
        "problems": trace.problems,
        "summary": summary(trace, to, wanted, names),
    }


def summary(
    trace: Trace, to: str, wanted: list[tuple[PeerName, str]], names: Mapping[PeerName, str]
) -> str:
    """What became of the frame, in a sentence."""
    stations = [place for place in trace.delivered if not place["host"]]
    places = Counter((place["peer"], place["port"]) for place in stations)
    twice = [f"{names[PeerName.parse(p)]}/{port}" for (p, port), n in places.items() if n > 1]
    drops = [
        f"{step['nick_name']} drops it in {drop['table']}: {drop['why']}"
        for step in trace.steps
        for drop in step["drops"]
    ]
    silent = [step["nick_name"] for step in trace.steps if step["error"]]
    if wanted:
        here = [f"{names.get(p, str(p))}/{port}" for p, port in wanted if (str(p), port) in places]
        spill = len(places) - len(here)
        text = f"{to} is reached by {', '.join(here)}" if here else f"{to} is not reached"
        if spill and here:
            text += f", and {spill} other port(s), as it was flooded"
    else:
        text = f"{len(places)} port(s) get it"
        if not int(to[:2], 16) & 1:
            text = f"nobody knows where {to} is: {text}"
    if twice:
        text += f"; TWICE: {', '.join(twice)}"
    if silent:
        text += f"; not known what becomes of it at {', '.join(silent)}"
    if drops and (not places or (wanted and "not reached" in text)):
        text += f"; {drops[-1]}"
    return text


def _whole_segments(
    starts: list[tuple[PeerName, str]], gateways: list[Gateway]
) -> list[tuple[PeerName, str]]:
    """A frame from a segment comes to all gateways of it."""
    at = set(starts)
    segments = {g.segment for g in gateways if (g.peer, g.port) in at}
    at |= {(g.peer, g.port) for g in gateways if g.segment in segments}
    return sorted(at)


def _nick_names(daemon: Daemon) -> dict[PeerName, str]:
    names = {name: info.nick_name or str(name) for name, info in daemon.view.infos.items()}
    names.setdefault(daemon.router.name, daemon.router.nick_name)
    return names


def _port(text: str, names: Mapping[PeerName, str]) -> tuple[PeerName, str]:
    peer, _, port = text.partition("/")
    for name, nick_name in sorted(names.items()):
        if peer in (nick_name, str(name)):
            return name, port[:64]
    known = ", ".join(sorted(names.values())[:20])
    raise ConfigError("from", text[:128], f"there is no peer {peer[:64]!r} (there are: {known})")


def _mac(key: str, text: str) -> str:
    mac = text.lower()
    if not traced.MAC.fullmatch(mac):
        forms = _FORMS if key == "from" else "write a MAC address such as 02:00:00:00:00:01"
        raise ConfigError(key, text[:128], forms)
    return mac
