"""The description of the API (OpenAPI 3.1), as ``GET /openapi.json`` gives it.

Written by hand beside the routes in `api.py`; tests compare the two, and check answers against it.
"""

from __future__ import annotations

from typing import Any

from weave_ryu import __version__
from weave_ryu.gateway.role import Role, State

Json = dict[str, Any]

_STRING: Json = {"type": "string"}
_NUMBER: Json = {"type": "number"}
_COUNT: Json = {"type": "integer", "minimum": 0}
_FLAG: Json = {"type": "boolean"}
_TIME: Json = {"type": "string", "format": "date-time"}
_MAC: Json = {"type": "string", "pattern": "^[0-9a-f]{2}(:[0-9a-f]{2}){5}$"}
_ANY_MAC: Json = {"type": "string", "pattern": "^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$"}
_STATE: Json = {"enum": [str(state) for state in State]}
_ROLE: Json = {"enum": [str(role) for role in Role]}


def _object(required: Json, **optional: Json) -> Json:
    properties = required | optional
    return {"type": "object", "required": sorted(required), "properties": properties}


def _list(of: Json) -> Json:
    return {"type": "array", "items": of}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


_HEADLINE = _object({"who": _STRING, "could": _STRING, "tone": {"enum": ["good", "warn", "bad"]}})

_SCHEMAS: Json = {
    "Error": _object(
        {"error": _object({"code": _STRING, "message": _STRING, "field": _STRING})},
    ),
    "Gateway": _object(
        {
            "port": _STRING,
            "segment": _STRING,
            "role": _ROLE,
            "state": _STATE,
            "since": _TIME,
            "reason": _STRING,
            "epoch": _COUNT,
            "ready": _FLAG,
            "peer_states": {"type": "object", "additionalProperties": _ref("OtherGateway")},
            "macs_local": _COUNT,
            "macs_remote": _COUNT,
        },
        nick_name=_STRING,
        headline=_HEADLINE,
        believed=_STRING,
        why=_STRING,
        priority=_COUNT,
        gate=_STRING,
        obstacles=_list(_STRING),
        next=_STRING,
        drained=_FLAG,
        forced=_FLAG,
        wish=_object(
            {
                "asked": _STRING,
                "outcome": {"enum": ["pending", "kept", "taken back"]},
                "within_s": _NUMBER,
                "why": _STRING,
            }
        ),
        damped=_FLAG,
        fencing={"type": "object", "additionalProperties": _NUMBER},
        fence={
            "anyOf": [
                {"type": "null"},
                _object(
                    {"state": {"enum": ["open", "closed", "none"]}, "why": _STRING},
                    table=_STRING,
                    open_s=_NUMBER,
                    give_up_s=_NUMBER,
                    take_over_s=_NUMBER,
                    renewals=_COUNT,
                    mended=_COUNT,
                ),
            ]
        },
        wiring=_list(_STRING),
        history=_list(_object({"at": _TIME, "state": _STATE, "epoch": _COUNT, "reason": _STRING})),
    ),
    "OtherGateway": _object(
        {
            "nick_name": _STRING,
            "port": _STRING,
            "role": _STRING,
            "priority": _COUNT,
            "state": _STRING,
            "epoch": _COUNT,
            "ready": _FLAG,
            "bfd": {"enum": ["up", "down", "none"]},
            "lease_age_s": _NUMBER,
            "verdict": _STRING,
            "believed": _STRING,
            "alive": {"type": ["boolean", "null"]},
            "could": _FLAG,
            "words": _STRING,
            "why": _STRING,
        }
    ),
    "Change": {
        "type": "object",
        "oneOf": [
            {"required": ["role"], "properties": {"role": _ROLE}, "additionalProperties": False},
            {
                "required": ["role", "force"],
                "properties": {"role": {"const": "active"}, "force": _FLAG},
                "additionalProperties": False,
            },
            {
                "required": ["drain"],
                "properties": {"drain": {"const": True}},
                "additionalProperties": False,
            },
        ],
    },
    "Mac": _object(
        {
            "Mac": _MAC,
            "Name": _STRING,
            "NickName": _STRING,
            "Port": {"type": ["string", "null"]},
            "LastSeen": _TIME,
            "Conflict": {
                "oneOf": [
                    {"type": "null"},
                    _object(
                        {
                            "Segment": _STRING,
                            "Holder": {"type": ["string", "null"]},
                            "Since": _TIME,
                            "LastSeen": _TIME,
                            "Frames": _COUNT,
                            "Confirmed": {"type": "boolean"},
                        }
                    ),
                ],
                "description": "It speaks on a segment, too: where, and since when.",
            },
        }
    ),
    "Flow": _object(
        {
            "table": _STRING,
            "table_id": _COUNT,
            "priority": _COUNT,
            "cookie": _STRING,
            "kind": _STRING,
            "subject": _COUNT,
            "packets": _COUNT,
            "bytes": _COUNT,
            "age_s": _COUNT,
            "hard_timeout_s": _COUNT,
            "why": _STRING,
        }
    ),
    "Routes": _object(
        {
            "unicast": _list(_object({"Dest": _STRING, "Via": _STRING})),
            "broadcast": _list(_object({"Source": _STRING, "Via": _list(_STRING)})),
        }
    ),
    "Report": _object(
        {
            "Ready": _FLAG,
            "Version": _STRING,
            "Router": {"type": "object"},
            "Gateways": _list(_ref("Gateway")),
        }
    ),
    "Connection": _object(
        {
            "Address": _STRING,
            "Outbound": _FLAG,
            "State": _STRING,
            "Info": _STRING,
            "Attrs": {"type": "object"},
        }
    ),
    "Peer": _object(
        {
            "Name": _STRING,
            "NickName": _STRING,
            "ShortID": {"type": ["integer", "null"]},
            "Segment": _FLAG,
            "Connections": _list({"type": "object"}),
        }
    ),
    "Target": _object({"Address": _STRING, "State": _STRING, "Direct": _FLAG}),
    "Mesh": _object(
        {
            "own": _STRING,
            "nick_name": _STRING,
            "ready": _FLAG,
            "needs_token": _FLAG,
            "at": _TIME,
            "peers": _list(_object({"name": _STRING, "nick_name": _STRING})),
            "former": _list(_object({"name": _STRING, "nick_name": _STRING})),
            "links": _list(_list(_COUNT) | {"minItems": 3, "maxItems": 3}),
            "segments": _list(
                _object(
                    {
                        "name": _STRING,
                        "epoch": _COUNT,
                        "headline": _HEADLINE,
                        "gateways": _list({"type": "object"}),
                    }
                )
            ),
            "events": _list({"type": "object"}),
        }
    ),
    "Trace": _object(
        {
            "source": _MAC,
            "to": _MAC,
            "steps": _list({"type": "object"}),
            "delivered": _list({"type": "object"}),
            "problems": _list(_STRING),
            "summary": _STRING,
        }
    ),
}

