"""Whether a MAC has moved to the segment, or the segment returns frames of the mesh."""

import json

import pytest

from weave_ryu.errors import RemoteProtocolError
from weave_ryu.gateway.moves import (
    AGAIN_S,
    ANSWER_S,
    LAG_S,
    MARGIN_S,
    MAX_ASKED,
    SHOWN_S,
    Ages,
    Deny,
    Forget,
    Look,
    Moved,
    Moves,
    Send,
    Settle,
    Told,
    Why,
)
from weave_ryu.names import PeerName

G, P, Q, STRANGER = (PeerName(number) for number in (1, 2, 3, 4))
MAC, SEGMENT = "020000000007", "vlan"


LONG, JUST = 5.0, LAG_S
"""Ages at a look into a switch, `LAG_S` after the MAC was seen on the segment."""


class World:
    """A gateway and two plain peers; `ages` = what the switch of each says when it is looked at."""

    def __init__(self, **ages):
        self.peers = {name: Moves(name, lambda peer, _: peer == G) for name in (G, P, Q)}
        self.ages = {PeerName(int(name[1:])): age for name, age in ages.items()}
        self.silent = set()
        self.looks = []
        self.done = {name: [] for name in self.peers}
        self.now = 100.0

    def run(self):
        """All messages, and then, `LAG_S` later, all looks, until nothing happens any more."""
        while True:
            while any(self._turn(name) for name in self.peers):
                pass
            if not self.looks:
                return
            self.now += LAG_S
            looks, self.looks = self.looks, []
            for name, look in looks:
                self.peers[name].looked(look, self.ages.get(name, Ages()), self.now)

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
                    self.looks.append((name, command))
        return bool(commands)

    def returned(self, holder=P, behind=""):
        self.peers[G].returned(SEGMENT, MAC, holder, self.now, behind)
        self.run()

    def doubted(self):
        self.peers[G].doubted(SEGMENT, MAC, self.now)
        self.run()

    def wait(self):
        """Whoever has not answered will not."""
        self.now += ANSWER_S + LAG_S
        self.peers[G].handle_timer(self.now)
        self.run()

    def conflicts(self):
        return self.peers[G].conflicts(self.now)

    def of(self, name, kind):
        return [command for command in self.done[name] if isinstance(command, kind)]


@pytest.mark.parametrize("holder", [P, None], ids=["known", "unknown"])
def test_a_mac_that_is_silent_at_its_old_place_moves_to_the_segment(holder):
    world = World(p2=Ages(here=LONG))
    world.returned(holder)
    assert world.of(G, Settle) == [Settle(SEGMENT, MAC)]
    assert world.of(G, Moved) == [Moved(SEGMENT, MAC, P)]
    for name in world.peers:
        assert world.of(name, Forget) == [Forget(SEGMENT, MAC)]
    assert world.conflicts() == []


def test_of_a_mac_behind_another_segment_the_gateway_of_that_one_is_asked_about_it():
    world = World(p2=Ages(here=LONG))
    world.returned(P, "office")
    (asked,) = world.of(P, Look) + world.of(Q, Look)
    assert (asked.by, asked.why, asked.behind) == (G, Why.HOLDER, "office")
    assert world.of(G, Settle) == [Settle(SEGMENT, MAC)]
    for name in world.peers:
        assert world.of(name, Forget) == [Forget(SEGMENT, MAC)]


def test_one_that_speaks_on_both_segments_stays_behind_the_first():
    world = World(p2=Ages(here=JUST))
    world.returned(P, "office")
    assert world.of(G, Settle) == []
    (found,) = world.conflicts()
    assert (found.holder, found.is_denied) == (P, True)


def test_if_nobody_forwards_for_the_other_segment_all_are_asked_who_has_heard_it():
    world = World(p3=Ages(heard=LONG + ANSWER_S))
    world.returned(None, "office")
    assert [look.why for look in world.of(Q, Look)] == [Why.ANYBODY]
    world.wait()
    assert world.of(G, Settle) == [Settle(SEGMENT, MAC)]


def test_both_segments_of_one_gateway():
    world = World(p1=Ages(here=LONG))
    world.returned(G, "office")
    assert [look.behind for look in world.of(G, Look)] == ["office"]
    assert world.of(G, Settle) == [Settle(SEGMENT, MAC)]


def test_a_mac_of_which_its_peer_knows_nothing_any_more_moves_if_that_peer_was_asked():
    world = World()
    world.returned()
    assert world.of(G, Settle) == [Settle(SEGMENT, MAC)]


def test_hearsay_that_nobody_can_confirm_is_out_of_date():
    world = World(p3=Ages(heard=LONG + ANSWER_S))
    world.returned(None)
    assert world.of(G, Settle) == []
    world.wait()
    assert world.of(G, Settle) == [Settle(SEGMENT, MAC)]
    assert world.of(G, Moved) == [Moved(SEGMENT, MAC, None)]
    assert Forget(SEGMENT, MAC) in world.done[Q]
    assert world.conflicts() == []


