"""May this caller have this, and from whom: step 3 of the path."""

from collections.abc import Collection, Mapping

import msgspec

from ollm.config.settings import ModelSettings
from ollm.errors import ApiError
from ollm.gateway.authenticate import Caller
from ollm.gateway.context import Gateway
from ollm.traffic.routes import Demand, candidates, demand, spread
from ollm.wire.dialects import DIALECTS
from ollm.wire.request import InferenceRequest


class Ticket(msgspec.Struct, frozen=True):
    """An admitted request: the model's settings, what must hold, and the upstreams that may serve it, in order."""

    name: str
    model: ModelSettings
    demand: Demand
    candidates: tuple[str, ...]
    ways: Mapping[str, str]  # upstream → the endpoint that it is asked at: the client's own, or another that takes a translation


class PolicyRefusal(Exception):
    """A configured rule forbids it. Answered with `error`, and recorded in a receipt with `reason`."""

    def __init__(self, error: ApiError, reason: str) -> None:
        super().__init__(reason)
        self.error = error
        self.reason = reason


def admit(gateway: Gateway, caller: Caller, request: InferenceRequest) -> Ticket:
    """Raises: ApiError 404 for a model that is not configured, PolicyRefusal (403) when no route meets the required level."""
    model = gateway.settings.models.get(request.model)
    if model is None:
        raise ApiError(404, "invalid_request_error", "model_not_found", "No such model is configured here; GET /v1/models lists them.", param="model")
    constraint = request.constraint
    wanted = demand(gateway.settings.gateway.floor, caller.floor, verified=constraint.verified, session_ids=constraint.session_ids)
    ways = _ways(gateway, request.model, model, request.endpoint.name)
    if not ways:
        message = "None of this model's routes answers to this endpoint."
        raise ApiError(404, "invalid_request_error", "endpoint_not_supported", message, param="model")
    names = candidates(tuple(ways), gateway.levels, wanted.floor)
    if not names:
        reason = f"policy: no route of this model reaches level {wanted.floor}"
        message = f"This request requires execution level '{wanted.floor}', and no route of the model reaches it. The prompt was not forwarded."
        raise PolicyRefusal(ApiError(403, "permission_error", "execution_level", message, param="model"), reason)
    if model.spread:
        turn = gateway.turns[request.model] = gateway.turns.get(request.model, -1) + 1
        names = spread(names, gateway.levels, lambda name: gateway.keepers[name].held() is not None, turn)
    return Ticket(request.model, model, wanted, tuple(names), ways)


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
