"""The OpenAPI document: valid, of the routes that there are, and served to everyone."""

import base64
import json
import re
from typing import Any

import httpx2
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from ollm.gateway.app import NAMED_ROUTES, ROUTES
from ollm.gateway.openapi.document import document, encoded
from ollm.wire.endpoints import ENDPOINTS
from ollm.wire.error_codes import ERROR_CODES
from ollm.wire.refused import REFUSED_ENDPOINTS
from tests.stage import Stage


def found() -> dict[str, Any]:
    return json.loads(encoded())  # type: ignore[no-any-return]


def operations() -> dict[tuple[str, str], dict[str, Any]]:
    return {(method.upper(), path): operation for path, methods in found()["paths"].items() for method, operation in methods.items()}


def test_it_is_valid_openapi() -> None:
    OpenAPIV31SpecValidator(found()).validate()


def test_it_has_the_routes_that_there_are() -> None:
    plain = {(method, path) for path, methods in ROUTES.items() for method in methods}
    named = {(method, prefix) for prefix, methods in NAMED_ROUTES.items() for method in methods}
    assert {(method, path.partition("{")[0]) for method, path in operations()} == plain | named


def test_what_needs_no_key_says_so() -> None:
    public = {path for (_, path), operation in operations().items() if operation.get("security") == []}
    assert public == {"/v1/aci/attestation", "/v1/aci/sessions", "/v1/aci/sessions/{id}", "/openapi.json", "/healthz", "/readyz"}
    for (_, path), operation in operations().items():
        assert ("401" in operation["responses"]) == (path not in public)


def test_every_error_stands_at_the_operations_where_it_can_come() -> None:
    responses = found()["components"]["responses"]
    named = {name for response in responses.values() for name in codes_in(response)}
    elsewhere = {name for name, code in ERROR_CODES.items() if code.in_type or code.status == 200 or set(code.where) & {"refused", "unrouted"}}
    assert named - {None} == set(ERROR_CODES) - elsewhere
    chat = operations()["POST", "/v1/chat/completions"]["responses"]
    at_412 = responses[chat["412"]["$ref"].rpartition("/")[2]]
    assert codes_in(at_412) == ["preferences_not_met", None], "session_not_accepted stands in type"
    at_404 = responses[chat["404"]["$ref"].rpartition("/")[2]]
    assert codes_in(at_404) == ["model_not_found", "endpoint_not_supported"]


def codes_in(response: dict[str, Any]) -> list[str | None]:
    shape = response["content"]["application/json"]["schema"]["allOf"][1]
    codes: list[str | None] = shape["properties"]["error"]["properties"]["code"]["enum"]
    return codes


def test_errors_have_the_shape_of_the_endpoints_clients() -> None:
    either = {"anyOf": [{"$ref": "#/components/schemas/Error"}, {"$ref": "#/components/schemas/AnthropicError"}]}
    for (_, path), operation in operations().items():
        openai = path.startswith("/v1/") and not path.startswith(("/v1/messages", "/v1/models", "/v1/aci", "/v1/key", "/v1/usage"))
        assert shape_of(operation, "500") == ({"$ref": "#/components/schemas/Error"} if openai else either)
        assert shape_of(operation, "431") == {"$ref": "#/components/schemas/Error"}, "below the application nobody knows the client"


def shape_of(operation: dict[str, Any], status: str) -> Any:
    response = found()["components"]["responses"][operation["responses"][status]["$ref"].rpartition("/")[2]]
    return response["content"]["application/json"]["schema"]["allOf"][0]


def test_a_receipt_key_may_come_with_what_has_a_receipt_and_with_asking_for_it() -> None:
    told = {"$ref": "#/components/parameters/ReceiptKey"}
    having = {path for (_, path), operation in operations().items() if told in operation.get("parameters", ())}
    assert having == {endpoint.path for endpoint in ENDPOINTS.values()} | {"/v1/aci/receipts/{id}"}
    described = found()["components"]["parameters"]["ReceiptKey"]
    assert (described["name"], described["in"], described["required"]) == ("X-Receipt-Key", "header", False)
    pattern = described["schema"]["pattern"]
    for size, fits in ((32, True), (31, False), (33, False)):
        key = base64.urlsafe_b64encode(b"\xff" * size).rstrip(b"=").decode()
        assert (re.search(pattern, key) is not None) is fits
    assert re.search(pattern, "A" * 42 + "B") is None, "a key has one spelling"


def test_what_is_refused_on_purpose_is_told_beside() -> None:
    assert [entry["path"] for entry in found()["x-ollm-refused"]] == [entry.path for entry in REFUSED_ENDPOINTS]


def test_making_it_again_makes_the_same() -> None:
    assert json.loads(encoded()) == json.loads(json.dumps(document(), default=list))


@pytest.mark.asyncio(loop_scope="module")
async def test_it_is_served_without_a_key_and_says_nothing_of_the_installation(shared: Stage) -> None:
    async with httpx2.AsyncClient(base_url=shared.url, timeout=10) as nobody:
        response = await nobody.get("/openapi.json")
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    assert response.content == encoded()
    for name in (*shared.gateway.settings.models, *shared.gateway.settings.upstreams, str(shared.server.port)):
        assert f'"{name}"' not in response.text
