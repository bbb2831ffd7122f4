"""URLs that a provider would fetch, sent by the clients that people use: passed on as they are, or refused by policy and on record."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from ollm.testing.providers.zdr import ZdrServer
from ollm.values.ledger import Status
from ollm.wire.endpoints import ENDPOINTS
from tests.stage import MODEL, Stage, configuration, error_of, opened, stem

REMOTE = "https://pictures.example/a-very-private-name.png"
INLINE = "data:image/png;base64,iVBORw0KGgo="
EVERYTHING = tuple(sorted(ENDPOINTS))


class Play:
    def __init__(self, stage: Stage, server: ZdrServer) -> None:
        self.stage = stage
        self.server = server
        self.openai = openai.AsyncOpenAI(base_url=stage.url + "/v1", api_key=stage.api_key, max_retries=0)
        self.anthropic = anthropic.AsyncAnthropic(base_url=stage.url, api_key=stage.api_key, max_retries=0)


@contextlib.asynccontextmanager
async def playing(folder: Path, remote_urls: str | None, endpoints: tuple[str, ...] = EVERYTHING) -> AsyncIterator[Play]:
    """A gateway before a provider that answers to `endpoints`."""
    async with ZdrServer() as server:
        models = {MODEL: {"upstreams": ["open"], "upstream_model": "theirs", "endpoints": endpoints}}
        tree = configuration({}, gateway={"floor": "zdr", "remote_urls": remote_urls}, models=models)
        tree["upstreams"] = {"open": {"url": server.url, "adapter": "openai-compatible", "ca": server.ca}}
        async with opened(folder, tree) as stage:
            play = Play(stage, server)
            async with play.openai, play.anthropic:
                yield play


async def chat(play: Play, url: str, *, stream: bool = False) -> None:
    content: Any = [{"type": "text", "text": "What is in " + REMOTE}, {"type": "image_url", "image_url": {"url": url}}]
    await play.openai.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": content}], stream=stream)


async def streamed_chat(play: Play, url: str) -> None:
    await chat(play, url, stream=True)


async def responses(play: Play, url: str) -> None:
    content: Any = [{"type": "input_image", "image_url": url}]
    await play.openai.responses.create(model=MODEL, input=[{"role": "user", "content": content}])


def source(url: str) -> dict[str, str]:
    if url != INLINE:
        return {"type": "url", "url": url}
    return {"type": "base64", "media_type": "image/png", "data": INLINE.partition(",")[2]}


async def messages(play: Play, url: str) -> None:
    content: Any = [{"type": "image", "source": source(url)}]
    await play.anthropic.messages.create(model=MODEL, max_tokens=9, messages=[{"role": "user", "content": content}])


async def count_tokens(play: Play, url: str) -> None:
    content: Any = [{"type": "image", "source": source(url)}]
    await play.anthropic.messages.count_tokens(model=MODEL, messages=[{"role": "user", "content": content}])


async def moderations(play: Play, url: str) -> None:
    content: Any = [{"type": "image_url", "image_url": {"url": url}}]
    await play.openai.moderations.create(model=MODEL, input=content)


async def images(play: Play, url: str) -> None:
    await play.openai.images.edit(model=MODEL, image=b"\x89PNG", prompt="as in " + REMOTE, extra_body={"image_url": url})


async def transcriptions(play: Play, url: str) -> None:
    await play.openai.audio.transcriptions.create(model=MODEL, file=b"RIFF", extra_body={"url": url})


Ask = Callable[[Play, str], Awaitable[None]]
ASKS: dict[str, tuple[Ask, str]] = {
    "chat": (chat, "messages[0].content[1].image_url.url"),
    "streamed chat": (streamed_chat, "messages[0].content[1].image_url.url"),
    "responses": (responses, "input[0].content[0].image_url"),
    "messages": (messages, "messages[0].content[0].source.url"),
    "count_tokens": (count_tokens, "messages[0].content[0].source.url"),
    "moderations": (moderations, "input[0].image_url.url"),
    "images": (images, "image_url"),
    "transcriptions": (transcriptions, "url"),
}


async def refused(play: Play, ask: Ask, param: str) -> None:
    response: Any = None
    try:
        await ask(play, REMOTE)
    except (openai.PermissionDeniedError, anthropic.PermissionDeniedError) as error:
        response = error.response
    assert response is not None, "it was served"
    body = response.json()
    assert (body["error"]["code"], body["error"]["param"]) == ("remote_url", param)
    assert "private" not in response.text
    assert response.headers["x-should-retry"] == "false"
    row = await play.stage.gateway.ledger.find(stem(response))
    assert row is not None
    assert (row.status, row.http_status, row.upstream) == (Status.REFUSED, 403, None)
    events = (await play.stage.receipt(response))["event_log"]
    [verdict] = [event for event in events if event["type"] == "upstream.verified"]
    assert (verdict["result"], verdict["reason"]) == ("failed", "policy: got a URL to be fetched, want data URLs")
    assert "request.forwarded" not in [event["type"] for event in events]


async def test_every_endpoint_refuses_them_where_the_policy_does(socket_dir: Path) -> None:
    async with playing(socket_dir, "refuse") as play:
        for ask, param in ASKS.values():
            await refused(play, ask, param)
        assert play.server.asked == []
        for ask, _ in ASKS.values():
            await ask(play, INLINE)
        assert len(play.server.asked) == len(ASKS)


@pytest.mark.parametrize(("spoken", "asks"), [("chat.completions", ("responses", "messages")), ("messages", ("chat", "streamed chat", "responses"))])
async def test_translated_requests_are_refused_by_the_clients_own_names(spoken: str, asks: tuple[str, ...], socket_dir: Path) -> None:
    async with playing(socket_dir, "refuse", (spoken,)) as play:
        for name in asks:
            await refused(play, *ASKS[name])
            await ASKS[name][0](play, INLINE)
        assert len(play.server.asked) == len(asks)


@pytest.mark.parametrize("remote_urls", [None, "pass"])
async def test_they_pass_unless_the_policy_says_otherwise(remote_urls: str | None, socket_dir: Path) -> None:
    async with playing(socket_dir, remote_urls) as play:
        for ask, _ in ASKS.values():
            await ask(play, REMOTE)
        assert all(REMOTE.encode() in asked.body for asked in play.server.asked)
        assert len(play.server.asked) == len(ASKS)


async def test_a_model_that_is_none_is_said_first(socket_dir: Path) -> None:
    async with playing(socket_dir, "refuse") as play:
        response = await play.stage.chat(model="none", image_url=REMOTE)
        assert (response.status_code, error_of(response)["code"]) == (404, "model_not_found")
