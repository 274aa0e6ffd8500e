"""The second fence of gateways whose kernel forwards without its switch: who opens it when.

What the daemon does at once (`gatewayd`) the world does here: close before anything is told.
"""

from dataclasses import replace

import pytest
from core_world import World, spec

from weave_ryu.errors import ConfigError, RemoteProtocolError
from weave_ryu.gate import Gate
from weave_ryu.gateway import records
from weave_ryu.gateway.commands import RenewFence, SetGate
from weave_ryu.gateway.detection import Bfd, Evidence, Verdict, judge
from weave_ryu.gateway.records import GatewayRecord, PortRecord
from weave_ryu.gateway.timers import FENCES, PROFILES, FenceTimes, Timers
from weave_ryu.names import PeerName

A, B = PeerName(ord("A")), PeerName(ord("B"))
TIMERS = replace(Timers(), fence=FenceTimes())
BFD_S = 0.3


class FencedWorld(World):
    """`immortal` switches are dead: the kernel passes what they had granted, for ever."""

    def __init__(self, *specs, timers=TIMERS):
        self.open_until, self.immortal = {}, set()
        super().__init__(*specs, timers=timers)

    def forwarders(self):
        return [
            letter
            for letter, (gate, until) in sorted(self.granted.items())
            if gate is Gate.OPEN
            and self.open_until.get(letter, 0.0) > self.now
            and (until > self.now or letter in self.immortal)
        ]

    def lose_switch(self, letter):
        """Its daemon sees the connection end."""
        self.open_until.pop(letter, None)
        self.call(letter, "switch_state", False, {})

    def _one(self, letter, core, command):
        if isinstance(command, RenewFence):
            self.open_until[letter] = self.now + self.timers.fence.open_s
            core.ports[command.port].keeper.fenced(self.now)
        if isinstance(command, SetGate) and command.gate is Gate.CLOSED:
            self.open_until.pop(letter, None)
        super()._one(letter, core, command)

    def _grant(self, letter, core, command, sent_at):
        if letter in self.immortal:
            return
        lives = self.cores.get(letter) is core and letter not in self.paused
        opens = isinstance(command, SetGate) and command.gate is not Gate.CLOSED
        if lives and opens and core.ports[command.port].keeper.awaits(command.token):
            self.open_until[letter] = self.now + self.timers.fence.open_s
        super()._grant(letter, core, command, sent_at)


def settled(**options):
    world = FencedWorld(("A", spec()), ("B", spec()), **options)
    world.run(3.0)
    assert world.forwarders() == ["A"]
    world.call("B", "bfd", A, Bfd.UP)
    return world


def kill_daemon(world):
    world.kill("A")


def stop_daemon(world):
    world.paused.add("A")


def kill_switch(world):
    world.immortal.add("A")
    world.lose_switch("A")


def stop_switch(world):
    world.immortal.add("A")  # nothing is answered, and no connection ends


def kill_both(world):
    world.immortal.add("A")
    world.kill("A")


def stop_both(world):
    world.immortal.add("A")
    world.paused.add("A")


STRIKES = {
    kill_daemon: (1.3, 1.9),
    stop_daemon: (1.3, 1.9),
    kill_switch: (0.0, 0.2),
    stop_switch: (0.8, 1.4),
    kill_both: (0.5, 0.8),
    stop_both: (0.5, 0.8),
}
"""Strike → when the other one opens, at the earliest and at the latest."""


@pytest.mark.parametrize("offset_s", [0.0, 0.03, 0.06, 0.09, 0.17])
@pytest.mark.parametrize("strike", STRIKES, ids=lambda strike: strike.__name__)
def test_nobody_opens_before_the_struck_one_has_closed(strike, offset_s):
    world, longest = settled(), 0
    world.run(offset_s)
    struck_at = world.now
    strike(world)

    def watch():
        nonlocal longest
        longest = max(longest, len(world.forwarders()))
        if world.now - struck_at > BFD_S and "A" in world.immortal:
            world.call("B", "bfd", A, Bfd.DOWN)

    world.run(4.0, watch)
    earliest_s, latest_s = STRIKES[strike]
    assert longest == 1
    assert world.port("B").state == "active"
    assert earliest_s < world.port("B").history[-1].at - struck_at < latest_s


