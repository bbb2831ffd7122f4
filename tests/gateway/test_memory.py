"""What requests leave in memory when they are over: nothing, however they end."""

import asyncio
import collections
import gc
from pathlib import Path
from typing import Any

import pytest

from ollm.gateway.caller import Caller
from ollm.gateway.running import Running
from tests.scripted_enclave import Asked, ScriptedEnclave, answer, scripted_enclave, stalling, stream
from tests.stage import Stage, asking, chat_body, configuration, eventually, opened

EACH = 20  # requests of a kind; what is left of them is looked for in counts of objects, in which caches and pools are noise
PIECE = b'data: {"choices":[{"index":0,"delta":{"content":"one"}}]}\n\n'
DONE = b"data: [DONE]\n\n"


async def kinds(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Answers as the prompt says."""
    scripts = {
        b"whole": answer(b'{"choices":[]}'),
        b"streamed": stream(PIECE, DONE),
        b"broken": stream(PIECE, b"data: no JSON\n\n"),
        b"faulty": answer(b"{}", status="500 Internal"),
        b"left": stalling(PIECE),
    }
    return await next(script for word, script in scripts.items() if word in asked.body)(asked, reader, writer)


async def some_of_each(stage: Stage, enclave: ScriptedEnclave) -> None:
    """EACH requests of every kind, of which nothing is kept on this side."""
    for text in ("whole", "streamed", "broken", "faulty"):
        await asyncio.gather(*(stage.chat(text, stream=text in ("streamed", "broken")) for _ in range(EACH)))
    await asyncio.gather(*(stage.http.post("/v1/chat/completions", content=b"{no JSON") for _ in range(EACH)))
    for _ in range(EACH):
        async with asking(stage, chat_body("left", stream=True)) as client:
            await client.read_until(b'"one"')
    await eventually(lambda: stage.under_way == 0 and len(stage.gateway.running) == 0)
    await asyncio.sleep(0.1)
    enclave.asked.clear()


def alive() -> collections.Counter[str]:
    """Objects that the collector knows, by their class."""
    gc.collect()
    return collections.Counter(f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.get_objects())


async def grown(stage: Stage, enclave: ScriptedEnclave) -> set[str]:
    """Classes of which there is one more for each request of some kind, or nearly, in both rounds: what is made once, on first use, isn't meant."""
    await some_of_each(stage, enclave)
    found: set[str] | None = None
    for _ in range(2):
        before = alive()
        await some_of_each(stage, enclave)
        more = {name for name, count in alive().items() if count - before[name] >= EACH * 3 // 4}
        found = more if found is None else found & more
    return found or set()


def played(enclave: ScriptedEnclave) -> dict[str, Any]:
    return configuration({"enclave": enclave}, routing={"attempts": 1, "breaker": {"failures": 0}})


async def test_requests_leave_nothing_behind(socket_dir: Path) -> None:
    async with scripted_enclave(kinds) as enclave, opened(socket_dir, played(enclave)) as stage:
        assert await grown(stage, enclave) == set()


async def test_what_they_would_leave_is_found(socket_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[object] = []
    enter = Running.enter

    def keeping(self: Running, stem: str, caller: Caller) -> None:
        kept.append({"stem": stem, "caller": [caller]})
        enter(self, stem, caller)

    monkeypatch.setattr(Running, "enter", keeping)
    async with scripted_enclave(kinds) as enclave, opened(socket_dir, played(enclave)) as stage:
        assert {"builtins.dict", "builtins.list"} <= await grown(stage, enclave)
