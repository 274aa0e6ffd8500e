"""The tables and register marks of the pipeline: the one place with their numbers.

To add a table: declare it here between its neighbours (numbers leave room), list it in `TABLES`,
say in `goes_to` of the earlier ones that they continue in it, write its flows in `rules.py` and its
prose in `docs/reference/pipeline.md`. The tests refuse a table that lacks one of these.
"""

from __future__ import annotations

from weave_ryu.names import ShortId
from weave_ryu.pipeline.model import Field, Mark, Table

SRC_PEER = Mark("src_peer", 0, 0, 12, "short id of the peer where the frame entered the mesh")
DST_PEER = Mark("dst_peer", 1, 0, 12, "short id of the peer that the frame is for")
OUT_PORT = Mark("out_port", 2, 0, 32, "port of this bridge that the frame is for")
FROM_TUNNEL = Mark("from_tunnel", 3, 0, 1, "1 if the frame came through the mesh")
ON_TREE = Mark(
    "on_tree", 3, 1, 1, "1 if it came from the neighbour that is next towards its source peer"
)
KNOWN_PORT = Mark("known_port", 3, 2, 1, "1 if the destination MAC is behind out_port")
KNOWN_PEER = Mark("known_peer", 3, 3, 1, "1 if the destination MAC is behind dst_peer")
FORMER = Mark("former", 3, 4, 1, "1 if it came by the tree that a segment had a moment ago")
FLOODED = Mark("flooded", 3, 5, 1, "1 if the copy is not for one known port")
ORIGIN = Mark(
    "origin",
    4,
    0,
    16,
    "whose the source MAC is, known at first hand: 0x2000 and its short id a peer's with a host, "
    "0xffff some peer's; 0x1000 and its short id a segment's; 0 if nobody knows",
)
ORIGIN_MESH = 0xFFFF
"""Value of `ORIGIN`: behind a peer that is no segment, but nobody has said which."""


def origin_segment(short_id: ShortId) -> int:
    """Value of `ORIGIN`: behind that segment."""
    return 0x1000 | short_id


def origin_peer(short_id: ShortId) -> int:
    """Value of `ORIGIN`: at that peer, which is no segment."""
    return 0x2000 | short_id


def holder_of(origin: int) -> ShortId | None:
    """The peer that a value of `ORIGIN` names; None if it names none."""
    return ShortId(origin & 0xFFF) if origin & 0xF000 == 0x2000 else None


def segment_of(origin: int) -> ShortId | None:
    """The segment that a value of `ORIGIN` names; None if it names none."""
    return ShortId(origin & 0xFFF) if origin & 0xF000 == 0x1000 else None


MARKS = (
    SRC_PEER,
    DST_PEER,
    OUT_PORT,
    FROM_TUNNEL,
    ON_TREE,
    KNOWN_PORT,
    KNOWN_PEER,
    FORMER,
    FLOODED,
    ORIGIN,
)

