"""A stand-in for the daemon's API, and the commands run against it."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from weave_ryu.cli.main import main


class Answers(dict):
    """Path → document, bytes, or (status, document); `asked` has what was asked for."""

    def __init__(self):
        super().__init__()
        self.asked = []


@pytest.fixture
def answers():
    return Answers()


@pytest.fixture
def daemon(answers):
    """The address of a server that gives these answers."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self):
            length = int(self.headers.get("Content-Length") or 0)
            answers.asked.append((self.command, self.path, self.rfile.read(length), self.headers))
            found = answers.get(self.path, (404, {}))
            status, document = found if isinstance(found, tuple) else (200, found)
            body = document if isinstance(document, bytes) else json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = do_POST = answer

        def log_message(self, *_arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def run(daemon, capsys, monkeypatch):
    """Runs a command; returns status, stdout and stderr."""
    monkeypatch.setenv("WEAVE_HTTP_ADDR", daemon)

    def command(*words):
        try:
            status = main(list(words))
        except SystemExit as end:
            status = end.code
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return command


@pytest.fixture
def gateway():
    """A gateway object as the API shows it."""
    return {
        "port": "eth1",
        "segment": "office",
        "nick_name": "gw1",
        "headline": {
            "who": "gw1 eth1 forwards", "could": "gw2 eth7 could take over", "tone": "good",
        },
        "believed": "active",
        "why": "no gateway of office forwards",
        "role": "auto",
        "state": "active",
        "since": "2026-11-22T20:00:00.000+00:00",
        "reason": "no gateway of office forwards",
        "next": "stays",
        "epoch": 4,
        "ready": True,
        "macs_local": 2,
        "macs_remote": 3,
        "peer_states": {
            "7a:00:00:00:00:0b": {
                "nick_name": "gw2", "port": "eth7", "role": "auto", "state": "standby", "epoch": 3,
                "ready": True, "bfd": "up", "lease_age_s": 0.05, "verdict": "alive",
                "believed": "standby", "alive": True, "could": True, "words": "stands by",
                "why": "as asked",
            }
        },
    }  # fmt: skip
