"""Whether a MAC has moved to the segment, or the segment returns frames of the mesh."""

import json

import pytest

from weave_ryu.errors import RemoteProtocolError
from weave_ryu.gateway.moves import (
    AGAIN_S,
    ANSWER_S,
    MAX_ASKED,
    RECENT_S,
    SHOWN_S,
    Forget,
    Look,
    Moved,
    Moves,
    Send,
    Settle,
    Told,
)
from weave_ryu.names import PeerName

G, P, Q, STRANGER = (PeerName(number) for number in (1, 2, 3, 4))
MAC, SEGMENT = "020000000007", "vlan"


class World:
    """A gateway and two plain peers; `ages` = since when each has not heard the MAC."""

    def __init__(self, **ages):
        self.peers = {name: Moves(name, lambda peer, _: peer == G) for name in (G, P, Q)}
        self.ages = {PeerName(int(name[1:])): age for name, age in ages.items()}
        self.silent = set()
        self.done = {name: [] for name in self.peers}
        self.now = 100.0

    def run(self):
        while any(self._turn(name) for name in self.peers):
            pass

    def _turn(self, name):
        commands = self.peers[name].poll_commands()
        for command in commands:
            self.done[name].append(command)
            match command:
                case Send(to, payload):
                    for other in self.peers if to is None else [to]:
                        if other != name and other not in self.silent:
                            self.peers[other].received(name, payload, self.now)
                case Look():
                    self.peers[name].looked(command, self.ages.get(name), self.now)
        return bool(commands)

    def returned(self, holder=P):
        self.peers[G].returned(SEGMENT, MAC, holder, self.now)
        self.run()

    def conflicts(self):
        return self.peers[G].conflicts(self.now)

    def of(self, name, kind):
        return [command for command in self.done[name] if isinstance(command, kind)]


@pytest.mark.parametrize("holder", [P, None], ids=["known", "unknown"])
def test_a_mac_that_is_silent_at_its_old_place_moves_to_the_segment(holder):
    world = World(p2=RECENT_S + 1)
    world.returned(holder)
    assert world.of(G, Settle) == [Settle(SEGMENT, MAC)]
    assert world.of(G, Moved) == [Moved(SEGMENT, MAC, P)]
    for name in world.peers:
        assert Forget(MAC) in world.done[name]
    assert world.conflicts() == []


def test_a_mac_of_which_its_peer_knows_nothing_any_more_moves_if_that_peer_was_asked():
    world = World()
    world.returned()
    assert world.of(G, Settle) == [Settle(SEGMENT, MAC)]


def test_a_mac_that_nobody_has_stays_where_it_was_said_to_be():
    world = World()
    world.returned(None)
    assert world.of(G, Settle) == []


@pytest.mark.parametrize("holder", [P, None], ids=["known", "unknown"])
def test_a_copy_of_a_frame_that_was_just_sent_moves_nothing(holder):
    world = World(p2=RECENT_S / 2)
    world.returned(holder)
    assert not world.of(G, Settle)
    assert not any(world.of(name, Forget) for name in world.peers)
    (found,) = world.conflicts()
    assert (found.mac, found.holder, found.is_denied) == (MAC, P, True)


def test_the_gateway_asks_itself_about_its_own_containers():
    world = World(p1=RECENT_S / 2)
    world.returned(G)
    assert world.conflicts()[0].is_denied
    world.now += AGAIN_S
    world.ages[G] = 5.0
    world.returned(G)
    assert world.of(G, Settle) == [Settle(SEGMENT, MAC)]
    assert world.conflicts() == []


def test_whoever_has_it_may_be_the_gateway_itself():
    world = World(p1=RECENT_S + 1)
    world.returned(None)
    assert world.of(G, Settle) == [Settle(SEGMENT, MAC)]


def test_a_peer_that_does_not_answer_keeps_its_macs():
    world = World(p2=100.0)
    world.silent.add(P)
    world.returned()
    assert world.peers[G].deadline() == world.now + ANSWER_S
    world.now += ANSWER_S
    world.peers[G].handle_timer(world.now)
    world.run()
    assert not world.of(G, Settle)
    assert [found.is_denied for found in world.conflicts()] == [False]
    assert len(world.of(G, Told)) == 1


def test_frames_are_counted_and_questions_are_few():
    world = World(p2=0.1)
    for _ in range(50):
        world.returned()
        world.now += AGAIN_S / 100
    assert len(world.of(G, Send)) == 1
    assert world.conflicts()[0].frames == 50
    assert len(world.of(G, Told)) == 1
    world.now += SHOWN_S + 1
    assert world.conflicts() == []


def test_questions_that_are_open_are_bounded():
    moves = Moves(G, lambda *_: True)
    for number in range(2 * MAX_ASKED):
        moves.returned(SEGMENT, f"{number:012x}", P, 0.0)
    assert len(moves.poll_commands()) == MAX_ASKED


def test_only_a_gateway_of_the_segment_may_say_that_a_mac_has_moved():
    moves = Moves(P, lambda peer, segment: (peer, segment) == (G, SEGMENT))
    moved = {"moved": True, "segment": SEGMENT, "mac": MAC}
    with pytest.raises(RemoteProtocolError, match="does not forward"):
        moves.received(STRANGER, json.dumps(moved).encode(), 0.0)
    moves.received(G, json.dumps(moved).encode(), 0.0)
    assert moves.poll_commands() == [Forget(MAC)]


def test_an_answer_counts_only_from_who_was_asked_and_once():
    moves = Moves(G, lambda *_: True)
    moves.returned(SEGMENT, MAC, P, 0.0)
    moves.poll_commands()
    answer = {"answer": 1, "segment": SEGMENT, "mac": MAC, "spoke": False}
    moves.received(Q, json.dumps(answer).encode(), 0.1)
    moves.received(P, json.dumps({**answer, "answer": 2}).encode(), 0.1)
    assert moves.poll_commands() == []
    moves.received(P, json.dumps(answer).encode(), 0.1)
    moves.received(P, json.dumps(answer).encode(), 0.1)
    assert [type(command) for command in moves.poll_commands()] == [Send, Forget, Settle, Moved]


ASK = {"ask": 1, "segment": SEGMENT, "mac": MAC, "holder": True}


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff",
        b"[]",
        b"[" * 1000,
        b" " * 2000,
        json.dumps({**ASK, "mac": "02:00:00:00:00:07"}).encode(),
        json.dumps({**ASK, "mac": 7}).encode(),
        json.dumps({**ASK, "segment": "a b"}).encode(),
        json.dumps({**ASK, "ask": 0}).encode(),
        json.dumps({**ASK, "ask": True}).encode(),
        json.dumps({**ASK, "ask": 1 << 60}).encode(),
        json.dumps({**ASK, "holder": 1}).encode(),
        json.dumps({"answer": 1, "segment": SEGMENT, "mac": MAC}).encode(),
    ],
)
def test_malformed_messages_are_refused(payload):
    moves = Moves(P, lambda *_: True)
    with pytest.raises(RemoteProtocolError):
        moves.received(G, payload, 0.0)
    assert moves.poll_commands() == []
