"""The way of a prompt, top to bottom. No hooks: what is not on this page does not happen to a request.

caller  = authenticate   401
request = parse          400          only routing fields are looked at; the rest passes through untouched
ticket  = admit          403 · 404
request = screened       403          rules about texts; what is masked goes on masked
reserve                  400 · 403 · 429    limits and budgets, one step over all of them
session = attested       503 · 412    nothing of the prompt has left yet
sealed  = session.seal                only a session has it; only upstream/session.py makes one
intent  = ledger.intend               survives kill -9 from here on
answer  = session.send                to the attested key, checked on that very connection; else the next step of the plan
relay   → client                      content lives in that frame only; an error in place of an answer: the next step of the plan
settle  = receipt + row               durable before the last byte of the answer; then limits and budgets get back what was too much
"""

import asyncio

import msgspec

from ollm.errors import (
    ApiError,
    ChannelRefused,
    ErrorAnswer,
    RuleBlocked,
    SealError,
    UpstreamAnswered,
    UpstreamError,
    UpstreamResting,
    WireError,
    let_go,
)
from ollm.gateway.admit import Ticket, admit
from ollm.gateway.attested import TrustRefusal, attested, held
from ollm.gateway.authenticate import authenticate
from ollm.gateway.call import Call
from ollm.gateway.context import Gateway
from ollm.gateway.exchange import Exchange
from ollm.gateway.faults import failure_of, from_exception, unsealable
from ollm.gateway.outcomes import client_gone, cut_off, provider_failed, refuse, withhold
from ollm.gateway.outgoing import Outgoing, Untranslatable, outgoing
from ollm.gateway.refusal import PolicyRefusal
from ollm.gateway.relay import relay
from ollm.gateway.reserve import let_go_of_hold, reserve
from ollm.gateway.rules import rules_of, screened
from ollm.receipts.receipt import Event, failed, forwarded, received, sealed, translated, verified
from ollm.traffic.attempts import Plan
from ollm.upstream.answer import Answer
from ollm.upstream.session import Route, VerifiedSession
from ollm.values.hexes import sha256_of
from ollm.values.level import strictest
from ollm.wire.endpoints import Endpoint
from ollm.wire.form import boundary_of, parse_form
from ollm.wire.preferences import STATED, Preferences, combined, stated
from ollm.wire.request import InferenceRequest, parse_json
from ollm.wire.retry_after import pause_of


async def infer(endpoint: Endpoint, gateway: Gateway, call: Call) -> None:
    """Serve one request to `endpoint`. Raises: ApiError for what needs no receipt (400, 401, 404, 413, 415), StoreError."""
    call.speak(endpoint.dialect)
    call.cancel_on_disconnect()
    begun = gateway.clock.monotonic()
    caller = authenticate(gateway, call)
    gateway.running.enter(call.stem, caller)
    body = await call.body(gateway.settings.gateway.max_body_bytes)
    request, preferences = _parse(gateway, endpoint, call, body)
    exchange = Exchange(gateway, endpoint, caller, call.stem, begun, call.now_ms)
    rules = rules_of(gateway, caller)
    exchange.received(received(sha256_of(body)), request, rules)
    try:
        ticket = admit(gateway, caller, request, preferences, rules)
        request = await screened(exchange, request)
        await reserve(exchange, call, ticket, request)
        await _forward(exchange, call, ticket, request)
    except (PolicyRefusal, TrustRefusal) as refusal:
        await refuse(exchange, call, refusal)
    except RuleBlocked as problem:
        await withhold(exchange, call, problem)
    except ChannelRefused as problem:
        await refuse(exchange, call, TrustRefusal(from_exception(problem), problem.reason, exchange.upstream or ""))
    except (UpstreamError, SealError, WireError) as problem:
        await provider_failed(exchange, call, from_exception(problem))
    except ApiError as problem:
        if not exchange.intended:
            raise
        await provider_failed(exchange, call, problem)
    except asyncio.CancelledError:
        if gateway.running.was_cut(call.stem):
            await cut_off(exchange, call)
            return
        await client_gone(exchange)
        raise
    finally:
        if exchange.hold is not None:
            await let_go_of_hold(exchange)


def _parse(gateway: Gateway, endpoint: Endpoint, call: Call, body: bytes) -> tuple[InferenceRequest, Preferences]:
    """The request, and what its body and headers together prefer. Raises: ApiError 400."""
    default = gateway.settings.defaults.get(endpoint.name, "")
    try:
        request: InferenceRequest
        if endpoint.form:
            request = parse_form(body, call.content_type, endpoint, boundary_of(call.stem), default)
        else:
            request = parse_json(body, endpoint, default)
        return request, request.preferences if STATED.isdisjoint(call.fields) else combined(request.preferences, stated(call.scope["headers"]))
    except WireError as problem:
        raise ApiError(400, "invalid_request_error", "invalid_request", problem.reason, param=problem.param) from None


