"""An ACI/1 service with `serving: "direct"` as a bare ASGI callable: the workload that runs in the simulated machine.

    GET  /v1/aci/attestation?nonce=   evidence for this nonce           GET  /v1/models
    GET  /.well-known/hpke-keys       the key to seal bodies to (EHBP)  POST /v1/chat/completions
    GET  /v1/aci/receipts/{id}        what happened to one request      POST /v1/embeddings
    GET  /healthz

Request bodies are read before anything is judged, so that `counters` tells of every byte of a prompt that ever arrived.
"""

import asyncio
import hmac
import os
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

import msgspec

from ollm.errors import ApiError, SealError
from ollm.ports import Clock
from ollm.receipts import receipt
from ollm.seal import ehbp
from ollm.serving.http import Header, Receive, Scope, Send, bearer, error_response, query, read_body, respond
from ollm.sim import adversary
from ollm.sim.engine import JSON, Engine, Operation, Reply
from ollm.sim.exchange import Exchange, Outgoing, answer_id, judged
from ollm.sim.identity import EnclaveIdentity
from ollm.sim.kept import KeptReceipts
from ollm.sim.sealing import open_body
from ollm.values.hexes import Sha256, sha256_of
from ollm.values.secret import Hidden

MAX_BODY = 64 * 1024 * 1024  # as received: images travel as base64 inside
_RECEIPTS = "/v1/aci/receipts/"


class Counters(msgspec.Struct):
    """What arrived since the start. `prompt_bytes` counts request bodies as received, sealed or not."""

    prompt_bytes: int = 0
    prompt_requests: int = 0
    reports: int = 0


class Settings(Hidden, frozen=True, kw_only=True):
    """How this service behaves."""

    api_key: str | None = None  # None: no credential is asked for
    allow_plaintext: bool = False  # a confidential machine insists on sealed bodies
    max_body: int = MAX_BODY
    broken: str | None = None  # a kind of BREAKS with layer report or channel


# `report` gives the attestation report for a nonce as the client wrote it, or raises ApiError.
Reporter = Callable[[str | None], Awaitable[bytes]]


