"""May this caller have this, and from whom: step 3 of the path."""

from collections.abc import Collection, Mapping

import msgspec

from ollm.config.settings import ModelSettings
from ollm.errors import ApiError
from ollm.gateway.applied import NOTHING, Applied, route_broken
from ollm.gateway.authenticate import Caller
from ollm.gateway.context import Gateway
from ollm.gateway.refusal import PolicyRefusal
from ollm.gateway.rules import check, refusal
from ollm.traffic import choice
from ollm.traffic.choice import Rule
from ollm.traffic.routes import Demand, candidates, demand, preferred
from ollm.values.level import Level, strictest
from ollm.values.price import price_at
from ollm.values.standing import Standing
from ollm.wire.dialects import DIALECTS
from ollm.wire.preferences import NO_PREFERENCES, Preferences
from ollm.wire.remote_urls import remote_url
from ollm.wire.request import InferenceRequest


class Ticket(msgspec.Struct, frozen=True):
    """An admitted request: the model's own name and settings, what must hold, and the upstreams that may serve it, in order."""

    name: str
    model: ModelSettings
    demand: Demand
    candidates: tuple[str, ...]
    ways: Mapping[str, str]  # upstream → the endpoint that it is asked at: the client's own, or another that takes a translation
    rules: Applied = NOTHING  # that stand above it


def admit(gateway: Gateway, caller: Caller, request: InferenceRequest, preferences: Preferences = NO_PREFERENCES, rules: Applied = NOTHING) -> Ticket:
    """Raises: ApiError 404 for a model that is not configured, 400 for an upstream that isn't; PolicyRefusal when no route may serve, or the
    request names what is to be fetched and the policy refuses that."""
    found = gateway.model(request.model)
    if found is None:
        raise ApiError(404, "invalid_request_error", "model_not_found", "No such model is configured here; GET /v1/models lists them.", param="model")
    name, model = found
    if not preferences.named <= gateway.settings.upstreams.keys():
        message = "provider names an upstream that is not configured here; GET /v1/models lists those of each model."
        raise ApiError(400, "invalid_request_error", "invalid_request", message, param="provider")
    _allowed(caller.standing, name, request.endpoint.name)
    check(rules, request, name)
    wanted = demand(_floor(gateway, rules), caller.floor, preferences)
    ways = _ways(gateway, name, model, request.endpoint.name)
    if not ways:
        message = "None of this model's routes answers to this endpoint."
        raise ApiError(404, "invalid_request_error", "endpoint_not_supported", message, param="model")
    if gateway.settings.gateway.remote_urls == "refuse":
        _refuse_remote_urls(request)
    open_to = tuple(ways) if caller.standing.upstreams is None else tuple(up for up in ways if up in caller.standing.upstreams)
    if not open_to:
        message = "None of this model's providers is one that this key may use. The prompt was not forwarded."
        raise PolicyRefusal(ApiError(403, "permission_error", "provider_not_allowed", message), "policy: provider not allowed")
    if rules.on_routes:
        open_to = _ruled(gateway, rules, open_to)
    names = candidates(open_to, gateway.levels, wanted.floor)
    if not names:
        reason = f"policy: no route of this model reaches level {wanted.floor}"
        message = f"This request requires execution level '{wanted.floor}', and no route of the model reaches it. The prompt was not forwarded."
        raise PolicyRefusal(ApiError(403, "permission_error", "execution_level", message, param="model"), reason)
    if preferences is not NO_PREFERENCES:
        native = [each for each in names if ways[each] == request.endpoint.name]
        names = preferred(names, preferences, native, price_at(model.prices, gateway.clock.now_ms()))
        if not names:
            message = "No route of this model is left by the request's own preferences. The prompt was not forwarded."
            raise PolicyRefusal(
                ApiError(412, "invalid_request_error", "preferences_not_met", message, param="provider"), "policy: preferences not met"
            )
    return Ticket(name, model, wanted, _in_order(gateway, name, model, preferences, names), ways, rules)


