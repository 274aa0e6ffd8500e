"""Every field that the API's description names refuses nonsense by its name.

The fields are read from the description, so that a new one is tested without a word here.
"""

import json
import socket
from urllib.parse import quote, urlencode

import pytest
from trace_world import FakeTracer

from weave_ryu.shell.openapi import document

TEXTS = ["", " ", "no such thing", "x" * 300, "ü", "a\0b", "-1", "true ", "../.."]
VALUES = [None, -1, 1.5, [], {}, ["active"], {"role": "active"}, 10**400, *TEXTS]

VALID = {"peer": "192.0.2.1", "from": "02:b0:00:00:00:01", "to": "02:c0:00:00:00:01"}


def example(name, schema):
    """A value that fits."""
    if "const" in schema:
        return schema["const"]
    return schema.get("enum", [VALID.get(name)])[0]


def variants(schema):
    """The shapes that a body may have: name → schema of the field."""
    if "$ref" in schema:
        schema = document()["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    for shape in schema.get("oneOf", [schema]):
        yield shape["properties"]


def fields():
    for path, item in document()["paths"].items():
        for method, operation in item.items():
            if method == "parameters":
                continue
            for given in (*item.get("parameters", ()), *operation.get("parameters", ())):
                yield path, method, given["in"], given["name"], {}
            for kind, content in operation.get("requestBody", {}).get("content", {}).items():
                for properties in variants(content["schema"]):
                    for name in properties:
                        rest = {n: example(n, s) for n, s in properties.items() if n != name}
                        yield path, method, kind, name, rest


def numeric(host, *_arguments):
    if host == "192.0.2.1":
        return [(socket.AF_INET, 0, 0, "", (host, 0))]
    raise socket.gaierror(-2, "Name or service not known")


FIELDS = [(*found, n) for n, found in enumerate(fields())]


@pytest.fixture
def send(call, daemon, monkeypatch):
    from weave_ryu.shell.limits import Bucket

    monkeypatch.setattr(Bucket, "take", lambda *_: True)
    daemon.tracer = FakeTracer()
    daemon.registry = daemon.gateways.core.registry
    monkeypatch.setattr(socket, "getaddrinfo", numeric)

    def request(path, method, place, name, rest, value):
        options = {"method": method.upper()}
        if place == "path":
            path = path.replace(f"{{{name}}}", quote(value, safe=""))
            if method == "put":
                options["body"] = b'{"role": "standby"}'
        elif place == "query":
            others = {key: VALID[key] for key in ("from", "to") if key != name}
            path = f"{path}?{urlencode({**others, name: value})}"
        elif place == "application/json":
            options["body"] = json.dumps({**rest, name: value}).encode()
        else:
            form = {key: text for key, text in rest.items() if text is not None}
            options["body"] = urlencode({**form, name: value}).encode()
            options["content_type"] = place
        return call(path.replace("{port}", "eth1"), **options)

    return request


def test_description_has_fields_of_all_kinds():
    assert {place for _, _, place, *_ in FIELDS} >= {"path", "query", "application/json"}
    assert {name for _, _, _, name, *_ in FIELDS} >= {"port", "role", "force", "peer", "from"}


@pytest.mark.parametrize(
    ("path", "method", "place", "name", "rest"),
    [found[:-1] for found in FIELDS],
    ids=lambda value: str(value)[:24],
)
def test_nonsense_in_a_field_is_refused_by_its_name(send, path, method, place, name, rest):
    for value in VALUES if place == "application/json" else TEXTS:
        if place == "path" and value in ("", "../.."):
            continue  # other paths
        response = send(path, method, place, name, rest, value)
        shown = (value, response.status_int, response.text)
        assert 400 <= response.status_int < 500, shown
        error = json.loads(response.body)["error"]
        assert error["field"] == name, shown
        assert error["message"], shown
        assert "\n" not in error["message"], shown
        assert len(error["message"]) < 1000, shown
