"""The daemon's OpenFlow messages for flows: every flow can be written, and says what it should.

That a switch understands them as it understands the text of `render.py` is in tests/model.
"""

import struct
import sys
import warnings

import pytest
from pipeline_states import all_flows, for_every_state_and_gate

from weave_ryu.pipeline import cookies, diff
from weave_ryu.pipeline.cookies import Kind, subject_cookie
from weave_ryu.pipeline.render import example_flows
from weave_ryu.pipeline.tables import BY_NAME

ADD, DELETE = 0, 3
ANY = 0xFFFFFFFF


def imported():
    """Ryu's imports warn of what nobody here can change."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ryu.ofproto import ofproto_protocol

        from weave_ryu.shell import encode
    return encode, ofproto_protocol.ProtocolDesc(version=4)


def serialised(message):
    message.set_xid(7)
    message.serialize()
    return bytes(message.buf)


def header(raw):
    """The fixed part of a flow-mod (OpenFlow 1.3.5, 7.3.4.1) by name."""
    names = "version type length xid cookie mask table command idle hard priority"
    names += " buffer out_port out_group flags"
    return dict(zip(names.split(), struct.unpack_from("!BBHIQQBBHHHIIIH", raw), strict=True))


def test_importing_the_encoder_patches_nothing():
    imported()
    patcher = sys.modules.get("eventlet.patcher")
    assert patcher is None or not patcher.already_patched


@for_every_state_and_gate
def test_every_flow_is_written_with_its_cookie_place_and_timeout(state, gate):
    encode, protocol = imported()
    for flow in all_flows(state, gate):
        raw = serialised(encode.flow_add(protocol, flow))
        found = header(raw)
        assert (found["version"], found["type"], found["length"]) == (4, 14, len(raw))
        assert found["command"] == ADD
        assert found["cookie"] == cookies.flow_cookie(flow)
        assert found["table"] == BY_NAME[flow.table].number
        assert found["priority"] == flow.priority
        assert (found["hard"], found["idle"]) == (flow.hard_timeout_s, 0)


def test_same_flow_gives_the_same_bytes():
    encode, protocol = imported()
    for flow in example_flows():
        once, again = (serialised(encode.flow_add(protocol, flow)) for _ in range(2))
        assert once == again


def test_deletion_selects_one_table_and_one_cookie():
    encode, protocol = imported()
    for flow in example_flows():
        found = header(serialised(encode.flow_delete(protocol, diff.installed(flow))))
        assert found["command"] == DELETE
        assert found["table"] == BY_NAME[flow.table].number
        assert (found["cookie"], found["mask"]) == (cookies.flow_cookie(flow), cookies.EXACT)
        assert (found["out_port"], found["out_group"]) == (ANY, ANY)


@pytest.mark.parametrize("kind", [Kind.LEARNT_PEER, Kind.LEARNT_PORT, Kind.PERMIT])
def test_deletion_by_subject_covers_all_tables(kind):
    encode, protocol = imported()
    message = encode.cookie_delete(protocol, subject_cookie(kind, 5), cookies.SUBJECT_MASK)
    found = header(serialised(message))
    assert (found["command"], found["table"]) == (DELETE, 0xFF)
    assert (found["cookie"], found["mask"]) == (subject_cookie(kind, 5), cookies.SUBJECT_MASK)
