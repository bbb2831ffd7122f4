"""Answers on their way to the client: ours are the ids, the provider's are the words, and no cut one looks complete."""

import asyncio
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from ollm.gateway import relay
from ollm.values.hexes import sha256_of
from ollm.values.ledger import Status
from tests.scripted_enclave import END, Asked, Script, answer, raw, reset, scripted_enclave, silent, stalling, stream
from tests.stage import CHAT, MODEL, Stage, asking, chat_body, configuration, error_of, events, last_entry, opened, stem


def event(**members: Any) -> bytes:
    return b"data: " + json.dumps({"id": "theirs", "object": "chat.completion.chunk", "model": "theirs", **members}).encode() + b"\n\n"


def piece(text: str) -> bytes:
    return event(choices=[{"index": 0, "delta": {"content": text}, "finish_reason": None}])


USAGE = event(choices=[], usage={"prompt_tokens": 7, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 3}})
DONE = b"data: [DONE]\n\n"


async def test_a_stream_is_ours_in_ids_and_theirs_in_words(stage: Stage) -> None:
    response = await stage.chat(stream=True)
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"
    assert response.content.endswith(b"\n\ndata: [DONE]\n\n")
    chunks = events(response.content)
    assert {chunk["id"] for chunk in chunks} == {f"chatcmpl-{stem(response)}"}
    assert {chunk["model"] for chunk in chunks} == {MODEL}
    said = "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])
    assert "Hello there" in said

    receipt = await stage.receipt(response)
    assert receipt["chat_id"] == f"chatcmpl-{stem(response)}"
    assert receipt["event_log"][-1] == {"type": "response.returned", "body_hash": sha256_of(response.content)}


@pytest.mark.parametrize("asked", [None, False, True], ids=["not asked", "declined", "asked"])
async def test_usage_is_always_metered_and_only_shown_to_who_asked(asked: bool | None, socket_dir: Path) -> None:
    async with (
        scripted_enclave(stream(piece("Hi"), USAGE, DONE)) as enclave,
        opened(socket_dir, configuration({"enclave": enclave})) as stage,
    ):
        options: dict[str, Any] = {} if asked is None else {"stream_options": {"include_usage": asked}}
        response = await stage.chat(stream=True, **options)
        forwarded = json.loads(enclave.asked[0].body)
        assert forwarded["stream_options"] == {"include_usage": True}

        chunks = events(response.content)
        assert [chunk for chunk in chunks if not chunk["choices"]] == ([chunks[-1]] if asked else [])
        assert any("usage" in chunk for chunk in chunks) is bool(asked)

        usage = (await stage.entry(response)).usage
        assert (usage.input_tokens, usage.cached_tokens, usage.output_tokens, usage.estimated) == (4, 3, 2, False)


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(stream(piece("Hi"), end=b"", held=1), id="the connection ends"),
        pytest.param(stream(piece("Hi"), end=END, held=1), id="the body ends without [DONE]"),
        pytest.param(stream(piece("Hi"), end=b"10\r\nnot sealed at all\r\n", held=1), id="bytes that are not sealed"),
        pytest.param(stream(piece("Hi"), end=b"zz\r\n", held=1), id="framing breaks"),
        pytest.param(stream(piece("Hi"), b"data: {not json\n\n", DONE, held=1), id="an event that is no JSON"),
        pytest.param(stream(piece("Hi"), event(error={"message": "echo of Hello there"}), DONE, held=1), id="an error event"),
        pytest.param(stream(piece("Hi"), b"event: error\ndata: {}\n\n", DONE, held=1), id="an event called error"),
    ],
)
async def test_a_stream_that_breaks_ends_with_an_error_event_and_without_a_clean_end(script: Script, socket_dir: Path) -> None:
    async with scripted_enclave(script) as enclave, opened(socket_dir, configuration({"enclave": enclave})) as stage:
        async with asking(stage, chat_body(stream=True)) as client:
            head = await client.read_until(b'"Hi"')
            enclave.asked[0].go_on.set()
            seen = (head + await client.read_until(b'"error"') + await client.read_until(b"\n\n")).decode()
        assert seen.startswith("HTTP/1.1 200 OK\r\n")
        assert "[DONE]" not in seen
        assert "echo of" not in seen
        entry = await last_entry(stage)
        assert (entry.status, entry.http_status, entry.streamed) == (Status.UPSTREAM_FAILED, 200, True)
        assert entry.receipt is not None
        assert stage.under_way == 0


