"""The HTTP API: routing, input checks, error shape. What is shown is made in `views.py`."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Callable
from typing import Any

import structlog
import webob
import webob.exc
from routes import Mapper

from weave_ryu.addresses import parse_http_address
from weave_ryu.config import DaemonConfig, tls_context
from weave_ryu.errors import (
    ConfigError,
    NetworkError,
    OpenFlowError,
    OvsdbError,
    WeaveRyuError,
)
from weave_ryu.gateway.role import Role
from weave_ryu.gateway.surroundings import NotReadyError
from weave_ryu.shell import hub, listening, meshd, pages, serving, tls, traceview, views
from weave_ryu.shell.auth import SAFE_METHODS, Guard
from weave_ryu.shell.daemon import Daemon
from weave_ryu.shell.limits import Bucket
from weave_ryu.shell.meshview import MeshView
from weave_ryu.shell.metrics import Metrics
from weave_ryu.shell.openapi import document
from weave_ryu.shell.problems import ApiError

_log = structlog.get_logger()

MAX_BODY_BYTES = 64 << 10
PRETTY_BYTES = 16 << 10
"""Longer documents come without line breaks: Python makes those five times as fast, and while it
makes one no lease is sent."""
AUDIT = "weave_ryu.audit"
"""Key of the WSGI environment under which a view notes what a change is about."""

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
TRACES_PER_S = 2
TRACES_AT_ONCE = 5
"""A trace asks many switches."""


def listen(config: DaemonConfig) -> listening.Listener:
    """Open the API's port.

    Raises:
        NetworkError: it is taken, or the address is not of this host.
        ConfigError: certificate or key cannot be used any more.
    """
    address = config.http_addr
    host, port = parse_http_address("--http-addr", address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener: socket.socket = hub.listen((host, port), family=family)
    except OSError as error:
        raise NetworkError(
            f"--http-addr {address}: cannot listen there ({error.strerror}): "
            "stop what uses it, or choose another port"
        ) from error
    context = tls_context(config)
    return listening.Listener(listener) if context is None else tls.Listener(listener, context)


def serve(listener: listening.Listener, application: Api) -> None:
    """Serve for ever."""
    is_tls = isinstance(listener, tls.Listener)
    hub.spawn(application.mesh_view.watch)
    hub.wsgi.server(
        listener,
        application,
        log=logging.getLogger("weave_ryu.http"),
        log_output=False,
        max_size=serving.MAX_CONNECTIONS,
        socket_timeout=30,
        debug=False,
        protocol=serving.Connections().serve,
        environ={"wsgi.url_scheme": "https", "HTTPS": "on"} if is_tls else None,
    )


class Api:
    """The WSGI application."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self.guard = Guard(daemon.config.http_addr, daemon.config.api_token)
        self._metrics = Metrics(daemon)
        self._traces = Bucket(TRACES_PER_S, TRACES_AT_ONCE)
        self.mesh_view = MeshView(daemon)
        daemon.gateways.observers += [self._metrics.counting, self.mesh_view]
        self._files = pages.load()
        self._mapper = Mapper(controller_scan=None, register=False)
        self._mapper.minimization = False
        for method, path, view in (
            ("GET", "/status", self._status),
            ("GET", "/status/connections", self._connections),
            ("GET", "/status/peers", self._peers),
            ("GET", "/status/targets", self._targets),
            ("GET", "/report", self._report),
            ("POST", "/connect", self._connect),
            ("POST", "/forget", self._forget),
            ("GET", "/gateways", self._gateways),
            ("GET", "/gateways/{port}", self._gateway),
            ("PUT", "/gateways/{port}", self._set_gateway),
            ("GET", "/macs", self._macs),
            ("GET", "/routes", self._routes),
            ("GET", "/flows", self._flows),
            ("GET", "/metrics", self._show_metrics),
            ("GET", "/trace", self._trace),
            ("GET", "/mesh", self._mesh),
            ("GET", "/events", self._events),
            ("GET", "/", self._page),
            ("GET", "/web/{name}", self._page),
            ("GET", "/openapi.json", self._openapi),
        ):
            self._mapper.connect(
                None, path, view=view, method=method, conditions={"method": [method]}
            )
        self._mapper.create_regs()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:  # noqa: ANN401
        """WSGI's call."""
        request = webob.Request(environ)
        try:
            response = self._dispatch(request)
        except ApiError as error:
            response = _error(error)
        except ConfigError as error:
            response = _error(ApiError(422, "bad-value", str(error), error.key))
        except (OpenFlowError, OvsdbError, NotReadyError) as error:
            response = _error(ApiError(503, "switch", str(error)))
        except WeaveRyuError as error:
            response = _error(ApiError(400, "failed", str(error)))
        self._metrics.counting.answered(request.method, response.status_int)
        if request.method not in SAFE_METHODS:
            _audit(request, response.status_int)
        response.headers.update(SECURITY_HEADERS)
        return response(environ, start_response)

    def _dispatch(self, request: webob.Request) -> webob.Response:
        try:
            path = request.path_info
        except UnicodeDecodeError as error:
            raise ApiError(400, "bad-path", "the path is not UTF-8") from error
        self.guard.check(request, path, time.monotonic())
        found = self._mapper.match(path, request.environ)
        if not found:
            allowed = self._allowed(path, request)
            if allowed:
                response = _error(ApiError(405, "bad-method", f"{path} takes {', '.join(allowed)}"))
                response.allow = allowed
                return response
            raise ApiError(404, "not-found", f"there is nothing at {path}")
        if "Transfer-Encoding" in request.headers:
            # webob would take the body for an empty one.
            raise ApiError(411, "no-length", "send the body with a Content-Length", "body")
        if (request.content_length or 0) > MAX_BODY_BYTES:
            raise ApiError(413, "too-long", f"a body may have {MAX_BODY_BYTES} bytes", "body")
        try:
            _ = request.body
        except OSError as error:
            raise ApiError(408, "body-cut", "the body did not come as announced", "body") from error
        view: Callable[..., webob.Response] = found.pop("view")
        found.pop("method")
        found.pop("controller", None)
        found.pop("action", None)
        return view(request, **found)

    def _allowed(self, path: str, request: webob.Request) -> list[str]:
        allowed = []
        for method in ("GET", "PUT", "POST"):
            if self._mapper.match(path, {**request.environ, "REQUEST_METHOD": method}):
                allowed.append(method)
        return allowed

    # Views.

    def _status(self, request: webob.Request) -> webob.Response:
        return self._show(request, views.status_text, views.report)

    def _connections(self, request: webob.Request) -> webob.Response:
        return self._show(request, views.connections_text, views.connections)

    def _peers(self, request: webob.Request) -> webob.Response:
        return self._show(request, views.peers_text, views.peers)

    def _targets(self, request: webob.Request) -> webob.Response:
        return self._show(request, views.targets_text, views.targets)

    def _show(
        self,
        request: webob.Request,
        text: Callable[[Daemon], str],
        document: Callable[[Daemon], Any],
    ) -> webob.Response:
        """Text as Weave prints it, or JSON for those who ask for it."""
        if "application/json" in request.headers.get("Accept", ""):
            return _json(document(self._daemon))
        return webob.Response(text=text(self._daemon), content_type="text/plain")

    def _report(self, _request: webob.Request) -> webob.Response:
        return _json(views.report(self._daemon))

    def _macs(self, _request: webob.Request) -> webob.Response:
        return _json(views.macs(self._daemon))

    def _routes(self, _request: webob.Request) -> webob.Response:
        return _json(
            {
                "unicast": views.unicast_routes(self._daemon),
                "broadcast": views.broadcast_routes(self._daemon),
            }
        )

    def _flows(self, _request: webob.Request) -> webob.Response:
        return _json(views.flows(self._daemon))

    def _mesh(self, _request: webob.Request) -> webob.Response:
        return _json(self.mesh_view.document())

    def _events(self, request: webob.Request) -> webob.Response:
        # eventlet would collect 4 KiB before it sends anything.
        request.environ["eventlet.minimum_write_chunk_size"] = 1
        stream = self.mesh_view.listen()
        return webob.Response(app_iter=stream, headerlist=[("Content-Type", "text/event-stream")])

    def _page(self, _request: webob.Request, name: str = "index.html") -> webob.Response:
        file = self._files.get(name)
        if file is None:
            raise ApiError(404, "not-found", f"there is no file {name[:64]!r}")
        headers = [
            ("Content-Type", file.content_type),
            ("Content-Security-Policy", pages.CONTENT_SECURITY_POLICY),
        ]
        return webob.Response(body=file.content, headerlist=headers)

    def _openapi(self, _request: webob.Request) -> webob.Response:
        return _json(document())

    def _trace(self, request: webob.Request) -> webob.Response:
        query = _query(request, ("from", "to", "broadcast"))
        if "from" not in query:
            raise ApiError(422, "missing", "say where the frame comes from: from=MAC", "from")
        broadcast = query.get("broadcast", "false")
        if broadcast not in ("true", "false"):
            raise ApiError(422, "bad-value", "broadcast must be true or false", "broadcast")
        if not self._traces.take(time.monotonic()):
            raise ApiError(429, "too-often", "too many traces: wait a second")
        found = traceview.run(self._daemon, query["from"], query.get("to", ""), broadcast == "true")
        return _json(found)

    def _show_metrics(self, request: webob.Request) -> webob.Response:
        page, content_type = self._metrics.render(request.headers.get("Accept", ""))
        return webob.Response(body=page, headerlist=[("Content-Type", content_type)])

    def _gateways(self, _request: webob.Request) -> webob.Response:
        return _json(views.gateways(self._daemon))

    def _gateway(self, _request: webob.Request, port: str) -> webob.Response:
        for shown in views.gateways(self._daemon):
            if shown["port"] == port:
                return _json(shown)
        raise self._no_gateway(port)

    def _set_gateway(self, request: webob.Request, port: str) -> webob.Response:
        if port not in self._daemon.gateways.names():
            raise self._no_gateway(port)
        body = _json_body(request)
        unknown = sorted(set(body) - {"role", "drain", "force"})
        if unknown:
            raise ApiError(
                422, "unknown-field", "only `role`, `force` and `drain` can be set", unknown[0]
            )
        if "drain" in body:
            if body["drain"] is not True or len(body) > 1:
                raise ApiError(422, "bad-value", "send either drain: true or a role", "drain")
            request.environ[AUDIT] = {"port": port, "drain": True}
            self._daemon.gateways.drain(port)
            return self._gateway(request, port)
        role = body.get("role")
        if not isinstance(role, str) or role not in list(Role):
            choices = ", ".join(Role)
            raise ApiError(422, "bad-value", f"role {role!r} must be one of {choices}", "role")
        force = body.get("force", False)
        if not isinstance(force, bool) or ("force" in body and role != Role.ACTIVE):
            raise ApiError(
                422, "bad-value", "force must be true or false, and with role active only", "force"
            )
        request.environ[AUDIT] = {"port": port, "role": role, "force": force}
        self._daemon.gateways.set_role(port, Role(role), force=force)
        return self._gateway(request, port)

    def _no_gateway(self, port: str) -> ApiError:
        known = ", ".join(self._daemon.gateways.names()) or "none"
        return ApiError(
            404, "no-such-gateway", f"{port!r} is no gateway port (there are: {known})", "port"
        )

    def _connect(self, request: webob.Request) -> webob.Response:
        peers = self._form_peers(request)
        replace = request.POST.get("replace", "false")
        if replace not in ("true", "false"):
            raise ApiError(
                422, "bad-value", f"replace {replace[:64]!r} must be true or false", "replace"
            )
        looked_up = [peer for peer in peers if meshd.parse_target(peer, "peer") is None]
        found = {peer: meshd.resolve(peer, "peer") for peer in looked_up}
        names = self._daemon.names
        if replace == "true":
            names.clear()
        addresses = names.split(peers)[0] + [a for some in found.values() for a in some]
        self._daemon.router.connect_targets(addresses, replace == "true", time.monotonic())
        self._daemon.mesh.pump()
        names.took(found)
        return webob.Response(status=200, text="", content_type="text/plain")

    def _forget(self, request: webob.Request) -> webob.Response:
        peers = self._form_peers(request)
        for peer in peers:
            meshd.parse_target(peer, "peer")
        gone = self._daemon.names.forget(peers)
        self._daemon.router.forget_targets(gone, time.monotonic())
        self._daemon.mesh.pump()
        return webob.Response(status=200, text="", content_type="text/plain")

    def _form_peers(self, request: webob.Request) -> list[str]:
        try:
            texts = request.POST.getall("peer")
        except (ValueError, AttributeError, DeprecationWarning) as error:
            # webob raises that warning for a charset that is not UTF-8.
            raise ApiError(400, "bad-form", "send peer=HOST as a form", "peer") from error
        if not texts:
            raise ApiError(422, "missing", "send at least one peer=HOST[:PORT]", "peer")
        request.environ[AUDIT] = {"peers": texts[:8]}
        return list(texts)


