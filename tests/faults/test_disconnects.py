"""Clients that leave, at each phase of a request to each endpoint: the provider is cancelled at once, and what was used is settled."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
import uvloop

from ollm.testing.providers import every_endpoint
from ollm.values.ledger import Entry, Status
from ollm.wire.endpoints import ENDPOINTS, Endpoint
from tests.faults.upstream import Ask, Upstream, chunk, head
from tests.faults.wall import busy
from tests.stage import MODEL, Stage, configuration, eventually, opened

WITHIN = 1.0  # seconds from a client's leaving until its provider knows
LARGE = 8 * 1024 * 1024  # bytes of an upload: more than the buffers on its way hold


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


class Request(msgspec.Struct, frozen=True):
    """One request: to which endpoint, whether for a stream, and how much there is of it."""

    endpoint: Endpoint
    streamed: bool
    size: int = 1000

    @property
    def content_type(self) -> str:
        return "multipart/form-data; boundary=edge" if self.endpoint.form else "application/json"

    @property
    def body(self) -> bytes:
        text = "x" * self.size
        if self.endpoint.form:
            fields = {"model": MODEL, "prompt": "a", **({"stream": "true"} if self.streamed else {})}
            parts = [f'--edge\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()]
            return "".join([*parts, f'--edge\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n{text}\r\n--edge--\r\n']).encode()
        members: dict[str, Any] = {"model": MODEL, "input": text, "prompt": text, "messages": [{"role": "user", "content": text}]}
        members |= {"query": "a", "documents": ["b"], "max_tokens": 9}
        if self.streamed and self.endpoint.streams is not None:
            name, value = self.endpoint.streams
            members[name] = json.loads(value)
        return json.dumps(members).encode()

    @property
    def head(self) -> bytes:
        lines = [f"POST {self.endpoint.path} HTTP/1.1", "host: gateway", f"content-type: {self.content_type}", f"content-length: {len(self.body)}"]
        return "\r\n".join(lines).encode() + b"\r\nauthorization: Bearer "


REQUESTS = [
    Request(endpoint, streamed) for endpoint in ENDPOINTS.values() for streamed in (False, True) if not streamed or endpoint.streams is not None
]
UPLOADS = [
    msgspec.structs.replace(request, size=LARGE)
    for request in REQUESTS
    if request.endpoint.form or request.endpoint.name in ("chat.completions", "messages")
]


class Provider:
    """A provider that goes as far as `phase` and then no further, until its peer leaves."""

    def __init__(self, phase: str) -> None:
        self._phase = phase
        self.go_on = asyncio.Event()  # in the phase "sending" it reads nothing before
        self.whole = 0  # bodies that came to their end

    async def play(self, ask: Ask, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        if self._phase == "sending":
            await self.go_on.wait()
            came = await reader.read()
            self.whole += len(came) >= int(ask.fields["content-length"])
            return False
        if self._phase in ("first byte", "middle"):
            shaped = every_endpoint.answer(ask.path.removeprefix("/v1"), ask.body, ask.fields["content-type"])
            assert shaped is not None
            writer.write(head("200 OK", f"content-type: {shaped.kind.decode()}", "transfer-encoding: chunked"))
            if self._phase == "middle":
                writer.write(chunk(shaped.pieces[0] if len(shaped.pieces) > 1 else shaped.pieces[0][:20]))
        await reader.read()
        return False


class Scene(NamedTuple):
    """A gateway before one provider."""

    stage: Stage
    provider: Provider
    upstream: Upstream


@contextlib.asynccontextmanager
async def scene(folder: Path, phase: str) -> AsyncIterator[Scene]:
    provider = Provider(phase)
    async with Upstream(provider.play, heads=phase == "sending") as upstream:
        models = {MODEL: {"upstreams": ["open"], "endpoints": sorted(ENDPOINTS)}}
        tree = configuration({}, gateway={"floor": "zdr"}, models=models)
        tree["upstreams"] = {"open": {"url": upstream.url, "adapter": "openai-compatible", "ca": upstream.ca}}
        async with opened(folder, tree) as stage:
            yield Scene(stage, provider, upstream)


async def leave(stage: Stage, request: Request, arrived: asyncio.Event, *, politely: bool, after: int | None = None) -> None:
    """Send `request`, or `after` bytes of its body, and leave once `arrived` says so."""
    _, writer = await asyncio.open_connection("127.0.0.1", stage.server.port)
    try:
        writer.write(request.head + stage.api_key.encode() + b"\r\n\r\n" + request.body[:after])
        await writer.drain()
        await arrived.wait()
    finally:
        if politely:
            writer.close()
        else:
            writer.transport.abort()


async def rows(stage: Stage) -> list[Entry]:
    found: list[Entry] = await stage.gateway.ledger.recent(1000)  # type: ignore[attr-defined]  # SqlLedger's own
    return found


@pytest.mark.parametrize("politely", [True, False], ids=["closing", "resetting"])
@pytest.mark.parametrize("phase", ["sending", "headers", "first byte", "middle"])
async def test_a_client_that_leaves_takes_its_provider_along(phase: str, politely: bool, socket_dir: Path) -> None:
    requests = UPLOADS if phase == "sending" else REQUESTS
    async with scene(socket_dir, phase) as (stage, provider, upstream):
        arrived = asyncio.Event()
        async with asyncio.TaskGroup() as clients:
            for request in requests:
                clients.create_task(leave(stage, request, arrived, politely=politely))
            await eventually(lambda: upstream.playing == stage.under_way == len(requests), 30)
            await asyncio.sleep(0.1)  # what the provider has said by now is on its way to the client
            arrived.set()
        await eventually(lambda: busy(stage.gateway) == 0, WITHIN)
        provider.go_on.set()
        await eventually(lambda: upstream.playing == 0, WITHIN if phase != "sending" else 5)  # the bytes on the way have to be read first
        await eventually(lambda: stage.under_way == 0)
        assert provider.whole == 0

        entries = await rows(stage)
        expected = sorted((request.endpoint.name, request.streamed) for request in requests)
        assert sorted((entry.endpoint, entry.streamed) for entry in entries) == expected
        assert {(entry.status, entry.http_status, entry.usage.estimated) for entry in entries} == {(Status.CLIENT_GONE, 499, True)}
        for entry in entries:
            assert (await stage.gateway.ledger.find(entry.request_id)).receipt is not None  # type: ignore[union-attr]  # it was listed


@pytest.mark.parametrize("politely", [True, False], ids=["closing", "resetting"])
async def test_a_client_that_leaves_while_it_sends_leaves_nothing(politely: bool, socket_dir: Path) -> None:
    async with scene(socket_dir, "headers") as (stage, _, upstream):
        arrived = asyncio.Event()
        async with asyncio.TaskGroup() as clients:
            for request, after in itertools.product(REQUESTS, (0, 1, 500)):
                clients.create_task(leave(stage, request, arrived, politely=politely, after=after))
            await eventually(lambda: stage.server.connections >= 3 * len(REQUESTS), 30)
            arrived.set()
        await eventually(lambda: stage.server.connections == 0, WITHIN)
        assert upstream.asked.total() == stage.under_way == 0
        assert await rows(stage) == []