CLASSIFY = Table(
    0,
    "classify",
    "Says where a frame came from; drops what no bridge may forward.",
    (Field.IN_PORT, Field.ETH_SRC, Field.ETH_DST),
    ("tunnel_in", "gate_in", "mac", "origins", "local_source"),
    "dropped: a port that is not part of the overlay",
)
TUNNEL_IN = Table(
    1,
    "tunnel_in",
    "Accepts tunnel frames from the addresses of current neighbours, and hands heartbeats over.",
    (Field.IN_PORT, Field.ETH_SRC, Field.ETH_DST, Field.TUN_SRC, Field.TUN_ID),
    ("tunnel_source",),
    "dropped: the sender's address belongs to no neighbour",
)
TUNNEL_SOURCE = Table(
    2,
    "tunnel_source",
    "Checks the source peer; learns the source MAC of frames that are for this peer.",
    (
        SRC_PEER,
        DST_PEER,
        Field.ETH_TYPE,
        Field.IP_PROTO,
        Field.ICMP_TYPE,
        Field.ICMP_CODE,
        Field.ICMPV6_TYPE,
    ),
    ("relay", "reverse_path", "segment_source", "origins", "mac", "lookup"),
    "dropped: the topology knows no such source peer",
)
RELAY = Table(
    3,
    "relay",
    "Passes a frame for another peer on to the next hop, with its tunnel id unchanged.",
    (SRC_PEER, DST_PEER, Field.TUN_SRC),
    ("gate_out",),
    "dropped: no route to the destination peer",
)
REVERSE_PATH = Table(
    4,
    "reverse_path",
    "Marks frames that came from the neighbour next towards their source peer.",
    (SRC_PEER, Field.TUN_SRC),
    (),
    "left unmarked: it will not be flooded on into the mesh",
)
GATE_IN = Table(
    10,
    "gate_in",
    "Lets a segment's frames in while the gateway port is active; counts what a standby drops.",
    (Field.IN_PORT,),
    ("origins", "segment_source"),
    "dropped: not a gateway port",
)
ORIGINS = Table(
    11,
    "origins",
    "Learnt: whether a source MAC belongs to a peer with a host, or to which segment.",
    (Field.ETH_SRC,),
    (),
    "left unmarked: nobody knows the MAC",
    learnt=True,
)
SEGMENT_SOURCE = Table(
    12,
    "segment_source",
    "Turns back frames of the mesh that a segment returned; learns the segment's MACs.",
    (Field.IN_PORT, SRC_PEER, FROM_TUNNEL, ORIGIN, Field.ETH_DST),
    ("mac", "origins", "reverse_path", "lookup", "sighted", "moved"),
    "dropped: the source MAC is another peer's; the segment returned its frame",
)
LOCAL_SOURCE = Table(
    13,
    "local_source",
    "Finds MACs at a container's port that were somewhere else until now.",
    (ORIGIN,),
    ("lookup", "moved"),
    "looked up, and shown to the daemon: it has moved to this peer",
)
LOOKUP = Table(
    20,
    "lookup",
    "Separates frames for one MAC from frames for many.",
    (Field.ETH_DST,),
    ("mac", "forward", "gate_flood"),
    "looked up in mac, then forward",
)
MAC = Table(
    21,
    "mac",
    "Learnt: the port or the peer behind which a destination MAC is.",
    (Field.ETH_DST,),
    (),
    "left unmarked: the MAC is unknown",
    learnt=True,
)
FORWARD = Table(
    22,
    "forward",
    "Decides between one port, one peer, and flooding.",
    (KNOWN_PORT, KNOWN_PEER, DST_PEER, FROM_TUNNEL),
    ("unicast", "deliver", "gate_flood"),
    "flooded: the destination MAC is unknown",
)
UNICAST = Table(
    23,
    "unicast",
    "Sends a frame to the one peer that it is for: by the next hop, or out to the own segment.",
    (SRC_PEER, DST_PEER),
    ("gate_out",),
    "dropped: no route to the peer behind which the MAC was learnt",
)
DELIVER = Table(
    24,
    "deliver",
    "Hands a frame to the one port of this bridge that it is for.",
    (OUT_PORT,),
    (),
    "dropped: the port behind which the MAC was learnt has gone",
)
GATE_FLOOD = Table(
    29,
    "gate_flood",
    "Lets a segment's broadcasts and unknown unicasts in only while this peer is the one for them.",
    (Field.IN_PORT, Field.ETH_DST),
    ("flood", "held"),
    "goes on to flood: it did not come from a segment",
)
FLOOD = Table(
    30,
    "flood",
    "Decides how far a broadcast, multicast or unknown unicast goes.",
    (SRC_PEER, FROM_TUNNEL, ON_TREE),
    ("flood_ports", "flood_mesh"),
    "flooded to ports and along the tree",
)
FLOOD_PORTS = Table(
    31,
    "flood_ports",
    "Copies a frame to every container's port.",
    (),
    (),
    "no container's port",
)
FLOOD_MESH = Table(
    33,
    "flood_mesh",
    "Copies a frame along the broadcast tree of its source peer, own segments among its leaves.",
    (SRC_PEER, FROM_TUNNEL, FORMER),
    ("gate_out",),
    "nobody further in the source's tree",
)
GATE_OUT = Table(
    41,
    "gate_out",
    "Lets frames out to a segment while the gateway port is active; counts what a standby drops.",
    (OUT_PORT, FLOODED, Field.ETH_DST),
    ("held",),
    "dropped: not a gateway port",
)
HELD = Table(
    42,
    "held",
    "In a hand-over: hands the daemon the broadcasts that this peer does not pass yet.",
    (OUT_PORT,),
    (),
    "dropped: there is no hand-over",
)
SIGHTED = Table(
    43,
    "sighted",
    "In a hand-over: shows the daemon the broadcasts that the other gateway has passed.",
    (OUT_PORT,),
    (),
    "ignored: there is no hand-over",
)

MOVED = Table(
    44,
    "moved",
    "Shows the daemon frames of MACs that are known elsewhere.",
    (),
    (),
    "shown to the daemon, as far as its meter lets it",
)

TABLES = (
    CLASSIFY,
    TUNNEL_IN,
    TUNNEL_SOURCE,
    RELAY,
    REVERSE_PATH,
    GATE_IN,
    ORIGINS,
    SEGMENT_SOURCE,
    LOCAL_SOURCE,
    LOOKUP,
    MAC,
    FORWARD,
    UNICAST,
    DELIVER,
    GATE_FLOOD,
    FLOOD,
    FLOOD_PORTS,
    FLOOD_MESH,
    GATE_OUT,
    HELD,
    SIGHTED,
    MOVED,
)

BY_NAME = {table.name: table for table in TABLES}
BY_NUMBER = {table.number: table for table in TABLES}

METER_NEIGHBOUR_HEARTBEATS = 1
"""Meter for heartbeats from the addresses of current neighbours."""

METER_STRANGE_HEARTBEATS = 2
"""Meter for heartbeats from elsewhere: a neighbour behind address translation, or an attacker."""

METER_HELLOS = 3
"""Meter for hellos of other gateways on a segment."""

METER_HAND_OVER = 4
"""Meter for broadcasts during a hand-over."""

METER_MOVED = 5
"""Meter for frames of MACs that are known elsewhere."""

METER_PROBES = 6
"""Meter for probes of gateways."""

METER_RATES = {
    METER_NEIGHBOUR_HEARTBEATS: 500,
    METER_STRANGE_HEARTBEATS: 20,
    METER_HELLOS: 400,
    METER_HAND_OVER: 3000,
    METER_MOVED: 100,
    METER_PROBES: 200,
}
"""Packets per second that each meter lets through to the daemon.

Each neighbour sends two heartbeats per second at most (router/fastdp.go), so 500 suffice for the
largest connection limit that Weave's own default (200) allows. A gateway says hello 40 times a
second at most (`gateway.timers`), so 400 suffice for ten on a segment. A hand-over that sees more
than a third of its rate gives nothing back (`gateway.holding`). A MAC that has moved shows itself
with its first frame; a segment that returns everything must not keep the daemon busy. A gateway
port probes four times a second, and a few times more where frames come back (`gateway.probing`), so
200 suffice for thirty on a wire.
"""

MAC_AGE_S = 300
"""Seconds for which a MAC is remembered after its last frame.

As in Linux bridges and Open vSwitch.
"""

MAC_LIMIT = 65536
"""Flows in each of the learnt tables; above, the switch evicts those that expire first."""
