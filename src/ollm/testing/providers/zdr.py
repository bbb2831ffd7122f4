"""A provider without evidence, as OpenAI, Anthropic and OpenRouter answer: every endpoint over TLS, and ways of failing."""

import msgspec

from ollm.net.clock import SystemClock
from ollm.serving.http import Receive, Scope, Send, read_body
from ollm.testing.providers import every_endpoint, listings
from ollm.testing.providers.served import Served, answer, headers_of
from ollm.testing.providers.tls import certified

_MAX_BODY = 64 * 1024 * 1024


class Asked(msgspec.Struct, frozen=True):
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes


class ZdrServer(Served):
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
        super().__init__(found.identity)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(scope, receive, _MAX_BODY)
        self.asked.append(Asked(scope["path"], headers_of(scope), body))
        if self.elsewhere:
            await answer(send, 307, b"{}", headers=[(b"location", self.elsewhere.encode())])
        elif self.status != 200:
            await answer(send, self.status, b'{"error":{"message":"in full: ' + body.replace(b'"', b"'") + b'"}}')
        elif scope["method"] == "GET":
            await answer(send, 200, self.listing)
        else:
            _, _, path = scope["path"].partition("/v1")
            shaped = every_endpoint.answer(path, body, headers_of(scope).get("content-type", ""))
            if shaped is None:
                await answer(send, 404, b"{}")
            elif shaped.kind == every_endpoint.EVENTS:
                comment = b": PROCESSING\n\n" if self.comments else b""
                await answer(send, 200, comment + comment.join(shaped.pieces), shaped.kind)
            else:
                await answer(send, 200, b"".join(shaped.pieces), shaped.kind)
