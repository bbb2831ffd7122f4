"""Request bodies of the inference endpoints as JSON Schema, made from the table of endpoints.

Only what the gateway judges is described; all other members pass through, so a schema allows them.
"""

from typing import Any

from ollm.gateway.openapi.schemas import HEX32, Schema, ref
from ollm.wire.endpoints import Endpoint
from ollm.wire.form import MEDIA_TYPE
from ollm.wire.preferences import MAX_NAMES, MAX_SESSION_IDS
from ollm.wire.request import JSON, MAX_MODEL_NAME

_MODEL: Schema = {"type": "string", "minLength": 1, "maxLength": MAX_MODEL_NAME, "description": "A name that GET /v1/models lists."}
_FLAG: Schema = {"type": ["boolean", "null"]}
_OURS = ("aci_verified", "aci_session_ids")
_NAMES: Schema = {"type": ["array", "null"], "items": {"type": "string"}, "maxItems": MAX_NAMES}
_NAMED = {"order": "Upstreams that are tried first.", "only": "Upstreams that alone may serve.", "ignore": "Upstreams that must not."}
_SWITCHES = {
    "allow_fallbacks": "false: none but those in `order`; without it, none but the first.",
    "require_parameters": "true: only routes that take the request as it is, without a translation.",
    "zdr": "true: level zdr at least.",
}
_AMOUNT: Schema = {"type": ["number", "null"], "minimum": 0}
ROUTE_DEMANDS: Schema = {
    "type": ["object", "null"],
    "description": "Demands on the route. They only tighten what key and configuration demand, and are not forwarded.",
    "properties": {
        "aci_verified": {"type": "boolean", "description": "true demands level tee"},
        **{name: {**_NAMES, "description": says} for name, says in _NAMED.items()},
        **{name: {"type": ["boolean", "null"], "description": says} for name, says in _SWITCHES.items()},
        "max_price": {
            "type": ["object", "null"],
            "properties": {"prompt": _AMOUNT, "completion": _AMOUNT},
            "additionalProperties": False,
            "description": "USD per million tokens; a price that is not configured is too high.",
        },
        "sort": {"enum": ["price", "latency", "throughput", None], "description": "What decides the order."},
        "aci_session_ids": {
            "type": "array",
            "items": HEX32,
            "minItems": 1,
            "maxItems": MAX_SESSION_IDS,
            "description": "Only these verified sessions may serve.",
        },
    },
    "propertyNames": {"anyOf": [{"enum": list(_OURS)}, {"not": {"pattern": "^aci_"}}]},
    "not": {"required": list(_OURS), "properties": {"aci_verified": {"const": False}}},
}
_FILE: Schema = {"type": "string", "contentMediaType": "application/octet-stream"}
_FILES = {"images.edits": ("image", "mask"), "audio.transcriptions": ("file",), "audio.translations": ("file",)}


def request_body(endpoint: Endpoint) -> dict[str, Any]:
    """The request body object of `endpoint`."""
    kind = MEDIA_TYPE if endpoint.form else JSON
    properties = _form(endpoint) if endpoint.form else _json(endpoint)
    schema: Schema = {"type": "object", "properties": {"model": _MODEL, **properties}, "required": ["model"], "additionalProperties": True}
    if endpoint.form:
        schema["propertyNames"] = {"pattern": r"^[A-Za-z0-9_.\[\]-]{1,128}$"}
    return {"required": True, "content": {kind: {"schema": schema}}}


def _json(endpoint: Endpoint) -> dict[str, Schema]:
    properties: dict[str, Schema] = {}
    if endpoint.streams is not None:
        name, value = endpoint.streams
        properties[name] = {**(_FLAG if value == "true" else {"type": ["string", "null"]}), "description": f"{value} asks for a stream"}
    if endpoint.usage_option:
        properties["stream_options"] = {"type": ["object", "null"], "properties": {"include_usage": _FLAG}}
    rules = endpoint.rules
    properties |= {name: {"enum": [None, False], "description": f"Refused: {reason}."} for name, reason in rules.refused.items()}
    properties |= _refused_values(endpoint)
    properties |= {name: {"description": f"Always sent on as {forced}."} for name, forced in rules.forced.items()}
    return {**properties, "provider": ref("RouteDemands")}


def _form(endpoint: Endpoint) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    if endpoint.streams is not None:
        properties["stream"] = {"type": "string", "enum": ["true", "false"]}
    properties |= dict.fromkeys(endpoint.rules.refused, False)
    properties |= _refused_values(endpoint)
    properties |= dict.fromkeys(_FILES.get(endpoint.name, ()), _FILE)
    return {**properties, "provider": False}


def _refused_values(endpoint: Endpoint) -> dict[str, Schema]:
    values = endpoint.rules.refused_values
    return {name: {"not": {"const": word}, "description": f"Not {word}: {reason}."} for name, (word, reason) in values.items()}