async def _forward(exchange: Exchange, call: Call, ticket: Ticket, request: InferenceRequest) -> None:
    """Hand out the first good answer of a candidate, within one budget of attempts (`traffic.attempts`).

    Never another try once the client has a byte. What stands in place of an answer, or of a stream's first event, and says that it is an error is
    none: it counts as the status that it stands for.

    After a candidate that was not trusted, only those of its level or above are tried: whoever breaks a verification must not gain by it
    that the prompt goes to somebody whom nothing verifies. So it is after one in whose API the request can't be said: a member of a request
    is no wish for less protection. Raises: TrustRefusal, UpstreamError, SealError, WireError, StoreError, ApiError.
    """
    gateway = exchange.gateway
    problem: TrustRefusal | UpstreamError | ErrorAnswer | Untranslatable | None = None
    floor, levels = ticket.demand.floor, gateway.levels
    plan = exchange.plan = _plan(exchange, ticket)
    while (step := plan.next(gateway.clock.monotonic())) is not None:
        if not levels[step.name].satisfies(floor):
            plan.drop(step.name)
            continue
        if step.pause:
            await asyncio.sleep(step.pause)
        try:
            out = outgoing(request, ticket, step.name)
            with exchange.attempting(step.name):
                answer = await _through(exchange, ticket, plan, step.name, out)
                return await _relayed(exchange, call, request, answer)
        except Untranslatable as lost:
            floor = strictest(floor, levels[step.name])
            plan.drop(step.name)
            problem = problem or lost
        except (TrustRefusal, ChannelRefused) as refusal:
            floor = strictest(floor, levels[step.name])
            plan.drop(step.name)
            problem = problem if exchange.left else refusal  # nobody is told that nothing left when it did
        except (UpstreamError, ErrorAnswer) as failure:
            plan.failed(step.name, failure_of(failure), gateway.clock.monotonic())
            problem = failure
        if problem is not None:
            let_go(problem)
    raise problem or UpstreamError("connect", "no candidate")


def _plan(exchange: Exchange, ticket: Ticket) -> Plan:
    """The budget of this request. Raises: UpstreamResting when each of its routes is left alone for now."""
    gateway, routing = exchange.gateway, exchange.gateway.settings.routing
    now = gateway.clock.monotonic()
    due = [gateway.board.of(ticket.name, name).breaker.due_in(now) for name in ticket.candidates]
    if 0.0 not in due:
        raise UpstreamResting(min(due))
    rules = routing if ticket.model.attempts is None else msgspec.structs.replace(routing, attempts=ticket.model.attempts)
    return Plan(rules, ticket.candidates, gateway.random, ends=exchange.begun + gateway.settings.gateway.timeouts.total)


async def _through(exchange: Exchange, ticket: Ticket, plan: Plan, name: str, out: Outgoing) -> Answer:
    """Send to upstream `name`: a second time only after the machine changed its key, against a new verification. Raises: as `_forward`."""
    keeper = exchange.gateway.keepers[name]
    problem: UpstreamError | None = None
    for _ in range(2):
        if not plan.left:
            break
        session = held(exchange.gateway, ticket, name) or await exchange.timed_verify(attested(exchange.gateway, ticket, name))
        plan.begun(name)
        try:
            answer = await _send(exchange, session, out, name)
        except ChannelRefused as refusal:
            problem = refusal
            plan.undone(name)
            let_go(problem)
        except UpstreamError as failure:
            if failure.phase != "connect":
                exchange.was_sent()
                raise
            if keeper.held() is session:
                exchange.not_sent()
                raise
            problem = failure
            let_go(problem)
            # Otherwise a renewed verification took the session's place while this request waited for a connection.
            plan.undone(name)
        else:
            if not answer.key_refused:
                return answer
            answer.close()
            exchange.unopened()
            problem = ChannelRefused("a key configuration error", "the attested sealing key")
        exchange.not_sent()
        keeper.distrust(session)
    raise problem or UpstreamError("connect", "never tried")


async def _relayed(exchange: Exchange, call: Call, request: InferenceRequest, answer: Answer) -> None:
    """`answer` to the client. Raises: as `relay`; ErrorAnswer knows then whether the provider has another key for us."""
    try:
        await relay(exchange, call, request, answer)
    except ErrorAnswer as said:
        exchange.was_sent()
        answer.status = said.stands_for
        said.other_key = exchange.session is not None and exchange.session.told(answer, None)
        raise
    finally:
        answer.close()


async def _send(exchange: Exchange, session: Route, out: Outgoing, name: str) -> Answer:
    gateway = exchange.gateway
    body = session.outgoing(out.endpoint.name, out.body)
    try:
        request = await session.seal(out.endpoint.path, body, {}, streamed=out.streamed, content_type=out.content_type)
    except SealError as problem:
        raise unsealable(problem) from None
    exchange.routed(name, session)
    exchange.dialect = out.dialect
    if out.dialect is not None:
        exchange.note(translated(out.dialect.asked, out.dialect.spoken))
    exchange.note(forwarded(sha256_of(body)), _verification(exchange.asked or "", name, session))
    if request.sealed:
        exchange.note(sealed(sha256_of(request.body)))
    if not exchange.intended:
        await gateway.ledger.intend(exchange.intent())
        exchange.intended = True
    exchange.sending()
    answer = await session.send(request, exchange.begun + gateway.settings.gateway.timeouts.total - exchange.sent_at)
    exchange.headers_us = exchange.since(exchange.sent_at)
    if answer.key_refused:
        return answer
    if answer.status == 200:
        session.told(answer, None)
        return answer
    pause = pause_of(answer.retry_after, answer.retry_after_ms, gateway.clock.now())
    other_key = session.told(answer, pause)
    answer.close()
    raise UpstreamAnswered(answer.status, pause, other_key=other_key)


def _verification(model_id: str, name: str, session: Route) -> Event:
    """What the receipt says of who reads the prompt: a verified machine, or a provider whose contract alone promises anything."""
    if isinstance(session, VerifiedSession):
        return verified(model_id, session.session_id, required=True)
    return failed(model_id, "no_attestation", required=False, upstream_name=name)
