"""The table of routes, enumerated: what each answers without a key, with another method, and when something inside breaks."""

import logging
import re
from typing import NoReturn

import anthropic
import httpx2
import openai
import pytest

from ollm.errors import ConfigError, EvidenceRefused, StoreError, UpstreamError
from ollm.gateway.app import NAMED_ROUTES, ROUTES
from ollm.gateway.call import Call
from ollm.gateway.context import Gateway
from ollm.wire.refused import REFUSED_ENDPOINTS
from tests.stage import CHAT, Stage, chat_body, error_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

# The only routes that are answered without an API key. A new route is refused here until somebody decides that it is public.
PUBLIC = {"/openapi.json", "/healthz", "/readyz", "/v1/aci/attestation", "/v1/aci/sessions", "/v1/aci/sessions/{}"}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD")
CANARY = "canary-77ac"


def routes() -> list[tuple[str, list[str]]]:
    """Every route and its methods; `{}` is where a name stands."""
    plain = [(path, list(handlers)) for path, handlers in ROUTES.items()]
    return plain + [(prefix + "{}", list(handlers)) for prefix, handlers in NAMED_ROUTES.items()]


def of_the_gateway(stage: Stage, response: httpx2.Response) -> None:
    """What every answer carries, whatever became of the request."""
    assert re.fullmatch(r"req_[0-9a-f]{32}", response.headers["x-request-id"])
    assert response.headers["x-aci-version"] == "aci/1"
    assert response.headers["x-aci-keyset-digest"] == stage.gateway.keyset_digest
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["content-type"] == "application/json"


async def test_the_table_holds_these_routes() -> None:
    assert dict(routes()) == {
        CHAT: ["POST"],
        "/v1/completions": ["POST"],
        "/v1/responses": ["POST"],
        "/v1/embeddings": ["POST"],
        "/v1/moderations": ["POST"],
        "/v1/rerank": ["POST"],
        "/v1/images/generations": ["POST"],
        "/v1/images/edits": ["POST"],
        "/v1/audio/speech": ["POST"],
        "/v1/audio/transcriptions": ["POST"],
        "/v1/audio/translations": ["POST"],
        "/v1/messages": ["POST"],
        "/v1/messages/count_tokens": ["POST"],
        "/v1/models": ["GET"],
        "/v1/models/{}": ["GET"],
        "/v1/key": ["GET"],
        "/v1/usage": ["GET"],
        "/v1/aci/attestation": ["GET"],
        "/v1/aci/receipts/{}": ["GET"],
        "/v1/aci/sessions": ["GET"],
        "/v1/aci/sessions/{}": ["GET"],
        "/openapi.json": ["GET"],
        "/healthz": ["GET"],
        "/readyz": ["GET"],
    }


@pytest.mark.parametrize(("path", "allowed"), routes(), ids=[path for path, _ in routes()])
async def test_every_other_method_is_told_what_is_allowed(path: str, allowed: list[str], shared: Stage) -> None:
    for method in set(METHODS) - set(allowed) - ({"GET"} if path == CHAT else set()):  # that would be the list of what was kept
        response = await shared.http.request(method, path.format("demo"))
        assert response.status_code == 405, method
        assert response.headers["allow"] == ", ".join(allowed)
        of_the_gateway(shared, response)
        if method != "HEAD":
            assert error_of(response)["code"] == "method_not_allowed"


