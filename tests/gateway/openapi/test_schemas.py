"""Answers are what the schemas say of them, without a member more."""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from ollm.gateway.openapi.document import encoded
from ollm.gateway.openapi.schemas import SCHEMAS, TEXT, obj
from tests.stage import Stage, chat_body


def conform(name: str, value: Any) -> None:
    whole = {**json.loads(encoded()), "$ref": f"#/components/schemas/{name}"}
    Draft202012Validator(whole).validate(value)


@pytest.mark.asyncio(loop_scope="module")
async def test_answers_conform(shared: Stage) -> None:
    chat = await shared.chat()
    session_id = (await shared.gateway.keepers["enclave"].session(5)).session_id
    conform("NamedAnswer", chat.json())
    for name, path in {
        "ModelList": "/v1/models",
        "Model": "/v1/models/acme/large-1",
        "AttestationReport": "/v1/aci/attestation",
        "Receipt": f"/v1/aci/receipts/{chat.headers['x-receipt-id']}",
        "SessionList": "/v1/aci/sessions",
        "Session": f"/v1/aci/sessions/{session_id}",
        "Status": "/readyz",
        "OpenApi": "/openapi.json",
    }.items():
        response = await shared.http.get(path)
        assert response.status_code == 200, path
        conform(name, response.json())


@pytest.mark.asyncio(loop_scope="module")
async def test_errors_conform(shared: Stage) -> None:
    conform("Error", (await shared.http.get("/nowhere")).json())
    conform("AnthropicError", (await shared.http.post("/v1/messages", content=chat_body(model="none"))).json())
    with pytest.raises(ValidationError):
        conform("Error", {"error": {"message": "", "type": "", "param": None}})


def test_every_schema_is_one() -> None:
    for schema in SCHEMAS.values():
        Draft202012Validator.check_schema(schema)


def test_an_object_is_closed_unless_it_is_said_to_be_open() -> None:
    assert obj({"a": TEXT, "b": TEXT}, optional=("b",)) == {
        "type": "object",
        "properties": {"a": TEXT, "b": TEXT},
        "required": ["a"],
        "additionalProperties": False,
    }
    assert obj({}, more=True)["additionalProperties"] is True
