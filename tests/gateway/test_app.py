"""The data plane's table of routes, and the last line of defence for errors."""

import asyncio
import contextlib
import gzip
import os
import signal
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from ollm.app.initialise import initialise
from ollm.app.serve import serve
from ollm.config.load import load
from ollm.errors import OllmError, StoreError
from ollm.gateway.app import NAMED_ROUTES, ROUTES
from ollm.sim.service import SimEnclave, SimOptions
from ollm.store.reports import Question
from ollm.values.ledger import Status
from tests.scripted_enclave import answer, scripted_enclave, silent, stalling, stream
from tests.stage import CHAT, Stage, asking, chat_body, configuration, error_of, eventually, last_entry, new_key, opened, staged, toml

PIECE = b'data: {"choices":[{"index":0,"delta":{"content":"one"}}]}\n\n'


# Routes


async def test_what_is_not_there(stage: Stage) -> None:
    for path in ("/", "/v1", "/v1/chat/completions/", "/v1/models/", "/v1/embedding", "/metrics"):
        response = await stage.http.get(path)
        assert (response.status_code, error_of(response)["code"]) == (404, "unknown_url"), path


async def test_another_method_names_the_right_one(stage: Stage) -> None:
    tables: dict[str, Iterable[str]] = {**ROUTES, **{prefix + "x": methods for prefix, methods in NAMED_ROUTES.items()}}
    for path, methods in tables.items():
        for method in {"GET", "POST", "DELETE", "PUT"} - set(methods) - ({"GET"} if path == CHAT else set()):
            response = await stage.http.request(method, path)
            assert (response.status_code, error_of(response)["code"]) == (405, "method_not_allowed")
            assert response.headers["allow"] == ", ".join(methods)
    assert stage.enclave.counters.prompt_bytes == 0


async def test_it_lives_and_is_ready_when_its_machines_are_verified(socket_dir: Path) -> None:
    async with scripted_enclave(answer(b"{}")) as enclave:
        enclave.hold_reports = asyncio.Event()
        async with opened(socket_dir, configuration({"enclave": enclave})) as stage, httpx2.AsyncClient(base_url=stage.url) as nobody:
            assert (await nobody.get("/healthz")).json() == {"status": "ok"}
            unready = await nobody.get("/readyz")
            assert (unready.status_code, error_of(unready)["code"]) == (503, "not_ready")
            assert " models." in error_of(unready)["message"]
            assert "demo" not in unready.text  # asked without a key
            enclave.hold_reports.set()
            await stage.gateway.keepers["enclave"].session(5)
            assert (await nobody.get("/readyz")).status_code == 200


# Bodies


async def test_a_body_too_large_is_refused_before_it_is_read(socket_dir: Path) -> None:
    async with staged(socket_dir, gateway={"max_body_bytes": 1000}) as stage:
        assert (await stage.chat("x" * 100)).status_code == 200
        for content in (chat_body("x" * 2000), _in_pieces(chat_body("x" * 2000))):
            response = await stage.http.post(CHAT, content=content)
            assert (response.status_code, error_of(response)["code"]) == (413, "request_too_large")
            assert response.headers["x-should-retry"] == "false"


async def _in_pieces(body: bytes) -> Any:
    for start in range(0, len(body), 100):
        yield body[start : start + 100]


async def test_a_packed_body_is_refused(stage: Stage) -> None:
    response = await stage.http.post(CHAT, content=gzip.compress(chat_body()), headers={"content-encoding": "gzip"})
    assert (response.status_code, error_of(response)["code"]) == (415, "unsupported_content_encoding")


async def test_below_the_application_errors_have_the_same_shape_and_headers(stage: Stage) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.server.port)
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n")
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).decode()
    assert head.startswith("HTTP/1.1 400 ")
    assert f"x-aci-keyset-digest: {stage.gateway.keyset_digest}" in head
    assert (await asyncio.wait_for(reader.read(), 5)).startswith(b'{"error":{')
    writer.transport.abort()


# Load


async def test_beyond_its_limit_it_says_so(socket_dir: Path) -> None:
    async with scripted_enclave(silent) as enclave, opened(socket_dir, configuration({"enclave": enclave}, gateway={"max_concurrent": 2})) as stage:
        async with asking(stage, chat_body()), asking(stage, chat_body()):
            await eventually(lambda: len(enclave.asked) == 2)
            for response in (await stage.chat(), await stage.http.get("/readyz")):
                assert (response.status_code, error_of(response)["code"]) == (503, "overloaded")
                assert response.headers["retry-after"] == "1"
            assert (await stage.http.get("/healthz")).status_code == 200, "busy is not dead"
        await eventually(lambda: stage.under_way == 0)
        assert (await stage.http.get("/v1/models")).status_code == 200


