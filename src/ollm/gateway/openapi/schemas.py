"""Shapes of answers as JSON Schema 2020-12, the dialect of OpenAPI 3.1. What a provider answers is described as far as the gateway vouches for it."""

from collections.abc import Iterable, Mapping
from typing import Any

Schema = dict[str, Any]


def obj(properties: Mapping[str, Schema], *, optional: Iterable[str] = (), more: bool = False, **others: Any) -> Schema:
    """An object whose members are all there but those in `optional`; `more`: it may have others."""
    left = set(optional)
    required = [name for name in properties if name not in left]
    return {"type": "object", "properties": dict(properties), "required": required, "additionalProperties": more, **others}


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def const(value: Any) -> Schema:
    return {"const": value}


TEXT: Schema = {"type": "string"}
TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
NUMBER: Schema = {"type": "integer"}
TIME: Schema = {"type": "integer", "minimum": 0, "description": "Unix seconds"}
TIME_OR_NULL: Schema = {"type": ["integer", "null"], "minimum": 0, "description": "Unix seconds"}
HEX32: Schema = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
SHA256: Schema = {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"}
RECEIPT_KEY: Schema = {"type": "string", "pattern": "^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$"}  # the last character carries 4 bits
OBJECT: Schema = {"type": "object"}
_AMOUNT: Schema = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?$", "description": "of one token, exact"}
_DIGITS: Schema = {"type": "string", "pattern": "^[0-9]+$"}
_LEVEL: Schema = {"type": "string", "enum": ["tee", "zdr", "simulated"]}

_ERROR = obj({"message": TEXT, "type": TEXT, "param": TEXT_OR_NULL, "code": TEXT_OR_NULL})

_CLAIM = obj(
    {"status": {"enum": ["asserted", "refuted", "unknown"]}, "source": TEXT, "reason": TEXT, "devices": array(obj({"kind": TEXT, "model": TEXT}))},
    optional=("source", "reason"),
)

_STATE: dict[str, Schema] = {
    "available": {"type": "boolean"},
    "last_result": {"enum": ["verified", "refused", "never", "not_attested"]},
    "reason": TEXT_OR_NULL,
    "session_id": {"anyOf": [HEX32, {"type": "null"}]},
    "verified_at": TIME_OR_NULL,
    "expires_at": TIME_OR_NULL,
    "checked_at": TIME_OR_NULL,
    "retry_at": TIME_OR_NULL,
}

_ROUTE = obj(
    {
        "provider": TEXT,
        "adapter": TEXT,
        "region": TEXT_OR_NULL,
        "level": _LEVEL,
        "tee_types": array({"enum": ["tdx", "sev-snp", "nitro"]}),
        "gpu": {"anyOf": [_CLAIM, {"type": "null"}]},
        **_STATE,
        "machines": array(obj({"host": TEXT, **_STATE})),
    },
    description="One way to a model, and what is known of its machine now.",
)

_MODEL = obj(
    {
        "id": TEXT,
        "object": const("model"),
        "created": TIME,
        "owned_by": TEXT,
        "type": const("model"),
        "display_name": TEXT,
        "created_at": {"type": "string", "format": "date-time"},
        "endpoints": array(TEXT),
        "attestation": {
            "anyOf": [ref("Route"), {"type": "null"}],
            "description": "The route that a plain request with this key would go to; null where no route reaches the level it demands.",
        },
        "routes": array(ref("Route")),
        "context_length": NUMBER,
        "max_output_length": NUMBER,
        "architecture": obj({"modality": TEXT, "input_modalities": array(TEXT), "output_modalities": array(TEXT)}),
        "supported_parameters": array(TEXT),
        "pricing": obj(
            {
                "prompt": _AMOUNT,
                "completion": _AMOUNT,
                "input_cache_read": _AMOUNT,
                "input_micro_per_million": _DIGITS,
                "output_micro_per_million": _DIGITS,
                "cached_micro_per_million": _DIGITS,
                "version": TEXT,
            }
        ),
    },
    optional=("context_length", "max_output_length", "architecture", "supported_parameters", "pricing"),
)

_SESSION = {
    "api_version": const("aci/1"),
    "upstream_name": TEXT,
    "endpoint": TEXT_OR_NULL,
    "verifier_id": TEXT,
    "established_at": TIME,
    "expires_at": TIME,
    "channel_binding": array(OBJECT),
    "claims": OBJECT,
    "evidence": obj({"digest": SHA256, "data": TEXT}, optional=("data",)),
    "identity": OBJECT,
}

SCHEMAS: Mapping[str, Schema] = {
    "Error": obj({"error": _ERROR}, description="OpenAI's error object. `code` is stable; `message` is for people."),
    "AnthropicError": obj(
        {"type": const("error"), "error": _ERROR},
        description="Anthropic's error object, with `param` and `code` added: at its endpoints, and for requests with anthropic-version.",
    ),
    "Route": _ROUTE,
    "Model": _MODEL,
    "ModelList": obj(
        {"object": const("list"), "data": array(ref("Model")), "has_more": const(False), "first_id": TEXT_OR_NULL, "last_id": TEXT_OR_NULL}
    ),
    "Key": obj(
        {"object": const("key"), "id": TEXT, "role": TEXT, "limits": array(OBJECT), "budgets": array(OBJECT)},
        more=True,
        description="What a key may do, and what is left of its limits and budgets.",
    ),
    "UsagePage": obj(
        {"object": const("page"), "data": array(OBJECT), "has_more": {"type": "boolean"}}, more=True, description="Buckets of time with their sums."
    ),
    "AttestationReport": obj(
        {"api_version": const("aci/1"), "attestation": OBJECT}, more=True, description="ACI/1's report about the gateway itself (ACI §4)."
    ),
    "Receipt": obj(
        {"api_version": const("aci/1"), "receipt_id": TEXT, "event_log": array(OBJECT), "signature": {}},
        more=True,
        description="What was asked, who was verified, what was sent and answered, as digests, signed (ACI §7).",
    ),
    "Session": obj(_SESSION, optional=("identity",), description="One verification of one machine, with its evidence (ACI §8)."),
    "SessionList": obj({"api_version": const("aci/1"), "sessions": array(obj({"session_id": HEX32, **_SESSION}, optional=("identity",)))}),
    "Status": obj({"status": const("ok")}),
    "OpenApi": obj({"openapi": TEXT}, more=True, description="This document."),
    "Answer": obj({}, more=True, description="The provider's answer. Members that routing doesn't know pass through."),
    "NamedAnswer": obj(
        {"id": TEXT, "model": TEXT},
        more=True,
        description="The provider's answer with `id` and `model` replaced by the gateway's id and the model as it was asked for.",
    ),
}
