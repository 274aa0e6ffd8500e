"""Which ports are taken for left over, and what is said of them."""

import pytest
import structlog

from weave_ryu.errors import OvsdbError
from weave_ryu.ovsdb.bridge import AttachedPort


class Database:
    """The part of `Ovsdb` that is used."""

    def __init__(self, *names):
        self.ports = {name: AttachedPort(f"row-{name}", f"/run/netns/{name}") for name in names}
        self.asked = []
        self.is_broken = False

    def attached_ports(self, bridge):
        assert bridge == "weave"
        return dict(self.ports)

    def remove_attached(self, bridge, rows):
        self.asked.append(rows)
        if self.is_broken:
            raise OvsdbError("ports of bridge weave", "no answer within 10 s")
        return sorted(name for name in rows if self.ports.pop(name, None))


@pytest.fixture
def look(shell, monkeypatch):
    from weave_ryu.shell import leftovers

    links = ["lo", "wv1"]
    monkeypatch.setattr(leftovers.socket, "if_nameindex", lambda: list(enumerate(links)))

    def run(database, times=1):
        collector = leftovers.Collector(database, "weave")
        with structlog.testing.capture_logs() as logged:
            for _ in range(times):
                collector.look()
        return logged

    return run


def test_port_with_a_link_stays(look):
    database = Database("wv1")
    assert look(database) == []
    assert database.asked == []


def test_port_without_a_link_is_removed_by_its_record_and_told_of_once(look):
    database = Database("wv1", "wv2")
    (line,) = look(database, times=3)
    assert database.asked == [{"wv2": "row-wv2"}]
    assert line == {
        "event": "left_port_removed", "log_level": "info", "port": "wv2",
        "namespace": "/run/netns/wv2", "reason": "its namespace has gone",
    }  # fmt: skip


def test_refusal_of_the_database_is_told_of_once_and_tried_again(look):
    database = Database("wv2")
    database.is_broken = True
    (line,) = look(database, times=3)
    assert line["event"] == "left_ports_not_removed"
    assert len(database.asked) == 3
