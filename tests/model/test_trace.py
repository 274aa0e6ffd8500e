"""The table model is right: Open vSwitch itself does the same with the same flows and frames.

For each peer of a shape: its flows and what it has learnt go into a switch, then many frames are
looked up with ``ofproto/trace``. And the two ways of writing a flow, as text and as OpenFlow
messages, lead to the same flows in a switch.
"""

import copy
import itertools
import random
import warnings
from dataclasses import replace

import pytest
from dummy_switch import DummySwitch, what_is_missing
from overlay_model import BROADCAST, CONTAINER, GATEWAY, TUNNEL, OverlayModel
from table_model import Frame
from test_overlay import SHAPES

from weave_ryu.gate import Gate
from weave_ryu.pipeline import cookies, diff, render, rules
from weave_ryu.pipeline.model import Field, Learn, LearnLoad
from weave_ryu.pipeline.reserved import RESERVED
from weave_ryu.pipeline.tables import METER_RATES, TABLES

pytestmark = pytest.mark.skipif(bool(what_is_missing()), reason=what_is_missing() or "-")

ACTIVES = ("", "A", "B", "AB")
STRANGER = "192.0.2.66"
UNKNOWN_MAC = "02:00:00:00:09:99"
FRAMES_PER_PEER = 50


@pytest.fixture(scope="module")
def switch(tmp_path_factory):
    made = DummySwitch(tmp_path_factory.mktemp("ovs"), TUNNEL, (CONTAINER, GATEWAY))
    try:
        made.start()
        for meter, rate in METER_RATES.items():
            band = f"meter={meter},pktps,burst,band=type=drop,rate={rate},burst_size={rate}"
            made.ofctl("add-meter", band)
        yield made
    finally:
        made.stop()


def learnt_as_flows(model):
    """The learnt flows of a table model as text."""
    by = {"mac": Field.ETH_DST, "origins": Field.ETH_SRC}
    for (table, mac, priority), (loads, cookie) in model.learnt.items():
        learn_loads = tuple(LearnLoad(load.mark, load.value) for load in loads)
        yield render.learnt_text(Learn(table, by[table], learn_loads, cookie, priority, 0), mac)


def learnt_in(switch):
    return [line for line in switch.dump() if ", table=21, " in line or ", table=11, " in line]


def program(switch, model):
    flows = [render.flow_text(replace(flow, hard_timeout_s=0)) for flow in model.flows]
    switch.replace_flows([*flows, *learnt_as_flows(model)])


def frames_for(overlay, letter):
    """Frames from each port, to and from all kinds of stations, by right and wrong ways."""
    stations = [f"{x}-c1" for x in overlay.letters] + list(overlay.hosts)
    macs = [overlay.mac(station) for station in stations] + [UNKNOWN_MAC]
    destinations = [*macs, BROADCAST, "33:33:00:00:00:01", "01:80:c2:00:00:0e"]
    sources = [*macs, "00:00:00:00:00:00", "03:00:00:00:00:01"]
    ids = [*overlay.short_ids.values(), 4000]
    own = overlay.short_ids[letter]
    addresses = [*overlay.addresses.values(), STRANGER]
    for port, src, dst in itertools.product((CONTAINER, GATEWAY), sources, destinations):
        yield Frame(port, src, dst)
    for address, source, destination in itertools.product(addresses, ids, [own, own, *ids]):
        pair = random.Random(f"{address}{source}{destination}")
        tun_id = destination << 12 | source
        yield Frame(TUNNEL, pair.choice(sources), pair.choice(destinations), address, tun_id)
    for address, destination in itertools.product(addresses, (own, 4000)):
        zero = "00:00:00:00:00:00"
        yield Frame(TUNNEL, zero, zero, address, destination << 12 | ids[0])


def sample(overlay, letter, seed):
    """Some frames of each kind; a frame to its own sender is not a case (learning is at once)."""
    frames = [frame for frame in frames_for(overlay, letter) if frame.src != frame.dst]
    frames += [f for f in frames_for(overlay, letter) if f.src == f.dst == "00:00:00:00:00:00"]
    return random.Random(seed).sample(frames, min(FRAMES_PER_PEER, len(frames)))


def warmed_up(shape, active, gates=None):
    overlay = OverlayModel(SHAPES[shape], gateways="AB", active=active)
    overlay.gates.update(gates or {})
    for letter in overlay.letters:
        overlay.program(letter)
    for station in ("W-c1", "Z-c1", "B-c1", "Host1"):
        overlay.send(station)
    return overlay


def without_learning(model):
    """A copy that may learn; the model stays as it is, like the switch that is only traced."""
    fresh = copy.copy(model)
    fresh.learnt = dict(model.learnt)
    return fresh


def compare(switch, overlay, seed):
    left = 0
    for letter in overlay.letters:
        model = overlay.models[letter]
        program(switch, model)
        for frame in sample(overlay, letter, f"{seed}{letter}"):
            expected = without_learning(model).send(frame)
            outputs, shown = switch.trace(frame)
            assert outputs == expected, f"{letter}: {frame}\n{shown}"
            left += bool(outputs)
    assert left > FRAMES_PER_PEER // 4, "hardly any frame left the switch: nothing was compared"


def test_every_table_is_passed_by_frames_that_are_compared():
    missing = {table.name for table in TABLES}
    for shape, active in itertools.product(SHAPES, ACTIVES):
        overlay = warmed_up(shape, active)
        for letter, model in overlay.models.items():
            for frame in sample(overlay, letter, f"{shape}{active}{letter}"):
                missing -= set(without_learning(model).walk(frame).visited)
    for gate in (Gate.DRAINING, Gate.TAKING):
        overlay = warmed_up("full", "AB", {"A": gate})
        for letter, model in overlay.models.items():
            for frame in sample(overlay, letter, f"draining{letter}"):
                missing -= set(without_learning(model).walk(frame).visited)
    assert not missing


