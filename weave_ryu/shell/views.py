"""What the API shows: plain dictionaries made from the daemon's state, and Weave's text forms.

The shape of `report` is that of Weave's ``/report`` (router/status.go), plus ``Gateways``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from weave_ryu import __version__
from weave_ryu.errors import OpenFlowError
from weave_ryu.gateway.port import PortMachine
from weave_ryu.mesh import routes
from weave_ryu.mesh.views import ConnectionView
from weave_ryu.names import PeerName, ShortId
from weave_ryu.pipeline.cookies import OWNER, OWNER_MASK, Kind, flow_cookie, parse
from weave_ryu.pipeline.tables import BY_NUMBER
from weave_ryu.shell.macs import LearntMac
from weave_ryu.shell.standing import Standing, headline

if TYPE_CHECKING:
    from weave_ryu.shell.daemon import Daemon

T = TypeVar("T")


def report(daemon: Daemon) -> dict[str, Any]:
    """The whole state."""
    return {
        "Ready": daemon.switch.is_connected and daemon.forwarder.is_in_sync,
        "Version": f"weave-ryu {__version__}",
        "Router": _router(daemon),
        "Gateways": gateways(daemon),
    }


def _router(daemon: Daemon) -> dict[str, Any]:
    router, config = daemon.router, daemon.config
    return {
        "Protocol": "weave",
        "ProtocolMinVersion": 2,
        "ProtocolMaxVersion": 2,
        "Encryption": config.password is not None,
        "PeerDiscovery": not config.no_discovery,
        "Name": str(router.name),
        "NickName": router.nick_name,
        "NameTaken": [str(notice) for notice in router.namesakes(time.monotonic())],
        "Port": config.port,
        "Peers": peers(daemon),
        "UnicastRoutes": unicast_routes(daemon),
        "BroadcastRoutes": broadcast_routes(daemon),
        "Connections": connections(daemon),
        "Targets": [str(target.address) for target in router.targets() if target.direct],
        "TrustedSubnets": [str(subnet) for subnet in config.trusted_subnets],
        "Interface": f"bridge {config.bridge} ({daemon.datapath})",
        "MACs": macs(daemon),
    }


def peers(daemon: Daemon) -> list[dict[str, Any]]:
    """All peers with their connections, as the topology has them."""
    table = daemon.router.peers
    nick_names = {peer.name: peer.nick_name for peer in table}
    return [
        {
            "Name": str(peer.name),
            "NickName": peer.nick_name,
            "UID": peer.uid,
            "ShortID": peer.short_id,
            "Version": peer.version,
            "Segment": peer.owner is not None,
            "Connections": [
                {
                    "Name": str(line.remote),
                    "NickName": nick_names.get(line.remote, ""),
                    "Address": line.remote_tcp_addr,
                    "Outbound": line.outbound,
                    "Established": line.established,
                }
                for line in peer.sorted_connections()
            ],
        }
        for peer in table
    ]


def connections(daemon: Daemon) -> list[dict[str, Any]]:
    """Connections and failing targets, in Weave's terms."""
    lines = [
        {
            "Address": "{}:{}".format(*connection.remote),
            "Outbound": connection.outbound,
            "State": "established" if connection.established else "pending",
            "Info": _connection_info(daemon, connection),
            "Attrs": {"name": "fastdp", "encrypted": connection.encrypted},
        }
        for connection in daemon.router.connections()
    ]
    lines += [
        {
            "Address": str(target.address),
            "Outbound": True,
            "State": target.state,
            "Info": target.last_error or "",
            "Attrs": {},
        }
        for target in daemon.router.targets()
        if target.state in ("connecting", "retrying", "failed", "waiting")
    ]
    lines += [
        {
            "Address": name,
            "Outbound": True,
            "State": "failed",
            "Info": "no such host now; it is asked for again and again",
            "Attrs": {},
        }
        for name in daemon.names.unresolved()
    ]
    return lines


def _connection_info(daemon: Daemon, connection: ConnectionView) -> str:
    words = ["encrypted" if connection.encrypted else "unencrypted"]
    if connection.overlay is not None:
        words.append(connection.overlay.name)
    if connection.name is not None:
        words.append(f"{connection.name}({connection.nick_name})")
    if connection.overlay is not None and connection.established:
        words.append(f"mtu={daemon.config.mtu}")
    if connection.info:
        words.append(connection.info)
    return " ".join(words)


