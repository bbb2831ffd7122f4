"""One HTTP/1.1 connection to one peer whose key is known before the first request byte leaves.

Written on asyncio's transport and httptools, because the key check has to sit on the very connection that carries the
prompt: a pool that reconnects, a DNS change or a renewed certificate must not be able to come between.

    open_connection(origin, …)    TCP + TLS 1.3 handshake, peer's SPKI read from this connection
    connection.exchange(…)        one request; returns once the response's headers are in
    response.read()               next piece of the body, b"" at its end; reading pauses when nobody reads

One exchange at a time. After a failure or an early close the connection is gone; it is never reused in doubt.
"""

import asyncio
import hashlib
import math
import ssl

import httptools
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ollm.errors import UNANSWERED, ChannelRefused, UpstreamError
from ollm.net.plain_answer import plain_answer
from ollm.net.tls import connect

_MAX_HEADER_BYTES = 64 * 1024
_PIECE = 256 * 1024  # bytes of a large body that are given to the transport at once
_READ_AHEAD = 256 * 1024  # bytes held for a slow reader before the socket is no longer read


def client_tls() -> ssl.SSLContext:
    """TLS 1.3 without tickets: every connection is a full handshake with the attested key.

    The certificate's chain is not judged: what counts is its key, which is compared with the attested one. A CA's word
    would add nothing to that, and providers' enclaves use self-signed certificates.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    return context


def certified_tls(ca: str | None = None) -> ssl.SSLContext:
    """TLS for a peer whose key nothing attests: its certificate must be a public CA's, or that of `ca` (PEM), for the name that is connected to.

    That protects what goes beside sealed bodies, and everything where a route has no evidence at all.
    """
    context = ssl.create_default_context(cadata=ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    return context


class _Unasked(Exception):
    """Ends the parser's work on the bytes at hand."""


class Origin:
    """Where a connection goes: `https://host[:port]`, fixed when the configuration is read."""

    __slots__ = ("host", "port", "text")

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        name = f"[{host}]" if ":" in host else host
        self.text = f"https://{name}" if port == 443 else f"https://{name}:{port}"

    @property
    def authority(self) -> str:
        return self.text.removeprefix("https://")


