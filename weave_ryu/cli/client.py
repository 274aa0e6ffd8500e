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
from dataclasses import dataclass
from typing import Any

from weave_ryu.addresses import parse_http_address
from weave_ryu.certificates import client_context
from weave_ryu.errors import ConfigError, DaemonUnreachableError, WeaveRyuError
from weave_ryu.tokens import read_token

DEFAULT_ADDRESS = "127.0.0.1:6784"
TIMEOUT_S = 15.0


class RequestRefusedError(WeaveRyuError):
    """The daemon said no; the message is its own sentence."""


def default() -> Api:
    """The API if no flag says otherwise."""
    address = os.environ.get("WEAVE_HTTP_ADDR", DEFAULT_ADDRESS)
    return Api(
        address,
        os.environ.get("WEAVE_API_TOKEN_FILE", ""),
        os.environ.get("WEAVE_API_CA_FILE", ""),
    )


def add_address(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say where the daemon is; `of` reads them."""
    parser.add_argument(
        "--http-addr",
        metavar="ADDRESS:PORT",
        default=default().address,
        help=f"the daemon's API (default {DEFAULT_ADDRESS}, or environment WEAVE_HTTP_ADDR)",
    )
    parser.add_argument(
        "--api-token-file",
        metavar="FILE",
        default=default().token_file,
        help="token, if the daemon asks for one (or environment WEAVE_API_TOKEN_FILE)",
    )
    parser.add_argument(
        "--api-ca-file",
        metavar="FILE",
        default=default().ca_file,
        help="speak HTTPS, and believe certificates of this authority, or this one itself "
        "(or environment WEAVE_API_CA_FILE)",
    )


@dataclass(frozen=True, slots=True)
class Api:
    """A daemon's API.

    Args:
        address: ``ADDRESS:PORT``.
        token_file: with the token that it may ask for; empty = none.
        ca_file: with the certificate that vouches for its own; empty = it speaks plain HTTP.
    """

    address: str
    token_file: str = ""
    ca_file: str = ""

    def request(
        self,
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
            RequestRefusedError: the daemon could not do it, or its certificate is not believed.
        """
        host, port = parse_http_address("--http-addr", self.address)
        headers = {"Accept": accept, "Content-Type": content_type}
        if self.token_file:
            token = read_token("--api-token-file", self.token_file)
            headers["Authorization"] = f"Bearer {token}"
        connection = self._connection(host, port)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise self._failure(error) from error
        finally:
            connection.close()
        if response.status >= 400:
            raise _refusal(response.status, content)
        return content

    def _connection(self, host: str, port: int) -> http.client.HTTPConnection:
        if not self.ca_file:
            return http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
        context = client_context("--api-ca-file", self.ca_file)
        return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=context)

    def _failure(self, error: Exception) -> WeaveRyuError:
        """What to tell when no answer came."""
        distrust = getattr(error, "verify_message", None)  # of ssl.SSLCertVerificationError
        if distrust is not None:
            return RequestRefusedError(
                f"the certificate of {self.address} is not believed ({distrust.rstrip('.')}): "
                "give with --api-ca-file what signed it, and an address that it names"
            )
        if getattr(error, "reason", None) == "WRONG_VERSION_NUMBER":
            return RequestRefusedError(
                f"what answers on {self.address} speaks no HTTPS: leave --api-ca-file "
                "(WEAVE_API_CA_FILE) away"
            )
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        if isinstance(error, ConnectionResetError) and not self.ca_file:
            reason += "; if it speaks HTTPS, give --api-ca-file"
        return DaemonUnreachableError(self.address, reason)

    def get_json(self, path: str) -> Any:  # noqa: ANN401
        """The JSON document at a path."""
        return self._parse(self.request("GET", path))

    def get_text(self, path: str) -> str:
        """The text at a path."""
        return self.request("GET", path, accept="text/plain").decode(errors="replace")

    def put_json(self, path: str, document: Any) -> Any:  # noqa: ANN401
        """Send a document, return the answer."""
        return self._parse(self.request("PUT", path, json.dumps(document).encode()))

    def _parse(self, content: bytes) -> Any:  # noqa: ANN401
        try:
            return json.loads(content)
        except (ValueError, RecursionError) as error:
            raise RequestRefusedError(
                f"what answers on {self.address} is no weave-ryu daemon: it does not speak JSON; "
                "name the daemon's address with --http-addr"
            ) from error


def of(arguments: argparse.Namespace) -> Api:
    """The API that the flags of `add_address` name."""
    return Api(arguments.http_addr, arguments.api_token_file, arguments.api_ca_file)


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
