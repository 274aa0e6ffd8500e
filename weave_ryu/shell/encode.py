"""`FlowSpec` to ryu's OpenFlow 1.3 messages with Nicira extensions."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any

from ryu.lib.packet import in_proto  # noqa: F401  (ryu needs it loaded before nicira matches)
from ryu.ofproto import nicira_ext, ofproto_v1_3, ofproto_v1_3_parser

from weave_ryu.pipeline import cookies
from weave_ryu.pipeline.diff import InstalledFlow
from weave_ryu.pipeline.model import (
    Action,
    ClearInPort,
    Field,
    FlowSpec,
    Goto,
    Learn,
    Load,
    Mark,
    Match,
    MoveTunnelIds,
    Output,
    OutputMark,
    Resubmit,
    SetTunnel,
    Term,
    ToController,
)
from weave_ryu.pipeline.tables import BY_NAME

_PARSER = ofproto_v1_3_parser
_OFP = ofproto_v1_3

_XID_OFFSET = 4
"""Of ofp_header."""

_FIELDS = {
    Field.IN_PORT: "in_port",
    Field.ETH_SRC: "eth_src",
    Field.ETH_DST: "eth_dst",
    Field.TUN_SRC: "tun_ipv4_src",
    Field.TUN_DST: "tun_ipv4_dst",
    Field.TUN_ID: "tunnel_id",
    Field.ETH_TYPE: "eth_type",
    Field.IP_PROTO: "ip_proto",
    Field.ICMP_TYPE: "icmpv4_type",
    Field.ICMP_CODE: "icmpv4_code",
    Field.ICMPV6_TYPE: "icmpv6_type",
}


def _register(mark: Mark) -> str:
    return f"reg{mark.register}"


def match_of(terms: Iterable[Term]) -> Any:  # noqa: ANN401
    """An OFPMatch; marks in the same register are joined into one masked value."""
    fields: dict[str, Any] = {}
    registers: dict[str, tuple[int, int]] = {}
    for term in terms:
        if isinstance(term.what, Mark):
            value, mask = registers.get(_register(term.what), (0, 0))
            registers[_register(term.what)] = (
                value | int(term.value) << term.what.first_bit,
                mask | term.what.mask,
            )
        elif term.mask is not None:
            fields[_FIELDS[term.what]] = (term.value, term.mask)
        else:
            fields[_FIELDS[term.what]] = term.value
    return _PARSER.OFPMatch(**fields, **registers)


def _load(mark: Mark, value: int) -> Any:  # noqa: ANN401
    bits = nicira_ext.ofs_nbits(mark.first_bit, mark.first_bit + mark.bits - 1)
    return _PARSER.NXActionRegLoad(ofs_nbits=bits, dst=_register(mark), value=value)


def _learn(action: Learn) -> Any:  # noqa: ANN401
    by = {Field.ETH_DST: "eth_dst_nxm", Field.ETH_SRC: "eth_src_nxm"}[action.by]
    specs = [_PARSER.NXFlowSpecMatch(src=("eth_src_nxm", 0), dst=(by, 0), n_bits=48)]
    for load in action.loads:
        specs.append(
            _PARSER.NXFlowSpecLoad(
                src=load.value,
                dst=(_register(load.mark), load.mark.first_bit),
                n_bits=load.mark.bits,
            )
        )
    return _PARSER.NXActionLearn(
        table_id=BY_NAME[action.table].number,
        specs=specs,
        hard_timeout=action.hard_timeout_s,
        priority=action.priority,
        cookie=action.cookie,
        flags=0,
    )


def actions_of(actions: Iterable[Action]) -> list[Any]:
    """The actions that are applied at once: all but `Goto` and the meter of `ToController`."""
    result: list[Any] = []
    for action in actions:
        match action:
            case Output(port):
                result.append(_PARSER.OFPActionOutput(port))
            case OutputMark(mark):
                bits = nicira_ext.ofs_nbits(mark.first_bit, mark.first_bit + mark.bits - 1)
                result.append(
                    _PARSER.NXActionOutputReg(ofs_nbits=bits, src=_register(mark), max_len=0)
                )
            case ToController():
                result.append(_PARSER.OFPActionOutput(_OFP.OFPP_CONTROLLER, _OFP.OFPCML_NO_BUFFER))
            case Load(mark, value):
                result.append(_load(mark, value))
            case ClearInPort():
                bits = nicira_ext.ofs_nbits(0, 15)
                result.append(_PARSER.NXActionRegLoad(ofs_nbits=bits, dst="in_port_nxm", value=0))
            case MoveTunnelIds(source, destination):
                for mark, offset in ((source, 0), (destination, 12)):
                    result.append(
                        _PARSER.NXActionRegMove(
                            src_field="tunnel_id_nxm",
                            dst_field=_register(mark),
                            n_bits=mark.bits,
                            src_ofs=offset,
                            dst_ofs=mark.first_bit,
                        )
                    )
            case SetTunnel(remote_ip, local_ip, tun_id):
                if tun_id is not None:
                    result.append(_PARSER.OFPActionSetField(tunnel_id=tun_id))
                result.append(_PARSER.OFPActionSetField(tun_ipv4_src=local_ip))
                result.append(_PARSER.OFPActionSetField(tun_ipv4_dst=remote_ip))
            case Resubmit(table):
                result.append(_PARSER.NXActionResubmitTable(table_id=BY_NAME[table].number))
            case Learn():
                result.append(_learn(action))
            case Goto():
                pass
    return result


def instructions_of(actions: tuple[Action, ...]) -> list[Any]:
    """Meter, applied actions and goto, in the order that OpenFlow prescribes (5.9)."""
    result: list[Any] = [
        _PARSER.OFPInstructionMeter(action.meter)
        for action in actions
        if isinstance(action, ToController)
    ]
    applied = actions_of(actions)
    if applied:
        result.append(_PARSER.OFPInstructionActions(_OFP.OFPIT_APPLY_ACTIONS, applied))
    result += [
        _PARSER.OFPInstructionGotoTable(BY_NAME[action.table].number)
        for action in actions
        if isinstance(action, Goto)
    ]
    return result


def flow_add(datapath: Any, flow: FlowSpec) -> Any:  # noqa: ANN401
    """The flow-mod that adds a flow, or replaces the one with the same match and priority."""
    return _PARSER.OFPFlowMod(
        datapath,
        cookie=cookies.flow_cookie(flow),
        table_id=BY_NAME[flow.table].number,
        command=_OFP.OFPFC_ADD,
        hard_timeout=flow.hard_timeout_s,
        priority=flow.priority,
        match=match_of(flow.match),
        instructions=instructions_of(flow.actions),
    )


def flow_delete(datapath: Any, flow: InstalledFlow) -> Any:  # noqa: ANN401
    """The flow-mod that deletes one flow by its table and exact cookie."""
    return cookie_delete(datapath, flow.cookie, cookies.EXACT, flow.table)


def cookie_delete(
    datapath: Any,  # noqa: ANN401
    cookie: int,
    mask: int,
    table: int = ofproto_v1_3.OFPTT_ALL,
    exact: tuple[int, Match] | None = None,
) -> Any:  # noqa: ANN401
    """The flow-mod that deletes all flows whose cookie agrees in the bits of the mask.

    Args:
        datapath: ryu's; it only says which version is spoken.
        cookie: their cookie.
        mask: the bits of it that count.
        table: only those of one table.
        exact: only the one of this priority and match: the switch finds it without a search.
    """
    priority, match = exact or (0, ())
    return _PARSER.OFPFlowMod(
        datapath,
        cookie=cookie,
        cookie_mask=mask,
        table_id=table,
        command=_OFP.OFPFC_DELETE if exact is None else _OFP.OFPFC_DELETE_STRICT,
        priority=priority,
        out_port=_OFP.OFPP_ANY,
        out_group=_OFP.OFPG_ANY,
        match=match_of(match),
    )


class Batch:
    """Flows to add and a barrier, encoded once: renewals send the same five times a second.

    Args:
        datapath: ryu's; it only says which version is spoken.
        flows: kept, so that nothing else takes their identity.
    """

    def __init__(self, datapath: Any, flows: tuple[FlowSpec, ...]) -> None:  # noqa: ANN401
        self.flows = flows
        messages = [flow_add(datapath, flow) for flow in flows]
        messages.append(_PARSER.OFPBarrierRequest(datapath))
        self._data = bytearray()
        self._places = []
        for message in messages:
            message.set_xid(0)
            message.serialize()
            self._places.append(len(self._data) + _XID_OFFSET)
            self._data += message.buf

    def with_xid(self, xid: int) -> bytes:
        """The bytes; all messages have this transaction id, so that an error to any is found."""
        for place in self._places:
            struct.pack_into("!I", self._data, place, xid)
        return bytes(self._data)
