"""What a gateway does when another one and it disagree about a MAC."""

from dataclasses import replace

from core_world import settled_pair

from weave_ryu.gateway.commands import (
    Announce,
    Disown,
    ForgetBehind,
    ForgetBeside,
    Prime,
    RaiseVersion,
    ReadMacs,
    Reassert,
    Tell,
)
from weave_ryu.gateway.memory import REMEMBER_S
from weave_ryu.gateway.reading import Reading
from weave_ryu.gateway.records import MacTable, decode, encode
from weave_ryu.names import PeerName

MAC = frozenset({"02c000000001"})
A, B = PeerName(ord("A")), PeerName(ord("B"))


def is_table(command):
    return isinstance(command, Tell) and bool(decode(command.payload).tables)


def tell(world, source, target):
    """Hand over what one has told the other last."""
    told = [c for c in world.cores[source].poll_commands() if is_table(c)]
    name = PeerName(ord(source))
    world.cores[target].received(name, told[-1].payload, True, world.now)
    return world.cores[target].poll_commands()


def test_what_the_owner_says_is_beside_it_is_no_host_any_more():
    world = settled_pair()
    active, owner = world.cores["A"], world.cores["B"]
    # It came in by the port of the active one, and has been announced as a host.
    active.macs_read("gw0", Reading(hosts=MAC), world.now)
    active.poll_commands()
    owner.macs_read("gw0", Reading(MAC, own=MAC), world.now)
    commands = tell(world, "B", "A")
    assert Prime("gw0", frozenset(), frozenset(), MAC) in commands
    assert ReadMacs("gw0") in commands
    assert active.macs("gw0") == (MAC, frozenset())
    # The switch still has it there.
    active.macs_read("gw0", Reading(hosts=MAC), world.now)
    commands = active.poll_commands()
    assert Disown("gw0", MAC) in commands
    assert not [c for c in commands if isinstance(c, Announce) and c.to_mesh]
    active.macs_read("gw0", Reading(), world.now)
    assert not [c for c in active.poll_commands() if isinstance(c, Disown)]


def test_closed_port_has_nothing_to_disown():
    world = settled_pair()
    world.cores["A"].macs_read("gw0", Reading(MAC, own=MAC), world.now)
    tell(world, "A", "B")
    world.cores["B"].macs_read("gw0", Reading(hosts=MAC), world.now)
    assert not [c for c in world.cores["B"].poll_commands() if isinstance(c, Disown)]


def test_what_nobody_says_is_beside_it_any_more_may_be_a_host():
    world = settled_pair()
    owner, other = world.cores["B"], world.cores["A"]
    owner.macs_read("gw0", Reading(MAC, own=MAC), world.now)
    tell(world, "B", "A")
    owner.macs_read("gw0", Reading(), world.now)
    assert ForgetBeside("gw0", MAC) in tell(world, "B", "A")
    owner.macs_read("gw0", Reading(MAC, own=MAC), world.now)
    assert Prime("gw0", frozenset(), frozenset(), MAC) in tell(world, "B", "A")
    other.peers_left([B])
    assert ForgetBeside("gw0", MAC) in other.poll_commands()


def test_standby_primes_its_closed_port_too():
    """Seed 6231: its switch knew of the container, but from a time when nobody knew where it is."""
    world = settled_pair()
    world.cores["A"].macs_read("gw0", Reading(MAC, own=MAC), world.now)
    assert Prime("gw0", frozenset(), frozenset(), MAC) in tell(world, "A", "B")


def test_word_of_a_gateway_without_switch_ages():
    world = settled_pair()
    core = world.cores["B"]
    core.macs_read("gw0", Reading(MAC, own=MAC), world.now)
    core.switch_state(False, {"gw0": True}, world.now)
    core.poll_commands()
    for now in (world.now + 2, world.now + 4):
        core.handle_timer(now)
    assert not [c for c in core.poll_commands() if isinstance(c, ReadMacs)]
    assert core.beside("gw0") == MAC
    core.handle_timer(world.now + REMEMBER_S)
    (told,) = (c for c in core.poll_commands() if is_table(c))
    assert decode(told.payload).tables[0].own == frozenset()


def test_one_that_has_been_away_is_told_everything_again():
    world = settled_pair()
    core = world.cores["A"]
    core.macs_read("gw0", Reading(MAC, own=MAC), world.now)
    record = core.registry.record(B)
    core.peers_left([B])
    core.poll_commands()
    core.received(B, encode([replace(record, sequence=record.sequence + 1)]), True, world.now)
    assert ReadMacs("gw0") in core.poll_commands()
    core.macs_read("gw0", Reading(MAC, own=MAC), world.now)
    assert [c.peer for c in core.poll_commands() if is_table(c)] == [B]


