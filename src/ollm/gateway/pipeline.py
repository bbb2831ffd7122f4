"""The way of a prompt, top to bottom. No hooks: what is not on this page does not happen to a request.

caller  = authenticate   401
request = parse          400          only routing fields are looked at; the rest passes through untouched
ticket  = admit          403 · 404
session = attested       503 · 412    nothing of the prompt has left yet
sealed  = session.seal                only a session has it; only upstream/session.py makes one
intent  = ledger.intend               survives kill -9 from here on
answer  = session.send                to the attested key, checked on that very connection
relay   → client                      content lives in that frame only
settle  = receipt + row               durable before the last byte of the answer
"""

import asyncio
from typing import NamedTuple

from ollm.errors import ApiError, ChannelRefused, SealError, UpstreamError, WireError, let_go
from ollm.gateway.admit import PolicyRefusal, Ticket, admit
from ollm.gateway.attested import TrustRefusal, attested
from ollm.gateway.authenticate import authenticate
from ollm.gateway.call import Call
from ollm.gateway.context import Gateway
from ollm.gateway.exchange import Exchange
from ollm.gateway.faults import from_exception, from_status, unsealable
from ollm.gateway.outcomes import client_gone, provider_failed, refuse
from ollm.gateway.relay import relay
from ollm.receipts.receipt import Event, failed, forwarded, received, sealed, verified
from ollm.upstream.answer import Answer
from ollm.upstream.session import Route, VerifiedSession
from ollm.values.hexes import sha256_of
from ollm.values.level import strictest
from ollm.wire.endpoints import Endpoint
from ollm.wire.form import boundary_of, parse_form
from ollm.wire.request import InferenceRequest, parse_json


async def infer(endpoint: Endpoint, gateway: Gateway, call: Call) -> None:
    """Serve one request to `endpoint`. Raises: ApiError for what needs no receipt (400, 401, 404, 413, 415), StoreError."""
    call.speak(endpoint.dialect)
    call.cancel_on_disconnect()
    begun = gateway.clock.monotonic()
    caller = authenticate(gateway, call)
    body = await call.body(gateway.settings.gateway.max_body_bytes)
    request = _parse(gateway, endpoint, call, body)
    exchange = Exchange(gateway, endpoint, caller, call.stem, begun)
    exchange.received(received(sha256_of(body)), request)
    try:
        ticket = admit(gateway, caller, request)
        answer = await _forward(exchange, ticket, request)
        try:
            if answer.status != 200:
                raise from_status(answer.status, answer.retry_after)
            await relay(exchange, call, request, answer)
        finally:
            answer.close()
    except (PolicyRefusal, TrustRefusal) as refusal:
        await refuse(exchange, call, refusal)
    except ChannelRefused as problem:
        await refuse(exchange, call, TrustRefusal(from_exception(problem), problem.reason, exchange.upstream or ""))
    except (UpstreamError, SealError, WireError) as problem:
        await provider_failed(exchange, call, from_exception(problem))
    except ApiError as problem:
        if not exchange.intended:
            raise
        await provider_failed(exchange, call, problem)
    except asyncio.CancelledError:
        await client_gone(exchange, len(body))
        raise


def _parse(gateway: Gateway, endpoint: Endpoint, call: Call, body: bytes) -> InferenceRequest:
    default = gateway.settings.defaults.get(endpoint.name, "")
    try:
        if endpoint.form:
            return parse_form(body, call.content_type, endpoint, boundary_of(call.stem), default)
        return parse_json(body, endpoint, default)
    except WireError as problem:
        raise ApiError(400, "invalid_request_error", "invalid_request", problem.reason, param=problem.param) from None


class Outgoing(NamedTuple):
    """What is to be sent, before any route has made it its own."""

    body: bytes
    content_type: str
    streamed: bool

    def __repr__(self) -> str:
        return "<outgoing>"


async def _forward(exchange: Exchange, ticket: Ticket, request: InferenceRequest) -> Answer:
    """Send to the first candidate that is verified and can be reached; never to a second one once bytes may have left.

    After a candidate that was not trusted, only those of its level or above are tried: whoever breaks a verification must not gain by it
    that the prompt goes to somebody whom nothing verifies. Raises: TrustRefusal, UpstreamError, SealError, StoreError, ApiError.
    """
    problem: TrustRefusal | UpstreamError | None = None
    body = request.forward(ticket.model.upstream_model or ticket.name)
    floor, levels = ticket.demand.floor, exchange.gateway.levels
    for name in ticket.candidates:
        if not levels[name].satisfies(floor):
            continue
        try:
            return await _through(exchange, ticket, name, Outgoing(body, request.content_type, request.stream))
        except (TrustRefusal, ChannelRefused) as refusal:
            problem, floor = refusal, strictest(floor, levels[name])
        except UpstreamError as failure:
            if failure.phase != "connect":
                raise
            problem = failure
        let_go(problem)
    raise problem or UpstreamError("connect", "no candidate")


async def _through(exchange: Exchange, ticket: Ticket, name: str, outgoing: Outgoing) -> Answer:
    """Send to upstream `name`: a second time only after the machine changed its key, against a new verification. Raises: as `_forward`."""
    keeper = exchange.gateway.keepers[name]
    problem: UpstreamError = UpstreamError("connect", "never tried")
    for _ in range(2):
        session = await exchange.timed_verify(attested(exchange.gateway, ticket, name))
        try:
            answer = await _send(exchange, session, outgoing, name)
        except ChannelRefused as refusal:
            problem = refusal
            let_go(problem)
        except UpstreamError as failure:
            if failure.phase != "connect":
                raise
            if keeper.held() is session:
                exchange.not_sent()
                raise
            problem = failure
            let_go(problem)
            # Otherwise a renewed verification took the session's place while this request waited for a connection.
        else:
            if not answer.key_refused:
                return answer
            answer.close()
            exchange.unopened()
            problem = ChannelRefused("a key configuration error", "the attested sealing key")
        exchange.not_sent()
        keeper.distrust(session)
    raise problem


async def _send(exchange: Exchange, session: Route, outgoing: Outgoing, name: str) -> Answer:
    gateway, endpoint = exchange.gateway, exchange.endpoint
    body = session.outgoing(endpoint.name, outgoing.body)
    try:
        request = await session.seal(endpoint.path, body, {}, streamed=outgoing.streamed, content_type=outgoing.content_type)
    except SealError as problem:
        raise unsealable(problem) from None
    exchange.routed(name, session)
    exchange.note(forwarded(sha256_of(body)), _verification(exchange.model or "", name, session))
    if request.sealed:
        exchange.note(sealed(sha256_of(request.body)))
    if not exchange.intended:
        await gateway.ledger.intend(exchange.intent())
        exchange.intended = True
    exchange.sent_at = gateway.clock.monotonic()
    answer = await session.send(request)
    exchange.headers_us = exchange.since(exchange.sent_at)
    return answer


def _verification(model_id: str, name: str, session: Route) -> Event:
    """What the receipt says of who reads the prompt: a verified machine, or a provider whose contract alone promises anything."""
    if isinstance(session, VerifiedSession):
        return verified(model_id, session.session_id, required=True)
    return failed(model_id, "no_attestation", required=False, upstream_name=name)
