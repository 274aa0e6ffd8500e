"""Clients of the API that hold on to their connections, on real sockets in a process of its own."""

import subprocess
import sys

SERVED = """
import socket, sys, time, warnings
warnings.simplefilter("ignore")
from weave_ryu.shell import hub
hub.patch()
from weave_ryu.shell import serving
serving.ASK_S = 1.0
listener = hub.listen(("127.0.0.1", 0))
port = listener.getsockname()[1]


def application(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


hub.spawn(
    lambda: hub.wsgi.server(
        listener, application, max_size=serving.MAX_CONNECTIONS, socket_timeout=30,
        log_output=False, debug=False, protocol=serving.Connections().serve,
    )
)


def connect(source):
    client = socket.socket()
    client.settimeout(5)
    client.bind((source, 0))
    client.connect(("127.0.0.1", port))
    return client


def ask(source):
    client = connect(source)
    client.sendall(b"GET / HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
    try:
        return client.recv(4096).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def drip(client):
    try:
        while True:
            client.sendall(b"X: y\\r\\n")
            hub.sleep(0.2)
    except OSError:
        pass


def hold(sources):
    for source, count in sources.items():
        for _ in range(count):
            client = connect(source)
            client.sendall(b"GET / HTTP/1.1\\r\\n")
            hub.spawn(drip, client)
    hub.sleep(0.1)


keep = connect("127.0.0.9")
keep.sendall(b"GET / HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
assert keep.recv(4096).startswith(b"HTTP/1.1 200")
hold({"127.0.0.2": 200})
print("others while one address holds on:", ask("127.0.0.1"))
hold({"127.0.0.3": 48, "127.0.0.4": 48, "127.0.0.5": 48})
hub.sleep(2.0)
print("after the time for the head:", ask("127.0.0.2"), ask("127.0.0.1"))
"""


def test_slow_heads_keep_nobody_else_out():
    run = subprocess.run(
        [sys.executable, "-c", SERVED], capture_output=True, text=True, check=False, timeout=60
    )
    assert run.returncode == 0, run.stderr
    assert "others while one address holds on: True" in run.stdout
    assert "after the time for the head: True True" in run.stdout
    assert "Traceback" not in run.stderr