@pytest.mark.parametrize("active", ACTIVES, ids=lambda a: a or "none")
@pytest.mark.parametrize("shape", SHAPES)
def test_switch_does_what_the_model_does(switch, shape, active):
    compare(switch, warmed_up(shape, active), f"{shape}{active}")


@pytest.mark.parametrize("shape", ["full", "line"])
@pytest.mark.parametrize(
    "first", [Gate.KNOWN, Gate.TAKING, Gate.DRAINING], ids=lambda gate: gate.name
)
def test_switch_does_what_the_model_does_during_a_hand_over(switch, first, shape):
    compare(switch, warmed_up(shape, "AB", {"A": first}), f"hand-over{first}")


def test_switch_drops_what_switches_say_to_each_other(switch):
    overlay = warmed_up("full", "A")
    own, x = (overlay.short_ids[letter] for letter in "AX")
    from_x = overlay.addresses["X"], own << 12 | x
    program(switch, overlay.models["A"])
    for group in RESERVED:
        for frame in (
            Frame(CONTAINER, overlay.mac("A-c1"), group.address),
            Frame(GATEWAY, overlay.mac("Host1"), group.address),
            Frame(TUNNEL, overlay.mac("X-c1"), group.address, *from_x),
        ):
            outputs, shown = switch.trace(frame)
            assert outputs == without_learning(overlay.models["A"]).send(frame) == [], shown


NEIGHBOURHOODS = ("01:80:c2:00:00", "00:e0:2b:00:00", "01:00:0c:cc:cc", "01:00:0c:cd:cd")
NEIGHBOURHOODS += ("01:00:0c:00:00", "01:00:5e:00:00")


def test_whatever_normal_drops_as_reserved_is_reserved_here(switch):
    """Open vSwitch's own list, read from the switch: a later one may know more."""
    switch.replace_flows(["actions=NORMAL"])
    dropped = []
    for head, last in itertools.product(NEIGHBOURHOODS, range(256)):
        address = f"{head}:{last:02x}"
        outputs, _ = switch.trace(Frame(CONTAINER, "02:00:00:00:00:99", address))
        if not outputs:
            dropped.append(address)
    assert len(dropped) >= 31, dropped
    for address in dropped:
        assert any(group.covers(address) for group in RESERVED), address


def test_model_learns_what_the_switch_learns(switch):
    overlay = OverlayModel(SHAPES["full"], gateways="AB", active="A")
    model = overlay.models["A"]
    program(switch, model)
    own, x, b = (overlay.short_ids[letter] for letter in "AXB")
    frames = [
        Frame(CONTAINER, overlay.mac("A-c1"), BROADCAST),
        Frame(GATEWAY, overlay.mac("Host1"), BROADCAST),
        Frame(TUNNEL, overlay.mac("X-c1"), BROADCAST, overlay.addresses["X"], own << 12 | x),
        Frame(TUNNEL, overlay.mac("B-c1"), BROADCAST, overlay.addresses["B"], own << 12 | b),
        # A frame of the mesh that the segment returns: turned back, nothing learnt anew.
        Frame(GATEWAY, overlay.mac("X-c1"), BROADCAST),
    ]
    for frame in frames:
        outputs, shown = switch.trace(frame, "-generate")
        assert outputs == model.send(frame), shown
    learnt = learnt_in(switch)
    switch.ofctl("del-flows")
    switch.replace_flows(
        line.replace("hard_timeout=0", "hard_timeout=300") for line in learnt_as_flows(model)
    )
    assert learnt == switch.dump()
    assert len(learnt) == 2 * len(frames[:-1])  # where each MAC is, and whence it came


def gates_and_flows(overlay):
    for letter in overlay.letters:
        flows = overlay.models[letter].flows
        yield (
            f"{letter}",
            [replace(flow, hard_timeout_s=flow.hard_timeout_s * 100) for flow in flows],
        )
    for gate in Gate:
        port = render.EXAMPLE.gateway_ports[0]
        yield gate.name, rules.flows(render.EXAMPLE) + rules.permits(port, gate, 100)


@pytest.fixture(scope="module")
def encoder():
    """The daemon's encoder: message → bytes. Ryu's imports warn of what nobody here can change."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ryu.ofproto import ofproto_protocol

        from weave_ryu.shell import encode

    version_1_3 = ofproto_protocol.ProtocolDesc(version=4)

    def encoded(kind, flow):
        message = getattr(encode, kind)(version_1_3, flow)
        message.set_xid(100)
        message.serialize()
        return bytes(message.buf)

    return encoded


def test_text_and_openflow_messages_make_the_same_flows(switch, encoder):
    overlay = warmed_up("line", "AB")
    for name, flows in gates_and_flows(overlay):
        switch.replace_flows(render.flow_text(flow) for flow in flows)
        by_text = switch.dump()
        switch.ofctl("del-flows")
        assert switch.dump() == []
        switch.send_openflow([encoder("flow_add", flow) for flow in flows])
        assert switch.dump() == by_text, name
        assert len(by_text) == len(flows)


def test_encoded_deletion_removes_the_one_flow(switch, encoder):
    flows = rules.flows(render.EXAMPLE)
    for gone in flows[::7]:
        switch.replace_flows(render.flow_text(flow) for flow in flows)
        before = switch.dump()
        switch.send_openflow([encoder("flow_delete", diff.installed(gone))])
        removed = set(before) - set(switch.dump())
        assert len(removed) == 1
        assert f"{cookies.flow_cookie(gone):#x}" in removed.pop()
