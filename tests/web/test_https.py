"""The API over HTTPS: who believes it, what breaks it, and that nobody can keep others waiting."""

import http.client
import json
import os
import socket
import ssl
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from playwright.sync_api import expect

from tests.certificates import make


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return make(tmp_path_factory.mktemp("tls"))


def weave_ryu(server, *words, **environment):
    address = f"127.0.0.1:{server.port}"
    return subprocess.run(
        [sys.executable, "-m", "weave_ryu", *words, "--http-addr", address],
        env={**os.environ, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def get(server, certificate):
    context = ssl.create_default_context(cafile=str(certificate))
    connection = http.client.HTTPSConnection("127.0.0.1", server.port, context=context, timeout=10)
    connection.request("GET", "/gateways")
    content = connection.getresponse().read()
    connection.close()
    return json.loads(content)


def test_commands_believe_the_certificate_that_they_are_given(serve, pair):
    server = serve(certificate=pair)
    found = weave_ryu(server, "gateway", "status", "--json", "--api-ca-file", str(pair[0]))
    assert json.loads(found.stdout)[0]["port"] == "eth1", found.stderr
    found = weave_ryu(server, "gateway", "standby", "eth1", WEAVE_API_CA_FILE=str(pair[0]))
    assert (found.returncode, found.stderr) == (0, "")


def test_what_is_wrong_is_said_in_a_sentence(serve, pair, tmp_path):
    server = serve(certificate=pair)
    stranger = make(tmp_path, "stranger")
    cases = [
        (("--api-ca-file", str(stranger[0])), 1, "is not believed (self-signed certificate)"),
        (("--api-ca-file", str(tmp_path / "none")), 2, "none': cannot be read"),
        ((), 3, "if it speaks HTTPS, give --api-ca-file"),
    ]
    for words, status, sentence in cases:
        found = weave_ryu(server, "status", *words)
        assert found.returncode == status
        assert sentence in found.stderr
        assert found.stderr.count("\n") == 1
    plain = serve()
    found = weave_ryu(plain, "status", "--api-ca-file", str(pair[0]))
    assert found.returncode == 1
    assert "speaks no HTTPS" in found.stderr


def test_certificate_must_name_the_address(serve, tmp_path):
    pair = make(tmp_path, address="127.0.0.2")
    found = weave_ryu(serve(certificate=pair), "status", "--api-ca-file", str(pair[0]))
    assert found.returncode == 1
    assert "is not believed (IP address mismatch" in found.stderr


def test_silence_and_nonsense_keep_nobody_waiting(serve, pair, capfd):
    server = serve(certificate=pair)
    silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(20)]
    for number, connection in enumerate(silent):
        if number % 2:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert get(server, pair[0])[0]["port"] == "eth1"
    # Nonsense after the handshake, below TLS.
    context = ssl.create_default_context(cafile=str(pair[0]))
    raw = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    wrapped = context.wrap_socket(raw, server_hostname="127.0.0.1")
    socket.socket.send(wrapped, b"nonsense" * 100)
    while socket.socket.recv(wrapped, 4096):
        pass
    with ThreadPoolExecutor(8) as many:
        found = list(many.map(lambda _: get(server, pair[0]), range(40)))
    assert len(found) == 40
    for connection in (*silent, wrapped):
        connection.close()
    assert "Traceback" not in capfd.readouterr().err


def test_renewed_certificate_is_used_from_the_next_connection_on(serve, pair, tmp_path):
    server = serve(certificate=pair)
    newer = make(tmp_path, "newer")
    get(server, pair[0])
    server.tell(f"renew {newer[0]} {newer[1]}")
    get(server, newer[0])
    with pytest.raises(ssl.SSLCertVerificationError):
        get(server, pair[0])


def test_page_is_live_and_changes_roles_over_https(serve, look, pair):
    server = serve(certificate=pair)
    page = look(server, ignore_https_errors=True)
    expect(page.locator("#connection")).to_have_text("live")
    page.get_by_role("button", name="activate eth1").click()
    page.get_by_role("button", name="Yes").click()
    expect(page.locator("#segments")).to_contain_text("● A eth1 forwards")
