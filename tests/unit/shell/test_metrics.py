"""What Prometheus is told, and that the page on it says the same."""

import re
import time
from pathlib import Path

import pytest
from api_world import OWN, W, flow_entry, join
from prometheus_client.parser import text_string_to_metric_families

from weave_ryu.errors import OpenFlowError
from weave_ryu.gate import Gate
from weave_ryu.gateway.detection import Bfd
from weave_ryu.gateway.records import GatewayRecord, PortRecord, encode
from weave_ryu.gateway.role import State
from weave_ryu.gateway.states import Entry, Input
from weave_ryu.names import ShortId
from weave_ryu.pipeline import render, rules
from weave_ryu.pipeline.model import Goto
from weave_ryu.pipeline.permits import permits
from weave_ryu.pipeline.state import GatewayPort
from weave_ryu.pipeline.tables import MOVED

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "metrics.md"
NOT_DROPS = {("reverse_path", 0), ("flood_mesh", 0), ("held", 0), ("sighted", 0)}
"""Flows without actions after which the frame goes on elsewhere, or that no frame comes to."""


@pytest.fixture
def families(call):
    def read():
        text = call("/metrics").text
        return {family.name: family for family in text_string_to_metric_families(text)}

    return read


@pytest.fixture
def value(families):
    """The one sample of a family with these labels."""

    def read(name, suffix="", **labels):
        (sample,) = [
            sample
            for sample in families()[f"weave_ryu_{name}"].samples
            if sample.name == f"weave_ryu_{name}{suffix}"
            and labels.items() <= sample.labels.items()
        ]
        return sample.value

    return read


def hear(core, state, epoch, now, sequence=1, ready=False):
    port = PortRecord("vlan", "eth1", state, epoch, "auto", 100, ready)
    record = GatewayRecord(W, 9, sequence, (port,))
    core.received(W, encode([record]), True, now)


def test_state_and_role_are_one_of_each(value, daemon):
    assert value("gateway_state", port="eth1", segment="vlan", state="blocked") == 1
    assert value("gateway_state", port="eth1", segment="vlan", state="active") == 0
    assert value("gateway_role", role="standby") == 1
    assert value("gateway_forwarding", port="eth1") == 0
    assert value("gateway_epoch", port="eth1") == 0


def test_segment_counts_all_gateways_that_are_known(value, daemon):
    core, now = daemon.gateways.core, time.monotonic()
    join(daemon, W)
    core.start(now)
    hear(core, "active", 7, now)
    assert value("segment_gateways", segment="vlan", state="active") == 1
    assert value("segment_gateways", segment="vlan", state="blocked") == 1
    assert value("segment_epoch", segment="vlan") == 7
    hear(core, "standby", 7, now, 2, ready=True)
    assert value("segment_standbys_ready", segment="vlan") == 1


def test_segment_does_not_count_the_dead(value, daemon):
    core, now = daemon.gateways.core, time.monotonic()
    join(daemon, W)
    core.start(now)
    hear(core, "active", 7, now - 10.0)
    assert value("segment_gateways", segment="vlan", state="active") == 0
    assert value("segment_gateways", segment="vlan", state="silent") == 1


def test_other_gateways_signs_of_life(value, daemon, families):
    core = daemon.gateways.core
    hear(core, "standby", 0, 0.0)
    assert families()["weave_ryu_gateway_peer_bfd_up"].samples == []
    core.bfd(W, Bfd.UP, 0.0)
    assert value("gateway_peer_bfd_up", peer=str(W), nick_name="W") == 1
    core.bfd(W, Bfd.DOWN, 1.0)
    assert value("gateway_peer_bfd_up", peer=str(W)) == 0
    assert value("gateway_peer_lease_age_seconds", peer=str(W)) > 0


def test_connections_that_failed_are_counted_by_reason(value, daemon):
    assert daemon.router.failed_connections() == {}
    for number in range(3):
        daemon.router.accepted(number, ("10.0.0.1", 6783), ("10.0.0.2", 40000), 0.0)
    daemon.router.receive_bytes(0, b"GET / HTTP/1.0\r\n\r\n", 0.0)
    daemon.router.receive_eof(1, "closed by the other side", 0.0)
    assert value("mesh_failed_connections", "_total", reason="bad-header") == 1
    assert value("mesh_failed_connections", "_total", reason="closed") == 1


def test_drops_are_counted_by_reason(value, daemon):
    daemon.flow_entries[:] = [
        flow_entry(flow, 3) for flow in rules.flows(render.EXAMPLE) if flow.table == "gate_in"
    ]
    assert value("dropped_packets", "_total", reason="not_active_in", port="eth1") == 3
    assert value("dropped_packets", "_total", reason="not_a_gateway_port", port="") == 3


def test_forwarded_frames_are_counted_by_direction(value, daemon):
    port = GatewayPort(3, "eth1", "vlan", ShortId(0x513))
    daemon.flow_entries[:] = [flow_entry(flow, 2) for flow in permits(port, Gate.OPEN, 1)]
    assert value("gateway_packets", "_total", port="eth1", direction="in") == 2
    assert value("gateway_packets", "_total", port="eth1", direction="out") == 4
    assert value("gateway_bytes", "_total", port="eth1", direction="in") == 120


