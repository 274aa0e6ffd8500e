"""Which side a MAC is on, and whose word counts."""

from weave_ryu.gateway.memory import REMEMBER_S, Details, MacMemory
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


def test_what_is_recalled_counts_until_anybody_knows_better():
    known = memory()
    before = Details(before=some(MAC, ANOTHER))
    assert known.read("gw0", NONE, NONE, 1.0, before) == (some(MAC, ANOTHER), NONE)
    known.told(table(hosts=some(MAC)))
    assert known.sides("gw0") == (some(ANOTHER), some(MAC))
    # It has moved, and that it was here before is not believed again when the news is old.
    known.told(table())
    assert known.read("gw0", NONE, NONE, 2.0) == (some(ANOTHER), NONE)
    assert known.read("gw0", NONE, some(ANOTHER), 3.0) == (NONE, some(ANOTHER))
    assert known.read("gw0", NONE, NONE, 4.0) == (NONE, NONE)


def test_what_is_recalled_is_no_news_against_a_living_gateway():
    known = memory()
    known.told(table(hosts=some(MAC)))
    assert known.read("gw0", NONE, NONE, 1.0, Details(before=some(MAC))) == (NONE, NONE)
    assert known.sides("gw0") == (NONE, some(MAC))


def test_what_is_recalled_is_neither_made_sure_of_nor_kept_longer():
    known = memory()
    known.read("gw0", NONE, NONE, 0.0, Details(before=some(MAC)))
    assert known.not_hosts("gw0") == (NONE, NONE)
    known.switch_lost(REMEMBER_S - 1)
    assert known.read("gw0", NONE, NONE, REMEMBER_S) == (NONE, NONE)
    assert known.sides("gw0") == (NONE, NONE)


def test_nothing_is_recalled_where_it_may_be_about_another_segment():
    known = memory(gw0="vlan", gw1="other")
    known.read("gw0", NONE, NONE, 0.0, Details(before=some(MAC)))
    assert known.sides("gw0") == (NONE, NONE)


def test_containers_beside_another_gateway_come_from_where_its_segment_does():
    known = memory()
    known.told(table(mesh=some(MAC, ANOTHER), own=some(MAC)))
    assert known.sides("gw0") == (some(MAC, ANOTHER), NONE)
    assert known.not_hosts("gw0") == (some(ANOTHER), some(MAC))


def test_hosts_of_another_segment_may_be_hosts_there():
    known = memory(gw0="vlan", gw1="other")
    known.read("gw0", some(MAC, ANOTHER), NONE, 0.0)
    known.read("gw1", NONE, some(MAC), 0.0)
    assert known.sides("gw0") == (some(MAC, ANOTHER), NONE)
    assert known.not_hosts("gw0") == (some(ANOTHER), NONE)


def test_word_of_one_that_left_is_nobodys_word():
    known = memory()
    known.told(table(mesh=some(MAC)))
    known.told(table(mesh=some(ANOTHER), name=THIRD))
    known.left({OTHER})
    assert known.sides("gw0") == (some(ANOTHER), NONE)


def test_containers_are_told_from_hosts_by_the_word_of_the_gateway_that_they_are_beside():
    known, relayed = memory(), Details(relayed=some(MAC, ANOTHER))
    assert known.read("gw0", NONE, some(MAC, ANOTHER), 0.0, relayed) == (NONE, some(MAC, ANOTHER))
    known.told(table(mesh=some(MAC), own=some(MAC)))
    assert known.sides("gw0") == (some(MAC), some(ANOTHER))
    assert known.read("gw0", NONE, some(MAC, ANOTHER), 1.0, relayed) == (some(MAC), some(ANOTHER))
    # Its word outlives its leaving; but one that is seen on the segment itself has moved there.
    known.left({OTHER})
    assert known.sides("gw0") == (some(MAC), some(ANOTHER))
    assert known.read("gw0", NONE, some(MAC), 2.0)[1] == some(MAC)


def test_unclear_ones_stay_where_they_were():
    known = memory()
    known.read("gw0", some(MAC), some(ANOTHER), 0.0)
    unclear = Details(unclear=some(MAC, ANOTHER, "02c000000003"))
    assert known.read("gw0", NONE, NONE, 1.0, unclear) == (some(MAC), some(ANOTHER))