async def test_bodies_on_their_way_take_nobodys_place(socket_dir: Path) -> None:
    async with staged(socket_dir, gateway={"max_concurrent": 1}) as stage, contextlib.AsyncExitStack() as exits:
        body = chat_body("x" * 1000)
        clients = [await exits.enter_async_context(asking(stage, body, sent=500)) for _ in range(5)]
        await eventually(lambda: stage.server.connections >= 5)
        assert (await stage.chat()).status_code == 200
        for client in clients:
            client.send(body[500:])
            assert (await client.read_until(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
            await client.read_until(b"}")


# Faults of our own


class Broken:
    """A part of the store that raises."""

    def __init__(self, problem: Exception) -> None:
        self._problem = problem

    def __getattr__(self, name: str) -> Any:
        async def fail(*args: object) -> None:
            raise self._problem

        return fail


def without_store(stage: Stage, monkeypatch: pytest.MonkeyPatch, *parts: str) -> None:
    """The disk fails under a running gateway: real objects up to the store, whose calls raise."""
    for part in parts:
        holder = getattr(stage.gateway, part)
        for name in ("intend", "complete", "find", "get"):
            if hasattr(holder, name):
                monkeypatch.setattr(holder, name, getattr(Broken(StoreError("the disk is full")), name))


@pytest.mark.parametrize("streamed", [False, True])
async def test_what_can_not_be_recorded_is_not_served(stage: Stage, monkeypatch: pytest.MonkeyPatch, streamed: bool) -> None:
    without_store(stage, monkeypatch, "ledger")
    response = await stage.chat(stream=streamed)
    assert (response.status_code, error_of(response)["code"]) == (503, "store_unavailable")
    assert response.headers["retry-after"] == "5"
    assert stage.enclave.counters.prompt_bytes == 0


async def test_an_answer_that_can_not_be_recorded_is_not_handed_out(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage.gateway.ledger, "complete", Broken(StoreError("the disk is full")).complete)
    response = await stage.chat()
    assert (response.status_code, error_of(response)["code"]) == (503, "store_unavailable")
    assert b"Hello there" not in response.content


async def test_a_stream_that_can_not_be_recorded_does_not_end_cleanly(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage.gateway.ledger, "complete", Broken(StoreError("the disk is full")).complete)
    response = await stage.chat(stream=True)
    assert b"[DONE]" not in response.content
    assert b'"code":"store_unavailable"' in response.content


async def test_a_refusal_stands_when_it_can_not_be_recorded_but_has_no_receipt(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage.gateway.ledger, "complete", Broken(StoreError("the disk is full")).complete)
    response = await stage.chat(provider={"aci_verified": True})
    assert (response.status_code, error_of(response)["code"]) == (403, "execution_level")
    assert "x-receipt-id" not in response.headers


async def test_what_can_not_be_read_is_not_there_for_now(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    without_store(stage, monkeypatch, "ledger", "sessions")
    for path in ("/v1/aci/receipts/rcpt_" + "00" * 16, "/v1/aci/sessions/" + "00" * 32):
        response = await stage.http.get(path)
        assert (response.status_code, error_of(response)["code"]) == (503, "store_unavailable")


async def test_a_defect_of_ours_tells_the_client_nothing_and_the_log_its_type(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(stage.gateway.ledger, "find", Broken(OllmError("secret detail")).find)
    response = await stage.http.get("/v1/aci/receipts/rcpt_" + "00" * 16)
    assert (response.status_code, error_of(response)["code"]) == (500, "internal_error")
    assert "secret" not in response.text + caplog.text
    assert [record.error for record in caplog.records if record.name == "ollm.gateway"] == ["OllmError"]  # type: ignore[attr-defined]  # extra


# The end


async def test_sigterm_lets_a_running_stream_finish(socket_dir: Path) -> None:
    held = stream(PIECE, PIECE, b"data: [DONE]\n\n", held=1)
    async with scripted_enclave(held) as enclave:
        loaded = load(initialise(socket_dir, toml(configuration({"enclave": enclave}))))
        key = await new_key(loaded)
        told: asyncio.Future[tuple[Any, Any]] = asyncio.get_running_loop().create_future()
        service = asyncio.create_task(serve(loaded, lambda gateway, server: told.set_result((gateway, server))))
        gateway, server = await told
        stage = Stage(loaded, gateway, server, key, None)  # type: ignore[arg-type]  # the raw client needs no HTTP client
        async with asking(stage, chat_body(stream=True)) as client:
            await client.read_until(b'"one"')
            os.kill(os.getpid(), signal.SIGTERM)
            await eventually(lambda: _refuses(server.port))
            enclave.asked[0].go_on.set()
            assert (await client.read_to_end()).endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        await asyncio.wait_for(service, 5)


def _refuses(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
async def test_what_outlasts_the_drain_is_cut_and_recorded(socket_dir: Path, streamed: bool) -> None:
    kind = "text/event-stream" if streamed else "application/json"
    async with (
        scripted_enclave(stalling(*[PIECE] * streamed, kind=kind)) as enclave,
        opened(socket_dir, configuration({"enclave": enclave})) as stage,
    ):
        async with asking(stage, chat_body(stream=streamed)) as client:
            await eventually(lambda: enclave.asked)
            if streamed:
                await client.read_until(b'"one"')
            draining = asyncio.create_task(stage.server.drain(0.1))
            seen = await client.read_to_end()
            await draining
        if streamed:
            assert b"[DONE]" not in seen
            assert not seen.endswith(b"0\r\n\r\n"), "a stream that was cut must not look complete"
        else:
            assert seen.startswith(b"HTTP/1.1 503 ")
            assert b'"code":"shutting_down"' in seen
        assert (await last_entry(stage)).status is Status.CLIENT_GONE
        assert stage.under_way == 0


async def test_an_unmodified_gateway_answers_many_at_once(socket_dir: Path) -> None:
    async with SimEnclave(SimOptions()) as enclave, opened(socket_dir, configuration({"enclave": enclave}, upstream={"max_connections": 8})) as stage:
        answers = await asyncio.gather(*(stage.chat(f"number {number}", stream=number % 2 == 0) for number in range(40)))
        assert [response.status_code for response in answers] == [200] * 40
        said = [response.content.decode().replace('"}', "") for response in answers]
        assert all("number" in text for text in said)
        assert len({response.headers["x-request-id"] for response in answers}) == 40
        assert stage.under_way == 0
        day = int(stage.gateway.clock.now()) // 86_400 * 86_400
        page = await stage.gateway.reports.usage(Question(start=day - 86_400, end=day + 86_400))  # it may have been midnight meanwhile
        assert (sum(row.requests for row in page.rows), sum(row.completed for row in page.rows)) == (40, 40)
