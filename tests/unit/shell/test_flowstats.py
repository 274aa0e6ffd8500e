"""What is read of the switch's flows is what Ryu's own parser reads, and nonsense is refused."""

import struct
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weave_ryu.errors import OpenFlowError

with warnings.catch_warnings():
    # Ryu's and eventlet's imports warn of what nobody here can change.
    warnings.simplefilter("ignore")
    from weave_ryu.shell import flowstats

parser = flowstats.ofproto_v1_3_parser

HEAD = struct.Struct("!HBxIIHHHH4xQQQ")
GOTO = struct.pack("!HHBxxx", 1, 8, 40)


def flow(match, table=21, instructions=GOTO, **numbers):
    """One flow as the switch tells it."""
    body = bytearray()
    match.serialize(body, 0)
    values = {"seconds": 7, "priority": 20, "hard": 300, "cookie": 5, "packets": 2, "octets": 9}
    values |= numbers
    length = HEAD.size + len(body) + len(instructions)
    head = HEAD.pack(
        length, table, values["seconds"], 1, values["priority"], 0, values["hard"], 0,
        values["cookie"], values["packets"], values["octets"],
    )  # fmt: skip
    return head + bytes(body) + instructions


macs = st.binary(min_size=6, max_size=6).map(lambda raw: raw.hex(":"))
matches = st.builds(
    lambda mac, field, port, vlan: parser.OFPMatch(
        **({field: mac} if mac else {}),
        **({"in_port": port} if port else {}),
        **({"vlan_vid": vlan} if vlan else {}),
    ),
    st.none() | macs,
    st.sampled_from(["eth_dst", "eth_src"]),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**13 - 1),
)


@given(
    st.lists(
        st.builds(
            flow,
            matches,
            st.integers(0, 254),
            st.sampled_from([GOTO, b""]),
            cookie=st.integers(0, 2**64 - 1),
        )
    )
)
def test_flows_are_those_that_ryu_reads(flows):
    data, offset = b"".join(flows), 0
    for one in flowstats.read(data):
        theirs = parser.OFPFlowStats.parser(data, offset)
        offset += theirs.length
        for name in ("table_id", "priority", "cookie", "duration_sec", "hard_timeout"):
            assert getattr(one, name) == getattr(theirs, name)
        assert (one.packet_count, one.byte_count) == (theirs.packet_count, theirs.byte_count)
        assert one.has_instructions == bool(theirs.instructions)
        assert one.mac == theirs.match.get("eth_dst", theirs.match.get("eth_src"))
    assert offset == len(data)


def test_mac_with_a_mask_is_no_mac():
    match = parser.OFPMatch(eth_dst=("01:00:00:00:00:00", "01:00:00:00:00:00"))
    (one,) = flowstats.read(flow(match))
    assert one.mac is None


@given(st.binary(max_size=300))
def test_nonsense_is_read_or_refused(data):
    try:
        assert sum(1 for _ in flowstats.read(data)) <= len(data) // HEAD.size
    except OpenFlowError as error:
        assert "flow dump" in str(error)


@pytest.mark.parametrize("left", [1, HEAD.size, HEAD.size + 4])
def test_flow_that_is_cut_off_is_refused(left):
    whole = flow(parser.OFPMatch(eth_dst="02:00:00:00:00:01"))
    with pytest.raises(OpenFlowError, match="flow"):
        list(flowstats.read(whole + whole[:left]))


def test_ryu_leaves_a_part_as_it_is():
    flowstats.postpone()
    data = flow(parser.OFPMatch(eth_dst="02:00:00:00:00:01")) * 3
    header = struct.pack("!BBHIHHxxxx", 4, 19, 16 + len(data), 1, 1, 0)
    reply = parser.OFPMultipartReply.parser(None, 4, 19, 16 + len(data), 1, header + data)
    (part,) = reply.body
    assert part.data == data
