"""Messages to nftables: their shape, and answers of any kind. What they do is in tests/netns."""

import errno
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weave_ryu import nft
from weave_ryu.names import HELLO_GROUP, PROBE_GROUP
from weave_ryu.pipeline.reserved import RESERVED

LAYOUT = nft.Layout(nft.table_of("weave", "eth1.7"), "eth1.7", 500, b"r" * 14, b"c" * 14)


def messages(data):
    """(type, flags, content) of each message; the whole must be read."""
    found, at = [], 0
    while at < len(data):
        length, kind, flags, _, _ = struct.unpack_from("=IHHII", data, at)
        found.append((kind, flags, data[at + 16 : at + length]))
        at += (length + 3) & ~3
    assert at == len(data)
    return found


def error(code):
    return struct.pack("=IHHIIi", 36, 2, 0, 0, 0, -code) + bytes(16)


@pytest.mark.parametrize(
    "batch", [nft.set_up(LAYOUT), nft.trial(), nft.removal("weave-ryu/weave/eth1")]
)
def test_a_change_is_one_transaction_whose_end_is_answered(batch):
    first, *middle, last = messages(batch)
    assert (first[0], last[0]) == (0x10, 0x11)
    assert [bool(flags & 0x4) for _, flags, _ in middle] == [False] * (len(middle) - 1) + [True]
    assert {kind >> 8 for kind, _, _ in middle} == {10}


def test_what_is_made_replaces_what_was_there_in_the_same_transaction():
    kinds = [kind & 0xFF for kind, _, _ in messages(nft.set_up(LAYOUT))[1:-1]]
    assert kinds[:3] == [0, 2, 0]
    assert kinds.count(6) == sum(nft.RULE_COUNT.values())


def test_a_trial_leaves_nothing():
    assert messages(nft.trial())[-2][0] & 0xFF == 2


def test_frame_goes_from_nobody_to_itself():
    made = nft.frame(LAYOUT.renewal)
    assert len(made) == 60
    assert made[:6] == made[6:12]
    assert made[12:28] == b"\x88\xb5" + LAYOUT.renewal


def test_what_passes_a_closed_port_is_forwarded_by_no_flow():
    reserved = {(one.address, one.mask) for one in RESERVED}
    assert set(nft.NEVER_FORWARDED) - reserved == {(HELLO_GROUP, "ff:ff:ff:ff:ff:fe")}
    hello, probe = (int(group.replace(":", ""), 16) for group in (HELLO_GROUP, PROBE_GROUP))
    assert {hello, probe} == {hello & ~1, hello | 1}, "one rule for both"


def test_errors_are_found_behind_successes():
    assert nft.error_in(b"") == 0
    assert nft.error_in(error(0)) == 0
    assert nft.error_in(error(0) + error(errno.EOPNOTSUPP) + error(0)) == errno.EOPNOTSUPP


def chain(policy, rules, hook=True):
    body = struct.pack(">BBH", 5, 0, 0)
    if hook:
        body += struct.pack("=HH", 4, 4 | 0x8000)
    body += struct.pack("=HH", 8, 5) + struct.pack(">I", policy)
    body += struct.pack("=HH", 8, 6) + struct.pack(">I", rules)
    return struct.pack("=IHHII", 16 + len(body), 10 << 8 | 3, 0, 0, 0) + body


def test_only_a_chain_as_it_was_made_is_whole():
    count = nft.RULE_COUNT[nft.CHAIN_OUT]
    assert nft.is_whole(chain(0, count), nft.CHAIN_OUT)
    assert not nft.is_whole(chain(1, count), nft.CHAIN_OUT)
    assert not nft.is_whole(chain(0, count - 1), nft.CHAIN_OUT)
    assert not nft.is_whole(chain(0, count + 1), nft.CHAIN_OUT)
    assert not nft.is_whole(chain(0, count, hook=False), nft.CHAIN_OUT)
    assert not nft.is_whole(error(errno.ENOENT), nft.CHAIN_OUT)


KINDS = st.sampled_from([2, 3, 10 << 8, 10 << 8 | 3, 10 << 8 | 15])


@given(KINDS, st.binary(max_size=60), st.binary(max_size=60))
def test_no_answer_is_too_strange(kind, body, rest):
    answer = struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body + rest
    nft.error_in(answer)
    nft.generation_in(answer)
    nft.is_whole(answer, nft.CHAIN_IN)
    nft.tables_in(answer)
    nft.is_part(answer)
