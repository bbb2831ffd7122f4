"""`ollm models`: what can be called, at what trust level, verified when."""

import asyncio
import time
from typing import Any

from ollm.app.build import level_of, provider_session
from ollm.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, configuration, one_line, run
from ollm.cli.output import emit, quiet, say
from ollm.config.load import Loaded
from ollm.upstream.session import Unverified
from ollm.values.usage import Price

_AT_ONCE = 4  # verifications at the same time


@one_line
def models(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """List the configured models; each upstream's machine is verified now, by this command, as a request would have it verified.

    A running gateway tells what it holds itself at GET /v1/models.
    """
    loaded = configuration(config)
    states = run(_verify_all(loaded))
    rows = [
        {
            "model": name,
            "upstream": upstream,
            "provider": loaded.settings.upstreams[upstream].adapter,
            "level": str(level_of(loaded, upstream)),
            "price": _price(model.price),
            **states[upstream],
        }
        for name, model in loaded.settings.models.items()
        for upstream in model.upstreams
    ]
    if as_json:
        emit(rows)
        return
    for row in rows:
        named = f"{quiet(row['model']):<32} {quiet(row['upstream']):<16} {row['provider']:<10} {row['level']:<10}"
        say(f"{named} {_shown_price(row['price']):<14} {_verdict(row)}")
    if not rows:
        say(quiet('No models yet. Add [models."NAME"] to the configuration.'))


async def _verify_all(loaded: Loaded) -> dict[str, dict[str, Any]]:
    turns = asyncio.Semaphore(_AT_ONCE)

    async def one(name: str) -> dict[str, Any]:
        async with turns:
            return await _verified(loaded, name)

    names = list(loaded.settings.upstreams)
    return dict(zip(names, await asyncio.gather(*map(one, names)), strict=True))


async def _verified(loaded: Loaded, name: str) -> dict[str, Any]:
    state: dict[str, Any] = {"verified": False, "verified_at": None, "expires_at": None, "session_id": None, "reason": None}
    if loaded.settings.upstreams[name].policy is None:
        return state
    try:
        async with provider_session(loaded, name) as session:
            held = {"verified_at": session.established_at, "expires_at": session.expires_at, "session_id": session.session_id}
            return {**state, "verified": True, **held}
    except Unverified as refusal:
        return {**state, "reason": refusal.reason}


def _price(price: Price | None) -> dict[str, str] | None:
    return {"input": _amount(price.input), "output": _amount(price.output)} if price is not None else None


def _amount(micro_per_million: int) -> str:
    """The price of a million tokens, in whole units of the currency."""
    whole, micro = divmod(micro_per_million, 1_000_000)
    return f"{whole}.{micro:06}".rstrip("0").rstrip(".")


def _shown_price(price: dict[str, str] | None) -> str:
    return f"{price['input']}/{price['output']}" if price is not None else "no price"


def _verdict(row: dict[str, Any]) -> str:
    if row["verified"]:
        return f"[green]verified[/] {_time(row['verified_at'])}, holds until {_time(row['expires_at'])}"
    if row["reason"] is None:
        return "[yellow]not attested[/]: its provider has no evidence"
    return f"[red]refused[/] {quiet(str(row['reason']))}"


def _time(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))
