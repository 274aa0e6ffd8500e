"""The simulator's own shortcuts say the same as the slow code that they stand for."""

import ast
import random
import re
from pathlib import Path

import pytest
import sim_daemon
import sim_flows
import sim_moving
from overlay_model import BROADCAST, CONTAINER, GATEWAY, TUNNEL, OverlayModel
from sim_flows import place
from sim_tables import CONTROLLER, Tables, prepare
from table_model import Frame

from weave_ryu.gate import Gate
from weave_ryu.pipeline import diff, rules

SHELL = Path(sim_daemon.__file__).resolve().parents[2] / "weave_ryu" / "shell"
LINKS = {
    "full": [(a, b) for a in "ABWX" for b in "ABWX" if a < b],
    "ring": [("A", "W"), ("W", "B"), ("B", "X"), ("A", "X")],
}


def sent_by(walk):
    return [(copy.port, copy.tun_dst, copy.tun_src, copy.tun_id) for copy in walk.sent]


@pytest.mark.parametrize("links", LINKS)
@pytest.mark.parametrize("gate", [Gate.CLOSED, Gate.KNOWN, Gate.OPEN, Gate.DRAINING])
def test_compiled_tables_send_and_learn_as_the_table_model(links, gate):
    overlay = OverlayModel(LINKS[links], gateways="AB", active="AB")
    overlay.gates = {"A": gate, "B": Gate.OPEN}
    overlay.program("A")
    model, own = overlay.models["A"], overlay.short_ids["A"]
    compiled = Tables()
    for flow in model.flows:
        compiled.put(prepare(flow))
    rng = random.Random(f"{links} {gate}")
    stations = [overlay.mac(x) for x in ("A-c1", "B-c1", "W-c1", "X-c1", "Host1", "Host2")]
    sent = 0
    for _ in range(1500):
        src = rng.choice(stations)
        dst = rng.choice([x for x in (*stations, BROADCAST, "01:80:c2:00:00:03") if x != src])
        port, tun_src, tun_id = rng.choice([CONTAINER, GATEWAY, TUNNEL]), "0.0.0.0", 0
        if port == TUNNEL:
            tun_src = rng.choice(list(overlay.addresses.values()))
            to, source = (
                rng.choice([own, own, 999, *overlay.short_ids.values()]),
                rng.choice(list(overlay.short_ids.values())),
            )
            tun_id = to << 12 | source
        expected = model.walk(Frame(port, src, dst, tun_src, tun_id))
        walk = compiled.walk(port, src, dst, tun_src, tun_id)
        for lesson, mac in walk.noted:
            compiled.learnt[lesson.table, mac, lesson.priority] = lesson.taught
        assert sent_by(walk) == sent_by(expected), expected.visited
        assert walk.visited == expected.visited
        assert {k: v[1] for k, v in compiled.learnt.items()} == {
            k: v[1] for k, v in model.learnt.items()
        }
        sent += len(walk.sent)
        if rng.random() < 0.02:
            compiled.learnt.clear()
            model.learnt.clear()
    assert sent > 300


def test_flows_are_changed_as_the_difference_says():
    states = [OverlayModel(LINKS[x], gateways="AB").state("A") for x in ("full", "ring")]
    before, after = map(rules.flows, states)
    present = {diff.installed(flow) for flow in before}
    plan = diff.plan(present, after)
    old, new = ({place(p): p for p in map(prepare, flows)} for flows in (before, after))
    deleted = {f.table << 80 | f.priority << 64 | f.cookie for f in plan.delete}
    assert deleted == old.keys() - new.keys()
    added = {key: flow.flow for key, flow in new.items() if key not in old}
    assert set(added.values()) == set(plan.add)
    earlier, later = map(sim_flows.Wanted, states)
    to_add, to_delete = later.since(earlier)
    assert ({flow.flow for flow in to_add}, to_delete) == (set(plan.add), deleted)
    assert plan.delete
    assert plan.add


def constants(module):
    """NAME = literal, at the top level of a module that cannot be imported here."""
    tree = ast.parse((SHELL / f"{module}.py").read_text())
    found = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                found[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                continue
    return found


def test_constants_are_those_of_the_shell():
    gateways, announce = constants("gatewayd"), constants("announce")
    forwarder, daemon = constants("forwarder"), constants("daemon")
    assert gateways["STALE_S"] == sim_daemon.STALE_S
    assert announce["REPEAT_AT_S"] == sim_daemon.REPEAT_AT_S
    assert announce["INTRODUCE_AT_S"] == sim_daemon.INTRODUCE_AT_S
    assert announce["INTRODUCE_LATE_S"] == sim_daemon.INTRODUCE_LATE_S
    assert (announce["BURST"], announce["PAUSE_S"]) == (sim_daemon.BURST, sim_daemon.PAUSE_S)
    assert forwarder["FORGET_AGAIN_AFTER_S"] == sim_daemon.FORGET_AGAIN_AFTER_S
    assert daemon["ASK_DELAY_S"] == sim_daemon.ASK_DELAY_S
    moving = constants("moving")
    for name in ("SETTLE_AT_S", "AWAY_S", "ANNOUNCE_AGAIN_S"):
        assert moving[name] == getattr(sim_moving, name)
    text = (SHELL / "forwarder.py").read_text()
    (names,) = re.findall(r"_OF_THE_MESH = frozenset\(\{(.*?)\}\)", text)
    assert {f"Kind.{kind.name}" for kind in sim_flows.OF_THE_MESH} == set(names.split(", "))


def test_an_introduced_container_is_learnt_and_passed_on_as_if_it_had_spoken():
    overlay = OverlayModel(LINKS["ring"], gateways="AB", active="A")
    tables = {}
    for letter in "AW":
        tables[letter] = Tables()
        for flow in overlay.models[letter].flows:
            tables[letter].put(prepare(flow))
    mac, ids = overlay.mac("W-c1"), overlay.short_ids
    introduced = tables["W"].walk_actions(mac, BROADCAST, rules.introduction(ids["W"], ids["A"]))
    (copy,) = introduced.sent
    assert (copy.tun_dst, copy.tun_id) == (overlay.addresses["A"], ids["A"] << 12 | ids["W"])
    arrived = tables["A"].walk(TUNNEL, mac, BROADCAST, overlay.addresses["W"], copy.tun_id)
    assert GATEWAY in [copy.port for copy in arrived.sent]
    assert [lesson.table for lesson, taught in arrived.noted if taught == mac] == ["mac", "origins"]


def test_what_is_known_by_hearsay_is_turned_back_at_the_gate():
    overlay = OverlayModel(LINKS["ring"], gateways="AB", active="A")
    tables = Tables()
    for flow in overlay.models["A"].flows:
        tables.put(prepare(flow))
    mac = overlay.mac("W-c1")
    assert tables.walk(GATEWAY, mac, BROADCAST).sent
    for lesson, taught in tables.walk_actions(mac, BROADCAST, rules.hearsay()).noted:
        tables.learnt[lesson.table, taught, lesson.priority] = lesson.taught
    turned_back = tables.walk(GATEWAY, mac, BROADCAST)
    assert ([copy.port for copy in turned_back.sent], turned_back.noted) == ([CONTROLLER], [])
