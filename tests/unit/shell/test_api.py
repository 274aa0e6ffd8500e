"""The HTTP API on a daemon without switch and sockets: each route, and every way to be wrong."""

import json
import socket
import sys

import pytest
from api_world import MAC
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from weave_ryu.errors import ConfigError, NetworkError, OpenFlowError, OvsdbError, UnresolvedError
from weave_ryu.gateway.role import Role
from weave_ryu.gateway.surroundings import NotReadyError
from weave_ryu.mesh.config import Address
from weave_ryu.pipeline.cookies import Kind

ROUTES = {
    "/status": "GET",
    "/status/connections": "GET",
    "/status/peers": "GET",
    "/status/targets": "GET",
    "/report": "GET",
    "/connect": "POST",
    "/forget": "POST",
    "/gateways": "GET",
    "/gateways/eth1": "GET, PUT",
    "/macs": "GET",
    "/routes": "GET",
    "/flows": "GET",
    "/metrics": "GET",
    "/trace": "GET",
    "/openapi.json": "GET",
    "/mesh": "GET",
    "/events": "GET",
    "/": "GET",
    "/web/app.js": "GET",
}
ELSEWHERE = {"/trace", "/events", "/", "/web/app.js"}
"""What is no document; see `test_trace_hops.py` and `test_mesh_view.py`."""

SHOWN = [path for path, methods in ROUTES.items() if "GET" in methods and path not in ELSEWHERE]


def is_error(response, status, code, field=None):
    assert response.status_int == status, response.text
    assert response.content_type == "application/json"
    document = json.loads(response.body)
    assert set(document) == {"error"}
    assert set(document["error"]) == {"code", "message", "field"}
    assert document["error"]["code"] == code
    assert document["error"]["message"]
    if field is not None:
        assert document["error"]["field"] == field
    return document["error"]["message"]


def test_importing_the_api_patches_nothing(shell):
    assert sys.modules["eventlet.patcher"].already_patched == {}


@pytest.mark.parametrize("path", SHOWN)
def test_route_answers(call, path):
    response = call(path)
    assert response.status_int == 200
    is_text = path.startswith("/status") or path == "/metrics"
    assert response.content_type == ("text/plain" if is_text else "application/json")
    if not is_text:
        json.loads(response.body)


@pytest.mark.parametrize("path", [p for p in ROUTES if p.startswith("/status")])
def test_status_is_json_for_those_who_ask_for_it(call, path):
    response = call(path, headers={"Accept": "application/json"})
    assert response.content_type == "application/json"
    json.loads(response.body)


def test_status_says_who_this_peer_is(call):
    text = call("/status").text
    assert "7a:00:00:00:00:0a(A)" in text
    assert "Encryption: enabled" in text
    assert "in sync" in text


def test_report_has_weaves_shape_and_gateways(call):
    report = json.loads(call("/report").body)
    assert {"Ready", "Version", "Router", "Gateways"} <= set(report)
    router = report["Router"]
    assert (router["Name"], router["NickName"]) == ("7a:00:00:00:00:0a", "A")
    assert router["UnicastRoutes"]
    assert [port["port"] for port in report["Gateways"]] == ["eth1"]
    assert report["Ready"] is True


@pytest.mark.parametrize("path", SHOWN)
def test_password_is_shown_nowhere(call, path):
    assert "s3cret" not in call(path).text
    assert "s3cret" not in call(path, headers={"Accept": "application/json"}).text


def test_gateway_object_has_what_others_rely_on(call):
    (port,) = json.loads(call("/gateways").body)
    promised = "port segment role state since reason epoch peer_states macs_local macs_remote"
    assert set(promised.split()) <= set(port)
    assert (port["port"], port["segment"], port["role"]) == ("eth1", "vlan", "standby")
    assert (port["state"], port["macs_local"], port["macs_remote"]) == ("blocked", 1, 1)
    assert json.loads(call("/gateways/eth1").body)["port"] == "eth1"


