"""TLS between a plain transport and the protocol above it, by way of OpenSSL's memory buffers.

    raw transport ──data_received──► incoming ─► OpenSSL ─► protocol.data_received
    raw transport ◄──write────────── outgoing ◄─ OpenSSL ◄─ transport.write

uvloop's own asks OpenSSL for 256 KiB at each read, into fresh memory that the kernel must map and clear, and then asks again to be told by an
exception that there is no more: 40 to 50 µs for a small answer. Here a read asks for one record, and again only while bytes are left.
OpenSSL does all of TLS; what is here moves bytes, and gives the connection up at the first error.
"""

import asyncio
import ssl

from ollm.errors import UpstreamError
from ollm.net.outbox import outbox_of

_RECORD = 16 * 1024  # the most that one record holds (RFC 8446 §5.1): one read takes all of it, and leaves nothing within OpenSSL
_UNREAD = 1024 * 1024  # bytes; what waits in front of an answer of TLS itself is less, unless the peer asks for answers and reads none


class TlsTransport(asyncio.Protocol, asyncio.Transport):
    """A client's end of TLS: protocol of the raw transport, transport of `inner`, which it meets once the handshake is over."""

    def __init__(self, loop: asyncio.AbstractEventLoop, inner: asyncio.Protocol, context: ssl.SSLContext, host: str) -> None:
        super().__init__()
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._inner = inner
        self._outbox = outbox_of(loop)
        self._raw: asyncio.Transport = None  # type: ignore[assignment]  # set before any other callback
        self._open = False  # the handshake is over
        # "" once the handshake is over, else the kind of error that ended it: an exception kept here would hold its frames, and they this
        self.established: asyncio.Future[str] = loop.create_future()

    # Protocol of the raw transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._raw = transport  # type: ignore[assignment]  # asyncio types this callback by the base class
        self._shake()

    def data_received(self, data: bytes) -> None:
        self._incoming.write(data)
        if self._open or self._shake():
            self._read()

    def eof_received(self) -> bool:
        return False  # the raw transport closes

    def connection_lost(self, exc: Exception | None) -> None:
        if self._open:
            self._inner.connection_lost(exc)
        self._settle(ConnectionResetError.__name__ if exc is None else type(exc).__name__)

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    # Transport of the protocol above

    def write(self, data: bytes | bytearray | memoryview) -> None:
        try:
            sent = self.tls.write(data)
        except ssl.SSLError:  # after the peer's end, or with half a message of TLS itself in, which OpenSSL wants whole first
            sent = -1
        if sent != len(data):  # all or nothing: Python leaves OpenSSL's partial writes off
            self.abort()
            return
        self._outbox.write(self._raw, self._outgoing.read())

    def abort(self) -> None:
        self._raw.abort()

    def is_closing(self) -> bool:
        return self._raw.is_closing()

    def pause_reading(self) -> None:
        self._raw.pause_reading()

    def resume_reading(self) -> None:
        self._raw.resume_reading()

    def get_extra_info(self, name: str, default: object = None) -> object:
        """As asyncio's TLS transports: `ssl_object` is the one that speaks here."""
        return self.tls if name == "ssl_object" else self._raw.get_extra_info(name, default)

    # Ours

    def give_up(self) -> None:
        """End what never opened. uvloop tells nobody of a transport whose making was cancelled: each would keep the other."""
        raw, self._raw = self._raw, None  # type: ignore[assignment]
        if raw is not None:
            raw.abort()

    def _shake(self) -> bool:
        """Whether the handshake is over."""
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return False
        except ssl.SSLError as problem:
            self._flush()  # the alert that says why
            self._raw.close()
            self._settle(type(problem).__name__)
            return False
        self._flush()
        self._open = True
        self._inner.connection_made(self)
        self._settle("")
        return True

    def _settle(self, problem: str) -> None:
        if not self.established.done():
            self.established.set_result(problem)

    def _read(self) -> None:
        tls, incoming = self.tls, self._incoming
        parts = []
        ended = False
        try:
            while incoming.pending:
                part = tls.read(_RECORD)
                if not part:  # the peer's close_notify
                    ended = True
                    tls.unwrap()  # ours
                    break
                parts.append(part)
        except ssl.SSLWantReadError:  # the rest of a record is still on its way, or it was none of the protocol's above
            pass
        except ssl.SSLError:
            ended = True
        stuck = ended and self._raw.get_write_buffer_size() > 0
        if self._outgoing.pending:
            self._flush()  # answers of TLS itself, to an update of keys for one
            if self._raw.get_write_buffer_size() > _UNREAD:
                self._raw.abort()
        if parts:
            self._inner.data_received(parts[0] if len(parts) == 1 else b"".join(parts))
        if stuck:
            self._raw.abort()  # a close would wait for a peer that has ended to read on
        elif ended:
            self._outbox.flush()
            self._raw.close()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._outbox.flush()  # what was written before it
            self._raw.write(self._outgoing.read())


async def connect(inner: asyncio.Protocol, context: ssl.SSLContext, host: str, port: int, *, timeout: float) -> ssl.SSLObject:
    """Connect `inner` to `host` by TCP and TLS within `timeout` seconds. Raises: UpstreamError, which names the kind of error alone."""
    loop = asyncio.get_running_loop()
    channel = TlsTransport(loop, inner, context, host)
    try:
        async with asyncio.timeout(timeout):
            try:
                await loop.create_connection(lambda: channel, host, port)
                failure = await channel.established
            except BaseException:
                channel.give_up()
                raise
    except TimeoutError:
        raise UpstreamError("connect", "timed out") from None
    except OSError as problem:
        raise UpstreamError("connect", type(problem).__name__) from None
    if failure:
        channel.give_up()
        raise UpstreamError("connect", failure)
    return channel.tls
