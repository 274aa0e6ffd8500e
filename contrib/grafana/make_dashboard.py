"""Writes the dashboard to standard output; it is kept as ``contrib/grafana/weave-ryu.json``.

A list of panels is easier to read and to review than what Grafana exports.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

SOURCE = {"type": "prometheus", "uid": "${source}"}
OF_SEGMENT = 'segment=~"$segment"'

STATES = {
    "1": {"text": "forwards", "color": "green"},
    "0": {"text": "closed", "color": "blue"},
}
YES = {"1": {"text": "yes", "color": "green"}, "0": {"text": "NO", "color": "red"}}


class Panel(NamedTuple):
    """One panel: type, title, size in Grafana's units, queries with legends, words for values."""

    kind: str
    title: str
    width: int
    height: int
    unit: str | None
    queries: list[tuple[str, str]]
    words: dict[str, Any] | None


PANELS = [
    Panel("state-timeline", "Who forwards", 24, 6, None,
     [(f"weave_ryu_gateway_forwarding{{{OF_SEGMENT}}}", "{{instance}} {{port}} ({{segment}})")],
     STATES),
    Panel("stat", "Forwarders of the segment", 6, 4, None,
     [(f'max by (segment) (weave_ryu_segment_gateways{{{OF_SEGMENT}, state="active"}})',
       "{{segment}}")], None),
    Panel("stat", "Could somebody take over?", 6, 4, None,
     [(f"max by (segment) (weave_ryu_segment_standbys_ready{{{OF_SEGMENT}}} > bool 0)",
       "{{segment}}")], YES),
    Panel("stat", "Epoch", 6, 4, None,
     [(f"max by (segment) (weave_ryu_segment_epoch{{{OF_SEGMENT}}})", "{{segment}}")], None),
    Panel("stat", "Role changes in 24 h", 6, 4, None,
     [(f'sum by (segment) (increase(weave_ryu_gateway_transitions_total'
       f'{{{OF_SEGMENT}, to="active"}}[24h]))', "{{segment}}")], None),
    Panel("timeseries", "Failovers: how long they took", 12, 8, "s",
     [(f"sum by (kind) (increase(weave_ryu_gateway_failover_seconds_sum{{{OF_SEGMENT}}}[15m])) / "
       f"sum by (kind) (increase(weave_ryu_gateway_failover_seconds_count{{{OF_SEGMENT}}}[15m]))",
       "{{kind}}")], None),
    Panel("timeseries", "Renewals: how late (99th percentile; the port closes at 1 s)", 12, 8, "s",
     [("histogram_quantile(0.99, sum by (le, instance) "
       f"(rate(weave_ryu_permit_renewal_lateness_seconds_bucket{{{OF_SEGMENT}}}[5m])))",
       "{{instance}}")], None),
    Panel("timeseries", "Frames through the gateway", 12, 8, "pps",
     [(f"rate(weave_ryu_gateway_packets_total{{{OF_SEGMENT}}}[1m])",
       "{{instance}} {{direction}}")], None),
    Panel("timeseries", "Bytes through the gateway", 12, 8, "Bps",
     [(f"rate(weave_ryu_gateway_bytes_total{{{OF_SEGMENT}}}[1m])",
       "{{instance}} {{direction}}")], None),
    Panel("timeseries", "Frames dropped, by reason", 24, 8, "pps",
     [("sum by (instance, reason) (rate(weave_ryu_dropped_packets_total[1m])) > 0",
       "{{instance}} {{reason}}")], None),
    Panel("state-timeline", "BFD to other gateways", 12, 6, None,
     [("weave_ryu_gateway_peer_bfd_up", "{{instance}} → {{nick_name}}")],
     {"1": {"text": "up", "color": "green"}, "0": {"text": "down", "color": "red"}}),
    Panel("timeseries", "Age of other gateways' leases", 12, 6, "s",
     [("weave_ryu_gateway_peer_lease_age_seconds", "{{instance}} of {{nick_name}}")], None),
    Panel("timeseries", "MACs that gateways know", 12, 6, None,
     [(f"weave_ryu_gateway_macs{{{OF_SEGMENT}}}", "{{instance}} {{side}}")], None),
    Panel("timeseries", "Mesh", 12, 6, None,
     [("weave_ryu_mesh_peers", "{{instance}} peers"),
      ("weave_ryu_mesh_connections", "{{instance}} {{state}}")], None),
    Panel("state-timeline", "Switch in sync", 24, 5, None,
     [("weave_ryu_flows_in_sync", "{{instance}}")], YES),
]  # fmt: skip


def panel(number: int, place: tuple[int, int], shown: Panel) -> dict[str, Any]:
    """One panel as Grafana has it."""
    defaults: dict[str, Any] = {"unit": shown.unit or "none"}
    if shown.words:
        defaults["mappings"] = [{"type": "value", "options": shown.words}]
    return {
        "id": number,
        "type": shown.kind,
        "title": shown.title,
        "datasource": SOURCE,
        "gridPos": {"x": place[0], "y": place[1], "w": shown.width, "h": shown.height},
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": {},
        "targets": [
            {"refId": chr(65 + n), "datasource": SOURCE, "expr": expression, "legendFormat": legend}
            for n, (expression, legend) in enumerate(shown.queries)
        ],
    }


def dashboard() -> dict[str, Any]:
    """The whole document."""
    panels, x, y, row_height = [], 0, 0, 0
    for number, shown in enumerate(PANELS, 1):
        if x + shown.width > 24:
            x, y, row_height = 0, y + row_height, 0
        panels.append(panel(number, (x, y), shown))
        x, row_height = x + shown.width, max(row_height, shown.height)
    return {
        "uid": "weave-ryu",
        "title": "weave-ryu",
        "tags": ["weave-ryu"],
        "schemaVersion": 39,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {
            "list": [
                {"name": "source", "type": "datasource", "query": "prometheus", "label": "Source"},
                {
                    "name": "segment",
                    "type": "query",
                    "label": "Segment",
                    "datasource": SOURCE,
                    "query": "label_values(weave_ryu_segment_epoch, segment)",
                    "includeAll": True,
                    "multi": True,
                    "current": {"text": "All", "value": "$__all"},
                    "refresh": 2,
                },
            ]
        },
        "annotations": {
            "list": [
                {
                    "name": "Role changes",
                    "datasource": SOURCE,
                    "enable": True,
                    "iconColor": "orange",
                    "expr": 'changes(weave_ryu_gateway_forwarding{segment=~"$segment"}[1m]) > 0',
                    "titleFormat": "{{instance}} {{port}}",
                }
            ]
        },
        "panels": panels,
    }


if __name__ == "__main__":
    print(json.dumps(dashboard(), indent=1))  # noqa: T201
