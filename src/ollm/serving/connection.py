"""One client connection: strict HTTP/1.1 in, deadlines against every way to hold it, real backpressure both ways.

The parser is httptools. Requests on one connection are answered one after the other. What arrives is in one of these phases:

    IDLE     between requests                    idle_seconds, then closed; header_seconds before the first request
    HEAD     within the headers of a request     header_seconds, then 408
    BODY     within the body of a request        body_min_rate in each window while the application reads, else 408
    DISCARD  nothing more is wanted              read and dropped until the client closes, linger_seconds at most

Independently, a write buffer that stays above its mark for write_stall_seconds drops the connection. One timer of the server
looks at all connections (`sweep`), so that no request pays for arming timers.
"""

import asyncio
from collections import deque
from typing import Any

import httptools

from ollm.serving import framing
from ollm.serving.exchange import HIGH_WATER, HttpExchange
from ollm.serving.framing import Refusal
from ollm.serving.http import Header
from ollm.serving.plain_request import plain_request
from ollm.serving.shared import Shared

_IDLE, _HEAD, _BODY, _DISCARD = range(4)
_ASGI = {"version": "3.0", "spec_version": "2.4"}
_LAST_BYTES = 16 * 1024  # what a closing connection must have got rid of in each write_stall_seconds


class _Stop(Exception):
    """Ends the parser's work on the bytes at hand."""


