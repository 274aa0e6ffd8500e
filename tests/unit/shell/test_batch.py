"""Flows that are encoded once and sent again and again."""

import struct
import warnings

from weave_ryu.gate import Gate
from weave_ryu.names import ShortId
from weave_ryu.pipeline import rules
from weave_ryu.pipeline.state import GatewayPort

with warnings.catch_warnings():
    # Ryu's and eventlet's imports warn of what nobody here can change.
    warnings.simplefilter("ignore")
    from ryu.ofproto import ofproto_v1_3, ofproto_v1_3_parser
    from ryu.ofproto.ofproto_protocol import ProtocolDesc

    from weave_ryu.shell import encode

PERMITS = tuple(rules.permits(GatewayPort(3, "gw0", "vlan", ShortId(0x513)), Gate.OPEN, 1))


def messages(data):
    found = []
    while data:
        _, kind, length, xid = struct.unpack_from("!BBHI", data)
        found.append((kind, xid, data[:length]))
        data = data[length:]
    return found


def test_batch_is_what_ryu_would_send_with_one_transaction_id():
    datapath = ProtocolDesc(version=ofproto_v1_3.OFP_VERSION)
    batch = encode.Batch(datapath, PERMITS)
    for xid in (7, 0xFFFFFFFE):
        expected = [encode.flow_add(datapath, flow) for flow in PERMITS]
        expected.append(ofproto_v1_3_parser.OFPBarrierRequest(datapath))
        for message in expected:
            message.set_xid(xid)
            message.serialize()
        found = messages(batch.with_xid(xid))
        assert [data for _, _, data in found] == [bytes(message.buf) for message in expected]
        assert {x for _, x, _ in found} == {xid}
        assert found[-1][0] == ofproto_v1_3.OFPT_BARRIER_REQUEST
