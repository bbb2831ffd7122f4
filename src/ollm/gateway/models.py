"""GET /v1/models: what can be called, at what trust level, verified when.

The objects are OpenAI's, with OpenRouter's names for prices and modalities, and have the members of Anthropic's as well: its clients ask the
same path. What is said about trust comes from the session that is held, never from the configuration; `region` alone is the operator's word.
"""

import datetime
from collections.abc import Mapping
from typing import Any

import msgspec

from ollm.attest.summary import gpu, tee_types
from ollm.config.settings import ModelSettings
from ollm.errors import ApiError
from ollm.gateway.authenticate import Caller, authenticate
from ollm.gateway.call import Call
from ollm.gateway.context import Gateway
from ollm.serving.http import query
from ollm.traffic.price import per_token
from ollm.traffic.routes import candidates
from ollm.upstream.keeper import State
from ollm.upstream.session import VerifiedSession
from ollm.values.level import Level, strictest
from ollm.values.price import RATES, TOKEN_RATES, Price, price_at
from ollm.wire.dialects import DIALECTS
from ollm.wire.endpoints import ENDPOINTS

_ENCODER = msgspec.json.Encoder()
_FLAGS: Mapping[str, Level] = {"allow_tee": Level.TEE, "allow_zdr": Level.ZDR}
FILTERS = ("assurance", *_FLAGS)


async def list_models(gateway: Gateway, call: Call) -> None:
    """All configured models, or those whose serving route has a level that the query's filters leave. Raises: ApiError 400, 401."""
    caller = authenticate(gateway, call)
    wanted = _wanted(query(call.scope))
    data = [_entry(gateway, caller, name, model) for name, model in gateway.settings.models.items()]
    data = [entry for entry in data if (entry["attestation"] or {}).get("level") in wanted]
    ends = {"first_id": data[0]["id"] if data else None, "last_id": data[-1]["id"] if data else None}
    await call.respond(200, _ENCODER.encode({"object": "list", "data": data, "has_more": False, **ends}), [])


async def one_model(gateway: Gateway, call: Call, name: str) -> None:
    """One configured model. Raises: ApiError 400, 401, 404."""
    caller = authenticate(gateway, call)
    _known(query(call.scope), ())
    found = gateway.model(name)
    if found is None:
        raise ApiError(404, "invalid_request_error", "model_not_found", "No such model is configured here; GET /v1/models lists them.", param="model")
    await call.respond(200, _ENCODER.encode(_entry(gateway, caller, name, found[1])), [])


def _wanted(fields: Mapping[str, str]) -> frozenset[Level | None]:
    """Levels that the filters leave; None stands for models without a route that would serve. Raises: ApiError 400."""
    _known(fields, FILTERS)
    wanted: frozenset[Level | None] = frozenset((*Level, None))
    if "assurance" in fields:
        wanted = frozenset(level for level in Level if level == fields["assurance"])
        if not wanted:
            raise _invalid("assurance", f"assurance must be one of {', '.join(Level)}.")
    for name, level in _FLAGS.items():
        value = fields.get(name, "true").lower()
        if value not in ("true", "false"):
            raise _invalid(name, f"{name} must be true or false.")
        if value == "false":
            wanted -= {level}
    return wanted


def _known(fields: Mapping[str, str], names: tuple[str, ...]) -> None:
    """Raises: ApiError 400 for a field that is none of `names`: a filter with a typing error must not filter nothing."""
    if not set(fields) <= set(names):
        takes = f"takes {', '.join(names)}" if names else "takes no fields"
        raise _invalid(None, f"The query string has a field that is not known; this endpoint {takes}.")


def _invalid(name: str | None, message: str) -> ApiError:
    return ApiError(400, "invalid_request_error", "invalid_query", message, param=name)


