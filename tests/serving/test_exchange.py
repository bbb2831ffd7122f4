"""What an application may do with a request, and what the client sees when it misbehaves."""

import asyncio
import logging
from typing import Any

import pytest

from ollm.serving.exchange import Disconnect
from ollm.serving.http import Application, Receive, Scope, Send, respond
from tests.serving.client import Recorder, connect, error_code, parse_answers, parse_head, serving, talk, until

GET = b"GET /path?q=1 HTTP/1.1\r\nHost: a\r\n\r\n"
ONCE = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
CANARY = "canary-4711"


def sending(*messages: dict[str, Any]) -> Application:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    return app


def start(status: int = 200, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(data: bytes = b"", *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


async def test_the_scope_is_asgi() -> None:
    app = Recorder()
    async with serving(app) as server, connect(server) as client:
        await client.send(b"GET /a%20b?q=%20 HTTP/1.1\r\nHost: x\r\nX-Y: Z\r\n\r\n")
        await client.answer()
    (scope,) = app.scopes
    assert scope["type"] == "http" and scope["asgi"]["version"] == "3.0" and scope["http_version"] == "1.1"
    assert (scope["method"], scope["scheme"], scope["root_path"]) == ("GET", "http", "")
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("/a b", b"/a%20b", b"q=%20")
    assert scope["headers"] == [(b"host", b"x"), (b"x-y", b"Z")]
    assert scope["server"] == ("127.0.0.1", server.port) and scope["client"][0] == "127.0.0.1"


async def test_a_body_with_known_length() -> None:
    async with serving(sending(start(201, (b"x-a", b"b"), (b"content-length", b"4")), body(b"ab", more=True), body(b"cd"))) as server:
        assert await talk(server, ONCE) == b"HTTP/1.1 201 Created\r\nx-a: b\r\ncontent-length: 4\r\nconnection: close\r\n\r\nabcd"


async def test_a_body_of_unknown_length_is_chunked() -> None:
    async with serving(sending(start(), body(b"ab", more=True), body(more=True), body(b"c" * 17), body())) as server:
        assert await talk(server, ONCE) == (
            b"HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n11\r\nccccccccccccccccc\r\n0\r\n\r\n"
        )


@pytest.mark.parametrize(("method", "status"), [(b"HEAD", 200), (b"GET", 204), (b"GET", 304)])
async def test_answers_without_a_body(method: bytes, status: int) -> None:
    async with serving(sending(start(status), body())) as server:
        answer = await talk(server, method + ONCE[3:])
    assert answer.endswith(b"\r\n\r\n") and b"transfer-encoding" not in answer and answer.count(b"\r\n\r\n") == 1


async def test_head_keeps_the_length_and_drops_the_body() -> None:
    async with serving(sending(start(200, (b"content-length", b"5")), body(b"hello"))) as server:
        assert await talk(server, b"HEAD" + ONCE[3:]) == b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\n"


async def test_the_head_leaves_with_the_first_piece_of_the_body() -> None:
    gate = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"first", more=True))
        await gate.wait()
        await send(body(b"last"))

    async with serving(app) as server, connect(server) as client:
        await client.send(GET)
        assert (await client.read_until(b"first")).startswith(b"HTTP/1.1 200 OK\r\n")
        gate.set()
        await client.read_until(b"0\r\n\r\n")


async def failing_before(scope: Scope, receive: Receive, send: Send) -> None:
    raise ValueError(CANARY)


async def failing_after_the_head(scope: Scope, receive: Receive, send: Send) -> None:
    await send(start())
    raise ValueError(CANARY)


UNANSWERED: dict[str, Application] = {
    "raises": failing_before,
    "raises-after-the-head-that-nobody-saw": failing_after_the_head,
    "returns": sending(),
    "returns-after-the-head": sending(start()),
    "body-first": sending(body(b"x")),
    "unknown-message": sending({"type": "http.response.trailers"}),
    "cr-lf-in-value": sending(start(200, (b"x-a", b"b\r\nx-c: d")), body()),
    "lf-in-value": sending(start(200, (b"x-a", b"b\nx-c: d")), body()),
    "cr-lf-at-the-end-of-a-value": sending(start(200, (b"x-a", b"b\r\n")), body()),
    "cr-lf-in-name": sending(start(200, (b"x-a\r\nx-b", b"c")), body()),
    "two-heads": sending(start(), start(), body(CANARY.encode())),
    "longer-than-said": sending(start(200, (b"content-length", b"2")), body(CANARY.encode())),
    "shorter-than-said": sending(start(200, (b"content-length", b"200")), body(CANARY.encode())),
}


