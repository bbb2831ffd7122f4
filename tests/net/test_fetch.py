"""Plain fetching: no redirect is followed, no size or time is unbounded, and no error tells more than it must."""

import asyncio
from typing import Any

import pytest

from ollm.errors import UpstreamError
from ollm.net.fetch import HttpFetch
from ollm.ports import Fetched
from tests.net.tls_server import tls_server
from tests.sim.scripted_server import Script, answering, scripted, silent, whole


async def fetched(script: Script, path: str = "/x?secret=1", **limits: Any) -> Fetched:
    fetch = HttpFetch(**limits)
    try:
        async with scripted(script) as server:
            return await fetch.get(server.url + path)
    finally:
        await fetch.close()


async def test_a_whole_answer_with_lowercase_headers() -> None:
    answer = await fetched(answering(whole("200 OK", b"body", extra="X-Chain: a%20b\r\n")))
    assert (answer.status, answer.body, answer.headers["x-chain"]) == (200, b"body", "a%20b")


async def test_a_redirect_is_an_answer_like_any_other() -> None:
    answer = await fetched(answering(whole("302 Found", b"", extra="location: http://127.0.0.1:1/\r\n")))
    assert answer.status == 302


async def test_a_credential_goes_where_it_is_sent() -> None:
    fetch = HttpFetch()
    async with scripted(answering(whole("200 OK", b""))) as server:
        await fetch.get(server.url, authorization="Bearer abc")
        assert "authorization: Bearer abc" in server.requests[0][0]
    await fetch.close()


async def test_a_question_is_posted_as_it_is() -> None:
    fetch = HttpFetch()
    async with scripted(answering(whole("200 OK", b"answer"))) as server:
        answer = await fetch.post(server.url, b"\x30\x00", "application/ocsp-request")
        head, body = server.requests[0]
    assert (answer.body, body) == (b"answer", b"\x30\x00")
    assert head.startswith("POST /v1 ") and "content-type: application/ocsp-request" in head
    with pytest.raises(UpstreamError):
        await fetch.post("http://192.0.2.1/", b"", "text/plain")
    await fetch.close()


async def test_a_server_without_a_public_authoritys_word_is_not_asked() -> None:
    fetch = HttpFetch()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(whole("200 OK", b"answer"))

    async with tls_server(script) as server:
        with pytest.raises(UpstreamError, match="ConnectError"):
            await fetch.get(f"https://127.0.0.1:{server.port}/")
        assert server.requests == []
    await fetch.close()


@pytest.mark.parametrize(
    "url", ["http://192.0.2.1/", "http://example.com/", "ftp://127.0.0.1/", "127.0.0.1/x", "", "http://[x/", "https://", "http://127.0.0.1:x/"]
)
async def test_only_https_leaves_the_machine(url: str) -> None:
    fetch = HttpFetch()
    with pytest.raises(UpstreamError) as refused:
        await fetch.get(url)
    assert refused.value.phase == "connect"
    await fetch.close()


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(answering(whole("200 OK", b"x" * 2000)), id="said beforehand"),
        pytest.param(answering(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 600, b"x" * 600), id="found on the way"),
    ],
)
async def test_an_answer_too_large_is_refused(script: Script) -> None:
    with pytest.raises(UpstreamError, match="too large"):
        await fetched(script, max_body=1000)


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(answering(b""), id="nothing"),
        pytest.param(answering(b"garbage\r\n\r\n"), id="garbage"),
        pytest.param(answering(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab"), id="cut"),
        pytest.param(silent, id="silence"),
    ],
)
async def test_a_failure_is_ours_and_says_neither_query_nor_text(script: Script) -> None:
    with pytest.raises(UpstreamError) as failure:
        await fetched(script, timeout=0.2)
    assert "secret" not in str(failure.value)
    assert failure.value.__cause__ is None


async def test_a_drip_of_bytes_does_not_hold_it_forever() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        while not reader.at_eof():
            writer.write(b"x")
            await asyncio.sleep(0.05)

    with pytest.raises(UpstreamError):
        await asyncio.wait_for(fetched(drip, timeout=0.3), 3)
