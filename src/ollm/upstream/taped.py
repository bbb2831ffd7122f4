"""Asking a provider in front of a recorder, and asking a recording in a provider's place. Only commands do either; no gateway can."""

import contextlib
import hashlib
import ssl
from collections.abc import AsyncIterator, Mapping

from ollm.errors import UpstreamError
from ollm.net.connection import Connection
from ollm.net.tape import Recorder, Tape, exchange_of
from ollm.upstream.asking import Asker, Asking, Heads, LiveAsker, Told, asking
from ollm.values.hexes import Hex32, hex32


def recording(recorder: Recorder) -> Asking:
    """`asking`, with every exchange kept."""

    @contextlib.asynccontextmanager
    async def taped(heads: Heads, tls: ssl.SSLContext) -> AsyncIterator[Asker]:
        async with asking(heads, tls) as asker:
            yield _RecordingAsker(heads.origin.text, asker, recorder)

    return taped


def replaying(tape: Tape) -> Asking:
    """What `tape` has of the exchanges with a provider."""

    @contextlib.asynccontextmanager
    async def taped(heads: Heads, tls: ssl.SSLContext) -> AsyncIterator[Asker]:
        yield _ReplayingAsker(heads.origin.text, tape)

    return taped


class _RecordingAsker:
    def __init__(self, origin: str, asker: LiveAsker, recorder: Recorder) -> None:
        self._origin = origin
        self._asker = asker
        self._recorder = recorder
        self._key, self._version = asker.peer()

    @property
    def peer_spki(self) -> Hex32:
        return self._asker.peer_spki

    async def get(self, target: str, *, limit: int, credential: bool = False) -> Told:
        try:
            told = await self._asker.get(target, limit=limit, credential=credential)
        except UpstreamError as problem:
            self._refused("GET", target, None, problem)
            raise
        return self._kept("GET", target, None, told)

    async def post(self, path: str, body: bytes, *, limit: int, extra: Mapping[str, str] = {}, drawn: bool = False) -> Told:
        try:
            told = await self._asker.post(path, body, limit=limit, extra=extra)
        except UpstreamError as problem:
            self._refused("POST", path, body, problem)
            raise
        return self._kept("POST", path, body, told)

    def keep(self) -> Connection:
        return self._asker.keep()

    def _kept(self, method: str, target: str, sent: bytes | None, told: Told) -> Told:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in told.headers.items()}
        self._note(method, target, sent, 200, headers, told.body)
        return told

    def _refused(self, method: str, target: str, sent: bytes | None, problem: UpstreamError) -> None:
        """An answer that is no evidence: its status is all that was looked at."""
        if problem.status is not None:
            self._note(method, target, sent, problem.status, {}, b"")

    def _note(self, method: str, target: str, sent: bytes | None, status: int, headers: Mapping[str, str], body: bytes) -> None:
        exchange = exchange_of(method, self._origin + target, status, headers, sent=sent, peer_key=self._key, tls_version=self._version)
        self._recorder.keep(exchange, body)


class _ReplayingAsker:
    """Answers of one connection: all of them came from the same key, or the recording can't stand for it."""

    def __init__(self, origin: str, tape: Tape) -> None:
        self._origin = origin
        self._tape = tape
        self._key = tape.first_key(origin)
        self._asked = False

    @property
    def peer_spki(self) -> Hex32 | None:
        return hex32(hashlib.sha256(self._key).hexdigest()) if self._key is not None else None

    async def get(self, target: str, *, limit: int, credential: bool = False) -> Told:
        return self._answer("GET", target, b"", limit)

    async def post(self, path: str, body: bytes, *, limit: int, extra: Mapping[str, str] = {}, drawn: bool = False) -> Told:
        return self._answer("POST", path, None if drawn else body, limit)

    def keep(self) -> Connection | None:
        return None

    def _answer(self, method: str, target: str, body: bytes | None, limit: int) -> Told:
        found = self._tape.answer(method, self._origin + target, body)
        exchange = found.exchange
        if self._asked and exchange.peer_key != self._key:
            raise UpstreamError("connect", "these answers were recorded from different keys, so not on one connection")
        self._key, self._asked = exchange.peer_key, True
        if exchange.status != 200:
            raise UpstreamError("headers", f"the attestation endpoint answered {exchange.status}", status=exchange.status)
        if len(found.body) > limit:
            raise UpstreamError("stream", "answer too large")
        headers = {name.encode("latin-1"): value.encode("latin-1") for name, value in exchange.fields.items()}
        return Told(found.body, exchange.fields.get("content-type", ""), headers, exchange.sent)
