"""Ports that lead to other hosts are kept apart where Open vSwitch forwards by itself."""

import warnings
from types import SimpleNamespace

import pytest

with warnings.catch_warnings():
    # Ryu's and eventlet's imports warn of what nobody here can change.
    warnings.simplefilter("ignore")
    from weave_ryu.shell import ovsdbd


def port(*tag):
    return SimpleNamespace(tag=list(tag))


@pytest.mark.parametrize(
    ("own", "others", "wanted"),
    [
        ([(), ()], [()], [4094, 4093]),
        ([(4094,), ()], [], [4094, 4093]),
        ([(7,), (7,)], [], [7, 4094]),
        ([(), (12,)], [(4094,), (12,)], [4093, 4092]),
    ],
    ids=["none has one", "one has one", "both have the same", "others have it"],
)
def test_each_port_gets_a_vlan_tag_that_no_other_has(own, others, wanted):
    ports = [port(*tag) for tag in own]
    ovsdbd._keep_apart(ports, [port(*tag) for tag in others])
    assert [one.tag for one in ports] == [[tag] for tag in wanted]


def test_a_row_that_is_new_in_a_transaction_has_no_tag_yet():
    new = SimpleNamespace()
    ovsdbd._keep_apart([new], [port(4094)])
    assert new.tag == [4093]
