"""The real API and page on a made-up daemon, in a process of its own: eventlet runs here alone.

Usage: serve.py PEERS [TOKEN-FILE [PORT [CERTIFICATE KEY]]]. Prints its port. Each line on
standard input is a change:
``other STATE EPOCH REASON…`` (what gateway B says of itself), ``own STATE REASON…``, ``nick TEXT``,
``role ROLE`` (of the own port), ``macs NUMBER``, ``silent`` (gateway B, from now on),
``leaves`` (its daemon the mesh, too), ``unlimited``, ``renew CERTIFICATE KEY``.
"""

import random
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

warnings.simplefilter("ignore")

from weave_ryu.shell import hub  # noqa: E402

hub.patch()

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "shell"))
from api_world import OWN, make_daemon, pretend, want  # noqa: E402
from trace_world import FakeTracer  # noqa: E402

from weave_ryu.config import tls_context  # noqa: E402
from weave_ryu.gateway.records import GatewayRecord, PortRecord, encode  # noqa: E402
from weave_ryu.gateway.role import Role  # noqa: E402
from weave_ryu.mesh.peers import Connection, Peer, connections_by_name  # noqa: E402
from weave_ryu.names import PeerName, PeerUID, ShortId  # noqa: E402
from weave_ryu.pipeline.cookies import Kind  # noqa: E402
from weave_ryu.shell import api, tls  # noqa: E402
from weave_ryu.shell.limits import Bucket  # noqa: E402
from weave_ryu.shell.macs import LearntMac  # noqa: E402
from weave_ryu.tokens import read_token  # noqa: E402

B = PeerName.parse("7a:00:00:00:00:0b")


class Mesh:
    """What the API asks of a router: a full mesh of many peers."""

    def __init__(self, size):
        self.name, self.nick_name = OWN, "A"
        names = [OWN, B] + [PeerName(int(OWN) + 100 + n) for n in range(size - 2)]
        self.peers = [self._peer(name, names, n) for n, name in enumerate(names)]

    def _peer(self, name, names, number):
        nick_name = {OWN: "A", B: "B"}.get(name, f"peer{number}")
        lines = [
            Connection(other, f"192.0.2.{at + 1}:6783", outbound=name < other, established=True)
            for at, other in enumerate(names)
            if other != name
        ]
        short_id, connections = ShortId(number + 1), connections_by_name(lines)
        return Peer(name, nick_name, PeerUID(number + 1), 1, short_id, connections)

    def connections(self):
        return []

    def targets(self):
        return []

    def namesakes(self, _now):
        return []

    def connect_targets(self, *_arguments):
        pass

    forget_targets = connect_targets


class World:
    def __init__(self, size, token_file):
        self.daemon = make_daemon(LearntMac)
        self.daemon.router = Mesh(size)
        self.core = self.daemon.gateways.core
        self.core.start(time.monotonic())
        self.core.switch_state(True, {"eth1": True}, time.monotonic())
        self.sequence, self.told = 0, None
        if token_file:
            token = read_token("TOKEN-FILE", token_file)
            self.daemon.config = replace(self.daemon.config, api_token=token)
        self.daemon.gateways.set_role = self.set_role
        self.daemon.tracer = FakeTracer()
        self.daemon.registry = self.core.registry

    def set_role(self, name, role, *, force=False):
        want(self.core.ports[name], role)
        self.own("active" if role == "active" else "standby", f"the operator asked for {role}")

    def own(self, state, reason):
        port = self.core.ports["eth1"]
        epoch = self.core.epoch("vlan") + (state == "active")
        port.epoch = epoch
        entry = pretend(port, state, reason, epoch)
        self.core.publish()
        for observer in self.daemon.gateways.observers:
            observer.entered("eth1", "vlan", entry)

    def other(self, state, epoch, reason):
        """From now on gateway B says this, ten times a second."""
        if self.told is None:
            hub.spawn(self.repeat)
        self.told = (state, epoch, reason)
        self.tell()

    def tell(self):
        state, epoch, reason = self.told
        self.sequence += 1
        ready = state == "standby"
        port = PortRecord("vlan", "eth7", state, int(epoch), "auto", 100, ready, False, reason)
        payload = encode([GatewayRecord(B, 9, self.sequence, (port,))])
        self.core.received(B, payload, True, time.monotonic())

    def repeat(self):
        while self.told is not None:
            self.tell()
            hub.sleep(0.1)

    def silent(self, _):
        self.told = None

    def leaves(self, _):
        self.daemon.router.peers = [p for p in self.daemon.router.peers if p.name != B]

    def unlimited(self, _):
        Bucket.take = lambda *_: True

    def nick(self, text):
        peers = self.daemon.router.peers
        peers[1] = replace(peers[1], nick_name=text, version=peers[1].version + 1)

    def role(self, word):
        want(self.core.ports["eth1"], Role(word))

    def macs(self, number):
        rng = random.Random(7)
        found = [
            LearntMac(f"02:00:00:{n >> 16:02x}:{n >> 8 & 255:02x}:{n & 255:02x}",
                      Kind.LEARNT_PORT, 3, rng.randrange(300))
            for n in range(int(number))
        ]  # fmt: skip
        self.daemon.macs.learnt = lambda: found

    def context(self):
        keys = ("api_cert_file", "api_key_file")
        return tls_context(replace(self.daemon.config, **dict(zip(keys, self.files, strict=True))))

    def renew(self, words):
        self.files = words.split()
        self.listener.renew(self.context())

    def do(self, line):
        verb, *words = line.split()
        if verb == "own":
            self.own(words[0], " ".join(words[1:]))
        elif verb == "other":
            self.other(words[0], words[1], " ".join(words[2:]))
        else:
            getattr(self, verb)(" ".join(words))


def main():
    world = World(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "")
    port = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    listener = hub.listen(("127.0.0.1", port))
    if len(sys.argv) > 5:
        world.files = sys.argv[4:6]
        world.listener = listener = tls.Listener(listener, world.context())
    hub.spawn(api.serve, listener, api.Api(world.daemon))
    print(listener.getsockname()[1], flush=True)
    import eventlet.greenio

    stdin = eventlet.greenio.GreenPipe(sys.stdin.fileno(), "r")
    for line in stdin:
        world.do(line)
        print("done", flush=True)


main()
