"""Ends of a request that are no answers: refusals, failures of the provider, clients that left. Each leaves a record."""

from ollm.errors import ApiError, RuleBlocked, StoreError, let_go
from ollm.gateway.attested import TrustRefusal
from ollm.gateway.call import Call
from ollm.gateway.exchange import Exchange
from ollm.gateway.refusal import PolicyRefusal
from ollm.gateway.relay import receipt_headers
from ollm.gateway.rules import blocked
from ollm.gateway.running import key_revoked, uncancel
from ollm.gateway.settle import settle
from ollm.receipts.receipt import failed, ruled
from ollm.serving.http import error_response
from ollm.values.ledger import Status
from ollm.wire.errors import error_event


async def refuse(exchange: Exchange, call: Call, refusal: PolicyRefusal | TrustRefusal) -> None:
    """Answer a refusal with its receipt: what was asked, why it was refused, and that nothing was forwarded."""
    let_go(refusal)
    upstream = refusal.upstream if isinstance(refusal, TrustRefusal) else None
    exchange.upstream, exchange.session, exchange.level = upstream, None, None
    exchange.not_sent()
    exchange.note(failed(exchange.asked or "", refusal.reason, required=True, upstream_name=upstream))
    await _answer(exchange, call, refusal.error, Status.REFUSED)


async def withhold(exchange: Exchange, call: Call, problem: RuleBlocked) -> None:
    """Answer that a rule blocks what the provider answered. It was asked, and is paid for."""
    let_go(problem)
    exchange.note(ruled(problem.rule, "block", "answer"))
    await _answer(exchange, call, blocked(problem.rule, "answer"), Status.REFUSED)


async def provider_failed(exchange: Exchange, call: Call, error: ApiError) -> None:
    """Answer a provider's failure in our own words. What was repeated here is not to be repeated by the client at once."""
    if exchange.attempts > 1 and "retry-after" not in error.headers:
        error.headers = {**error.headers, "x-should-retry": "false"}
    await _answer(exchange, call, error, Status.UPSTREAM_FAILED)


async def _answer(exchange: Exchange, call: Call, error: ApiError, status: Status) -> None:
    let_go(error)
    code, headers, body = error_response(error, call.dialect)
    exchange.returned.update(body)
    try:
        await settle(exchange, status, code)
    except StoreError:
        await call.respond(code, body, [*headers])  # the error stands even when it can't be recorded, but without a receipt
        return
    await call.respond(code, body, [*headers, *receipt_headers(exchange)])


async def client_gone(exchange: Exchange) -> None:
    """The client left: the provider's connection is cut already; what was used is settled, as an estimate if need be."""
    uncancel()
    if not exchange.intended:
        return  # the prompt never left: there is nothing to account for
    try:
        await settle(exchange, Status.CLIENT_GONE, 499)
    except StoreError:
        return  # the intent remains and becomes a LOST row at the next start


async def cut_off(exchange: Exchange, call: Call) -> None:
    """The caller's key ended meanwhile: the provider's connection is cut already, what was used is settled as an estimate, and the client hears
    why. Raises: ApiError 401 where the prompt never left: there is nothing to account for.
    """
    uncancel()
    error = key_revoked()
    if not exchange.intended:
        raise error from None
    if not call.started:
        await _answer(exchange, call, error, Status.CLIENT_GONE)
        return
    dialect = exchange.endpoint.dialect
    last = b"" if exchange.endpoint.binary else error_event(error.message, error.type, error.code, dialect=dialect, status=error.status)
    exchange.returned.update(last)
    try:
        await settle(exchange, Status.CLIENT_GONE, error.status)
    except StoreError:
        pass  # the intent remains and becomes a LOST row at the next start
    if last:  # nothing in a file could say that it was cut: it goes without an end
        await call.piece(last, last=True)