def test_every_flow_that_drops_has_a_reason(shell):
    from weave_ryu.shell.metrics import DROP_REASONS, SHOWN

    shown = (Goto(MOVED.name),)
    flows = rules.flows(render.EXAMPLE)
    dropping = {(f.table, f.priority) for f in flows if not f.actions or f.actions == shown}
    assert {(f.table, f.priority) for f in flows if f.actions == shown} == SHOWN
    assert dropping - NOT_DROPS == set(DROP_REASONS)


def test_transitions_are_counted(value, daemon, call):
    call("/status")
    for observer in daemon.gateways.observers:
        observer.entered("eth1", "vlan", Entry(1.0, State.STANDBY, 0, "as asked"))
    assert value("gateway_transitions", "_total", port="eth1", to="standby") == 1


def takes_over(daemon, now, before, reason):
    port = daemon.gateways.core.ports["eth1"]
    port.history.append(before)
    entry = Entry(now, State.ACTIVE, 8, reason)
    port.history.append(entry)
    for observer in daemon.gateways.observers:
        observer.entered("eth1", "vlan", entry)


def test_takeover_lasts_since_the_last_sign_of_life(value, daemon, call):
    hear(daemon.gateways.core, "active", 7, 100.0)
    takes_over(daemon, 102.0, Entry(90.0, State.STANDBY, 0, "passed over"), "W: silent")
    assert value("gateway_failover_seconds", "_sum", kind="takeover") == pytest.approx(2.0)


def test_handover_lasts_since_it_began(value, daemon, call):
    hear(daemon.gateways.core, "active", 7, 100.0)
    invited = Entry(100.2, State.ARMING, 0, "whatever it says", (), Input.INVITED)
    takes_over(daemon, 100.5, invited, "handed over")
    assert value("gateway_failover_seconds", "_sum", kind="handover") == pytest.approx(0.3)


def test_first_activation_is_no_failover(families, daemon, call):
    takes_over(daemon, 5.0, Entry(1.0, State.ARMING, 0, "beforehand"), "no gateway forwards")
    assert families()["weave_ryu_gateway_failover_seconds"].samples == []


def test_lateness_is_the_time_beyond_the_interval(value, daemon, call):
    for observer in daemon.gateways.observers:
        for sent_at in (1.0, 1.2, 1.9):
            observer.renewed("eth1", sent_at)
    assert value("permit_renewal_lateness_seconds", "_count", port="eth1") == 2
    assert value("permit_renewal_lateness_seconds", "_sum", port="eth1") == pytest.approx(0.5)


def test_time_while_closed_is_no_lateness(families, daemon, call):
    for observer in daemon.gateways.observers:
        observer.renewed("eth1", 1.0)
        observer.entered("eth1", "vlan", Entry(1.1, State.STANDBY, 0, "as asked"))
        observer.renewed("eth1", 9.0)
    assert families()["weave_ryu_permit_renewal_lateness_seconds"].samples == []


def test_requests_are_counted_and_no_client_makes_new_series(value, call):
    call("/nothing")
    call("/status", "BREW")
    call("/status", "STIR")
    assert value("http_requests", "_total", method="GET", status="404") == 1
    assert value("http_requests", "_total", method="other", status="405") == 2


def test_without_switch_there_are_still_figures(value, daemon, families):
    daemon.switch.is_connected = False
    assert value("switch_connected") == 0
    assert value("flows_in_sync") == 0
    assert families()["weave_ryu_dropped_packets"].samples == []


def test_switch_that_does_not_answer_costs_only_its_counters(value, daemon, families):
    def dump(_cookie, _mask):
        raise OpenFlowError("flow dump", "the switch did not answer")

    daemon.switch.dump = dump
    assert value("switch_connected") == 1
    assert families()["weave_ryu_dropped_packets"].samples == []


def test_build_info_names_this_peer(value):
    assert value("build_info", peer=str(OWN)) == 1


def test_openmetrics_is_given_to_those_who_ask_for_it(call):
    response = call("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert response.content_type == "application/openmetrics-text"
    assert response.text.endswith("# EOF\n")


@pytest.mark.parametrize("accept", ["", "\x7f", "text/html;q=nonsense", "a" * 5000, ";;,,"])
def test_no_accept_header_breaks_it(call, accept):
    assert call("/metrics", headers={"Accept": accept}).status_int == 200


def rows(families):
    """The lines of the table in the reference."""
    for name, family in sorted(families.items()):
        if name.startswith("weave_ryu_"):
            shown = name + ("_total" if family.type == "counter" else "")
            yield f"| `{shown}` | {family.type} | {family.documentation} |"


def test_page_lists_every_metric(families):
    expected = list(rows(families()))
    found = re.findall(r"^\| `weave_ryu_.*$", PAGE.read_text(), re.MULTILINE)
    assert found == expected, "the table should be:\n" + "\n".join(expected)


def test_page_lists_every_reason_of_a_drop(shell):
    from weave_ryu.shell.metrics import DROP_REASONS

    text = PAGE.read_text().split("## Why frames are dropped")[1]
    assert set(re.findall(r"^\| `([a-z_]+)` \| `[a-z_]+`", text, re.MULTILINE)) == set(
        DROP_REASONS.values()
    )
