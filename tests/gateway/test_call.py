"""One HTTP call, seen from the ASGI server: its ids, its headers, and a client that leaves."""

import asyncio
import re
from typing import Any

import pytest

from ollm.errors import ApiError
from ollm.gateway.call import Call
from ollm.gateway.places import Places
from ollm.serving.exchange import Disconnect

BASE = [(b"x-aci-version", b"aci/1"), (b"x-aci-keyset-digest", b"sha256:00")]


class Wire:
    """The server's side of one call."""

    def __init__(self, body: bytes = b"", *, now_ms: int = 1_750_000_000_123) -> None:
        self.sent: list[Any] = []
        self.disconnect = Disconnect()
        self._body = body
        scope = {"type": "http", "headers": [], "extensions": {"ollm.disconnect": self.disconnect}}
        self.call = Call(scope, self._receive, self._send, BASE, now_ms, Places(9, 1000))

    async def _receive(self) -> Any:
        return {"type": "http.request", "body": self._body, "more_body": False}

    async def _send(self, message: Any) -> None:
        self.sent.append(message)

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])


def test_ids_begin_with_time_and_can_not_be_guessed() -> None:
    first, second, later = Wire(now_ms=0x1234), Wire(now_ms=0x1234), Wire(now_ms=0x1235)
    assert re.fullmatch(r"000000001234[0-9a-f]{20}", first.call.stem)
    assert first.call.stem != second.call.stem
    assert max(first.call.stem, second.call.stem) < later.call.stem


async def test_a_whole_answer_carries_the_gateways_headers_and_is_kept_by_no_cache() -> None:
    wire = Wire()
    await wire.call.respond(200, b"{}", [(b"x-receipt-id", b"rcpt_1")])
    assert wire.call.started
    start, body = wire.sent
    assert start["status"] == 200
    assert wire.headers == {
        b"x-request-id": b"req_" + wire.call.stem.encode(),
        b"x-aci-version": b"aci/1",
        b"x-aci-keyset-digest": b"sha256:00",
        b"content-type": b"application/json",
        b"content-length": b"2",
        b"cache-control": b"no-store",
        b"x-receipt-id": b"rcpt_1",
    }
    assert len(start["headers"]) == len(wire.headers), "no header stands there twice"
    assert body == {"type": "http.response.body", "body": b"{}"}


async def test_an_error_is_an_error_object_with_its_own_headers_and_the_callers() -> None:
    wire = Wire()
    error = ApiError(405, "invalid_request_error", "method_not_allowed", "No.", headers={"Allow": "GET"})
    await wire.call.fail(error, [(b"x-receipt-id", b"rcpt_1")])
    assert wire.sent[0]["status"] == 405
    assert wire.headers[b"allow"] == b"GET"
    assert wire.headers[b"x-receipt-id"] == b"rcpt_1"
    assert wire.headers[b"x-should-retry"] == b"false"
    assert wire.sent[1]["body"] == b'{"error":{"message":"No.","type":"invalid_request_error","param":null,"code":"method_not_allowed"}}'


async def test_a_stream_goes_out_in_pieces() -> None:
    wire = Wire()
    await wire.call.start_stream([(b"x-receipt-id", b"rcpt_1")])
    assert wire.call.started
    await wire.call.piece(b"data: 1\n\n")
    await wire.call.piece(b"data: [DONE]\n\n", last=True)
    assert wire.headers[b"content-type"] == b"text/event-stream; charset=utf-8"
    assert wire.headers[b"cache-control"] == b"no-store"
    assert wire.headers[b"x-request-id"] == b"req_" + wire.call.stem.encode()
    assert b"content-length" not in wire.headers
    assert [(message["body"], message["more_body"]) for message in wire.sent[1:]] == [(b"data: 1\n\n", True), (b"data: [DONE]\n\n", False)]


async def test_a_body_is_read_up_to_its_limit() -> None:
    assert await Wire(b"12345").call.body(5) == b"12345"
    with pytest.raises(ApiError) as refused:
        await Wire(b"123456").call.body(5)
    assert (refused.value.status, refused.value.code) == (413, "request_too_large")


async def test_a_client_that_leaves_cancels_what_the_call_waits_for() -> None:
    wire = Wire()

    async def serve() -> None:
        wire.call.cancel_on_disconnect()
        await asyncio.Event().wait()

    serving = asyncio.get_running_loop().create_task(serve())
    await asyncio.sleep(0)
    wire.disconnect.fire()
    with pytest.raises(asyncio.CancelledError):
        await serving


def test_a_call_has_no_room_for_content() -> None:
    assert not Wire().call.started
    assert not hasattr(Wire().call, "__dict__")
    assert "Bearer" not in repr(Wire(b"Bearer").call)
