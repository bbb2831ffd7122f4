"""Asking a provider for evidence: what goes out, what comes back, and what becomes of the connection."""

import asyncio
import ssl

import pytest

import ollm.upstream.asking
from ollm.errors import UpstreamError
from ollm.net.connection import certified_tls, client_tls
from ollm.upstream.asking import Heads, asking, origin_of
from ollm.values.secret import Sealed
from tests.net.tls_server import Script, TlsServer, mute, saying, tls_server, whole
from tests.stage import eventually

KEY = Sealed(b"sk-secret")


def heads(server: TlsServer) -> Heads:
    return Heads(server.origin.text, KEY)


async def asked_once(server: TlsServer, *, keep: bool = False) -> None:
    async with asking(heads(server), client_tls()) as asker:
        if keep:
            asker.keep()
        await asker.get("/report", limit=9)


def lines(head: bytes) -> list[str]:
    text = head.decode()
    assert text.endswith("\r\n\r\n")
    return text.removesuffix("\r\n\r\n").split("\r\n")


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("https://a.example", "https://a.example"),
        ("https://a.example:443/", "https://a.example"),
        ("https://a.example:8443/v1", "https://a.example:8443"),
        ("https://[::1]:8443", "https://[::1]:8443"),
    ],
)
def test_the_origin_of_a_url(url: str, text: str) -> None:
    assert origin_of(url).text == Heads(url, None).origin.text == text


def test_heads_have_nothing_but_what_is_named() -> None:
    made = Heads("https://a.example:8443", KEY, authorization="x-api-key: ", more={"x-version": "2"})
    shared = ["host: a.example:8443", "user-agent: ollm", "accept: application/json, text/event-stream", "x-version: 2"]
    assert lines(made.get("/report?nonce=ab")) == ["GET /report?nonce=ab HTTP/1.1", *shared]
    assert lines(made.get("/report", credential=True)) == ["GET /report HTTP/1.1", *shared, "x-api-key: sk-secret"]
    assert lines(made.post("/chat", 7, "application/x", {"x-one": "1"})) == [
        *("POST /chat HTTP/1.1", *shared, "x-api-key: sk-secret"),
        *("content-type: application/x", "content-length: 7", "x-one: 1"),
    ]
    assert b"sk-secret" not in Heads("https://a.example", None).post("/", 0, "a/b", {})


async def test_an_answer_with_its_kind_and_its_headers() -> None:
    said = whole(b'{"a":1}', "content-type: application/json; charset=utf-8\r\nx-more: 1\r\n")
    async with tls_server(saying(said)) as server, asking(heads(server), client_tls()) as asker:
        for _ in range(2):
            told = await asker.get("/report", limit=7)
            assert (told.body, told.media_type, told.headers[b"x-more"]) == (b'{"a":1}', "application/json; charset=utf-8", b"1")
        assert asker.peer_spki == server.spki
        assert asker.peer()[1] == "TLSv1.3"
        assert len(server.connections) == 1, "all of it on one connection"


async def test_the_key_goes_along_only_where_it_must() -> None:
    async with tls_server(saying(whole(b"{}"))) as server, asking(heads(server), client_tls()) as asker:
        await asker.get("/one", limit=9)
        await asker.get("/two", limit=9, credential=True)
        assert [b"sk-secret" in request for request in server.requests] == [False, True]


async def test_what_is_posted_arrives() -> None:
    async with tls_server(saying(whole(b"{}"))) as server, asking(heads(server), client_tls()) as asker:
        told = await asker.post("/nonces", b'{"n":1}', limit=9, extra={"x-one": "1"})
        assert (told.body, told.sent) == (b"{}", b'{"n":1}')
        head, _, body = server.requests[0].partition(b"\r\n\r\n")
        assert body == b'{"n":1}'
        assert {b"x-one: 1", b"content-type: application/json", b"authorization: Bearer sk-secret"} <= set(head.split(b"\r\n"))


@pytest.mark.parametrize("kept", [True, False])
async def test_the_connection_is_closed_unless_it_is_kept(kept: bool) -> None:
    async with tls_server(saying(whole(b"{}"))) as server:
        async with asking(heads(server), client_tls()) as asker:
            await asker.get("/report", limit=9)
            connection = asker.keep() if kept else None
        if connection is None:
            await eventually(lambda: server.left == 1)
        else:
            assert not connection.closed
            response = await connection.exchange(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", b"", headers_timeout=5)
            assert await response.read_all(9, 5) == b"{}"
            connection.abort("close", "done")


@pytest.mark.parametrize(
    ("script", "phase", "status"),
    [
        pytest.param(saying(whole(b"no", status="401 Unauthorized")), "headers", 401, id="refused"),
        pytest.param(saying(whole(b"", "location: https://b.example/\r\n", status="307 Temporary Redirect")), "headers", 307, id="a redirect"),
        pytest.param(saying(whole(b"", status="204 No Content")), "headers", 204, id="another success"),
        pytest.param(saying(whole(b"{}", "connection: close\r\n")), "close", None, id="the last answer on it"),
        pytest.param(saying(whole(b"x" * 10)), "stream", None, id="too long"),
        pytest.param(saying(b"nonsense\r\n\r\n"), "headers", None, id="no HTTP"),
    ],
)
async def test_what_is_no_good_answer_ends_the_connection(script: Script, phase: str, status: int | None) -> None:
    """Even one that was to be kept."""
    async with tls_server(script) as server:
        with pytest.raises(UpstreamError) as failure:
            await asked_once(server, keep=True)
        assert (failure.value.phase, failure.value.status) == (phase, status)
        assert "no" not in str(failure.value).split(), "the provider's words stay with it"
        await eventually(lambda: server.left == 1)


async def test_all_of_it_has_a_limit_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ollm.upstream.asking, "_TIMEOUT", 0.2)
    async with tls_server(mute) as server:
        with pytest.raises(UpstreamError, match="timed out"):
            await asked_once(server)
        await eventually(lambda: server.left == 1)


async def test_whoever_gives_up_leaves_no_connection() -> None:
    async with tls_server(mute) as server:
        task = asyncio.create_task(asked_once(server))
        await eventually(lambda: server.requests)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await eventually(lambda: server.left == 1)


async def test_where_nothing_attests_the_key_a_certificate_must() -> None:
    async with tls_server(saying(whole(b"{}"))) as server:
        with pytest.raises(UpstreamError) as failure:
            async with asking(heads(server), certified_tls()):
                raise AssertionError
        assert (failure.value.phase, failure.value.reason) == ("connect", ssl.SSLCertVerificationError.__name__)
        assert server.requests == []