def test_a_stopped_switch_that_goes_on_opens_nothing():
    world = settled()
    stop_switch(world)
    world.run(2.0)
    assert world.forwarders() == ["B"]
    # It carries out what it was sent, renewals among it.
    world.granted["A"] = Gate.OPEN, world.now + world.timers.permit_s
    world.immortal.discard("A")
    for _ in range(200):
        world.run(0.01)
        assert world.forwarders() == ["B"]


def test_is_renewed_before_each_lease_and_not_when_closed():
    world = settled()
    before = len(world.all_commands("A", RenewFence))
    world.run(1.0)
    assert len(world.all_commands("A", RenewFence)) - before in (9, 10, 11)
    assert not world.all_commands("B", RenewFence)


def test_is_not_renewed_while_it_is_to_close():
    world = settled()
    world.switch_answers["A"] = False
    world.cores["A"].ports["gw0"].ask(Gate.CLOSED)
    world._perform("A")
    before = len(world.all_commands("A", RenewFence))
    world.run(0.35)
    assert len(world.all_commands("A", RenewFence)) == before


def test_is_not_renewed_when_the_permits_have_run_out():
    world = settled()
    keeper = world.port("A").keeper
    emitted = len(world.all_commands("A", RenewFence))
    keeper.renew_fence(keeper.renewed_at + TIMERS.permit_s)
    world._perform("A")
    assert len(world.all_commands("A", RenewFence)) == emitted


def test_who_finds_his_fence_run_out_closes_and_listens():
    world = settled()
    world.paused.add("A")
    world.run(0.55)
    world.paused.discard("A")
    world.run(0.01)
    assert world.port("A").state != "active"
    assert any("s late" in entry.reason for entry in world.port("A").history)
    world.run(3.0)
    assert len(world.forwarders()) == 1


def test_a_stall_that_the_fence_survives_changes_nothing():
    world = settled()
    world.paused.add("A")
    world.run(0.38)
    world.paused.discard("A")
    world.run(1.0)
    assert world.port("A").state == "active"
    assert world.forwarders() == ["A"]


def test_without_a_fence_a_dead_host_is_replaced_at_once():
    dead = judge(Evidence(0.4, Bfd.DOWN, bfd_age_s=0.1), TIMERS)
    assert dead.vacant_in_s == pytest.approx(-0.05)


@pytest.mark.parametrize("age_s", [0.36, 0.5, 0.649, 0.66, 3.0])
def test_a_dead_switch_is_waited_for_as_long_as_its_owner_has_told(age_s):
    dead = judge(Evidence(age_s, Bfd.DOWN, bfd_age_s=0.2, fence_s=0.65), TIMERS)
    assert dead.verdict is Verdict.HOST_DEAD
    assert dead.vacant_in_s == pytest.approx(max(-0.2, 0.65 - age_s))


def test_the_record_tells_it_and_older_ones_do_not():
    port = PortRecord("vlan", "gw0", "active", 1)
    fenced = GatewayRecord(A, 1, 2, (port,), TIMERS.dead_ms)
    assert records.decode(records.encode([fenced])).records == (fenced,)
    bare = replace(fenced, fence_ms=0)
    assert b"fence" not in records.encode([bare])
    assert records.decode(records.encode([bare])).records == (bare,)


@pytest.mark.parametrize("value", ["-1", "10000", '"650"', "true", "1e3"])
def test_a_told_time_out_of_range_is_refused(value):
    port = PortRecord("vlan", "gw0", "active", 1)
    payload = records.encode([GatewayRecord(A, 1, 2, (port,), 650)])
    with pytest.raises(RemoteProtocolError):
        records.decode(payload.replace(b'"fence_ms":650', f'"fence_ms":{value}'.encode()))


@pytest.mark.parametrize("profile", FENCES)
def test_profiles_keep_the_inequality_of_the_fence(profile):
    timers = replace(PROFILES[profile], fence=FENCES[profile]).check()
    assert timers.fence_give_up_s < timers.dead_ms / 1000 < timers.take_over_s
    assert timers.lingering_s < timers.lease_s


@pytest.mark.parametrize("open_s", [0.29, 1.0])
def test_a_fence_that_is_no_use_is_refused(open_s):
    with pytest.raises(ConfigError, match="fence"):
        replace(Timers(), fence=FenceTimes(open_s=open_s)).check()