def _audit(request: webob.Request, status: int) -> None:
    """One line for each request that could have changed something."""
    _log.info(
        "api_write",
        client=request.remote_addr,
        method=request.method[:16],
        path=request.environ.get("PATH_INFO", "")[:128],
        status=status,
        **request.environ.get(AUDIT, {}),
    )


def _query(request: webob.Request, known: tuple[str, ...]) -> dict[str, str]:
    """The query's fields, each at most once."""
    try:
        found = list(request.GET.items())
    except (ValueError, DeprecationWarning) as error:
        raise ApiError(400, "bad-query", "the query is not UTF-8") from error
    for name, _ in found:
        if name not in known:
            choices = ", ".join(known)
            raise ApiError(422, "unknown-field", f"the query may have {choices}", name[:64])
    if len(dict(found)) != len(found):
        raise ApiError(422, "bad-value", "a field of the query is given twice", found[0][0])
    return dict(found)


def _json(document: Any) -> webob.Response:  # noqa: ANN401
    text = json.dumps(document, separators=(",", ":"))
    if len(text) < PRETTY_BYTES:
        text = json.dumps(document, indent=1)
    return webob.Response(body=text.encode() + b"\n", content_type="application/json")


def _json_body(request: webob.Request) -> dict[str, Any]:
    try:
        body = json.loads(request.body)
    except (ValueError, RecursionError) as error:
        raise ApiError(400, "bad-json", "the body is not JSON", "body") from error
    if not isinstance(body, dict):
        raise ApiError(422, "bad-value", 'the body must be an object: {"role": "active"}', "body")
    return body


def _error(error: ApiError) -> webob.Response:
    response = _json(
        {"error": {"code": error.code, "message": error.message, "field": error.field}}
    )
    response.status = error.status
    if error.status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="weave-ryu"'
    if error.status == 429:
        response.headers["Retry-After"] = "1"
    return response
