"""A key that ends stops its requests that are under way, in whichever phase they are: the provider is left, the client told, the use settled."""

import asyncio
from pathlib import Path

import msgspec
import openai
import pytest

from ollm.app.build import store_of
from ollm.errors import StoreError
from ollm.gateway import running
from ollm.gateway.running import Running
from ollm.net.clock import SystemClock
from ollm.store import keyring
from ollm.store.keys import parse_key
from ollm.values.ledger import Entry, Status
from tests.callers import caller
from tests.scripted_enclave import Asked, Script, ScriptedEnclave, answer, scripted_enclave, silent, stalling
from tests.stage import Stage, asking, chat_body, configuration, eventually, last_entry, opened

PIECE = b'data: {"id":"x","choices":[{"index":0,"delta":{"content":"one"}}]}\n\n'
JSON, STREAM, AUDIO = "application/json", "text/event-stream", "audio/mpeg"


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both looks come twenty times as often: their real pauses have a test of their own."""
    monkeypatch.setattr(keyring, "POLL_SECONDS", 0.03)
    monkeypatch.setattr(running, "SWEEP_SECONDS", 0.03)


async def end(stage: Stage, text: str, *, at: int | None = None) -> None:
    """Revoke the key, or let it expire at `at`, as another process does it."""
    parsed = parse_key(text)
    assert parsed is not None
    async with store_of(stage.loaded, role="admin") as store:
        now = SystemClock().now()
        await (store.keys.revoke(parsed[0], now) if at is None else store.keys.expire(parsed[0], at, now))


def openai_of(stage: Stage) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=stage.url + "/v1", api_key=stage.api_key, timeout=10)


def play(enclave: ScriptedEnclave, **settings: object) -> dict[str, object]:
    return configuration({"enclave": enclave}, **settings)  # type: ignore[arg-type]  # passed on as they are


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize(
    "script",
    [
        pytest.param(silent, id="waiting for headers"),
        pytest.param(stalling(kind=JSON), id="waiting for the first byte"),
        pytest.param(stalling(b'{"id":', kind=JSON), id="in the middle"),
    ],
)
async def test_a_whole_answer_under_way_is_refused(script: Script, socket_dir: Path) -> None:
    async with scripted_enclave(script) as enclave, opened(socket_dir, play(enclave)) as stage, openai_of(stage) as client:
        asked = asyncio.create_task(client.chat.completions.create(model="demo", messages=[{"role": "user", "content": "Hello there"}]))
        await asyncio.wait_for(enclave.arrived.wait(), 5)
        await end(stage, stage.api_key)
        with pytest.raises(openai.AuthenticationError) as refused:
            await asked
        assert (refused.value.status_code, refused.value.code) == (401, "key_revoked")
        assert refused.value.response.headers["x-receipt-id"].startswith("rcpt_")
        assert refused.value.response.headers["x-should-retry"] == "false"
        await asyncio.wait_for(enclave.gone.wait(), 1)
        assert len(enclave.asked) == 1
        entry = await last_entry(stage)
        assert (entry.status, entry.http_status) == (Status.CLIENT_GONE, 401)
        assert entry.usage.estimated
        assert entry.usage.input_tokens > 0
        assert stage.under_way == 0
        assert len(stage.gateway.running) == 0


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize(
    ("script", "pieces"),
    [
        pytest.param(stalling(kind=STREAM), 0, id="before the first token"),
        pytest.param(stalling(PIECE, PIECE, kind=STREAM), 2, id="in the middle"),
    ],
)
async def test_an_open_stream_ends_with_an_error_that_clients_raise(script: Script, pieces: int, socket_dir: Path) -> None:
    gateway = {"keep_alive_seconds": 0.05}
    async with scripted_enclave(script) as enclave, opened(socket_dir, play(enclave, gateway=gateway)) as stage, openai_of(stage) as client:
        stream = await client.chat.completions.create(model="demo", messages=[{"role": "user", "content": "Hello there"}], stream=True)
        for _ in range(pieces):
            assert (await anext(stream)).choices[0].delta.content == "one"
        await end(stage, stage.api_key)
        with pytest.raises(openai.APIError) as refused:
            await asyncio.wait_for(anext(stream), 5)
        assert refused.value.code == "key_revoked"
        await asyncio.wait_for(enclave.gone.wait(), 1)
        entry = await last_entry(stage)
        assert (entry.status, entry.http_status, entry.streamed) == (Status.CLIENT_GONE, 401, True)
        assert (entry.usage.estimated, entry.usage.output_tokens) == (True, pieces)
        assert entry.receipt is not None
        assert stage.under_way == 0


async def test_a_stream_ends_within_five_seconds_of_its_key(socket_dir: Path) -> None:
    async with scripted_enclave(stalling(PIECE)) as enclave, opened(socket_dir, play(enclave)) as stage:
        async with asking(stage, chat_body(stream=True)) as client:
            await client.read_until(b'"one"')
            await end(stage, stage.api_key)
            begun = asyncio.get_running_loop().time()
            rest = await client.read_until(b"\r\n0\r\n\r\n")
            assert asyncio.get_running_loop().time() - begun < 2.5
        assert rest.count(b"key_revoked") == 1
        assert b"[DONE]" not in rest


@pytest.mark.usefixtures("often")
async def test_clients_of_anthropic_get_an_event_of_their_own(socket_dir: Path) -> None:
    async with scripted_enclave(stalling(PIECE)) as enclave, opened(socket_dir, play(enclave)) as stage:
        body = chat_body(stream=True, max_tokens=5)
        async with stage.http.stream("POST", "/v1/messages", content=body) as response:
            lines = response.aiter_lines()
            async for line in lines:
                if "one" in line:
                    await end(stage, stage.api_key)
                    break
            rest = [line async for line in lines if line]
        assert rest[-2] == "event: error"
        error = msgspec.json.decode(rest[-1].removeprefix("data: "))
        assert (error["type"], error["error"]["type"], error["error"]["code"]) == ("error", "authentication_error", "key_revoked")


async def speaking(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """A file whose beginning comes in two pieces, and whose end never does."""
    writer.write(asked.start(kind=AUDIO))
    for piece in (b"ID3", b"more"):
        writer.write(asked.part(piece))
        await writer.drain()
        await asyncio.sleep(0.1)
    return await silent(asked, reader, writer)


@pytest.mark.usefixtures("often")
async def test_a_file_breaks_off_without_an_end(socket_dir: Path) -> None:
    async with scripted_enclave(speaking) as enclave, opened(socket_dir, play(enclave)) as stage:
        async with asking(stage, b'{"model":"demo","input":"Hello","voice":"alloy"}', path="/v1/audio/speech") as client:
            await client.read_until(b"ID3")
            await end(stage, stage.api_key)
            rest = await client.read_to_end()
        assert b"\r\n0\r\n\r\n" not in rest
        assert b"key_revoked" not in rest
        entry = await last_entry(stage)
        assert (entry.status, entry.http_status) == (Status.CLIENT_GONE, 401)


@pytest.mark.usefixtures("often")
async def test_a_key_whose_time_ends_stops_its_stream(socket_dir: Path) -> None:
    async with (
        scripted_enclave(stalling(PIECE)) as enclave,
        opened(socket_dir, play(enclave)) as stage,
        asking(stage, chat_body(stream=True)) as client,
    ):
        await client.read_until(b'"one"')
        await end(stage, stage.api_key, at=SystemClock().now() + 1)
        assert b"key_revoked" in await client.read_until(b"\r\n0\r\n\r\n")


@pytest.mark.usefixtures("often")
async def test_a_body_that_is_still_on_its_way_is_not_waited_for(socket_dir: Path) -> None:
    async with scripted_enclave(answer(b"{}")) as enclave, opened(socket_dir, play(enclave)) as stage:
        async with asking(stage, chat_body(), sent=5) as client:
            await eventually(lambda: len(stage.gateway.running) == 1)
            await end(stage, stage.api_key)
            assert b"key_revoked" in await client.read_until(b"}}")
        assert enclave.asked == []
        assert await stage.gateway.ledger.recent(1) == []  # type: ignore[attr-defined]  # SqlLedger's own


@pytest.mark.usefixtures("often")
async def test_a_request_that_waits_for_a_verification_leaves_no_record(socket_dir: Path) -> None:
    async with scripted_enclave(answer(b"{}")) as enclave:
        enclave.hold_reports = asyncio.Event()
        async with opened(socket_dir, play(enclave)) as stage:
            asked = asyncio.create_task(stage.chat())
            await eventually(lambda: len(stage.gateway.running) == 1)
            await end(stage, stage.api_key)
            response = await asked
            enclave.hold_reports.set()
            assert (response.status_code, response.json()["error"]["code"]) == (401, "key_revoked")
            assert "x-receipt-id" not in response.headers
            assert enclave.asked == []


@pytest.mark.usefixtures("often")
async def test_other_keys_go_on(socket_dir: Path) -> None:
    async with scripted_enclave(stalling(PIECE)) as enclave, opened(socket_dir, play(enclave)) as stage:
        other = await stage.new_key()
        async with asking(stage, chat_body(stream=True)) as client:
            await client.read_until(b'"one"')
            await end(stage, other)
            parsed = parse_key(other)
            await eventually(lambda: parsed and (found := stage.gateway.keys.lookup(parsed[0])) and found.row.revoked_at)
            await asyncio.sleep(0.1)
            assert len(stage.gateway.running) == 1


@pytest.mark.usefixtures("often")
async def test_a_store_that_can_not_be_read_cuts_nothing(socket_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(seconds: float) -> int:
        raise StoreError("away")

    async with (
        scripted_enclave(stalling(PIECE)) as enclave,
        opened(socket_dir, play(enclave)) as stage,
        asking(stage, chat_body(stream=True)) as client,
    ):
        await client.read_until(b'"one"')
        watch = stage.gateway.keys._watch  # type: ignore[attr-defined]  # SqlKeys' own
        monkeypatch.setattr(watch, "generation", fail)
        await eventually(lambda: stage.gateway.keys.blind)
        await asyncio.sleep(0.1)
        refused = await stage.chat()
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "store_unavailable"), "nobody new is admitted"
        assert len(stage.gateway.running) == 1
        monkeypatch.undo()
        await end(stage, stage.api_key)
        assert b"key_revoked" in await client.read_until(b"\r\n0\r\n\r\n")


@pytest.mark.usefixtures("often")
async def test_what_can_not_be_recorded_is_told_all_the_same(socket_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(entry: Entry) -> None:
        raise StoreError("the disk is full")

    async with (
        scripted_enclave(stalling(PIECE)) as enclave,
        opened(socket_dir, play(enclave)) as stage,
        asking(stage, chat_body(stream=True)) as client,
    ):
        await client.read_until(b'"one"')
        monkeypatch.setattr(stage.gateway.ledger, "complete", fail)
        await end(stage, stage.api_key)
        assert b"key_revoked" in await client.read_until(b"\r\n0\r\n\r\n")
        assert stage.under_way == 1


async def test_what_is_being_recorded_is_left_alone() -> None:
    runs = Running()
    runs.enter("a", caller())
    runs.leave("a")
    assert runs.sweep(lambda _: False) == 0
    await asyncio.sleep(0)
    assert not runs.was_cut("a")


async def test_a_request_is_cut_once() -> None:
    runs = Running()

    async def served() -> str:
        runs.enter("a", caller())
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            running.uncancel()
            await asyncio.sleep(0.01)
            return "told"
        return "never"

    task = asyncio.create_task(served())
    await asyncio.sleep(0)
    assert [runs.sweep(lambda _: False), runs.sweep(lambda _: False)] == [1, 0]
    assert await task == "told"
    assert runs.was_cut("a")
    runs.forget("a")
    assert not runs.was_cut("a")
