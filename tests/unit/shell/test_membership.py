"""Queries for members of multicast groups, read by a library that others have written."""

import ipaddress
import warnings

from weave_ryu.names import PeerName
from weave_ryu.shell import membership

with warnings.catch_warnings():
    # Ryu's imports warn of what nobody here can change.
    warnings.simplefilter("ignore")
    from green_waiting import wait_until
    from ryu.lib.packet import ethernet, icmpv6, igmp, ipv4, ipv6, packet, packet_utils

    from weave_ryu.names import ShortId
    from weave_ryu.shell.announce import Announcer

MAC = bytes.fromhex("7a0000000001")


def checksum_is_right(frame, start, pseudo=b""):
    return packet_utils.checksum(pseudo + frame[start:]) == 0


def test_igmp_query_is_general_and_from_nobody():
    frame = membership.igmp_query(MAC)
    assert len(frame) == 60
    read = packet.Packet(frame)
    assert read.get_protocol(ethernet.ethernet).dst == "01:00:5e:00:00:01"
    assert read.get_protocol(ethernet.ethernet).src == "7a:00:00:00:00:01"
    header = read.get_protocol(ipv4.ipv4)
    assert (header.src, header.dst, header.ttl, header.proto) == ("0.0.0.0", "224.0.0.1", 1, 2)
    assert header.option == b"\x94\x04\0\0"
    assert packet_utils.checksum(frame[14:38]) == 0
    query = read.get_protocol(igmp.igmpv3_query)
    assert (query.msgtype, query.address, query.num, query.maxresp) == (0x11, "0.0.0.0", 0, 10)
    assert checksum_is_right(frame[: 14 + header.total_length], 38)


def test_mld_query_is_general_and_from_a_link_local_address():
    frame = membership.mld_query(MAC)
    read = packet.Packet(frame)
    assert read.get_protocol(ethernet.ethernet).dst == "33:33:00:00:00:01"
    header = read.get_protocol(ipv6.ipv6)
    assert (header.dst, header.hop_limit, header.payload_length) == ("ff02::1", 1, 8 + 28)
    source = ipaddress.IPv6Address(header.src)
    assert source.is_link_local
    # It wins no election: the querier with the lowest address goes on.
    assert source > ipaddress.IPv6Address("fe80::feff:ffff:feff:ffff")
    assert frame[54:62] == bytes([58, 0, 5, 2, 0, 0, 1, 0])
    query = read.get_protocol(icmpv6.icmpv6)
    assert query.type_ == icmpv6.MLD_LISTENER_QUERY
    assert (query.data.address, query.data.maxresp, query.data.num) == ("::", 1000, 0)
    pseudo = frame[22:54] + (28).to_bytes(4, "big") + (58).to_bytes(4, "big")
    assert checksum_is_right(frame, 62, pseudo)


def test_they_are_sent_again_and_again_as_long_as_the_port_forwards(monkeypatch):
    monkeypatch.setattr(membership, "ASK_AT_S", (0.0, 0.01, 0.02))
    sent = []

    class Switch:
        def send_frame(self, frame, actions, in_port):
            assert in_port == 3
            sent.append(frame)

    Announcer(Switch()).ask_for_groups(3, PeerName(7), ShortId(5), lambda _: len(sent) < 5)
    wait_until(lambda: len(sent) == 5)
    mac = PeerName(7).to_bytes6()
    both = [membership.igmp_query(mac), membership.mld_query(mac)]
    assert sent == [*both, *both, both[0]]
