"""The whole way in front of a real engine: llama.cpp's own server, with a model whose words nobody wrote down beforehand."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from ollm.app.demo import MODEL, Stage, stage
from tests.system.processes import ROOT, Process, clean_environment, until

ENGINE_PYTHON = ROOT / ".venv-tutorial/bin/python"
QUESTION: list[ChatCompletionMessageParam] = [{"role": "user", "content": "What does a gateway do?"}]
START_SECONDS = 120  # the first start puts the model's file together

pytestmark = [
    pytest.mark.slow,
    pytest.mark.process,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not ENGINE_PYTHON.exists(), reason="there is no .venv-tutorial: `make tutorial` makes it"),
]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Base URL of llama.cpp's server."""
    folder = tmp_path_factory.mktemp("engine")
    process = Process("engine", [str(ENGINE_PYTHON), str(ROOT / "tools/engine.py"), "--port", "0"], folder, clean_environment(folder / "home"))
    try:
        until(lambda: not process.running or process.out.read_text().endswith("\n"), "the engine serves", seconds=START_SECONDS)
        assert process.running, process.err.read_text()
        yield process.out.read_text().strip()
    finally:
        process.end()


@pytest.fixture
async def play(engine: str, socket_dir: Path) -> AsyncIterator[Stage]:
    """A gateway before a simulated enclave before the engine."""
    async with stage(socket_dir, upstream=engine) as running:
        yield running


@pytest.fixture
async def client(play: Stage) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=play.url + "/v1", api_key=play.api_key, max_retries=0) as client:
        yield client


async def test_tokens_stream_as_the_engine_makes_them_and_are_metered(client: openai.AsyncOpenAI, play: Stage) -> None:
    stream = await client.chat.completions.create(model=MODEL, messages=QUESTION, stream=True, max_tokens=24, stop=["never"], temperature=0)
    chunks = [chunk async for chunk in stream]
    pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices[0].delta.content]
    assert len(pieces) > 10
    assert {chunk.model for chunk in chunks} == {MODEL}
    assert all(chunk.usage is None for chunk in chunks)
    entry = await play.gateway.ledger.find(chunks[0].id.removeprefix("chatcmpl-"))
    assert entry is not None
    assert entry.usage.output_tokens == 24
    assert entry.usage.input_tokens + entry.usage.cached_tokens > 5
    assert not entry.usage.estimated


async def test_what_the_engine_adds_of_its_own_passes_through(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model=MODEL, messages=QUESTION, max_tokens=4)
    timings = (answer.model_extra or {})["timings"]
    assert timings["predicted_n"] == 4
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 4


async def test_usage_on_a_stream_that_asked_for_it(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model=MODEL, messages=QUESTION, stream=True, max_tokens=4, stop=["never"], stream_options={"include_usage": True}
    )
    last = [chunk async for chunk in stream][-1]
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.completion_tokens == 4


async def test_a_schema_reaches_the_engine_untouched(client: openai.AsyncOpenAI) -> None:
    schema = {"type": "object", "properties": {"warm": {"type": "boolean"}}, "required": ["warm"], "additionalProperties": False}
    answer = await client.chat.completions.create(
        model=MODEL, messages=QUESTION, response_format={"type": "json_schema", "json_schema": {"name": "weather", "strict": True, "schema": schema}}
    )
    assert json.loads(answer.choices[0].message.content or "")["warm"] in {True, False}


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_prompt_that_the_engine_finds_too_long(client: openai.AsyncOpenAI, streamed: bool) -> None:
    prompt: list[ChatCompletionMessageParam] = [{"role": "user", "content": "lighthouse " * 3000}]
    with pytest.raises(openai.BadRequestError) as raised:
        await client.chat.completions.create(model=MODEL, messages=prompt, stream=streamed)
    assert raised.value.code == "upstream_rejected"
    assert "context" not in raised.value.message  # the engine's own words stay behind


async def test_the_engine_stops_when_the_client_leaves(client: openai.AsyncOpenAI, engine: str) -> None:
    async with httpx2.AsyncClient(trust_env=False) as watcher:

        async def busy() -> bool:
            slots = (await watcher.get(engine.removesuffix("/v1") + "/slots")).json()
            return any(slot["is_processing"] for slot in slots)

        stream = await client.chat.completions.create(model=MODEL, messages=QUESTION, stream=True, stop=["never"], extra_body={"ignore_eos": True})
        async for _ in stream:
            break
        assert await busy()
        await stream.close()
        async with asyncio.timeout(5):  # 1 s where nothing else runs; one token takes longer than that on a busy machine
            while await busy():  # noqa: ASYNC110 - the engine tells nobody when it stops
                await asyncio.sleep(0.02)


def test_the_tutorial_from_its_first_command_to_its_last() -> None:
    done = subprocess.run([sys.executable, "-m", "tools.tutorial"], cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert "passed   receipt.signature" in done.stdout