def targets(daemon: Daemon) -> list[dict[str, Any]]:
    """Addresses that are dialled."""
    return [
        {
            "Address": str(target.address),
            "Direct": target.direct,
            "State": target.state,
            "Attempts": target.attempts,
            "LastError": target.last_error,
        }
        for target in daemon.router.targets()
    ]


def unicast_routes(daemon: Daemon) -> list[dict[str, str]]:
    """First hop to each peer, as forwarding uses it."""
    table = routes.unicast_next_hops(daemon.view.graph(), daemon.router.name)
    return [{"Dest": str(name), "Via": str(table[name])} for name in sorted(table)]


def broadcast_routes(daemon: Daemon) -> list[dict[str, Any]]:
    """Where broadcasts of each source go on to."""
    table = routes.broadcast_tables(daemon.view.graph(), daemon.router.name)
    return [
        {"Source": str(name), "Via": [str(hop) for hop in table[name].next_hops]}
        for name in sorted(table)
    ]


def macs(daemon: Daemon) -> list[dict[str, Any]]:
    """MACs that the switch has learnt; empty while it is not connected."""
    if not daemon.switch.is_connected:
        return []
    learnt_macs = _asked(daemon, daemon.macs.learnt)
    now = datetime.now(UTC).timestamp()
    owners = _owners(daemon)
    found = [_mac(daemon, learnt, owners, now) for learnt in learnt_macs]
    conflicts = _conflicts(daemon, now)
    for entry in found:
        entry["Conflict"] = conflicts.pop(entry["Mac"], None)
    # Known only by what other gateways have told: the switch has no place for it.
    rest = [_misplaced(daemon, mac, conflict) for mac, conflict in sorted(conflicts.items())]
    return found + rest


def _asked(daemon: Daemon, dump: Callable[[], Iterable[T]]) -> list[T]:
    """What the switch says it holds; nothing if it goes away while it is asked.

    Raises:
        OpenFlowError: it is there, and does not answer.
    """
    try:
        return list(dump())
    except OpenFlowError:
        if daemon.switch.is_connected:
            raise
        return []


def _misplaced(daemon: Daemon, mac: str, conflict: dict[str, Any]) -> dict[str, Any]:
    name = conflict["Holder"]
    info = None if name is None else daemon.view.infos.get(PeerName.parse(name))
    return {
        "Mac": mac,
        "Name": name or "",
        "NickName": info.nick_name if info else "",
        "Port": None,
        "LastSeen": conflict["LastSeen"],
        "Conflict": conflict,
    }


def _conflicts(daemon: Daemon, now: float) -> dict[str, dict[str, Any]]:
    """MACs that are at two places: where else, and since when."""
    started = now - time.monotonic()
    return {
        bytes.fromhex(conflict.mac).hex(":"): {
            "Segment": conflict.segment,
            "Holder": None if conflict.holder is None else str(conflict.holder),
            "Since": _timestamp(started + conflict.since),
            "LastSeen": _timestamp(started + conflict.last),
            "Frames": conflict.frames,
            "Confirmed": conflict.is_denied,
        }
        for conflict in daemon.moving.conflicts()
    }


def _owners(daemon: Daemon) -> dict[ShortId, PeerName]:
    return {
        info.short_id: name
        for name, info in sorted(daemon.view.infos.items(), reverse=True)
        if info.short_id is not None
    }


def _mac(
    daemon: Daemon, learnt: LearntMac, owners: dict[ShortId, PeerName], now: float
) -> dict[str, Any]:
    port = None
    if learnt.kind is Kind.LEARNT_PORT:
        name = daemon.router.name
        port = next(
            (p.name for n, p in daemon.switch.ports.items() if n & 0xFFFF == learnt.subject), None
        )
    else:
        name = owners.get(ShortId(learnt.subject), PeerName(0))
        port = daemon.gateways.port_of(ShortId(learnt.subject))
    info = daemon.view.infos.get(name)
    return {
        "Mac": learnt.mac,
        "Name": str(name),
        "NickName": info.nick_name if info else "",
        "Port": port,
        "LastSeen": _timestamp(now - learnt.age_s),
    }


def gateways(daemon: Daemon) -> list[dict[str, Any]]:
    """All gateway ports of this peer."""
    try:
        found = daemon.macs.learnt() if daemon.switch.is_connected else []
    except OpenFlowError:
        found = []  # it has just died: who forwards is asked for all the more
    daemon.standings.note()
    return [gateway(daemon, port, found) for port in daemon.gateways.core.ports.values()]