async def test_the_error_event_is_what_openai_clients_raise_on(socket_dir: Path) -> None:
    async with scripted_enclave(stream(piece("Hi"), end=b"")) as enclave, opened(socket_dir, configuration({"enclave": enclave})) as stage:
        response = await stage.chat(stream=True)
        error = events(response.content)[-1]["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["code"] == "upstream_error"
        receipt = await stage.receipt(response)
        assert receipt["event_log"][-1]["body_hash"] == sha256_of(response.content)


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(stream(end=b""), id="before the first event"),
        pytest.param(stream(b": a comment\n\n", end=b""), id="after a comment"),
        pytest.param(stream(b"garbage\n\ndata: nonsense\n\n"), id="garbage"),
        pytest.param(reset, id="before the headers"),
        pytest.param(answer(b"{}"), id="not a stream at all"),
        pytest.param(stream(event(error={"message": "echo of Hello there"}), DONE), id="an error in place of the first event"),
    ],
)
async def test_a_stream_that_never_began_is_an_http_error(script: Script, socket_dir: Path) -> None:
    async with scripted_enclave(script) as enclave, opened(socket_dir, configuration({"enclave": enclave})) as stage:
        response = await stage.chat(stream=True)
        assert response.status_code == 502
        assert error_of(response)["code"] in ("upstream_error", "upstream_garbled")
        assert (await stage.entry(response)).status is Status.UPSTREAM_FAILED
        await stage.receipt(response)


async def test_a_stream_that_was_not_asked_for_is_discarded(socket_dir: Path) -> None:
    async with scripted_enclave(stream(piece("Hi"), DONE)) as enclave, opened(socket_dir, configuration({"enclave": enclave})) as stage:
        response = await stage.chat()
        assert response.status_code == 502
        assert error_of(response)["code"] == "upstream_garbled"
        assert b"Hi" not in response.content


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param(b"<html>Hello there</html>", "upstream_garbled", id="no JSON"),
        pytest.param(b"[]", "upstream_garbled", id="no object"),
        pytest.param(b'{"error":{"message":"Hello there"}}', "upstream_error", id="an error with status 200"),
        pytest.param(b'{"id":"x","choices":[]', "upstream_garbled", id="cut JSON"),
        pytest.param(b"", "upstream_garbled", id="nothing"),
    ],
)
async def test_a_whole_answer_that_is_garbage_is_discarded(body: bytes, code: str, socket_dir: Path) -> None:
    async with scripted_enclave(answer(body)) as enclave, opened(socket_dir, configuration({"enclave": enclave})) as stage:
        response = await stage.chat()
        assert (response.status_code, error_of(response)["code"]) == (502, code)
        assert b"Hello there" not in response.content
        assert (await stage.entry(response)).status is Status.UPSTREAM_FAILED


@pytest.mark.parametrize(
    ("path", "members", "kind"),
    [("/v1/audio/speech", {"input": "Hello there", "voice": "alloy"}, "audio/mpeg"), (CHAT, {"messages": []}, "application/json")],
)
async def test_a_compressed_answer_is_discarded(path: str, members: dict[str, Any], kind: str, socket_dir: Path) -> None:
    """The client would take it for what it is not: a file whose compression nobody told it of."""
    script = answer(gzip.compress(b"{}"), kind=kind, extra="content-encoding: gzip\r\n")
    models = {MODEL: {"upstreams": ["enclave"], "endpoints": ["chat.completions", "audio.speech"]}}
    async with scripted_enclave(script) as enclave, opened(socket_dir, configuration({"enclave": enclave}, models=models)) as stage:
        response = await stage.http.post(path, json={"model": MODEL, **members})
        assert (response.status_code, error_of(response)["code"]) == (502, "upstream_garbled")
        assert (await stage.entry(response)).status is Status.UPSTREAM_FAILED


