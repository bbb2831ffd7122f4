"""A genuine machine whose answers a test writes itself, byte for byte: evidence and sealing are real, HTTP may be broken anywhere.

A script is called with each opened prompt and the connection. It returns True when the connection may carry another request;
otherwise the connection is closed behind it.
"""

import asyncio
import contextlib
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import msgspec

from ollm.net.clock import SystemClock
from ollm.seal import ehbp
from ollm.seal.ehbp import RequestOpener, ResponseSealer
from ollm.serving.attestation import AttestationService
from ollm.serving.server import Server
from ollm.sim import adversary, reference
from ollm.sim.control import Control
from ollm.sim.enclave import Counters
from ollm.sim.identity import create_identity
from ollm.sim.machine import SimulatedMachine
from ollm.sim.pki import create_pki
from ollm.values.aci import EHBP_VERSION
from ollm.values.policy import AttestationPolicy

Script = Callable[["Asked", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[bool]]


class Asked(msgspec.Struct):
    """A prompt that arrived: the head as it came, the opened body, and the sealer of an answer (None: it came in plaintext).

    `go_on` is for a script that waits until the test has seen what was sent before.
    """

    head: bytes
    body: bytes
    sealer: ResponseSealer | None
    go_on: asyncio.Event

    def start(self, *, status: str = "200 OK", kind: str = "application/json", framing: str = "transfer-encoding: chunked", extra: str = "") -> bytes:
        """The head of an answer that is sealed."""
        nonce = f"{ehbp.RESPONSE_NONCE}: {self.sealer.nonce_hex}\r\n" if self.sealer is not None else ""
        return f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\n{nonce}{extra}{framing}\r\n\r\n".encode()

    def part(self, data: bytes) -> bytes:
        """`data` sealed, as one chunk."""
        wire = self.sealer.seal(data) if self.sealer is not None else data
        return b"%x\r\n%s\r\n" % (len(wire), wire)


END = b"0\r\n\r\n"


class OwnMachine:
    """A machine with its keys, its evidence and what Intel says of it. Who holds it serves `attest` and opens what was sealed to it."""

    def __init__(self) -> None:
        clock = SystemClock()
        self.reports = 0
        self.hold_reports: asyncio.Event | None = None  # set by a test: evidence waits for it
        self.identity = create_identity(clock.now())
        self.machine = SimulatedMachine(create_pki(clock.now()), clock)
        self.policy: AttestationPolicy = reference.policy((self.machine,))
        self._keyset = self.identity.keyset(not_after=clock.now() + 86400)
        quotes = adversary.MachineQuotes(self.machine)
        self._attestation = AttestationService(self._keyset, quotes, serving="direct", e2ee_versions=(EHBP_VERSION,))
        self._pcs = Server(Control(self.machine, Counters(), ""), host="127.0.0.1", port=0)

    @property
    def tls(self) -> ssl.SSLContext:
        """For a listener that shows the attested key."""
        assert self.identity.tls is not None
        return self.identity.tls.context()

    @property
    def pcs_url(self) -> str:
        return f"http://127.0.0.1:{self._pcs.port}"

    @property
    def root_crl_url(self) -> str:
        return self.pcs_url + "/IntelSGXRootCA.der"

    async def start(self) -> None:
        await self._pcs.start()

    async def stop(self) -> None:
        await self._pcs.drain(0)

    def opened(self, fields: Mapping[str, str], body: bytes) -> tuple[bytes, ResponseSealer | None]:
        """`body` opened, and the sealer of its answer; as it came and None where it wasn't sealed."""
        if ehbp.ENCAPSULATED_KEY not in fields or self.identity.hpke_key is None:
            return body, None
        opener = RequestOpener(self.identity.hpke_key, fields[ehbp.ENCAPSULATED_KEY])
        plain = opener.feed(body)
        opener.finish()
        return plain, opener.response_sealer(os.urandom(32))

    async def attest(self, target: str, writer: asyncio.StreamWriter) -> bool:
        """Answer a GET for evidence or for the key configuration."""
        kind = "application/json"
        if target.startswith("/v1/aci/attestation?nonce="):
            self.reports += 1
            if self.hold_reports is not None:
                await self.hold_reports.wait()
            body = await self._attestation.report(target.partition("=")[2])
        else:
            assert self.identity.hpke_public_key is not None
            body, kind = ehbp.key_config(self.identity.hpke_public_key), ehbp.MEDIA_TYPE
        writer.write(f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        return True


class ScriptedEnclave(OwnMachine):
    """One machine with one script at a time. `asked` keeps every prompt that came."""

    def __init__(self, script: Script) -> None:
        super().__init__()
        self.script = script
        self.asked: list[Asked] = []
        self.connections = 0
        self.gone = asyncio.Event()  # a connection whose script ran has ended
        self.arrived = asyncio.Event()
        self._server: asyncio.Server | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    async def start(self) -> None:
        await super().start()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        await super().stop()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the gateway left
        finally:
            writer.transport.abort() if writer.is_closing() else writer.close()
            if self.asked:
                self.gone.set()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        method, target, _ = head.split(b" ", 2)
        if method == b"GET":
            return await self.attest(target.decode(), writer)
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:-2])
        body = await reader.readexactly(int(fields["content-length"]))
        asked = Asked(head, *self.opened(fields, body), asyncio.Event())
        self.asked.append(asked)
        self.arrived.set()
        return await self.script(asked, reader, writer)


@contextlib.asynccontextmanager
async def scripted_enclave(script: Script) -> AsyncIterator[ScriptedEnclave]:
    enclave = ScriptedEnclave(script)
    await enclave.start()
    try:
        yield enclave
    finally:
        await enclave.stop()


# Scripts


def answer(body: bytes, *, status: str = "200 OK", kind: str = "application/json", extra: str = "") -> Script:
    """`body`, sealed, whole."""

    async def script(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        writer.write(asked.start(status=status, kind=kind, extra=extra) + asked.part(body) + END)
        await writer.drain()
        return True

    return script


def stream(*pieces: bytes, end: bytes = END, held: int | None = None) -> Script:
    """Event stream of `pieces`, sealed one by one, then `end` as raw bytes; the connection is cut behind any other than END.

    From piece number `held` on, it waits for the test's `go_on`.
    """

    async def script(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        writer.write(asked.start(kind="text/event-stream"))
        for number, piece in enumerate((*pieces, None)):
            if number == held:
                await asked.go_on.wait()
            writer.write(asked.part(piece) if piece is not None else end)
            await writer.drain()
        await writer.drain()
        return end == END

    return script


def raw(data: bytes, *, keep: bool = False) -> Script:
    """Bytes as they are; closes behind them, unless `keep` says that nothing more comes and the connection stays."""

    async def script(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        writer.write(data)
        await writer.drain()
        return keep

    return script


async def reset(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """The connection is cut before an answer."""
    writer.transport.abort()
    return False


async def silent(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Nothing comes until the other side leaves."""
    await reader.read()
    return False


def stalling(*pieces: bytes, kind: str = "text/event-stream") -> Script:
    """Headers and `pieces`, then nothing until the other side leaves."""

    async def script(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        writer.write(asked.start(kind=kind) + b"".join(map(asked.part, pieces)))
        await writer.drain()
        await reader.read()
        return False

    return script
