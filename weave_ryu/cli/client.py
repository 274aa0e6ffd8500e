"""How all verbs but ``run`` reach the daemon."""

from __future__ import annotations

import argparse
import http.client
import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from weave_ryu.addresses import parse_http_address
from weave_ryu.errors import ConfigError, DaemonUnreachableError, WeaveRyuError

DEFAULT_ADDRESS = "127.0.0.1:6784"
TIMEOUT_S = 15.0


class RequestRefusedError(WeaveRyuError):
    """The daemon said no; the message is its own sentence."""


def default_address() -> str:
    """Where the daemon is if no flag says so."""
    return os.environ.get("WEAVE_HTTP_ADDR", DEFAULT_ADDRESS)


def add_address(parser: argparse.ArgumentParser) -> None:
    """Add ``--http-addr``."""
    parser.add_argument(
        "--http-addr",
        metavar="ADDRESS:PORT",
        default=default_address(),
        help=f"the daemon's API (default {DEFAULT_ADDRESS}, or environment WEAVE_HTTP_ADDR)",
    )


def request(
    address: str,
    method: str,
    path: str,
    body: bytes | None = None,
    content_type: str = "application/json",
    accept: str = "application/json",
) -> bytes:
    """One request; returns the body.

    Raises:
        ConfigError: the address is not one, or the daemon says that a value cannot be used.
        DaemonUnreachableError: nobody answers.
        RequestRefusedError: the daemon could not do it.
    """
    host, port = parse_http_address("--http-addr", address)
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        headers = {"Accept": accept, "Content-Type": content_type}
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        content = response.read()
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise DaemonUnreachableError(address, reason) from error
    finally:
        connection.close()
    if response.status >= 400:
        raise _refusal(response.status, content)
    return content


def get_json(address: str, path: str) -> Any:  # noqa: ANN401
    """The JSON document at a path."""
    return _parse(address, request(address, "GET", path))


def get_text(address: str, path: str) -> str:
    """The text at a path."""
    return request(address, "GET", path, accept="text/plain").decode(errors="replace")


def put_json(address: str, path: str, document: Any) -> Any:  # noqa: ANN401
    """Send a document, return the answer."""
    return _parse(address, request(address, "PUT", path, json.dumps(document).encode()))


def _parse(address: str, content: bytes) -> Any:  # noqa: ANN401
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise RequestRefusedError(
            f"what answers on {address} is no weave-ryu daemon: it does not speak JSON; "
            "name the daemon's address with --http-addr"
        ) from error


PATIENCE_S = 1.0
"""A command that takes longer says that it still waits."""


@contextmanager
def waiting(for_what: str) -> Iterator[None]:
    """Say on a terminal's stderr what is waited for, if it takes more than a second."""
    timer = threading.Timer(PATIENCE_S, _say, (f"weave-ryu: waiting for {for_what} …",))
    timer.daemon = True
    if sys.stderr.isatty():
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def _refusal(status: int, content: bytes) -> WeaveRyuError:
    try:
        error = json.loads(content)["error"]
        field, message = str(error["field"]), str(error["message"])
    except (ValueError, KeyError, TypeError):
        return RequestRefusedError(f"the daemon answered with HTTP status {status}")
    if status in (404, 422) and field:
        return _BadValueError(message)
    return RequestRefusedError(message)


class _BadValueError(ConfigError):
    """The daemon's own sentence about a value that the user gave."""

    def __init__(self, message: str) -> None:
        super().__init__("", "", message)

    def __str__(self) -> str:
        return self.reason
