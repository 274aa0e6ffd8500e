"""A lab of real daemons with scripted Weave peers on its underlay."""

import contextlib
import http.client
import itertools
import sys
from pathlib import Path

from weave_ryu import links
from weave_ryu.lab.daemon import HTTP_PORT
from weave_ryu.lab.netns import connect_inside, create_namespace, delete_namespace
from weave_ryu.namespaces import run_inside

sys.path.insert(0, str(Path(__file__).parents[1] / "interop"))

from fake_peer import (
    BROADCAST,
    CONTROL,
    FASTDP_ACK,
    GOSSIP,
    UNICAST,
    FakePeer,
    RefusedError,
    define_slice,
    encode_gossip,
    encode_topology,
    entry,
    heartbeat_frame,
    line,
    name_text,
)
from fake_router import FakeRouter

__all__ = [
    "BROADCAST",
    "CONTROL",
    "FASTDP_ACK",
    "GOSSIP",
    "HIGH",
    "LOW",
    "UNICAST",
    "FakeRouter",
    "Fakes",
    "RefusedError",
    "define_slice",
    "encode_gossip",
    "encode_topology",
    "entry",
    "heartbeat_frame",
    "line",
    "name_text",
    "post_peer",
]

HIGH, LOW = 0x7AFF << 32, 0x10 << 40
"""Peer names above and below those of a lab's daemons."""


def post_peer(lab, nick_name, verb, address):
    """What `weave-ryu connect` and `forget` do, in a peer of a lab."""
    connection = http.client.HTTPConnection("127.0.0.1", HTTP_PORT, timeout=5)
    namespace = lab.peer(nick_name).netns
    connection.sock = connect_inside(namespace, "127.0.0.1", HTTP_PORT, 5)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", f"/{verb}", body=f"peer={address}", headers=headers)
    status = connection.getresponse().status
    connection.close()
    assert status == 200


class Fakes:
    """Places for fake peers: one namespace per address on the underlay of a lab."""

    def __init__(self, lab):
        self.lab = lab
        self._namespaces = []
        self._peers = []
        self._numbers = itertools.count(1)

    def place(self, number):
        """A namespace with the underlay address 10.99.0.`number`."""
        name = f"{self.lab.prefix}-F{number}"
        namespace = create_namespace(name)
        self._namespaces.append(name)
        port = f"p-F{number}"
        links.create_veth(port, self.lab.underlay, "eth0", namespace)
        links.set_link(port, self.lab.underlay, bridge="underlay", is_up=True)
        # The userspace switch at the other end does not finish checksums that the kernel left open.
        links.disable_tx_checksum_offload("eth0", namespace)
        links.set_link("eth0", namespace, is_up=True)
        links.add_address("eth0", f"10.99.0.{number}/24", namespace)
        return namespace

    def peer(self, number, name=None, overlay=True, kind=FakePeer, **settings):
        """A fake peer at 10.99.0.`number`, whose namespace is made if there is none.

        Without overlay it only speaks TCP, and there may be several at one address.
        """
        full = f"{self.lab.prefix}-F{number}"
        if full not in self._namespaces:
            self.place(number)
        namespace = Path("/run/netns") / full
        settings.setdefault("short_id", 1000 + number)
        settings.setdefault("uid", next(self._numbers) + (number << 32))
        fake = kind(
            HIGH + number if name is None else name,
            f"10.99.0.{number}",
            lambda work: run_inside(namespace, work),
            **settings,
        )
        self._peers.append(fake)
        return fake.start() if overlay else fake

    def close_peers(self):
        """End all fake peers; the namespaces stay."""
        while self._peers:
            self._peers.pop().close()

    def close(self):
        self.close_peers()
        for name in self._namespaces:
            with contextlib.suppress(OSError):
                delete_namespace(name)
