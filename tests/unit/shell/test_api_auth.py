"""Who may ask: the token, other origins, other names, and too often."""

import json
from dataclasses import replace

import pytest
import structlog

TOKEN = "c2VjcmV0LXNlY3JldC1zZWNyZXQ="
GIVEN = {"Authorization": f"Bearer {TOKEN}"}
ROLE = b'{"role": "standby"}'


@pytest.fixture
def listen(daemon, shell):
    """A client of an API at this address with this token."""

    def make(address, token=TOKEN):
        daemon.config = replace(daemon.config, http_addr=address, api_token=token)
        application = shell.Api(daemon)

        def send(path, method="GET", **options):
            base_url = f"http://{address}"
            request = shell.Request.blank(path, method=method, base_url=base_url, **options)
            return request.get_response(application)

        return send

    return make


def code(response):
    return response.status_int, json.loads(response.body)["error"]["code"]


def put(send, headers=None):
    return send("/gateways/eth1", "PUT", body=ROLE, headers=headers or {})


def test_on_loopback_without_token_everybody_may_do_all(listen):
    send = listen("127.0.0.1:6784", None)
    assert send("/report").status_int == 200
    assert put(send).status_int == 200


@pytest.mark.parametrize("address", ["127.0.0.1:6784", "[::1]:6784"])
def test_on_loopback_a_token_is_for_changes(listen, daemon, address):
    send = listen(address)
    assert send("/report").status_int == 200
    assert code(put(send)) == (401, "no-token")
    assert code(send("/connect", "POST", POST={"peer": "192.0.2.1"})) == (401, "no-token")
    assert daemon.gateways.calls == []
    assert put(send, GIVEN).status_int == 200


def test_elsewhere_everything_needs_it(listen):
    send = listen("192.0.2.9:6784")
    for path in ("/report", "/metrics", "/gateways", "/openapi.json", "/nothing", "/trace"):
        assert code(send(path)) == (401, "no-token")
        assert send(path, headers=GIVEN).status_int != 401
    assert send("/report").headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "value",
    [
        "", "Bearer", "Bearer ", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}", "Bearer é", f"Bearer {TOKEN} {TOKEN}", "Bearer None",
    ],
)  # fmt: skip
def test_wrong_token_is_refused(listen, daemon, value):
    assert put(listen("127.0.0.1:6784"), {"Authorization": value}).status_int == 401
    assert daemon.gateways.calls == []


def test_scheme_may_be_in_any_case(listen):
    assert put(listen("127.0.0.1:6784"), {"Authorization": f"bEARER {TOKEN}"}).status_int == 200


def test_guessing_is_slowed_down(listen, daemon):
    send = listen("127.0.0.1:6784")
    answers = [code(put(send, {"Authorization": f"Bearer guess-{n}"})) for n in range(40)]
    assert answers[0] == (401, "wrong-token")
    assert answers[-1] == (429, "too-often")
    assert put(send, GIVEN).status_int == 200  # whoever has it is not kept out
    other = {**{"Authorization": "Bearer wrong"}}
    assert code(put(send, other)) == (429, "too-often")
    elsewhere = send("/gateways/eth1", "PUT", body=ROLE, headers=other, remote_addr="192.0.2.7")
    assert code(elsewhere) == (401, "wrong-token")
    assert send("/report").status_int == 200


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1:6784",
        "localhost",
        "LOCALHOST:99",
        "[::1]",
        "[::1]:6784",
        "192.0.2.1:1",
    ],
)
def test_addresses_and_localhost_are_names_of_the_api(call, host):
    assert call("/report", headers={"Host": host}).status_int == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "evil.example:6784", "127.0.0.1.evil.example", "localhost.evil.example",
        "127.0.0.1@evil.example", "x", "[::1", "::1]", " ", "é", "a" * 300, "[evil.example]:80",
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_other_names_are_refused(call, daemon, host, method):
    response = call("/gateways/eth1", method, body=ROLE, headers={"Host": host})
    assert code(response) == (403, "bad-host")
    assert len(response.text) < 500
    assert daemon.gateways.calls == []


def test_client_without_host_header_is_no_browser(shell, daemon):
    request = shell.Request.blank("/report")
    del request.environ["HTTP_HOST"]
    assert request.get_response(shell.Api(daemon)).status_int == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://127.0.0.1:80"},
        {"Origin": "https://127.0.0.1:6784"},
        {"Origin": "http://127.0.0.1:6784.evil.example"},
        {"Origin": "http://127.0.0.1:6784, http://127.0.0.1:6784"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_pages_of_other_origins_change_nothing(listen, daemon, headers):
    send = listen("127.0.0.1:6784")
    assert code(put(send, headers | GIVEN)) == (403, "cross-site")
    response = send("/connect", "POST", POST={"peer": "192.0.2.1"}, headers=headers | GIVEN)
    assert code(response) == (403, "cross-site")
    assert daemon.gateways.calls == []
    assert daemon.router.targets() == []


def test_own_page_changes_things(listen):
    own = {"Origin": "http://127.0.0.1:6784", "Sec-Fetch-Site": "same-origin"}
    assert put(listen("127.0.0.1:6784"), own | GIVEN).status_int == 200


def test_no_other_origin_may_read(call):
    response = call("/report", headers={"Origin": "http://evil.example"})
    assert "Access-Control-Allow-Origin" not in response.headers


def test_changes_are_limited_and_looking_is_not(call):
    answers = [put(call).status_int for _ in range(60)]
    assert answers[:50] == [200] * 50
    assert answers[-1] == 429
    assert put(call).headers["Retry-After"] == "1"
    assert call("/report").status_int == 200


def test_each_change_leaves_a_line(call):
    with structlog.testing.capture_logs() as lines:
        put(call)
        put(call, {"Origin": "http://evil.example"})
        call("/connect", "POST", POST={"peer": "192.0.2.1"})
        call("/gateways/eth9", "PUT", body=b"{}")
        call("/report")
    written = [line for line in lines if line["event"] == "api_write"]
    assert [(line["method"], line["path"], line["status"]) for line in written] == [
        ("PUT", "/gateways/eth1", 200),
        ("PUT", "/gateways/eth1", 403),
        ("POST", "/connect", 200),
        ("PUT", "/gateways/eth9", 404),
    ]
    assert written[0]["role"] == "standby"
    assert written[2]["peers"] == ["192.0.2.1"]


def test_token_is_in_no_answer_and_no_log(listen):
    send = listen("127.0.0.1:6784")
    with structlog.testing.capture_logs() as lines:
        answers = [put(send, {"Authorization": f"Bearer {TOKEN}x"}).text, put(send, GIVEN).text]
        answers += [send(path).text for path in ("/report", "/metrics", "/status")]
    assert TOKEN not in str(answers) + str(lines)


def test_answers_are_not_kept_or_guessed_at(call):
    headers = call("/report").headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
