"""Where traffic in a lab begins, ends, and is looked at."""

from __future__ import annotations

from typing import Final

from weave_ryu.lab import lab as labs
from weave_ryu.lab.lab import Lab
from weave_ryu.lab.traffic import Station

MESH: Final = " mesh"


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


def underlay_taps(lab: Lab) -> list[Station]:
    """The underlay's ports to the gateways: what they let into the mesh, and what they get of it.

    They are called after the gateway with `MESH` behind it.
    """
    return [
        Station(gateway + MESH, lab.underlay, labs.segment_port(gateway), "", is_underlay=True)
        for segment in lab.topology.segments
        for gateway in segment.gateways
    ]
