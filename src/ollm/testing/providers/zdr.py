"""A provider without evidence, as OpenAI, Anthropic and OpenRouter answer: one chat endpoint over TLS, and ways of failing."""

from typing import Any

import msgspec

from ollm.net.clock import SystemClock
from ollm.serving.http import Receive, Scope, Send, read_body
from ollm.serving.server import Server
from ollm.testing.providers import listings, openai_shaped
from ollm.testing.providers.tls import certified

_MAX_BODY = 1024 * 1024


class Asked(msgspec.Struct, frozen=True):
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes


class ZdrServer:
    """`async with ZdrServer() as server:`. `ca` is the authority of its certificate; `asked` keeps what came.

    `status` other than 200 is answered with an error that repeats the prompt; `comments` puts comments into streams, as OpenRouter does;
    `elsewhere` is a Location to redirect to.
    """

    def __init__(self, *, host: str = "127.0.0.1") -> None:
        found = certified(SystemClock().now(), host)
        self.ca = found.ca
        self.asked: list[Asked] = []
        self.status = 200
        self.comments = False
        self.elsewhere = ""
        self.listing = listings.OPENAI
        self._server = Server(self._serve, host="127.0.0.1", port=0, tls=found.identity)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._server.port}"

    async def __aenter__(self) -> "ZdrServer":
        await self._server.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._server.drain(0)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(scope, receive, _MAX_BODY)
        self.asked.append(Asked(scope["path"], {name.decode(): value.decode() for name, value in scope["headers"]}, body))
        members: dict[str, Any] = msgspec.json.decode(body or b"{}")
        if self.elsewhere:
            await _answer(send, 307, b"application/json", b"{}", (b"location", self.elsewhere.encode()))
        elif self.status != 200:
            await _answer(send, self.status, b"application/json", b'{"error":{"message":"in full: ' + body.replace(b'"', b"'") + b'"}}')
        elif scope["method"] == "GET":
            await _answer(send, 200, b"application/json", self.listing)
        elif members.get("stream"):
            events = list(openai_shaped.events(members["model"]))
            comment = b": PROCESSING\n\n" if self.comments else b""
            await _answer(send, 200, b"text/event-stream", comment + comment.join(events))
        else:
            await _answer(send, 200, b"application/json", openai_shaped.whole(members["model"]))


async def _answer(send: Send, status: int, kind: bytes, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind), *headers]})
    await send({"type": "http.response.body", "body": body})
