"""The enclave over real TLS sockets: attested, sealed, receipted, and silent when nobody listens."""

import asyncio
import json
import re
from typing import Any

import httpx2
import openai
import pytest

from ollm.receipts.receipt import verify_receipt
from ollm.seal.ehbp import RequestSealer
from ollm.sim.engine import EVENT_STREAM
from ollm.values.hexes import sha256_of
from tests.sim.enclave_client import CHAT, EnclaveClient, chat, events, running, unverified_tls
from tests.sim.scripted_server import STREAM_HEAD, ScriptedServer, answering, chunk, scripted, silent, stalling, whole


async def test_its_evidence_is_accepted_on_the_connection_that_brought_it() -> None:
    async with running() as client:
        assert await client.refused_by() is None
        binding = await client.binding()
        assert binding.spki_sha256 == client.enclave.spki_sha256
        assert binding.hpke_public_key == client.enclave.identity.hpke_public_key
        assert client.enclave.counters.prompt_bytes == 0


async def test_every_answer_carries_acis_headers() -> None:
    async with running() as client:
        digest = (await client.binding()).keyset_digest
        for method, path in [("GET", "/v1/models"), ("GET", "/nowhere"), ("POST", CHAT), ("DELETE", CHAT), ("GET", "/healthz")]:
            response = await client.http.request(method, path)
            assert response.headers["x-aci-version"] == "aci/1"
            assert response.headers["x-aci-keyset-digest"] == digest


@pytest.mark.parametrize("nonce", ["", "ab", "AB" * 32, "zz" * 32])
async def test_a_nonce_of_another_form_is_refused(nonce: str) -> None:
    async with running() as client:
        response = await client.http.get(f"/v1/aci/attestation?nonce={nonce}")
        assert response.status_code == 400
        assert response.json()["error"]["type"] == "invalid_request_error"


async def test_the_report_says_that_it_serves_directly_and_what_it_opens() -> None:
    async with running() as client:
        report = (await client.http.get("/v1/aci/attestation")).json()
        assert report["service_capabilities"] == {"serving": "direct", "supported_e2ee_versions": ["ehbp/1"]}


async def test_a_sealed_whole_chat() -> None:
    async with running() as client:
        response, plaintext = await client.sealed(chat())
        assert "Hello there" in json.loads(plaintext)["choices"][0]["message"]["content"]
        assert "content-length" not in response.headers
        assert b"Hello" not in response.content


async def test_a_sealed_stream() -> None:
    async with running() as client:
        response, plaintext = await client.sealed(chat(stream=True, stream_options={"include_usage": True}))
        assert response.headers["content-type"].encode() == EVENT_STREAM
        chunks = events(plaintext)
        assert chunks[-1]["usage"]["total_tokens"] > 0
        frames = len(re.findall(b"data: ", plaintext))
        assert len(response.content) == len(plaintext) + frames * 20  # a length and a tag for each event: one frame per write


async def test_a_sealed_error_stays_sealed() -> None:
    async with running() as client:
        response, plaintext = await client.sealed(chat(model="gpt-9"))
        assert response.status_code == 404
        assert json.loads(plaintext)["error"]["code"] == "model_not_found"


async def test_sealed_embeddings() -> None:
    async with running() as client:
        _, plaintext = await client.sealed(b'{"model":"sim-embed","input":"a"}', "/v1/embeddings")
        assert len(json.loads(plaintext)["data"][0]["embedding"]) == 256


async def test_a_prompt_in_plaintext_is_refused_and_counted() -> None:
    async with running() as client:
        response = await client.http.post(CHAT, content=chat())
        assert response.status_code == 400
        assert response.json()["error"]["code"] == "plaintext_refused"
        assert client.enclave.counters.prompt_bytes == len(chat())


async def test_a_body_sealed_to_another_machine_tells_the_client_to_verify_again() -> None:
    async with running() as client, running() as other:
        public_key = (await other.binding()).hpke_public_key
        assert public_key is not None
        sealer = RequestSealer(public_key)
        response = await client.http.post(CHAT, content=sealer.seal(chat()), headers={"ehbp-encapsulated-key": sealer.encapsulated_key})
        assert response.status_code == 422
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["type"] == "urn:ietf:params:ehbp:error:key-config"


def client_sealer(public_key: bytes) -> Any:
    from ollm.seal.ehbp import RequestSealer

    return RequestSealer(public_key)


async def receipt_of(client: EnclaveClient, name: str, **headers: str) -> httpx2.Response:
    return await client.http.get(f"/v1/aci/receipts/{name}", headers=headers)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_receipt_commits_to_the_opened_request_and_the_sealed_answer(stream: bool) -> None:
    async with running(api_key="sk-test") as client:
        body = chat(stream=stream)
        response, _ = await client.sealed(body, authorization="Bearer sk-test")
        document = await receipt_of(client, response.headers["x-receipt-id"], authorization="Bearer sk-test")
        receipt = verify_receipt(document.content, (await client.binding()).keyset)
        hashes = {event["type"]: event["body_hash"] for event in receipt["event_log"]}
        assert hashes == {
            "request.received": sha256_of(body),
            "request.forwarded": sha256_of(body),
            "response.returned": sha256_of(response.content),
        }
        by_answer = await receipt_of(client, receipt["chat_id"], authorization="Bearer sk-test")
        assert by_answer.content == document.content
        assert (await receipt_of(client, receipt["chat_id"])).status_code == 401
        assert (await receipt_of(client, receipt["chat_id"], authorization="Bearer other")).status_code == 404


