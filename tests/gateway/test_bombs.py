"""Requests that cost a server more than they cost to send: each endpoint refuses each of them soon, and no provider hears of it."""

import time

import httpx2
import pytest

from ollm.wire.endpoints import ENDPOINTS
from tests.bombs import BOMBS, FORM, JSON, Bomb
from tests.stage import Stage, error_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECONDS = 1.0
AT = {JSON: "/v1/chat/completions", FORM: "/v1/audio/transcriptions"}
ELSEWHERE = ("arrays in arrays", "one endless integer", "many keys", "the same key again and again")


async def refused(shared: Stage, path: str, bomb: Bomb, body: bytes) -> tuple[httpx2.Response, float]:
    begun = time.monotonic()
    response = await shared.http.post(path, content=body, headers={"content-type": bomb.content_type})
    return response, time.monotonic() - begun


@pytest.mark.parametrize("name", BOMBS)
async def test_a_bomb_is_refused_within_a_second(name: str, shared: Stage) -> None:
    bomb = BOMBS[name]
    body, before = bomb.made(), shared.enclave.counters.prompt_requests
    response, took = await refused(shared, AT[bomb.content_type], bomb, body)
    if took >= SECONDS:  # the machine may have been busy with something else: once more
        response, took = await refused(shared, AT[bomb.content_type], bomb, body)
    assert response.status_code == bomb.status
    assert error_of(response)["code"] == ("request_too_large" if bomb.status == 413 else "invalid_request")
    assert took < SECONDS
    assert shared.enclave.counters.prompt_requests == before


@pytest.mark.parametrize("endpoint", [endpoint for endpoint in ENDPOINTS.values() if not endpoint.form], ids=lambda endpoint: endpoint.name)
async def test_every_endpoint_that_reads_json_reads_it_so(endpoint: object, shared: Stage) -> None:
    path = endpoint.path  # type: ignore[attr-defined]
    for name in ELSEWHERE:
        response, _ = await refused(shared, path, BOMBS[name], BOMBS[name].body(1536 * 1024))
        assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_request"), name


@pytest.mark.parametrize("path", ["/v1/models", "/v1/chat/completions", "/healthz", "/openapi.json", "/v1/files"])
@pytest.mark.parametrize(
    ("headers", "query", "status", "code"),
    [
        pytest.param({"x-large": "y" * 40_000}, "", 431, "headers_too_large", id="one huge header"),
        pytest.param({f"x-{number}": "y" for number in range(120)}, "", 431, "headers_too_large", id="many headers"),
        pytest.param({"cookie": "; ".join(f"c{number}={'v' * 300}" for number in range(120))}, "", 431, "headers_too_large", id="cookies"),
        pytest.param({}, "?" + "q" * 9_000, 414, "uri_too_long", id="a long query"),
    ],
)
async def test_a_huge_head_is_refused_everywhere(path: str, headers: dict[str, str], query: str, status: int, code: str, shared: Stage) -> None:
    begun = time.monotonic()
    response = await shared.http.get(path + query, headers=headers)
    assert (response.status_code, error_of(response)["code"]) == (status, code)
    assert time.monotonic() - begun < SECONDS


async def test_a_query_of_many_fields_is_refused(shared: Stage) -> None:
    for path in ("/v1/models", "/v1/aci/sessions", "/v1/aci/attestation"):
        response = await shared.http.get(path + "?" + "&".join(f"a{number}=1" for number in range(1_000)))
        assert (response.status_code, error_of(response)["code"]) == (400, "invalid_query")