def _floor(gateway: Gateway, rules: Applied) -> Level:
    """What configuration and rules require, down to where an exception lets it. What the key and the request require is never lifted."""
    floor = strictest(gateway.settings.gateway.floor, rules.floor)
    lifted = rules.lifted
    return lifted if lifted is not None and floor.satisfies(lifted) else floor


def _ruled(gateway: Gateway, rules: Applied, names: tuple[str, ...]) -> tuple[str, ...]:
    """Those of `names` that could meet the rules about routes. Raises: PolicyRefusal with the rule that the first can't meet."""
    broken = {name: route_broken(rules, gateway.settings, name) for name in names}
    left = tuple(name for name in names if broken[name] is None)
    first = broken[names[0]]
    if not left and first is not None:
        raise refusal(first)
    return left


def _refuse_remote_urls(request: InferenceRequest) -> None:
    """Raises: PolicyRefusal when whoever answers would have to fetch something."""
    place = remote_url(request)
    if place is None:
        return
    message = "This gateway's policy refuses URLs that a provider would fetch: send the content itself, as a data URL. The prompt was not forwarded."
    error = ApiError(403, "permission_error", "remote_url", message, param=place.param)
    raise PolicyRefusal(error, "policy: got a URL to be fetched, want data URLs")


def _allowed(standing: Standing, model: str, endpoint: str) -> None:
    """Whether the terms above the key allow model and endpoint. Raises: PolicyRefusal."""
    if standing.models is not None and model not in standing.models:
        message = "This key may not use this model. The prompt was not forwarded."
        raise PolicyRefusal(ApiError(403, "permission_error", "model_not_allowed", message, param="model"), "policy: model not allowed")
    if standing.endpoints is not None and endpoint not in standing.endpoints:
        message = "This key may not use this endpoint. The prompt was not forwarded."
        raise PolicyRefusal(ApiError(403, "permission_error", "endpoint_not_allowed", message), "policy: endpoint not allowed")


def _in_order(gateway: Gateway, name: str, model: ModelSettings, preferences: Preferences, names: list[str]) -> tuple[str, ...]:
    """`names` as they are to be tried: by the caller's order, else by its sort, else by the model's rule; those that rest come last."""
    rule = None if preferences.order else _rule(gateway, name, model, preferences)
    if rule is not None:
        names = choice.arranged(names, gateway.levels, lambda each: bool(gateway.keepers[each].sessions()), rule)
    if not preferences.allow_fallbacks and not preferences.order:
        names = names[:1]
    if len(names) > 1:
        now = gateway.clock.monotonic()
        names = choice.resting_last(names, lambda each: gateway.board.of(name, each).breaker.due_in(now))
    return tuple(names)


def _rule(gateway: Gateway, name: str, model: ModelSettings, preferences: Preferences) -> Rule | None:
    if preferences.sort is not None:
        return choice.sorted_by(preferences, gateway.board, name)
    if model.spread:
        turn = gateway.turns[name] = gateway.turns.get(name, -1) + 1
        return choice.turns(turn)
    match model.choose:
        case "weighted":
            return choice.weighted(model.weights or {}, gateway.random)
        case "least_busy":
            return choice.least_busy(gateway.board, model.weights or {})
        case "latency":
            return choice.fastest(gateway.board, name, gateway.clock.monotonic())
    return None


def _ways(gateway: Gateway, name: str, model: ModelSettings, asked: str) -> Mapping[str, str]:
    """Those of the model's upstreams that answer to the endpoint `asked`, in their order, and where each is asked."""
    known = gateway.ways.get((name, asked))
    if known is None:
        speaks = {upstream: model.endpoints or gateway.speaks[upstream] for upstream in model.upstreams}
        ways = {upstream: _spoken(asked, speaks[upstream]) for upstream in model.upstreams}
        known = gateway.ways[name, asked] = {upstream: spoken for upstream, spoken in ways.items() if spoken is not None}
    return known


def _spoken(asked: str, speaks: Collection[str]) -> str | None:
    """The endpoint at which somebody who answers to `speaks` is asked for what a client asks at `asked`."""
    if asked in speaks:
        return asked
    return next((spoken for client, spoken in DIALECTS if client == asked and spoken in speaks), None)