class Connection(asyncio.Protocol):
    """Protocol of one accepted connection; for TLS, after the handshake."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._limits = shared.limits
        self._loop = shared.loop
        self._outbox = shared.outbox
        self._parser: Any = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport = None  # type: ignore[assignment]  # set before any other callback
        self._peers: dict[str, Any] = {}
        self._phase = _IDLE
        self._since = 0.0  # when the phase, or its present window, began
        self._seen = 0  # bytes of the body since then
        self._stuck = 0  # bytes that the parser holds because what they belong to has no end yet
        self._size = 0  # of the bytes at hand
        self._moved = False  # the parser made progress on the bytes at hand
        self._fresh = True  # no request has come yet
        self._closing = False
        self._running: HttpExchange | None = None  # the one that is being answered
        self._reading: HttpExchange | None = None  # the one whose body is being read
        self._queue: deque[HttpExchange] = deque()
        self._refusal: Refusal | None = None  # to be answered as soon as earlier requests are
        self._reading_paused = False
        self.write_paused = False
        self._paused_since = 0.0
        self._writable: asyncio.Event | None = None
        self._target = b""
        self._headers: list[Header] = []
        self._host_seen = False
        self._awaits_continue = False

    # Connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._transport.set_write_buffer_limits(high=HIGH_WATER)  # TLS transports would hold 512 KiB
        self._since = self._loop.time()
        client, server = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        self._peers = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": "1.1",
            "root_path": "",
            "scheme": "https" if transport.get_extra_info("sslcontext") else "http",
            "client": tuple(client[:2]) if isinstance(client, tuple) else None,
            "server": tuple(server[:2]) if isinstance(server, tuple) else None,
        }
        self._shared.connections.add(self)
        if self._shared.draining:
            self._close()
        elif len(self._shared.connections) > self._limits.connections:
            self._answer(framing.OVERLOADED)

    def connection_lost(self, exc: Exception | None) -> None:
        self._phase = _DISCARD
        self._closing = True
        self._parser = None  # parser and connection hold each other
        self._queue.clear()
        self._reading = None
        running, self._running = self._running, None
        if running is not None:
            running.lose()
        self.resume_writing()
        self._shared.connections.discard(self)
        self._shared.note_quiet()

    def eof_received(self) -> None:
        """A client that closes its sending side is gone: None lets the transport close."""

    def data_received(self, data: bytes) -> None:
        if self._phase == _DISCARD:
            return
        if self._phase == _IDLE and self._running is None and self._take(data):
            return
        self._moved = False
        self._size = len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:  # also wraps what our own callbacks raise
            if self._phase != _DISCARD:
                self._refuse(self._refusal or framing.BAD_REQUEST)
            return
        if self._moved:
            self._stuck = 0
        elif self._phase != _IDLE:  # headers, trailers, chunk extensions
            self._stuck += self._size
            if self._stuck > self._limits.header_bytes:
                self._refuse(framing.LARGE_HEADERS if self._phase == _HEAD else framing.BAD_REQUEST)

    def _take(self, data: bytes) -> bool:
        """Whether `data` was one plain request; it is being answered then."""
        plain = plain_request(data, self._limits)
        if plain is None:
            return False
        scope = self._peers.copy()
        if framing.read_target(plain.target, self._limits.target_bytes, scope) is not None:
            return False
        scope["method"] = plain.method
        scope["headers"] = plain.headers
        exchange = HttpExchange(self, scope, keep_alive=not self._shared.draining, awaits_continue=False)
        exchange.hold(plain.body)
        self._fresh = False
        self._since = self._loop.time()
        self._start(exchange)
        return True

    # Parser callbacks

    def _stop(self, refusal: Refusal) -> None:
        self._refusal = refusal
        raise _Stop

    def on_message_begin(self) -> None:
        if self._closing_after():  # data after "Connection: close" is no request
            self._phase = _DISCARD
            raise _Stop
        self._phase = _HEAD
        self._since = self._loop.time()
        self._stuck = 0
        self._fresh = False
        self._target = b""
        self._headers = []
        self._host_seen = False
        self._awaits_continue = False

    def _closing_after(self) -> bool:
        last = self._queue[-1] if self._queue else self._running
        return last is not None and not last.keep_alive

    def on_url(self, target: bytes) -> None:
        self._target += target

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._phase != _HEAD:
            return  # a trailer: nothing that comes after the body may change how the request is understood
        name = name.lower()
        headers = self._headers
        if len(headers) >= self._limits.header_fields:
            self._stop(framing.LARGE_HEADERS)
        if name in framing.FRAMING_HEADERS:
            refusal = framing.check_framing_header(name, value, self._host_seen)
            if refusal is not None:
                self._stop(refusal)
            if name == b"host":
                self._host_seen = True
            elif name == b"expect":
                self._awaits_continue = True
        headers.append((name, value))

    def on_headers_complete(self) -> None:
        parser, scope = self._parser, self._peers.copy()
        method = parser.get_method()
        refusal = framing.check_request(parser.get_http_version(), method, host_seen=self._host_seen, upgrade=parser.should_upgrade())
        refusal = refusal or framing.read_target(self._target, self._limits.target_bytes, scope)
        if refusal is None and self._stuck + self._size > self._limits.header_bytes:  # perhaps with a part of the body
            refusal = framing.check_size(self._headers, self._limits.header_bytes)
        if refusal is not None:
            self._stop(refusal)
        scope["method"] = method.decode("ascii")
        scope["headers"] = self._headers
        keep_alive = parser.should_keep_alive() and not self._shared.draining
        exchange = HttpExchange(self, scope, keep_alive=keep_alive, awaits_continue=self._awaits_continue)
        self._phase = _BODY
        self._moved = True
        self._reading = exchange
        self._since = self._loop.time()
        self._seen = 0
        if self._running is None:
            self._start(exchange)
        elif len(self._queue) < self._limits.pipelined:
            self._queue.append(exchange)
            self._pause_reading()
        else:
            self._phase = _IDLE  # it was never taken on
            self._stop(framing.TOO_MANY_QUEUED)

    def on_body(self, data: bytes) -> None:
        self._moved = True
        self._seen += len(data)
        exchange = self._reading
        if exchange is not None and not exchange.complete:
            exchange.feed(data)
            if exchange.buffered > HIGH_WATER:
                self._pause_reading()

    def on_message_complete(self) -> None:
        self._moved = True
        self._phase = _IDLE
        self._since = self._loop.time()
        exchange, self._reading = self._reading, None
        if exchange is not None:
            exchange.feed_end()
        if not self._queue:
            self.want_input()  # a paused transport would not tell that the client has left

    # What exchanges ask for

    def write(self, data: bytes) -> None:
        self._outbox.write(self._transport, data)

    async def writable(self) -> None:
        """Wait until the client has read enough, or is gone."""
        while self.write_paused:
            if self._writable is None:
                self._writable = asyncio.Event()
            await self._writable.wait()

    def want_input(self) -> None:
        if self._reading_paused and not self._closing:
            self._reading_paused = False
            self._since = self._loop.time()
            self._seen = 0
            self._transport.resume_reading()

    def response_complete(self, exchange: HttpExchange) -> None:
        if exchange is not self._running:
            return
        self._running = None
        if self._closing:
            return
        if not exchange.keep_alive:
            self._queue.clear()
            if exchange.more_body:
                self._linger()
            else:
                self._close()
        elif self._queue:
            self._start(self._queue.popleft())
        elif self._refusal is not None:
            self._answer(self._refusal)
        else:
            self._since = self._loop.time()
            self.want_input()

    def fail(self, exchange: HttpExchange, refusal: Refusal) -> None:
        """The application gave up on `exchange`: answer `refusal`, or cut the response that had begun."""
        if exchange is not self._running:
            return
        self._running = None
        self._queue.clear()
        if exchange.started:
            self._close()  # without the end that the framing promised
        else:
            self._answer(refusal)

    # Our own reactions

    def _start(self, exchange: HttpExchange) -> None:
        self._running = exchange
        task = self._loop.create_task(exchange.run(self._shared.app))
        self._shared.tasks.add(task)
        task.add_done_callback(self._shared.task_done)

    def _refuse(self, refusal: Refusal) -> None:
        """Nothing more is read as HTTP. The refusal is answered after the requests before it, never inside a response."""
        phase, self._phase = self._phase, _DISCARD
        broken, self._reading = self._reading, None
        if phase == _BODY and broken is self._running and broken is not None:
            self._running = None
            started = broken.started
            broken.lose()
            if started:
                self._close()
            else:
                self._answer(refusal)
            return
        if phase == _BODY and self._queue and self._queue[-1] is broken:
            self._queue.pop()
        if self._running is None:
            self._answer(refusal)
        else:
            self._refusal = refusal
            self._pause_reading()

    def _answer(self, refusal: Refusal) -> None:
        self.write(refusal.response(self._shared.headers()))
        self._linger()

    def _linger(self) -> None:
        """Half-close, and read on for a moment: closing with unread input would reset the connection under the answer."""
        self.want_input()
        self._phase = _DISCARD
        self._since = self._loop.time()
        if self._transport.can_write_eof():
            self._outbox.flush()
            self._transport.write_eof()

    def _close(self) -> None:
        self._phase = _DISCARD
        self._closing = True
        self._since = self._loop.time()
        self._outbox.flush()
        self._seen = self._transport.get_write_buffer_size()
        self._transport.close()

    def _pause_reading(self) -> None:
        if not self._reading_paused and not self._closing:
            self._reading_paused = True
            self._transport.pause_reading()

    def pause_writing(self) -> None:
        self.write_paused = True
        self._paused_since = self._loop.time()

    def resume_writing(self) -> None:
        self.write_paused = False
        if self._writable is not None:
            self._writable.set()
            self._writable = None

    def shutdown(self) -> None:
        """Finish what is being answered, take on nothing else."""
        self._queue.clear()
        if self._running is not None:
            self._running.keep_alive = False
        elif not self._closing:
            self._close()

    def abort(self) -> None:
        self._transport.abort()

    def sweep(self, now: float) -> None:
        """Enforce the deadlines."""
        limits, waited = self._limits, now - self._since
        if self._closing:
            self._sweep_closing(waited)
        elif self.write_paused and now - self._paused_since > limits.write_stall_seconds:
            self._transport.abort()
        elif self._phase == _DISCARD:
            if self._running is None and waited > limits.linger_seconds:
                self._close()
        elif self._phase == _BODY:
            self._sweep_body(now, waited)
        elif self._running is None and self._phase == _HEAD:
            if waited > limits.header_seconds:
                self._refuse(framing.SLOW_HEADERS)
        elif self._running is None and waited > (limits.header_seconds if self._fresh else limits.idle_seconds):
            self._close()

    def _sweep_body(self, now: float, waited: float) -> None:
        if self._reading_paused or self._reading is not self._running:
            self._since = now
        elif waited > self._limits.body_window_seconds:
            if self._seen < self._limits.body_min_rate * waited:
                self._refuse(framing.SLOW_BODY)
            else:
                self._since, self._seen = now, 0

    def _sweep_closing(self, waited: float) -> None:
        if waited > self._limits.write_stall_seconds:
            left = self._transport.get_write_buffer_size()
            if left > self._seen - _LAST_BYTES:
                self._transport.abort()
            self._since, self._seen = self._loop.time(), left
