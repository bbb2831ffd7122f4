"""A body that the schema allows is one that the parser takes, as far as the gateway judges it."""

import json
import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from ollm.errors import WireError
from ollm.gateway.openapi.bodies import ROUTE_DEMANDS, request_body
from ollm.wire.endpoints import ENDPOINTS
from ollm.wire.request import parse_json

IDS = ["5a" * 32]


def valid(endpoint: str, body: dict[str, Any]) -> bool:
    schema = request_body(ENDPOINTS[endpoint])["content"]["application/json"]["schema"]
    whole = {**schema, "components": {"schemas": {"RouteDemands": ROUTE_DEMANDS}}}
    return Draft202012Validator(whole).is_valid(body)


def taken(endpoint: str, body: dict[str, Any]) -> bool:
    try:
        parse_json(json.dumps(body).encode(), ENDPOINTS[endpoint])
    except WireError:
        return False
    return True


@pytest.mark.parametrize(
    ("endpoint", "members", "good"),
    [
        ("chat.completions", {}, True),
        ("chat.completions", {"model": ""}, False),
        ("chat.completions", {"model": "m" * 257}, False),
        ("chat.completions", {"model": None}, False),
        ("chat.completions", {"stream": None, "anything": [1]}, True),
        ("chat.completions", {"stream": "yes"}, False),
        ("chat.completions", {"stream_options": {"include_usage": 1}}, False),
        ("chat.completions", {"stream_options": {"include_usage": True, "include_obfuscation": 7}}, True),
        ("chat.completions", {"stream_options": []}, False),
        ("chat.completions", {"provider": {"aci_verified": True, "order": ["x"]}}, True),
        ("chat.completions", {"provider": {"aci_verified": None}}, False),
        ("chat.completions", {"provider": {"aci_session_ids": IDS}}, True),
        ("chat.completions", {"provider": {"aci_session_ids": []}}, False),
        ("chat.completions", {"provider": {"aci_session_ids": IDS * 65}}, False),
        ("chat.completions", {"provider": {"aci_session_ids": ["5A" * 32]}}, False),
        ("chat.completions", {"provider": {"aci_session_ids": IDS, "aci_verified": False}}, False),
        ("chat.completions", {"provider": {"aci_other": 1}}, False),
        ("responses", {"store": True, "previous_response_id": None, "background": False}, True),
        ("responses", {"previous_response_id": "resp_1"}, False),
        ("responses", {"conversation": {}}, False),
        ("responses", {"background": True}, False),
        ("images.generations", {"response_format": "b64_json"}, True),
        ("images.generations", {"response_format": "url"}, False),
        ("audio.speech", {"stream_format": "sse"}, True),
        ("audio.speech", {"stream_format": 7}, False),
        ("embeddings", {"stream": "whatever"}, True),
    ],
)
def test_schema_and_parser_agree(endpoint: str, members: dict[str, Any], good: bool) -> None:
    body = {"model": "m", **members}
    assert valid(endpoint, body) is good
    assert taken(endpoint, body) is good


def test_a_form_is_described_as_one() -> None:
    body = request_body(ENDPOINTS["images.edits"])
    schema = body["content"]["multipart/form-data"]["schema"]
    assert body["required"] and schema["required"] == ["model"]
    assert schema["properties"]["provider"] is False
    assert re.fullmatch(schema["propertyNames"]["pattern"], "timestamp_granularities[]") and not re.match(schema["propertyNames"]["pattern"], 'a"b')
    assert schema["properties"]["response_format"]["not"] == {"const": "url"}
    assert schema["properties"]["stream"]["enum"] == ["true", "false"]
    assert set(schema["properties"]) >= {"image", "mask"}
    assert "stream" not in request_body(ENDPOINTS["audio.translations"])["content"]["multipart/form-data"]["schema"]["properties"]


@pytest.mark.parametrize("endpoint", ENDPOINTS.values(), ids=ENDPOINTS)
def test_members_that_nobody_judges_are_allowed(endpoint: Any) -> None:
    (content,) = request_body(endpoint)["content"].values()
    assert content["schema"]["additionalProperties"] is True
