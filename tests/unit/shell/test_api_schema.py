"""The API against its own description: requests made from it, answers checked with it."""

import json
import re
import time

import pytest
import schemathesis
from api_world import W
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from weave_ryu.gateway.records import GatewayRecord, PortRecord, encode
from weave_ryu.shell.openapi import document

CHECKS = (
    not_a_server_error,
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)


OPERATIONS = [
    (path, method)
    for path, item in document()["paths"].items()
    if path != "/events"  # does not end
    for method in item
    if method != "parameters"
]


@pytest.fixture
def schema(shell, daemon, monkeypatch):
    """The description as the application serves it, without the limits on how often."""
    import socket

    from trace_world import FakeTracer

    from weave_ryu.shell.limits import Bucket

    def numeric(host, *_arguments):
        return [(socket.AF_INET, 0, 0, "", (socket.inet_ntoa(socket.inet_aton(host)), 0))]

    monkeypatch.setattr(socket, "getaddrinfo", numeric)
    monkeypatch.setattr(Bucket, "take", lambda *_: True)
    daemon.tracer = FakeTracer()
    port = PortRecord("vlan", "eth7", "active", 3, "auto", 100, True)
    other = encode([GatewayRecord(W, 9, 1, (port,))])
    daemon.gateways.core.received(W, other, True, time.monotonic())
    daemon.registry = daemon.gateways.core.registry
    return schemathesis.openapi.from_wsgi("/openapi.json", shell.Api(daemon))


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode), ids=lambda mode: mode.value)
def test_every_request_is_answered_as_described(schema, path, method, mode):
    """Requests that fit the description, and requests that do not."""
    strategy = schema[path][method].as_strategy(generation_mode=mode)

    @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=strategy)
    def check(case):
        case.call_and_validate(checks=CHECKS)

    try:
        check()
    except Unsatisfiable:
        assert mode is schemathesis.GenerationMode.NEGATIVE  # nothing about it can be wrong


def test_description_has_every_route_and_no_other(shell, daemon):
    application = shell.Api(daemon)
    routes = application._mapper.matchlist
    found = {(r.routepath, r.conditions["method"][0].lower()) for r in routes}
    page = {route for route in found if route[0] == "/" or route[0].startswith("/web/")}
    assert {*OPERATIONS, ("/events", "get")} == found - page


def test_description_refers_to_nothing_that_is_not_there():
    found = document()
    names = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(found)))
    assert names <= set(found["components"]["schemas"])
