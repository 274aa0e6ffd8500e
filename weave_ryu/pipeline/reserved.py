"""Group addresses by which switches speak to the next switch, and to nobody beyond.

A bridge ends them. Passed on, they tell a segment's switch of a neighbour that is none: BPDU guard
shuts the gateway's access port for one PVST+ frame of a container, and then the next gateway's.

The addresses that Open vSwitch's own `NORMAL` drops are all among them (lib/packets.c,
eth_addr_is_reserved; `forward-bpdu` in ovs-vswitchd.conf.db(5)); tests/model asks it. The others
are of the same kind: what a switch would take for the word of another switch. Addresses of
protocols between hosts, such as PTP or PROFINET, are none of these and are forwarded.
"""

from __future__ import annotations

from dataclasses import dataclass

_ONE = "ff:ff:ff:ff:ff:ff"
_EIGHT = "ff:ff:ff:ff:ff:f8"
_SIXTEEN = "ff:ff:ff:ff:ff:f0"
_FIVE_BYTES = "ff:ff:ff:ff:ff:00"
# Few different masks: a switch looks a frame up once for each.


@dataclass(frozen=True, slots=True)
class Reserved:
    """Addresses that are not forwarded.

    Args:
        address: the first of them.
        mask: which bits count; the last address is `address` with all others set.
        protocols: whose they are, as a clause.
    """

    address: str
    mask: str
    protocols: str

    def covers(self, mac: str) -> bool:
        """Whether a MAC address is one of them."""
        mask = _number(self.mask)
        return _number(mac) & mask == _number(self.address) & mask


def _number(mac: str) -> int:
    return int(mac.replace(":", ""), 16)


RESERVED = (
    Reserved(
        "01:80:c2:00:00:00",
        _SIXTEEN,
        "link-local protocols (spanning tree, LACP, LLDP) end at each bridge (IEEE 802.1D 7.12.6)",
    ),
    Reserved("01:80:c2:00:00:20", _SIXTEEN, "MVRP, MMRP, GVRP: VLANs registered at a switch"),
    Reserved(
        "01:00:0c:cc:cc:c0", _SIXTEEN, "Cisco's PVST+, CDP, VTP, DTP, PAgP, UDLD and CFM end here"
    ),
    Reserved("01:00:0c:cd:cd:c0", _SIXTEEN, "Cisco's STP uplink fast and FlexLink end here"),
    Reserved("01:00:0c:cd:cd:d0", _SIXTEEN, "Cisco's tunnelled BPDUs end here"),
    Reserved("01:00:0c:00:00:00", _FIVE_BYTES, "Cisco's inter-switch link (ISL) ends here"),
    Reserved("03:00:0c:00:00:00", _FIVE_BYTES, "Cisco's inter-switch link (ISL) ends here, too"),
    Reserved("00:e0:2b:00:00:00", _EIGHT, "Extreme's EDP, ESRP, EAPS and ELSM end here"),
    Reserved("01:e0:52:cc:cc:cc", _ONE, "Foundry's discovery (FDP) ends here"),
    Reserved("03:04:80:00:00:00", _FIVE_BYTES, "Foundry's metro ring (MRP) ends here"),
    Reserved("03:04:80:00:01:00", _FIVE_BYTES, "Foundry's virtual switch redundancy ends here"),
    Reserved("01:00:81:00:00:00", _FIVE_BYTES, "Nortel's topology discovery (SONMP) ends here"),
    Reserved("01:00:81:00:01:00", _FIVE_BYTES, "Nortel's topology discovery ends here, too"),
    Reserved("01:0f:e2:00:00:00", _EIGHT, "Huawei's and H3C's Smart Link and tunnelled BPDUs"),
    Reserved("00:0f:e2:07:82:00", _FIVE_BYTES, "Huawei's and H3C's ring protection (RRPP)"),
    Reserved("00:20:da:00:70:04", _ONE, "Alcatel's discovery (AMAP) ends here"),
    Reserved("09:00:2b:01:00:00", _EIGHT, "DEC's spanning tree ends here"),
    Reserved("09:00:09:09:13:a6", _ONE, "HP's loop protection, which shuts ports, ends here"),
    Reserved("01:19:a7:00:00:00", _FIVE_BYTES, "ring protection (ERPS, ITU-T G.8032) ends here"),
    Reserved("01:15:4e:00:01:00", _SIXTEEN, "media redundancy of rings (IEC 62439-2) ends here"),
)
"""All of them; no two overlap."""
