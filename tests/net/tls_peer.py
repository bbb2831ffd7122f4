"""A server's end of TLS 1.3 that shakes hands as OpenSSL does, and from then on says whatever record it likes.

OpenSSL's server would never send half of its own messages, an update of keys on demand, or a record with a broken tag; the keys that it
logs let the test make these itself (RFC 8446 §5.2, §7.3).
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from ollm.net.clock import SystemClock
from ollm.sim.identity import create_tls

ALERT, HANDSHAKE, DATA = 21, 22, 23
CLOSE_NOTIFY = b"\x01\x00"
HANDSHAKE_FAILURE = b"\x02\x28"


def ticket(size: int = 20) -> bytes:
    """A NewSessionTicket (RFC 8446 §4.6.1) of `size` bytes."""
    body = (3600).to_bytes(4, "big") + bytes(4) + b"\x08" + bytes(8) + size.to_bytes(2, "big") + bytes(size) + b"\x00\x00"
    return b"\x04" + len(body).to_bytes(3, "big") + body


class Records:
    """What a server sends under `secret`, for TLS_AES_256_GCM_SHA384."""

    def __init__(self, secret: bytes) -> None:
        self._begin(secret)

    def _begin(self, secret: bytes) -> None:
        self._secret = secret
        self._key = AESGCM(self._expand("key", 32))
        self._iv = int.from_bytes(self._expand("iv", 12), "big")
        self._sent = 0

    def _expand(self, label: str, size: int) -> bytes:
        name = f"tls13 {label}".encode()
        return HKDFExpand(SHA384(), size, size.to_bytes(2, "big") + bytes([len(name)]) + name + b"\x00").derive(self._secret)

    def record(self, content: bytes, kind: int = DATA) -> bytes:
        head = b"\x17\x03\x03" + (len(content) + 17).to_bytes(2, "big")
        sealed = self._key.encrypt((self._iv ^ self._sent).to_bytes(12, "big"), content + bytes([kind]), head)
        self._sent += 1
        return head + sealed

    def key_update(self, asked: bool = False) -> bytes:
        """New keys from here on; `asked`: for new ones of the other side too."""
        said = self.record(b"\x18\x00\x00\x01" + bytes([asked]), HANDSHAKE)
        self._begin(self._expand("traffic upd", 48))
        return said


class Peer:
    """Bytes in, bytes out. `heard` is what came of the client's data; `ended` its close_notify; `alert` why it gave up."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._keylog = Path(str(context.keylog_filename))
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.shaken = False
        self.records: Records
        self.heard = b""
        self.ended = False
        self.alert = ""

    def take(self, raw: bytes) -> bytes:
        """What this end answers to `raw`."""
        self._incoming.write(raw)
        with contextlib.suppress(ssl.SSLWantReadError):
            try:
                if not self.shaken:
                    self.tls.do_handshake()
                    self.shaken = True
                    self.records = Records(self._secret())
                while not self.ended:
                    data = self.tls.read(65536)
                    self.heard += data
                    self.ended = not data
            except ssl.SSLWantReadError:
                raise
            except ssl.SSLError as problem:
                self.alert = problem.reason or "?"
        return self._outgoing.read()

    def _secret(self) -> bytes:
        lines = self._keylog.read_text(encoding="ascii").splitlines()
        return bytes.fromhex(next(line for line in reversed(lines) if line.startswith("SERVER_TRAFFIC_SECRET_0")).split()[2])


def peer_context(folder: Path) -> ssl.SSLContext:
    """A server's context that logs its keys into `folder`."""
    context = create_tls(SystemClock().now())[1].context()
    context.keylog_filename = str(folder / "keys")
    return context


def narrow(transport: asyncio.BaseTransport) -> None:
    """Let the kernel hold little: on loopback it would take megabytes that nobody reads."""
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, option, 64 * 1024)


class Line:
    """A peer on a real socket. `left` is set once the client's end is closed."""

    def __init__(self, peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.peer = peer
        self._reader = reader
        self.writer = writer
        self.left = asyncio.Event()
        self._transport: asyncio.Transport = writer.transport  # type: ignore[assignment]  # a socket's goes both ways
        narrow(writer.transport)

    async def listen(self) -> None:
        """Take what the client says, until it leaves."""
        try:
            while raw := await self._reader.read(65536):
                self.writer.write(self.peer.take(raw))
        except ConnectionError:
            pass
        finally:
            self.left.set()
            self.writer.transport.abort()

    def pause(self) -> None:
        """Read nothing from the socket, until `resume`."""
        self._transport.pause_reading()

    def resume(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def say(self, *raw: bytes) -> None:
        """All of `raw` in one write."""
        self.writer.write(b"".join(raw))


@contextlib.asynccontextmanager
async def listening(serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[int]:
    """The port of a server of raw bytes."""
    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
