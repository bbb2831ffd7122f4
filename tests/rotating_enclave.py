"""A genuine machine that changes all of its keys whenever it is told to: TLS, sealing and receipts, with a keyset that is quoted anew.

The old keys are gone at once, as after a restart: a body sealed to the old key is answered 422, a new connection shows the new key, and an
old connection is closed with the next answer on it. What is being answered is answered. `arrivals` notes every prompt with the keys that
it came under.
"""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from typing import NamedTuple

from ollm.errors import SealError
from ollm.seal import ehbp
from ollm.seal.ehbp import RequestOpener
from ollm.serving.attestation import AttestationService
from ollm.sim import adversary
from ollm.sim.identity import EnclaveIdentity, create_identity
from ollm.values.aci import EHBP_VERSION
from tests.scripted_enclave import END, Asked, ScriptedEnclave, silent

_KINDS = {"whole": "application/json", "stream": "text/event-stream"}


class Arrival(NamedTuple):
    """A prompt: when it came (loop time), the key of its connection, and the sealing key that opened it (None: none of ours could)."""

    at: float
    spki_sha256: str
    opened_by: bytes | None


class Generation(NamedTuple):
    identity: EnclaveIdentity
    attestation: AttestationService
    tls: ssl.SSLContext


class RotatingEnclave(ScriptedEnclave):
    """One machine; `rotate` gives it other keys."""

    def __init__(self, *, seconds: float) -> None:
        """`seconds`: how long an answer takes."""
        super().__init__(silent)
        self.arrivals: list[Arrival] = []
        self.rotations = 0
        self._seconds = seconds
        self._generations: dict[ssl.SSLContext, Generation] = {}
        self._current = self._generation(self.identity)

    def rotate(self) -> None:
        self.rotations += 1
        self._current = self._generation(create_identity(self.machine.clock.now()))

    async def start(self) -> None:
        await self._pcs.start()
        first = self._current.tls
        first.sni_callback = self._handshake
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=first)
        self.port = self._server.sockets[0].getsockname()[1]

    def _generation(self, identity: EnclaveIdentity) -> Generation:
        assert identity.tls is not None
        keyset = identity.keyset(not_after=self.machine.clock.now() + 86_400)
        attestation = AttestationService(keyset, adversary.MachineQuotes(self.machine), serving="direct", e2ee_versions=(EHBP_VERSION,))
        made = Generation(identity, attestation, identity.tls.context())
        self._generations[made.tls] = made
        return made

    def _handshake(self, connection: ssl.SSLObject, name: str, context: ssl.SSLContext) -> None:
        connection.context = self._current.tls

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        current, shown = self._current, self._generations[writer.get_extra_info("ssl_object").context]
        self.identity, self._attestation = current.identity, current.attestation
        if head.startswith(b"GET"):
            return await self.attest(head.split(b" ", 2)[1].decode(), writer)
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:-2])
        body = await reader.readexactly(int(fields["content-length"]))
        asked = _opened(current.identity, fields[ehbp.ENCAPSULATED_KEY], head, body)
        opened_by = current.identity.hpke_public_key if asked is not None else None
        self.arrivals.append(Arrival(asyncio.get_running_loop().time(), shown.identity.spki_sha256, opened_by))
        last = shown is not current
        if asked is not None:
            await self._tell(asked, writer, last=last)
        else:
            kind, closing = ehbp.PROBLEM_MEDIA_TYPE, "connection: close\r\n" if last else ""
            start = f"HTTP/1.1 422 Unprocessable Content\r\ncontent-type: {kind}\r\n{closing}content-length: {len(ehbp.KEY_PROBLEM)}\r\n\r\n"
            writer.write(start.encode() + ehbp.KEY_PROBLEM)
            await writer.drain()
        return not last

    async def _tell(self, asked: Asked, writer: asyncio.StreamWriter, *, last: bool) -> None:
        streamed = json.loads(asked.body).get("stream", False)
        pieces = _STREAM if streamed else (_WHOLE,)
        writer.write(asked.start(kind=_KINDS["stream" if streamed else "whole"], extra="connection: close\r\n" if last else ""))
        for piece in pieces:
            await asyncio.sleep(self._seconds / len(pieces))
            writer.write(asked.part(piece))
        writer.write(END)
        await writer.drain()


def _opened(identity: EnclaveIdentity, key: str, head: bytes, body: bytes) -> Asked | None:
    assert identity.hpke_key is not None
    try:
        opener = RequestOpener(identity.hpke_key, key)
        plaintext = opener.feed(body)
        opener.finish()
    except SealError:
        return None
    return Asked(head, plaintext, opener.response_sealer(bytes(32)), asyncio.Event())


def _event(**members: object) -> bytes:
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "sim-chat", **members}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


_USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
_CHOICE = {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
_WHOLE = json.dumps({"id": "c", "object": "chat.completion", "created": 1, "model": "sim-chat", "choices": [_CHOICE], "usage": _USAGE}).encode()
_STREAM = (
    _event(choices=[{"index": 0, "delta": {"role": "assistant", "content": "h"}, "finish_reason": None}]),
    _event(choices=[{"index": 0, "delta": {"content": "i"}, "finish_reason": "stop"}]),
    _event(choices=[], usage=_USAGE),
    b"data: [DONE]\n\n",
)


@contextlib.asynccontextmanager
async def rotating_enclave(*, seconds: float) -> AsyncIterator[RotatingEnclave]:
    enclave = RotatingEnclave(seconds=seconds)
    await enclave.start()
    try:
        yield enclave
    finally:
        await enclave.stop()
