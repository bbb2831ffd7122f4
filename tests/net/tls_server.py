"""A TLS server of raw bytes: one script answers every request, however it likes."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

from cryptography import x509

from ollm.net.clock import SystemClock
from ollm.net.connection import Origin
from ollm.serving.tls import TlsIdentity
from ollm.sim.identity import create_tls, spki_sha256

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class TlsServer:
    """Keeps what it was sent. `left` counts connections that ended. A script that closes its writer ends its connection."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.port = 0
        self.spki = ""
        self.requests: list[bytes] = []
        self.connections: list[asyncio.StreamWriter] = []
        self.resumed: list[bool] = []
        self.left = 0

    @property
    def origin(self) -> Origin:
        return Origin("127.0.0.1", self.port)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(writer)
        self.resumed.append(writer.get_extra_info("ssl_object").session_reused)
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
                self.requests.append(head + await reader.readexactly(length))
                await self.script(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, ssl.SSLError):
            pass  # the client left
        finally:
            self.left += 1
            writer.transport.abort()


@contextlib.asynccontextmanager
async def tls_server(
    script: Script, *, tickets: int = 0, port: int = 0, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3, identity: TlsIdentity | None = None
) -> AsyncIterator[TlsServer]:
    """A running server with a key of its own, or `identity`. `tickets` lets it offer TLS sessions for resumption."""
    identity = identity or create_tls(SystemClock().now())[1]
    certificate = x509.load_pem_x509_certificate(identity.certificate)
    context = identity.context()
    context.num_tickets = tickets
    context.minimum_version = context.maximum_version = version
    server = TlsServer(script)
    server.spki = spki_sha256(certificate)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", port, ssl=context, limit=1024 * 1024)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for writer in server.connections:
            writer.transport.abort()


def saying(*parts: bytes, close: bool = False) -> Script:
    """Answer `parts`, one write each."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
        if close:
            writer.close()

    return script


async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer nothing, and read until the client leaves."""
    try:
        await reader.read()
    finally:
        writer.transport.abort()


def whole(body: bytes, extra: str = "", status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\n{extra}content-length: {len(body)}\r\n\r\n".encode() + body
