"""Probes end at the first bridge of ours, and a closed container's port is closed both ways."""

import itertools

import pytest
from overlay_model import BROADCAST, CONTAINER, GATEWAY, TUNNEL, OverlayModel
from table_model import CONTROLLER, Frame, Sent

from weave_ryu.gate import Gate
from weave_ryu.gateway.hello import source_mac
from weave_ryu.names import PROBE_GROUP, PeerName
from weave_ryu.pipeline.tables import METER_PROBES

SHAPES = {
    "full": list(itertools.combinations("ABWX", 2)),
    "line": [("W", "A"), ("A", "B"), ("B", "X")],
}
SOURCE = source_mac(PeerName(1), "gw0").hex(":")


@pytest.mark.parametrize("links", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("active", ["", "A", "AB"])
@pytest.mark.parametrize("gate", Gate)
@pytest.mark.parametrize("closed", ["", "ABWX"])
def test_probe_is_shown_to_the_daemon_once_and_leaves_by_no_port(links, active, gate, closed):
    overlay = OverlayModel(links, gateways="AB", active=active)
    overlay.gates = dict.fromkeys(active, gate)
    overlay.closed = set(closed)
    overlay.program_all()
    for station in ("Host1", "W-c1", "X-c1", "A-c1"):
        overlay.send(station)
    for letter, model in overlay.models.items():
        before = dict(model.learnt)
        frames = [Frame(port, SOURCE, PROBE_GROUP) for port in (CONTAINER, GATEWAY, 77)]
        others = [x for x in overlay.letters if x != letter]
        for sender, source in itertools.product(others, others):
            for destination in (overlay.short_ids[letter], overlay.short_ids[source], 0xFFF):
                tun_id = destination << 12 | overlay.short_ids[source]
                address = overlay.addresses[sender]
                frames.append(Frame(TUNNEL, SOURCE, PROBE_GROUP, address, tun_id))
        for frame in frames:
            assert model.send(frame) == [Sent(CONTROLLER)], (letter, frame)
        assert model.learnt == before, "a probe's source is nobody's address"


def test_probes_have_a_meter_of_their_own():
    overlay = OverlayModel(SHAPES["full"], gateways="AB", active="A")
    flows = [f for f in overlay.models["A"].flows if any(t.value == PROBE_GROUP for t in f.match)]
    assert [[a.meter for a in flow.actions] for flow in flows] == [[METER_PROBES]]


@pytest.mark.parametrize("links", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("closed", ["W", "A"])
def test_nothing_enters_or_leaves_by_a_closed_port(links, closed):
    overlay = OverlayModel(links, gateways="AB", active="A")
    gone = f"{closed}-c1"
    for station in (gone, "X-c1", "Host1"):
        overlay.send(station)  # where it was learnt is known still
    overlay.closed = {closed}
    overlay.program_all()
    for station in ("X-c1", "B-c1", "Host1"):
        assert overlay.send(station)[gone] == 0
        assert overlay.send(station, overlay.mac(gone))[gone] == 0
    for destination in (BROADCAST, overlay.mac("X-c1"), overlay.mac("Host1"), overlay.mac("B-c1")):
        assert not overlay.send(gone, destination)
    overlay.closed = set()
    overlay.program_all()
    assert overlay.send(gone)["X-c1"] == overlay.send(gone)["Host1"] == 1