@pytest.mark.parametrize(
    "path",
    ["/", "/v1", "/v1/", "/v1/models/", "/v1/chat/completions/", "/V1/MODELS", "//v1/models", "/v1//models", "/v1/embedding", "/v1/aci", "/healthz/",
     "/metrics", "/admin", "/v1/aci/receipts/", "/v1/aci/sessions/", "/.well-known/hpke-keys", "/v1/models%00", "/docs", "/openapi.yaml"],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_what_is_in_no_table_is_not_there(method: str, path: str, shared: Stage) -> None:
    response = await shared.http.request(method, path)
    assert (response.status_code, error_of(response)["code"]) == (404, "unknown_url")
    of_the_gateway(shared, response)


async def test_an_endpoint_that_is_refused_says_why_to_whoever_has_a_key(shared: Stage) -> None:
    async with httpx2.AsyncClient(base_url=shared.url, timeout=10) as nobody:
        for entry in REFUSED_ENDPOINTS:
            path = entry.path + ("" if entry.at else "/x")
            for method in entry.methods or ("GET", "POST", "DELETE"):
                response = await shared.http.request(method, path)
                of_the_gateway(shared, response)
                error = error_of(response)
                assert (response.status_code, error["code"], error["message"]) == (404, "endpoint_refused", entry.message)
                assert response.headers["x-should-retry"] == "false"
                assert (await nobody.request(method, path)).status_code == 401
    assert (await shared.http.get("/v1/files/%2e%2e/models")).status_code == 404, "a path is never put together anew"


async def test_clients_of_openai_and_anthropic_meet_the_refusal_as_an_endpoint_that_is_not_there(shared: Stage) -> None:
    async with openai.AsyncOpenAI(base_url=shared.url + "/v1", api_key=shared.api_key) as client:
        with pytest.raises(openai.NotFoundError, match="data URLs") as refusal:
            await client.files.create(file=b"text", purpose="user_data")
        assert refusal.value.code == "endpoint_refused"
        with pytest.raises(openai.NotFoundError, match="not kept"):
            await client.responses.retrieve("resp_1")
        with pytest.raises(openai.NotFoundError, match="none to list"):
            await client.chat.completions.list()
    async with anthropic.AsyncAnthropic(base_url=shared.url, api_key=shared.api_key) as other:
        with pytest.raises(anthropic.NotFoundError) as told:
            await other.messages.batches.list()
        assert told.value.response.json()["error"]["code"] == "endpoint_refused"


async def test_without_a_key_only_the_public_routes_answer(shared: Stage) -> None:
    session = await shared.gateway.keepers["enclave"].session(5)
    answered = set()
    async with httpx2.AsyncClient(base_url=shared.url, timeout=10) as nobody:
        for path, methods in routes():
            for method in methods:
                response = await nobody.request(method, path.format(session.session_id), content=chat_body() if method == "POST" else None)
                of_the_gateway(shared, response)
                if response.status_code != 401:
                    answered.add(path)
                    assert response.status_code == 200
    assert answered == PUBLIC


async def test_answers_and_errors_carry_the_gateways_headers(shared: Stage) -> None:
    responses = [
        await shared.chat(),
        await shared.chat(model="none"),
        await shared.chat(provider={"aci_verified": True}),
        await shared.chat(model="sim-error-429"),
        await shared.http.post(CHAT, content=b"{"),
        await shared.http.post(CHAT, content=b"{}", headers={"content-encoding": "gzip"}),
        await shared.http.get("/v1/models"),
        await shared.http.get("/v1/aci/receipts/none"),
        await shared.http.get("/v1/aci/attestation?nonce=none"),
        await shared.http.get("/healthz", headers={"authorization": ""}),
        await shared.http.get("/v1/models", headers={"authorization": ""}),
    ]
    assert [response.status_code for response in responses] == [200, 404, 403, 429, 400, 415, 200, 404, 400, 200, 401]
    for response in responses:
        of_the_gateway(shared, response)
    assert len({response.headers["x-request-id"] for response in responses}) == len(responses)
    stream = await shared.chat(stream=True)
    assert stream.headers["x-aci-keyset-digest"] == shared.gateway.keyset_digest


# When something inside breaks


def breaking(monkeypatch: pytest.MonkeyPatch, error: Exception, *, late: bool = False) -> None:
    """Let GET /v1/models raise `error`, `late` once its answer has begun."""

    async def broken(gateway: Gateway, call: Call) -> NoReturn:
        if late:
            await call.start_stream([])
            await call.piece(b"data: {}\n\n")
        raise error

    monkeypatch.setitem(ROUTES, "/v1/models", {"GET": broken})


@pytest.mark.parametrize(
    "error",
    [
        LookupError(CANARY),
        ConfigError(CANARY, CANARY),
        EvidenceRefused(CANARY, CANARY, CANARY),
        UpstreamError("headers", CANARY),
        UnicodeEncodeError("utf-8", CANARY, 0, 1, CANARY),
        MemoryError(CANARY),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_what_breaks_inside_is_told_by_its_type_and_only_to_the_operator(
    error: Exception, shared: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    breaking(monkeypatch, error)
    response = await shared.http.get("/v1/models")
    assert (response.status_code, error_of(response)["code"]) == (500, "internal_error")
    of_the_gateway(shared, response)
    assert CANARY not in response.text + str(response.headers) + caplog.text
    told = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [record.__dict__["error"] for record in told] == [type(error).__name__]
    assert CANARY not in str([record.__dict__ for record in caplog.records])
    assert (await shared.http.get("/healthz")).status_code == 200


@pytest.mark.parametrize("error", [LookupError(CANARY), ConfigError(CANARY), StoreError(CANARY)], ids=lambda error: type(error).__name__)
async def test_an_answer_that_breaks_in_the_middle_is_cut_not_ended(error: Exception, shared: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    breaking(monkeypatch, error, late=True)
    with pytest.raises(httpx2.RemoteProtocolError):
        await shared.http.get("/v1/models")
