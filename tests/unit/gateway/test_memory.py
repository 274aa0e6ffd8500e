"""Which side a MAC is on, and whose word counts."""

from weave_ryu.gateway.memory import REMEMBER_S, MacMemory
from weave_ryu.gateway.reading import Reading
from weave_ryu.gateway.records import MacTable
from weave_ryu.names import PeerName

OWN, OTHER, THIRD = map(PeerName, (1, 2, 3))
MAC, ANOTHER = "02c000000001", "02c000000002"
NONE = frozenset()


def some(*macs):
    return frozenset(macs)


def memory(**segments):
    return MacMemory(OWN, segments or {"gw0": "vlan"})


def table(mesh=NONE, hosts=NONE, own=NONE, name=OTHER, segment="vlan"):
    return MacTable(name, segment, mesh, hosts, own)


def sides_read(known, now, mesh=NONE, hosts=NONE, port="gw0", **more):
    """What it tells the others after a reading."""
    table = known.read(port, Reading(mesh, hosts, **more), now).table
    return table.mesh, table.hosts


def test_what_is_recalled_counts_until_anybody_knows_better():
    known = memory()
    assert sides_read(known, 1.0, before=some(MAC, ANOTHER)) == (some(MAC, ANOTHER), NONE)
    known.told(table(hosts=some(MAC)))
    assert known.sides("gw0") == (some(ANOTHER), some(MAC))
    # It has moved, and that it was here before is not believed again when the news is old.
    known.told(table())
    assert sides_read(known, 2.0) == (some(ANOTHER), NONE)
    assert sides_read(known, 3.0, hosts=some(ANOTHER)) == (NONE, some(ANOTHER))
    assert sides_read(known, 4.0) == (NONE, NONE)


def test_what_is_recalled_is_no_news_against_a_living_gateway():
    known = memory()
    known.told(table(hosts=some(MAC)))
    assert sides_read(known, 1.0, before=some(MAC)) == (NONE, NONE)
    assert known.sides("gw0") == (NONE, some(MAC))


def test_what_is_recalled_is_neither_made_sure_of_nor_kept_longer():
    known = memory()
    sides_read(known, 0.0, before=some(MAC))
    assert known.not_hosts("gw0") == (NONE, NONE)
    known.switch_lost(REMEMBER_S - 1)
    assert sides_read(known, REMEMBER_S) == (NONE, NONE)
    assert known.sides("gw0") == (NONE, NONE)


def test_nothing_is_recalled_where_it_may_be_about_another_segment():
    known = memory(gw0="vlan", gw1="other")
    sides_read(known, 0.0, before=some(MAC))
    assert known.sides("gw0") == (NONE, NONE)


def test_containers_beside_another_gateway_come_from_where_its_segment_does():
    known = memory()
    known.told(table(mesh=some(MAC, ANOTHER), own=some(MAC)))
    assert known.sides("gw0") == (some(MAC, ANOTHER), NONE)
    assert known.not_hosts("gw0") == (some(ANOTHER), some(MAC))


def test_hosts_of_another_segment_may_be_hosts_there():
    known = memory(gw0="vlan", gw1="other")
    sides_read(known, 0.0, some(MAC, ANOTHER))
    sides_read(known, 0.0, hosts=some(MAC), port="gw1")
    assert known.sides("gw0") == (some(MAC, ANOTHER), NONE)
    assert known.not_hosts("gw0") == (some(ANOTHER), NONE)


def test_word_of_one_that_left_is_nobodys_word():
    known = memory()
    known.told(table(mesh=some(MAC)))
    known.told(table(mesh=some(ANOTHER), name=THIRD))
    known.left({OTHER})
    assert known.sides("gw0") == (some(ANOTHER), NONE)


def test_containers_are_told_from_hosts_by_the_word_of_the_gateway_that_they_are_beside():
    known, both = memory(), some(MAC, ANOTHER)
    assert sides_read(known, 0.0, hosts=both, relayed=both) == (NONE, both)
    assert known.told(table(mesh=some(MAC), own=some(MAC)))
    assert known.sides("gw0") == (some(MAC), some(ANOTHER))
    assert sides_read(known, 1.0, hosts=both, relayed=both) == (some(MAC), some(ANOTHER))
    assert not known.told(table(mesh=some(MAC), own=some(MAC)))
    # When it has left it is nobody's word any more: what is heard on the segment is a host there.
    known.left({OTHER})
    assert known.sides("gw0") == (some(MAC), some(ANOTHER))
    assert sides_read(known, 2.0, hosts=some(MAC))[1] == some(MAC)
    assert known.beside_others("gw0") == NONE