def test_macs_say_where_they_are(call):
    behind_peer, behind_port = json.loads(call("/macs").body)
    assert (behind_peer["Mac"], behind_peer["NickName"], behind_peer["Port"]) == (MAC, "W", None)
    assert behind_port["Port"] == "eth1"


def test_flows_say_why(call):
    (flow,) = json.loads(call("/flows").body)
    assert (flow["table"], flow["kind"], flow["packets"]) == ("classify", "frame", 5)
    assert "link-local" in flow["why"]


def test_without_switch_there_is_still_an_answer(call, daemon):
    daemon.switch.is_connected = False
    assert json.loads(call("/macs").body) == []
    assert json.loads(call("/flows").body) == []
    assert json.loads(call("/report").body)["Ready"] is False
    assert "not connected" in call("/status").text


# Changes.


def put(call, document, port="eth1", **options):
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return call(f"/gateways/{port}", "PUT", body=body, **options)


@pytest.mark.parametrize("role", Role)
def test_role_is_set_and_the_new_state_returned(call, daemon, role):
    response = put(call, {"role": str(role)})
    assert response.status_int == 200
    assert json.loads(response.body)["role"] == str(role)
    assert daemon.gateways.calls == [("set_role", "eth1", role)]


def test_active_by_force(call, daemon):
    assert put(call, {"role": "active", "force": True}).status_int == 200
    assert daemon.gateways.calls == [("set_role", "eth1", Role.ACTIVE, "by force")]


def test_port_is_drained(call, daemon):
    assert put(call, {"drain": True}).status_int == 200
    assert daemon.gateways.calls == [("drain", "eth1")]


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        (b"", 400, "bad-json", "body"),
        (b"{", 400, "bad-json", "body"),
        (b"\xff", 400, "bad-json", "body"),
        (b"[" * 20_000, 400, "bad-json", "body"),
        (b"1" * 5000, 400, "bad-json", "body"),
        ([], 422, "bad-value", "body"),
        ("active", 422, "bad-value", "body"),
        (None, 422, "bad-value", "body"),
        ({}, 422, "bad-value", "role"),
        ({"role": "master"}, 422, "bad-value", "role"),
        ({"role": "ACTIVE"}, 422, "bad-value", "role"),
        ({"role": None}, 422, "bad-value", "role"),
        ({"role": ["active"]}, 422, "bad-value", "role"),
        ({"role": {"active": 1}}, 422, "bad-value", "role"),
        ({"role": "\ud800"}, 422, "bad-value", "role"),
        ({"role": "active", "epoch": 3}, 422, "unknown-field", "epoch"),
        ({"role": "active", "force": 1}, 422, "bad-value", "force"),
        ({"role": "standby", "force": True}, 422, "bad-value", "force"),
        ({"drain": True, "force": True}, 422, "bad-value", "drain"),
        ({"drain": False}, 422, "bad-value", "drain"),
        ({"drain": True, "role": "active"}, 422, "bad-value", "drain"),
    ],
    ids=lambda v: ascii(v)[:24],
)
def test_wrong_body_is_refused_and_changes_nothing(call, daemon, body, status, code, field):
    is_error(put(call, body), status, code, field)
    assert daemon.gateways.calls == []


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_unknown_port_is_not_found_and_the_known_ones_are_named(call, method):
    message = is_error(call("/gateways/eth9", method), 404, "no-such-gateway", "port")
    assert "'eth9'" in message
    assert "eth1" in message


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OpenFlowError("flow change", "no answer"), 503),
        (OvsdbError("remember", "no answer"), 503),
        (NotReadyError("the link is down"), 503),
        (ConfigError("role", "auto", "cannot be"), 422),
        (NetworkError("no such link"), 400),
    ],
    ids=lambda v: type(v).__name__,
)
def test_failure_of_a_change_is_told(call, daemon, error, status):
    daemon.gateways.error = error
    response = put(call, {"role": "active"})
    assert response.status_int == status
    assert str(error) == json.loads(response.body)["error"]["message"]