class Connection(asyncio.Protocol):
    """See the module. `peer_spki` is hex SHA-256 of the peer's SubjectPublicKeyInfo on this connection."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._response: Response | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._write_paused = False
        self._header_bytes = 0
        self._keep_alive = False
        self.peer_spki = ""
        self.deadline: float | None = None  # loop time at which the pool's sweeper fails the running phase
        self.ends = math.inf  # loop time at which the whole exchange is over, whatever it does
        self.first_by = math.inf  # loop time by which the first content must be there, until somebody says that it is
        self.phase = "idle"
        self.idle_since = loop.time()
        self.closed = False

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # asyncio types this callback by the base class

    def data_received(self, data: bytes) -> None:
        response, parser = self._response, self._parser
        if response is None or (parser is None and response.complete):
            self.abort("close", "bytes from the provider that nobody asked for")
            return
        if parser is None:
            plain = plain_answer(data)
            if plain is not None:
                self._keep_alive = response.headers_done = response.complete = True
                response.status, response.headers, body = plain
                response.chunks = [body] if body else []
                self._wake()
                return
            parser = self._parser = httptools.HttpResponseParser(self)
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.abort(self.phase, "the provider's answer is not valid HTTP")
            return
        if not response.headers_done:  # judged behind the parser: one read can hold the headers and much of the body
            self._header_bytes += len(data)
            if self._header_bytes > _MAX_HEADER_BYTES:
                self.abort("headers", "response headers too large")

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        response = self._response
        if response is not None and not response.complete and response.error is None:
            # A body that ends with the connection can't be told from a cut one, so it is treated as cut.
            unanswered = self.phase == "headers" and not self._header_bytes
            response.error = UpstreamError(self.phase, UNANSWERED if unanswered else "connection closed before the answer was complete")
        self._wake()
        self._parser = self._transport = None  # each holds this connection, and the transport what TLS needs

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        self._wake()

    # httptools callbacks

    def on_message_begin(self) -> None:
        if self._response is not None and self._response.complete:
            raise _Unasked  # a second response; the parser stops, and the connection is given up

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._response is not None:
            name, headers = name.lower(), self._response.headers
            # A repeated header is one list (RFC 9110 §5.3): what must be single is then malformed, not one of two.
            headers[name] = headers[name] + b", " + value if name in headers else value

    def on_headers_complete(self) -> None:
        response, parser = self._response, self._parser
        if response is None or parser is None:
            return
        status = parser.get_status_code()
        if status < 200:  # 103 and the like: the real response follows
            response.headers.clear()
            return
        response.status = status
        response.headers_done = True
        self._keep_alive = parser.should_keep_alive()
        self._wake()

    def on_body(self, body: bytes) -> None:
        response = self._response
        if response is None:
            return
        response.chunks.append(body)
        response.buffered += len(body)
        if response.buffered > _READ_AHEAD and self._transport is not None and not response.paused:
            response.paused = True
            self._transport.pause_reading()
        self._wake()

    def on_message_complete(self) -> None:
        response = self._response
        if response is None or not response.headers_done:
            return
        response.complete = True
        self._wake()

    # the caller's side

    async def exchange(
        self, head: bytes, body: bytes, *, headers_timeout: float, total_timeout: float = math.inf, first_timeout: float = math.inf
    ) -> "Response":
        """Send one request and wait for the response's headers. `head` ends with an empty line.

        `first_timeout`: seconds until the first content of the body, of which `began` tells. Raises: UpstreamError.
        """
        if self._transport is None or self.closed or self._response is not None:
            raise UpstreamError("send", "connection is not free")
        self._header_bytes = 0
        self._parser = None  # made where the answer needs one
        response = self._response = Response(self)
        self.phase = "headers"
        now = self._loop.time()
        self.ends = now + total_timeout
        self.first_by = now + first_timeout
        self.deadline = min(now + headers_timeout, self.ends, self.first_by)
        if len(body) <= _PIECE:
            self._transport.write(head + body)
        else:
            await self._send_large(head, body, response)
        while not response.headers_done:
            if response.error is not None:
                raise response.error.again()
            self._waiter = self._loop.create_future()  # as `wait`, without a frame of its own
            await self._waiter
        self.phase = "first_byte" if first_timeout == math.inf else "first_token"
        return response

    async def _send_large(self, head: bytes, body: bytes, response: "Response") -> None:
        """Piece by piece, as fast as they leave: what waits in the transport is there a second time, encrypted."""
        pieces = memoryview(body)
        for at in range(0, len(body), _PIECE):
            if self._transport is None or response.begun:
                self._keep_alive = False  # answered before its question's end: nobody reads the rest
                return
            self._transport.write(head + pieces[:_PIECE] if not at else pieces[at : at + _PIECE])
            while self._write_paused and not response.begun:
                await self.wait()

    def began(self) -> None:
        """The first content is there."""
        self.first_by = math.inf
        self.phase = "stream"

    def peer(self) -> tuple[bytes, str]:
        """The peer's SubjectPublicKeyInfo (DER) and the version of TLS, for a recording; empty once the connection is gone."""
        tls_object = self._transport.get_extra_info("ssl_object") if self._transport is not None else None
        return (_key(tls_object) or b"", tls_object.version() or "") if tls_object is not None else (b"", "")

    async def wait(self, until: float = math.inf) -> None:
        """Wait for the next thing that happens on this connection, or for the loop time `until`."""
        waiter = self._waiter = self._loop.create_future()
        alarm = self._loop.call_at(until, self._wake) if until != math.inf else None
        try:
            await waiter
        finally:
            self._waiter = None
            if alarm is not None:
                alarm.cancel()

    def resume_reading(self) -> None:
        if self._transport is not None and not self.closed:
            self._transport.resume_reading()

    def finished(self) -> bool:
        """End the exchange. True when the connection can carry another one."""
        response, self._response = self._response, None
        self.deadline = None
        self.phase = "idle"
        self.idle_since = self._loop.time()
        reusable = response is not None and response.complete and response.error is None and self._keep_alive and not self.closed
        if not reusable:
            self.abort("close", "not reusable")
        return reusable

    def abort(self, phase: str, reason: str) -> None:
        """Close at once: the provider sees the request cancelled."""
        response = self._response
        if response is not None and response.error is None and not response.complete:
            response.error = UpstreamError(phase, reason)
        self.closed = True
        if self._transport is not None:
            self._transport.abort()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Response:
    """A response being read. `headers` has lowercase names; values of a repeated header are joined by commas."""

    __slots__ = ("_connection", "_since", "buffered", "chunks", "complete", "error", "headers", "headers_done", "paused", "status")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._since: float | None = None  # loop time from which a reader has waited for what comes next
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.headers_done = False
        self.chunks: list[bytes] = []
        self.buffered = 0
        self.paused = False
        self.complete = False
        self.error: UpstreamError | None = None

    @property
    def begun(self) -> bool:
        """Whether there is an answer by now, or will be none."""
        return self.headers_done or self.error is not None

    async def read(self, idle_timeout: float) -> bytes:
        """All bytes of the body that are in, waiting for some; b"" at its end. Raises: UpstreamError when it was cut."""
        while (data := await self.next(idle_timeout, math.inf)) is None:
            pass
        return data

    async def next(self, idle_timeout: float, patience: float) -> bytes | None:
        """As `read`; None when nothing came within `patience` seconds. The provider's time runs on over such calls."""
        connection, until = self._connection, None
        while True:
            if self.chunks:
                data = self.chunks[0] if len(self.chunks) == 1 else b"".join(self.chunks)
                self.chunks.clear()
                self.buffered = 0
                if self.paused:
                    self.paused = False
                    connection.resume_reading()
                self._since = None
                if connection.first_by == math.inf:
                    connection.phase = "stream"
                connection.deadline = connection.ends  # how long a reader takes over it is not the provider's time
                return data
            if self.complete:
                return b""
            if self.error is not None:
                raise self.error.again()
            now = asyncio.get_running_loop().time()
            if until is None:
                until = now + patience
            elif now >= until:
                connection.deadline = connection.ends  # what the caller does now is not the provider's time
                return None
            if self._since is None:
                self._since = now
            connection.deadline = min(self._since + idle_timeout, connection.ends, connection.first_by)
            await connection.wait(until)

    async def read_all(self, limit: int, idle_timeout: float) -> bytes:
        """The whole body. Raises: UpstreamError when it is cut or larger than `limit`."""
        if self.complete and len(self.chunks) == 1 and len(self.chunks[0]) <= min(limit, _READ_AHEAD):
            return self.chunks.pop()  # all of it came at once, and nothing waits for its being read
        parts = []
        size = 0
        while data := await self.read(idle_timeout):
            size += len(data)
            if size > limit:
                self._connection.abort("stream", "answer too large")
                raise UpstreamError("stream", "answer too large")
            parts.append(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)