@pytest.mark.parametrize("name", UNANSWERED)
async def test_a_failing_application_is_a_500_in_our_shape(name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving(UNANSWERED[name]) as server:
        (answer,) = parse_answers(await talk(server, GET))
    status, headers, content = answer
    assert status == 500 and error_code(content) == "internal_error"
    assert headers["x-aci-version"] == "aci/1" and headers["connection"] == "close" and headers["x-request-id"]
    assert CANARY not in content.decode() and CANARY not in caplog.text
    assert [record.name for record in caplog.records if record.levelno >= logging.WARNING] == ["ollm.serving"]


async def test_the_log_names_the_type_of_an_error_alone(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving(failing_before) as server:
        await talk(server, GET)
    (record,) = [record for record in caplog.records if record.name == "ollm.serving"]
    assert (record.getMessage(), record.__dict__["error"], record.exc_info) == ("application failed", "ValueError", None)


async def test_nothing_is_logged_of_requests(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(1)
    async with serving(Recorder()) as server:
        await talk(server, b"POST /" + CANARY.encode() + b" HTTP/1.1\r\nHost: a\r\nX: " + CANARY.encode() + b"\r\nContent-Length: 1\r\n\r\nx" + ONCE)
        await talk(server, CANARY.encode() + b"\r\n\r\n")
    assert CANARY not in caplog.text


async def test_an_answer_that_had_begun_is_cut_not_ended() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"some", more=True))
        await asyncio.sleep(0.05)
        raise ValueError

    async with serving(app) as server:
        answer = await talk(server, GET)
    assert parse_head(answer.partition(b"\r\n\r\n")[0])[0] == 200
    assert not answer.endswith(b"0\r\n\r\n") and b"error" not in answer


async def test_receive_tells_of_a_disconnect_and_send_is_then_silent() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "http.request"
        seen.append((await receive())["type"])
        await respond(send, 200, b"nobody")
        seen.append((await receive())["type"])

    async with serving(app) as server, connect(server) as client:
        await client.send(GET)
        await asyncio.sleep(0.05)
        client.abort()
        await until(lambda: len(seen) == 2)
    assert seen == ["http.disconnect", "http.disconnect"]


async def test_receive_after_the_answer_is_a_disconnect() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, 200, b"")
        seen.append((await receive())["type"])

    async with serving(app) as server, connect(server) as client:
        await client.send(GET)
        await client.answer()
        await until(lambda: bool(seen))
    assert seen == ["http.disconnect"]


async def test_the_clients_connection_header_is_obeyed() -> None:
    async with serving(sending(start(200, (b"connection", b"keep-alive"), (b"content-length", b"0")), body())) as server:
        assert b"\r\nconnection: close\r\n" in await talk(server, ONCE)
    async with serving(sending(start(200, (b"connection", b"close"), (b"content-length", b"0")), body())) as server:
        assert b"\r\nconnection: close\r\n" in await talk(server, GET)


# The scope extension by itself


def test_callbacks_are_called_once_each_even_if_one_fails(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[str] = []

    def bad() -> None:
        raise ValueError(CANARY)

    disconnect = Disconnect()
    disconnect.on_disconnect(bad)
    disconnect.on_disconnect(lambda: calls.append("second"))
    disconnect.fire()
    disconnect.fire()
    disconnect.on_disconnect(lambda: calls.append("late"))
    assert calls == ["second", "late"] and CANARY not in caplog.text


async def test_a_task_can_be_cancelled_by_it() -> None:
    ended: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        task = asyncio.current_task()
        assert task is not None
        scope["extensions"]["ollm.disconnect"].on_disconnect(task.cancel)
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("cancelled")

    async with serving(app) as server, connect(server) as client:
        await client.send(GET)
        await asyncio.sleep(0.05)
        client.abort()
        await until(lambda: ended == ["cancelled"], 1)