@pytest.mark.parametrize("peer", ["192.0.2.7", "192.0.2.7:6790"])
def test_connect_and_forget_change_the_targets(call, peer):
    assert call("/connect", "POST", POST={"peer": peer}).status_int == 200
    assert call("/status/targets").text.startswith("192.0.2.7")
    assert call("/forget", "POST", POST={"peer": peer}).status_int == 200
    assert call("/status/targets").text == ""


def test_name_is_forgotten_though_it_resolves_no_more(call, daemon, monkeypatch):
    from weave_ryu.shell import meshd

    known = {"gw2.invalid": [Address("192.0.2.7", None)]}

    def resolve(text, key="--peer"):
        if text not in known:
            raise UnresolvedError(key, text, "no such host")
        return known[text]

    monkeypatch.setattr(meshd, "resolve", resolve)
    assert call("/connect", "POST", POST={"peer": "gw2.invalid"}).status_int == 200
    assert call("/status/targets").text == "192.0.2.7:6783\n"
    known.clear()
    daemon.names.look("gw2.invalid")
    shown = call("/status/connections").text
    assert "gw2.invalid" in shown
    assert "no such host now" in shown
    assert call("/connect", "POST", POST={"peer": "gw3.invalid"}).status_int == 422
    assert call("/forget", "POST", POST={"peer": "gw2.invalid"}).status_int == 200
    assert call("/status/targets").text == ""


def test_connect_takes_several_peers_and_can_replace_all(call):
    call("/connect", "POST", POST=[("peer", "192.0.2.7"), ("peer", "192.0.2.8")])
    assert len(call("/status/targets").text.split()) == 2
    call("/connect", "POST", POST=[("peer", "192.0.2.9"), ("replace", "true")])
    assert len(call("/status/targets").text.split()) == 1


@pytest.mark.parametrize("path", ["/connect", "/forget"])
@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 422, "missing"),
        (b"host=192.0.2.1", 422, "missing"),
        (b"peer=192.0.2.1:0", 422, "bad-value"),
        (b"peer=192.0.2.1:x", 422, "bad-value"),
        (b"peer=192.0.2.1:" + b"9" * 5000, 422, "bad-value"),
        (b"peer=a%00b", 422, "bad-value"),
        (b"peer=" + b"a" * 300, 422, "bad-value"),
        (b"peer=%ff", 422, "bad-value"),
    ],
    ids=lambda v: ascii(v)[:24],
)
def test_wrong_peer_is_refused(call, daemon, path, body, status, code):
    form = "application/x-www-form-urlencoded"
    response = call(path, "POST", body=body, content_type=form)
    is_error(response, status, code, "peer")
    assert daemon.router.targets() == []


def test_form_in_a_charset_that_nobody_knows_is_refused(call):
    form = {"Content-Type": "application/x-www-form-urlencoded; charset=nonsense"}
    is_error(call("/connect", "POST", body=b"peer=x", headers=form), 400, "bad-form", "peer")


def test_peer_that_is_no_form_is_refused(call):
    response = call("/connect", "POST", body=b'{"peer": "x"}', content_type="application/json")
    is_error(response, 422, "missing", "peer")


# Ways to be wrong that are the same everywhere.


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "BREW"])
def test_other_methods_are_refused_and_the_right_ones_named(call, path, method):
    allowed = ROUTES[path].split(", ")
    if method in allowed:
        return
    response = call(path, method)
    message = is_error(response, 405, "bad-method")
    assert set(response.allow) == set(allowed)
    assert all(name in message for name in allowed)


@pytest.mark.parametrize(
    "path", ["/", "/nothing", "/gateways/", "/gateways/eth1/x", "/status/", "//status", "/Status"]
)
def test_path_that_leads_nowhere_is_not_found(call, path):
    response = call(path)
    if path == "/" and response.status_int == 200:
        return  # the web page
    assert response.status_int == 404
    assert set(json.loads(response.body)["error"]) == {"code", "message", "field"}