def test_hearsay_holds_while_the_mac_speaks_behind_a_peer_that_does_not_answer():
    """As behind a router of Weave: other peers have heard it."""
    world = World(p3=Ages(heard=JUST))
    world.returned(None)
    world.wait()
    assert world.of(G, Settle) == []
    (found,) = world.conflicts()
    assert (found.holder, found.is_denied) == (None, False)


def test_a_peer_that_was_asked_as_the_holder_says_nothing_of_others():
    world = World(p2=Ages(heard=JUST))
    world.returned()
    assert world.of(G, Settle) == [Settle(SEGMENT, MAC)]


def test_a_gateway_that_forwards_no_more_moves_nothing():
    world = World(p2=Ages(here=LONG))
    world.peers[G] = Moves(G, lambda *_: False)
    world.returned()
    assert not any(world.of(name, kind) for name in world.peers for kind in (Forget, Settle))


@pytest.mark.parametrize("holder", [P, None], ids=["known", "unknown"])
@pytest.mark.parametrize("age_s", [0.0, JUST, JUST + MARGIN_S / 2])
def test_a_copy_of_a_frame_that_was_just_sent_moves_nothing(holder, age_s):
    world = World(p2=Ages(here=age_s))
    world.returned(holder)
    assert not world.of(G, Settle)
    assert not any(world.of(name, Forget) for name in world.peers)
    (found,) = world.conflicts()
    assert (found.mac, found.holder, found.is_denied) == (MAC, P, True)


def test_an_answer_that_was_long_under_way_is_taken_for_newer():
    moves = Moves(G, lambda *_: True)
    moves.returned(SEGMENT, MAC, P, 0.0)
    answer = {"answer": 1, "segment": SEGMENT, "mac": MAC, "age": 1.0, "here": True}
    moves.received(P, json.dumps(answer).encode(), 1.0 + LAG_S)
    assert [found.is_denied for found in moves.conflicts(2.0)] == [True]


@pytest.mark.parametrize(
    ("behind_s", "here_s", "is_denied"),
    [(30.0, 5.0, True), (5.0, 30.0, False), (None, 5.0, None), (5.0, None, None)],
    ids=["newer in the mesh", "newer on the segment", "not behind it", "nobody has it"],
)
def test_of_two_old_sightings_the_newer_one_counts(behind_s, here_s, is_denied):
    world = World(p1=Ages(behind=behind_s), p2=Ages(here=here_s))
    world.doubted()
    world.wait()
    assert (world.of(G, Deny) == [Deny(MAC)]) == (is_denied is True)
    assert (world.of(G, Settle) == [Settle(SEGMENT, MAC)]) == (is_denied is False)


def test_what_the_own_switch_has_heard_in_the_mesh_leaves_no_doubt():
    world = World(p1=Ages(behind=1.0, heard=2.0), p2=Ages(here=30.0))
    world.doubted()
    world.wait()
    assert not world.of(G, Send)
    assert not world.conflicts()


def test_what_others_have_heard_since_decides_a_doubt_if_nobody_has_it():
    world = World(p1=Ages(behind=30.0), p3=Ages(heard=2.0))
    world.doubted()
    world.wait()
    assert world.of(G, Deny) == [Deny(MAC)]


def test_the_gateway_asks_itself_about_its_own_containers():
    world = World(p1=Ages(here=JUST))
    world.returned(G)
    assert world.conflicts()[0].is_denied
    world.now += AGAIN_S
    world.ages[G] = Ages(here=LONG)
    world.returned(G)
    assert world.of(G, Settle) == [Settle(SEGMENT, MAC)]
    assert world.conflicts() == []


def test_whoever_has_it_may_be_the_gateway_itself():
    world = World(p1=Ages(here=LONG))
    world.returned(None)
    assert world.of(G, Settle) == [Settle(SEGMENT, MAC)]


def test_a_peer_that_does_not_answer_keeps_its_macs():
    world = World(p2=Ages(here=100.0))
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
    world = World(p2=Ages(here=JUST))
    for _ in range(50):
        world.peers[G].returned(SEGMENT, MAC, P, world.now)
    world.run()  # until then it is a question, of one frame
    for _ in range(50):
        world.peers[G].returned(SEGMENT, MAC, P, world.now)
    world.run()
    assert len(world.of(G, Send)) == 1
    assert world.conflicts()[0].frames == 51
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
    assert moves.poll_commands() == [Forget(SEGMENT, MAC)]


def test_an_answer_counts_only_from_who_was_asked_and_once():
    moves = Moves(G, lambda *_: True)
    moves.returned(SEGMENT, MAC, P, 0.0)
    moves.poll_commands()
    answer = {"answer": 1, "segment": SEGMENT, "mac": MAC, "age": 9.0, "here": True}
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
        json.dumps({"ask_behind": 1, "segment": SEGMENT, "mac": MAC}).encode(),
        json.dumps({"ask_behind": 1, "segment": SEGMENT, "mac": MAC, "behind": ""}).encode(),
        json.dumps({"answer": 1, "segment": SEGMENT, "mac": MAC}).encode(),
    ],
)
def test_malformed_messages_are_refused(payload):
    moves = Moves(P, lambda *_: True)
    with pytest.raises(RemoteProtocolError):
        moves.received(G, payload, 0.0)
    assert moves.poll_commands() == []
