"""The agenda: what is due first, whatever was changed."""

from __future__ import annotations

import random

from weave_ryu.mesh.agenda import Agenda


def test_same_as_a_plain_table():
    rng = random.Random(3)
    agenda, table = Agenda(), {}
    now = 0.0
    for _ in range(2000):
        key = rng.randrange(20)
        due = rng.choice([None, now + rng.random() * 5, now])
        agenda.put(key, due)
        if due is None:
            table.pop(key, None)
        else:
            table[key] = due
        assert agenda.first() == min(table.values(), default=None)
        if rng.random() < 0.2:
            now += rng.random()
            due_keys = sorted(key for key, at in table.items() if at <= now)
            assert agenda.take_due(now) == due_keys
            for key in due_keys:
                del table[key]


def test_a_time_that_is_put_again_costs_no_room():
    agenda = Agenda()
    for _ in range(1000):
        agenda.put(1, 5.0)
    assert agenda.take_due(5.0) == [1]
    assert agenda.first() is None
