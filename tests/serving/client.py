"""A server under test and a client that sends exactly the bytes it is told to."""

import asyncio
import contextlib
import datetime
import json
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ollm.serving.http import Application, Header, Receive, Scope, Send, respond
from ollm.serving.limits import Limits
from ollm.serving.server import Server
from ollm.serving.tls import TlsIdentity
from ollm.values.secret import Sealed

PATIENCE = 10.0  # seconds until a test that waits in vain fails
ACI: Sequence[Header] = ((b"x-aci-version", b"aci/1"),)


def make_identity(name: str) -> TlsIdentity:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), 1, start, start + datetime.timedelta(days=3650))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return TlsIdentity(certificate.public_bytes(serialization.Encoding.PEM), Sealed(pem))


def trust(identity: TlsIdentity) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=identity.certificate.decode())


class Recorder:
    """An application that notes what reached it and answers each call with its number and body."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, bytes]] = []
        self.scopes: list[dict[str, Any]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(dict(scope))
        body = b""
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return
            body += message["body"]
            if not message["more_body"]:
                break
        self.calls.append((scope["method"], scope["path"], body))
        await respond(send, 200, b'{"call":%d}' % len(self.calls))


@contextlib.asynccontextmanager
async def serving(
    app: Application, *, tls: TlsIdentity | None = None, limits: Limits | None = None, headers: Callable[[], Sequence[Header]] = lambda: ACI
) -> AsyncIterator[Server]:
    server = Server(app, host="127.0.0.1", port=0, tls=tls, limits=limits or Limits(linger_seconds=0.2), headers=headers)
    await server.start()
    try:
        yield server
    finally:
        await server.drain(0)


class Client:
    """One raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def read_some(self) -> bytes:
        return await asyncio.wait_for(self.reader.read(65536), PATIENCE)

    async def read_until(self, mark: bytes) -> bytes:
        return await asyncio.wait_for(self.reader.readuntil(mark), PATIENCE)

    async def read_all(self) -> bytes:
        """Everything until the server closes; a reset counts as the end."""
        data = b""
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while piece := await self.read_some():
                data += piece
        return data

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """One answer with a Content-Length."""
        head = await self.read_until(b"\r\n\r\n")
        status, headers = parse_head(head)
        length = int(headers.get("content-length", 0))
        return status, headers, await asyncio.wait_for(self.reader.readexactly(length), PATIENCE)

    def abort(self) -> None:
        self.writer.transport.abort()


@contextlib.asynccontextmanager
async def connect(server: Server, tls: TlsIdentity | None = None, *, limit: int = 65536) -> AsyncIterator[Client]:
    extra: dict[str, Any] = {"ssl": trust(tls), "server_hostname": "localhost"} if tls is not None else {}
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=limit, **extra)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError, TimeoutError):
            await asyncio.wait_for(writer.wait_closed(), 1)


async def talk(server: Server, data: bytes) -> bytes:
    """Send `data` on a new connection and read until the server closes."""
    async with connect(server) as client:
        with contextlib.suppress(ConnectionError):
            await client.send(data)
        return await client.read_all()


def parse_head(head: bytes) -> tuple[int, dict[str, str]]:
    lines = head.decode().split("\r\n")
    fields = (line.partition(": ") for line in lines[1:] if line)
    return int(lines[0].split(" ")[1]), {name: value for name, _, value in fields}


def parse_answers(data: bytes) -> list[tuple[int, dict[str, str], bytes]]:
    """All answers in `data`, each with a Content-Length."""
    answers = []
    while data:
        head, _, rest = data.partition(b"\r\n\r\n")
        status, headers = parse_head(head)
        length = int(headers.get("content-length", 0))
        answers.append((status, headers, rest[:length]))
        data = rest[length:]
    return answers


def error_code(body: bytes) -> str:
    """The code of an answer that must have OpenAI's error shape."""
    error = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["message"] and error["type"]
    code: str = error["code"]
    return code


async def until(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Wait until `condition` holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # conditions are states of the server, not events
            await asyncio.sleep(0.005)