def _entry(gateway: Gateway, caller: Caller, name: str, model: ModelSettings) -> dict[str, Any]:
    routes = {upstream: _route(gateway, upstream) for upstream in model.upstreams}
    serving = _serving(gateway, caller, model)
    entry: dict[str, Any] = {
        "id": name,
        "object": "model",
        "created": gateway.started_at,
        "owned_by": model.owned_by,
        "type": "model",
        "display_name": name,
        "created_at": datetime.datetime.fromtimestamp(gateway.started_at, datetime.UTC).isoformat().replace("+00:00", "Z"),
        "endpoints": _endpoints(gateway, model),
        "attestation": routes[serving] if serving is not None else None,
        "routes": list(routes.values()),
    }
    known = {
        "context_length": model.context_length,
        "max_output_length": model.max_output,
        "architecture": _architecture(model.modalities),
        "supported_parameters": model.supported_parameters or None,
        "pricing": _pricing(price_at(model.prices, gateway.clock.now_ms())),
    }
    return entry | {member: value for member, value in known.items() if value is not None}


def _serving(gateway: Gateway, caller: Caller, model: ModelSettings) -> str | None:
    """The upstream that a plain request of this caller would go to now, or would wait for; None where none reaches the caller's level.

    Nothing below the first in order is looked at: a machine that is not verified doesn't make room for less.
    """
    names = candidates(model.upstreams, gateway.levels, strictest(gateway.settings.gateway.floor, caller.floor))
    if not names:
        return None
    peers = candidates(names, gateway.levels, gateway.levels[names[0]])
    return next((name for name in peers if gateway.keepers[name].sessions()), names[0])


def _endpoints(gateway: Gateway, model: ModelSettings) -> list[str]:
    """Paths at which the model can be asked, those included that take a translation."""
    names = frozenset(model.endpoints) if model.endpoints is not None else frozenset().union(*(gateway.speaks[up] for up in model.upstreams))
    translated = {asked for asked, spoken in DIALECTS if spoken in names}
    return [endpoint.path for endpoint in ENDPOINTS.values() if endpoint.name in names or endpoint.name in translated]


def _architecture(modalities: str | None) -> dict[str, Any] | None:
    if modalities is None:
        return None
    inputs, _, outputs = modalities.partition("->")
    return {"modality": modalities, "input_modalities": inputs.split("+"), "output_modalities": outputs.split("+")}


# How lists that other clients read name our rates: OpenRouter's form.
_LISTED = {
    "input": "prompt",
    "output": "completion",
    "cached": "input_cache_read",
    "cache_write": "input_cache_write",
    "cache_write_long": "input_cache_write_1h",
    "reasoning": "internal_reasoning",
    "audio_input": "audio",
    "audio_output": "audio_output",
    "image_input": "image_token",
}


def _pricing(price: Price | None) -> dict[str, str] | None:
    """Per token in units of currency, and the integers that it is made of; all as text, which no reader of JSON rounds."""
    if price is None:
        return None
    rates = {name: rate for name in RATES if (rate := getattr(price, name)) is not None}
    if "cached" not in rates and price.input is not None:
        rates["cached"] = price.input
    told = {_LISTED[name]: per_token(rate) for name, rate in rates.items() if name in _LISTED}
    told |= {f"{name}_micro_per_million" if name in TOKEN_RATES else f"{name}_micro": str(rate) for name, rate in rates.items()}
    return told | {"version": price.version}


def _route(gateway: Gateway, upstream: str) -> dict[str, Any]:
    keeper, settings = gateway.keepers[upstream], gateway.settings.upstreams[upstream]
    state = keeper.state()
    session = next((each for each in keeper.sessions() if each.session_id == state.session_id), None)
    appraisal = session.appraisal if isinstance(session, VerifiedSession) else None
    return {
        "provider": upstream,
        "adapter": settings.adapter,
        "region": settings.region,
        "level": str(gateway.levels[upstream]),
        "tee_types": tee_types(appraisal) if appraisal is not None else (),
        "gpu": gpu(appraisal) if appraisal is not None else None,
        **_told(state),
        "machines": [{"host": each.upstream, **_told(each)} for each in state.machines],
    }


def _told(state: State) -> dict[str, Any]:
    """What is known of an upstream's verification, or of that of one of its machines."""
    return {
        "available": state.available,
        "last_result": state.last_result,
        "reason": state.reason,
        "session_id": state.session_id,
        "verified_at": state.verified_at,
        "expires_at": state.expires_at,
        "checked_at": state.checked_at,
        "retry_at": state.retry_at,
    }
