"""In front of an OpenAI-compatible server: byte for byte, errors mapped, cancelled when nobody listens."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest

from ollm.errors import ApiError, ConfigError, UpstreamError
from ollm.sim.engine import Operation, Reply
from ollm.sim.upstream import UpstreamEngine, first_model
from tests.sim.scripted_server import STREAM_HEAD, Script, ScriptedServer, answering, chunk, scripted, silent, stalling, whole

BODY = b'{"model":"m","messages":[]}'


@asynccontextmanager
async def serving(script: Script) -> AsyncIterator[tuple[ScriptedServer, UpstreamEngine]]:
    async with scripted(script) as server:
        engine = UpstreamEngine(server.url + "/", timeout=httpx2.Timeout(0.5), api_key="sk-engine")
        try:
            yield server, engine
        finally:
            await engine.close()


async def read(reply: Reply) -> bytes:
    try:
        return b"".join([chunk async for chunk in reply.chunks])
    finally:
        await reply.close()


async def test_a_whole_answer_passes_through_byte_for_byte() -> None:
    odd = b'{ "id" : "x", "unknown":1.50 }\n'
    async with serving(answering(whole("200 OK", odd))) as (server, engine):
        reply = await engine.answer(Operation.CHAT, BODY)
        assert await read(reply) == odd
        assert (reply.status, reply.length, reply.streamed) == (200, len(odd), False)
    [(head, body)] = server.requests
    assert head.startswith("POST /v1/chat/completions HTTP/1.1")
    assert "authorization: bearer sk-engine" in head.lower()
    assert "accept-encoding: identity" in head.lower()
    assert body == BODY


async def test_a_stream_passes_through_byte_for_byte() -> None:
    async with serving(answering(STREAM_HEAD, chunk(b"data: 1\n\n"), chunk(b": hello\n"), chunk(b""))) as (_, engine):
        reply = await engine.answer(Operation.CHAT, BODY)
        assert reply.streamed
        assert await read(reply) == b"data: 1\n\n: hello\n"


async def test_the_list_of_models_is_asked_with_get() -> None:
    async with serving(answering(whole("200 OK", b'{"object":"list","data":[]}'))) as (server, engine):
        await read(await engine.answer(Operation.MODELS, b""))
    assert server.requests[0][0].startswith("GET /v1/models HTTP/1.1")


async def test_the_servers_own_error_object_reaches_the_client() -> None:
    error = b'{"error":{"message":"context too long","type":"invalid_request_error"}}'
    async with serving(answering(whole("400 Bad Request", error))) as (_, engine):
        reply = await engine.answer(Operation.CHAT, BODY)
        assert (reply.status, await read(reply)) == (400, error)


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        (whole("500 Internal Server Error", b"secret stack trace", "text/plain"), 502, "upstream_failed"),
        (whole("404 Not Found", b"secret page", "text/html"), 404, None),
        (whole("302 Found", b"", extra="location: http://127.0.0.1:1/\r\n"), 502, "upstream_failed"),
        (whole("200 OK", b"\x1f\x8b", extra="content-encoding: gzip\r\n"), 502, "upstream_invalid"),
        (whole("400 Bad Request", b"[" * 100_000), 400, None),
        (b"this is no HTTP\r\n\r\n", 502, "upstream_unreachable"),
        (b"", 502, "upstream_unreachable"),
    ],
)
async def test_what_no_client_could_use_becomes_an_error_of_ours(answer: bytes, status: int, code: str | None) -> None:
    async with serving(answering(answer)) as (_, engine):
        with pytest.raises(ApiError) as caught:
            await engine.answer(Operation.CHAT, BODY)
    assert (caught.value.status, caught.value.code) == (status, code)
    assert "secret" not in str(caught.value)


async def test_a_server_that_is_not_there() -> None:
    engine = UpstreamEngine("http://127.0.0.1:1/v1")
    with pytest.raises(ApiError) as caught:
        await engine.answer(Operation.CHAT, BODY)
    await engine.close()
    assert caught.value.status == 502


async def test_a_silent_server_is_a_timeout() -> None:
    async with serving(silent) as (_, engine):
        with pytest.raises(ApiError) as caught:
            await engine.answer(Operation.CHAT, BODY)
    assert caught.value.status == 504


async def test_an_answer_that_breaks_off_does_not_end_cleanly() -> None:
    async with serving(answering(STREAM_HEAD, chunk(b"data: 1\n\n"))) as (_, engine):
        reply = await engine.answer(Operation.CHAT, BODY)
        with pytest.raises(UpstreamError):
            await read(reply)


async def test_closing_the_reply_early_closes_the_servers_connection() -> None:
    async with serving(stalling(STREAM_HEAD, chunk(b"data: 1\n\n"))) as (server, engine):
        reply = await engine.answer(Operation.CHAT, BODY)
        await reply.close()  # never iterated
        await asyncio.wait_for(server.gone.wait(), 1)


async def test_cancelling_a_wait_for_headers_closes_the_servers_connection() -> None:
    async with serving(silent) as (server, engine):
        task = asyncio.create_task(engine.answer(Operation.CHAT, BODY))
        await asyncio.wait_for(server.asked.wait(), 1)
        task.cancel()
        await asyncio.wait_for(server.gone.wait(), 1)
        assert task.cancelled()


# What llama.cpp lists; its own members and Ollama's stand beside OpenAI's.
LISTING = b'{"models":[{"name":"gemma"}],"object":"list","data":[{"id":"gemma","aliases":["gemma"],"meta":{"n_ctx":2048}},{"id":"other"}]}'


async def test_the_first_model_that_a_server_lists() -> None:
    async with scripted(answering(whole("200 OK", LISTING, "application/json; charset=utf-8"))) as server:
        assert await first_model(server.url) == "gemma"


@pytest.mark.parametrize("listing", [b"[]", b"<html>", b'{"data":[]}', b'{"data":[{"id":7}]}'])
async def test_a_server_that_lists_no_models(listing: bytes) -> None:
    async with scripted(answering(whole("200 OK", listing))) as server:
        with pytest.raises(ConfigError, match="lists no models"):
            await first_model(server.url)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/v1", "http://[::/v1", "nonsense"])
async def test_nobody_at_the_address(url: str) -> None:
    with pytest.raises(ConfigError, match="no model server answers"):
        await first_model(url)


async def test_a_server_without_a_list() -> None:
    async with scripted(answering(whole("404 Not Found", b""))) as server:
        with pytest.raises(ConfigError, match="no model server answers"):
            await first_model(server.url)
