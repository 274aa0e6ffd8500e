"""Bytes that no client should send, over a real connection to the real server."""

import re
import socket
import time

import pytest
from page_server import Server

PUT = b"PUT /gateways/eth1 HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
GET = b"GET /report HTTP/1.1\r\nConnection: close\r\n"
FORM = b"POST /connect HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Type: multipart/"
ROLE = b'{"role": "active"}'

CASES = {
    "no request": b"\x00\xff\xfe garbage\r\n\r\n",
    "nothing": b"\r\n\r\n",
    "version": b"GET / HTTP/9.9\r\n\r\n",
    "long line": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
    "many headers": GET + b"".join(b"X-%d: y\r\n" % n for n in range(5000)) + b"\r\n",
    "long header": GET + b"X: " + b"y" * 200_000 + b"\r\n\r\n",
    "two hosts": GET + b"Host: 127.0.0.1\r\nHost: evil.example\r\n\r\n",
    "other host": b"GET http://127.0.0.1/report HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "chunked": PUT + b"Transfer-Encoding: chunked\r\n\r\n12\r\n" + ROLE + b"\r\n0\r\n\r\n",
    "bad chunk": PUT + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\nxx\r\n",
    "two lengths": PUT + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n12\r\n" + ROLE,
    "length below zero": PUT + b"Content-Length: -5\r\n\r\n",
    "length of gigabytes": PUT + b"Content-Length: 99999999999\r\n\r\n" + ROLE,
    "length in words": PUT + b"Content-Length: many\r\n\r\n",
    "no length": PUT + b"\r\n" + ROLE,
    "connect": b"CONNECT x:1 HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
    "star": b"OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
    "line breaks": b"GET /gateways/a%0d%0aX:y HTTP/1.1\r\nConnection: close\r\n\r\n",
    "bad form": FORM
    + b"form-data; boundary=x\r\nContent-Length: 20\r\n\r\n--x\r\nnonsense\r\n--x--",
    "no boundary": FORM + b"form-data\r\nContent-Length: 4\r\n\r\nabcd",
}


@pytest.fixture(scope="module")
def server():
    server = Server()
    yield server
    server.stop()


def send(server, raw):
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        try:
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_WR)
            found = b""
            while chunk := connection.recv(65536):
                found += chunk
        except TimeoutError:
            raise
        except OSError:
            return b""  # closed while we were still sending: an answer, too
        return found


@pytest.mark.parametrize("raw", CASES.values(), ids=CASES)
def test_nothing_breaks_the_server_or_changes_a_role(server, raw):
    answer = send(server, raw)
    assert not re.match(rb"HTTP/1.\d (5|2)", answer), answer[:300]
    assert b"Traceback" not in answer
    ports = send(server, b"GET /gateways/eth1 HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert ports.startswith(b"HTTP/1.1 200")
    assert b'"role": "standby"' in ports


def test_body_that_ends_early_is_told(server):
    answer = send(server, PUT + b"Content-Length: 50\r\n\r\n" + ROLE)
    assert answer.startswith(b"HTTP/1.1 408")


def test_listeners_that_leave_make_room(server):
    def listen():
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=10)
        connection.sendall(b"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        return connection, connection.recv(65536).split(b"\r\n")[0]

    opened = [listen() for _ in range(17)]
    assert [line for _, line in opened[:16]] == [b"HTTP/1.1 200 OK"] * 16
    assert opened[16][1].startswith(b"HTTP/1.1 429")
    for connection, _ in opened:
        connection.close()
    deadline = time.monotonic() + 20
    while True:
        connection, line = listen()
        connection.close()
        if line == b"HTTP/1.1 200 OK":
            break
        assert time.monotonic() < deadline, "listeners that have gone are still counted"
        time.sleep(0.2)
