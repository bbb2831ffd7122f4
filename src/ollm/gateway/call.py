"""One HTTP call: what came in, what goes out, and whether the client is still there."""

import asyncio
from collections.abc import Iterable
from typing import cast

from ollm.errors import ApiError
from ollm.gateway.entropy import entropy
from ollm.gateway.places import Places
from ollm.gateway.tokens import Issued
from ollm.serving.exchange import BODY, WHOLE
from ollm.serving.http import Receive, Scope, Send, error_response, header, read_body, too_large
from ollm.values.identity import Role

Headers = list[tuple[bytes, bytes]]

EVENT_STREAM = b"text/event-stream; charset=utf-8"
_NO_CACHE = (b"cache-control", b"no-store")


class Call:
    """Ids of one request share one stem: x-request-id `req_<stem>`, receipt `rcpt_<stem>`, answer `chatcmpl-<stem>`.

    The stem is 48 bits of time in milliseconds and 80 random bits: rows then go to the end of the ledger's indexes.
    """

    __slots__ = ("_base", "_places", "_receive", "_send", "dialect", "fields", "issued", "now_ms", "roles", "scope", "started", "stem")

    def __init__(self, scope: Scope, receive: Receive, send: Send, base: Headers, now_ms: int, places: Places) -> None:
        self.scope = scope
        self.fields: dict[bytes, bytes] = dict(scope["headers"])  # what isn't here wasn't sent; a repeated one must be looked for in the scope
        self._receive = receive
        self._send = send
        self._places = places
        self.now_ms = now_ms  # when it came, Unix milliseconds
        self.stem = f"{now_ms:012x}{entropy.take(10).hex()}"
        self._base = [(b"x-request-id", b"req_" + self.stem.encode()), *base]
        self.started = False
        self.dialect = "openai"  # whose error objects this client reads
        self.issued: Issued | None = None  # whose token it showed, where it showed a valid one in place of a key
        self.roles: frozenset[Role] = frozenset()  # that the route serves; none until it is known

    async def body(self, limit: int) -> bytes:
        """The whole request body. Raises: ApiError 400, 413, 415, 503."""
        there = self.scope["extensions"].get(BODY) if b"content-encoding" not in self.fields else None
        if there is not None and (whole := there()) is not None:
            if len(whole) > limit:
                raise too_large(limit)
            self._places.check()
            return cast(bytes, whole)
        with self._places.receiving() as incoming:
            body = await read_body(self.scope, self._receive, limit, incoming.came)
        self._places.check()
        return body

    @property
    def address(self) -> str:
        """Where the connection comes from; "" for a socket without addresses."""
        client = self.scope.get("client")
        return str(client[0]) if client else ""

    @property
    def content_type(self) -> str:
        """Of the request's body; "" when it says none, or more than one."""
        return (header(self.scope, b"content-type") or b"").decode("latin-1")

    async def respond(self, status: int, body: bytes, headers: Headers, content_type: bytes = b"application/json") -> None:
        """One whole answer."""
        self.started = True
        length = (b"content-length", b"%d" % len(body))
        all_headers = [*self._base, (b"content-type", content_type), length, _NO_CACHE, *headers]
        answer = self.scope["extensions"].get(WHOLE)
        if answer is not None:
            await answer(status, all_headers, body)
            return
        await self._send({"type": "http.response.start", "status": status, "headers": all_headers})
        await self._send({"type": "http.response.body", "body": body})

    async def fail(self, error: ApiError, headers: Headers | None = None) -> None:
        """`error` as an answer in the shape that this client reads."""
        status, own, body = error_response(error, self.dialect)
        await self.respond(status, body, [*own, *(headers or [])])

    async def start_stream(self, headers: Headers, content_type: bytes = EVENT_STREAM) -> None:
        """Head of an answer that comes in pieces."""
        self.started = True
        all_headers = [*self._base, (b"content-type", content_type), _NO_CACHE, *headers]
        await self._send({"type": "http.response.start", "status": 200, "headers": all_headers})

    async def piece(self, data: bytes, *, last: bool = False) -> None:
        """A piece of the stream; waits while the client does not read."""
        await self._send({"type": "http.response.body", "body": data, "more_body": not last})

    def add_headers(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Send these with the answer, whatever it is."""
        self._base = [*self._base, *headers]

    def speak(self, dialect: str) -> None:
        """Answer as clients of `dialect` read it."""
        self.dialect = dialect
        if dialect == "anthropic":
            self._base = [(b"request-id", b"req_" + self.stem.encode()), *self._base]

    def cancel_on_disconnect(self) -> None:
        """Cancel the running task as soon as the client is gone, whatever it waits for then."""
        task = asyncio.current_task()
        if task is not None:
            self.scope["extensions"]["ollm.disconnect"].on_disconnect(task.cancel)
