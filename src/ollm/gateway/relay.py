"""From the provider's answer to the client, whole or streamed. Content lives in these frames only."""

import asyncio
import contextlib
import math
import re

from ollm.errors import ApiError, OllmError, RuleBlocked, SealError, StoreError, UpstreamError, WireError, let_go
from ollm.gateway.call import EVENT_STREAM, Call, Headers
from ollm.gateway.exchange import Exchange
from ollm.gateway.faults import from_exception
from ollm.gateway.receipt_keys import told
from ollm.gateway.rules import blocked, note_stream, screened_answer, screened_stream
from ollm.gateway.settle import settle
from ollm.gateway.signatures import note_signature
from ollm.receipts.receipt import ruled
from ollm.upstream.answer import Answer
from ollm.values.ledger import Status
from ollm.values.usage import Usage
from ollm.wire.answer import StreamRewriter, answer_id, rewrite_whole, whole_text
from ollm.wire.endpoints import TEXT
from ollm.wire.errors import error_event
from ollm.wire.request import InferenceRequest, JsonRequest
from ollm.wire.rewriting import Rewriter
from ollm.wire.sse import KEEP_ALIVE
from ollm.wire.typed_answer import TypedRewriter

_TRAILING_SECONDS = 5.0  # for the end of a body behind its [DONE]
_JSON = b"application/json"
_MEDIA = re.compile(rb"audio/[a-z0-9.+-]{1,40}|application/octet-stream")
_TRAILING_READS = 64  # after [DONE] only the end of the body is due


def receipt_headers(exchange: Exchange) -> Headers:
    """Headers of every answer that a receipt is made for."""
    headers = [(b"x-receipt-id", b"rcpt_" + exchange.stem.encode())]
    if exchange.level is not None:
        headers.append((b"x-ollm-execution", str(exchange.level).encode()))
    if exchange.attempts:
        headers.append((b"x-ollm-attempts", str(exchange.attempts).encode()))
    if exchange.caller.told:
        headers.append(told(exchange.caller.secret.expose()))
    return headers


async def relay(exchange: Exchange, call: Call, request: InferenceRequest, answer: Answer) -> None:
    """Hand the answer to the client. Raises: UpstreamError, SealError, WireError while nothing of it was handed out."""
    if answer.streamed != request.stream:
        raise WireError("the provider answered in another form than was asked for")
    if answer.compressed:
        raise WireError("the provider compressed its answer, which nobody asked for")  # and nobody would tell the client of
    if request.stream:
        await _stream(exchange, call, request, answer)
    elif exchange.endpoint.binary:
        await _file(exchange, call, answer)
    else:
        await _whole(exchange, call, request, answer)


async def _whole(exchange: Exchange, call: Call, request: InferenceRequest, answer: Answer) -> None:
    data = await answer.read_all()
    exchange.first_byte()
    await note_signature(exchange, answer, answer_id(data) if answer.signed else None)
    answer.close()
    if request.text:
        body, kind = whole_text(data), TEXT
    else:
        body, exchange.usage = _rewritten(exchange, request, data)
        kind = _JSON
    body = await screened_answer(exchange, body, text=request.text)
    _count(exchange, body)
    await settle(exchange, Status.COMPLETED, 200)
    await call.respond(200, body, receipt_headers(exchange), kind)


def _rewritten(exchange: Exchange, request: InferenceRequest, data: bytes) -> tuple[bytes, Usage | None]:
    id = exchange.answer_id or ""
    if exchange.dialect is not None and isinstance(request, JsonRequest):
        return exchange.dialect.whole(data, id=id, model=request.model, members=request.members)
    return rewrite_whole(data, exchange.endpoint, id=id, model=request.model)


async def _file(exchange: Exchange, call: Call, answer: Answer) -> None:
    """A file, piece by piece as it comes: a voice can be heard before its end is made. The last piece waits for row and receipt."""
    if not _MEDIA.fullmatch(answer.media_type):
        raise WireError("the provider answered in another form than was asked for")
    held = await answer.read()
    if not held:
        raise WireError("the provider answered with nothing")
    exchange.first_byte()
    answer.began()
    room = exchange.gateway.settings.gateway.max_stream_bytes - len(held)
    try:
        while data := await answer.read():
            room -= len(data)
            if room < 0:
                raise WireError("the answer is too large")
            await _hand_out(exchange, call, held, answer.media_type)
            held = data
        await note_signature(exchange, answer, None)
    except (UpstreamError, SealError, WireError, ApiError) as problem:
        if not call.started:
            raise
        if not isinstance(problem, ApiError):  # that is a signature's, and of trust
            exchange.failed(problem)
        await settle(exchange, Status.UPSTREAM_FAILED, 200)
        return  # without an end: nothing in a file could say that it was cut
    answer.close()
    await _last(exchange, call, held, Status.COMPLETED, answer.media_type)


