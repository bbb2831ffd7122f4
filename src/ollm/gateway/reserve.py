"""Limits and budgets: what a request can take at most is held for it before anything leaves; what it took is settled in the end."""

from ollm.errors import ApiError, CountersAway
from ollm.gateway.accounts import Accounts, Note, ended_ms
from ollm.gateway.admit import Ticket
from ollm.gateway.call import Call
from ollm.gateway.exchange import Exchange, Hold
from ollm.gateway.figures import figures_of
from ollm.ports import Refused
from ollm.traffic import ratelimit
from ollm.traffic.charges import Load, charged, meters
from ollm.traffic.estimate import Unestimated, estimate
from ollm.traffic.ratelimit import Verdict
from ollm.values.ledger import Entry
from ollm.values.price import price_at
from ollm.wire.request import InferenceRequest

_NOTHING = Load(tokens=0, micro=0)


async def reserve(exchange: Exchange, call: Call, ticket: Ticket, request: InferenceRequest) -> None:
    """Hold what `request` can take, under each limit and budget above its key, in one step.

    Raises: ApiError 400 where no upper bound can be told, 403 where it may cost too much, 429 where a limit is reached or a budget is used up,
    503 when the counters are away. Nothing is held then.
    """
    standing = exchange.caller.standing
    if not standing.scopes:
        return
    above = meters(standing.scopes, ticket.name, exchange.started_ms // 1000)
    most = standing.max_request_micro
    money = bool(above.money) or most is not None
    load = _most(exchange, ticket, request, tokens=bool(above.tokens), money=money) if money or above.tokens else _NOTHING
    if most is not None and load.micro > most:
        raise _refused(ratelimit.too_costly())
    if not above.each:
        return
    gateway = exchange.gateway
    asked, micro = charged(above, load), load.micro if money else None
    note = Note(standing.key_id, standing.project_id, exchange.endpoint.name, ticket.name, exchange.started_ms, micro)
    try:
        answer = await gateway.accounts.reserve(exchange.stem, asked, note)
    except CountersAway as away:
        raise unavailable(away) from None
    now_ms = gateway.clock.now_ms()
    if isinstance(answer, Refused):
        raise _refused(ratelimit.refusal(asked, answer.values, answer.index, now_ms))
    exchange.hold = Hold(asked, load, micro)
    call.add_headers(ratelimit.headers(above, answer.values, now_ms))
    gateway.accounts.watch(above, answer.values)


def unavailable(away: CountersAway) -> ApiError:
    """Limits can't be kept now, so nothing is served that they hold for."""
    message = "Limits and budgets can't be checked now, so this request isn't served."
    return ApiError(503, "api_error", "limits_unavailable", message, headers={"retry-after": str(max(1, round(away.seconds)))})


async def settle_hold(exchange: Exchange, entry: Entry) -> None:
    """The request is over, and `entry` is in the ledger."""
    hold, exchange.hold = exchange.hold, None
    if hold is not None:
        load = Load(tokens=entry.usage.total_tokens, micro=entry.cost_micro or 0)
        await exchange.gateway.accounts.settle(exchange.stem, hold.charges, load, ended_ms(entry))


async def let_go_of_hold(exchange: Exchange) -> None:
    """The request ended without an entry. What never left costs nothing; what may have left costs what was held, as its LOST row will say."""
    hold, exchange.hold = exchange.hold, None
    if hold is None:
        return
    accounts: Accounts = exchange.gateway.accounts
    if exchange.intended:
        await accounts.settle(exchange.stem, hold.charges, hold.load, exchange.gateway.clock.now_ms())
    else:
        await accounts.release(exchange.stem)


def _most(exchange: Exchange, ticket: Ticket, request: InferenceRequest, *, tokens: bool, money: bool) -> Load:
    """The most that the request can take. Raises: ApiError 400 or 403 where nobody can tell."""
    price = price_at(ticket.model.prices, exchange.started_ms)
    found = estimate(figures_of(request), price, ticket.model.max_output, tokens=tokens, money=money)
    if isinstance(found, Unestimated):
        if found.lack == "price":
            raise ApiError(403, "permission_error", "price_unknown", found.message, param="model")
        if found.lack == "size":
            raise ApiError(400, "invalid_request_error", "invalid_request", found.message, param="max_tokens")
        raise ApiError(400, "invalid_request_error", "max_tokens_required", found.message, param="max_tokens")
    return found


def _refused(verdict: Verdict) -> ApiError:
    return ApiError(verdict.status, verdict.type, verdict.code, verdict.message, headers=dict(verdict.headers))