class Enclave:
    """The service. `engine` is None where another server answers, and this one attests only."""

    def __init__(
        self, identity: EnclaveIdentity, keyset_digest: Sha256, report: Reporter, engine: Engine | None, *, clock: Clock, settings: Settings
    ) -> None:
        self.counters = Counters()
        self._identity = identity
        self._keyset_digest = keyset_digest
        self._report = report
        self._engine = engine
        self._clock = clock
        self._settings = settings
        self._kept = KeptReceipts()
        self._headers: tuple[Header, ...] = ((b"x-aci-version", b"aci/1"), (b"x-aci-keyset-digest", keyset_digest.encode()))

    def headers(self) -> Sequence[Header]:
        """Headers of every response, also of those that the server answers by itself (ACI §5.2)."""
        return self._headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            await _while_connected(scope, self._dispatch(scope, receive, send))
        except ApiError as error:
            status, headers, body = error_response(error)
            await respond(send, status, body, [*self._headers, *headers])

    async def _dispatch(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["path"]
        received = await self._received(scope, receive) if method == "POST" else b""
        operation = _OPERATIONS.get((method, path)) if self._engine is not None else None
        if operation is not None and self._engine is not None:
            self._authorize(scope)
            await self._operate(self._engine, operation, scope, received, send)
        elif method != "GET":
            raise ApiError(404, "invalid_request_error", "unknown_url", "there is nothing at this URL")
        elif path == "/v1/aci/attestation":
            self.counters.reports += 1
            report = await self._report(query(scope).get("nonce"))
            await respond(send, 200, adversary.told_report(self._settings.broken, report), self._headers)
        elif path == ehbp.KEYS_PATH and self._identity.hpke_public_key is not None:
            key = adversary.published_key(self._settings.broken, self._identity.hpke_public_key)
            await respond(send, 200, ehbp.key_config(key), self._headers, ehbp.MEDIA_TYPE.encode())
        elif path.startswith(_RECEIPTS):
            await respond(send, 200, self._kept.get(path.removeprefix(_RECEIPTS), bearer=bearer(scope)), self._headers)
        elif path == "/healthz":
            await respond(send, 200, b'{"status":"ok"}', self._headers)
        else:
            raise ApiError(404, "invalid_request_error", "unknown_url", "there is nothing at this URL")

    async def _received(self, scope: Scope, receive: Receive) -> bytes:
        """The request body, every part of it counted as it comes."""
        self.counters.prompt_requests += 1

        async def counted() -> Any:
            message = await receive()
            self.counters.prompt_bytes += len(message.get("body", b""))
            return message

        return await read_body(scope, counted, self._settings.max_body)

    def _authorize(self, scope: Scope) -> None:
        wanted, given = self._settings.api_key, bearer(scope)
        if wanted is not None and (given is None or not hmac.compare_digest(given.encode(), wanted.encode())):
            raise ApiError(401, "invalid_request_error", "invalid_api_key", "the API key is missing or wrong")

    async def _operate(self, engine: Engine, operation: Operation, scope: Scope, received: bytes, send: Send) -> None:
        if operation is Operation.MODELS:
            await self._list_models(engine, send)
            return
        try:
            body = open_body(scope["headers"], received, self._identity.hpke_key, allow_plaintext=self._settings.allow_plaintext)
        except SealError:  # sealed to another key: the client is told to verify again (EHBP §5.4)
            await respond(send, 422, ehbp.KEY_PROBLEM, self._headers, ehbp.PROBLEM_MEDIA_TYPE.encode())
            return
        outgoing = Outgoing(send, body)
        try:
            exchange = judged(scope["path"], body.plaintext, bearer(scope))
            reply = await engine.answer(operation, exchange.inner)
        except ApiError as error:  # sealed like any answer: an engine's error may speak of the prompt
            status, headers, document = error_response(error)
            await outgoing.start(status, JSON, len(document), [*self._headers, *headers])
            await outgoing.end(outgoing.wire(document))
            return
        try:
            await self._relay(reply, outgoing, exchange)
        finally:
            await reply.close()

    async def _list_models(self, engine: Engine, send: Send) -> None:
        reply = await engine.answer(Operation.MODELS, b"")
        try:
            await respond(send, reply.status, b"".join([chunk async for chunk in reply.chunks]), self._headers)
        finally:
            await reply.close()

    async def _relay(self, reply: Reply, outgoing: Outgoing, exchange: Exchange) -> None:
        """Send the answer as it comes. Its last part is held back until its receipt can be fetched."""
        receipt_id = "rcpt-" + os.urandom(16).hex()
        headers = [*self._headers, (b"x-receipt-id", receipt_id.encode())]
        await outgoing.start(reply.status, reply.content_type, reply.length, headers)
        chat_id: str | None = None
        held = b""
        async for chunk in reply.chunks:
            wire = outgoing.wire(chunk)
            chat_id = chat_id or answer_id(chunk, streamed=reply.streamed)
            if held:
                await outgoing.send(held)
            held = wire if not reply.streamed or chunk.rstrip().endswith(b"[DONE]") else b""
            if not held:
                await outgoing.send(wire)
        document = receipt.issue(
            self._identity.signer,
            receipt_id=receipt_id,
            chat_id=chat_id,
            model=exchange.model,
            keyset_digest=self._keyset_digest,
            endpoint=exchange.path,
            method="POST",
            served_at=self._clock.now(),
            events=(
                receipt.received(sha256_of(exchange.plaintext)),
                receipt.forwarded(sha256_of(exchange.inner)),
                receipt.returned(outgoing.digest()),
            ),
        )
        self._kept.put(receipt_id, document, chat_id=chat_id, bearer=exchange.bearer)
        await outgoing.end(held)


_OPERATIONS = {
    ("GET", "/v1/models"): Operation.MODELS,
    ("POST", "/v1/chat/completions"): Operation.CHAT,
    ("POST", "/v1/embeddings"): Operation.EMBEDDINGS,
}


async def _while_connected(scope: Scope, work: Coroutine[Any, Any, None]) -> None:
    """Run `work`; it is cancelled as soon as the client has gone, wherever it waits."""
    task = asyncio.current_task()
    gone = False

    def leave() -> None:
        nonlocal gone
        if task is not None:
            gone = True
            task.cancel()

    extension = scope.get("extensions", {}).get("ollm.disconnect")
    if extension is not None:
        extension.on_disconnect(leave)
    try:
        await work
    except asyncio.CancelledError:
        if not gone or task is None or task.uncancel():
            raise