def test_one_that_has_dropped_what_it_was_told_asks_for_it():
    world = settled_pair()
    core, other = world.cores["A"], world.cores["B"]
    reading = Reading(MAC, own=MAC)
    other.macs_read("gw0", reading, world.now)
    tell(world, "B", "A")
    record = core.registry.record(B)
    core.peers_left([B])
    core.received(B, encode([replace(record, sequence=record.sequence + 1)]), True, world.now)
    (ask,) = (
        c for c in core.poll_commands() if isinstance(c, Tell) and decode(c.payload).asks_macs
    )
    assert ask.peer == B
    other.macs_read("gw0", reading, world.now)
    assert not [c for c in other.poll_commands() if is_table(c)]
    other.received(A, ask.payload, True, world.now)
    other.macs_read("gw0", reading, world.now)
    tell(world, "B", "A")
    assert core.macs("gw0") == (MAC, frozenset())


def test_word_is_told_to_the_switch_again_when_it_is_back_and_before_it_forgets():
    world = settled_pair()
    world.cores["B"].macs_read("gw0", Reading(MAC, own=MAC), world.now)
    tell(world, "B", "A")
    core, prime = world.cores["A"], Prime("gw0", frozenset(), frozenset(), MAC)
    core.switch_state(False, {"gw0": True}, world.now)
    core.switch_state(True, {"gw0": True}, world.now)
    assert core.poll_commands().count(prime) == 1
    primed = 0
    for second in range(2, 600, 2):
        core.handle_timer(world.now + second)
        primed += core.poll_commands().count(prime)
    assert primed == 2


def test_table_of_one_that_has_left_counts_no_longer_than_until_it_would_have_told_its_record():
    world = settled_pair()
    core = world.cores["A"]
    late = encode(tables=[MacTable(PeerName(9), "vlan", MAC, frozenset(), MAC)])
    core.received(PeerName(9), late, True, world.now)
    assert core.macs("gw0")[0] == MAC
    for second in (2, 4):
        core.handle_timer(world.now + second)
    assert core.macs("gw0")[0] == frozenset()


def test_silent_container_that_was_taken_for_a_host_is_announced_to_the_segment():
    """Seeds 270, 319, 456."""
    world = settled_pair()
    core = world.cores["A"]
    core.macs_read("gw0", Reading(hosts=MAC, relayed=MAC), world.now)
    core.poll_commands()
    world.cores["B"].macs_read("gw0", Reading(MAC, own=MAC), world.now)
    tell(world, "B", "A")
    core.macs_read("gw0", Reading(hosts=MAC, relayed=MAC), world.now)
    assert Announce("gw0", MAC, frozenset()) in core.poll_commands()


def test_owner_tells_everybody_where_its_container_is_when_another_takes_it_for_a_host():
    world = settled_pair()
    taker, owner = world.cores["A"], world.cores["B"]
    taker.macs_read("gw0", Reading(hosts=MAC), world.now)
    tell(world, "A", "B")
    assert owner.macs("gw0") == (frozenset(), MAC)
    owner.macs_read("gw0", Reading(MAC, own=MAC), world.now)
    assert owner.beside("gw0") == MAC
    commands = owner.poll_commands()
    assert Reassert("gw0", MAC) in commands
    assert RaiseVersion() in commands
    assert [c.peer for c in commands if isinstance(c, Tell)] == [A]
    # Once for each time that it is told.
    owner.macs_read("gw0", Reading(MAC, own=MAC), world.now)
    assert not [c for c in owner.poll_commands() if isinstance(c, Reassert | Tell)]


def test_active_one_looks_at_its_own_switch_before_it_announces_what_it_is_told():
    """Seed 9930: a standby had taken the active one's own container for a host, and told it so."""
    world = settled_pair()
    world.cores["B"].macs_read("gw0", Reading(hosts=MAC, relayed=MAC), world.now)
    assert ReadMacs("gw0") in tell(world, "B", "A")
    active = world.cores["A"]
    active.macs_read("gw0", Reading(MAC, own=MAC), world.now)
    (announced,) = (c for c in active.poll_commands() if isinstance(c, Announce))
    assert announced == Announce("gw0", MAC, frozenset())


def test_switch_that_comes_back_forgets_what_it_learnt_behind_standbys():
    """Seeds 8146, 8902: they forwarded, and closed, while it could not be told to forget."""
    world = settled_pair()
    core = world.cores["A"]
    core.switch_state(False, {"gw0": True}, world.now)
    core.poll_commands()
    core.switch_state(True, {"gw0": True}, world.now)
    assert ForgetBehind((B,)) in core.poll_commands()
    # Until that has come to pass, what is learnt behind them may be on either side.
    assert core.behind_gateways("vlan", world.now) == (frozenset(), {B})