PLAIN = b'{"id":"x","choices":[],"secret":"Hello there"}'


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"", id="without a nonce"),
        pytest.param(b"ehbp-response-nonce: " + b"00" * 32 + b"\r\n", id="with a nonce that it made up"),
        pytest.param(b"ehbp-response-nonce: zz\r\n", id="with a nonce that is none"),
    ],
)
async def test_an_answer_in_the_clear_where_a_sealed_one_is_due_is_discarded(head: bytes, socket_dir: Path) -> None:
    script = raw(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n" + head + b"content-length: %d\r\n\r\n" % len(PLAIN) + PLAIN)
    async with scripted_enclave(script) as enclave, opened(socket_dir, configuration({"enclave": enclave})) as stage:
        response = await stage.chat()
        assert response.status_code == 502
        assert error_of(response)["code"] == "upstream_unsealed"
        assert b"Hello there" not in response.content
        assert (await stage.entry(response)).status is Status.UPSTREAM_FAILED


async def test_what_the_provider_adds_passes_through(socket_dir: Path) -> None:
    body = b'{ "id":"x", "choices":[ {"index":0} ], "odd":[1.0,1e400,"\\u00e9"], "usage":null }'
    async with scripted_enclave(answer(body)) as enclave, opened(socket_dir, configuration({"enclave": enclave})) as stage:
        response = await stage.chat()
        assert b'[1.0,1e400,"\\u00e9"]' in response.content
        entry = await stage.entry(response)
        assert (entry.status, entry.usage.estimated) == (Status.COMPLETED, True)
        assert entry.usage.input_tokens == len(chat_body()) // 4
        assert entry.usage.output_tokens == len(response.content) // 4


async def test_the_connection_carries_the_next_request_after_a_whole_stream(socket_dir: Path) -> None:
    async with (
        scripted_enclave(stream(piece("Hi"), DONE)) as enclave,
        opened(socket_dir, configuration({"enclave": enclave})) as stage,
    ):
        for _ in range(3):
            assert (await stage.chat(stream=True)).content.endswith(DONE)
        assert enclave.connections == 1


async def test_what_breaks_behind_the_end_mark_is_nobodys_loss(socket_dir: Path) -> None:
    script = stream(piece("Hi"), DONE, end=b"zz\r\n")
    async with scripted_enclave(script) as enclave, opened(socket_dir, configuration({"enclave": enclave})) as stage:
        for number in (1, 2):
            response = await stage.chat(stream=True)
            assert response.content.endswith(DONE)
            assert (await stage.entry(response)).status is Status.COMPLETED
            assert enclave.connections == number, "but that connection carries nothing more"


class Flood:
    """A script that streams without end; `sent` counts what the gateway took."""

    def __init__(self) -> None:
        self.sent = 0

    async def __call__(self, asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        writer.write(asked.start(kind="text/event-stream"))
        while True:
            part = asked.part(piece("x" * 32_000))
            writer.write(part)
            await writer.drain()
            self.sent += len(part)


async def test_a_client_that_does_not_read_holds_the_provider_back(socket_dir: Path) -> None:
    flood = Flood()
    async with scripted_enclave(flood) as enclave, opened(socket_dir, configuration({"enclave": enclave})) as stage:
        async with asking(stage, chat_body(stream=True)) as client:
            await client.read_until(b"\r\n\r\n")
            client.pause()
            before = -1
            while flood.sent != before:
                before = flood.sent
                assert before < 32 * 1024 * 1024, "what the client doesn't read is held in memory"
                await asyncio.sleep(0.3)
        await asyncio.wait_for(enclave.gone.wait(), 1)
        assert (await last_entry(stage)).status is Status.CLIENT_GONE


async def test_a_provider_that_goes_on_behind_its_end_mark_is_left(socket_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "_TRAILING_SECONDS", 0.05)
    async with scripted_enclave(stalling(piece("Hi"), DONE)) as enclave, opened(socket_dir, configuration({"enclave": enclave})) as stage:
        response = await stage.chat(stream=True)
        assert response.content.endswith(DONE)
        assert (await stage.entry(response)).status is Status.COMPLETED
        await asyncio.wait_for(enclave.gone.wait(), 5)  # although it may be silent for minutes


class Endless:
    """A signed answer whose body does not end behind its [DONE]."""

    signed = True

    async def read(self) -> bytes:
        await asyncio.sleep(60)
        return b""


async def test_a_body_that_does_not_end_is_not_waited_for_and_has_no_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "_TRAILING_SECONDS", 0.01)
    asked: list[str | None] = []

    async def note(exchange: object, answered: object, chat_id: str | None) -> None:
        asked.append(chat_id)

    monkeypatch.setattr(relay, "note_signature", note)
    await relay._signed(None, Endless(), "theirs")  # type: ignore[arg-type]  # an answer as far as it is read
    assert asked == [None]


# Silence, and too much


KEEP_ALIVE = b": keep-alive\n\n"


async def test_comments_are_sent_while_nothing_comes_and_only_between_events(socket_dir: Path) -> None:
    first, second = piece("one"), piece("two")

    async def script(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        writer.write(asked.start(kind="text/event-stream"))
        for part in (first[:20], first[20:], second[:20], second[20:] + DONE):
            await asyncio.sleep(0.35)
            writer.write(asked.part(part))
            await writer.drain()
        writer.write(END)
        return True

    async with (
        scripted_enclave(script) as enclave,
        opened(socket_dir, configuration({"enclave": enclave}, gateway={"keep_alive_seconds": 0.1})) as stage,
    ):
        response = await stage.chat(stream=True)
        said = response.content.split(b"\n\n")
        assert said.count(b": keep-alive") >= 8
        assert next(line for line in said if line.startswith(b"data: {")).count(b'"one"') == 1
        assert response.content.replace(KEEP_ALIVE, b"").count(b"\n\n") == 3
        assert response.content.endswith(DONE)
        receipt = await stage.receipt(response)
        assert receipt["event_log"][-1]["body_hash"] == sha256_of(response.content), "they are bytes of the answer"


@pytest.mark.parametrize(
    ("seconds", "streamed"), [pytest.param(0, True, id="switched off"), pytest.param(15, True, id="quick"), pytest.param(0.05, False, id="whole")]
)
async def test_otherwise_there_are_none(seconds: float, streamed: bool, socket_dir: Path) -> None:
    async def script(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        await asyncio.sleep(0.2)
        whole = answer(b'{"choices":[]}')
        return await (stream(piece("one"), DONE) if streamed else whole)(asked, reader, writer)

    async with (
        scripted_enclave(script) as enclave,
        opened(socket_dir, configuration({"enclave": enclave}, gateway={"keep_alive_seconds": seconds})) as stage,
    ):
        response = await stage.chat(stream=streamed)
        assert response.status_code == 200
        assert b"keep-alive" not in response.content


async def test_comments_to_the_client_do_not_prolong_the_silence_of_the_provider(socket_dir: Path) -> None:
    settings = {"keep_alive_seconds": 0.1, "timeouts": {"idle": 0.5}}
    async with (
        scripted_enclave(stalling(piece("one"))) as enclave,
        opened(socket_dir, configuration({"enclave": enclave}, gateway=settings)) as stage,
    ):
        response = await asyncio.wait_for(stage.chat(stream=True), 3)
        assert KEEP_ALIVE in response.content
        error = events(response.content.replace(KEEP_ALIVE, b""))[-1]["error"]
        assert (error["code"], "(phase: stream)" in error["message"]) == ("upstream_timeout", True)


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(silent, id="no headers"),
        pytest.param(stalling(), id="nothing behind the headers"),
        pytest.param(stalling(b": processing\n\n", event(choices=[])), id="comments and empty events"),
    ],
)
async def test_the_first_token_has_a_time_of_its_own(script: Script, socket_dir: Path) -> None:
    settings = {"timeouts": {"first_token": 0.3}}
    async with scripted_enclave(script) as enclave, opened(socket_dir, configuration({"enclave": enclave}, gateway=settings)) as stage:
        response = await asyncio.wait_for(stage.chat(stream=True), 3)
        assert "upstream_timeout" in response.text
        assert "(phase: headers)" in response.text or "(phase: first_token)" in response.text
        row = await stage.entry(response)
        assert row.status is Status.UPSTREAM_FAILED


async def test_once_it_is_there_that_time_is_over(socket_dir: Path) -> None:
    async def script(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        writer.write(asked.start(kind="text/event-stream") + asked.part(piece("one")))
        await writer.drain()
        await asyncio.sleep(0.8)
        writer.write(asked.part(DONE) + END)
        return True

    settings = {"timeouts": {"first_token": 0.3}}
    async with scripted_enclave(script) as enclave, opened(socket_dir, configuration({"enclave": enclave}, gateway=settings)) as stage:
        assert (await stage.chat(stream=True)).content.endswith(DONE)


async def test_a_stream_has_a_size_that_it_must_not_pass(socket_dir: Path) -> None:
    async with (
        scripted_enclave(stream(*[piece("x" * 32_000)] * 40, DONE)) as enclave,
        opened(socket_dir, configuration({"enclave": enclave}, gateway={"max_stream_bytes": 300_000})) as stage,
    ):
        response = await stage.chat(stream=True)
        assert 32_000 < len(response.content) < 400_000
        assert events(response.content)[-1]["error"]["code"] == "upstream_garbled"
        assert b"[DONE]" not in response.content
        entry = await stage.entry(response)
        assert (entry.status, entry.usage.estimated) == (Status.UPSTREAM_FAILED, True)
        assert entry.usage.output_tokens > 1


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
async def test_an_answer_without_usage_is_settled_as_an_estimate(streamed: bool, socket_dir: Path) -> None:
    body = chat_body(stream=streamed)
    script = stream(piece("one"), piece("two"), DONE) if streamed else answer(b'{"choices":[]}')
    async with scripted_enclave(script) as enclave, opened(socket_dir, configuration({"enclave": enclave})) as stage:
        response = await stage.chat(stream=streamed)
        entry = await stage.entry(response)
        assert (entry.status, entry.usage.estimated) == (Status.COMPLETED, True)
        assert entry.usage.input_tokens == len(body) // 4
        assert entry.usage.output_tokens == (2 if streamed else len(response.content) // 4)
        assert entry.cost_micro


async def test_what_is_no_text_tells_no_tokens(socket_dir: Path) -> None:
    models = {MODEL: {"upstreams": ["enclave"]}}
    async with (
        scripted_enclave(answer(b'{"object":"list","data":[{"embedding":[0.1,0.2,0.3,0.4,0.5]}]}')) as enclave,
        opened(socket_dir, configuration({"enclave": enclave}, models=models)) as stage,
    ):
        response = await stage.http.post("/v1/embeddings", json={"model": MODEL, "input": "Hello there"})
        assert response.status_code == 200
        usage = (await stage.entry(response)).usage
        assert (usage.estimated, usage.output_tokens) == (True, 0) and usage.input_tokens > 5