async def test_without_the_key_nothing_is_answered() -> None:
    async with running(api_key="sk-test", allow_plaintext=True) as client:
        for headers in ({}, {"authorization": "Bearer wrong"}):
            assert (await client.http.post(CHAT, content=chat(), headers=headers)).status_code == 401
            assert (await client.http.get("/v1/models", headers=headers)).status_code == 401
        assert (await client.http.post(CHAT, content=chat(), headers={"authorization": "Bearer sk-test"})).status_code == 200


async def test_pinned_sessions_are_refused_because_a_direct_service_has_none() -> None:
    async with running() as client:
        response, plaintext = await client.sealed(chat(provider={"aci_session_ids": ["ab" * 32]}))
        assert response.status_code == 412
        assert json.loads(plaintext)["error"]["type"] == "session_not_accepted"


async def test_an_unmodified_openai_client() -> None:
    async with running(allow_plaintext=True) as client, httpx2.AsyncClient(verify=unverified_tls()) as http:
        sdk = openai.AsyncOpenAI(base_url=client.enclave.url + "/v1", api_key="any", http_client=http, max_retries=0)
        answer = await sdk.chat.completions.create(model="sim-chat", messages=[{"role": "user", "content": "Hello there"}])
        assert "Hello there" in (answer.choices[0].message.content or "")
        stream = await sdk.chat.completions.create(model="sim-chat", messages=[{"role": "user", "content": "Hello there"}], stream=True)
        said = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
        assert said == answer.choices[0].message.content
        tool: Any = {"type": "function", "function": {"name": "get_weather", "parameters": {"properties": {"city": {"type": "string"}}}}}
        called = await sdk.chat.completions.create(model="sim-chat", messages=[{"role": "user", "content": "weather in Paris"}], tools=[tool])
        assert called.choices[0].message.tool_calls is not None
        assert called.choices[0].finish_reason == "tool_calls"
        assert len((await sdk.embeddings.create(model="sim-embed", input="a")).data[0].embedding) == 256
        assert [model.id async for model in await sdk.models.list()] == ["sim-chat", "sim-embed"]
        with pytest.raises(openai.NotFoundError):
            await sdk.chat.completions.create(model="gpt-9", messages=[{"role": "user", "content": "hi"}])
        with pytest.raises(openai.RateLimitError):
            await sdk.chat.completions.create(model="sim-error-429", messages=[{"role": "user", "content": "hi"}])


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_breaks_off_never_looks_complete(stream: bool) -> None:
    async with running(allow_plaintext=True) as client:
        with pytest.raises(httpx2.RemoteProtocolError):
            await client.http.post(CHAT, content=chat(model="sim-cut", stream=stream))


async def test_headers_go_ahead_of_a_slow_first_byte() -> None:
    async with running(allow_plaintext=True) as client, client.http.stream("POST", CHAT, content=chat(model="sim-slow-first")) as response:
        assert response.status_code == 200


# In front of an engine


async def test_an_engines_answer_passes_through_sealed() -> None:
    odd = b'{ "id":"cmpl-7", "choices":[ ] }'
    async with scripted(answering(whole("200 OK", odd))) as server, running(upstream=server.url) as client:
        response, plaintext = await client.sealed(chat())
        assert plaintext == odd
        assert server.requests[0][1] == chat()
        assert json.loads((await receipt_of(client, response.headers["x-receipt-id"])).content)["chat_id"] == "cmpl-7"


async def test_an_engines_stream_passes_through_sealed_with_a_receipt_before_its_end() -> None:
    parts = [b'data: {"id":"cmpl-8","choices":[]}\n\n', b": a comment\n\n", b"data: [DONE]\n\n"]
    async with scripted(answering(STREAM_HEAD, *map(chunk, parts), chunk(b""))) as server, running(upstream=server.url) as client:
        response, plaintext = await client.sealed(chat(stream=True))
        assert plaintext == b"".join(parts)
        assert (await receipt_of(client, "cmpl-8")).json()["receipt_id"] == response.headers["x-receipt-id"]


async def test_an_engines_own_error_is_sealed_and_another_failure_is_named() -> None:
    error = b'{"error":{"message":"your prompt is too long","type":"invalid_request_error"}}'
    async with scripted(answering(whole("400 Bad Request", error))) as server, running(upstream=server.url) as client:
        response, plaintext = await client.sealed(chat())
        assert (response.status_code, plaintext) == (400, error)
        assert b"prompt" not in response.content
    async with running(upstream="http://127.0.0.1:1/v1") as client:
        response, plaintext = await client.sealed(chat())
        assert (response.status_code, json.loads(plaintext)["error"]["code"]) == (502, "upstream_unreachable")


async def leave_after(client: EnclaveClient, server: ScriptedServer, received: int) -> None:
    """Send a chat on a raw connection, read `received` bytes of its answer, and cut the connection."""
    port = int(client.enclave.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=unverified_tls())
    body = chat(stream=True)
    writer.write(f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
    await asyncio.wait_for(server.asked.wait(), 5)
    if received:
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        await asyncio.wait_for(reader.readexactly(received - 1), 5)
    writer.transport.abort()


@pytest.mark.parametrize(
    ("script", "received"),
    [
        pytest.param(silent, 0, id="waiting for headers"),
        pytest.param(stalling(STREAM_HEAD), 1, id="before the first token"),
        pytest.param(stalling(STREAM_HEAD, chunk(b"data: {}\n\n")), 10, id="in the middle of a stream"),
    ],
)
async def test_a_client_that_leaves_stops_the_engine_within_a_second(script: Any, received: int) -> None:
    async with scripted(script) as server, running(upstream=server.url, allow_plaintext=True) as client:
        await leave_after(client, server, received)
        await asyncio.wait_for(server.gone.wait(), 1)
