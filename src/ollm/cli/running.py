"""What a running gateway holds of its upstreams, as `GET /v1/models` tells it to who has a key."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from ollm.cli.output import amount
from ollm.config.load import read_secret
from ollm.errors import UpstreamError, WireError
from ollm.net.fetch import HttpFetch

KeyOption = Annotated[str, typer.Option("--key", help="With --gateway: where an API key is: env:NAME or file:PATH.")]


class _State(msgspec.Struct, frozen=True, kw_only=True):
    available: bool
    reason: str | None = None
    session_id: str | None = None
    verified_at: int | None = None
    expires_at: int | None = None
    retry_at: int | None = None


class _Machine(_State, frozen=True, kw_only=True):
    host: str


class _Route(_State, frozen=True, kw_only=True):
    provider: str
    adapter: str
    level: str
    machines: tuple[_Machine, ...] = ()


class _Pricing(msgspec.Struct, frozen=True):
    input_micro_per_million: str
    output_micro_per_million: str


class _Model(msgspec.Struct, frozen=True):
    id: str
    routes: tuple[_Route, ...]
    pricing: _Pricing | None = None


class _Models(msgspec.Struct, frozen=True):
    data: tuple[_Model, ...]


async def states_of(url: str, key: str, config: Path) -> list[dict[str, Any]]:
    """A row for each model and upstream of the gateway at `url`; where an upstream has several machines, for each of those.

    Raises: ConfigError, UpstreamError, WireError.
    """
    secret = read_secret(key, config.resolve().parent).expose().decode("latin-1")
    fetch = HttpFetch()
    try:
        answer = await fetch.get(f"{url.rstrip('/')}/v1/models", authorization=f"Bearer {secret}")
    finally:
        await fetch.close()
    if answer.status != 200:
        raise UpstreamError("headers", f"the gateway answered {answer.status}", status=answer.status)
    try:
        told = msgspec.json.decode(answer.body, type=_Models)
        return [_row(model, route, each) for model in told.data for route in model.routes for each in route.machines or (route,)]
    except (msgspec.MsgspecError, ValueError):
        raise WireError("the gateway's list of models is not one of OLLM's") from None


def _row(model: _Model, route: _Route, state: _State) -> dict[str, Any]:
    verified = state.session_id is not None and state.verified_at is not None and state.expires_at is not None
    return {
        "model": _printable(model.id),
        "upstream": _printable(route.provider),
        "machine": _printable(state.host) if isinstance(state, _Machine) else None,
        "provider": _printable(route.adapter),
        "level": _printable(route.level),
        "price": _price(model.pricing),
        "available": state.available,
        "verified": verified,
        "verified_at": state.verified_at,
        "expires_at": state.expires_at,
        "session_id": state.session_id,
        "reason": None if verified or state.reason is None else _printable(state.reason),
        "retry_at": state.retry_at,
    }


def _price(pricing: _Pricing | None) -> dict[str, str] | None:
    if pricing is None:
        return None
    return {"input": amount(int(pricing.input_micro_per_million)), "output": amount(int(pricing.output_micro_per_million))}


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "�" for character in text)
