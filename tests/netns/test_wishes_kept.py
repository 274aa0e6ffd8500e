"""wish_kept on real switches: what was asked for and accepted is done, whatever comes."""

import threading
import time

import pytest

from weave_ryu.gateway.timers import Timers

BOUND_S = Timers().wish_s
SOON_S = BOUND_S + 2.0
"""Within that the daemon answers, done or not."""


@pytest.fixture(scope="module")
def lab(build_lab):
    return build_lab(roles={"A": "auto", "B": "auto"})


def ask(peer, role, force=False):
    """Returns the status, the answer, and what the port says of itself then."""
    wish = {"role": role, **({"force": True} if force else {})}
    reply = peer.http("PUT", f"/gateways/{peer.gateway_port}", wish, timeout_s=SOON_S + 3.0)
    return reply.status, reply.body


def ask_both(first, second, pause_s):
    """Two clients, the second one a moment after the first; returns both answers."""
    answers = {}

    def client(name, peer, role, force):
        answers[name] = ask(peer, role, force)

    threads = [threading.Thread(target=client, args=("first", *first))]
    threads.append(threading.Thread(target=client, args=("second", *second)))
    threads[0].start()
    time.sleep(pause_s)  # the very thing that is tested: how much later the second one comes
    threads[1].start()
    for thread in threads:
        thread.join(SOON_S + 5.0)
    return answers["first"], answers["second"]


def state_of(peer):
    return peer.gateway_state()["state"]


def calm(lab, eventually, active):
    a, b = lab.peer("A"), lab.peer("B")
    for peer in (a, b):
        assert ask(peer, "auto")[0] == 200
    eventually(
        lambda: sorted([state_of(a), state_of(b)]) == ["active", "standby"],
        10,
    )
    if state_of(lab.peer(active)) != "active":
        assert ask(lab.peer(active), "active")[0] == 200
        assert ask(lab.peer(active), "auto")[0] == 200
    other = b if active == "A" else a
    eventually(lambda: state_of(other) == "standby", 10)


@pytest.mark.parametrize("pause_ms", [0, 3, 6, 10, 15, 25, 50, 100])
def test_force_while_the_gate_is_being_closed_is_kept(lab, eventually, pause_ms):
    """One operator forces A, which makes B close; another forces B just then."""
    calm(lab, eventually, "B")
    a, b = lab.peer("A"), lab.peer("B")
    answers = ask_both((a, "active", True), (b, "active", True), pause_ms / 1000)
    assert [status for status, _ in answers] == [200, 200], answers
    assert (state_of(a), state_of(b)) == ("active", "active")


@pytest.mark.parametrize("letter", ["A", "B"])
@pytest.mark.parametrize("pause_ms", [10, 60, 150, 250, 320, 380, 450, 800])
def test_force_during_a_hand_over_is_kept(lab, eventually, letter, pause_ms):
    """The role goes from A to B; meanwhile one of the two is forced."""
    calm(lab, eventually, "A")
    forced = lab.peer(letter)
    b = lab.peer("B")
    _, (status, body) = ask_both((b, "active", False), (forced, "active", True), pause_ms / 1000)
    assert status == 200, body
    assert state_of(forced) == "active"
    other = lab.peer("B" if letter == "A" else "A")
    eventually(lambda: state_of(other) == "standby", 5)


@pytest.mark.parametrize("wish", ["standby", "drain"])
@pytest.mark.parametrize("pause_ms", [60, 250, 380])
def test_wish_to_close_during_a_hand_over_is_kept(lab, eventually, wish, pause_ms):
    calm(lab, eventually, "A")
    a, b = lab.peer("A"), lab.peer("B")
    thread = threading.Thread(target=ask, args=(b, "active"))
    thread.start()
    time.sleep(pause_ms / 1000)  # as above
    wanted = {"drain": True} if wish == "drain" else {"role": "standby"}
    reply = b.http("PUT", f"/gateways/{b.gateway_port}", wanted, timeout_s=SOON_S)
    thread.join(SOON_S + 5.0)
    assert reply.status == 200, reply.body
    eventually(lambda: (state_of(a), state_of(b)) == ("active", "standby"), 5)


def test_wish_beside_one_that_is_forced_is_refused_and_changes_nothing(lab, eventually):
    calm(lab, eventually, "A")
    a, b = lab.peer("A"), lab.peer("B")
    assert ask(a, "active", True)[0] == 200
    status, body = ask(b, "active")
    assert status == 503
    assert "by force" in str(body)
    shown = b.http("GET", f"/gateways/{b.gateway_port}").body
    assert shown["role"] == "auto"
    assert ask(a, "auto")[0] == 200
