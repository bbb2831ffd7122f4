"""The built-in engine keeps the responder's pace and breaks where it says."""

import asyncio
import json

import pytest

from ollm.errors import ApiError, UpstreamError
from ollm.net.clock import SystemClock
from ollm.sim.engine import BuiltIn, Operation
from ollm.sim.responder import Pace, Responder


def chat(**members: object) -> bytes:
    return json.dumps({"model": "sim-chat", "messages": [{"role": "user", "content": "hi"}], **members}).encode()


def engine(pace: Pace | None = None) -> BuiltIn:
    return BuiltIn(Responder(pace=pace or Pace()), SystemClock())


async def test_a_whole_answer_has_one_chunk_of_the_announced_length() -> None:
    reply = await engine().answer(Operation.CHAT, chat())
    [chunk] = [chunk async for chunk in reply.chunks]
    assert (reply.status, reply.content_type, reply.length) == (200, b"application/json", len(chunk))
    assert json.loads(chunk)["id"].startswith("chatcmpl-")


async def test_a_stream_has_a_chunk_for_each_event() -> None:
    reply = await engine().answer(Operation.CHAT, chat(stream=True))
    chunks = [chunk async for chunk in reply.chunks]
    assert reply.streamed and reply.length is None
    assert chunks[-1] == b"data: [DONE]\n\n"


async def test_embeddings_and_models() -> None:
    embeddings = await engine().answer(Operation.EMBEDDINGS, b'{"model": "sim-embed", "input": "a"}')
    assert json.loads(b"".join([chunk async for chunk in embeddings.chunks]))["object"] == "list"
    models = await engine().answer(Operation.MODELS, b"")
    assert [row["id"] for row in json.loads(b"".join([chunk async for chunk in models.chunks]))["data"]] == ["sim-chat", "sim-embed"]


async def test_a_cut_answer_raises_after_its_last_part() -> None:
    reply = await engine().answer(Operation.CHAT, chat(model="sim-cut", stream=True))
    chunks = aiter(reply.chunks)
    assert b"chat.completion.chunk" in await anext(chunks)

    async def the_rest() -> bytes:
        return b"".join([chunk async for chunk in chunks])

    with pytest.raises(UpstreamError):
        await the_rest()


@pytest.mark.parametrize("pace", [Pace(headers=60), Pace(first=60), Pace(event=60)])
async def test_the_pace_is_kept(pace: Pace) -> None:
    async def all_of_it() -> None:
        reply = await engine(pace).answer(Operation.CHAT, chat(stream=True))
        async for _ in reply.chunks:
            pass

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(all_of_it(), 0.05)


async def test_an_unknown_model_is_an_error_of_openais() -> None:
    with pytest.raises(ApiError) as caught:
        await engine().answer(Operation.CHAT, chat(model="gpt-9"))
    assert caught.value.status == 404
