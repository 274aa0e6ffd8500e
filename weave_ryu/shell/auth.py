"""Who may ask the API what: the token, and what protects the users of web browsers.

- On a loopback address everybody on the host may look. Changes need the token if there is one.
- On any other address everything but the page's own files needs it.
- A name in the Host header is refused but for ``localhost``: a page of an attacker whose name leads
  to this address would otherwise count as the API's own (DNS rebinding).
- A change that a page of another origin asks for is refused (cross-site request forgery), whatever
  it brings along.
"""

from __future__ import annotations

import hmac
import ipaddress

import webob

from weave_ryu.addresses import parse_http_address
from weave_ryu.shell.limits import Bucket
from weave_ryu.shell.problems import ApiError

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
PUBLIC = frozenset({"/"})
PUBLIC_PREFIX = "/web/"

WRITES_PER_S = 10
WRITES_AT_ONCE = 50
WRONG_TOKENS_PER_S = 2
WRONG_TOKENS_AT_ONCE = 20
MAX_CLIENTS = 1024
"""Whose wrong tokens are counted."""


class Guard:
    """Lets requests pass, or says why not.

    Args:
        address: where the API listens.
        token: the secret; None = there is none.
    """

    def __init__(self, address: str, token: str | None) -> None:
        host, _ = parse_http_address("--http-addr", address)
        self._is_local = ipaddress.ip_address(host).is_loopback
        self.token = token
        self._writes = Bucket(WRITES_PER_S, WRITES_AT_ONCE)
        self._wrong: dict[str, Bucket] = {}

    def needs_token(self, method: str, path: str) -> bool:
        """Whether a request is served only with the token."""
        if self._is_local:
            return self.token is not None and method not in SAFE_METHODS
        return not (method in SAFE_METHODS and is_public(path))

    def check(self, request: webob.Request, path: str, now: float) -> None:
        """Let a request pass.

        Args:
            request: all of it but its body is looked at.
            path: decoded.
            now: monotonic seconds.

        Raises:
            ApiError: it may not.
        """
        _check_host(request)
        if request.method not in SAFE_METHODS:
            _check_origin(request)
        if self.needs_token(request.method, path):
            self._check_token(request, now)
        if request.method not in SAFE_METHODS and not self._writes.take(now):
            raise ApiError(429, "too-often", f"more than {WRITES_PER_S} changes a second: wait")

    def _wrong_of(self, client: str) -> Bucket:
        """Each address has a limit of its own; the right token is never held up by wrong ones."""
        if client not in self._wrong:
            if len(self._wrong) >= MAX_CLIENTS:
                del self._wrong[next(iter(self._wrong))]
            self._wrong[client] = Bucket(WRONG_TOKENS_PER_S, WRONG_TOKENS_AT_ONCE)
        return self._wrong[client]

    def _check_token(self, request: webob.Request, now: float) -> None:
        given = request.headers.get("Authorization", "")
        scheme, _, token = given.partition(" ")
        expected = self.token or ""
        same = hmac.compare_digest(
            token.strip().encode(errors="replace"), expected.encode(errors="replace")
        )
        if scheme.lower() == "bearer" and expected and same:
            return
        if given and not self._wrong_of(request.client_addr or "").take(now):
            raise ApiError(429, "too-often", "too many wrong tokens: wait a second")
        raise ApiError(
            401,
            "wrong-token" if given else "no-token",
            "send the token of --api-token-file: Authorization: Bearer TOKEN",
            "Authorization",
        )


def is_public(path: str) -> bool:
    """The page's own files, which hold no data."""
    return path in PUBLIC or path.startswith(PUBLIC_PREFIX)


def _check_host(request: webob.Request) -> None:
    host = request.headers.get("Host", "")
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    if not host or name.lower() == "localhost":
        return
    try:
        ipaddress.ip_address(name[1:-1] if name.startswith("[") else name)
    except ValueError as error:
        raise ApiError(
            403,
            "bad-host",
            f"ask by address or as localhost, not by the name {name[:64]!r}",
            "Host",
        ) from error


def _check_origin(request: webob.Request) -> None:
    origin = request.headers.get("Origin")
    if origin is not None and origin.lower() != request.host_url.lower():
        raise ApiError(403, "cross-site", f"a page of {origin[:64]!r} may change nothing", "Origin")
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        raise ApiError(403, "cross-site", "a page of another site may change nothing", "Origin")