async def _stream(exchange: Exchange, call: Call, request: InferenceRequest, answer: Answer) -> None:
    rewriter = screened_stream(exchange, _rewriter(exchange, request))
    problem: OllmError | None = None
    room = exchange.gateway.settings.gateway.max_stream_bytes
    out = b""
    try:
        while not rewriter.ended:
            data = await _next(exchange, call, answer)
            room -= len(data)
            if room < 0:
                raise WireError("the stream is too large")
            out = rewriter.feed(data) if data else rewriter.close()
            note_stream(exchange, rewriter)
            if not exchange.pieces and rewriter.content_events:
                answer.began()
            exchange.usage, exchange.tier, exchange.pieces = rewriter.usage, rewriter.tier, rewriter.content_events
            if out and not rewriter.ended:
                await _hand_out(exchange, call, out)
    except (UpstreamError, SealError, WireError, RuleBlocked) as broken:
        if not call.started:
            raise
        problem = broken
        out = _broken_off(exchange, broken)
    status = _status(exchange, rewriter, problem)
    if answer.signed and status is Status.COMPLETED:
        try:
            await _signed(exchange, answer, rewriter.provider_id)
        except ApiError as unsigned:
            out, status = _error_event(exchange, unsigned), Status.UPSTREAM_FAILED
    await _last(exchange, call, out, status)
    if status is Status.COMPLETED:
        with contextlib.suppress(TimeoutError):  # the client has all of it: what is lost is a connection that could have been used again
            await _read_out(answer)


async def _next(exchange: Exchange, call: Call, answer: Answer) -> bytes:
    """What comes next, b"" at the end; the client gets a comment for each while in which nothing does. Raises: as `Answer.next`."""
    patience = exchange.gateway.settings.gateway.keep_alive_seconds or math.inf
    while (data := await answer.next(patience)) is None:
        if not call.started:
            await call.start_stream(receipt_headers(exchange))
        exchange.returned.update(KEEP_ALIVE)  # bytes on the wire, and no part of what is paid for
        await call.piece(KEEP_ALIVE)
    if not exchange.first_us:
        exchange.first_byte()
    return data


def _status(exchange: Exchange, rewriter: Rewriter, problem: OllmError | None) -> Status:
    """What became of the stream. Where the provider said that it failed, the route is told: it may have counted as an answer since it began."""
    if rewriter.fault is not None:
        exchange.failed(rewriter.fault)
    if isinstance(problem, RuleBlocked):
        return Status.REFUSED
    return Status.COMPLETED if rewriter.done and problem is None else Status.UPSTREAM_FAILED


def _broken_off(exchange: Exchange, problem: OllmError) -> bytes:
    """The event for an answer that ends here, with what is to be remembered of `problem`."""
    if isinstance(problem, RuleBlocked):
        let_go(problem)
        exchange.note(ruled(problem.rule, "block", "answer"))
        return _error_event(exchange, blocked(problem.rule, "answer"))
    exchange.failed(problem)
    return _error_event(exchange, from_exception(problem))


def _rewriter(exchange: Exchange, request: InferenceRequest) -> Rewriter:
    id = exchange.answer_id or ""
    if exchange.dialect is not None and isinstance(request, JsonRequest):
        return exchange.dialect.stream(id=id, model=request.model, include_usage=request.include_usage, members=request.members)
    if exchange.endpoint.ends:
        return TypedRewriter(exchange.endpoint, id=id, model=request.model)
    return StreamRewriter(id=id, model=request.model, include_usage=request.include_usage)


async def _signed(exchange: Exchange, answer: Answer, chat_id: str | None) -> None:
    """The machine signs all of the stream's bytes: they are read to their end first. Raises: ApiError where the policy wants a signature."""
    try:
        await _read_out(answer)
    except TimeoutError:
        chat_id = None
    await note_signature(exchange, answer, chat_id)


async def _hand_out(exchange: Exchange, call: Call, out: bytes, kind: bytes = EVENT_STREAM) -> None:
    if not call.started:
        await call.start_stream(receipt_headers(exchange), kind)
    await call.piece(out)  # waits for a client that doesn't read: one that is cut then was never given it
    _count(exchange, out)


def _count(exchange: Exchange, out: bytes) -> None:
    """`out` of an answer is about to be handed out. With its first bytes the provider has answered: what came before might have been an error."""
    if not exchange.answer_bytes:
        exchange.answered()
    exchange.returned.update(out)
    exchange.answer_bytes += len(out)


async def _last(exchange: Exchange, call: Call, out: bytes, status: Status, kind: bytes = EVENT_STREAM) -> None:
    """The end leaves only once the row and the receipt are durable."""
    if not call.started:
        await call.start_stream(receipt_headers(exchange), kind)
    if status is Status.COMPLETED:
        _count(exchange, out)
    else:
        exchange.returned.update(out)  # our own words about what went wrong
    _note_speed(exchange)
    try:
        await settle(exchange, status, 200)
    except StoreError:
        if kind is not EVENT_STREAM:
            return
        dialect = exchange.endpoint.dialect
        out = error_event("The gateway could not record this answer.", "api_error", "store_unavailable", dialect=dialect)
    await call.piece(out, last=True)


def _note_speed(exchange: Exchange) -> None:
    """How fast the answer came, for those who prefer the fastest."""
    if exchange.attempt is not None and exchange.usage is not None:
        seconds = (exchange.since(exchange.sent_at) - exchange.first_us) / 1_000_000
        exchange.attempt.spoke(exchange.usage.completion_tokens, seconds, exchange.gateway.clock.monotonic())


def _error_event(exchange: Exchange, error: ApiError) -> bytes:
    return error_event(error.message, error.type, error.code, dialect=exchange.endpoint.dialect)


async def _read_out(answer: Answer) -> None:
    """Read to the end of the body, so that the connection can carry another request. Raises: TimeoutError when it doesn't end soon."""
    try:
        async with asyncio.timeout(_TRAILING_SECONDS):
            for _ in range(_TRAILING_READS):
                if not await answer.read():
                    return
    except (UpstreamError, SealError):
        return  # the answer was complete; only the connection is lost
