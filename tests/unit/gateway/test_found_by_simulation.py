"""What seeded schedules have found, each as the shortest story that shows it."""

from core_world import World, spec

from weave_ryu.gateway.role import State


def test_a_third_gateway_waits_for_the_permits_of_one_that_died_while_handing_over():
    world = World(*((letter, spec()) for letter in "ABC"))
    world.run(3.0)
    assert world.states() == {"A": State.ACTIVE, "B": State.STANDBY, "C": State.STANDBY}
    world.call("A", "drain", "gw0")
    world.call("A", "macs_read", "gw0", frozenset(), frozenset())
    world.run(0.05)
    assert world.port("A").record(world.now).state == State.DRAINING
    world.kill("A")
    world.kill("B")
    longest = [0]

    def watch():
        longest[0] = max(longest[0], len(world.forwarders()))

    world.run(0.8, watch)
    assert world.forwarders() == ["A"]
    world.run(4.0, watch)
    assert world.forwarders() == ["C"]
    assert longest[0] == 1