def gateway(daemon: Daemon, port: PortMachine, found: list[LearntMac]) -> dict[str, Any]:
    """One gateway port."""
    now, core = time.monotonic(), daemon.gateways.core
    segment_id = daemon.segment_id(port.spec.segment)
    here = [m for m in found if m.kind is Kind.LEARNT_PEER and m.subject == segment_id]
    entry, outlook, timers = port.history[-1], port.outlook(now), core.timers
    segment, readable = port.spec.segment, daemon.standings.readable
    standings = daemon.standings.of(segment)
    believed = {name: one for name, one in standings if not one.seen.is_own}
    own = [one for _, one in standings if one.seen.is_own and one.seen.told.port == port.spec.port]
    line = headline([one for _, one in standings])
    what_next = outlook.why if outlook.at is None else f"{outlook.why}: opens"
    return {
        "port": port.spec.port,
        "segment": segment,
        "nick_name": daemon.router.nick_name,
        "headline": {"who": line.who, "could": line.could, "tone": line.tone},
        "believed": own[0].believed if own else str(port.state),
        "why": readable(own[0].why if own else entry.reason),
        "role": str(port.intent.role),
        "priority": port.spec.priority,
        "state": str(port.state),
        "gate": str(port.gate),
        "since": _wall(entry.at, now),
        "reason": readable(entry.reason),
        "epoch": port.epoch,
        "ready": not port.obstacles(),
        "obstacles": port.obstacles(),
        "next": readable(what_next),
        "drained": port.intent.drained,
        "forced": port.intent.forced,
        "wish": _wish(daemon, port),
        "damped": port.is_damped(now),
        "peer_states": _peer_states(daemon, believed, now),
        "macs_local": len(here),
        "macs_remote": len(found) - len(here),
        "fencing": {
            "give_up_s": round(timers.give_up_s, 3),
            "take_over_s": timers.take_over_s,
            "permit_s": timers.permit_s,
            "renewal_s": timers.renew_s,
            "lateness_s": round(port.keeper.lateness_s, 3),
        },
        "fence": _fence(daemon, port.spec.port),
        "history": [
            {
                "at": _wall(past.at, now),
                "state": str(past.state),
                "epoch": past.epoch,
                "reason": readable(past.reason),
                "seen": dict(past.seen),
            }
            for past in port.history
        ],
    }


def _fence(daemon: Daemon, port: str) -> dict[str, Any] | None:
    """What closes a port of the kernel datapath when its switch is dead, too."""
    fences, unfenced = daemon.gateways.fences, daemon.gateways.unfenced
    timers = daemon.gateways.core.timers
    if unfenced is not None:
        return {"state": "none", "why": unfenced}
    if fences is None or timers.fence is None:
        return None
    fence, why = fences.of(port), fences.trouble(port)
    state = "open" if fence.is_open else "closed" if fence.is_made else "none"
    return {
        "state": state,
        "why": why,
        "table": fence.table,
        "open_s": timers.fence.open_s,
        "give_up_s": round(timers.fence_give_up_s, 3),
        "take_over_s": timers.dead_ms / 1000,
        "renewals": fence.counts.renewals,
        "mended": fence.counts.mended,
    }


def _wish(daemon: Daemon, port: PortMachine) -> dict[str, Any]:
    """What was asked for last, and what became of it."""
    wish, timers = port.wish, daemon.gateways.core.timers
    return {
        "asked": str(wish.intent),
        "outcome": str(wish.outcome),
        "within_s": round(wish.within_s if wish.number else timers.wish_s, 3),
        "why": daemon.standings.readable(wish.why),
    }


def _peer_states(daemon: Daemon, standings: dict[PeerName, Standing], now: float) -> dict[str, Any]:
    """What the other gateways of a segment said last, and what is believed of them now."""
    core, found = daemon.gateways.core, {}
    for name, other in standings.items():
        signs, told = core.peer_view(name, now), other.seen.told
        found[str(name)] = {
            "nick_name": daemon.standings.nick_name(name),
            "port": told.port,
            "role": told.role,
            "priority": told.priority,
            "state": told.state,
            "epoch": told.epoch,
            "ready": told.ready,
            "believed": other.believed,
            "alive": other.is_alive,
            "could": other.could,
            "words": daemon.standings.readable(other.words),
            "why": daemon.standings.readable(other.why),
            "bfd": str(signs.bfd),
            "lease_age_s": round(min(signs.lease_age_s, 1e6), 3),
            "hello_age_s": None if signs.hello_age_s is None else round(signs.hello_age_s, 3),
            "verdict": str(signs.judgement.verdict),
        }
    return found


