"""TLS between a plain transport and the protocol above it, by way of OpenSSL's memory buffers.

    raw transport ──data_received──► incoming ─► OpenSSL ─► protocol.data_received
    raw transport ◄──write────────── outgoing ◄─ OpenSSL ◄─ transport.write

uvloop's own asks OpenSSL for 256 KiB at each read, into fresh memory that the kernel must map and clear, and then asks again to be told by an
exception that there is no more: 40 to 50 µs for a small answer. Here a read asks for one record, and again only while bytes are left.
OpenSSL does all of TLS; what is here moves bytes, and gives the connection up at the first error.
"""

import asyncio
import ssl

from ollm.net.outbox import outbox_of

_RECORD = 16 * 1024  # the most that one record holds (RFC 8446 §5.1), and so what one read can give


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
        self.established: asyncio.Future[None] = loop.create_future()  # Raises: OSError, ssl.SSLError among them

    # Protocol of the raw transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._raw = transport  # type: ignore[assignment]  # asyncio types this callback by the base class
        self._shake()

    def data_received(self, data: bytes) -> None:
        self._incoming.write(data)
        if not self._open:
            self._shake()
        if self._open:
            self._read()

    def eof_received(self) -> bool:
        return False  # the raw transport closes

    def connection_lost(self, exc: Exception | None) -> None:
        if self._open:
            self._inner.connection_lost(exc)
        elif not self.established.done():
            self.established.set_exception(exc if isinstance(exc, OSError) else ConnectionResetError("closed in the handshake"))

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    # Transport of the protocol above

    def write(self, data: bytes | bytearray | memoryview) -> None:
        try:
            sent = self.tls.write(data)
            if sent < len(data):  # one record at a time
                rest = memoryview(data)[sent:]
                while rest:
                    rest = rest[self.tls.write(rest) :]
        except ssl.SSLError:
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

    def _shake(self) -> None:
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return
        except ssl.SSLError as problem:
            self._flush()  # the alert that says why
            self._raw.close()
            if not self.established.done():
                self.established.set_exception(problem)
            return
        self._flush()
        self._open = True
        self._inner.connection_made(self)
        if not self.established.done():
            self.established.set_result(None)

    def _read(self) -> None:
        tls, incoming = self.tls, self._incoming
        parts = []
        ended = False
        try:
            while not ended and (incoming.pending or tls.pending()):
                parts.append(tls.read(_RECORD))
                ended = not parts[-1]  # the peer's close_notify
        except ssl.SSLWantReadError:  # the rest of a record is still on its way, or it was none of the protocol's above
            pass
        except ssl.SSLError:
            ended = True
        if self._outgoing.pending:
            self._flush()  # answers of TLS itself, to an update of keys for one
        if parts:
            data = parts[0] if len(parts) == 1 else b"".join(parts)
            if data:
                self._inner.data_received(data)
        if ended:
            self._outbox.flush()
            self._raw.close()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._outbox.flush()  # what was written before it
            self._raw.write(self._outgoing.read())