def test_what_is_beside_a_gateway_is_disowned_even_if_the_switch_has_it_on_the_segment():
    known, mac = memory(), some(MAC)
    assert known.read("gw0", Reading(NONE, mac), 0.0).disowned == NONE
    assert known.told(table(mesh=mac, own=mac))
    found = known.read("gw0", Reading(NONE, mac), 1.0)
    assert (found.disowned, found.table.mesh) == (mac, mac)
    # Told as it is read, so that the one that they are beside sets it right everywhere.
    assert found.table.hosts == mac
    assert known.sides("gw0") == (mac, NONE)
    assert known.not_hosts("gw0") == (NONE, mac)


def test_what_is_beside_this_peer_and_a_host_for_another_is_misplaced():
    known, mac = memory(), some(MAC)
    known.told(table(hosts=mac))
    found = known.read("gw0", Reading(mac, own=mac), 0.0)
    assert (found.misplaced, found.table.own) == (mac, mac)
    assert known.sides("gw0") == (mac, NONE)
    # Once for each time that it is told.
    assert known.read("gw0", Reading(mac, own=mac), 1.0).misplaced == NONE
    assert known.told(table(hosts=mac))
    assert known.read("gw0", Reading(mac, own=mac), 2.0).misplaced == mac


def test_what_was_taken_for_a_host_is_misplaced_even_if_others_know_better_meanwhile():
    """Seeds 5424, 9068: peers that are no gateways were told wrong."""
    known, mac = memory(), some(MAC)
    known.read("gw0", Reading(mac, own=mac), 0.0)
    assert known.told(table(hosts=mac))
    known.told(table(mesh=mac))
    assert known.read("gw0", Reading(mac, own=mac), 1.0).misplaced == mac
    assert known.read("gw0", Reading(mac, own=mac), 2.0).misplaced == NONE


def test_what_was_beside_this_peer_still_is_when_its_switch_has_restarted():
    known, both = memory(), some(MAC, ANOTHER)
    known.read("gw0", Reading(both, own=both), 0.0)
    known.switch_lost(1.0)
    found = known.read("gw0", Reading(some(ANOTHER)), 2.0)
    assert (found.table.mesh, found.table.own) == (both, some(MAC))
    assert known.read("gw0", Reading(), 1.0 + REMEMBER_S).table.own == NONE


def test_what_is_remembered_of_a_switch_is_remembered_no_longer_because_it_is_lost_again():
    known, mac = memory(), some(MAC)
    known.read("gw0", Reading(mac, own=mac), 0.0)
    known.switch_lost(1.0)
    for now in range(2, 600, 200):
        known.read("gw0", Reading(), now)
        known.switch_lost(now)
    assert known.read("gw0", Reading(), 600.0).table == table(name=OWN)


def test_what_is_remembered_is_remembered_once_however_often_the_switch_is_lost():
    known, mac = memory(), some(MAC)
    for now in range(10):
        known.read("gw0", Reading(mac, own=mac), float(now))
        known.switch_lost(float(now))
    assert len(known._before["gw0"]) == 1
    assert known.age("gw0", 9.0 + REMEMBER_S - 1).own == mac
    assert known.age("gw0", 9.0 + REMEMBER_S).own == NONE
    assert not known.remembers("gw0")


def test_word_on_a_container_is_kept_when_others_take_it_for_a_host():
    known, mac = memory(), some(MAC)
    known.told(table(mesh=mac, own=mac))
    known.told(table(hosts=mac, name=THIRD))
    assert known.sides("gw0") == (mac, NONE)


def test_new_gateway_may_be_where_macs_were_but_not_those_beside_this_peer():
    known, mac = memory(), some(MAC)
    known.read("gw0", Reading(some(MAC, ANOTHER), own=mac), 0.0)
    known.met("gw0")
    assert known.sides("gw0") == (mac, NONE)
    assert known.own("gw0") == mac
    # What the switch says then is no news against what others tell.
    known.told(table(mesh=some(ANOTHER)))
    known.read("gw0", Reading(mac, some(ANOTHER), own=mac), 1.0)
    assert known.sides("gw0")[0] == some(MAC, ANOTHER)


def test_gateway_that_is_none_of_a_segment_any_more_has_no_word_there():
    known, mac = memory(), some(MAC)
    known.told(table(mesh=mac, own=mac))
    known.left({OTHER}, {"vlan"})
    assert known.beside_others("gw0") == mac
    known.left({OTHER}, {"other"})
    assert known.beside_others("gw0") == NONE


def test_unclear_ones_stay_where_they_were():
    known = memory()
    sides_read(known, 0.0, some(MAC), some(ANOTHER))
    unclear = some(MAC, ANOTHER, "02c000000003")
    assert sides_read(known, 1.0, unclear=unclear) == (some(MAC), some(ANOTHER))
