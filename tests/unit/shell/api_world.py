"""Names and fakes for tests of the API, on a daemon without switch and sockets."""

from types import SimpleNamespace

from weave_ryu.names import PeerName
from weave_ryu.pipeline.cookies import flow_cookie
from weave_ryu.pipeline.tables import BY_NAME

OWN, W = PeerName.parse("7a:00:00:00:00:0a"), PeerName.parse("7a:00:00:00:00:57")
MAC = "02:00:00:00:00:01"


class FakeGateways:
    """Notes what is asked for; fails with `error` if there is one."""

    def __init__(self, core):
        self.core = core
        self.calls = []
        self.observers = []
        self.error = None

    def names(self):
        return sorted(self.core.ports)

    def set_role(self, name, role):
        self.note("set_role", name, role)
        self.core.ports[name].role = role

    def drain(self, name):
        self.note("drain", name)

    def note(self, *call):
        self.calls.append(call)
        if self.error is not None:
            raise self.error


def flow_entry(flow, packets=5):
    """A flow as the switch's statistics have it."""
    return SimpleNamespace(
        cookie=flow_cookie(flow),
        table_id=BY_NAME[flow.table].number,
        priority=flow.priority,
        packet_count=packets,
        byte_count=60 * packets,
        duration_sec=9,
        hard_timeout=flow.hard_timeout_s,
        instructions=list(flow.actions),
    )
