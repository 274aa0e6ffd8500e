"""The Ryu application: turns Ryu's events into calls of `Switch`. No decision is made here."""

from __future__ import annotations

from typing import Any, ClassVar

from ryu.base.app_manager import RyuApp
from ryu.controller import ofp_event
from ryu.controller.handler import (
    CONFIG_DISPATCHER,
    DEAD_DISPATCHER,
    HANDSHAKE_DISPATCHER,
    MAIN_DISPATCHER,
    set_ev_cls,
)
from ryu.ofproto import ofproto_v1_3

from weave_ryu.shell.daemon import Daemon
from weave_ryu.shell.openflow import Switch

_ANY = [HANDSHAKE_DISPATCHER, CONFIG_DISPATCHER, MAIN_DISPATCHER]


class WeaveApp(RyuApp):  # type: ignore[misc]
    """One per process; `daemon` is set before it is loaded."""

    OFP_VERSIONS: ClassVar[list[int]] = [ofproto_v1_3.OFP_VERSION]
    daemon: ClassVar[Daemon]

    @property
    def _switch(self) -> Switch:
        return self.daemon.switch

    @set_ev_cls(ofp_event.EventOFPStateChange, [MAIN_DISPATCHER, DEAD_DISPATCHER])
    def _state_changed(self, event: Any) -> None:  # noqa: ANN401
        if event.state == MAIN_DISPATCHER:
            self._switch.connected(event.datapath)
            self.daemon.switch_connected()
        elif self._switch.disconnected(event.datapath):
            self.daemon.switch_disconnected()

    @set_ev_cls(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)
    def _packet_in(self, event: Any) -> None:  # noqa: ANN401
        self._switch.packet_in(event.msg)

    @set_ev_cls(ofp_event.EventOFPPortStatus, MAIN_DISPATCHER)
    def _port_status(self, event: Any) -> None:  # noqa: ANN401
        gone = event.msg.reason == ofproto_v1_3.OFPPR_DELETE
        self._switch.port_changed(event.msg.desc, gone)

    @set_ev_cls(ofp_event.EventOFPErrorMsg, _ANY)
    def _error(self, event: Any) -> None:  # noqa: ANN401
        self._switch.refused(event.msg.xid, event.msg.type, event.msg.code)

    @set_ev_cls(ofp_event.EventOFPBarrierReply, MAIN_DISPATCHER)
    def _barrier(self, event: Any) -> None:  # noqa: ANN401
        self._switch.answered(event.msg, last=True)

    @set_ev_cls(ofp_event.EventONFBundleCtrlMsg, MAIN_DISPATCHER)
    def _bundle(self, event: Any) -> None:  # noqa: ANN401
        self._switch.answered(event.msg, last=event.msg.type == ofproto_v1_3.ONF_BCT_COMMIT_REPLY)

    @set_ev_cls(
        [
            ofp_event.EventOFPFlowStatsReply,
            ofp_event.EventOFPMeterConfigStatsReply,
            ofp_event.EventOFPPortDescStatsReply,
        ],
        [CONFIG_DISPATCHER, MAIN_DISPATCHER],
    )
    def _multipart(self, event: Any) -> None:  # noqa: ANN401
        more = event.msg.flags & ofproto_v1_3.OFPMPF_REPLY_MORE
        self._switch.answered(event.msg, last=not more)
