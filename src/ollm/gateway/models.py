"""GET /v1/models: what can be called, at what trust level, verified when."""

from typing import Any

import msgspec

from ollm.config.settings import ModelSettings
from ollm.errors import ApiError
from ollm.gateway.authenticate import authenticate
from ollm.gateway.call import Call
from ollm.gateway.context import Gateway

_ENCODER = msgspec.json.Encoder()


async def list_models(gateway: Gateway, call: Call) -> None:
    """All configured models."""
    authenticate(gateway, call)
    data = [_entry(gateway, name, model) for name, model in gateway.settings.models.items()]
    await call.respond(200, _ENCODER.encode({"object": "list", "data": data}), [])


async def one_model(gateway: Gateway, call: Call, name: str) -> None:
    """One configured model. Raises: ApiError 404."""
    authenticate(gateway, call)
    found = gateway.model(name)
    if found is None:
        raise ApiError(404, "invalid_request_error", "model_not_found", "No such model is configured here; GET /v1/models lists them.", param="model")
    await call.respond(200, _ENCODER.encode(_entry(gateway, name, found[1])), [])


def _entry(gateway: Gateway, name: str, model: ModelSettings) -> dict[str, Any]:
    entry: dict[str, Any] = {"id": name, "object": "model", "created": gateway.started_at, "owned_by": model.owned_by}
    if model.context_length is not None:
        entry["context_length"] = model.context_length
    if model.price is not None:
        entry["pricing"] = {"input_micro_per_million": str(model.price.input), "output_micro_per_million": str(model.price.output)}
    entry["attestation"] = [_attestation(gateway, upstream) for upstream in model.upstreams]
    return entry


def _attestation(gateway: Gateway, upstream: str) -> dict[str, Any]:
    state = gateway.keepers[upstream].state()
    return {
        "provider": upstream,
        "adapter": gateway.settings.upstreams[upstream].adapter,
        "level": str(gateway.levels[upstream]),
        "available": state.available,
        "last_result": state.last_result,
        "reason": state.reason,
        "session_id": state.session_id,
        "verified_at": state.verified_at,
        "expires_at": state.expires_at,
        "checked_at": state.checked_at,
        "retry_at": state.retry_at,
    }
