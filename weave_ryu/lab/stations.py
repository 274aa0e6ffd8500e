"""Where traffic in a lab begins, ends, and is looked at."""

from __future__ import annotations

from weave_ryu.lab import lab as labs
from weave_ryu.lab.lab import Lab
from weave_ryu.lab.traffic import Station


def stations(lab: Lab) -> list[Station]:
    """Every container and host of a lab."""
    return [
        Station(item.name, item.netns, item.ifname, item.mac)
        for item in (*lab.containers.values(), *lab.hosts.values())
    ]


def taps(lab: Lab) -> list[Station]:
    """The segment's ports to the gateways: what they put on the segment, and what they get."""
    return [
        Station(gateway, lab.segment_netns(segment.name), labs.segment_port(gateway), "")
        for segment in lab.topology.segments
        for gateway in segment.gateways
    ]