def _wall(at: float, now: float) -> str:
    """Monotonic seconds as a time of day."""
    return _timestamp(time.time() - (now - at))


def status_text(daemon: Daemon) -> str:
    """Weave's ``status``."""
    router, config = daemon.router, daemon.config
    links = router.connections()
    established = sum(1 for link in links if link.established)
    table = list(router.peers)
    edges = sum(len(peer.connections) for peer in table)
    direct = [target for target in router.targets() if target.direct]
    rows = [
        ("Version", f"weave-ryu {__version__}"),
        ("", ""),
        ("Service", "router"),
        ("Protocol", "weave 2..2"),
        ("Name", f"{router.name}({router.nick_name})"),
        *(("NameTaken", str(notice)) for notice in router.namesakes(time.monotonic())),
        ("Encryption", "enabled" if config.password is not None else "disabled"),
        ("PeerDiscovery", "disabled" if config.no_discovery else "enabled"),
        ("Targets", str(len(direct))),
        ("Connections", f"{len(links)} ({established} established)"),
        ("Peers", f"{len(table)} (with {edges} connections)"),
        ("TrustedSubnets", " ".join(map(str, config.trusted_subnets)) or "none"),
        ("Bridge", f"{config.bridge} ({daemon.datapath}), {_switch_state(daemon)}"),
    ]
    rows += [
        (
            f"Gateway {port.spec.port}",
            f"{port.spec.segment}: {port.state} "
            f"({daemon.standings.readable(port.history[-1].reason)})",
        )
        for port in daemon.gateways.core.ports.values()
    ]
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:>{width}}: {value}" if name else "" for name, value in rows]
    return "\n".join(lines) + "\n"


def _switch_state(daemon: Daemon) -> str:
    if not daemon.switch.is_connected:
        return "not connected"
    return "in sync" if daemon.forwarder.is_in_sync else "being programmed"


def connections_text(daemon: Daemon) -> str:
    """Weave's ``status connections``."""
    return "".join(
        f"{'->' if line['Outbound'] else '<-'} {line['Address']:<21} "
        f"{line['State']:<11} {line['Info']}\n"
        for line in connections(daemon)
    )


def peers_text(daemon: Daemon) -> str:
    """Weave's ``status peers``."""
    lines = []
    for peer in peers(daemon):
        lines.append(f"{peer['Name']}({peer['NickName']})")
        for line in peer["Connections"]:
            if not line["Address"]:
                # Weave's own tool prints an arrow and no address.
                what = "a segment, behind" if peer["Segment"] else "forwards for segment"
                lines.append(f"   == {what:<21} {line['Name']}({line['NickName']})")
                continue
            arrow = "->" if line["Outbound"] else "<-"
            state = "established" if line["Established"] else "pending"
            far_end = f"{line['Name']}({line['NickName']})"
            lines.append(f"   {arrow} {line['Address']:<21} {far_end:<37} {state}")
    return "".join(f"{line}\n" for line in lines)


def targets_text(daemon: Daemon) -> str:
    """Weave's ``status targets``."""
    return "".join(f"{t.address}\n" for t in daemon.router.targets() if t.direct)


def _timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def flows(daemon: Daemon) -> list[dict[str, Any]]:
    """All flows of the pipeline with their reasons and counters."""
    if not daemon.switch.is_connected:
        return []
    why = {flow_cookie(flow): flow.why for flow in daemon.forwarder.desired}
    found = []
    for entry in _asked(daemon, lambda: daemon.switch.dump(OWNER << 56, OWNER_MASK)):
        parsed = parse(entry.cookie)
        table = BY_NUMBER.get(entry.table_id)
        if parsed is None or table is None:
            continue
        found.append(
            {
                "table": table.name,
                "table_id": entry.table_id,
                "priority": entry.priority,
                "cookie": f"{entry.cookie:#018x}",
                "kind": parsed[0].name.lower(),
                "subject": parsed[1],
                "packets": entry.packet_count,
                "bytes": entry.byte_count,
                "age_s": entry.duration_sec,
                "hard_timeout_s": entry.hard_timeout,
                "why": why.get(entry.cookie, _UNLISTED.get(parsed[0], "")),
            }
        )
    return sorted(found, key=lambda flow: (flow["table_id"], -flow["priority"], flow["cookie"]))


_UNLISTED = {
    Kind.PERMIT: "opens the gateway port until it runs out",
    Kind.LEARNT_PEER: "learnt by the switch: a MAC behind a peer",
    Kind.LEARNT_PORT: "learnt by the switch: a MAC behind a port",
}