async def open_connection(origin: Origin, tls: ssl.SSLContext, *, timeout: float, pinned: frozenset[str] | None) -> Connection:
    """Connect to `origin`; with `pinned` (hex SHA-256 of SPKIs) the peer's key must be one of them.

    Raises: ChannelRefused for another key or a resumed session, UpstreamError when there is no connection.
    """
    connection = Connection(asyncio.get_running_loop())
    tls_object = await connect(connection, tls, origin.host, origin.port, timeout=timeout)
    connection.peer_spki = _spki(tls_object) or ""
    if not connection.peer_spki:
        connection.abort("connect", "no usable certificate")
        raise UpstreamError("connect", "the peer's certificate can't be read")
    if tls_object.session_reused:
        connection.abort("connect", "TLS session was resumed")
        raise ChannelRefused("a resumed TLS session", "a full handshake")
    if pinned is not None and connection.peer_spki not in pinned:
        connection.abort("connect", "peer's key is not the attested one")
        raise ChannelRefused(connection.peer_spki, " or ".join(sorted(pinned)) or "no key at all")
    return connection


def _spki(tls_object: ssl.SSLObject) -> str | None:
    """Hex SHA-256 of the peer's SubjectPublicKeyInfo on a TLS connection; None when its certificate can't be read."""
    key = _key(tls_object)
    return hashlib.sha256(key).hexdigest() if key is not None else None


def _key(tls_object: ssl.SSLObject) -> bytes | None:
    certificate = tls_object.getpeercert(binary_form=True)
    if certificate is None:
        return None
    try:
        key = x509.load_der_x509_certificate(certificate).public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
