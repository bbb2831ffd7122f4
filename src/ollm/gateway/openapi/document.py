"""The OpenAPI 3.1 document, made from the tables that requests are served by, and `GET /openapi.json`.

What the tables say stands in it and nothing else: paths and bodies from `wire.endpoints`, errors from `wire.error_codes`, what is refused on
purpose from `wire.refused`. A test compares its operations with the routes. Nothing in it depends on the configuration, so it needs no key.
"""

import functools
from collections.abc import Mapping
from typing import Any

import msgspec

import ollm
from ollm.gateway.call import Call
from ollm.gateway.context import Gateway
from ollm.gateway.openapi.bodies import ROUTE_DEMANDS, request_body
from ollm.gateway.openapi.operations import JSON, Operation, operations
from ollm.gateway.openapi.schemas import RECEIPT_KEY, SCHEMAS, SHA256, TEXT, Schema, ref
from ollm.wire.error_code import ErrorCode
from ollm.wire.error_codes import codes_of
from ollm.wire.refused import REFUSED_ENDPOINTS

_ABOUT = (
    "A confidential AI gateway: a request is forwarded only to a machine that was verified by hardware attestation, or, where key and "
    "configuration allow it, to a provider with zero data retention. Every answer of an inference endpoint has a signed receipt. JSON is read "
    "strictly: UTF-8, no member twice, no nesting deeper than 128, no number of more than 308 characters, no Content-Encoding."
)
_SCHEMES: Mapping[str, Schema] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "As OpenAI's clients send the key"},
    "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "As Anthropic's clients send it"},
    "api-key": {"type": "apiKey", "in": "header", "name": "api-key", "description": "As Azure's clients send it"},
}
_HEADERS: Mapping[str, Schema] = {
    "x-request-id": {"required": True, "schema": {**TEXT, "pattern": "^req_[0-9a-f]{32}$"}},
    "x-aci-version": {"required": True, "schema": {"const": "aci/1"}},
    "x-aci-keyset-digest": {"required": True, "description": "The keyset that the gateway's evidence commits to", "schema": SHA256},
    "cache-control": {"required": True, "schema": {"const": "no-store"}},
    "x-receipt-id": {"required": True, "schema": {**TEXT, "pattern": "^rcpt_[0-9a-f]{32}$"}},
    "x-ollm-execution": {"description": "Level of the route that serves", "schema": {"enum": ["tee", "zdr", "simulated"]}},
    "x-should-retry": {"description": "For SDKs: whether repeating can help", "schema": {"enum": ["true", "false"]}},
    "x-receipt-key": {"description": "To callers with a token alone that brought none: the key made for this receipt", "schema": RECEIPT_KEY},
    "retry-after": {"description": "Seconds", "schema": {**TEXT, "pattern": "^[0-9]+$"}},
    "www-authenticate": {"schema": TEXT},
}
_ALWAYS = ("x-request-id", "x-aci-version", "x-aci-keyset-digest", "cache-control")
_WITH_RECEIPT = ("x-receipt-id", "x-ollm-execution", "x-receipt-key")
_RECEIPT_KEY = (
    "32 random bytes as base64url without padding, for callers whose token is one of an issuer's: the receipt rests under it, and is fetched with "
    "the same one. Without it such a caller is told one with the answer. Of callers with a key it is not looked at: their receipts rest under that."
)
_PARAMETERS: Mapping[str, Schema] = {
    "ReceiptKey": {"name": "X-Receipt-Key", "in": "header", "required": False, "description": _RECEIPT_KEY, "schema": RECEIPT_KEY},
}


