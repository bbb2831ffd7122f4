"""Answers that are none: errors under a good status, and bytes that can't be read or opened. Who is asked next, and what becomes of the route."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from ollm.traffic.breaker import State
from ollm.values.ledger import Entry, Status
from tests.scripted_enclave import END, Asked, Script, answer, scripted_enclave, stream
from tests.stage import MODEL, Stage, configuration, error_of, events, eventually, opened

GOOD = answer(b'{"choices":[]}')
DONE = b"data: [DONE]\n\n"
BREAKER: dict[str, Any] = {"breaker": {"failures": 2, "open_seconds": 0.4}, "attempts": 1}


async def rows(stage: Stage) -> list[Entry]:
    found: list[Entry] = await stage.gateway.ledger.recent(1000)  # type: ignore[attr-defined]  # SqlLedger's own
    return found


async def types(stage: Stage, response: httpx2.Response) -> list[str]:
    return [event["type"] for event in (await stage.receipt(response))["event_log"]]


# Errors in place of an answer


def says(error: dict[str, Any], *before: bytes, streamed: bool = True) -> Script:
    """An error object under a good status: the whole answer, or the first event of a stream behind `before`."""
    body = json.dumps({"error": {"message": "canary", **error}}).encode()
    return stream(*before, b"data: " + body + b"\n\n", DONE) if streamed else answer(body)


PIECE = b'data: {"choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n'
OVERLOADED = {"type": "overloaded_error"}


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("error", [OVERLOADED, {"code": 429}, {"code": "rate_limit_exceeded"}, {"type": "server_error"}, {"code": "unheard of"}])
async def test_an_error_in_place_of_an_answer_leads_to_another(error: dict[str, Any], streamed: bool, socket_dir: Path) -> None:
    good = stream(PIECE, DONE) if streamed else GOOD
    async with (
        scripted_enclave(says(error, b": waiting\n\n", streamed=streamed)) as first,
        scripted_enclave(good) as second,
        opened(socket_dir, configuration({"first": first, "second": second})) as stage,
    ):
        response = await stage.chat(stream=streamed)
        assert (response.status_code, response.headers["x-ollm-attempts"]) == (200, "2")
        assert "error" not in response.text and "canary" not in response.text
        assert (len(first.asked), len(second.asked)) == (1, 1)
        [row] = await rows(stage)
        assert (row.status, row.upstream) == (Status.COMPLETED, "second")
        log = (await stage.receipt(response))["event_log"]
        sessions = [event["session_id"] for event in log if event["type"] == "upstream.verified"]
        assert sessions == [stage.gateway.keepers[name].state().session_id for name in ("first", "second")]
        assert stage.under_way == 0


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
async def test_an_error_in_place_of_every_answer_is_an_error(streamed: bool, socket_dir: Path) -> None:
    async with (
        scripted_enclave(says(OVERLOADED, streamed=streamed)) as first,
        scripted_enclave(says({"code": 429}, streamed=streamed)) as second,
        opened(socket_dir, configuration({"first": first, "second": second}, routing={"attempts": 2})) as stage,
    ):
        response = await stage.chat(stream=streamed)
        assert (response.status_code, error_of(response)["code"]) == (429, "upstream_rate_limited")
        assert (response.headers["x-ollm-attempts"], response.headers["x-should-retry"]) == ("2", "false")
        assert (len(first.asked), len(second.asked)) == (1, 1)
        [row] = await rows(stage)
        assert (row.status, row.http_status, row.usage.output_tokens) == (Status.UPSTREAM_FAILED, 429, 0)
        assert (await types(stage, response)).count("request.forwarded") == 2


@pytest.mark.parametrize("error", [{"code": "context_length_exceeded"}, {"type": "invalid_request_error"}])
async def test_an_error_that_another_would_say_too_is_the_answer(error: dict[str, Any], socket_dir: Path) -> None:
    async with (
        scripted_enclave(says(error)) as first,
        scripted_enclave(stream(PIECE, DONE)) as second,
        opened(socket_dir, configuration({"first": first, "second": second})) as stage,
    ):
        response = await stage.chat(stream=True)
        assert (response.status_code, error_of(response)["code"]) == (400, "upstream_rejected")
        assert (len(first.asked), len(second.asked)) == (1, 0)


@pytest.mark.parametrize("before", [PIECE, b'data: {"choices":[{"index":0,"delta":{"role":"assistant"}}]}\n\n'], ids=["a word", "a role"])
async def test_an_error_behind_an_event_stays_in_the_stream(before: bytes, socket_dir: Path) -> None:
    async with (
        scripted_enclave(says(OVERLOADED, before)) as first,
        scripted_enclave(stream(PIECE, DONE)) as second,
        opened(socket_dir, configuration({"first": first, "second": second})) as stage,
    ):
        response = await stage.chat(stream=True)
        assert response.status_code == 200
        assert events(response.content)[-1]["error"]["code"] == "upstream_stream_failed"
        assert (len(first.asked), len(second.asked)) == (1, 0)


async def hesitating(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """A head, silence, and an error."""
    writer.write(asked.start(kind="text/event-stream"))
    await writer.drain()
    await asyncio.sleep(0.3)
    writer.write(asked.part(b'data: {"error":{"type":"overloaded_error"}}\n\n') + END)
    await writer.drain()
    return True


async def test_an_error_behind_a_comment_of_ours_stays_in_the_stream(socket_dir: Path) -> None:
    async with (
        scripted_enclave(hesitating) as first,
        scripted_enclave(stream(PIECE, DONE)) as second,
        opened(socket_dir, configuration({"first": first, "second": second}, gateway={"keep_alive_seconds": 0.05})) as stage,
    ):
        response = await stage.chat(stream=True)
        assert response.content.startswith(b": keep-alive")
        assert events(response.content.replace(b": keep-alive\n\n", b""))[-1]["error"]["code"] == "upstream_error"
        assert (len(first.asked), len(second.asked)) == (1, 0)


# Answers that are none


async def unsealed(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """An answer that was sealed to nobody."""
    kind = "text/event-stream" if b'"stream":true' in asked.body.replace(b" ", b"") else "application/json"
    writer.write(asked.start(kind=kind) + b"20\r\n" + bytes(32) + b"\r\n" + END)
    await writer.drain()
    return True


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    "script",
    [
        pytest.param(lambda streamed: stream(b"data: no JSON\n\n") if streamed else answer(b"no JSON"), id="garbage"),
        pytest.param(lambda streamed: answer(b"{}") if streamed else stream(PIECE, DONE), id="another type"),
        pytest.param(lambda streamed: stream(b"data: [1]\n\n") if streamed else answer(b"[1]"), id="another JSON"),
        pytest.param(lambda streamed: says(OVERLOADED, streamed=streamed), id="an error object"),
        pytest.param(lambda streamed: unsealed, id="a seal that can't be opened"),
        pytest.param(lambda streamed: stream() if streamed else answer(b""), id="nothing"),
    ],
)
async def test_an_answer_that_is_none_is_a_failure_of_the_route(script: Callable[[bool], Script], streamed: bool, socket_dir: Path) -> None:
    async with scripted_enclave(script(streamed)) as enclave, opened(socket_dir, configuration({"enclave": enclave}, routing=BREAKER)) as stage:
        codes = [(await stage.chat(stream=streamed)).status_code for _ in range(3)]
        assert codes == [502, 502, 503]
        assert len(enclave.asked) == 2
        assert stage.gateway.seen(MODEL, "enclave").state is State.OPEN


async def test_garbage_behind_a_good_beginning_is_a_failure_too(socket_dir: Path) -> None:
    rules = {"breaker": {"failures": 1, "open_seconds": 60.0}, "attempts": 1}
    async with (
        scripted_enclave(stream(PIECE, b"data: no JSON\n\n")) as enclave,
        opened(socket_dir, configuration({"enclave": enclave}, routing=rules)) as stage,
    ):
        assert (await stage.chat(stream=True)).status_code == 200
        assert stage.gateway.seen(MODEL, "enclave").state is State.OPEN


@pytest.mark.parametrize("together", [False, True], ids=["apart", "in one piece"])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
@pytest.mark.parametrize(
    ("error", "state"),
    [
        pytest.param(OVERLOADED, State.OPEN, id="the provider's"),
        pytest.param({"code": "unheard of"}, State.OPEN, id="unheard of"),
        pytest.param({"code": "rate_limit_exceeded"}, State.CLOSED, id="a limit"),
    ],
)
async def test_an_error_behind_a_good_beginning_counts_once(error: dict[str, Any], state: State, path: str, together: bool, socket_dir: Path) -> None:
    said = b'data: {"error":' + json.dumps({"message": "canary", **error}).encode() + b"}\n\n"
    script = stream(PIECE + said) if together else stream(PIECE, said)
    members = {"input": "hello"} if path == "/v1/responses" else {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 9}
    async with (
        scripted_enclave(script) as enclave,
        opened(socket_dir, configuration({"enclave": enclave}, routing={"breaker": {"failures": 2, "open_seconds": 60.0}, "attempts": 1})) as stage,
    ):
        for expected in (State.CLOSED, state):
            response = await stage.http.post(path, json={"model": MODEL, "stream": True, **members})
            assert response.status_code == 200
            assert "hi" in response.text and "canary" not in response.text
            assert stage.gateway.seen(MODEL, "enclave").state is expected


async def test_attempts_of_one_request_do_not_open_a_route_alone(socket_dir: Path) -> None:
    rules = {"breaker": {"failures": 2, "open_seconds": 60.0}, "attempts": 5, "backoff": 0.001}
    async with (
        scripted_enclave(answer(b"{}", status="503 Service Unavailable")) as enclave,
        opened(socket_dir, configuration({"enclave": enclave}, routing=rules)) as stage,
    ):
        assert (await stage.chat()).status_code == 502
        assert len(enclave.asked) == 5
        assert stage.gateway.seen(MODEL, "enclave").state is State.CLOSED
        assert (await stage.chat()).status_code == 502
        assert stage.gateway.seen(MODEL, "enclave").state is State.OPEN


async def test_garbage_keeps_a_route_that_is_probed_open(socket_dir: Path) -> None:
    async with (
        scripted_enclave(answer(b"{}", status="503 Service Unavailable")) as enclave,
        opened(socket_dir, configuration({"enclave": enclave}, routing=BREAKER)) as stage,
    ):
        for _ in range(2):
            await stage.chat()
        await eventually(lambda: stage.gateway.seen(MODEL, "enclave").due_in == 0)
        enclave.script = answer(b"no JSON")
        assert (await stage.chat()).status_code == 502
        assert stage.gateway.seen(MODEL, "enclave").state is State.OPEN
        assert stage.gateway.seen(MODEL, "enclave").due_in > BREAKER["breaker"]["open_seconds"]


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/responses"])
async def test_translated_errors_lead_to_another_too(path: str, streamed: bool, socket_dir: Path) -> None:
    whole = b'{"choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}'
    end = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    good = stream(PIECE, end, DONE) if streamed else answer(whole)
    async with (
        scripted_enclave(says(OVERLOADED, streamed=streamed)) as first,
        scripted_enclave(good) as second,
        opened(socket_dir, configuration({"first": first, "second": second})) as stage,
    ):
        members = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 9} if path == "/v1/messages" else {"input": "hello"}
        response = await stage.http.post(path, json={"model": MODEL, "stream": streamed, **members})
        assert (response.status_code, response.headers["x-ollm-attempts"]) == (200, "2")
        assert '"hi"' in response.text and "overloaded" not in response.text
        assert (len(first.asked), len(second.asked)) == (1, 1)

        second.script = says(OVERLOADED, streamed=streamed)
        response = await stage.http.post(path, json={"model": MODEL, "stream": streamed, **members})
        assert (response.status_code, response.json()["error"]["code"]) == (502, "upstream_error")
