"""A controller that learns by packet-in, as a learning switch of a textbook does.

``python -m bench.learner RUNDIR``: unknown frames come to the controller; it notes the source, and
for a known destination adds a flow for the pair and sends the frame on. What weave-ryu leaves to
the switch (``learn()``) happens here in a process.
"""

from __future__ import annotations

import sys
from typing import Any, ClassVar

from weave_ryu.shell import compat, hub

if __name__ == "__main__":
    hub.patch()
compat.apply()

from ryu.base.app_manager import AppManager, RyuApp  # noqa: E402
from ryu.controller import ofp_event  # noqa: E402
from ryu.controller.handler import MAIN_DISPATCHER, set_ev_cls  # noqa: E402
from ryu.ofproto import ofproto_v1_3 as ofp  # noqa: E402
from ryu.ofproto import ofproto_v1_3_parser as parser  # noqa: E402

from bench.stand import BRIDGE, controller_path  # noqa: E402

IDLE_S = 60


class Learner(RyuApp):  # type: ignore[misc]
    """Learns where MACs are, and programs pairs of them."""

    OFP_VERSIONS: ClassVar[list[int]] = [ofp.OFP_VERSION]

    def __init__(self, *arguments: Any, **keywords: Any) -> None:  # noqa: ANN401
        super().__init__(*arguments, **keywords)
        self._ports: dict[bytes, int] = {}

    @set_ev_cls(ofp_event.EventOFPStateChange, MAIN_DISPATCHER)  # type: ignore[untyped-decorator]
    def _connected(self, event: Any) -> None:  # noqa: ANN401
        miss = [parser.OFPActionOutput(ofp.OFPP_CONTROLLER, ofp.OFPCML_NO_BUFFER)]
        _add(event.datapath, 0, 0, parser.OFPMatch(), miss)
        print("ready", flush=True)

    @set_ev_cls(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)  # type: ignore[untyped-decorator]
    def _packet_in(self, event: Any) -> None:  # noqa: ANN401
        message = event.msg
        datapath, in_port = message.datapath, message.match["in_port"]
        destination, source = message.data[:6], message.data[6:12]
        self._ports[source] = in_port
        out = self._ports.get(destination)
        actions = [parser.OFPActionOutput(ofp.OFPP_FLOOD if out is None else out)]
        if out is not None:
            match = parser.OFPMatch(
                in_port=in_port, eth_dst=destination.hex(":"), eth_src=source.hex(":")
            )
            _add(datapath, 10, IDLE_S, match, actions)
        datapath.send_msg(
            parser.OFPPacketOut(
                datapath,
                buffer_id=ofp.OFP_NO_BUFFER,
                in_port=in_port,
                actions=actions,
                data=message.data,
            )
        )


def _add(datapath: Any, priority: int, idle_s: int, match: Any, actions: list[Any]) -> None:  # noqa: ANN401
    instructions = [parser.OFPInstructionActions(ofp.OFPIT_APPLY_ACTIONS, actions)]
    datapath.send_msg(
        parser.OFPFlowMod(
            datapath,
            priority=priority,
            idle_timeout=idle_s,
            match=match,
            instructions=instructions,
        )
    )


def main(rundir: str) -> None:
    """Serve until killed."""
    compat.serve_openflow_on(controller_path(rundir, BRIDGE))
    manager = AppManager.get_instance()
    manager.load_apps(["bench.learner", "ryu.controller.ofp_handler"])
    manager.instantiate_apps(**manager.create_contexts())
    while True:
        hub.sleep(3600)


if __name__ == "__main__":
    main(sys.argv[1])
