"""One request and its response: the ASGI side of a connection."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ollm.serving.framing import FAILED, STATUS_LINES, STOPPING
from ollm.serving.http import Application, Header, Message

if TYPE_CHECKING:
    from ollm.serving.connection import Connection

log = logging.getLogger("ollm.serving")

HIGH_WATER = 64 * 1024  # bytes held for an application or a client that does not read
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
WHOLE = "ollm.respond"  # extension: `await` it with status, headers and body: a whole answer, without messages
BODY = "ollm.body"  # extension: call it for the whole body where that is there already, else None
_FRAMING = frozenset((b"connection", b"transfer-encoding"))  # headers of an answer that the server itself must look at
_line = b": ".join


class Disconnect:
    """The scope extension `ollm.disconnect`: tells at once, without a watching task, that the client is gone."""

    __slots__ = ("_callbacks", "lost")

    def __init__(self) -> None:
        self._callbacks: list[Callable[[], object]] = []
        self.lost = False

    def on_disconnect(self, callback: Callable[[], object]) -> None:
        """Call `callback` once when the connection is lost before the response is complete; at once if it already is."""
        if self.lost:
            self._call(callback)
        else:
            self._callbacks.append(callback)

    def fire(self) -> None:
        self.lost = True
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            self._call(callback)

    def clear(self) -> None:
        self._callbacks = []

    def _call(self, callback: Callable[[], object]) -> None:
        try:
            callback()
        except Exception as error:  # noqa: BLE001  # one bad callback must not keep the others from being called
            log.error("disconnect callback failed", extra={"error": type(error).__name__})


class HttpExchange:
    """`receive` and `send` of one request. The head of the response is held until its first body message, as ASGI demands."""

    __slots__ = (
        "_awaits_continue",
        "_body",
        "_chunked",
        "_connection",
        "_head",
        "_left",
        "_told_all",
        "_waiter",
        "buffered",
        "complete",
        "disconnect",
        "keep_alive",
        "more_body",
        "scope",
        "started",
    )

    def __init__(self, connection: "Connection", scope: dict[str, Any], *, keep_alive: bool, awaits_continue: bool) -> None:
        self._connection = connection
        self.scope = scope
        self.disconnect = Disconnect()
        self.keep_alive = keep_alive
        self._awaits_continue = awaits_continue
        self._body: list[bytes] = []
        self.buffered = 0  # bytes in _body
        self.more_body = True  # the client has not sent all of it
        self._told_all = False  # the application has the end of the body
        self._waiter: asyncio.Future[None] | None = None
        self._head: bytes | None = None
        self.started = False  # bytes of the response left
        self.complete = False
        self._chunked = False
        self._left = 0  # bytes of the body that Content-Length still promises

    async def run(self, app: Application) -> None:
        """Run `app` to its end; whatever it does, the client gets a complete answer or sees that it is none."""
        unanswered = STOPPING
        extensions = self.scope["extensions"] = {"ollm.disconnect": self.disconnect, WHOLE: self.answer, BODY: self.body}
        try:
            await app(self.scope, self.receive, self.send)
            if not self.complete and not self.disconnect.lost:
                log.error("application ended without an answer")
                unanswered = FAILED
        except Exception as error:  # noqa: BLE001  # whatever it is, the client gets an answer, and its text may hold content
            log.error("application failed", extra={"error": type(error).__name__})
            unanswered = FAILED
        finally:
            if not self.complete and not self.disconnect.lost:
                self._connection.fail(self, unanswered)
            self.disconnect.clear()
            extensions.clear()  # they hold this exchange, and it holds the scope

    def hold(self, body: bytes) -> None:
        """All of the request's body, before anybody asked for it."""
        self._body = [body]
        self.buffered = len(body)
        self.more_body = False

    def feed(self, data: bytes) -> None:
        self._body.append(data)
        self.buffered += len(data)
        self._wake()

    def feed_end(self) -> None:
        self.more_body = False
        self._wake()

    def lose(self) -> None:
        """The client is gone, or what it sends can't be trusted any more."""
        if not self.complete and not self.disconnect.lost:
            self.disconnect.fire()
            self._wake()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def receive(self) -> Message:
        """ASGI receive: body messages, then a disconnect as soon as there is one. One caller at a time."""
        if self._awaits_continue:
            self._awaits_continue = False
            if self.more_body and not self.buffered and not self.disconnect.lost:
                self._connection.write(_CONTINUE)
        while not (self.disconnect.lost or self.complete):
            if self._body or not (self.more_body or self._told_all):
                body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
                self._body = []
                self.buffered = 0
                self._told_all = not self.more_body
                return {"type": "http.request", "body": body, "more_body": self.more_body}
            self._connection.want_input()
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return {"type": "http.disconnect"}

    def body(self) -> bytes | None:
        """The whole body, once, where all of it came before anybody asked; None where it must be received."""
        if self.more_body or self._told_all or len(self._body) != 1:
            return None
        (body,) = self._body
        self._body = []
        self.buffered = 0
        self._told_all = True
        return body

    async def answer(self, status: int, headers: Sequence[Header], body: bytes) -> None:
        """The whole answer, as `send` of its start and of its body. Raises: RuntimeError when there was one already."""
        if self._connection.write_paused:
            await self._connection.writable()
        if self.disconnect.lost:
            return
        if self._head is not None:
            raise RuntimeError("ASGI message out of order")
        self._send_head(status, headers)
        self._send_body(body, False)

    async def send(self, message: Message) -> None:
        """ASGI send; waits while the client does not read. Raises: RuntimeError when the application breaks the protocol."""
        connection = self._connection
        if connection.write_paused:
            await connection.writable()
        if self.disconnect.lost:
            return
        kind = message["type"]
        if kind == "http.response.body" and self._head is not None and not self.complete:
            self._send_body(message.get("body", b""), message.get("more_body", False))
        elif kind == "http.response.start" and self._head is None:
            self._send_head(message["status"], list(message.get("headers", ())))
        else:
            raise RuntimeError("ASGI message out of order")

    def _send_head(self, status: int, headers: Sequence[Header]) -> None:
        fields = dict(headers)
        if not _FRAMING.isdisjoint(fields):
            self.keep_alive = self.keep_alive and not any(name == b"connection" and value.lower() == b"close" for name, value in headers)
            headers = [(name, value) for name, value in headers if name not in _FRAMING]  # ours to say
        lines = list(map(_line, headers))
        if self.more_body:  # the rest of the request would have to be read first, and may be endless
            self.keep_alive = False
        if not self.keep_alive:
            lines.append(b"connection: close")
        bodiless = status in (204, 304) or self.scope["method"] == "HEAD"
        length = fields.get(b"content-length")
        if length is None and not bodiless:
            self._chunked = True
            lines.append(b"transfer-encoding: chunked")
        self._left = 0 if bodiless or length is None else int(length)
        lines.append(b"\r\n")
        head = STATUS_LINES[status] + b"\r\n".join(lines)
        if not head.count(b"\r") == head.count(b"\n") == len(lines) + 1:  # the status line, and the empty one
            raise RuntimeError("line break in a response header")
        self._head = head

    def _send_body(self, body: bytes, more_body: bool) -> None:
        head = b"" if self.started else self._head or b""
        if self._chunked:
            parts = [head]
            if body:
                parts += (b"%x\r\n" % len(body), body, b"\r\n")
            if not more_body:
                parts.append(b"0\r\n\r\n")
            data = b"".join(parts)
        else:
            if self.scope["method"] == "HEAD":
                body = b""
            self._left -= len(body)
            if self._left < 0 or (self._left and not more_body):
                raise RuntimeError("response body differs from its Content-Length")
            data = head + body
        if data:
            self.started = True
            self._connection.write(data)
        if not more_body:
            self.complete = True
            self.disconnect.clear()
            self._wake()
            self._connection.response_complete(self)
