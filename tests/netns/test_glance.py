"""After a crash: neither the command line nor the page says what is not so.

Asked all the time: the other gateway, a peer that is none, and the one that was struck itself. The
page shows headline and rows of `GET /mesh` as they are (`tests/web/test_page.py`); the command line
shows what `glance` makes of the same.
"""

import concurrent.futures
import re
import time

import pytest

from weave_ryu.cli import glance
from weave_ryu.errors import DaemonUnreachableError
from weave_ryu.lab import failover, topology

WATCH_S = 10.0
EVERY_S = 0.2

DETECTED_S = 1.5
"""When the other gateway has noticed, with room for a busy machine: it takes 0.35 s."""

REPLACED_S = 3.0
"""When all have: who hears no leases hears of a crash when the other gateway opens."""


def vswitchd_killed(_lab, active, _standby):
    active.kill_vswitchd()
    return active.restart_vswitchd


def strike(name):
    return failover.EVENTS[name].strike


CRASHES = {
    "daemon killed": (strike("kill"), DETECTED_S),
    "daemon stopped": (strike("stop"), DETECTED_S),
    "daemon terminated": (strike("term"), REPLACED_S),
    "host dead": (strike("host"), DETECTED_S),
    # Its daemon lives, and says that the port may be open until its permits have run out.
    "vswitchd killed": (vswitchd_killed, REPLACED_S),
    "carrier lost": (strike("carrier"), DETECTED_S),
}


@pytest.fixture(scope="module")
def bench(build_lab):
    return failover.Bench(build_lab(topology=topology.build(["W", "X", "A", "B"])), print)


def look(peer):
    """Who forwards, by every word that `gateway status` and the page of a peer show."""
    gateways = peer.http("GET", "/gateways", timeout_s=1.0).body
    mesh = peer.http("GET", "/mesh", timeout_s=1.0).body
    for shown in (
        glance.shown(gateways, None if gateways else mesh),
        glance.shown([], mesh),
    ):
        state = shown.headers.index("STATE")
        name = shown.headers.index("GATEWAY" if "GATEWAY" in shown.headers else "PORT")
        rows = [(row[name], row[state]) for row in shown.rows]
        yield shown.title, {str(n).split()[0] for n, s in rows if s == "active"}, rows


def forwarders(title):
    return set(re.findall(r"(\w+) gw0 forwards", title))


def watch(peers, struck, until, noticed_s):
    """Look at all peers in turn; returns what was wrong, and when the struck one was seen last."""
    wrong, last, started = [], dict.fromkeys((p.nick_name for p in peers), 0.0), time.monotonic()
    while (since := time.monotonic() - started) < until:
        for peer in peers:
            asked = time.monotonic() - started
            try:
                seen = list(look(peer))
            except DaemonUnreachableError:
                if peer is not struck:
                    wrong.append(f"{asked:.1f} s: {peer.nick_name} does not answer")
                continue
            for title, active, rows in seen:
                names = forwarders(title) | active - {"gw0"}
                if "gw0" in active:  # the own port of the peer that was asked
                    names.add(peer.nick_name)
                words = f"{asked:.1f} s: {peer.nick_name}: {title} {rows}"
                if "FORWARD:" in title or len(names) > 1:
                    wrong.append(f"two forward: {words}")
                if struck.nick_name in names:
                    last[peer.nick_name] = asked
                    if asked > noticed_s[peer.nick_name]:
                        wrong.append(f"the dead one forwards: {words}")
        time.sleep(max(0.0, EVERY_S - (time.monotonic() - started - since)))
    return wrong, last


@pytest.mark.parametrize("crash", CRASHES)
def test_no_word_of_two_forwarders_or_of_a_dead_one(bench, crash):
    active, standby = bench.wait_ready()
    lab = bench._lab
    strike_it, detected_s = CRASHES[crash]
    peers = [standby, lab.peer("W"), *([active] if crash not in ("daemon stopped",) else [])]
    bounds = dict.fromkeys(lab.peers, REPLACED_S) | {standby.nick_name: detected_s}
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        struck = pool.submit(strike_it, lab, active, standby)
        try:
            wrong, last = watch(peers, active, WATCH_S, bounds)
            titles = {p.nick_name: next(look(p))[0] for p in (standby, lab.peer("W"))}
            events = lab.peer("W").http("GET", "/mesh").body["events"]
        finally:
            struck.result()()
    print(crash, "last seen as forwarding after", {n: round(at, 1) for n, at in last.items()})
    print(titles)
    assert wrong == []
    assert all(f"{standby.nick_name} gw0 forwards" in title for title in titles.values()), titles
    opened = next(e for e in reversed(events) if e["nick_name"] == standby.nick_name)
    print("why:", opened["reason"])
    assert (opened["state"], opened["peer"] in opened["reason"]) == ("active", False)
    assert active.nick_name in opened["reason"], opened