def document() -> dict[str, Any]:
    """The whole document."""
    paths: dict[str, dict[str, Any]] = {}
    responses: dict[str, Any] = {}
    for operation in operations():
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, responses)
    return {
        "openapi": "3.1.0",
        "info": {"title": "OLLM", "version": ollm.__version__, "summary": "Confidential AI gateway", "description": _ABOUT},
        "servers": [{"url": "/"}],
        "security": [{name: []} for name in _SCHEMES],
        "paths": paths,
        "components": {
            "schemas": {**SCHEMAS, "RouteDemands": ROUTE_DEMANDS},
            "responses": responses,
            "securitySchemes": _SCHEMES,
            "headers": _HEADERS,
            "parameters": _PARAMETERS,
        },
        "x-ollm-refused": [
            {
                "path": entry.path,
                "methods": sorted(entry.methods) if entry.methods else None,
                "at": entry.at,
                "below": entry.below,
                "why": entry.message,
            }
            for entry in REFUSED_ENDPOINTS
        ],
    }


@functools.cache
def encoded() -> bytes:
    """`document` as JSON: the same for all, so it is made once."""
    return msgspec.json.encode(document())


async def describe(gateway: Gateway, call: Call) -> None:
    """GET /openapi.json."""
    await call.respond(200, encoded(), [])


def _operation(operation: Operation, responses: dict[str, Any]) -> dict[str, Any]:
    """The operation object; the responses that it refers to are put into `responses`."""
    described: dict[str, Any] = {"operationId": operation.id, "summary": operation.summary}
    if "keyed" not in operation.traits:
        described["security"] = []
    parameters: list[Schema] = [{"name": name, "in": "query", "required": False, "schema": schema} for name, schema in operation.query.items()]
    parameters += [{"name": name, "in": "path", "required": True, "schema": schema} for name, schema in operation.named.items()]
    if operation.endpoint is not None or "receipt" in operation.traits:
        parameters.append({"$ref": "#/components/parameters/ReceiptKey"})
    if parameters:
        described["parameters"] = parameters
    if operation.endpoint is not None:
        described["requestBody"] = request_body(operation.endpoint)
    described["responses"] = {"200": _answer(operation), **_errors(operation, responses)}
    return described


def _headers(*names: str) -> dict[str, Schema]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in (*_ALWAYS, *names)}


def _answer(operation: Operation) -> dict[str, Any]:
    headers = _headers(*(_WITH_RECEIPT if operation.endpoint is not None else ()))
    content = {kind: {"schema": schema} for kind, schema in operation.answers.items()}
    return {"description": operation.summary, "headers": headers, "content": content}


def _errors(operation: Operation, responses: dict[str, Any]) -> dict[str, Any]:
    """References to the answer for each status that an error can have. Operations that share its causes share it."""
    by_status: dict[int, dict[str, ErrorCode]] = {}
    for name, code in codes_of(operation.traits).items():
        if code.status != 200:
            by_status.setdefault(code.status, {})[name] = code
    openai = operation.endpoint is not None and operation.endpoint.dialect == "openai"
    found = {}
    for status, codes in sorted(by_status.items()):
        causes = [trait for trait in operation.traits if any(trait in code.where for code in codes.values())]
        # Below the application nobody knows yet which client it is, so errors from there are always OpenAI's.
        below = all(code.group == "connection" for code in codes.values())
        name = "-".join((str(status), *causes, *(["openai"] if openai and not below else [])))
        responses[name] = _error(codes, ref("Error") if openai or below else {"anyOf": [ref("Error"), ref("AnthropicError")]})
        found[str(status)] = {"$ref": f"#/components/responses/{name}"}
    return found


def _error(codes: Mapping[str, ErrorCode], shapes: Schema) -> dict[str, Any]:
    known = [None if code.in_type else name for name, code in codes.items()]
    shape = {"properties": {"error": {"properties": {"code": {"enum": known}}}}}
    more = ["x-should-retry", "retry-after"] + (["www-authenticate"] if "invalid_api_key" in codes else [])
    return {
        "description": "; ".join(f"`{name}`: {code.means}" for name, code in codes.items()),
        "headers": _headers(*more),
        "content": {JSON: {"schema": {"allOf": [shapes, shape]}}},
    }