def test_path_that_is_no_text_is_refused(call):
    is_error(call("/gateways/%ff"), 400, "bad-path")


def test_body_that_is_too_long_is_refused(call, daemon, shell):
    body = b" " * (shell.MAX_BODY_BYTES + 1)
    is_error(put(call, body), 413, "too-long", "body")
    assert daemon.gateways.calls == []


def test_body_without_length_is_refused(call, daemon):
    headers = {"Transfer-Encoding": "chunked"}
    is_error(put(call, {"role": "active"}, headers=headers), 411, "no-length", "body")
    assert daemon.gateways.calls == []


@pytest.mark.parametrize("error", [TimeoutError("slow"), OSError("gone")])
def test_body_that_does_not_come_is_told(shell, daemon, error):
    class Broken:
        def read(self, *_size):
            raise error

    request = shell.Request.blank("/gateways/eth1", method="PUT")
    request.environ |= {"wsgi.input": Broken(), "CONTENT_LENGTH": "50"}
    is_error(request.get_response(shell.Api(daemon)), 408, "body-cut", "body")
    assert daemon.gateways.calls == []


garbage = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture
def no_lookups(monkeypatch):
    """No name is looked up anywhere; what is no address is unknown."""

    def numeric(host, *_arguments):
        return [(socket.AF_INET, 0, 0, "", (socket.inet_ntoa(socket.inet_aton(host)), 0))]

    monkeypatch.setattr(socket, "getaddrinfo", numeric)


def is_well_behaved(response):
    assert response.status_int < 500 or response.status_int == 503
    if response.status_int >= 400:
        assert set(json.loads(response.body)["error"]) == {"code", "message", "field"}


@garbage
@given(path=st.text(max_size=40), method=st.sampled_from(["GET", "PUT", "POST", "X"]))
def test_no_path_breaks_it(call, path, method):
    from urllib.parse import quote

    is_well_behaved(call("/" + quote(path, errors="replace"), method))
    is_well_behaved(call("/gateways/" + quote(path, errors="replace"), method, body=b"{}"))


@garbage
@given(raw=st.binary(max_size=20))
def test_no_bytes_in_the_path_break_it(call, raw):
    is_well_behaved(call("/gateways/" + "".join(f"%{byte:02x}" for byte in raw)))


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


@garbage
@given(body=st.binary(max_size=80) | anything.map(lambda value: json.dumps(value).encode()))
def test_no_body_of_a_role_breaks_it(call, body):
    is_well_behaved(put(call, body))


@garbage
@given(
    body=st.binary(max_size=80) | st.binary(max_size=20).map(lambda raw: b"peer=" + raw),
    kind=st.sampled_from(
        [
            "application/x-www-form-urlencoded",
            "application/x-www-form-urlencoded; charset=nonsense",
            "multipart/form-data",
            "multipart/form-data; boundary=x",
            "application/json",
            "text/plain",
            "/",
        ]
    ),
    path=st.sampled_from(["/connect", "/forget"]),
)
def test_no_form_breaks_it(call, no_lookups, body, kind, path):
    is_well_behaved(call(path, "POST", body=body, headers={"Content-Type": kind}))


@pytest.mark.parametrize("length", ["x", "-1", "1.5", "99999999999999999999"])
def test_no_stated_length_breaks_it(call, length):
    is_well_behaved(call("/gateways/eth1", "PUT", environ={"CONTENT_LENGTH": length}))


def test_long_documents_have_no_line_breaks(call, daemon, shell):
    """Python makes those many times as fast, and while it makes one no lease is sent."""
    assert call("/macs").text.count("\n") > 5
    learnt = [
        shell.LearntMac(f"02:00:00:00:{n >> 8:02x}:{n & 255:02x}", Kind.LEARNT_PORT, 3, 4)
        for n in range(2000)
    ]
    daemon.macs.learnt = lambda: learnt
    response = call("/macs")
    assert response.text.count("\n") == 1
    assert len(json.loads(response.body)) == 2000
