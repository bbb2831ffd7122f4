"""Every operation of the data plane, as the OpenAPI document has it: inference from its table, the others from the one here."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from ollm.gateway.openapi.schemas import HEX32, TEXT, Schema, ref
from ollm.wire.endpoints import ENDPOINTS, Endpoint
from ollm.wire.error_code import Trait

JSON = "application/json"
EVENTS = "text/event-stream"
_INFERENCE: tuple[Trait, ...] = ("keyed", "body", "inference", "stored")


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One method of one path. `answers`: the schema of a 200 by media type; `parameters`: of the query and the path."""

    method: str
    path: str
    id: str
    summary: str
    traits: tuple[Trait, ...]
    answers: Mapping[str, Schema]
    query: Mapping[str, Schema] = {}
    named: Mapping[str, Schema] = {}
    endpoint: Endpoint | None = None


def _get(path: str, id: str, summary: str, traits: tuple[Trait, ...], answer: str, **others: Any) -> Operation:
    return Operation(method="GET", path=path, id=id, summary=summary, traits=traits, answers={JSON: ref(answer)}, **others)


_FLAG: Schema = {"type": "string", "pattern": "^([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee])$"}

_OTHERS = (
    _get(
        "/v1/models",
        "listModels",
        "What can be called, at what trust level, verified when",
        ("keyed", "query"),
        "ModelList",
        query={"assurance": {"type": "string", "enum": ["tee", "zdr", "simulated"]}, "allow_tee": _FLAG, "allow_zdr": _FLAG},
    ),
    _get("/v1/models/{name}", "retrieveModel", "One model", ("keyed", "query", "model"), "Model", named={"name": {**TEXT, "minLength": 1}}),
    _get("/v1/key", "showKey", "The key that asks: what it may do, and what is left of its limits and budgets", ("keyed", "stored"), "Key"),
    _get(
        "/v1/usage",
        "showUsage",
        "What the key has used: requests, tokens and cost in buckets of time",
        ("keyed", "query", "stored"),
        "UsagePage",
        query={"start_time": TEXT, "end_time": TEXT, "bucket_width": {"type": "string", "enum": ["1m", "1h", "1d"]}, "group_by": TEXT},
    ),
    _get(
        "/v1/aci/attestation",
        "attestGateway",
        "The gateway's own evidence",
        ("attestation", "query"),
        "AttestationReport",
        query={"nonce": {**HEX32, "description": "32 random bytes that the quote answers"}},
    ),
    _get(
        "/v1/aci/receipts/{id}",
        "retrieveReceipt",
        "The receipt of a request, to the key that made it",
        ("keyed", "receipt", "stored"),
        "Receipt",
        named={"id": {**TEXT, "minLength": 1, "description": "of the receipt, the request or the answer"}},
    ),
    _get(
        "/v1/aci/sessions",
        "listSessions",
        "Verified sessions that hold now, without their evidence",
        ("query",),
        "SessionList",
        query={"upstream_name": TEXT, "model": TEXT},
    ),
    _get(
        "/v1/aci/sessions/{id}",
        "retrieveSession",
        "A session with its evidence, exactly as receipts cite it",
        ("session", "stored"),
        "Session",
        named={"id": {**TEXT, "minLength": 1}},
    ),
    _get("/openapi.json", "describe", "This document", (), "OpenApi"),
    _get("/healthz", "live", "The process runs", (), "Status"),
    _get("/readyz", "ready", "Each model has a machine that is verified, or needs none", ("ready",), "Status"),
)


def _answers(endpoint: Endpoint) -> dict[str, Schema]:
    answers: dict[str, Schema] = {}
    if endpoint.binary:
        answers = {"audio/*": {}, "application/octet-stream": {}}
    else:
        answers[JSON] = ref("NamedAnswer" if endpoint.named else "Answer")
    if endpoint.texts:
        answers["text/plain"] = TEXT
    if endpoint.streams is not None:
        answers[EVENTS] = {"description": "Server-sent events, as the API of the endpoint defines them."}
    return answers


def operations() -> Iterator[Operation]:
    """All of them."""
    for endpoint in ENDPOINTS.values():
        words = endpoint.name.replace("_", ".").split(".")
        yield Operation(
            method="POST",
            path=endpoint.path,
            id=words[0] + "".join(word.title() for word in words[1:]),
            summary=f"Inference: {endpoint.name}",
            traits=_INFERENCE,
            answers=_answers(endpoint),
            endpoint=endpoint,
        )
    yield from _OTHERS