_ERRORS: Json = {
    "4XX": {
        "description": "The request cannot be served as it is; the message says why.",
        "content": {"application/json": {"schema": _ref("Error")}},
    },
    "503": {
        "description": "The switch or its database did not do it in time.",
        "content": {"application/json": {"schema": _ref("Error")}},
    },
}


def _answer(schema: Json, text: bool = False) -> Json:
    content: Json = {"application/json": {"schema": schema}}
    if text:
        content["text/plain"] = {"schema": _STRING}
    return {"200": {"description": "Done.", "content": content}, **_ERRORS}


def _get(summary: str, schema: Json, *, text: bool = False, **more: Any) -> Json:  # noqa: ANN401
    return {"get": {"summary": summary, "responses": _answer(schema, text), **more}}


_PORT: Json = {
    "name": "port",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "minLength": 1, "maxLength": 15, "pattern": "^[^/\\s]+$"},
}


def _targets(summary: str, **more: Json) -> Json:
    form = _object({"peer": _list(_STRING) | {"minItems": 1}}, **more)
    content = {"application/x-www-form-urlencoded": {"schema": form}}
    done = {"200": {"description": "Done.", "content": {"text/plain": {"schema": _STRING}}}}
    return {
        "post": {
            "summary": summary,
            "security": [{}, {"token": []}],
            "requestBody": {"required": True, "content": content},
            "responses": {**done, **_ERRORS},
        }
    }


def _query(name: str, summary: str, schema: Json, required: bool = False) -> Json:
    return {
        "name": name, "in": "query", "required": required, "description": summary, "schema": schema,
    }  # fmt: skip


_PATHS: Json = {
    "/status": _get("State of this peer, as Weave prints it.", _ref("Report"), text=True),
    "/status/connections": _get("Connections.", _list(_ref("Connection")), text=True),
    "/status/peers": _get("All peers of the mesh.", _list(_ref("Peer")), text=True),
    "/status/targets": _get("Addresses that are dialled.", _list(_ref("Target")), text=True),
    "/report": _get("Everything, in the shape of Weave's report.", _ref("Report")),
    "/connect": _targets("Connect to more peers.", replace={"enum": ["true", "false"]}),
    "/forget": _targets("Stop dialling peers."),
    "/gateways": _get("The gateway ports of this peer.", _list(_ref("Gateway"))),
    "/gateways/{port}": {
        "parameters": [_PORT],
        **_get("One gateway port.", _ref("Gateway")),
        "put": {
            "summary": "Change its role; answered when the switch has confirmed it.",
            "security": [{}, {"token": []}],
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": _ref("Change")}},
            },
            "responses": _answer(_ref("Gateway")),
        },
    },
    "/macs": _get("MACs that the switch has learnt.", _list(_ref("Mac"))),
    "/routes": _get("Routes through the mesh.", _ref("Routes")),
    "/flows": _get("Flows of the switch with counters and reasons.", _list(_ref("Flow"))),
    "/trace": _get(
        "Where a frame would go, hop by hop.",
        _ref("Trace"),
        parameters=[
            _query("from", "A MAC, or PEER/PORT.", _STRING, required=True),
            _query("to", "A MAC; not needed for a broadcast.", _ANY_MAC),
            _query("broadcast", "Follow a broadcast instead.", {"enum": ["true", "false"]}),
        ],
    ),
    "/mesh": _get("The whole mesh: peers, links, segments, and what happened.", _ref("Mesh")),
    "/events": {
        "get": {
            "summary": "The same, each time that it has changed (server-sent events).",
            "responses": {
                "200": {
                    "description": "A stream that does not end.",
                    "content": {"text/event-stream": {"schema": _STRING}},
                },
                **_ERRORS,
            },
        }
    },
    "/metrics": {
        "get": {
            "summary": "Figures for Prometheus.",
            "responses": {
                "200": {"description": "Done.", "content": {"text/plain": {"schema": _STRING}}},
                **_ERRORS,
            },
        }
    },
    "/openapi.json": _get("This document.", {"type": "object"}),
}


def document() -> Json:
    """The document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "weave-ryu",
            "version": __version__,
            "description": "State and roles of one peer. Errors have one shape, see Error.",
        },
        "paths": _PATHS,
        "components": {
            "schemas": _SCHEMAS,
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Needed for changes if there is one; for everything but the "
                    "page's own files if the API listens on another address than loopback.",
                }
            },
        },
    }
