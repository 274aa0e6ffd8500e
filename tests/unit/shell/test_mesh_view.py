"""The whole mesh as one document, its changes as a stream, and the timeline."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from api_world import OWN, W, join

from weave_ryu.errors import OpenFlowError
from weave_ryu.gateway.records import GatewayRecord, PortRecord, encode
from weave_ryu.gateway.role import State
from weave_ryu.gateway.states import Entry
from weave_ryu.names import PeerName
from weave_ryu.shell.chronicle import MAX_EVENTS, Chronicle

WEB = Path(__file__).parents[3] / "weave_ryu" / "web"


def record(state, epoch=0, sequence=1, reason="because", name=W):
    port = PortRecord("vlan", "eth7", state, epoch, "auto", 100, True, False, reason)
    return GatewayRecord(name, 9, sequence, (port,))


@pytest.fixture
def chronicle():
    return Chronicle(OWN)


def lines(chronicle):
    return [(e.peer, e.before, e.state, e.epoch, e.reason) for e in chronicle.events()]


# The timeline.


def test_other_gateways_changes_are_noted_with_their_reasons(chronicle):
    for moment, state in enumerate(["standby", "standby", "active"]):
        chronicle.observe([record(state, reason=f"why {state}")], float(moment))
    assert lines(chronicle) == [
        (W, "", "standby", 0, "why standby"),
        (W, "standby", "active", 0, "why active"),
    ]
    assert [event.at for event in chronicle.events()] == [0.0, 2.0]


def test_reason_that_comes_later_replaces_the_one_of_before(chronicle):
    # Who opens says so before its switch has answered, and its reason is that of its state before.
    chronicle.observe([record("standby", 3, reason="W forwards")], 0.0)
    chronicle.observe([record("active", 4, reason="W forwards")], 1.0)
    before = chronicle.version
    chronicle.observe([record("active", 4, reason="W is dead")], 2.0)
    assert [(e.state, e.reason, e.at) for e in chronicle.events()] == [
        ("standby", "W forwards", 0.0), ("active", "W is dead", 1.0),
    ]  # fmt: skip
    assert chronicle.version != before


def test_new_epoch_is_a_change(chronicle):
    chronicle.observe([record("active", 3)], 0.0)
    chronicle.observe([record("active", 4)], 1.0)
    assert [event.epoch for event in chronicle.events()] == [3, 4]


def test_gateway_that_left_is_noted_once_and_may_come_back(chronicle):
    chronicle.observe([record("active", 3)], 0.0)
    chronicle.observe([], 1.0)
    chronicle.observe([], 2.0)
    chronicle.observe([record("standby", 3)], 3.0)
    assert [(e.before, e.state) for e in chronicle.events()] == [
        ("", "active"), ("active", "gone"), ("", "standby"),
    ]  # fmt: skip


def test_own_port_is_noted_as_it_happens_and_not_from_its_record(chronicle):
    chronicle.entered("eth1", "vlan", Entry(1.0, State.ARMING, 0, "ready"), 5.0)
    chronicle.entered("eth1", "vlan", Entry(2.0, State.ACTIVE, 7, "free"), 6.0)
    chronicle.observe([record("standby", name=OWN)], 7.0)
    assert lines(chronicle) == [
        (OWN, "", "arming", 0, "ready"), (OWN, "arming", "active", 7, "free"),
    ]  # fmt: skip


def test_timeline_is_bounded_and_goes_on_counting(chronicle):
    for moment in range(MAX_EVENTS + 10):
        chronicle.observe([record("active", moment)], float(moment))
    assert len(chronicle.events()) == MAX_EVENTS
    assert chronicle.events()[-1].number == chronicle.count == MAX_EVENTS + 10


# The document.


def hear(daemon, *records):
    daemon.gateways.core.received(W, encode(records), True, 0.0)


def test_document_has_all_gateways_of_each_segment(call, daemon):
    daemon.gateways.core.start(0.0)
    hear(daemon, record("active", 7))
    found = json.loads(call("/mesh").body)
    assert (found["own"], found["nick_name"], found["needs_token"]) == (str(OWN), "A", False)
    (segment,) = found["segments"]
    assert (segment["name"], segment["epoch"]) == ("vlan", 7)
    own, other = segment["gateways"]
    assert (own["own"], own["state"], own["bfd"]) == (True, "blocked", None)
    assert own["obstacles"]
    assert (other["own"], other["state"], other["reason"]) == (False, "active", "because")
    assert other["bfd"] == "none"


def test_gateway_that_has_left_is_marked_and_keeps_its_label(call, daemon):
    hear(daemon, record("active", 7))
    peer = next(p for p in daemon.router.peers)
    gone = SimpleNamespace(
        name=W, nick_name="west", version=1, connections={}, owner=None, sorted_connections=list
    )
    daemon.router = SimpleNamespace(peers=[peer, gone], name=OWN, nick_name="A")
    before = json.loads(call("/mesh").body)
    daemon.router.peers = [peer]
    after = json.loads(call("/mesh").body)
    states = [
        [(g["nick_name"], g["away"]) for g in found["segments"][0]["gateways"] if not g["own"]]
        for found in (before, after)
    ]
    assert states == [[("west", False)], [("west", True)]]
    assert (before["former"], after["former"]) == ([], [{"name": str(W), "nick_name": "west"}])


def test_reasons_have_nick_names_where_they_are_unique(call, daemon):
    join(daemon, W, "west")
    daemon.gateways.core.start(0.0)
    hear(daemon, record("standby", reason=f"{W} hands over, not {OWN}"))
    (_, other) = json.loads(call("/mesh").body)["segments"][0]["gateways"]
    assert other["reason"] == "west hands over, not A"
    daemon.router = SimpleNamespace(
        peers=[SimpleNamespace(name=n, nick_name="A") for n in (OWN, W)], name=OWN, nick_name="A"
    )
    daemon.standings.note()
    assert daemon.standings.readable(f"{W} hands over") == f"{W} hands over"
    plain = PeerName.parse("7a:00:00:00:00:77")  # no gateway
    daemon.router.peers.append(SimpleNamespace(name=plain, nick_name="plain"))
    assert daemon.standings.readable(f"port c1 of {plain}") == "port c1 of plain"


def test_gateways_are_shown_while_their_switch_dies(call, daemon):
    def learnt():
        raise OpenFlowError("statistics", "the connection was lost")

    daemon.macs.learnt = learnt
    (gateway,) = json.loads(call("/gateways").body)
    assert (gateway["port"], gateway["macs_local"]) == ("eth1", 0)


def test_gateways_that_send_no_leases_here_are_not_called_silent(call, daemon):
    port = PortRecord("elsewhere", "eth7", "active", 7, "auto", 100, True)
    hear(daemon, GatewayRecord(W, 9, 1, (port,)))
    (other,) = json.loads(call("/mesh").body)["segments"][0]["gateways"]
    assert (other["state"], other["bfd"], other["verdict"]) == ("active", None, None)


@pytest.fixture
def view(shell, daemon):
    return shell.Api(daemon).mesh_view


def data(chunk):
    (line,) = [line for line in chunk.decode().splitlines() if line.startswith("data: ")]
    return json.loads(line[6:])


def test_stream_begins_with_the_state_and_goes_on_with_changes(view, daemon):
    stream = view.listen()
    assert data(next(stream))["segments"] == []
    hear(daemon, record("standby"))
    view._look()
    assert data(next(stream))["segments"][0]["gateways"][0]["state"] == "standby"
    stream.close()


def test_nothing_new_is_told_only_as_a_sign_of_life(view, monkeypatch):
    from weave_ryu.shell import meshview

    stream = view.listen()
    next(stream)
    monkeypatch.setattr(meshview, "KEEP_ALIVE_S", 0.0)
    view._look()
    assert next(stream).startswith(b":")
    stream.close()


def test_listeners_are_limited_and_leave(view):
    from weave_ryu.shell.meshview import MAX_LISTENERS
    from weave_ryu.shell.problems import ApiError

    streams = [view.listen() for _ in range(MAX_LISTENERS)]
    for stream in streams:
        next(stream)
    with pytest.raises(ApiError) as caught:
        view.listen()
    assert caught.value.status == 429
    for stream in streams:
        stream.close()
    view.listen()


def test_without_listeners_no_document_is_made(view, daemon, monkeypatch):
    monkeypatch.setattr(view, "document", lambda: pytest.fail("made for nobody"))
    hear(daemon, record("standby"))
    view._look()
    assert view.chronicle.count == 1


def test_events_are_a_stream(call):
    response = call("/events")
    assert response.content_type == "text/event-stream"
    assert next(iter(response.app_iter)).startswith(b"retry:")


# The page's files.


def test_page_is_served_with_a_strict_policy(call):
    for path, kind in (("/", "text/html"), ("/web/app.js", "text/javascript")):
        response = call(path)
        assert (response.status_int, response.content_type) == (200, kind)
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize(
    "path", ["/web/", "/web/x", "/web/../api.py", "/web/%2e%2e/api.py", "/web/a/b", "/web/%00"]
)
def test_other_files_are_not_served(call, path):
    response = call(path)
    assert response.status_int == 404
    assert json.loads(response.body)["error"]["code"] == "not-found"


def test_page_needs_nothing_from_elsewhere():
    for path in WEB.iterdir():
        text = path.read_text().replace('"http://www.w3.org/2000/svg"', "")
        assert not re.search(r"(https?:)?//[a-z]", text.replace("// ", "")), path
        assert "innerHTML" not in text
        assert "style=" not in text


def test_every_file_that_the_page_names_is_there(call):
    for path in WEB.iterdir():
        for name in re.findall(r'"(/web/[^"]+)"', path.read_text()):
            assert call(name).status_int == 200, name


def test_package_holds_the_page():
    from importlib.resources import files

    assert (files("weave_ryu") / "web" / "index.html").is_file()
    assert "web/*" in (WEB.parents[1] / "setup.cfg").read_text()


@pytest.mark.parametrize("path", ["/mesh", "/metrics", "/gateways"])
def test_labels_are_noted_once_for_all_segments_of_an_answer(call, daemon, monkeypatch, path):
    segments = ("dmz", "office", "vlan")
    ports = tuple(PortRecord(segment, "eth1", "standby", 0) for segment in segments)
    hear(daemon, GatewayRecord(W, 1, 1, ports))
    noted, real = [], type(daemon.standings).note
    monkeypatch.setattr(type(daemon.standings), "note", lambda self: (noted.append(1), real(self)))
    assert call(path).status_code == 200
    assert noted == [1]
